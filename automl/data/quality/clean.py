"""The column repairs: one function for training and serving."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from automl.data.quality.findings import Step
from automl.data.quality.parse import (
    column_of,
    floats,
    fold,
    is_numeric,
    to_date,
    to_number,
    to_text,
    without_placeholders,
)


def clean(table: pd.DataFrame, steps: Iterable[Step]) -> pd.DataFrame:
    """A table with the steps applied in order; the one given stays as it is.

    A column that is not there is passed over: new data may lack columns that were dropped anyway, and it is
    the encoding that says which ones it needs. Raises ValueError for an unknown step.
    """
    out = table.copy(deep=False)
    dropped: set[str] = set()
    for step in steps:
        if step.do != "drop" and step.do not in _STEPS:
            raise ValueError(f"unknown repair step '{step.do}' for column '{step.column}'")
        if step.column not in out.columns:
            continue
        if step.do == "drop":
            dropped.add(step.column)
        else:
            out[step.column] = _STEPS[step.do](column_of(out, step.column), step.values)
    return out.drop(columns=sorted(dropped)) if dropped else out


def clean_arrays(arrays: Mapping[str, np.ndarray], steps: Iterable[Step]) -> dict[str, np.ndarray]:
    """Arrays with the steps that concern them: infinite values become NaN. The ones given stay as they
    are.
    """
    out = dict(arrays)
    for step in steps:
        if step.column in out and step.do == "finite":
            array = np.asarray(out[step.column])
            out[step.column] = np.where(np.isinf(array), np.array(np.nan, array.dtype), array)
    return out


def _finite(column: pd.Series, _: tuple[Any, ...]) -> pd.Series:
    if not is_numeric(column):
        column = to_number(column)
    return cast(pd.Series, column.where(np.isfinite(floats(column))))


def _blank(column: pd.Series, values: tuple[Any, ...]) -> pd.Series:
    return cast(pd.Series, column.where(~column.isin(list(values))))


def _fold(column: pd.Series, values: tuple[Any, ...]) -> pd.Series:
    spelt = {fold(v): v for v in values}
    return to_text(column).map(lambda v: spelt.get(fold(v), v), na_action="ignore").astype("str")


def _clip(column: pd.Series, values: tuple[Any, ...]) -> pd.Series:
    return to_number(column).clip(lower=values[0], upper=values[1])


_STEPS: Mapping[str, Callable[[pd.Series, tuple[Any, ...]], pd.Series]] = {
    "number": lambda column, _: to_number(column),  # text -> float64
    "date": lambda column, values: to_date(column, *values),  # text -> datetime64; values: day first?
    "text": lambda column, _: to_text(column),  # numbers and texts mixed -> text
    "placeholder": lambda column, _: without_placeholders(column),  # "?" -> missing
    "finite": _finite,  # infinite -> missing
    "blank": _blank,  # these values -> missing
    "fold": _fold,  # spellings of one category -> the commonest one in training (values: those)
    "clip": _clip,  # into [lowest, highest]
}
