"""A progress bar for long steps, and silence for short ones."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
QUIET_SECONDS = 1.0


class Progress:
    """Shows a bar on a terminal once a step has taken a second; prints nothing into a file or a pipe.

    ``total`` in ``unit``; None when unknown.
    """

    def __init__(self, text: str, total: float | None, unit: str = "rows", *, show: bool | None = None) -> None:
        self._text, self._total, self._unit = text, total, unit
        self._show = sys.stderr.isatty() if show is None else show
        self._done, self._started, self._bar, self._task = 0.0, time.monotonic(), None, None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        if not self._show or time.monotonic() - self._started < QUIET_SECONDS:
            return
        if self._bar is None:
            self._start()
        bar: Any = self._bar
        bar.update(self._task, completed=self._done)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, force_terminal=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._text, total=self._total)


def track(items: Iterable[T], text: str, total: int | None = None, unit: str = "files") -> Iterator[T]:
    """Iterate with a progress bar."""
    with Progress(text, total, unit) as progress:
        for item in items:
            yield item
            progress.advance()
