"""Rows that follow one another in time: windows sliding along one series, or columns that hold what came before.

Neighbours share nearly all they hold. A random split would put one of two such rows on either side, so that what
remembers wins and every score is too good (a leak from one split to another; Kapoor and Narayanan 2023).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from automl.data.columns import as_number
from automl.data.dataset import Dataset
from automl.types import Kind

SHARE = 0.9  # of the neighbours that must continue one another; the rest are where one series ends and another begins
FEWEST = 20  # neighbours that can tell
MOST_COLUMNS = 500  # that are compared, each with each


def in_order(dataset: Dataset, kind: Kind, why: list[str]) -> Dataset:
    """The data with the rows' positions as their time, where they foretell a value and follow one another.

    Nothing is changed where a time or a group says how to split, and for classes: those often come one after another.
    """
    if kind != "regression" or dataset.time is not None or dataset.group is not None:
        return dataset
    for name, array in dataset.arrays.items():
        step = sliding_step(array) if dataset.modalities.get(name) == "series" else 0
        if step:
            steps = "one step" if step == 1 else f"{step} steps"
            why.append(
                f"the rows of {name} are windows of one series, each {steps} after the one before: split by time"
            )
            return dataclasses.replace(dataset, time=np.arange(len(dataset)))
    if names := lagged(dataset.table, dataset.target):
        why.append(f"{names[1]} holds what {names[0]} held one row before: split by time")
        return dataclasses.replace(dataset, time=np.arange(len(dataset)))
    return dataset


def sliding_step(windows: np.ndarray) -> int:
    """By how many steps each row is ahead of the one before, at most half a window; 0: rows do not overlap like that.

    windows: (rows, channels, length), NaN where nothing was observed. Rows that are the same shifted or not (constant
    ones, say) can't tell.
    """
    if windows.ndim != 3 or len(windows) <= FEWEST or not np.issubdtype(windows.dtype, np.number):
        return 0
    tells = ~np.array([np.array_equal(row[:, 1:], row[:, :-1], equal_nan=True) for row in windows[1:]])
    pairs = np.flatnonzero(tells)
    if len(pairs) < FEWEST:
        return 0
    some = pairs[np.linspace(0, len(pairs) - 1, 3).astype(np.int64)]  # most steps are ruled out by three pairs
    for step in range(1, windows.shape[2] // 2 + 1):
        if continues(windows, some, step) > 0 and continues(windows, pairs, step) >= SHARE:
            return step
    return 0


def continues(windows: np.ndarray, pairs: np.ndarray, step: int) -> float:
    """Share of the ``pairs`` (positions i of rows i, i + 1) where the second row is the first, ``step`` steps on."""
    before, after = windows[pairs][..., step:], windows[pairs + 1][..., :-step]
    return float(np.isclose(before, after, rtol=1e-4, atol=1e-6, equal_nan=True).all(axis=(1, 2)).mean())


def lagged(table: pd.DataFrame, target: pd.Series) -> tuple[str, str] | None:
    """A column of numbers, or the target, and another that holds what the first held one row before; None if none does.

    Rows where the first stays as it was can't tell, nor can columns of few values.
    """
    table = table.select_dtypes("number", exclude="timedelta")
    table = table.loc[:, [column.nunique() > FEWEST for _, column in table.items()]]
    if not 1 <= table.shape[1] <= MOST_COLUMNS:
        return None
    after = table.to_numpy(np.float64, na_value=np.nan)
    held = np.column_stack([as_number(target), after])
    before, moves = held[:-1], held[:-1] != held[1:]
    after = after[1:]
    at = np.linspace(0, len(before) - 1, 15).astype(np.int64)
    may = (before[at][:, :, None] == after[at][:, None, :]).mean(axis=0) > SHARE / 2
    for first, second in zip(*np.nonzero(may), strict=True):
        if first == second + 1:  # the same column
            continue
        tells = moves[:, first] & ~np.isnan(after[:, second])
        if tells.sum() >= FEWEST and (before[:, first] == after[:, second])[tells].mean() >= SHARE:
            return str([target.name, *table.columns][first]), str(table.columns[second])
    return None
