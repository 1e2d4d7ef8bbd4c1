"""Rows that follow one another in time: windows sliding along one series, or columns that hold what came before.

Neighbours share nearly all they hold. A random split would put one of two such rows on either side, so that what
remembers wins and every score is too good (a leak from one split to another; Kapoor and Narayanan 2023).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from automl.data.columns import as_date, as_number, column_kind
from automl.data.dataset import Dataset
from automl.data.quality.parse import column_of, is_texty
from automl.types import Kind

# By judgement. Too strict, and a leak is not seen; too mild, and a table whose rows have no order is judged by its last
# rows alone.
SHARE = 0.9  # of the neighbours that must continue one another; the rest are where one series ends and another begins
FEWEST = 20  # neighbours that can tell
MOST_COLUMNS = 500  # that are compared, each with each
SHORT = 0.6  # of them where it is many short series
SERIES = 3  # so many series one after another, of one length, are a panel
REGULAR = 0.75  # of the steps from date to date that are about as long as most: working days have a weekend
GOES_WITH = 0.3  # correlation of the target with itself one date before, from which a random split would flatter

_LEAD = re.compile(r"\+|lead|next|ahead", re.IGNORECASE)


@dataclass(frozen=True)
class Link:
    """``held``: the column that holds what ``first`` (a column, or the target) held in the row before.

    ``breaks``: positions of the rows where it does not, though ``first`` had moved. ``backwards``: the row *after* is
    meant, as where the newest row stands first.
    """

    first: str
    held: str
    breaks: tuple[int, ...] = ()
    backwards: bool = False

    def __str__(self) -> str:
        return f"{self.held} holds what {self.first} held one row {'after' if self.backwards else 'before'}"


def in_order(dataset: Dataset, kind: Kind, why: list[str]) -> Dataset:
    """The data with a time for each row, where rows foretell a value and one follows another.

    The time is that of the only column of dates, if each row has its own, else the position of the row, forwards or
    backwards. Nothing is changed where a time or a group says how to split, and for classes: those often come one after
    another. Where rows follow one another but in no order of time (several series one after another, intervals), a
    note says what to set.
    """
    if kind != "regression" or dataset.time is not None or dataset.group is not None:
        return dataset
    rows = np.arange(len(dataset))
    for name, array in dataset.arrays.items():
        if dataset.modalities.get(name) != "series":
            continue
        for way, backwards in ((array, False), (array[::-1], True)):
            if step := sliding_step(way):
                steps = "one step" if step == 1 else f"{step} steps"
                side = "before the one before" if backwards else "after the one before"
                why.append(f"the rows of {name} are windows of one series, each {steps} {side}: split by row order")
                return dataclasses.replace(dataset, time=-rows if backwards else rows)
    dates = only_dates(dataset.table)
    own = dates is not None and len(np.unique(dates[1])) == len(rows)
    link = lagged(dataset.table, dataset.target)
    short = link or lagged(dataset.table, dataset.target, SHORT)
    if short and (panel := several_series(dataset.table, short)):
        why.append(f"{short}, but {panel}: rows are split at random; set data.group or data.time")
        return dataset
    if link:
        if dates is not None and own:
            why.append(f"{link}: split by {dates[0]}")
            return dataclasses.replace(dataset, time=dates[1])
        why.append(f"{link}: split by row order" + (", the newest first" if link.backwards else ""))
        return dataclasses.replace(dataset, time=-rows if link.backwards else rows)
    if names := intervals(dataset.table):
        why.append(
            f"{names[0]} to {names[1]} are intervals one after another, in time or in a depth: rows are split at "
            f"random; set data.time={names[0]} if the later are to judge"
        )
    if dates is None:
        return dataset
    if follows_itself(dates[1], dataset.target):
        if own and regular(dates[1]):
            lags = "" if dataset.table.shape[1] > 1 else "; columns of earlier values (lags) are not made"
            why.append(f"{dataset.target.name} goes on from one {dates[0]} to the next: split by {dates[0]}{lags}")
            return dataclasses.replace(dataset, time=dates[1])
        why.append(
            f"{dataset.target.name} goes with {dates[0]}: rows are split at random; set data.time={dates[0]} if new "
            "rows are later ones"
        )
    elif dataset.table.shape[1] == 1:
        why.append(
            f"there is nothing but {dates[0]} to learn from: rows are split at random; a forecast needs columns of "
            "earlier values (lags)"
        )
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


def lagged(table: pd.DataFrame, target: pd.Series, share: float = SHARE) -> Link | None:
    """A column of numbers, or the target, and another that holds what the first held one row before; None if none does.

    Rows where the first stays as it was can't tell, nor can columns of few values. Rows may run either way: what holds
    the target of another row holds that of an earlier time. Without the target, names that count say it (of lag 1 and
    lag 2 the second is the older), and else the rows run forwards. Where ends of intervals meet, that is no order in
    time.
    """
    numbers = _moving_numbers(table)
    if numbers is None:
        return None
    names = [str(target.name), *map(str, numbers.columns)]
    held = np.column_stack([as_number(target), numbers.to_numpy(np.float64, na_value=np.nan)])
    for way, backwards in ((held, False), (held[::-1], True)):
        for first, second, breaks in _links(way, share):
            if first == 0:
                at = len(way) - breaks if backwards else breaks
                return Link(names[0], names[second], tuple(map(int, np.sort(at))), backwards)
    for first, second, breaks in _links(held, share):
        if first == 0 or _is_interval(held[:, second], held[:, first]):
            continue
        if _newest_first(names[first], names[second]):
            return Link(names[second], names[first], tuple(map(int, breaks)), True)
        return Link(names[first], names[second], tuple(map(int, breaks)))
    return None


def intervals(table: pd.DataFrame) -> tuple[str, str] | None:
    """Two columns (begin, end) where an interval begins as the one before ended; None if there are none."""
    numbers = _moving_numbers(table)
    if numbers is None:
        return None
    held = numbers.to_numpy(np.float64, na_value=np.nan)
    for first, second, _ in _links(held, SHARE, with_target=False):
        if _is_interval(held[:, first], held[:, second]):
            begin, end = sorted((first, second), key=lambda i: float(np.nanmedian(held[:, i])))
            return str(numbers.columns[begin]), str(numbers.columns[end])
    return None


def _moving_numbers(table: pd.DataFrame) -> pd.DataFrame | None:
    """The columns of numbers that are not of a few values; None when there are none, or too many."""
    table = table.select_dtypes("number", exclude="timedelta")
    table = table.loc[:, [column.nunique() > FEWEST for _, column in table.items()]]
    return table if 1 <= table.shape[1] <= MOST_COLUMNS else None


def _links(held: np.ndarray, share: float, with_target: bool = True) -> Iterator[tuple[int, int, np.ndarray]]:
    """(first, second, breaks): column ``second`` holds what ``first`` held one row before, but in the rows ``breaks``.

    held: float (rows, columns). ``with_target``: column 0 is the target, which holds nothing of another. What goes on
    in equal steps can't tell: a count from 0 is what a count from 1 was one row before.
    """
    before, after, steps = held[:-1], held[1:], np.diff(held, axis=0)
    usual = np.nanmedian(held, axis=0)  # zeros meet by chance in columns of mostly zeros: the other values tell
    for first in range(held.shape[1]):
        moved = (steps[:, first] != 0) & ~np.isnan(before[:, first])
        rows = np.flatnonzero(moved & (before[:, first] != usual[first]))
        if len(rows) == 0:
            continue
        some = rows[np.linspace(0, len(rows) - 1, 15).astype(np.int64)]
        may = (before[some, first, None] == after[some]).mean(axis=0) > SHARE / 2
        may[0] &= not with_target
        may[first] = False
        for second in np.flatnonzero(may):
            tells = moved & ~np.isnan(after[:, second])
            same = before[:, first] == after[:, second]
            if tells.sum() < FEWEST or same[tells].mean() < share:
                continue
            if (steps[tells, first] == np.nanmedian(steps[tells, first])).mean() < share:
                yield first, int(second), np.flatnonzero(moved & ~same) + 1


def _is_interval(begin: np.ndarray, end: np.ndarray) -> bool:
    """Whether each row is a stretch from ``begin`` to ``end``, and the stretches go one way along the rows."""
    known = ~np.isnan(begin) & ~np.isnan(end)
    begin, end = begin[known], end[known]
    if len(begin) < 2 or not ((begin < end).all() or (begin > end).all()):
        return False
    return bool((np.diff(begin) >= 0).mean() >= SHARE or (np.diff(begin) <= 0).mean() >= SHARE)


def _newest_first(first: str, held: str) -> bool:
    """Whether names that count, such as lag 2 and lag 1, say that ``held`` is younger than ``first``."""
    counts = [re.findall(r"\d+", name) for name in (first, held)]
    if not all(counts) or re.sub(r"\d+", "", first) != re.sub(r"\d+", "", held):
        return False
    older = int(counts[0][-1]) > int(counts[1][-1])
    return older != bool(_LEAD.search(first))


def several_series(table: pd.DataFrame, link: Link) -> str:
    """Why the rows are several series one after another, in words; empty when they are one.

    A column changes just where the link breaks, or the breaks are at equal distances.
    """
    if not link.breaks:
        return ""
    breaks = set(link.breaks)
    for name in map(str, table.columns):
        column = column_of(table, name)
        if column.isna().any():
            continue
        values = column.to_numpy()
        changes = set((np.flatnonzero(values[1:] != values[:-1]) + 1).tolist())
        if changes and len(changes & breaks) >= 0.8 * len(changes | breaks):
            return f"not where {name} changes, so that there is a series for each {name}"
    lengths = np.diff([0, *sorted(breaks), len(table)])
    if len(lengths) >= SERIES and lengths.min() >= 2 and lengths.max() <= 1.1 * np.median(lengths):
        return f"not at every {int(np.median(lengths))}th row, as of {len(lengths)} series one after another"
    return ""


def only_dates(table: pd.DataFrame) -> tuple[str, np.ndarray] | None:
    """The name and the times (float seconds) of the only column of dates; None when there is none, or a gap in it."""
    found: list[str] = []
    for name in map(str, table.columns):
        column = column_of(table, name)
        dated = pd.api.types.is_datetime64_any_dtype(column.dtype)
        if dated or (is_texty(column) and column_kind(column) == "datetime"):
            found.append(name)
    if len(found) != 1:
        return None
    dates = as_date(column_of(table, found[0]))
    return None if np.isnat(dates).any() else (found[0], dates.astype(np.int64).astype(np.float64))


def regular(times: np.ndarray) -> bool:
    """Whether the steps from time to time are mostly about as long as most of them."""
    steps = np.diff(np.sort(times))
    usual = float(np.median(steps)) if len(steps) else 0.0
    return bool(usual > 0 and ((steps >= 0.5 * usual) & (steps <= 1.5 * usual)).mean() >= REGULAR)


def follows_itself(times: np.ndarray, target: pd.Series) -> bool:
    """Whether the target goes with itself one row before, in the order of the times, more than by chance."""
    values = pd.Series(as_number(target)).rank().to_numpy()[np.argsort(times, kind="stable")]
    values = values[~np.isnan(values)]
    if len(values) < FEWEST or np.ptp(values) == 0:
        return False
    return float(np.corrcoef(values[:-1], values[1:])[0, 1]) > max(GOES_WITH, 3 / np.sqrt(len(values)))
