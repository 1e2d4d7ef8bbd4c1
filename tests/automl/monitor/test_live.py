"""Bounds hold at all times at once; estimates are what calibrated probabilities promise."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from automl import metrics
from automl.monitor.answers import Labelled
from automl.monitor.live import UNIT, bounds, confirmed, estimated, expected, sums_of, worse
from automl.types import Task

TASK = Task("toy", "multiclass", (), 3, "accuracy", classes=("a", "b", "c"))


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_bounds_hold_at_all_times_at_once(share: float) -> None:
    rng, left = np.random.default_rng(0), 0
    looks = [1, 2, 3, 5, 8, 12, 20, 35, 60, 100, 170, 300, 500, 1000]
    for _ in range(400):
        hits = np.cumsum(rng.random(1000) < share)
        left += any(not low <= share <= high for low, high in (bounds(int(hits[n - 1]), n) for n in looks))
    assert left / 400 <= 0.05 + 0.02


@given(st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_bounds_lie_about_the_share(hits: int, misses: int) -> None:
    low, high = bounds(hits, hits + misses)
    assert 0 <= low <= high <= 1
    if not hits + misses:
        assert (low, high) == (0, 1)
        return
    assert low <= hits / (hits + misses) <= high
    for end in (low, high):
        if 0 < end < 1:
            told = beta.logpdf(end, hits + 1, misses + 1)
            assert told == pytest.approx(math.log(0.05), abs=1e-3), (
                "the posterior's density there is 1/20 of the prior's"
            )


def test_they_grow_narrow() -> None:
    low, high = bounds(9000, 10_000)
    assert 0.885 < low < 0.9 < high < 0.915


def test_right_probabilities_estimate_the_score() -> None:
    rng = np.random.default_rng(2)
    p = rng.dirichlet([0.5] * 3, 4000)
    y = (p.cumsum(1) > rng.random((4000, 1))).argmax(1)
    found = estimated(TASK, sums_of(TASK, p, None), 4000, None)
    low, high = found["bounds"]
    assert low < metrics.accuracy(y, p) < high and high - low < 0.05
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy(y, p), abs=0.03)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(y, p), abs=0.03)


def test_a_decision_that_was_moved_is_estimated_as_it_decides() -> None:
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    found = estimated(TASK, sums_of(TASK, p, [0.1, 1.0, 0.1]), 2, None)
    assert found["accuracy"] == pytest.approx(0.4)


def test_sums_add_up_to_the_last_digit() -> None:
    p = np.random.default_rng(2).dirichlet([1] * 3, 101).astype(np.float32)
    parts = sum(sums_of(TASK, p[at : at + 7], None) for at in range(0, 101, 7))
    np.testing.assert_array_equal(parts, sums_of(TASK, p, None))
    assert sums_of(TASK, np.array([[np.nan, np.nan, np.nan]]), None)[0] == 0
    assert sums_of(TASK, p, None)[3:6].sum() == pytest.approx(101 * UNIT, abs=200)


def test_labels_tell_score_and_cover(bundle) -> None:
    rng = np.random.default_rng(3)
    first = rng.beta(0.1, 0.1, 500)
    said = np.stack([first, 1 - first], axis=1).astype(np.float32)
    y = (rng.random(500) > first).astype(np.int64)
    found = confirmed(bundle, Labelled(said, y))
    assert found["labels"] == 500 and found["accuracy"] == metrics.accuracy(y, said)
    sets = bundle.calibration.sets(said, 0.9)[np.arange(500), y]
    assert [c["level"] for c in found["coverage"]] == [0.8, 0.9, 0.95]
    at = found["coverage"][1]
    assert at["covered"] == sets.mean() and at["bounds"][0] < sets.mean() < at["bounds"][1]
    assert confirmed(bundle, Labelled(said[:0], y[:0])) == {"labels": 0}


def test_labels_of_values_tell_score_and_cover(values) -> None:
    said = np.random.default_rng(4).normal(0, 10, (300, 1)).astype(np.float32)
    found = confirmed(values, Labelled(said, said[:, 0] + 1.0))
    assert found["mae"] == pytest.approx(1, abs=1e-5) and found["r2"] > 0.9 and "bounds" not in found
    assert found["coverage"][1]["covered"] == 1


def test_worse_is_said_when_it_is_shown(bundle) -> None:
    was = expected(bundle.calibration)
    assert was is not None
    said = np.tile(np.float32([1, 0]), (2000, 1))
    wrong = Labelled(said, np.ones(2000, np.int64))
    told = {what: low for what, low, _ in worse(bundle, confirmed(bundle, wrong), 0.9, 0.995)}
    assert told["accuracy"] and told["coverage"]
    few = Labelled(said[:2], np.ones(2, np.int64))
    told = {what: low for what, low, _ in worse(bundle, confirmed(bundle, few), 0.9, 0.995)}
    assert not any(told.values())


def test_a_bundle_without_calibration_still_says_the_score(bundle) -> None:
    meta = {**bundle.meta, "files": {k: v for k, v in bundle.meta["files"].items() if k != "calibration.json"}}
    bare = dataclasses.replace(bundle, meta=meta)
    found = confirmed(bare, Labelled(np.float32([[1, 0]]), np.array([0])))
    assert found["accuracy"] == 1 and found["coverage"] == []
    assert list(worse(bare, found, 0.9, 0.995)) == []


@pytest.mark.parametrize("kind", ["bundle", "values"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_answers_that_were_no_numbers_are_wrong_ones(request, kind: str, wrong: float) -> None:
    of = request.getfixturevalue(kind)
    said = np.array([[0.9, 0.1], [wrong, 0.5], [0.2, 0.8]]) if kind == "bundle" else np.array([[3.0], [wrong], [5.0]])
    found = confirmed(of, Labelled(said.astype(np.float32), np.array([0, 0, 1]) if kind == "bundle" else said[:, 0]))
    json.dumps(found, allow_nan=False)
    assert found["labels"] == 3 and all(one["hits"] <= 2 for one in found["coverage"])
    if kind == "bundle":
        assert found["accuracy"] == 2 / 3 and found["log_loss"] == pytest.approx(-math.log(0.9 * 0.8) / 2, rel=1e-5)
    else:
        assert found["r2"] == 1 and found["rmse"] == 0


def test_labels_beyond_all_squares(values) -> None:
    found = confirmed(values, Labelled(np.zeros((2, 1), np.float32), np.array([1e300, 1.0])))
    assert found["rmse"] is None and json.dumps(found, allow_nan=False)
