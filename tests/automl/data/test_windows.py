"""Windows that slide along one series are found, and nothing else is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data.dataset import Dataset
from automl.data.prepare import prepare
from automl.data.windows import lagged, sliding_step


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
        assert lagged(table, self.level) == ("level", "before")
        assert lagged(pd.DataFrame({"other": other, "other 1": other.shift(1)}), self.level) == ("other", "other 1")
        gaps = pd.DataFrame({"before": (self.level * 10).shift(1).round().astype("Int64")})
        assert lagged(gaps, (self.level * 10).round()) == ("level", "before")
        two = pd.DataFrame({"lag 1": self.level.shift(1), "lag 2": self.level.shift(2)})
        assert lagged(two, pd.Series(np.zeros(300), name="y")) == ("lag 1", "lag 2")

    def test_other_tables(self):
        rng = np.random.default_rng(0)
        same = pd.DataFrame({"a": self.level, "a again": self.level, "whole": np.arange(300) % 12})
        for table in (same, pd.DataFrame(index=range(300)), pd.DataFrame(rng.integers(0, 3, (300, 4))), same[:5]):
            assert lagged(table, self.level[: len(table)]) is None
        before = pd.DataFrame({"before": self.level.shift(1)})
        order = rng.permutation(300)
        assert lagged(before.iloc[order], self.level.iloc[order]) is None

    def test_it_is_judged_by_what_comes_later(self):
        table = pd.DataFrame({f"lag {k}": self.level.shift(k) for k in (1, 2, 3)})
        found = prepare(Dataset("levels", table, self.level), check=False)
        assert found.parts.train.rows.max() < found.parts.valid.rows.min()
        assert "lag 1 holds what level held one row before: split by time" in found.task.why


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
