"""Folds: who predicts whom, in which order, and how many the data call for."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.dataset import Dataset, Part
from automl.data.folds import Folds
from automl.data.prepare import Prepared, prepare
from automl.data.quality.view import Proposal, View, finding
from automl.data.split import MAX_FOLD_ROWS, folds, split
from automl.errors import UserError
from automl.types import Kind


def made(rows: int, k: int, seed: int = 0, time: np.ndarray | None = None) -> Folds:
    """Folds of rows whose input is the row's number."""
    numbers = np.arange(rows)
    dataset = Dataset("d", pd.DataFrame({"a": numbers}), pd.Series(numbers % 2), time=time)
    pairs = tuple(folds(dataset, numbers, "binary", k, seed=seed))
    return Folds(Part((numbers[:, None].astype(np.float32),), numbers % 2, numbers + 100), pairs)


@settings(deadline=None)
@given(st.integers(8, 60), st.integers(2, 5), st.integers(0, 3))
def test_pooled_predictions_stand_in_the_order_of_the_rows(rows: int, k: int, seed: int) -> None:
    of = made(rows, k, seed)
    assert len(of) == k and (of.judged == np.arange(rows)).all()
    assert (of.valid.rows == of.rows.rows).all() and (of.valid.y == of.rows.y).all()
    parts = [of.parts(i) for i in range(k)]
    for train, valid in parts:
        assert sorted([*train.rows, *valid.rows]) == list(of.rows.rows)
        assert (train.inputs[0][:, 0] + 100 == train.rows).all()
    # What each fold says of a row is the row's own number: it must arrive at that row.
    pooled = of.pooled([valid.inputs[0] * [1, -1] for _, valid in parts])
    assert (pooled == np.arange(rows)[:, None] * [1, -1]).all()


def test_along_time_the_earliest_rows_judge_nothing() -> None:
    time = np.random.default_rng(0).permutation(40).astype(float)
    of = made(40, 3, time=time)
    assert len(of.judged) == 30 and len(of.valid) == 30
    assert set(of.judged) == set(np.argsort(time)[10:])
    for train, valid in of.pairs:
        assert time[train].max() < time[valid].min()
    pooled = of.pooled([of.parts(i)[1].inputs[0] for i in range(3)])
    assert (pooled == of.valid.inputs[0]).all()
    assert str(of) == "3-fold cross-validation, the latest 30 of 40 rows"
    assert str(made(40, 5)) == "5-fold cross-validation, 40 rows"


def test_folds_that_are_none_are_refused() -> None:
    rows = Part((np.zeros((4, 1), np.float32),), np.zeros(4, np.int64), np.arange(4))
    a, b = np.array([0, 1]), np.array([2, 3])
    Folds(rows, ((a, b), (b, a)))
    for pairs in (((a, b),), ((a, b), (a, b)), ((a, b), (np.arange(4), a)), ((a, b), (b, a[:0])), ()):
        with pytest.raises(ValueError, match="fold"):
            Folds(rows, pairs)


def dataset(rows: int, target=None, **more) -> Dataset:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.choice(["x", "y", "z"], rows)})
    target = np.arange(rows) % 2 if target is None else target
    return Dataset("d", table, pd.Series(target, name="target"), **more)


def advised(of: Dataset, kind: Kind = "binary") -> int:
    return len(split(of, kind, fold_count=None).folds)


def test_few_rows_call_for_folds_and_many_do_not() -> None:
    assert advised(dataset(60)) == 5
    assert advised(dataset(280)) == 0  # 210 to learn from
    assert advised(dataset(60, np.random.default_rng(0).normal(size=60)), "regression") == 5
    assert advised(dataset(1000, np.random.default_rng(0).normal(size=1000)), "regression") == 0
    # A rare class calls for them in larger data, as long as that is affordable.
    rare = np.r_[np.full(6, 2), np.arange(394) % 2]
    assert advised(dataset(400, rare), "multiclass") == 5
    many = MAX_FOLD_ROWS * 2
    assert advised(dataset(many, np.r_[np.full(6, 2), np.arange(many - 6) % 2]), "multiclass") == 0


