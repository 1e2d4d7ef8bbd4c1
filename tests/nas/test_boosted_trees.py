"""Boosted trees in a network: the trees are scikit-learn's, and a network knows the table before its first step."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from automl.models.closed_form.trees import Trees, boosted, deepest, not_above
from automl.types import Candidate, Input, Task
from nas.families.boosted_trees import BoostedTrees
from nas.families.ordered import category_order
from nas.family import build, search_axes
from nas.testing.families import options_of

INPUT = Input("table", "tabular", (4,), cardinalities=(0, 7, 0, 30))
TASK = Task("table", "multiclass", (INPUT,), 3, "accuracy")
FAMILY = BoostedTrees((20, 60), most=200)
CHOICES = {"leaves": 8, "shrinkage": 0.2, "smallest_leaf": 5, "columns": 1.0, "penalty": 0.0, "rounds": 60}


def network(task: Task = TASK, **choices: Any) -> Any:
    axes = search_axes({FAMILY.name: FAMILY}, task, ())[FAMILY.name]
    return build(FAMILY, task, Candidate(FAMILY.name, CHOICES | choices), axes, seed=0)


def table(count: int) -> tuple[torch.Tensor, np.ndarray]:
    """Three classes: by the category's remainder where the first number is positive, else by the second number."""
    rng = np.random.default_rng(0)
    x = np.stack(
        [rng.normal(size=count), rng.integers(1, 7, count), rng.normal(size=count), rng.integers(1, 30, count)], 1
    )
    y = np.where(x[:, 0] > 0, x[:, 3] % 3, np.digitize(x[:, 2], [-0.5, 0.5])).astype(np.int64)
    return torch.from_numpy(x.astype(np.float32)), y


