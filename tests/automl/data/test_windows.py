"""Windows that slide along one series are found, and nothing else is."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data.dataset import Dataset
from automl.data.prepare import Prepared, prepare
from automl.data.windows import Link, intervals, lagged, sliding_step


def series(length: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(channels, length)).cumsum(axis=1)


def windows(of: np.ndarray, length: int, step: int) -> np.ndarray:
    return np.stack([of[:, i : i + length] for i in range(0, of.shape[1] - length, step)])


@given(st.integers(4, 40), st.integers(1, 20), st.integers(1, 3), st.integers(0, 99))
def test_the_step_is_found(length, step, channels, seed):
    found = sliding_step(windows(series(length + 60 * step, channels, seed), length, step))
    assert found == (step if step <= length // 2 else 0)


def test_gaps_and_several_series_one_after_another():
    one, other = series(200), series(150, seed=1)
    one[0, 40:45] = np.nan
    assert sliding_step(np.concatenate([windows(one, 12, 1), windows(other, 12, 1)]).astype(np.float32)) == 1


@pytest.mark.parametrize(
    "rows",
    [
        np.random.default_rng(0).normal(size=(100, 1, 20)),
        np.zeros((100, 1, 20)),
        np.repeat(np.arange(100.0)[:, None, None], 20, axis=2),
        np.random.default_rng(0).permutation(windows(series(200), 20, 1)),
        windows(series(40), 25, 1),  # too few to tell
        np.random.default_rng(0).integers(0, 255, size=(50, 8, 8, 3)),
        np.full((100, 1, 20), np.nan),
    ],
    ids=["noise", "zeros", "levels", "shuffled", "few", "pictures", "nothing"],
)
def test_other_rows_are_left(rows):
    assert sliding_step(rows) == 0


class TestLagged:
    """Rounded values that stay now and then, as measurements do."""

    level = pd.Series(np.random.default_rng(0).normal(size=300).cumsum().round(1), name="level")

    def test_a_column_and_the_target_one_row_before(self):
        other = pd.Series(np.random.default_rng(1).normal(size=300))
        table = pd.DataFrame({"colour": ["a", "b"] * 150, "other": other, "before": self.level.shift(1)})
        assert lagged(table, self.level) == Link("level", "before")
        pair = pd.DataFrame({"other": other, "other 1": other.shift(1)})
        assert lagged(pair, self.level) == Link("other", "other 1")
        gaps = pd.DataFrame({"before": (self.level * 10).shift(1).round().astype("Int64")})
        assert lagged(gaps, (self.level * 10).round()) == Link("level", "before")
        two = pd.DataFrame({"lag 1": self.level.shift(1), "lag 2": self.level.shift(2)})
        assert lagged(two, pd.Series(np.zeros(300), name="y")) == Link("lag 1", "lag 2")

    def test_other_tables(self):
        rng = np.random.default_rng(0)
        same = pd.DataFrame({"a": self.level, "a again": self.level, "whole": np.arange(300) % 12})
        for table in (same, pd.DataFrame(index=range(300)), pd.DataFrame(rng.integers(0, 3, (300, 4))), same[:5]):
            assert lagged(table, self.level[: len(table)]) is None
        before = pd.DataFrame({"before": self.level.shift(1)})
        order = rng.permutation(300)
        assert lagged(before.iloc[order], self.level.iloc[order]) is None

    def test_columns_of_mostly_zeros_are_not_all_compared(self):
        # Of 400 columns nearly every pair has a zero after a zero: that is no reason for a closer look.
        rng = np.random.default_rng(0)
        counts = np.where(rng.random((3_000, 400)) < 0.05, rng.integers(1, 1_000, (3_000, 400)), 0)
        table = pd.DataFrame(counts, columns=[f"c{i}" for i in range(400)])
        target = pd.Series(rng.normal(size=3_000), name="y")
        began = time.process_time()
        assert lagged(table, target) is None
        assert time.process_time() - began < 4
        assert lagged(table.assign(before=table["c3"].shift(1)), target) == Link("c3", "before")

    def test_it_is_judged_by_what_comes_later(self):
        table = pd.DataFrame({f"lag {k}": self.level.shift(k) for k in (1, 2, 3)})
        found = prepare(Dataset("levels", table, self.level), check=False)
        assert found.parts.train.rows.max() < found.parts.valid.rows.min()
        assert "lag 1 holds what level held one row before: split by row order" in found.task.why


class TestPrepare:
    @staticmethod
    def dataset(**more) -> Dataset:
        level = series(330)
        seen = windows(level, 30, 1)
        return Dataset(
            "levels", pd.DataFrame(index=range(300)), pd.Series(level[0, 30:]), {"series": seen},
            modalities={"series": "series"}, **more,
        )  # fmt: skip

    def test_a_forecast_is_judged_by_what_comes_later(self):
        found = prepare(self.dataset(), check=False)
        parts = found.parts
        assert parts.train.rows.max() < parts.valid.rows.min() <= parts.valid.rows.max() < parts.test.rows.min()
        assert any("windows of one series, each one step after" in line for line in found.task.why)

    def test_a_test_split_that_is_given_stays(self):
        given = np.where(np.arange(300) % 3 == 0, "test", "train")
        parts = prepare(self.dataset(split=given), check=False).parts
        assert (parts.test.rows % 3 == 0).all() and parts.train.rows.max() < parts.valid.rows.min()

    @pytest.mark.parametrize("change", ["group", "classes"])
    def test_groups_and_classes_are_split_as_ever(self, change):
        data = self.dataset()
        if change == "group":
            data = dataclasses.replace(data, group=np.arange(300) % 10)
        else:
            data = dataclasses.replace(data, target=pd.Series(np.where(np.arange(300) < 150, "a", "b")))
        parts = prepare(data, check=False).parts
        assert parts.train.rows.max() > parts.valid.rows.min()


def walk(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=rows).cumsum().round(2)


def prepared(table: dict, target: np.ndarray, **more) -> Prepared:
    return prepare(Dataset("d", pd.DataFrame(table), pd.Series(target, name="y"), **more), check=False)


def is_forwards(found: Prepared) -> bool:
    parts = found.parts
    return bool(parts.train.rows.max() < parts.valid.rows.min() and parts.valid.rows.max() < parts.test.rows.min())


def is_backwards(found: Prepared) -> bool:
    parts = found.parts
    return bool(parts.train.rows.min() > parts.valid.rows.max() and parts.valid.rows.min() > parts.test.rows.max())


def is_random(found: Prepared) -> bool:
    return not is_forwards(found) and not is_backwards(found) and found.dataset.time is None


class TestOrder:
    """Row order is taken for time where it is one, and the right way round."""

    level = walk(303)
    noise = np.random.default_rng(7).normal(size=300)

    @pytest.mark.parametrize("lags", [1, 2, 3])
    def test_either_way(self, lags: int) -> None:
        y = self.level[3:]
        table = {f"lag{k}": self.level[3 - k : 303 - k] for k in range(1, lags + 1)}
        assert is_forwards(prepared(table, y))
        newest_first = prepared({name: values[::-1] for name, values in table.items()}, y[::-1])
        assert is_backwards(newest_first)
        line = "lag1 holds what y held one row after: split by row order, the newest first"
        assert line in newest_first.task.why

    def test_names_that_count_say_it_where_the_target_does_not(self) -> None:
        lags = {"close t-1": self.level[2:302], "close t-2": self.level[1:301], "close t-3": self.level[:300]}
        assert is_forwards(prepared(lags, self.noise))
        assert is_backwards(prepared({name: values[::-1] for name, values in lags.items()}, self.noise))
        leads = {"lead 1": self.level[1:301], "lead 2": self.level[2:302]}
        assert is_forwards(prepared(leads, self.noise))

    def test_windows_newest_first(self) -> None:
        level = series(330)
        seen = windows(level, 30, 1)[::-1]
        found = prepared({}, level[0, 30:][::-1], arrays={"series": seen}, modalities={"series": "series"})
        assert is_backwards(found) and any("each one step before the one before" in line for line in found.task.why)

    @pytest.mark.parametrize("lengths", [[30] * 10, [8] * 40, [40, 25, 31, 60, 44, 52, 48]])
    @pytest.mark.parametrize("backwards", [False, True])
    def test_a_panel_asks_for_its_group(self, lengths: list[int], backwards: bool) -> None:
        y = np.concatenate([walk(n, seed) + 9 * seed for seed, n in enumerate(lengths)])
        last_year = np.concatenate([np.r_[np.nan, walk(n, seed)[:-1] + 9 * seed] for seed, n in enumerate(lengths)])
        country = np.repeat([f"country {i}" for i in range(len(lengths))], lengths)
        way = slice(None, None, -1 if backwards else 1)
        table = {"gdp_last_year": last_year[way], "country": country[way]}
        found = prepared(table, y[way])
        assert is_random(found)
        assert any("a series for each country: rows are split at random; set data.group" in w for w in found.task.why)
        kept = ~np.isnan(last_year)  # with the first year of each left out
        found = prepared({name: values[kept[way]] for name, values in table.items()}, y[kept][way])
        assert is_random(found) and any("set data.group" in line for line in found.task.why)

    def test_a_panel_without_a_name_is_seen_by_its_breaks(self) -> None:
        y = np.concatenate([walk(30, seed) for seed in range(10)])
        last = np.concatenate([np.r_[np.nan, walk(30, seed)[:-1]] for seed in range(10)])
        found = prepared({"last": last}, y)
        assert is_random(found) and any("not at every 30th row" in line for line in found.task.why)

    def test_a_series_with_gaps_is_one(self) -> None:
        kept = np.sort(np.random.default_rng(0).choice(np.arange(1, 303), 290, replace=False))
        assert is_forwards(prepared({"lag1": self.level[kept - 1]}, self.level[kept]))

    def test_intervals_are_no_time(self) -> None:
        ends = np.random.default_rng(0).uniform(0.5, 2, 301).cumsum().round(2)
        for way in (slice(None), slice(None, None, -1)):
            table = {"from": ends[:-1][way], "to": ends[1:][way], "grain": self.noise}
            found = prepared(table, np.sin(ends[1:] / 20)[way])
            assert is_random(found)
            assert any("from to to are intervals" in line and "data.time=from" in line for line in found.task.why)
        assert intervals(pd.DataFrame({"a": self.level[1:], "b": self.level[:-1]})) is None

    def test_two_counts_of_the_rows_tell_nothing(self) -> None:
        assert is_random(prepared({"row": np.arange(300), "no": np.arange(1, 301), "x": self.noise}, self.noise[::-1]))


class TestDates:
    """A forecast from a column of dates is judged by what comes later."""

    days = pd.date_range("2020-01-01", periods=300)
    level = walk(300)

    @pytest.mark.parametrize("order", ["forwards", "backwards", "shuffled"])
    @pytest.mark.parametrize("dates", ["days", "months", "working days", "texts"])
    def test_split_by_the_dates(self, order: str, dates: str) -> None:
        when = {
            "months": pd.date_range("1990-01-01", periods=300, freq="MS"),
            "working days": pd.bdate_range("2020-01-01", periods=300),
        }.get(dates, self.days)
        rng = np.random.default_rng(0)
        at = {"forwards": np.arange(300), "backwards": np.arange(300)[::-1]}.get(order, rng.permutation(300))
        column = when[at].strftime("%Y-%m-%d") if dates == "texts" else when[at]
        found = prepared({"day": column}, self.level[at])
        in_time = [set(at[part.rows]) for part in (found.parts.train, found.parts.valid, found.parts.test)]
        assert max(in_time[0]) < min(in_time[1]) and max(in_time[1]) < min(in_time[2])
        assert any("y goes on from one day to the next: split by day" in line for line in found.task.why)
        assert any("lags) are not made" in line for line in found.task.why)

    def test_lags_newest_first_go_by_the_dates(self) -> None:
        found = prepared({"day": self.days[::-1][:-1], "lag1": self.level[:-1][::-1]}, self.level[1:][::-1])
        assert is_backwards(found) and any(line.endswith("split by day") for line in found.task.why)

    def test_chance_has_no_time(self) -> None:
        found = prepared({"day": self.days}, np.random.default_rng(0).normal(size=300))
        assert is_random(found) and any("nothing but day to learn from" in line for line in found.task.why)

    def test_dates_that_repeat_or_jump_are_asked_about(self) -> None:
        panel = prepared({"day": self.days.repeat(2)[:300], "x": walk(300, 3)}, self.level)
        rng = np.random.default_rng(0)
        jumps = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.exponential(40, 300).cumsum().round(), unit="D")
        for found in (panel, prepared({"day": jumps, "x": walk(300, 3)}, self.level)):
            assert is_random(found)
            assert any("y goes with day: rows are split at random; set data.time=day" in w for w in found.task.why)

    def test_two_columns_of_dates_and_classes_are_left(self) -> None:
        two = prepared({"day": self.days, "other": self.days[::-1]}, self.level)
        classes = prepared({"day": self.days, "x": walk(300, 3)}, np.where(self.level > 0, "up", "down"))
        assert is_random(two) and is_random(classes)
