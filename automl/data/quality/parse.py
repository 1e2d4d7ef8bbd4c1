"""Columns as the checks look at them: their kind, their values and how often each stands."""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np
import pandas as pd


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


def fold(value: object) -> str:
    """A category without case, spaces and joining signs; signs that mean something (+, <, .) stay."""
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", str(value).strip()).casefold()
