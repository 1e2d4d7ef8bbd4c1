"""What a column of texts holds, decided once from its distinct values; and the column read so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from automl.data.cells.moments import date_notation, dates_of, is_date, seconds_of
from automl.data.cells.numbers import Found, Notation, find_notation, float_of, is_bound, number_of
from automl.data.cells.words import bool_of, distinct, is_missing_word, spread, text_of

MOSTLY = 0.95
"""From this share of its rows on, a column is what they are, and the rest is faulty. By judgement: with less, words
become gaps; with more, one slip in twenty makes words of a column of numbers."""

GAPS = 3
"""So many words that are no numbers may mean "no value" in a column that is numbers else. By judgement: more of them
are an answer of their own."""

SCARCE = 10
"""So many numbers for each word, or bound, that stands among them: else the words are an answer. By judgement."""

FEW = 20
"""Fewer values of several "units", such as 1st, 2nd, 3rd, are just categories. By judgement, as ``number.FEW``."""

What = Literal["number", "units", "seconds", "date", "text", "words"]


@dataclass(frozen=True)
class Reading:
    """``what`` a column holds: units are numbers in several units, text is numbers and words mixed, words is all else.

    ``found``: the notation of its numbers, if it has any. ``values``: what a Step needs to read it again.
    ``bad``: positions of the distinct values that do not read so.
    """

    what: What
    found: Found
    values: tuple[Any, ...] = ()
    bad: tuple[int, ...] = ()


def read_as(values: Sequence[object], weights: np.ndarray, decimal: str = "") -> Reading:
    """The reading of a column.

    ``values``: the distinct ones, without those that mean "no value". ``weights``: rows of each, shape (values,).
    ``decimal``: the sign that begins decimals elsewhere in the file, if it is known.
    """
    found = find_notation(values, weights, decimal)
    total = float(weights.sum())
    if not total:
        return Reading("words", found)
    bounds = np.array([is_bound(v) for v in values], dtype=bool)
    plain = found.readable & ~bounds
    if bounds.any() and plain.sum() < SCARCE * bounds.sum() and float(weights[plain].sum()) < MOSTLY * total:
        found = replace(found, numbers=found.numbers & ~bounds, readable=plain)  # of a scale such as "<18", "18", ">18"
    share = float(weights[found.readable].sum()) / total
    if not found.codes and (share >= MOSTLY or _gaps(found.readable, share)):
        notation = (found.notation.decimal, found.notation.unit)
        return Reading("number", found, notation, _where(~found.readable))
    if not found.codes and len(values) >= FEW and float(weights[found.numbers].sum()) / total >= MOSTLY:
        return Reading("units", found)
    texts = sum(isinstance(v, str) for v in values)
    if share < 0.5 or found.codes:
        seconds = np.array([not np.isnan(seconds_of(v)) for v in values])
        timed = seconds & ~found.readable
        if float(weights[seconds & ~found.numbers].sum()) >= total / 2:  # 19h among 2h 50m is a time, and no number
            timed = seconds & np.array([np.isnan(float_of(v)) for v in values])
        if float(weights[timed].sum()) / total >= MOSTLY:
            return Reading("seconds", found, (), _where(~timed))
        if float(weights[[is_date(v) for v in values]].sum()) / total >= 0.7:
            notation = date_notation(values)
            bad = np.isnat(dates_of(values, *notation))
            if float(weights[~bad].sum()) / total >= 0.7:
                return Reading("date", found, notation, _where(bad))
    return Reading("text" if 0 < texts < len(values) else "words", found)


def _where(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())


def _gaps(readable: np.ndarray, share: float) -> bool:
    """Whether a few words stand among many numbers: they say why there is no number."""
    words = int((~readable).sum())
    return share >= 0.5 and words <= GAPS and int(readable.sum()) >= SCARCE * words


def reading_of(column: pd.Series, decimal: str = "", most: int | None = None) -> Reading:
    """The reading of a column, by its ``most`` frequent values (None: all)."""
    counts = column.value_counts().iloc[:most]
    kept = [(v, c) for v, c in counts.items() if c > 0 and not is_missing_word(v)]
    return read_as([v for v, _ in kept], np.array([c for _, c in kept], dtype=np.float64), decimal)


def to_number(column: pd.Series, decimal: str = ".", unit: str = "") -> pd.Series:
    """The column as float64 in one notation; what is no number becomes NaN. Numeric columns stay as they are."""
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return column
    notation = Notation(decimal, unit)
    return _each(column, lambda value: number_of(value, notation))


def to_bool(column: pd.Series) -> pd.Series:
    """True and false, as words or numbers, as float64 1 and 0; NaN for all else."""
    return _each(column, bool_of)


def to_seconds(column: pd.Series) -> pd.Series:
    """Times of day and durations as float64 seconds, NaN for all else."""
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return column.dt.total_seconds()
    return column if pd.api.types.is_numeric_dtype(column.dtype) else _each(column, seconds_of)


def to_date(column: pd.Series, *notation: Any) -> pd.Series:
    """The column as datetime64[us] in UTC without a zone, NaT where it is no date. ``notation``: of its texts."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        plain = column if column.dt.tz is None else column.dt.tz_convert("UTC").dt.tz_localize(None)
        return plain.astype("datetime64[us]")
    if isinstance(column.dtype, pd.PeriodDtype):
        return column.dt.to_timestamp().astype("datetime64[us]")
    codes, values = distinct(column)
    return spread(column, codes, dates_of(values, *notation), np.datetime64("NaT", "us"), "datetime64[us]")


def to_text(column: pd.Series) -> pd.Series:
    """Every value as a stripped string that utf-8 can hold, missing where it is missing."""
    codes, values = distinct(column)
    return spread(column, codes, map(text_of, values), None, object).astype("str")


def without_missing_words(column: pd.Series) -> pd.Series:
    """The column with "?", "N/A", "" and their like as missing values; the other cells stay as they are."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    codes, values = distinct(column)
    empty = spread(column, codes, map(is_missing_word, values), False, bool)  # the missing ones are so already
    return cast(pd.Series, column.mask(empty)) if empty.any() else column


def _each(column: pd.Series, function: Callable[[object], float]) -> pd.Series:
    codes, values = distinct(column)
    return spread(column, codes, map(function, values), np.nan, np.float64)


READERS: Mapping[str, Callable[..., pd.Series]] = {
    "number": to_number,  # values: the sign before decimals, the unit
    "bool": to_bool,
    "seconds": to_seconds,
    "date": to_date,  # values: the notation, see ``date_notation``
    "text": to_text,
    "placeholder": without_missing_words,
}
"""Step to reader; a Step's values are the reader's arguments."""