def sums(x: np.ndarray, y: np.ndarray, classes: int, new: np.ndarray) -> np.ndarray:
    """Scores (rows, outputs) of new rows, by the tensors."""
    found, base = boosted(x, y, classes, rounds=15, leaves=16, threads=1, learning_rate=0.3)
    trees = Trees(15 * len(base), 16)
    trees.fill([nodes for one in found for nodes in one])
    return trees(torch.from_numpy(new)).unflatten(1, (15, len(base))).sum(dim=1).numpy() + base


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class TestTrees:
    @pytest.mark.parametrize("classes", [0, 2, 3])
    def test_they_answer_as_scikit_learn_does(self, rng, classes):
        x, y = rng.normal(size=(700, 5)).astype(np.float32), rng.normal(size=700)
        y = np.digitize(y + x[:, 0] * x[:, 1], np.linspace(-1, 1, classes + 1)[1:-1]) if classes else y + x[:, 0]
        kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
        model = kind(max_iter=15, max_leaf_nodes=16, max_depth=deepest(16), early_stopping=False, learning_rate=0.3)
        model.fit(x, y)
        new = rng.normal(size=(300, 5)).astype(np.float32) * 2
        expected = model.decision_function(new) if classes else model.predict(new)  # type: ignore[attr-defined]
        np.testing.assert_allclose(sums(x, y, classes, new), expected.reshape(300, -1), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("classes", [2, 3, 4])
    def test_classes_without_rows_are_unlikely(self, rng, classes):
        x = rng.normal(size=(200, 3)).astype(np.float32)
        y = (x[:, 0] > 0).astype(np.int64) * (classes - 1)  # the first and the last
        told = sums(x, y, classes, x)
        if classes > 2:
            assert (told.argmax(axis=1) == y).mean() > 0.95
            both = sums(x, y // (classes - 1), 2, x)[:, 0]
            np.testing.assert_allclose(told[:, -1] - told[:, 0], both, rtol=1e-4, atol=1e-4)
            assert (told[:, 1:-1] < told[:, [0, -1]].max(axis=1, keepdims=True)).all()
        alone = sums(x, np.full(200, classes - 1), classes, x)
        if classes == 2:
            alone = np.concatenate([-alone, alone], axis=1)
        assert (alone.argmax(axis=1) == classes - 1).all() and np.isfinite(alone).all()

    def test_three_of_four_classes(self, rng):
        x = rng.normal(size=(300, 3)).astype(np.float32)
        y = np.array([0, 1, 3])[np.digitize(x[:, 1], [-0.5, 0.5])]
        assert (sums(x, y, 4, x).argmax(axis=1) == y).mean() > 0.95

    def test_what_was_there_is_forgotten(self, rng):
        x = rng.normal(size=(100, 3)).astype(np.float32)
        found, _ = boosted(x, x[:, 0], 0, rounds=3, leaves=8, threads=1)
        trees = Trees(3, 8)
        trees.fill([nodes for one in found for nodes in one])
        trees.fill(found[1])
        told = trees(torch.from_numpy(x))
        assert told[:, 0].any() and not told[:, 1:].any()

    @given(st.floats(width=64, allow_nan=False), st.floats(width=32, allow_nan=False))
    def test_a_threshold_parts_float32_as_the_float64_does(self, threshold, value):
        (found,) = not_above(np.array([threshold]))
        assert found.dtype == np.float32
        assert (np.float32(value) <= found) == (float(value) <= threshold)


class TestCategories:
    def test_alike_ones_are_near(self, rng):
        codes = rng.integers(1, 9, 4000)
        y = np.where(rng.random(4000) < 0.9, codes % 2, 1 - codes % 2)
        order = category_order(codes, np.eye(2)[y], 12)
        even, odd = order[2:9:2], order[1:9:2]
        assert max(even) < min(odd) or max(odd) < min(even)
        assert (order[[0, 9, 10, 11]] == 0).all(), "what never stood there is like the mean of all"

    def test_few_rows_are_drawn_to_the_mean(self):
        codes, y = np.array([1] * 50 + [2] * 50 + [3]), np.array([0.0] * 50 + [1.0] * 50 + [9.0])
        order = category_order(codes, y[:, None], 4)
        assert order[1] < 0 < order[2] and order[3] < 9 - y.mean()


class TestBegin:
    def test_it_knows_the_classes_before_its_first_step(self):
        x, y = table(3000)
        net = network()
        with torch.no_grad():
            net.begin(((part,) for part in x[:2000].split(300)), torch.from_numpy(y[:2000]))
            right = (net.eval()(x[2000:]).argmax(1).numpy() == y[2000:]).mean()
        assert right > 0.9

    def test_two_classes_and_values(self):
        x, y = table(3000)
        for kind, outputs, target in (("binary", 2, y > 0), ("regression", 1, (y - y.mean()) / y.std())):
            net = network(dataclasses.replace(TASK, kind=kind, num_outputs=outputs))
            target = torch.from_numpy(target).float() if outputs == 1 else torch.from_numpy(target).long()
            with torch.no_grad():
                net.begin([(x[:2000],)], target[:2000])
                told = net.eval()(x[2000:])
            assert told.shape == (1000, outputs)
            if outputs == 1:
                assert (told[:, 0] - target[2000:]).square().mean() < 0.3
            else:
                assert (told.argmax(1) == target[2000:]).double().mean() > 0.9


def test_wide_tables_and_many_trees_are_grown_on_fewer_rows():
    wide = dataclasses.replace(TASK, inputs=(Input("table", "tabular", (500,), cardinalities=(0,) * 500),))
    rows = [network(of, rounds=20).begin_rows for of in (TASK, wide, dataclasses.replace(wide, num_outputs=90))]
    assert rows[0] == 50_000 > rows[1] > rows[2] == 1_000


def test_many_classes_leave_out_forests_that_are_too_large():
    kept = [options_of(BoostedTrees(), dataclasses.replace(TASK, num_outputs=n), "rounds") for n in (2, 30, 5000)]
    assert kept == [(30, 100, 300), (30, 100), (30,)]
