"""Splits: disjoint, complete, repeatable; by class, group or time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.dataset import Dataset
from automl.data.split import Split, folds, split
from automl.errors import UserError
from automl.types import Kind


def of(target, **more) -> Dataset:
    target = pd.Series(target, name="target")
    return Dataset("d", pd.DataFrame({"a": np.arange(len(target))}), target, **more)


def check(found: Split, rows: int) -> None:
    joined = np.concatenate([found.train, found.valid, found.test])
    assert sorted(joined) == list(range(rows))
    for part in (found.train, found.valid, found.test):
        assert len(part) and (np.diff(part) > 0).all()


classes = st.lists(st.integers(0, 4), min_size=12, max_size=120)


@settings(deadline=None)
@given(classes, st.integers(0, 3), st.sampled_from(["multiclass", "regression"]))
def test_every_row_stands_in_one_part(target: list[int], seed: int, kind: Kind) -> None:
    dataset = of(target)
    first, second = split(dataset, kind, seed=seed), split(dataset, kind, seed=seed)
    check(first, len(target))
    assert all((a == b).all() for a, b in zip(parts(first), parts(second), strict=True))


def parts(found: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return found.train, found.valid, found.test


def test_other_seeds_draw_other_rows() -> None:
    dataset = of([0, 1] * 100)
    assert (split(dataset, "binary", seed=0).test != split(dataset, "binary", seed=1).test).any()


@settings(deadline=None)
@given(st.lists(st.integers(8, 60), min_size=2, max_size=5))
def test_stratified(counts: list[int]) -> None:
    target = np.repeat(np.arange(len(counts)), counts)
    found = split(of(target), "multiclass")
    for c, count in enumerate(counts):
        assert abs((target[found.test] == c).sum() - 0.25 * count) <= 1
        assert (target[found.train] == c).any() and (target[found.valid] == c).any()


def test_regression_is_stratified_by_quantile() -> None:
    target = np.sort(np.random.default_rng(0).lognormal(size=400))
    found = split(of(target), "regression")
    assert abs((found.test < 200).sum() - 50) <= 3


def test_a_class_of_one_row_stays_in_training() -> None:
    found = split(of([0] * 30 + [1] * 30 + [2]), "multiclass")
    assert 60 in found.train


def test_official_split_is_kept() -> None:
    given_split = np.array((["train"] * 3 + ["test"]) * 20)
    found = split(of([0, 1] * 40, split=given_split), "binary")
    assert (found.test == np.flatnonzero(given_split == "test")).all()
    check(found, 80)
    with_valid = np.where(np.arange(80) % 8 == 0, "valid", given_split)
    found = split(of([0, 1] * 40, split=with_valid), "binary")
    assert (found.valid == np.flatnonzero(with_valid == "valid")).all()
    only_valid = np.array((["train"] * 3 + ["valid"]) * 20)
    check(split(of([0, 1] * 40, split=only_valid), "binary"), 80)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=40, max_size=120).filter(lambda g: len(set(g)) >= 4), st.integers(0, 3))
def test_groups_stay_whole(groups: list[int], seed: int) -> None:
    dataset = of(np.arange(len(groups)) % 2, group=np.array(groups))
    found = split(dataset, "binary", seed=seed)
    check(found, len(groups))
    members = [set(np.array(groups)[p]) for p in parts(found)]
    assert not (members[0] & members[1] or members[0] & members[2] or members[1] & members[2])


def test_time_runs_forward() -> None:
    time = np.random.default_rng(0).permutation(100).astype(float)
    found = split(of(np.arange(100) % 2, time=time), "binary")
    assert time[found.train].max() < time[found.valid].min() <= time[found.valid].max() < time[found.test].min()
    assert len(found.test) == 25


def test_shares() -> None:
    found = split(of([0, 1] * 500), "binary", test_share=0.1, valid_share=0.3)
    assert len(found.test) == 100 and len(found.valid) == 270
    assert len(split(of([0, 1] * 100_000), "binary").valid) == 5_000
    small = split(of([0, 1] * 20), "binary")
    assert len(small.valid) >= 6


def test_two_groups_are_too_few() -> None:
    with pytest.raises(UserError, match="group"):
        split(of([0, 1] * 10, group=np.zeros(20)), "binary")


@settings(deadline=None)
@given(classes, st.integers(2, 5))
def test_folds_cover_each_row_once(target: list[int], k: int) -> None:
    dataset, rows = of(target), np.arange(0, len(target), 1)
    made = list(folds(dataset, rows, "multiclass", k))
    assert len(made) == k
    assert sorted(np.concatenate([valid for _, valid in made])) == list(rows)
    for train, valid in made:
        assert sorted(np.concatenate([train, valid])) == list(rows)
    counts = np.array([[(np.array(target)[v] == c).sum() for c in range(5)] for _, v in made])
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()


def test_folds_of_groups_and_of_time() -> None:
    groups = np.repeat(np.arange(10), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    for train, valid in folds(of(np.arange(55) % 2, group=groups), np.arange(55), "binary", 5):
        assert not set(groups[train]) & set(groups[valid]) and 9 <= len(valid) <= 13
    time = np.arange(60)[::-1].astype(float)
    for train, valid in folds(of(np.arange(60) % 2, time=time), np.arange(60), "binary", 3):
        assert time[train].max() < time[valid].min()
    with pytest.raises(UserError, match="folds"):
        list(folds(of([0, 1]), np.arange(2), "binary", 3))
