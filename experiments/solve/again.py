"""Training the chosen networks once more, on training and validation rows together, by the workers of the search."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from automl.errors import UserError
from automl.training.refit import shorter
from automl.types import Option, Trial
from nas.engines.base import Engine
from nas.family import begins
from nas.job import Job, Order, Outcome
from nas.recipe import training_axes
from nas.time import Clock

SELDOM = 10
"""During the search an ensemble is chosen in a tenth of the time at most: of very many rows that takes seconds."""

Members = list[tuple[Trial, float]]
"""Trials with their weights in an ensemble, heaviest first."""


def whole(trial: Trial, trials: Sequence[Trial]) -> Trial:
    """With the seconds of all trainings that led to it: it went on from the shorter ones of its candidate."""
    led = [
        t for t in trials if t.candidate.id == trial.candidate.id and t.status == "ok" and t.fidelity < trial.fidelity
    ]
    return replace(trial, seconds=trial.seconds + sum(t.seconds for t in led))


def anew(trial: Trial, trials: Sequence[Trial], job: Job) -> Trial:
    """``whole``, and of a network that begins with no fewer seconds than any of its kind took: what it began with may
    have been known by then (``automl.models.closed_form.fits``), and is fitted to other rows now.
    """
    one = whole(trial, trials)
    if not begins(job, trial.candidate.family):
        return one
    training = {axis.name for axis in training_axes(job.task)}

    def kind(of: Trial) -> tuple[str, list[tuple[str, Option]]]:
        choices = of.candidate.choices.items()
        return of.candidate.family, sorted((name, value) for name, value in choices if name not in training)

    alike = [t.seconds for t in trials if t.status == "ok" and kind(t) == kind(trial)]
    return replace(one, seconds=max([one.seconds, *alike]))


def price(trial: Trial, job: Job) -> float:
    """Seconds that a ``whole`` trial's last training takes: its share of the first, and longer by its rows.

    What is fitted before the first step may take as long again.
    """
    epochs = max(len(trial.curve), 1)
    share = 1.0 if begins(job, trial.candidate.family) else shorter(epochs) / epochs
    return trial.seconds * share * (1 + len(job.valid) / len(job.train))


def in_time(members: Members, job: Job, workers: int, seconds: float | None) -> tuple[Members, float]:
    """Those whose last trainings end within so many seconds, most weight per second first, and when the last one does.

    None: all of them.
    """
    ends, found = [0.0] * workers, []
    for trial, weight in sorted(members, key=lambda pair: -pair[1] / max(pair[0].seconds, 1e-9)):
        first = ends.index(min(ends))
        end = ends[first] + price(trial, job)
        if seconds is None or (seconds > 0 and end <= seconds):
            ends[first] = end
            found.append((trial, weight))
    return found, max(ends)


def trained_again(
    engine: Engine, members: Members, weights: Callable[[Trial], bytes], seconds: float | None
) -> dict[int, Outcome]:
    """Outcomes of last trainings, by the numbers of their trials: of those that end in time and come out no worse.

    ``members``: ``whole`` ones. ``weights``: of a trial. ``seconds``: for all; None: as long as it takes. Worse: on the
    validation rows, which it has learned from now, than the network that had not.
    """
    chosen, _ = in_time(members, engine.job, engine.hands, seconds)
    orders = [Order(t.candidate, epochs=len(t.curve), seed=t.seed, weights=weights(t)) for t, _ in chosen]
    found = engine.run(orders, seconds) if orders else []
    return {
        t.number: outcome
        for (t, _), outcome in zip(chosen, found, strict=True)
        if outcome is not None and outcome.score is not None and (t.score is None or outcome.score >= t.score)
    }


@dataclass
class LastTrainings:
    """Tells the clock what the last trainings will take: roughly, by the best candidates; where that would end the
    search soon, by the ensemble that would be chosen now, which may be of few and cheap ones.

    ``size``: of the ensemble, 0 where nothing is trained once more. ``choose``: its members.
    """

    clock: Clock
    job: Job
    hands: int
    size: int
    choose: Callable[[Sequence[Trial]], Members]
    _chosen_of: int = 0
    _again_from: float = 0.0

    def heard(self, trials: Sequence[Trial]) -> None:
        """One more trial has ended."""
        if not self._chosen_of and self.size:
            self._price([(t, 1.0) for t in leaders(trials, self.size)], trials)

    def room(self, trials: Sequence[Trial]) -> float | None:
        """Seconds that are left for the search; None: without a bound."""
        left = self.clock.for_search
        began = time.monotonic()
        if left is None or not self.size or left >= self.clock.refit or self._chosen_of == len(trials):
            return left
        if began >= self._again_from:
            with contextlib.suppress(UserError):  # there is none to choose from yet
                self._price(self.choose(trials), trials)
                self._chosen_of = len(trials)
            self._again_from = time.monotonic() + SELDOM * (time.monotonic() - began)
        return self.clock.for_search

    def _price(self, members: Members, trials: Sequence[Trial]) -> None:
        once_more = [(anew(t, trials, self.job), weight) for t, weight in members]
        _, self.clock.refit = in_time(once_more, self.job, self.hands, self.clock.for_refit)


def leaders(trials: Sequence[Trial], most: int) -> list[Trial]:
    """The best of so many candidates: about what an ensemble would be of."""
    best: dict[str, Trial] = {}
    for trial in sorted((t for t in trials if t.score is not None), key=lambda t: -(t.score or 0.0)):
        best.setdefault(trial.candidate.id, trial)
    return list(best.values())[:most]
