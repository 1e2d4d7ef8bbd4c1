"""Training the chosen networks once more, on training and validation rows together, by the workers of the search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from automl.training.refit import shorter
from automl.types import Trial
from nas.engines.base import Engine
from nas.family import begins
from nas.job import Job, Order, Outcome

Members = list[tuple[Trial, float]]
"""Trials with their weights in an ensemble, heaviest first."""


def whole(trial: Trial, trials: Sequence[Trial]) -> Trial:
    """With the seconds of all trainings that led to it: it went on from the shorter ones of its candidate."""
    led = [
        t for t in trials if t.candidate.id == trial.candidate.id and t.status == "ok" and t.fidelity < trial.fidelity
    ]
    return replace(trial, seconds=trial.seconds + sum(t.seconds for t in led))


def price(trial: Trial, job: Job) -> float:
    """Seconds that a ``whole`` trial's last training takes: its share of the first, and longer by its rows.

    What is fitted before the first step may take as long again.
    """
    epochs = max(len(trial.curve), 1)
    share = 1.0 if begins(job, trial.candidate.family) else shorter(epochs) / epochs
    return trial.seconds * share * (1 + len(job.valid) / len(job.train))


def in_time(members: Members, job: Job, workers: int, seconds: float | None) -> Members:
    """Those whose last trainings end within so many seconds, most weight per second first, and what all need.

    None: all of them.
    """
    ends, found = [0.0] * workers, []
    for trial, weight in sorted(members, key=lambda pair: -pair[1] / max(pair[0].seconds, 1e-9)):
        first = ends.index(min(ends))
        end = ends[first] + price(trial, job)
        if seconds is None or (seconds > 0 and end <= seconds):
            ends[first] = end
            found.append((trial, weight))
    return found


def trained_again(
    engine: Engine, members: Members, weights: Callable[[Trial], bytes], seconds: float | None
) -> dict[int, Outcome]:
    """Outcomes of last trainings, by the numbers of their trials: of those that end in time and come out no worse.

    ``members``: ``whole`` ones. ``weights``: of a trial. ``seconds``: for all; None: as long as it takes. Worse: on the
    validation rows, which it has learned from now, than the network that had not.
    """
    chosen = in_time(members, engine.job, engine.hands, seconds)
    orders = [Order(t.candidate, epochs=len(t.curve), seed=t.seed, weights=weights(t)) for t, _ in chosen]
    found = engine.run(orders, seconds) if orders else []
    return {
        t.number: outcome
        for (t, _), outcome in zip(chosen, found, strict=True)
        if outcome is not None and outcome.score is not None and (t.score is None or outcome.score >= t.score)
    }
