"""One search, and what would have been deployed at each moment of it.

    trace = traced(...)          # a search: every network that may join an ensemble is kept
    course = trace.course(at)    # the test score of the ensemble of what had ended by then

The test rows are answered when the search is over, and serve the comparison only.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from nni.nas.strategy.base import Strategy
from safetensors.torch import load_file

from automl import metrics
from automl.data.dataset import Parts
from automl.files import write_atomically
from automl.training.ensemble import blend, select
from automl.training.predictor import Predictor, predict, target_scale
from automl.types import Axes, Budget, Family, Prior, Task, Trial
from experiments.judged import judged_score
from experiments.solve.artifacts import KEPT
from experiments.solve.networks import once_each
from metalearner.follow import Follow
from nas.engines.base import Engine
from nas.family import build
from nas.job import Job, Outcome
from nas.search import search


@dataclass(frozen=True)
class Moment:
    """What would be deployed ``at`` so many seconds. ``test``: its score, that of a constant answer where no network
    was there yet. ``valid``: None then. ``families``: of its members, heaviest first.
    """

    at: float
    test: float
    valid: float | None
    families: tuple[str, ...]


@dataclass(frozen=True)
class Event:
    """A training that ended ``at`` seconds after the data were ready; ``score`` None unless it went well."""

    at: float
    family: str
    candidate: str
    fidelity: int
    score: float | None
    number: int


@dataclass(frozen=True)
class Record:
    """One arm on one task. ``first``: seconds until the first proposal could be made; ``waited``: that the search
    waited for the meta-learner after that. ``constant``: test score of a constant answer. ``judging``: test rows.
    """

    task: str
    group: str
    modality: str
    metric: str
    judging: int
    arm: str
    seed: int
    first: float
    waited: float
    constant: float
    moments: tuple[Moment, ...]
    events: tuple[Event, ...]

    @property
    def best(self) -> float:
        """The best validation score of a single network; -inf without any."""
        return max((e.score for e in self.events if e.score is not None), default=-np.inf)


@dataclass
class Trace:
    """``ended``: per trial number, the seconds; ``valid``: the predictions for the validation rows of those kept."""

    task: Task
    parts: Parts
    folder: Path
    trials: list[Trial] = field(default_factory=list)
    ended: dict[int, float] = field(default_factory=dict)
    valid: dict[int, np.ndarray] = field(default_factory=dict)
    test: dict[int, np.ndarray] = field(default_factory=dict)

    def keep(self, trial: Trial, outcome: Outcome | None, at: float) -> None:
        """Called as each trial ends; the networks that are among the best then are written down."""
        self.trials.append(trial)
        self.ended[trial.number] = at
        if outcome is None or outcome.weights is None or outcome.predictions is None:
            return
        self.valid[trial.number] = outcome.predictions
        if trial in self.best(at):
            write_atomically(self.folder / f"{trial.number}.safetensors", outcome.weights)
        else:
            del self.valid[trial.number]

    def best(self, at: float) -> list[Trial]:
        """Those that an ensemble would be chosen from then, best first."""
        there = [t for t in self.trials if t.number in self.valid and self.ended[t.number] <= at]
        return once_each(sorted(there, key=lambda t: (-(t.score or 0.0), t.parameters or 0, t.number)))[:KEPT]

    def answer(self, families: Mapping[str, Family], axes: Axes, moments: Sequence[float]) -> None:
        """The test rows, by each network that is among the best at one of the moments."""
        scale = target_scale(self.task, self.parts.train)
        for trial in {t.number: t for at in moments for t in self.best(at)}.values():
            family = trial.candidate.family
            network = build(families[family], self.task, trial.candidate, axes[family], seed=trial.seed)
            network.load_state_dict(load_file(self.folder / f"{trial.number}.safetensors"))
            predictor = Predictor(network, self.task, *scale).eval()
            self.test[trial.number] = predict(predictor, self.parts.test.inputs)

    def moment(self, at: float, members: int) -> Moment:
        """``members``: of an ensemble at most."""
        pool, y = self.best(at), self.parts.valid.y
        if not pool:
            return Moment(at, self.constant, None, ())
        predictions = [self.valid[t.number] for t in pool]
        names = [t.candidate.family for t in pool]
        weights = select(predictions, y, self.task, families=names, size=members)
        valid = blend(predictions, weights)
        test = blend([self.test[t.number] for t in pool], weights)
        heaviest = sorted((-w, n) for w, n in zip(weights, names, strict=True) if w > 0)
        score = metrics.score(self.task.metric, self.task.kind, y, valid)
        return Moment(at, self._judged(test, valid), score, tuple(n for _, n in heaviest))

    @property
    def constant(self) -> float:
        """The test score of an answer that looks at nothing: the shares of the classes, or the mean."""
        y, rows = self.parts.train.y, len(self.parts.test.y)
        if self.task.kind == "regression":
            return metrics.score(self.task.metric, self.task.kind, self.parts.test.y, np.full(rows, y.mean()))
        shares = np.bincount(y, minlength=self.task.num_outputs) / len(y)
        answers = np.tile(shares, (rows, 1))
        return metrics.score(self.task.metric, self.task.kind, self.parts.test.y, answers, 1.0)

    def _judged(self, test: np.ndarray, valid: np.ndarray) -> float:
        parts = self.parts
        learned = np.concatenate([parts.train.y, parts.valid.y])
        return judged_score(self.task, parts.test.y, test, parts.valid.y, valid, learned)


def moments(points: Sequence[float], between: int = 12) -> list[float]:
    """The points, and others evenly over log time between the first and the last, rising."""
    even = np.geomspace(points[0], points[-1], between + 1).tolist()
    step = np.log(points[-1] / points[0]) / between
    return sorted({*map(float, points), *(t for t in even if all(abs(np.log(t / p)) > step / 3 for p in points))})


def traced(
    task: Task,
    parts: Parts,
    families: Mapping[str, Family],
    axes: Axes,
    follow: Follow,
    start: Prior,
    began: float,
    strategy: Strategy,
    engine: Engine,
    budget: Budget,
    *,
    seed: int,
    portfolio: int,
    members: int,
    points: Sequence[float],
) -> tuple[tuple[Moment, ...], tuple[Event, ...], float]:
    """Search from ``start``, which took since ``began`` (of ``time.monotonic``); moments, events, and the test score of
    a constant answer.
    """
    with tempfile.TemporaryDirectory(prefix="transfer-") as folder:
        trace = Trace(task, parts, Path(folder))
        assert budget.seconds is not None
        left = Budget(budget.trials, max(budget.seconds - (time.monotonic() - began), 0.1), budget.epochs)
        job = Job(task, parts.train, parts.valid, families, axes)
        search(
            *(job, start, strategy, engine, left),
            seed=seed,
            portfolio=portfolio,
            finished=lambda trial, outcome: trace.keep(trial, outcome, time.monotonic() - began),
            learn=follow,
        )
        times = moments(points)
        trace.answer(families, axes, times)
        # One that began in time may end a little late: nothing is cut at it, it counts for no moment.
        events = [
            Event(trace.ended[t.number], t.candidate.family, t.candidate.id, t.fidelity, t.score, t.number)
            for t in trace.trials
        ]
        return tuple(trace.moment(at, members) for at in times), tuple(events), trace.constant
