"""A search on many workers starts as its meta-learner wants it, though nothing has ended yet."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from automl.types import Axis, Budget, Candidate, Profile, Runs, Trial
from metalearner.follow import Follow
from metalearner.transfer.transfer import VARIED, Transfer
from nas.family import search_axes
from nas.job import Order, Outcome
from nas.search import search
from nas.strategies.prior_band import PriorBand
from nas.strategies.transfer_search import TransferSearch
from nas.testing.strategies import SHARED, TASK, LookUp, Plain, Toy, job, known_score

NAMES = "abcdef"


class Named(Plain):
    def __init__(self, name: str) -> None:
        Toy.__init__(self, name)


def past(axes: dict[str, tuple[Axis, ...]]) -> Runs:
    """Every family alike, but that all tasks favour one after the other from a to f, ``a`` by far."""
    candidates = [
        Candidate(f, {"bias": bias, "learning_rate": rate})
        for f in NAMES
        for bias in (True, False)
        for rate in (0.001, 0.01, 0.1)
    ]
    rng = np.random.default_rng(0)
    worth = np.array([-NAMES.index(c.family) - 3.0 * (c.family != "a") for c in candidates])
    task, candidate = np.divmod(np.arange(5 * len(candidates)), len(candidates))
    return Runs(
        tasks=tuple("vwxyz"),
        groups=tuple("vwxyz"),
        profiles=(None,) * 5,
        candidates=tuple(candidates),
        task=task,
        candidate=candidate,
        fidelity=np.full(len(task), 9),
        seed=np.zeros(len(task), np.int64),
        score=worth[candidate] + 0.1 * rng.normal(size=len(task)),
        seconds=np.ones(len(task)),
    )


@pytest.mark.parametrize("strategy", [PriorBand, TransferSearch])
@pytest.mark.parametrize("workers", [1, 2, 3, 4, 16, 64])
def test_the_first_four_are_of_four_families_with_any_number_of_workers(strategy, workers):
    families = {name: Named(name) for name in NAMES}
    axes = search_axes(families, TASK, SHARED)
    todo = replace(job(), families=families, axes=axes)
    seed = workers % 3
    learner = Transfer(fresh=0).fit(past(dict(axes)))
    prior = learner.predict(Profile((), ()), axes)
    follow = Follow(learner, Profile((), ()), axes, epochs=9)
    engine = LookUp(workers, seed=seed)
    trials = search(todo, prior, strategy(seed=seed), engine, Budget(trials=12, epochs=9), seed=seed, learn=follow)
    new = list(dict.fromkeys(t.candidate for t in trials))
    assert len({c.family for c in new[:VARIED]}) == VARIED
    assert len(new) == len({c.id for c in new})


@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_that_is_followed_from_a_thread_is_replayed_trial_by_trial(workers):
    """Which prior a proposal follows depends on the trainings alone, however long a thought takes."""
    families = {name: Named(name) for name in NAMES}
    axes = search_axes(families, TASK, SHARED)
    todo = replace(job(), families=families, axes=axes)
    known = past(dict(axes))

    class Begins(Transfer):
        def begin(self, task, profile, axes):
            return replace(Transfer(fresh=0).fit(known).predict(profile, axes), why=("begun",))

    def outcome(order: Order) -> Outcome:
        return Outcome("ok", known_score(order.candidate), seconds=1.5)

    def searched(record: list[Trial], delay: float) -> tuple[list[Trial], list[Trial]]:
        ended: list[Trial] = []

        def slowly() -> Runs:
            time.sleep(delay)
            return known

        with Follow(Begins(fresh=0, per_second=True), Profile((), ()), axes, 9, workers, beside=True) as follow:
            start = follow.start(TASK, slowly)
            assert start.why == ("begun",)
            trials = search(
                *(todo, start, PriorBand(seed=0), LookUp(workers, outcome), Budget(trials=14, epochs=9)),
                seed=0,
                portfolio=10,
                record=record,
                finished=lambda trial, outcome: ended.append(trial),
                learn=follow,
            )
            assert follow.learned is not None
        return trials, ended

    whole, ended = searched([], 0.0)
    again, _ = searched(ended[:6] if workers == 1 else [], 0.2)  # many end in another order once they were stopped
    assert [(t.candidate.id, t.fidelity) for t in again] == [(t.candidate.id, t.fidelity) for t in whole]
