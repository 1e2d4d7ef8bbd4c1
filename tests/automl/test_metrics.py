"""Metrics agree with scikit-learn, and stay finite where scikit-learn gives up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from automl import metrics


def _classes(rows: int, classes: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    p = rng.dirichlet(np.ones(classes), rows)
    p[np.arange(rows), y] += 0.3
    return y, p / p.sum(1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_classification_agrees_with_sklearn(classes):
    y, p = _classes(400, classes)
    kind = "binary" if classes == 2 else "multiclass"
    found = metrics.scores(kind, y, p)
    guess = p.argmax(1)
    area = sk.roc_auc_score(y, p[:, 1]) if classes == 2 else sk.roc_auc_score(y, p, multi_class="ovr")
    expected = {
        "accuracy": sk.accuracy_score(y, guess),
        "balanced_accuracy": sk.balanced_accuracy_score(y, guess),
        "log_loss": sk.log_loss(y, p),
        "roc_auc": area,
        "f1_macro": sk.f1_score(y, guess, average="macro"),
        "brier": sk.brier_score_loss(y, p if classes > 2 else p[:, 1]),
    }
    assert {k: found[k] for k in expected} == pytest.approx(expected, abs=1e-6)
    assert set(found) == set(metrics.CLASSIFICATION) == {*expected, "ece"}


def test_regression_agrees_with_sklearn():
    rng = np.random.default_rng(0)
    y = rng.normal(5, 3, 200)
    value = y + rng.normal(0, 1, 200)
    assert metrics.scores("regression", y, value) == pytest.approx(
        {
            "r2": sk.r2_score(y, value),
            "rmse": sk.root_mean_squared_error(y, value),
            "mae": sk.mean_absolute_error(y, value),
        }
    )


def test_ece_by_hand():
    # Bins of width 1/15. Two rows at 0.95 (bin 15), one right: |0.5 - 0.95| * 2/4. One at 0.62 (bin 10), right:
    # |1 - 0.62| * 1/4. One at 0.5 (bin 8), wrong: |0 - 0.5| * 1/4.
    p = np.array([[0.05, 0.95], [0.05, 0.95], [0.62, 0.38], [0.5, 0.5]])
    y = np.array([1, 0, 0, 1])
    assert metrics.ece(y, p) == pytest.approx((2 * 0.45 + 0.38 + 0.5) / 4)


def test_ece_puts_an_edge_into_the_lower_bin():
    # 10/15 is the upper edge of bin 10: together with 0.65 the gaps cancel, in a bin of its own they would add up.
    p = np.array([[10 / 15, 5 / 15], [0.65, 0.35]])
    assert metrics.ece(np.array([0, 1]), p) == pytest.approx(abs(1 - 10 / 15 - 0.65) / 2)


def test_perfect_confidence_has_no_calibration_error():
    p = np.eye(3)[[0, 1, 2, 1]]
    assert metrics.scores("multiclass", np.array([0, 1, 2, 1]), p)["ece"] == 0.0


def test_ties_count_half_in_roc_auc():
    y, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.5, 0.5, 0.9])
    p = np.stack([1 - score, score], 1)
    assert metrics.roc_auc(y, p) == sk.roc_auc_score(y, score) == 0.875


def test_absent_classes_are_left_out():
    y, p = np.array([0, 0, 2, 2]), np.array([[0.6, 0.3, 0.1], [0.5, 0.2, 0.3], [0.1, 0.2, 0.7], [0.4, 0.1, 0.5]])
    assert metrics.roc_auc(y, p) == 1.0
    assert metrics.balanced_accuracy(y, p) == 1.0
    assert metrics.roc_auc(np.zeros(4, dtype=int), p) == 0.5


def test_impossible_probabilities_cost_much_but_not_everything():
    loss = metrics.log_loss(np.array([0]), np.array([[0.0, 1.0]]))
    assert loss == pytest.approx(-math.log(metrics.SMALLEST), rel=1e-3)


@pytest.mark.parametrize(("value", "expected"), [(3.0, 1.0), (2.0, 0.0)])
def test_r2_of_a_constant_target(value, expected):
    assert metrics.r2(np.full(4, 3.0), np.full(4, value)) == expected


def test_scores_are_higher_for_better():
    y, p = _classes(200, 3)
    worse = np.roll(p, 1, axis=1)
    for name in metrics.CLASSIFICATION:
        assert metrics.score(name, "multiclass", y, p) > metrics.score(name, "multiclass", y, worse), name
    value = np.linspace(0, 1, 20)
    for name in metrics.REGRESSION:
        good, bad = (metrics.score(name, "regression", value, value + off) for off in (0.1, 0.5))
        assert good > bad, name


def test_recall_by_class_name():
    y, p = np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    found = metrics.scores("binary", y, p, classes=("no", "yes"))
    assert found["recall[no]"] == 0.5
    assert found["recall[yes]"] == 1.0


@pytest.mark.parametrize(
    ("metric", "kind", "y", "p"),
    [
        ("r2", "binary", [0, 1], [[0.5, 0.5]] * 2),
        ("accuracy", "regression", [0.0], [0.0]),
        ("accuracy", "binary", [0, 1], [0.5, 0.5]),
        ("accuracy", "binary", [0, 1], [[0.5, 0.5]]),
        ("mae", "regression", [], []),
    ],
)
def test_wrong_metric_or_shape_is_refused(metric, kind, y, p):
    with pytest.raises(ValueError, match=r"metric|rows"):
        metrics.score(metric, kind, np.array(y), np.array(p))


def test_unknown_metric_names_the_known():
    with pytest.raises(ValueError, match="accuracy"):
        metrics.higher_is_better("speed")


@given(
    hnp.arrays(np.float32, (6, 3), elements=st.floats(0, 1, width=32)),
    hnp.arrays(np.int64, 6, elements=st.integers(0, 2)),
)
def test_every_score_is_finite(p, y):
    found = metrics.scores("multiclass", y, p)
    assert all(math.isfinite(v) for v in found.values())
    assert all(0 <= found[n] <= 1 for n in ("accuracy", "balanced_accuracy", "roc_auc", "f1_macro", "ece"))


@pytest.mark.parametrize("metric", ["roc_auc", "balanced_accuracy", "log_loss"])
@pytest.mark.parametrize("classes", [2, 5, 40])
def test_draws_are_scored_as_each_alone(metric, classes):
    """Rows of equal probabilities, and classes that a draw lacks, among them."""
    rng = np.random.default_rng(classes)
    y, p = _classes(60, classes)
    p = p.round(1)
    draws = [rng.integers(0, 60, 60) for _ in range(20)] + [np.flatnonzero(y == y[0]).repeat(2)]
    kind = "binary" if classes == 2 else "multiclass"
    found = metrics.redrawn(metric, kind, y, p, iter(draws), 1.0)
    alone = [metrics.score(metric, kind, y[rows], p[rows], 1.0) for rows in draws]
    np.testing.assert_allclose(found, alone, rtol=1e-12)
