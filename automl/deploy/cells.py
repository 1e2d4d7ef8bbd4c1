"""One raw cell to its encoded values without pandas: the readers of which ``automl.deploy.rows`` has one per column.

    cell -> a number (NaN: missing) or a text -> the steps of its column -> a number, or encoded values

A reader returns None for what it is not sure of: what must be refused or warned of, and what is of a rare type.
"""

from __future__ import annotations

import datetime
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from automl.data.cells.moments import dates_of, seconds_of
from automl.data.cells.numbers import LARGEST, Notation, number_of
from automl.data.cells.words import BOOLS, bool_of, is_missing_word, text_of
from automl.data.encode.category import MISSING, CategoryColumn
from automl.data.encode.dates import DAY, DateColumn
from automl.data.quality.parse import fold
from automl.data.step import Step

Value = float | str
"""A cell that is read; NaN: missing."""

Moment = tuple[float, ...]
"""Seconds since 1970 (UTC) and angles of the cycles; all NaN: missing."""

NUMBERS = frozenset({int, float, np.int64, np.float64})
"""Of 64 bits: narrower ones pandas compares otherwise."""

NOTHING = frozenset({type(None), type(pd.NA), type(pd.NaT)})
_BOOLS = (bool, np.bool_)
_MEMO, _MEMO_LETTERS = 1024, 64  # texts that are remembered, per column, and their letters at most
_ISO = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_INF = math.inf
_EPOCH = datetime.date(1970, 1, 1).toordinal()


def number_reader(steps: Sequence[Step]) -> Callable[[Any], float | None]:
    """Cell -> number, NaN where missing; None also where it holds what is no number of the column."""
    change = changed(steps)
    if change is None:
        return _unsure
    meant = {v for s in steps if s.do == "blank" for v in s.values}
    kept = {s.do for s in steps} <= {"number", "seconds", "placeholder", "finite"}  # a number stays as it is

    def read(cell: Any) -> float | None:
        if kept and type(cell) is float:  # most cells
            return cell if abs(cell) != _INF else None
        value = value_of(cell)
        if value is None or value in (_INF, -_INF):
            return None
        number = change(value)
        if isinstance(number, str) or abs(number) == _INF:
            return None
        known = value != value or is_missing_word(value) or (value in meant and isinstance(value, float))
        return number if number == number or known else None

    return read


def category_reader(column: CategoryColumn, steps: Sequence[Step]) -> Callable[[Any], tuple[float, ...] | None]:
    """Cell -> encoded values, as many as the column has."""
    change = changed(steps)
    if change is None:
        return _unsure
    codes = range(len(column.categories) + 1)
    encoded = list(zip(column.frequency, codes, strict=True)) if column.frequency else [(code,) for code in codes]
    encoded_of = dict(zip(map(text_of, column.categories), encoded[1:], strict=True))
    unknown, missing = encoded[0], encoded_of.get(MISSING, encoded[0])
    words = {c.lower(): c for c in column.categories if c.lower() in BOOLS}  # true and false as training spells them

    def of_cell(cell: Any) -> tuple[float, ...] | None:
        value = value_of(cell)
        if value is None:
            return None
        value = change(value)
        return missing if value != value else encoded_of.get(text_of(value), unknown)

    of_text = functools.lru_cache(_MEMO)(of_cell)

    def read(cell: Any) -> tuple[float, ...] | None:
        if words and isinstance(cell, _BOOLS):
            return of_cell(words[str(cell).lower()]) if len(words) == len(BOOLS) else None
        return of_text(cell) if type(cell) is str and len(cell) <= _MEMO_LETTERS else of_cell(cell)

    return read


