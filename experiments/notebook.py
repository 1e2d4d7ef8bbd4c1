"""What a person sees in a notebook while the search runs: one table that changes, instead of a line per trial."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console

from automl.types import Budget, Trial
from experiments.progress import WORDS, Progress, one_line

BEST = 5  # trials that are shown


def progress(budget: Budget, *, quiet: bool) -> Progress:
    """What fits the place: a table in a notebook, else lines."""
    return Progress(budget, quiet=quiet) if quiet or not in_notebook() else Notebook(budget)


def in_notebook() -> bool:
    """Whether a kernel runs this, which shows HTML; not so where IPython is no more than a shell."""
    shell = sys.modules.get("IPython")
    return shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None


class Notebook(Progress):
    """The stage, the best trials, and the time left, in one display. ``clock``: see ``Progress``."""

    def __init__(self, budget: Budget, **more: Any) -> None:
        super().__init__(budget, console=Console(file=io.StringIO()), **more)
        self._trials: list[Trial] = []
        self._stage = ""
        self._update: Callable[[Any], None] | None = None

    def stage(self, name: str) -> None:
        super().stage(name)
        self._stage = WORDS[name]
        self._show()

    def trial(self, trial: Trial, *, resumed: bool = False) -> None:
        super().trial(trial, resumed=resumed)
        self._trials.append(trial)
        self._show()

    def html(self) -> str:
        from experiments.report.page import join, table, tag

        total = "" if self.budget.trials is None else f" of {self.budget.trials}"
        parts: list[object] = [tag("p", tag("b", self._stage), f", {self.done}{total} trials   {self.state()}")]
        scored = sorted((t for t in self._trials if t.score is not None), key=lambda t: -(t.score or 0.0))[:BEST]
        rows = [(t.number, t.candidate.family, self.score(t), f"{t.seconds:.1f}") for t in scored]
        if rows:
            parts.append(table(["trial", "family", self.metric or "score", "seconds"], rows, numbers=[0, 2, 3]))
        if failed := [t for t in self._trials if t.error]:
            parts.append(tag("p", f"the last that failed: {one_line(failed[-1].error)}"))
        return join(parts)

    def _print(self, text: str) -> None:
        """Nothing: the display tells it."""

    def _show(self) -> None:
        from IPython.display import HTML, display  # pyright: ignore[reportMissingImports]

        if self._update is None:
            self._update = display(HTML(self.html()), display_id=True).update
        else:
            self._update(HTML(self.html()))
