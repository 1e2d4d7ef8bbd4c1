"""One stream of what happens in a run: stages, trials, the result. Progress, trackers and pages listen to it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.types import Trial

STAGES = ("read", "import", "prepare", "search", "refit", "export")


class Listener:
    """Hears of a run. Override what is wanted; no method raises, waits for a network, or asks a question."""

    def stage(self, name: str) -> None:
        """One of STAGES begins, or goes on after another."""

    def start(self, config: Mapping[str, Any], name: str, metric: str = "") -> None:
        """The search begins. ``config``: the composed configuration as plain data, and under ``facts`` what is known of
        code and data (``experiments.solve.pipeline.facts_of``); ``name``: for people; ``metric``: in whose own value
        and sign scores are written.
        """

    def trial(self, trial: Trial, *, resumed: bool = False) -> None:
        """A trial finished. ``resumed``: it was read back from an earlier attempt."""

    def finish(self, result: Mapping[str, Any], report_path: Path, trials: Sequence[Trial]) -> None:
        """The run is done. ``result``: result.json; ``trials``: all of the search, those before a kill too."""

    def seen(self) -> str:
        """After ``finish``: where to look at what was written, an address or a command; empty: nowhere."""
        return ""


class Events(Listener):
    """Tells every listener. ``seconds``: of each stage. ``total``: since this was made (``began``)."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = [*listeners]
        self.seconds: dict[str, float] = {}
        self.spent: Callable[[], float] = lambda: 0.0  # seconds of the budget
        self.began = time.monotonic()

    @property
    def total(self) -> float:
        return time.monotonic() - self.began

    @contextlib.contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """The block is (a part of) this stage."""
        self.stage(stage)
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - began

    def stage(self, name: str) -> None:
        for listener in self.listeners:
            listener.stage(name)

    def start(self, config: Mapping[str, Any], name: str, metric: str = "") -> None:
        for listener in self.listeners:
            listener.start(config, name, metric)

    def trial(self, trial: Trial, *, resumed: bool = False) -> None:
        for listener in self.listeners:
            listener.trial(trial, resumed=resumed)

    def finish(self, result: Mapping[str, Any], report_path: Path, trials: Sequence[Trial]) -> None:
        for listener in self.listeners:
            listener.finish(result, report_path, trials)
