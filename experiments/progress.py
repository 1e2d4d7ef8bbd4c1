"""What a person sees while the search runs.

On a terminal one live line, and a line that stays for each new best; elsewhere one plain line per trial::

    with Progress(budget) as shown:
        shown.stage("search")
        for trial in search:
            shown.trial(trial)
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as RichProgress

from automl.types import Budget, Trial
from experiments.events import Listener
from experiments.explain import printable
from experiments.report.words import as_metric, number

WORDS = {
    "read": "reading the data",
    "import": "starting up",
    "prepare": "checking and preparing them",
    "search": "searching",
    "refit": "training the chosen networks on all rows",
    "export": "exporting and checking the model",
}
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours that an error message brings along


class Progress(Listener):
    """The stages, trials done, best so far and time left, on standard error (results go to standard output).

    quiet: shows nothing. spent: gives the seconds of the budget that are spent; None counts from the start of the
    search. console, clock: for tests; the clock gives seconds.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        quiet: bool = False,
        spent: Callable[[], float] | None = None,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget, self.quiet, self.clock, self.spent = budget, quiet, clock, spent
        self.metric = ""  # whose own value and sign are shown
        self._stages: set[str] = set()
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self.done, self.failed, self.resumed = 0, 0, 0
        self.best: Trial | None = None
        self._began = clock()
        self._recent: deque[float] = deque(maxlen=20)  # when the last trials ended: the pace
        self._live: _LiveLine | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._still()

    def _still(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def start(self, config: Mapping[str, Any], name: str, metric: str = "") -> None:
        self.metric = metric

    def stage(self, name: str) -> None:
        """One line for each stage as it begins; the search has its live line."""
        self._still()
        if self.quiet or name in self._stages:
            return
        self._stages.add(name)
        if name != "search":
            self._print(f"{WORDS[name]} ...")
            return
        self._began = self.clock()
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = _LiveLine(self)
            self._live.start()

    def trial(self, trial: Trial, *, resumed: bool = False) -> None:
        """Count a finished trial. ``resumed``: it was read back from an earlier attempt, and gets no line."""
        self.done += 1
        self.failed += trial.status != "ok"
        self.resumed += resumed
        better = trial.score is not None and (
            self.best is None or self.best.score is None or trial.score > self.best.score
        )
        if better:
            self.best = trial
        if not resumed:
            self._recent.append(self.clock())
        if self.quiet or resumed:
            return
        if self._live is None:
            self._print(self.line(trial))
        elif better:
            self._print(f"{clock_text(self.elapsed):>7}   {self.score(trial)}   {trial.candidate.family}")

    @property
    def elapsed(self) -> float:
        """Seconds of the budget that are spent."""
        return self.spent() if self.spent is not None else self.clock() - self._began

    def seconds_left(self) -> float | None:
        """Until the budget ends, whichever side ends first; None while nobody can tell."""
        sides = []
        if self.budget.seconds is not None:
            sides.append(self.budget.seconds - self.elapsed)
        fresh = self.done - self.resumed
        if self.budget.trials is not None and fresh:
            first = self._began if fresh <= len(self._recent) else self._recent[0]
            steps = len(self._recent) if fresh <= len(self._recent) else len(self._recent) - 1
            pace = (self._recent[-1] - first) / steps
            # The trial at work has been running for a while already.
            sides.append((self.budget.trials - self.done) * pace - (self.clock() - self._recent[-1]))
        return max(0.0, min(sides)) if sides else None

    def line(self, trial: Trial) -> str:
        """One trial in one line of plain text."""
        total = "" if self.budget.trials is None else f"/{self.budget.trials}"
        count = f"{self.done}{total}".rjust(2 * len(total) - 1 if total else 4)
        what = self.score(trial) if trial.score is not None else trial.status
        parts = [f"[{count}] {what:<8} {trial.candidate.family:<10} {trial.seconds:6.1f} s", self.state()]
        if trial.error:
            parts.append(one_line(trial.error))
        return "   ".join(parts)

    def score(self, trial: Trial) -> str:
        """A trial's score as the metric's own value: an error is positive."""
        return score_text(as_metric(self.metric, trial.score) or 0.0)

    def state(self) -> str:
        """Best so far and time left."""
        parts = []
        if self.best is not None and self.best.score is not None:
            parts.append(f"best {self.score(self.best)} ({self.best.candidate.family})")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if (left := self.seconds_left()) is not None:
            parts.append(f"{clock_text(left)} left")
        return "   ".join(parts)

    def share(self) -> float | None:
        """How much of the budget is spent, 0 to 1; None without a bound."""
        sides = []
        if self.budget.trials:
            sides.append(self.done / self.budget.trials)
        if self.budget.seconds:
            sides.append(self.elapsed / self.budget.seconds)
        return min(1.0, max(sides)) if sides else None

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


class _LiveLine(RichProgress):
    """Spinner, trials, bar, best, time left; drawn four times a second in rich's own thread."""

    def __init__(self, shown: Progress) -> None:
        self.shown = shown  # first: the parent's __init__ draws already
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[state]}", markup=False),
            console=shown.console,
            refresh_per_second=4,
        )
        self.add_task("", total=1.0, count="", state="")

    def get_renderables(self):
        shown, share = self.shown, self.shown.share()
        total = "" if shown.budget.trials is None else f"/{shown.budget.trials}"
        for task in self.tasks:
            task.total, task.completed = (None, 0) if share is None else (1.0, share)
            task.fields |= {"count": f"{shown.done}{total} trials", "state": shown.state()}
        yield self.make_tasks_table(self.tasks)


def clock_text(seconds: float) -> str:
    """``0:07``, ``12:30``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def score_text(score: float) -> str:
    """Four decimals, or a few digits when the metric is large or small."""
    if abs(score) < 1:
        return number(score)
    return f"{score:.4f}" if abs(score) < 1000 else f"{score:.6g}"


def one_line(text: str, width: int = 100) -> str:
    """The last line that says something (Python puts the error there), printable characters only, cut to
    a width.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    plain = printable(_ESCAPES.sub("", lines[-1])).strip()
    return plain if len(plain) <= width else plain[: width - 1] + "…"
