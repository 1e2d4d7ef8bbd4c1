"""What a table column holds: numbers, categories, dates or text. One rule for training and serving."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from automl.data.quality.parse import column_of, floats, to_date, to_number, to_text
from automl.types import Modality

ColumnKind = Literal["numeric", "categorical", "datetime", "text", "empty"]

# A column of words counts as numbers (or dates) when this share of its values reads as such.
READABLE = 0.95
_SAMPLE = 2_000
_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?|\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{2,4}.*|[A-Za-z]{3,9} \d{1,2},? \d{4}.*"
)


def column_kinds(table: pd.DataFrame, modalities: Mapping[str, Modality] | None = None) -> dict[str, ColumnKind]:
    """The kind of each column, in order. ``modalities`` overrides it: "text", or "tabular" for what is no text."""
    known = modalities or {}
    lonely = table.shape[1] == 1
    kinds: dict[str, ColumnKind] = {}
    for name in map(str, table.columns):
        kind = "text" if known.get(name) == "text" else column_kind(column_of(table, name), lonely=lonely)
        kinds[name] = "categorical" if kind == "text" and known.get(name) == "tabular" else kind
    return kinds


def column_kind(column: pd.Series, *, lonely: bool = False) -> ColumnKind:
    """The kind of one column. ``lonely``: it is the only feature, so distinct words are text and no identifiers."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return "datetime"
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        return "numeric" if column.notna().any() else "empty"
    values = _sample(column)
    if len(values) == 0:
        return "empty"
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "categorical"
    if np.isfinite(as_number(values)).mean() >= READABLE:
        return "numeric"
    words = values.astype("string")
    dated = words.map(lambda v: bool(_DATE.fullmatch(v)), na_action="ignore").mean() >= READABLE
    if dated and np.mean(~np.isnat(as_date(values))) >= READABLE:
        return "datetime"
    return "text" if _is_text(words, lonely) else "categorical"


def _sample(column: pd.Series) -> pd.Series:
    known = column.dropna()
    if len(known) > _SAMPLE:
        known = known.iloc[np.linspace(0, len(known) - 1, _SAMPLE).astype(int)]
    return known


def _is_text(words: pd.Series, lonely: bool) -> bool:
    """Free text has several words and hardly repeats; a lonely column of distinct words (names) is text too."""
    distinct = words.nunique() / len(words)
    count = words.str.split().str.len().mean()
    if count >= 3 and distinct > 0.3 and words.nunique() > 10:
        return True
    long = words.str.len().mean() >= 40 and distinct > 0.3 and words.nunique() > 10
    return bool(long or (lonely and distinct > 0.5 and words.nunique() > 10))


def as_number(column: pd.Series) -> np.ndarray:
    """Values as float64, NaN where they are none: reads "1,234.5", "12 %" and "$3"; infinity becomes NaN."""
    numbers = floats(column if pd.api.types.is_bool_dtype(column.dtype) else to_number(column))
    return np.where(np.isfinite(numbers), numbers, np.nan)


def as_date(column: pd.Series) -> np.ndarray:
    """Values as datetime64[s] in UTC without a zone, NaT where they are none."""
    return to_date(column).to_numpy(dtype="datetime64[s]")


def as_words(column: pd.Series) -> pd.Series:
    """Values as text, missing ones as NA; whole floats lose their point, so that 3.0 and "3" are one category."""
    return to_text(column)
