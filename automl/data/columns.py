"""What a table column holds: numbers, categories, dates or text. One rule for training and serving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from automl.data.cells.moments import date_notation
from automl.data.cells.reading import reading_of, to_date, to_number, to_seconds, to_text
from automl.data.dataset import Dataset
from automl.data.quality.parse import column_of, floats, is_texty
from automl.types import Modality

ColumnKind = Literal["numeric", "categorical", "datetime", "text", "empty"]

_SAMPLE = 2_000  # values that tell the kind of a column, spread evenly


def column_kinds(table: pd.DataFrame, modalities: Mapping[str, Modality] | None = None) -> dict[str, ColumnKind]:
    """The kind of each column, in order. ``modalities`` overrides it: "text", or "tabular" for what is no text."""
    known = modalities or {}
    lonely = table.shape[1] == 1
    kinds: dict[str, ColumnKind] = {}
    for name in map(str, table.columns):
        kind = "text" if known.get(name) == "text" else column_kind(column_of(table, name), lonely=lonely)
        kinds[name] = "categorical" if kind == "text" and known.get(name) == "tabular" else kind
    return kinds


def modality_of(dataset: Dataset) -> str:
    """``image``, ``tabular`` ...; joined by + where there are several."""
    kinds = column_kinds(dataset.table, dataset.modalities)
    columns = {"text" if kind == "text" else "tabular" for kind in kinds.values() if kind != "empty"}
    return "+".join(sorted(columns | {dataset.modalities[name] for name in dataset.arrays}))


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
    kinds: dict[str, ColumnKind] = {"number": "numeric", "seconds": "numeric", "date": "datetime"}
    if kind := kinds.get(reading_of(values).what):
        return kind
    return "text" if _is_text(values.astype("string"), lonely) else "categorical"


def _sample(column: pd.Series) -> pd.Series:
    known = column.dropna()
    if len(known) > _SAMPLE:
        known = known.iloc[np.linspace(0, len(known) - 1, _SAMPLE).astype(int)]
    return known


def _is_text(words: pd.Series, lonely: bool) -> bool:
    """Free text has several words and hardly repeats; a lonely column of distinct words (names) is text too.

    The numbers are by judgement and hold on the texts of ``+experiment=bench/data``; ``data.modality`` overrules them.
    """
    distinct = words.nunique() / len(words)
    count = words.str.split().str.len().mean()
    if count >= 3 and distinct > 0.3 and words.nunique() > 10:
        return True
    long = words.str.len().mean() >= 40 and distinct > 0.3 and words.nunique() > 10
    return bool(long or (lonely and distinct > 0.5 and words.nunique() > 10))


def as_number(column: pd.Series) -> np.ndarray:
    """Values as float64, NaN where they are none; texts in the notation that fits most; infinity becomes NaN."""
    if is_texty(column):
        reading = reading_of(column)
        notation = reading.found.notation
        seconds = reading.what == "seconds"
        column = to_seconds(column) if seconds else to_number(column, notation.decimal, notation.unit)
    numbers = floats(column)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def as_date(column: pd.Series) -> np.ndarray:
    """Values as datetime64[s] in UTC without a zone, NaT where they are none; in the notation that fits most."""
    notation = date_notation(column.dropna().unique()) if is_texty(column) else ()  # pyright: ignore[reportArgumentType]
    return to_date(column, *notation).to_numpy(dtype="datetime64[s]")


def as_words(column: pd.Series) -> pd.Series:
    """Values as text, missing ones as NA; whole floats lose their point, so that 3.0 and "3" are one category."""
    return to_text(column)
