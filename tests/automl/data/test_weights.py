"""Rows that weigh more stand more often, and never on both sides of a split."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from automl.data.prepare import prepare
from automl.data.sources.frame import FrameSource
from automl.data.weights import LEAST, copies_of, effective, repeated
from automl.errors import UserError

RNG = np.random.default_rng(0)


def test_whole_numbers_are_taken_as_they_are():
    weight = RNG.integers(1, 6, 100)
    assert (copies_of(weight) == weight).all()


@pytest.mark.parametrize("rows", [40, 900, 5_000])
def test_others_stand_in_proportion(rows):
    weight = RNG.exponential(size=rows) + 0.01
    share = weight / weight.sum()
    drawn = np.stack([copies_of(weight, seed) for seed in range(200)])
    total = drawn[0].sum()
    assert abs(total - min(max(rows, LEAST), 10 * rows)) <= 1
    assert (np.abs(drawn - share * total) < 1 + 1e-9).all()
    assert drawn.mean(0) == pytest.approx(share * total, abs=0.2)


def test_no_class_vanishes():
    copies, weight = np.array([3, 0, 0, 1]), np.array([3.0, 0.1, 0.2, 1.0])
    assert repeated(np.arange(4), copies, weight, np.array([0, 1, 1, 0])).tolist() == [0, 0, 0, 2, 3]


def test_copies_tell_nothing_new():
    assert effective(np.repeat(np.arange(60), 10)) == effective(np.arange(60)) == 60
    assert effective(np.repeat([0, 1], [9, 1])) == 1, "one row of nine tenths of the weight says nearly all"
    assert effective(np.zeros(0, np.int64)) == 0


def frame(rows: int = 90) -> pd.DataFrame:
    x = RNG.normal(size=(rows, 2))
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(x[:, 0] > 0, "up", "down")})


@pytest.mark.parametrize("folds", [0, 3])
def test_a_row_stands_as_often_as_it_weighs_on_one_side_of_each_split(folds):
    table, weight = frame(), RNG.integers(1, 4, 90)
    found = prepare(FrameSource(table, target="y", weight=weight).load(), folds=folds, check=False)
    test = found.parts.test.rows
    assert len(np.unique(test)) == len(test), "test rows count alike"
    rows = np.concatenate([found.parts.train.rows, found.parts.valid.rows])
    assert (np.bincount(rows, minlength=90) == np.where(np.isin(np.arange(90), test), 0, weight)).all()
    assert not set(found.parts.train.rows) & set(found.parts.valid.rows)
    assert found.judging.startswith("3-fold" if folds else f"{len(set(found.parts.valid.rows))} rows")
    assert any(why.startswith("weights: a row stands 1 to 3 times") for why in found.task.why)
    if folds:
        assert found.folds is not None and found.folds.rows.distinct == len(set(rows))
        for train, valid in (found.folds.parts(i) for i in range(3)):
            assert not set(train.rows) & set(valid.rows)


def test_equal_weights_are_none():
    assert FrameSource(frame(60), target="y", weight=np.full(60, 2.5)).load().weight is None


def test_a_row_that_repeats_another_adds_its_weight_to_it():
    """Both would else stand on two sides of a split, where the second is known by heart."""
    table, weight = pd.concat([frame(60)] * 2, ignore_index=True), np.arange(1.0, 121)
    found = prepare(FrameSource(table, target="y", weight=weight).load())
    assert found.dataset.weight is not None and (found.dataset.weight == weight[:60] + weight[60:]).all()
    whole = prepare(FrameSource(table, target="y", weight=weight).load(), repairs={"duplicate_rows": False})
    assert (whole.dataset.weight == weight).all()  # type: ignore[union-attr]
    split = np.where(np.arange(120) < 90, "train", np.where(np.arange(120) < 100, "valid", "test"))
    given = prepare(FrameSource(table, target="y", weight=weight, split=split).load()).dataset
    assert given.weight is not None and len(given) == 90, "of the training rows 30 repeat an earlier one"
    assert given.weight.tolist() == [*(weight[:30] + weight[60:90]), *weight[30:60], *weight[90:]]


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        ([1.0] * 89, r"weight has shape \(89,\) for 90 rows"),
        ([1.0] * 89 + [-1.0], "weight holds -1 in row 90; give numbers above 0"),
        ([0.0] + [1.0] * 89, "weight holds 0 in row 1; .* leave the row out"),
        ([1.0] * 89 + [float("nan")], "weight holds nan in row 90"),
        (["x"] * 90, "weight holds what is no number"),
    ],
)
def test_bad_weights_are_one_line(weight, says):
    with pytest.raises(UserError, match=says):
        FrameSource(frame(), target="y", weight=weight).load()
