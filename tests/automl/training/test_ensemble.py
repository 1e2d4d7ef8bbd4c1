"""Which networks are averaged: the best on the rows that judge, unless these are too few to tell."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl import metrics
from automl.training.ensemble import _errors_behind, blend, greedy, select

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


MANY = given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 1000), st.sampled_from(list(metrics.CLASSIFICATION)))


@MANY
@settings(max_examples=40, deadline=None)
def test_greedy_selection_is_never_worse_than_what_it_begins_with(count, size, seed, metric):
    predictions, y = _networks(count, seed)
    scores = [metrics.score(metric, "multiclass", y, p) for p in predictions]
    ranked = sorted(range(count), key=lambda i: -scores[i])
    task = dataclasses.replace(THREE, metric=metric)
    base = [1 / min(count, size) if i in ranked[:size] else 0.0 for i in range(count)]
    weights = greedy(predictions, y, task, ranked, base, size=size, allowed=lambda members: True)
    # (A weight is a ratio of counts: the average may differ from the one selected in the last digit.)
    of = [metrics.score(metric, "multiclass", y, blend(predictions, w)) for w in (weights, base)]
    assert of[0] >= of[1] - 1e-9


def test_weak_networks_do_not_join_to_move_a_threshold():
    """An ensemble of 40 % of a network that tosses coins was better on 1,706 rows, and worse on all others."""
    task = dataclasses.replace(DIGITS, kind="binary", num_outputs=2)
    worst = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, 2000)
        signal = y - 0.5 + rng.normal(size=(4, 2000)) * 0.6
        good = [1 / (1 + np.exp(-6 * s)) for s in signal]
        noise = [0.5 + 0.02 * rng.normal(size=2000) + shift for shift in (-0.15, -0.05, 0.05, 0.15)]
        predictions = [np.stack([1 - p, p], 1) for p in (*good, *noise)]
        weights = select([p[:1000] for p in predictions], y[:1000], task)
        worst.append(sum(weights[4:]))
    assert worst == [0.0] * 5


@MANY
@settings(max_examples=40, deadline=None)
def test_weights_sum_to_one_and_keep_the_size(count, size, seed, metric):
    predictions, y = _networks(count, seed)
    weights = select(predictions, y, dataclasses.replace(THREE, metric=metric), size=size)
    assert len(weights) == count
    assert sum(weights) == pytest.approx(1)
    assert 1 <= sum(w > 0 for w in weights) <= size


@given(st.integers(2, 8), st.integers(0, 1000), st.sampled_from([20, 200, 2000]))
@settings(max_examples=40, deadline=None)
def test_no_network_is_clearly_better_than_the_ensemble(count, seed, rows):
    predictions, y = _networks(count, seed, rows=rows)
    found = blend(predictions, select(predictions, y, dataclasses.replace(THREE, metric="accuracy")))
    right = found.argmax(1) == y
    for p in predictions:
        ahead = (p.argmax(1) == y).astype(float) - right
        assert ahead.mean() <= 3 * ahead.std() / rows**0.5 + 1e-9


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
    assert weights == pytest.approx([0.5, 0.5, 0.0], abs=0.01)


def test_equal_scores_go_to_the_better_probabilities():
    y = np.array([0, 1])
    sure, unsure = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[0.6, 0.4], [0.4, 0.6]])
    task = dataclasses.replace(DIGITS, kind="binary", num_outputs=2)
    assert select([unsure, sure], y, task, size=1) == [0.0, 1.0]


def test_few_rows_choose_what_is_level_with_the_best_and_of_many_families():
    y = np.array([0, 1, 0, 1, 0, 1])
    task = dataclasses.replace(DIGITS, kind="binary", num_outputs=2)
    a, b, wrong = (np.where(np.eye(2)[y] == 1, right, 1 - right) for right in (0.99, 0.7, 0.01))
    # All right: a is surest of itself. Six rows cannot tell it from b; from the one that errs in every row they can.
    assert select([a, a, b, wrong], y, task, families=["a", "a", "b", "c"], size=2) == [0.5, 0.0, 0.5, 0.0]
    assert select([a, a, b, wrong], y, task, families=["a", "a", "b", "c"], size=5) == pytest.approx([1 / 3] * 3 + [0])


def test_many_rows_choose_the_best():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 4000)
    task = dataclasses.replace(DIGITS, kind="binary", num_outputs=2)

    def network(share: float) -> np.ndarray:
        said = np.where(rng.random(len(y)) < share, y, 1 - y)
        return np.stack([1.0 - said, said], 1)

    weights = select([network(0.7), network(0.95), network(0.7)], y, task, families=["a", "b", "c"])
    assert np.argmax(weights) == 1 and weights[1] > 0.5


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


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_of_very_many_rows_some_are_enough(metric, monkeypatch):
    """The choice takes as long for 100,000 rows of 100 classes as for a few thousand."""
    task = dataclasses.replace(DIGITS, num_outputs=100, metric=metric)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 100, 100_000)
    predictions = []
    for quality in (0.0, 0.3):
        p = rng.random((len(y), 100), dtype=np.float32)
        p[np.arange(len(y)), y] += quality
        predictions.append(p / p.sum(1, keepdims=True))
    looked = []
    real = metrics.score
    monkeypatch.setattr(metrics, "score", lambda m, k, y, p: looked.append(p.size) or real(m, k, y, p))
    weights = select(predictions, y, task, size=2)
    assert weights[1] > weights[0] and max(looked) <= 2**20


def test_of_very_many_rows_the_rare_class_is_looked_at_too():
    """Its rows stand where rows taken at even steps would pass them by: no network would seem better than another."""
    task = dataclasses.replace(DIGITS, kind="binary", num_outputs=2, metric="roc_auc")
    rows = 200_000
    passed = np.setdiff1d(np.arange(rows), np.linspace(0, rows - 1, 2**16).astype(np.int64))
    y = np.zeros(rows, np.int64)
    y[passed[::4000][:30]] = 1
    blind, good = np.full(rows, 0.001), np.where(y == 1, 0.2, 0.1)
    assert select([np.stack([1 - p, p], axis=1) for p in (blind, good)], y, task) == [0.0, 1.0]


def test_a_gap_beyond_doubt_needs_few_samples(monkeypatch):
    predictions, y = _networks(2, 0, rows=3000, worst=0.7)
    predictions[1] = np.full_like(predictions[1], 1 / 3)
    calls = []
    real = metrics.score
    monkeypatch.setattr(metrics, "score", lambda *a: calls.append(1) or real(*a))
    assert _errors_behind(THREE, y, predictions[0], predictions[1]) > 4
    assert len(calls) == 2 + 2 * 10


def test_copies_that_stand_for_weights_tell_networks_apart_no_better():
    predictions, y = _networks(2, 0)
    task = dataclasses.replace(THREE, metric="log_loss")
    better, other = sorted(predictions, key=lambda p: metrics.log_loss(y, p))
    ten = [np.repeat(a, 10, axis=0) for a in (y, better, other)]
    one = _errors_behind(task, y, better, other)
    assert 0.6 * one < _errors_behind(task, *ten, draws=len(y)) < 1.6 * one < _errors_behind(task, *ten)
