"""Past runs as one score per task and candidate."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.types import Candidate, Runs
from metalearner.past.history import History
from metalearner.testing import EMPTY, runs

SLOW, FAST = (tuple(Candidate(f, {"i": i}) for i in range(3)) for f in ("slow", "fast"))


def of(*rows: tuple[Candidate, int, float], tasks: int = 1) -> History:
    """A history of (candidate, epochs, score), the same for each task."""
    candidates = (*SLOW, *FAST)
    rows = rows * tasks
    return History.of(
        Runs(
            tasks=tuple(f"t{i}" for i in range(tasks)),
            groups=tuple(f"g{i}" for i in range(tasks)),
            profiles=(None,) * tasks,
            candidates=candidates,
            task=np.repeat(np.arange(tasks), len(rows) // tasks),
            candidate=np.array([candidates.index(c) for c, _, _ in rows]),
            fidelity=np.array([f for _, f, _ in rows]),
            seed=np.zeros(len(rows), np.int64),
            score=np.array([s for _, _, s in rows]),
            seconds=np.ones(len(rows)),
        )
    )


def test_what_was_stopped_early_is_ranked_as_if_it_had_gone_on():
    """The slow family gains 0.5 from 2 to 9 epochs, the fast one 0.1: the slow one that was stopped is ahead."""
    nan = float("nan")
    seen = of(
        (SLOW[0], 2, 0.3), (SLOW[0], 9, 0.8), (SLOW[1], 2, 0.25),
        (FAST[0], 2, 0.5), (FAST[0], 9, 0.6), (FAST[1], 2, 0.4), (FAST[2], 2, nan),
        tasks=2,
    )  # fmt: skip
    assert seen.score[:5] == pytest.approx([0.8, 0.75, 0.6, 0.5, nan], nan_ok=True)
    assert seen.score[5:] == pytest.approx(seen.score[:5], nan_ok=True)
    assert seen.rank[:5].tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_for_want_of_its_own_family_others_tell_and_else_nothing():
    seen = of((SLOW[0], 2, 0.3), (SLOW[0], 9, 0.8), (FAST[0], 2, 0.5), (FAST[1], 4, 0.5))
    assert seen.score.tolist() == pytest.approx([0.8, 1.0, 0.5])


def test_a_longer_training_that_failed_undoes_no_score():
    """It counts as if it had gone on, like one that was stopped."""
    nan = float("nan")
    rows = [(SLOW[0], 2, 0.3), (SLOW[0], 9, 0.8), (SLOW[1], 2, 0.25), (SLOW[2], 2, nan), (SLOW[2], 9, nan)]
    seen = of(*rows, (SLOW[1], 9, nan))
    assert seen.score == pytest.approx([0.8, 0.75, nan], nan_ok=True)
    assert seen.rank.tolist() == of(*rows).rank.tolist() == [1.0, 0.5, 0.0]


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.integers(1, 8))
def test_one_length_is_left_as_it_is(shift, epochs):
    past = runs()
    same = History.of(dataclasses.replace(past, fidelity=np.full(len(past.task), epochs), score=past.score + shift))
    assert same.score == pytest.approx(History.of(past).score + shift)
    assert np.array_equal(same.rank, History.of(past).rank)


def test_no_runs_are_no_history():
    assert len(History.of(EMPTY).task) == 0
