"""Steps, which are conversions of loading and repairs of the check: one function for training and serving."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from automl.data.cells.reading import READERS, to_number, to_text
from automl.data.quality.findings import Step
from automl.data.quality.parse import floats, fold, is_numeric


def clean(table: pd.DataFrame, steps: Iterable[Step]) -> pd.DataFrame:
    """A table with the steps applied in order; the one given stays as it is.

    A column that is not there is passed over: new data may lack columns that were dropped anyway, and it is
    the encoding that says which ones it needs. Raises ValueError for an unknown step.
    """
    columns = {str(name): column for name, column in table.items()}  # pandas takes long to set one in a frame
    for step in steps:
        if step.do != "drop" and step.do not in _STEPS:
            raise ValueError(f"unknown repair step '{step.do}' for column '{step.column}'")
        if step.do == "drop":
            columns.pop(step.column, None)
        elif step.column in columns:
            columns[step.column] = _STEPS[step.do](columns[step.column], *step.values)
    out = pd.DataFrame(columns, index=table.index, copy=False)
    return out.set_axis(table.columns[[str(name) in columns for name in table.columns]], axis=1)


def clean_arrays(arrays: Mapping[str, np.ndarray], steps: Iterable[Step]) -> dict[str, np.ndarray]:
    """Arrays with the steps that concern them: infinite values become NaN. The ones given stay as they
    are.
    """
    out = dict(arrays)
    for step in steps:
        if step.column in out and step.do == "finite":
            array = np.asarray(out[step.column])
            if array.dtype.kind == "f":
                out[step.column] = np.where(np.isinf(array), np.array(np.nan, array.dtype), array)
    return out


def _finite(column: pd.Series) -> pd.Series:
    if not is_numeric(column):
        column = to_number(column)
    return cast(pd.Series, column.where(np.isfinite(floats(column))))


def _blank(column: pd.Series, *values: Any) -> pd.Series:
    return cast(pd.Series, column.where(~column.isin(list(values))))


def _fold(column: pd.Series, *values: Any) -> pd.Series:
    spelt = {fold(v): v for v in values}
    return to_text(column).map(lambda v: spelt.get(fold(v), v), na_action="ignore").astype("str")


def _clip(column: pd.Series, low: float, high: float) -> pd.Series:
    return to_number(column).clip(lower=low, upper=high)


_STEPS: Mapping[str, Callable[..., pd.Series]] = {
    **READERS,  # text -> number, bool, seconds, date; numbers and texts mixed -> text; "?" -> missing
    "finite": _finite,  # infinite -> missing
    "blank": _blank,  # these values -> missing
    "fold": _fold,  # spellings of one category -> the commonest one in training (values: those)
    "clip": _clip,  # into [lowest, highest]
}
"""Step to function; a Step's values are the function's arguments."""