def date_reader(column: DateColumn, steps: Sequence[Step]) -> Callable[[Any], Moment | None]:
    """Cell -> seconds since 1970 and an angle for each cycle of the column."""
    if not {s.do for s in steps} <= {"date", "placeholder"}:  # a word for "missing" is no date anyway
        return _unsure
    notation = next((s.values for s in steps if s.do == "date"), ())
    missing = (math.nan,) * (1 + len(column.parts))

    @functools.lru_cache(_MEMO)
    def of_text(cell: str) -> Moment | None:
        moment = _of_iso(cell) or dates_of([cell], *notation).item(0)
        if moment is None:  # not a time
            return missing if is_missing_word(cell) else None
        return angles(moment) if isinstance(moment, datetime.datetime) else None

    def angles(moment: datetime.datetime) -> Moment:
        """As in ``automl.data.encode.dates``."""
        days, clock = moment.toordinal() - _EPOCH, 3600 * moment.hour + 60 * moment.minute + moment.second
        seconds = 86_400 * days + clock
        phases = {
            "year": (86_400 * (days + _EPOCH - datetime.date(moment.year, 1, 1).toordinal()) + clock) / (365.25 * DAY),
            "month": (86_400 * (moment.day - 1) + clock) / (31 * DAY),
            "week": ((seconds / DAY + 3) % 7) / 7,
            "day": clock / DAY,
        }
        return (float(seconds), *[2 * math.pi * phases[part] for part in column.parts])

    def read(cell: Any) -> Moment | None:
        kind = type(cell)
        if kind is str:
            return of_text(cell) if len(cell) <= _MEMO_LETTERS and _writable(cell) else None
        if kind in NOTHING or (kind is float and cell != cell):
            return missing
        if kind is datetime.date:
            return of_text(str(cell))  # as it is read with pandas
        return angles(cell) if kind is datetime.datetime and cell.tzinfo is None else None

    return read


def value_of(cell: Any) -> Value | None:
    """A plain cell as a number or a text; None for any other."""
    kind = type(cell)
    if kind is float:
        return cell
    if kind is str:
        return cell if _writable(cell) else None
    if cell is None or cell is pd.NA:
        return math.nan
    if kind in _BOOLS or kind is np.float64:
        return float(cell)
    if kind is int or kind is np.int64:
        return float(cell) if -LARGEST < cell < LARGEST else None
    return None


def changed(steps: Sequence[Step]) -> Callable[[Value], Value] | None:
    """What the steps of one column make of a value, a missing one stays so; None where they need more than the cell."""
    if not all(s.do in _STEPS and all(type(v) in (str, int, float) for v in s.values) for s in steps):
        return None
    made = [_STEPS[s.do](*s.values) for s in steps]

    def change(value: Value) -> Value:
        for one in made:
            if value != value:
                break
            value = one(value)
        return value

    return change


def _unsure(cell: Any) -> None:
    return None


def _writable(text: str) -> bool:
    """Whether utf-8 can hold it: half of a pair of surrogates pandas refuses."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _of_iso(text: str) -> datetime.datetime | None:
    """The usual notation, in a hundredth of pandas' time; None for any other."""
    if not _ISO.fullmatch(text):
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
        return moment if moment.tzinfo is None else moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def _as_number(decimal: str = ".", unit: str = "") -> Callable[[Value], Value]:
    notation = Notation(decimal, unit)
    return lambda value: number_of(value, notation) if isinstance(value, str) else value


def _as_bool() -> Callable[[Value], Value]:
    return lambda value: math.nan if str(value) == "-0.0" else bool_of(value)  # among rows it is what the others are


def _as_seconds() -> Callable[[Value], Value]:
    return lambda value: seconds_of(value) if isinstance(value, str) else value


def _without_missing_words() -> Callable[[Value], Value]:
    return lambda value: math.nan if is_missing_word(value) else value


def _finite() -> Callable[[Value], Value]:
    return lambda value: number if math.isfinite(number := number_of(value)) else math.nan


def _blank(*values: Any) -> Callable[[Value], Value]:
    return lambda value: math.nan if value in values else value


def _fold(*values: Any) -> Callable[[Value], Value]:
    spelt = {fold(v): v for v in values}
    return lambda value: spelt.get(fold(text := text_of(value)), text)


def _clip(low: float, high: float) -> Callable[[Value], Value]:
    def change(value: Value) -> float:
        number = number_of(value)
        return low if number < low else high if number > high else number

    return change


_STEPS: Mapping[str, Callable[..., Callable[[Value], Value]]] = {
    "number": _as_number,
    "bool": _as_bool,
    "seconds": _as_seconds,
    "text": lambda: text_of,
    "placeholder": _without_missing_words,
    "finite": _finite,
    "blank": _blank,
    "fold": _fold,
    "clip": _clip,
}
"""Step to what makes its function of one value that is not missing, as ``automl.data.quality.clean`` has them."""
