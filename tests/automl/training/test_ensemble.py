"""Greedy selection: never worse than its best member on the rows that it saw."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl import metrics
from automl.training.ensemble import blend, select

from .toys import DIABETES, DIGITS

THREE = dataclasses.replace(DIGITS, num_outputs=3)


def _networks(count: int, seed: int, rows: int = 60, worst: float = 0.0):
    """Predictions of networks of different quality (``worst`` to 0.8) that err on different rows."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    out = []
    for _ in range(count):
        p = rng.dirichlet(np.ones(3), rows)
        p[np.arange(rows), y] += rng.uniform(worst, 0.8)
        out.append((p / p.sum(1, keepdims=True)).astype(np.float32))
    return out, y


@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 1000), st.sampled_from(metrics.metric_names("multiclass")))
@settings(max_examples=40, deadline=None)
def test_never_worse_than_the_best_member(count, size, seed, metric):
    predictions, y = _networks(count, seed)
    task = dataclasses.replace(THREE, metric=metric)
    weights = select(predictions, y, task, size=size)
    assert len(weights) == count
    assert sum(weights) == pytest.approx(1)
    assert 1 <= sum(w > 0 for w in weights) <= size
    single = max(metrics.score(metric, "multiclass", y, p) for p in predictions)
    # (A weight is a ratio of counts: the average may differ from the one selected in the last digit.)
    assert metrics.score(metric, "multiclass", y, blend(predictions, weights)) >= single - 1e-9


def test_networks_that_err_differently_are_joined():
    predictions, y = _networks(6, seed=1, rows=400, worst=0.7)
    task = dataclasses.replace(THREE, metric="log_loss")
    weights = select(predictions, y, task)
    assert sum(w > 0 for w in weights) > 1
    single = max(metrics.score("log_loss", "multiclass", y, p) for p in predictions)
    assert metrics.score("log_loss", "multiclass", y, blend(predictions, weights)) > single


def test_opposite_errors_of_values_cancel():
    y = np.linspace(0, 10, 50)
    weights = select([y + 1, y - 1, y + 3], y, dataclasses.replace(DIABETES, metric="rmse"))
    assert weights == [0.5, 0.5, 0.0]


def test_equal_scores_go_to_the_better_probabilities():
    y = np.array([0, 1])
    sure, unsure = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[0.6, 0.4], [0.4, 0.6]])
    task = dataclasses.replace(DIGITS, kind="binary", num_outputs=2)
    assert select([unsure, sure], y, task) == [0.0, 1.0]


def test_limits_are_kept():
    predictions, y = _networks(6, seed=1, rows=400, worst=0.7)
    task = dataclasses.replace(THREE, metric="log_loss")
    asked = []

    def allowed(members: tuple[int, ...]) -> bool:
        asked.append(members)
        return len(members) <= 2 and 0 not in members

    weights = select(predictions, y, task, size=5, allowed=allowed)
    assert sum(w > 0 for w in weights) == 2
    assert weights[0] == 0
    assert all(tuple(sorted(set(m))) == m for m in asked)


def test_nothing_to_choose_from_is_refused():
    predictions, y = _networks(2, seed=0)
    with pytest.raises(ValueError, match="networks"):
        select([], y, THREE)
    with pytest.raises(ValueError, match="allowed"):
        select(predictions, y, THREE, allowed=lambda members: False)
