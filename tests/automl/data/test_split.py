"""Splits: disjoint, complete, repeatable; by class, group or time."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.dataset import TEST, TRAIN, VALID, Dataset
from automl.data.split import MAX_VALID_ROWS, Split, advised_folds, default_valid_share, folds, split
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


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_no_test_rows_where_none_are_wanted(kind: Kind) -> None:
    found = split(of([0, 1] * 20), kind, test_share=0)
    assert len(found.test) == 0 and len(found.train) + len(found.valid) == 40
    assert found.why[0] == "test: no rows are held out, as asked"
    marked = np.array([TRAIN] * 30 + [TEST] * 10, dtype=object)
    with pytest.raises(UserError, match="test_share=0 does nothing: d gives 10 rows as test"):
        split(of([0, 1] * 20, split=marked), kind, test_share=0)
    assert len(split(of([0, 1] * 20, split=marked), kind).test) == 10


def test_a_share_of_rows_that_are_given_is_refused() -> None:
    marked = np.array([TRAIN] * 20 + [VALID] * 10 + [TEST] * 10, dtype=object)
    for option in ("test_share", "valid_share"):
        with pytest.raises(UserError, match=f"{option}=0.3 does nothing: d gives 10 rows as"):
            split(of([0, 1] * 20, split=marked), "binary", **{option: 0.3})
    assert len(split(of([0, 1] * 20, split=marked), "binary").valid) == 10
    only_valid = np.where(marked == TEST, TRAIN, marked)
    assert len(split(of([0, 1] * 20, split=only_valid), "binary", test_share=0.2).test) == 6  # of what is train


def test_what_given_test_rows_do_not_keep_is_said() -> None:
    marked = np.array([TRAIN] * 30 + [TEST] * 10, dtype=object)
    patients = np.arange(40) % 20
    grouped = split(of([0, 1] * 20, split=marked, group=patients), "binary")
    assert "10 of their groups stand in other rows too" in grouped.why[0]
    late = split(of([0, 1] * 20, split=marked, time=np.arange(40.0)), "binary")
    assert late.why[0] == "test: the 10 rows that are given as test"
    early = split(of([0, 1] * 20, split=marked, time=-np.arange(40.0)), "binary")
    assert early.why[0].endswith("earlier than other rows")


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


@st.composite
def random_datasets(draw: st.DrawFn) -> tuple[Dataset, Kind]:
    """Any mixture of classes or values, groups, times with ties and given words, of 12 to 90 rows."""
    rows, rng = draw(st.integers(12, 90)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind: Kind = draw(st.sampled_from(["multiclass", "regression"]))
    target = rng.integers(0, draw(st.integers(1, 30)), rows) if kind == "multiclass" else rng.normal(size=rows)
    group = rng.integers(0, draw(st.integers(4, 40)), rows) if draw(st.booleans()) else None
    time = rng.integers(0, draw(st.integers(1, 40)), rows).astype(float) if draw(st.booleans()) else None
    words = draw(st.sampled_from([None, (TRAIN, TEST), (TRAIN, VALID), (TRAIN, VALID, TEST)]))
    return of(target, group=group, time=time, split=None if words is None else rng.choice(words, rows)), kind


@settings(max_examples=100, deadline=None)
@given(random_datasets(), st.integers(0, 3), st.sampled_from([None, 0, 3]))
def test_what_a_split_promises(data: tuple[Dataset, Kind], seed: int, fold_count: int | None) -> None:
    dataset, kind = data
    try:
        found = split(dataset, kind, seed=seed, fold_count=fold_count)
    except UserError as error:
        assert "\n" not in str(error) and any(w in str(error) for w in ("group", "rows", "folds"))
        return
    check(found, len(dataset))
    words, group, time = dataset.split, dataset.group, dataset.time
    if words is not None:
        for part, word in ((found.test, TEST), (found.valid, VALID)):
            if (words == word).any():
                assert (part == np.flatnonzero(words == word)).all()
        assert (words[found.train] == TRAIN).all()
    drawn = [] if words is not None and (words == TEST).any() else [(found.test, found.train)]
    drawn += [] if words is not None and (words == VALID).any() else [(found.valid, found.train)]
    for part, left in [*drawn, *((valid, train) for train, valid in found.folds)]:
        assert not set(part) & set(left)
        if group is not None:
            assert not set(group[part]) & set(group[left])
        several = time is not None and len(set(time[part]) | set(time[left])) > 1
        if several and group is None:
            assert time[left].max() < time[part].min()
        elif several:
            ends = {g: time[group == g].max() for g in set(group)} if words is None and not found.folds else {}
            if ends:
                assert max(ends[g] for g in group[left]) <= min(ends[g] for g in group[part])
    if group is None and time is None and kind == "multiclass" and words is None:
        counts = pd.Series(dataset.target).value_counts()
        if (counts - 1).sum() >= len(found.test) + len(found.valid):  # else some class has no row to spare
            assert set(dataset.target.iloc[found.train]) == set(counts.index)
            assert len(found.test) == max(1, round(0.25 * len(dataset)))


def test_one_rare_class_does_not_set_the_size_of_a_split() -> None:
    target = np.r_[np.zeros(50_000, int), np.ones(49_997, int), np.full(3, 2)]
    found = split(of(target), "multiclass")
    assert (len(found.test), len(found.valid), len(found.train)) == (25_000, MAX_VALID_ROWS, 70_000)
    assert (target[found.train] == 2).any() and (target[found.test] == 2).any()
    assert default_valid_share(75_000) * 75_000 == pytest.approx(MAX_VALID_ROWS)


@pytest.mark.parametrize(("classes", "each"), [(500, 2), (500, 3), (20, 40)])
def test_many_small_classes_do_not_either(classes: int, each: int) -> None:
    target = np.repeat(np.arange(classes), each)
    found = split(of(target), "multiclass")
    assert abs(len(found.test) - 0.25 * len(target)) <= 1
    assert set(target[found.train]) == set(range(classes))
    if each > 2:
        assert len(found.valid) > 0.1 * len(target)
    assert np.ptp(target[found.test]) > 0.8 * classes  # not the first ones only


def test_a_rare_class_is_judged_without_changing_the_size() -> None:
    target = np.r_[np.arange(20).repeat(3), np.full(9_940, 20)]
    found = split(of(target), "multiclass")
    assert len(found.test) == 2_500 and len(found.valid) == 1_500
    assert set(target[found.test]) == set(target[found.train]) == set(range(21))


def test_given_validation_rows_are_no_test_rows() -> None:
    words = np.array(([TRAIN] * 3 + [VALID]) * 30)
    found = split(of(np.arange(120) % 2, split=words), "binary")
    assert (found.valid == np.flatnonzero(words == VALID)).all()
    assert len(found.test) == round(0.25 * 90) and (words[found.test] == TRAIN).all()
    # A group that is partly given as validation gives no test row either.
    group = np.arange(120) // 6
    words = np.where(group < 5, np.where(np.arange(120) % 2 == 0, VALID, TRAIN), TRAIN)
    found = split(of(np.arange(120) % 2, split=words, group=group), "binary")
    assert group[found.test].min() >= 5 and (found.valid == np.flatnonzero(words == VALID)).all()


def test_rows_of_one_time_stay_together() -> None:
    years = np.repeat([2019.0, 2020.0, 2021.0], [40, 35, 25])
    found = split(of(np.arange(100) % 2, time=years), "binary")
    assert [set(years[p]) for p in parts(found)] == [{2019}, {2020}, {2021}]
    for train, valid in folds(of(np.arange(100) % 2, time=years), np.arange(100), "binary", 2):
        assert years[train].max() < years[valid].min()
    assert advised_folds(of(np.arange(100) % 2, time=years), np.arange(100), "binary") == 2
    with pytest.raises(UserError, match="folds=3 need 4 different times, there are 3"):
        list(folds(of(np.arange(100) % 2, time=years), np.arange(100), "binary", 3))


def test_one_time_gives_no_order() -> None:
    years = np.repeat([2020.0, 2021.0], [80, 20])
    found = split(of(np.arange(100) % 2, time=years), "binary")
    assert set(years[found.test]) == {2021} and len(found.valid) == 27
    assert "as all are of one time" in found.why[1] and "as all" not in found.why[0]
    assert len(split(of(np.arange(100) % 2, time=np.zeros(100)), "binary").test) == 25


@settings(max_examples=50, deadline=None)
@given(st.integers(5, 20), st.integers(0, 99))
def test_groups_go_whole_by_their_last_time(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(count), 12))
    time = rng.permutation(len(group)).astype(float)
    dataset = of(np.arange(len(group)) % 2, group=group, time=time)
    last = np.array([time[group == g].max() for g in range(count)])
    found = split(dataset, "binary")
    in_parts = [set(group[p]) for p in parts(found)]
    assert sum(map(len, in_parts)) == count
    for earlier, later in itertools.pairwise(in_parts):
        assert max(last[list(earlier)]) < min(last[list(later)])
    assert "whole groups, those that end latest" in found.why[0]
    assert abs(len(found.test) - 0.25 * len(group)) <= 6
    for train, valid in folds(dataset, np.arange(len(group)), "binary", 3):
        assert not set(group[train]) & set(group[valid])
        assert max(last[group[train]]) < min(last[group[valid]])


def test_a_panel_of_groups_and_times_keeps_groups_whole() -> None:
    group, time = np.repeat(np.arange(10), 20), np.tile(np.arange(20.0), 10)
    found = split(of(np.arange(200) % 2, group=group, time=time), "binary")
    in_parts = [set(group[p]) for p in parts(found)]
    assert sum(map(len, in_parts)) == 10 and all(in_parts)


@pytest.mark.parametrize("given", [["test"] * 20, ["valid"] * 20, ["test", "valid"] * 10])
def test_no_row_to_train_on_is_told(given: list[str]) -> None:
    with pytest.raises(UserError, match="train"):
        split(of([0, 1] * 10, split=np.array(given)), "binary")


def test_rows_that_are_held_out_leave_the_rest_as_it_is():
    dataset = frame_dataset(600)
    without, held = split(dataset, "binary"), split(dataset, "binary", hold=True)
    np.testing.assert_array_equal(held.test, without.test)
    assert len(held.held) == 100 and not len(without.held)
    everything = np.concatenate([held.train, held.valid, held.test, held.held])
    np.testing.assert_array_equal(np.sort(everything), np.arange(600))
    assert any("held out" in line for line in held.why)


def test_rows_are_held_out_unasked_only_where_they_are_plenty():
    assert not len(split(frame_dataset(6_000), "binary", hold=None).held)
    assert len(split(frame_dataset(7_000), "binary", hold=None).held) == 525
    assert not len(split(frame_dataset(7_000), "binary", hold=None, fold_count=3).held)


def test_folds_and_groups_keep_away_from_rows_that_are_held_out():
    dataset = frame_dataset(900)
    groups = np.repeat(np.arange(90), 10)
    found = split(dataclasses.replace(dataset, group=groups), "binary", hold=True, fold_count=3)
    sides = [found.held, np.concatenate([found.train, found.valid]), found.test]
    for one in range(3):
        for other in range(one):
            assert not set(groups[sides[one]]) & set(groups[sides[other]])
    assert all(not np.isin(found.held, np.concatenate(pair)).any() for pair in found.folds)


def frame_dataset(rows: int) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset("toy", pd.DataFrame({"a": rng.normal(size=rows)}), pd.Series(np.arange(rows) % 2, name="y"))


def test_the_latest_rows_are_not_held_out_unasked():
    dataset = dataclasses.replace(frame_dataset(7_000), time=np.arange(7_000.0))
    assert not len(split(dataset, "binary", hold=None).held)
    assert len(split(dataset, "binary", hold=True).held) == 525


@pytest.mark.parametrize("order", ["group", "time"])
@pytest.mark.parametrize("parts", [3, 4])
def test_a_whole_group_or_year_is_not_held_out_unasked(order: str, parts: int):
    """Nor is what could be split before refused, for want of groups to calibrate on."""
    dataset = dataclasses.replace(frame_dataset(9_000), **{order: np.arange(9_000) % parts * 1.0})
    found = split(dataset, "binary", hold=None)
    assert not len(found.held)
    check(found, 9_000)


def test_given_validation_rows_are_no_plenty_to_hold_out_of():
    given = np.array([VALID] * 6_000 + [TRAIN] * 400)
    assert not len(split(dataclasses.replace(frame_dataset(6_400), split=given), "binary", hold=None).held)
