"""What every meta-learner that learns has in common: fitting from columns, saving and loading.

A fitted meta-learner is its settings and the history it was fitted on; fitting is deterministic. So a file
holds those two (plain arrays and JSON, no pickle) and loading fits again.
"""

from __future__ import annotations

import dataclasses
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from automl.errors import UserError
from automl.files import write_atomically
from automl.serial import from_plain, to_plain
from automl.types import Axes, Candidate, Prior, Profile, Runs, Trial
from metalearner.past.history import History

COLUMNS = ("task", "candidate", "score", "rank", "seconds")


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

    def save(self, path: str | Path) -> None:
        """Write settings and history to one ``.npz`` file, all or nothing."""
        of = self.history
        text = {
            "learner": type(self).__name__,
            "settings": {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init},
            "tasks": of.tasks,
            "groups": of.groups,
            "profiles": [None if p is None else to_plain(p) for p in of.profiles],
            "candidates": [[c.family, dict(c.choices)] for c in of.candidates],
        }
        content = io.BytesIO()
        columns = {name: getattr(of, name) for name in COLUMNS}
        np.savez_compressed(content, text=np.array(json.dumps(text, default=dataclasses.asdict)), **columns)
        write_atomically(path, content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that ``save`` of the same class wrote. Raises UserError for anything else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                text = json.loads(str(file["text"]))
                columns = {name: file[name] for name in COLUMNS}
            if text["learner"] != cls.__name__:
                raise UserError(f"{path} holds a {text['learner']}, not a {cls.__name__}. Load it with that class")
            history = History(
                tasks=tuple(text["tasks"]),
                groups=tuple(text["groups"]),
                profiles=tuple(None if p is None else from_plain(Profile, p) for p in text["profiles"]),
                candidates=tuple(Candidate(family, choices) for family, choices in text["candidates"]),
                **columns,
            )
            _check(history)
            return cls(**text["settings"]).fit_history(history)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as problem:
            raise UserError(f"{path} is no saved meta-learner ({problem}). Fit and save it again") from problem


def _check(history: History) -> None:
    rows = len(history.task)
    if any(getattr(history, name).shape != (rows,) for name in COLUMNS):
        raise ValueError("columns of different lengths")
    for index, of in ((history.task, history.tasks), (history.candidate, history.candidates)):
        if rows and not (index.dtype.kind == "i" and index.min() >= 0 and index.max() < len(of)):
            raise ValueError("an index out of range")
    if not len(history.tasks) == len(history.groups) == len(history.profiles):
        raise ValueError("tasks, groups and profiles of different lengths")


def as_option(value: Any) -> float:
    """The number that an option stands for, NaN when it is a word. ``True`` and ``False`` are words."""
    if isinstance(value, bool):
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