def test_folds_fit_the_rows_of_a_class_the_groups_and_the_time() -> None:
    assert advised(dataset(24, np.arange(24) % 8), "multiclass") == 2  # two rows of a class are left to learn from
    assert advised(dataset(60, group=np.arange(60) // 12)) == 4  # one of five groups is the test
    assert advised(dataset(60, time=np.arange(60.0))) == 3
    given_valid = np.array(["train", "train", "valid"] * 20)
    assert advised(dataset(60, split=given_valid)) == 0
    asked = split(dataset(60, split=given_valid), "binary", fold_count=4)
    assert len(asked.folds) == 4 and "4-fold" in asked.why[-1]


def test_rows_without_a_group_are_groups_of_their_own() -> None:
    group = np.array(["a", None, "b", None, "c", None] * 5, dtype=object)
    for train, valid in folds(dataset(30, group=group), np.arange(30), "binary", 3):
        known = {g for g in group[train] if g} & {g for g in group[valid] if g}
        assert not known and len(train) + len(valid) == 30


@pytest.mark.parametrize("wrong", [1, -2, True, 2.5, "many", 46])
def test_a_wrong_number_of_folds_is_one_line(wrong) -> None:
    with pytest.raises(UserError, match=rf"folds={wrong}") as caught:
        split(dataset(60), "binary", fold_count=wrong)
    assert "\n" not in str(caught.value)


def test_too_few_groups_for_the_folds_asked() -> None:
    with pytest.raises(UserError, match=r"folds=4 need 4 groups.* 0 for none"):
        split(dataset(40, group=np.arange(40) // 10), "binary", fold_count=4)


class TestPrepared:
    """``prepare`` with and without folds, on the same 80 rows."""

    def prepared(self, folds: int | None = 0, **more) -> Prepared:
        return prepare(dataset(80, **more), folds=folds, seed=1)

    def test_all_rows_to_learn_from_are_judged_and_no_test_row(self) -> None:
        found = self.prepared(None)
        assert found.folds is not None and len(found.folds) == 5
        parts = found.parts
        assert set(found.folds.valid.rows) == set(parts.train.rows) | set(parts.valid.rows)
        assert not set(found.folds.rows.rows) & set(parts.test.rows)
        assert found.judging == "5-fold cross-validation, 60 rows"
        assert found.task.why[-1] == "validation: 5-fold cross-validation of the 60 training rows, stratified by class"

    def test_the_encoding_is_fitted_on_the_rows_that_the_model_learns_from(self) -> None:
        with_folds, without = self.prepared(None), self.prepared(0)
        assert abs(np.median(with_folds.learned.inputs[0][:, 0])) < 1e-6
        assert abs(np.median(without.learned.inputs[0][:, 0])) < 1e-6
        assert len(with_folds.learned) == 60 and len(without.learned) == len(without.parts.train) < 60

    def test_none_unless_asked_from_python(self) -> None:
        plain = self.prepared()
        assert plain.folds is None and plain.judging == f"{len(plain.parts.valid)} rows"

    def test_the_same_seed_gives_the_same_folds(self) -> None:
        one, other = self.prepared(3).folds, self.prepared(3).folds
        assert one is not None and other is not None
        assert all(
            (a == b).all() for p, q in zip(one.pairs, other.pairs, strict=True) for a, b in zip(p, q, strict=True)
        )

    def test_rows_that_repairs_keep_out_of_training_are_in_no_fold(self) -> None:
        data = dataset(80)
        twice = Dataset(
            "d", pd.concat([data.table] * 2, ignore_index=True), pd.concat([data.target] * 2).reset_index(drop=True)
        )
        found = prepare(twice, folds=5, repairs={"duplicate_rows": False})
        assert found.folds is not None and len(found.learned) == 120
        found = split(twice, "binary", fold_count=5, drop=np.arange(80, 160))
        judged = np.concatenate([valid for _, valid in found.folds])
        assert judged.max() < 80 and found.train.max() < 80

    def test_nothing_learns_from_rows_that_repairs_bar(self) -> None:
        """Suspects may judge; neither folds, nor training, nor the last training see them."""
        data = dataset(80)
        marked = (3, 40, 41, 77)
        for words in (None, np.array(["train", "valid", "train", "train"] * 20)):
            found = self.barring(dataclasses.replace(data, split=words), marked, folds=0)
            assert not set(marked) & set(found.given[found.parts.teaching.rows])
            assert not set(marked) & set(found.given[found.parts.train.rows])
            assert len(found.parts.teaching) < len(found.parts.train) + len(found.parts.valid)
            found = self.barring(dataclasses.replace(data, split=words), marked, folds=3)
            assert found.folds is not None and not set(marked) & set(found.given[found.folds.rows.rows])

    @staticmethod
    def barring(data: Dataset, rows: tuple[int, ...], folds: int) -> Prepared:
        """Prepared with these rows as suspects."""

        def suspects(view: View):
            text = "these may be wrong."
            told = finding("label_errors", "info", len(rows), "target", text, repair="leave them out")
            yield Proposal(told, drop=np.array(rows), after_split=True)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys.modules["automl.data.quality.check"], "STAGES", ((suspects,),))
            # More validation rows than by default, so that some of the marked are among them.
            share = 0.6 if data.split is None else None
            return prepare(data, folds=folds, seed=1, valid_share=share, repairs={"label_errors": True})
