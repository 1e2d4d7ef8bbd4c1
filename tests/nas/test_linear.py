"""The linear family: its start is scikit-learn's, its features are what they say."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from automl.models.closed_form.linear_head import linear_head
from automl.types import Candidate, Input, Task
from nas.families.linear import KNOTS, ColumnFeatures, Linear, feature_count
from nas.family import build, search_axes
from nas.testing.families import TASKS, options_of

FAMILY = Linear()
NUMBERS = Task("numbers", "regression", (Input("table", "tabular", (3,)),), 1, "r2")


def network(task: Task, **choices: Any) -> Any:
    axes = search_axes({"linear": FAMILY}, task, ())["linear"]
    return build(FAMILY, task, Candidate("linear", choices), axes, seed=0).eval()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class TestHead:
    def test_values_are_found_among_noise(self, rng):
        x, w = rng.normal(size=(300, 8)), np.arange(8.0)
        weight, bias = linear_head(x, x @ w + 2 + rng.normal(size=300), 0, threads=1)
        np.testing.assert_allclose(weight[:, 0], w, atol=0.3)
        np.testing.assert_allclose(bias, 2, atol=0.3)

    def test_the_strength_suits_the_rows(self, rng):
        """With more features than rows, close to the best strength on rows that are new."""
        x, w = rng.normal(size=(1060, 120)), rng.normal(size=120)
        y = x @ w + 30 * rng.normal(size=1060)
        weight, bias = linear_head(x[:60], y[:60], 0, threads=1)
        errors = [
            np.square(Ridge(s).fit(x[:60], y[:60]).predict(x[60:]) - y[60:]).mean() for s in np.logspace(-2, 4, 13)
        ]
        mine = np.square(x[60:] @ weight[:, 0] + bias - y[60:]).mean()
        assert mine <= 1.1 * min(errors) < max(errors) / 1.3

    @pytest.mark.parametrize("classes", [2, 4])
    def test_classes_are_told_as_well_as_by_the_best_strength(self, rng, classes):
        x, w = rng.normal(size=(1200, 30)), rng.normal(size=(30, classes))
        y = (x @ w + 3 * rng.gumbel(size=(1200, classes))).argmax(axis=1)

        def log_loss(score: np.ndarray) -> float:
            probability = torch.from_numpy(score).log_softmax(dim=1).numpy()
            return float(-probability[np.arange(1000), y[200:]].mean())

        weight, bias = linear_head(x[:200], y[:200], classes, threads=1)
        losses = []
        for c in np.logspace(-4, 3, 15):
            score = LogisticRegression(C=c, max_iter=1000).fit(x[:200], y[:200]).decision_function(x[200:])
            losses.append(log_loss(score if classes > 2 else np.stack([-score / 2, score / 2], axis=1)))
        assert log_loss(x[200:] @ weight + bias) <= min(losses) + 0.05 < max(losses)

    @pytest.mark.parametrize("seen", [[1], [0, 3], [0, 2, 3]])
    def test_classes_without_rows_are_unlikely(self, rng, seen):
        y = np.repeat(seen, 60)
        x = rng.normal(size=(len(y), 3)) + 4 * np.eye(4)[y][:, :3]
        weight, bias = linear_head(x, y, 4, threads=1)
        told = x @ weight + bias
        assert np.isfinite(told).all() and (told.argmax(axis=1) == y).mean() > 0.9

    def test_a_solver_that_was_stopped_says_nothing(self, rng):
        x, y = rng.normal(size=(300, 60)), rng.integers(0, 12, 300)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for spread in (1.0, 1e4 ** rng.random(60)):
                linear_head(x * spread, y, 12, threads=1)

    def test_rows_that_are_all_alike(self):
        for classes in (0, 2):
            weight, bias = linear_head(np.ones((20, 2)), np.arange(20) % 2, classes, threads=1)
            assert np.isfinite(weight).all() and np.isfinite(bias).all()

    def test_a_handful_of_rows(self, rng):
        weight, _ = linear_head(rng.normal(size=(3, 2)), np.array([0, 1, 2]), 3, threads=1)
        assert np.isfinite(weight).all()

    def test_classes_of_one_row_each(self, rng):
        """What is left out is always of a class that the rest has not."""
        x = rng.normal(size=(12, 30))
        weight, bias = linear_head(x, np.arange(12), 12, threads=1)
        assert ((x @ weight + bias).argmax(axis=1) == np.arange(12)).all()


class TestFeatures:
    def test_they_are_what_they_say(self):
        of = Input("table", "tabular", (4,), cardinalities=(0, 3, 0, 2))
        x = torch.tensor([[0.5, 2.0, -1.0, 0.0]])
        assert ColumnFeatures(of, "none")(x).tolist() == [[0.5, -1.0, 0, 0, 1, 1, 0]]
        assert ColumnFeatures(of, "products")(x)[0, 7:].tolist() == [0.25, -0.5, 1.0]
        hinges = ColumnFeatures(of, "hinges")(x)[0, 7:]
        expected = [[max(0.0, v - k) for k in KNOTS] for v in (0.5, -1.0)]
        torch.testing.assert_close(hinges, torch.tensor(expected).flatten())

    @pytest.mark.parametrize("name", ["numbers", "mixed", "codes"])
    def test_as_many_as_were_counted(self, name):
        (of,) = TASKS[name].inputs
        for form in ("none", "hinges", "products", "both"):
            assert ColumnFeatures(of, form)(torch.zeros(2, *of.shape)).shape == (2, feature_count(of, form))

    def test_many_classes_leave_fewer_features(self):
        table = Input("table", "tabular", (40,))
        of = {n: Task("t", "multiclass", (table,), n, "accuracy") for n in (3, 30, 300, 600)}
        bends = [options_of(FAMILY, of[n], "bend") for n in (3, 30)]
        assert bends == [("none", "hinges", "products", "both"), ("none", "hinges")]
        assert FAMILY.supports(of[300]) and not FAMILY.supports(of[600])

    def test_wide_tables_are_not_multiplied(self):
        wide = dataclasses.replace(NUMBERS, inputs=(Input("table", "tabular", (200,)),))
        assert options_of(FAMILY, wide, "bend") == ("none", "hinges")
        assert not FAMILY.supports(dataclasses.replace(NUMBERS, inputs=(Input("table", "tabular", (5000,)),)))


@pytest.mark.parametrize("bend", ["hinges", "products", "both"])
def test_a_curve_and_a_product_are_found_before_the_first_step(bend):
    x = torch.randn(600, 3, generator=torch.Generator().manual_seed(0))
    y = x[:, 0] * x[:, 1] if bend == "products" else x[:, 2].abs()
    y = y + x[:, 0] * x[:, 1] if bend == "both" else y
    net = network(NUMBERS, bend=bend)
    net.begin([(x[:500],)], y[:500])
    left = (net(x[500:])[:, 0] - y[500:]).square().mean() / y.var()
    assert left < 0.03


def test_the_start_reads_fewer_rows_of_wide_inputs():
    few = dataclasses.replace(NUMBERS, inputs=(Input("table", "tabular", (3000,)),))
    rows = [network(t, bend="none").begin_rows for t in (NUMBERS, few)]
    assert rows == [50_000, 3_333]
