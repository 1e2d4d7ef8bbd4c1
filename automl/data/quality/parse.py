"""Cells that are written as text but mean a number, a date or nothing.

Every function here looks at each *distinct* value once, so a column of a million texts costs little.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pandas as pd

PLACEHOLDERS = frozenset({"", "?", "na", "n/a", "#n/a", "nan", "null", "nil", "missing", "<na>", "#value!", "#ref!"})
"""Texts (stripped, lower case) that mean "no value". "none", "-" and "unknown" are often a real answer:
left."""

_NOISE = re.compile(r"[\s$€£¥%_]")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")


def column_of(table: pd.DataFrame, name: str) -> pd.Series:
    """One column, as a Series for the type checker too (column names are unique: sources see to it)."""
    return cast(pd.Series, table[name])


def floats(column: pd.Series) -> np.ndarray:
    """A numeric or bool column as float64, NaN where missing, shape (rows,)."""
    return cast(Any, column).to_numpy(dtype=np.float64, na_value=np.nan)


def counts_of(column: pd.Series) -> list[tuple[Any, int]]:
    """The distinct values, missing ones left out, and how often each stands, most frequent first."""
    counts = cast(pd.Series, column.value_counts())
    return [(value, int(count)) for value, count in counts.items() if count > 0]


def is_numeric(column: pd.Series) -> bool:
    """Whether the column holds numbers (bool does not count)."""
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def is_texty(column: pd.Series) -> bool:
    """Whether the column may hold strings (object, string, or category of strings)."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return is_texty(pd.Series(column.cat.categories))
    return pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype)


def is_prose(column: pd.Series, alone: bool = False) -> bool:
    """Whether a column of strings is text: mostly different, and three words or more on average.

    ``alone``: it is the only column, so that single words (names) are text as well.
    """
    if not is_texty(column):
        return False
    texts = column.dropna().head(500)
    if not len(texts) or texts.nunique() < 0.5 * len(texts):
        return False
    return alone or float(np.mean([len(str(t).split()) for t in texts])) >= 3


def number_of(value: object) -> float:
    """A cell as a number; NaN when it is none.

    Understands spaces, currency and percent signs, and commas between groups of three digits ("1,234.5"); a
    lone comma that is followed by other than three digits is a decimal comma ("3,14").
    """
    if isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.bool_)):
        return float(value)
    text = _NOISE.sub("", str(value))
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    elif _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return float("nan")


def to_number(column: pd.Series) -> pd.Series:
    """The column as float64; what is no number becomes NaN (see ``number_of``)."""
    if is_numeric(column):
        return column
    codes, distinct = _distinct(column)
    plain = pd.to_numeric(pd.Series(distinct, dtype=object), errors="coerce")  # most are, and this is fast
    values = cast(Any, plain).to_numpy(dtype=np.float64, copy=True)
    for i in np.flatnonzero(np.isnan(values)):
        values[i] = number_of(distinct[i])
    return _spread(column, codes, values, np.nan)


def dates_of(values: pd.Series, day_first: bool = False) -> pd.Series:
    """Cells as datetime64 without a zone (those with one are brought to UTC); NaT when no date."""
    texts = values.astype(object).map(lambda v: str(v).strip(), na_action="ignore")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "could not infer format": each value is meant to be looked at
        parsed = pd.to_datetime(texts, errors="coerce", utc=True, format="mixed", dayfirst=day_first)
    return parsed.dt.tz_localize(None).astype("datetime64[us]")  # nanoseconds end in the year 2262


def to_date(column: pd.Series, day_first: bool = False) -> pd.Series:
    """The column as datetime64[us] in UTC without a zone; what is no date becomes NaT."""
    codes, distinct = _distinct(column)
    parsed = dates_of(pd.Series(distinct, dtype=object), day_first).to_numpy(dtype="datetime64[us]")
    return _spread(column, codes, parsed, np.datetime64("NaT", "us"))


def text_of(value: object) -> str:
    """A cell as a stripped string; a whole number has no ".0", so that 3, 3.0 and "3" are one category."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def to_text(column: pd.Series) -> pd.Series:
    """Every value as a stripped string, missing where missing."""
    return _map(column, text_of)


def without_placeholders(column: pd.Series) -> pd.Series:
    """The column with "?", "N/A", "" and their like as missing values; the other cells stay as they are."""
    if not is_texty(column):
        return column
    codes, distinct = _distinct(column)
    empty = np.array([is_placeholder(v) for v in distinct] + [False])  # the last one: missing already
    return cast(pd.Series, column.where(~empty[codes]))


def is_placeholder(value: object) -> bool:
    """Whether a cell is a text that means "no value"."""
    return isinstance(value, str) and value.strip().lower() in PLACEHOLDERS


def fold(value: object) -> str:
    """A category without case, spaces and joining signs; signs that mean something (+, <, .) stay."""
    return re.sub(r"[\s_-]+", " ", str(value)).strip().casefold()


def _distinct(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Codes, shape (rows,), -1 where missing, and the distinct values as objects."""
    codes, distinct = pd.factorize(column)
    return codes, np.asarray(distinct, dtype=object)


def _spread(column: pd.Series, codes: np.ndarray, values: np.ndarray, missing: Any) -> pd.Series:
    """One value per row from one per distinct value."""
    return pd.Series(np.append(values, missing)[codes], index=column.index, name=column.name)


def _map(column: pd.Series, function: Callable[[object], str]) -> pd.Series:
    codes, distinct = _distinct(column)
    values = np.array([function(v) for v in distinct] + [None], dtype=object)
    return pd.Series(values[codes], index=column.index, name=column.name, dtype="str")
