"""What every meta-learner that learns has in common: fitting from columns. It is deterministic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from automl.types import Axes, Candidate, Prior, Profile, Runs, Trial
from metalearner.past.history import History


@dataclass
class Learner(ABC):
    """A meta-learner with settings (the dataclass fields of the subclass) and the history it was fitted on."""

    history: History = field(default_factory=History.empty, init=False, repr=False)

    def fit(self, runs: Runs) -> Self:
        """Learn from past runs; forgets what ``update`` told."""
        return self.fit_history(History.of(runs))

    def fit_history(self, history: History) -> Self:
        """Learn from past runs, one row per task and candidate."""
        self.history = history
        return self

    @abstractmethod
    def predict(self, profile: Profile, axes: Axes) -> Prior:
        """The prior for a task, given what ``update`` has told about it so far."""

    def update(self, trials: Sequence[Trial], running: Sequence[Candidate] = ()) -> None:
        """Take in finished trials of the task at hand, and what is ``running`` now; a plain list does not adapt."""
        return


def as_option(value: Any) -> float:
    """The number that an option stands for, NaN when it is a word. ``True`` and ``False`` are words."""
    if isinstance(value, bool):
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
