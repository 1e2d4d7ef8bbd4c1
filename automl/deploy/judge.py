"""How well variants of a bundle's model answer: see ``automl.deploy.optimise``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automl import metrics
from automl.data.dataset import Part
from automl.data.weights import effective
from automl.deploy.bundle import Bundle, session_of
from automl.deploy.cut import together
from automl.errors import UserError
from automl.types import Task
from automl.uncertainty.sets import decide

DRAWS, SCORED = 100, 4096
"""Bootstrap samples, which tell an error to a fourteenth; rows at most that variants are scored on. Both bound the
time."""


@dataclass(frozen=True)
class Rows:
    """Encoded rows that tell how good a variant is.

    ``inputs``, ``y``: rows with known answers. ``before``: what each member said of them before it learned from them,
    empty where none has, or where that is lost. ``ranges``: rows that int8 finds its ranges on. ``source``: which rows
    these are (valid, folds, given). ``honest``: whether no network has learned from them. ``held``: rows that nothing
    has seen, to calibrate on. ``alike``, ``shares``: see ``automl.uncertainty.calibrate.calibrate``. ``rows``: see
    ``automl.uncertainty.calibrate.Answers``.
    """

    inputs: Sequence[np.ndarray]
    y: np.ndarray
    ranges: Sequence[np.ndarray]
    source: str
    before: Sequence[np.ndarray] = ()
    honest: bool = True
    held: Part | None = None
    alike: bool = True
    shares: np.ndarray | None = None
    rows: np.ndarray | None = None

    def some(self, most: int = SCORED) -> Rows:
        """At most so many of them, evenly spread."""
        if len(self.y) <= most:
            return self
        picked = np.linspace(0, len(self.y) - 1, most).astype(np.int64)
        return dataclasses.replace(
            self,
            inputs=[a[picked] for a in self.inputs],
            y=self.y[picked],
            before=[p[picked] for p in self.before],
            rows=None if self.rows is None else self.rows[picked],
        )


@dataclass(frozen=True)
class Ensemble:
    """The model of a bundle, as the variants are made of it: weights of its members, heaviest first, summing to 1."""

    bundle: Bundle
    weights: tuple[float, ...]
    temperature: float

    @classmethod
    def of(cls, bundle: Bundle) -> Ensemble:
        """Raises UserError for a bundle from before its members could be told apart."""
        try:
            weights = tuple(map(float, bundle.meta["weights"]))
            return cls(bundle, weights, float(bundle.meta["temperature"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{bundle.folder} does not tell the weights of its members: made by an earlier version; "
                "export the model again"
            ) from error

    @property
    def values(self) -> bool:
        return self.bundle.task.kind == "regression"

    @property
    def size(self) -> int:
        return len(self.weights)

    def said(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What each member says now. Of one member what is answered: it has a temperature already."""
        told = self.bundle.outputs_encoded(inputs, members=True)
        return told[-self.size :] if self.size > 1 else told[:1]

    def of_members(self, said: Sequence[np.ndarray], members: int, *, now: bool = True) -> list[np.ndarray]:
        """Output, and spread if any, of the first members. ``now``: whether that is what ``said`` told."""
        heat = 1.0 if now and self.size == 1 else self.temperature
        return together(said[:members], self.weights[:members], heat, values=self.values)

    def score(self, y: np.ndarray, prediction: np.ndarray) -> float:
        """By the task's metric and the bundle's decision."""
        task: Task = self.bundle.task
        return metrics.score(task.metric, task.kind, y, prediction, self._decided)

    @property
    def _decided(self) -> np.ndarray:
        return np.asarray(self.bundle.decision or np.ones(self.bundle.task.num_outputs))

    def error(self, y: np.ndarray, prediction: np.ndarray, rows: np.ndarray | None = None) -> float:
        """Standard error of the score, over bootstrap samples of the rows. ``rows``: see ``Rows``."""
        rng = np.random.default_rng(0)
        size = len(y) if rows is None else effective(rows)
        drawn = (rng.integers(0, len(y), size) for _ in range(DRAWS))
        task: Task = self.bundle.task
        return float(np.std(metrics.redrawn(task.metric, task.kind, y, prediction, drawn, self._decided)))


@dataclass(frozen=True)
class Verdict:
    """``score``: higher is better. ``behind``: standard errors of the whole ensemble's score that it is below that.

    ``apart``, ``flips``: largest difference from the same members in fp32 (of values in their standard deviation), and
    share of the rows that are decided otherwise.
    """

    score: float
    behind: float
    apart: float
    flips: float


@dataclass(frozen=True)
class Judge:
    """``said``: what the members say now of the rows. ``full``, ``error``: the whole ensemble's score and its error."""

    ensemble: Ensemble
    rows: Rows
    said: Sequence[np.ndarray]
    full: float
    error: float

    @classmethod
    def of(cls, ensemble: Ensemble, rows: Rows) -> Judge:
        said = ensemble.said(rows.inputs)
        prediction = shifted(ensemble, rows, said, ensemble.size, ensemble.of_members(said, ensemble.size))[0]
        error = ensemble.error(rows.y, prediction, rows.rows)
        return cls(ensemble, rows, said, ensemble.score(rows.y, prediction), error)

    def verdict(self, members: int, path: Path) -> Verdict:
        """Of the graph in a file, which is of so many members. Raises ValueError for answers that are no numbers."""
        of = self.ensemble
        told = answered(of.bundle, path, self.rows.inputs)
        if not all(np.isfinite(one).all() for one in told):
            raise ValueError("its answers are no numbers")
        same, flips = of.of_members(self.said, members), 0.0
        unit = (float(np.std(same[0])) or 1.0) if of.values else 1.0
        if not of.values:
            flips = float(np.mean(decide(told[0], of.bundle.decision) != decide(same[0], of.bundle.decision)))
        score = of.score(self.rows.y, shifted(of, self.rows, self.said, members, told)[0])
        gap = self.full - score
        behind = 0.0 if gap <= 0 else gap / self.error if self.error > 0 else math.inf
        return Verdict(score, behind, float(np.abs(told[0] - same[0]).max()) / unit, flips)


def answered(bundle: Bundle, path: Path, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What the graph of a file answers for encoded rows: output, and spread if any."""
    return with_session(bundle, path, 1).outputs_encoded(inputs)


def with_session(bundle: Bundle, path: Path, threads: int) -> Bundle:
    return dataclasses.replace(bundle, session=session_of(path, threads))


def shifted(
    of: Ensemble, rows: Rows, said: Sequence[np.ndarray], members: int, told: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """What a variant would have answered before its members learned from the rows: then, and its change now.

    ``said``: by the members now. ``told``: by the variant now. Output, and spread if any.
    """
    if not len(rows.before):
        return [np.asarray(one, dtype=np.float64) for one in told]
    now = of.of_members(said, members)
    then = of.of_members(rows.before, members, now=False)
    moved = [t + (v - n) for t, v, n in zip(then, told, now, strict=True)]
    if of.values:
        return [moved[0], *(np.maximum(spread, 0.0) for spread in moved[1:])]
    p = np.clip(moved[0], 0.0, 1.0)
    return [p / p.sum(axis=1, keepdims=True)]
