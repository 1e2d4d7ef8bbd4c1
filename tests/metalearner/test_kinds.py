"""Runs on classes as runs on values, and back."""

from __future__ import annotations

import numpy as np
import pytest

from automl.types import Candidate, Runs
from metalearner.past.kinds import ENOUGH, carried, carry

RATE = {"learning_rate": 0.001}
CLASSES = Candidate("mlp", {**RATE, "loss": "cross_entropy", "label_smoothing": 0.0})
SMOOTH = Candidate("mlp", {**RATE, "loss": "cross_entropy", "label_smoothing": 0.1})
FOCAL = Candidate("mlp", {**RATE, "loss": "focal", "label_smoothing": 0.0})
VALUES = Candidate("mlp", {**RATE, "loss": "mse"})
HUBER = Candidate("mlp", {**RATE, "loss": "huber"})
BARE = Candidate("mlp", RATE)


def runs(*candidates: Candidate, tasks: list[int]) -> Runs:
    """Candidate i on task ``tasks[i]``, score i."""
    count, names = len(candidates), tuple(f"t{i}" for i in range(max(tasks) + 1))
    ones = np.ones(count, np.int64)
    return Runs(
        tasks=names, groups=names, profiles=(None,) * len(names), candidates=candidates, task=np.array(tasks),
        candidate=np.arange(count), fidelity=ones, seed=ones, score=np.arange(float(count)), seconds=ones * 1.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("candidate", "as_values", "as_classes"),
    [(CLASSES, VALUES, CLASSES), (SMOOTH, VALUES, SMOOTH), (FOCAL, None, FOCAL), (VALUES, VALUES, CLASSES),
     (HUBER, HUBER, None), (BARE, BARE, BARE)],
)  # fmt: skip
def test_the_plain_loss_is_that_of_the_other_kind(candidate, as_values, as_classes):
    assert carry(candidate, True) == as_values and carry(candidate, False) == as_classes


def test_what_cannot_be_told_is_left_out_and_what_becomes_one_candidate_is_one():
    found = carried(runs(CLASSES, SMOOTH, FOCAL, HUBER, tasks=[0, 0, 1, 2]), "regression")
    assert found.candidates == (VALUES, HUBER)
    assert found.candidate.tolist() == [0, 0, 1] and found.task.tolist() == [0, 0, 2]
    assert found.score.tolist() == [0.0, 1.0, 3.0] and found.tasks == ("t0", "t1", "t2")


def test_with_enough_tasks_of_the_kind_nothing_is_told_anew():
    past = runs(*[VALUES] * ENOUGH, CLASSES, tasks=[*range(ENOUGH), ENOUGH])
    assert carried(past, "regression") is past
    few = carried(past, "binary")
    assert set(few.candidates) == {CLASSES} and len(few.task) == ENOUGH + 1


def test_nothing_and_runs_of_one_kind_stay():
    assert carried(Runs.none(), "binary").candidates == ()
    past = runs(CLASSES, BARE, tasks=[0, 1])
    assert carried(past, "multiclass") is past
