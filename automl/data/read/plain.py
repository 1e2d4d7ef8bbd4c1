"""Columns of any type that pandas or arrow knows as numbers, dates and texts, and the Step that does it again."""

from __future__ import annotations

import decimal
import numbers
from typing import Any

import numpy as np
import pandas as pd

from automl.data.cells.numbers import LARGEST
from automl.data.cells.reading import READERS
from automl.data.cells.words import plain_text, text_of
from automl.data.quality.parse import column_of, floats
from automl.data.step import Step
from automl.errors import UserError

_NESTED = (list, dict, set, tuple, np.ndarray, pd.Series)
_TRUTHS = {bool, np.bool_}
_NUMBERS = (numbers.Real, decimal.Decimal, np.bool_)


def plain(table: pd.DataFrame, origin: str) -> tuple[pd.DataFrame, tuple[Step, ...]]:
    """Numpy dtypes, datetime64 and strings: bools as 0 and 1, times and durations as seconds, periods as dates.

    Whole numbers too large for a float name something, so they become texts. Texts stay as they are, but for signs
    that utf-8 cannot hold. Raises UserError for lists and complex numbers.
    """
    changed: dict[str, pd.Series] = {}
    steps: list[Step] = []
    for name in map(str, table.columns):
        column = column_of(table, name)
        if isinstance(column.dtype, pd.SparseDtype):
            column = changed[name] = column.sparse.to_dense()
        if isinstance(column.dtype, pd.ArrowDtype):
            column = changed[name] = _of_arrow(column, origin)
        if not getattr(column.dtype, "isnative", True):
            column = changed[name] = pd.Series(plain_array(column.to_numpy()), column.index, name=column.name)
        if what := _reader(column, origin):
            changed[name] = READERS[what](column)
            steps.append(Step(what, name))
    if changed:
        table = table.copy(deep=False)
        for name, column in changed.items():  # not as keywords of assign: a column may be called self
            table[name] = column
    return table, tuple(steps)


def as_pandas(data: Any) -> Any:
    """A frame of polars or a table of pyarrow as a DataFrame: an array of it has lost the names. All else as it is."""
    return data.to_pandas() if hasattr(data, "to_pandas") else data


def plain_names(table: pd.DataFrame, origin: str) -> pd.DataFrame:
    """The table with its names as texts and rows from 0. Raises UserError for one that stands twice."""
    if isinstance(table.columns, pd.MultiIndex):
        table = table.set_axis(["_".join(map(str, c)) for c in table.columns], axis=1)
    names = [plain_text(str(c)) for c in table.columns]
    repeated = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise UserError(f"column name {repeated[0]!r} stands twice in {origin}; rename one of them")
    return table.set_axis(pd.Index(names, dtype=object), axis=1).reset_index(drop=True)


def plain_array(array: np.ndarray) -> np.ndarray:
    """The array in this machine's order of bytes; what is masked is NaN, or None among words."""
    if isinstance(array, np.ma.MaskedArray):
        numbers = array.dtype.kind in "biuf"
        values = array.data.astype(np.result_type(array.dtype, np.float32) if numbers else object)
        values[np.ma.getmaskarray(array)] = np.nan if numbers else None
        array = values
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def large(values: np.ndarray) -> bool:
    """Whether most of these whole numbers are too large for a float to tell apart."""
    return bool(len(values)) and bool(np.median(np.abs(values.astype(np.float64))) >= LARGEST)


def _reader(column: pd.Series, origin: str) -> str:
    """The step that a column needs, empty when it is plain already."""
    kind = column.dtype
    if kind.kind == "c":
        raise UserError(f"column {column.name!r} in {origin} holds complex numbers; give their parts as two columns")
    if kind.kind == "m":
        return "seconds"
    if isinstance(kind, pd.PeriodDtype):
        return "date"
    if pd.api.types.is_bool_dtype(kind):
        return "bool"
    if pd.api.types.is_integer_dtype(kind):
        return "text" if large(column.dropna().to_numpy()) else ""
    return _object_reader(column, origin) if pd.api.types.is_object_dtype(kind) else ""


def _object_reader(column: pd.Series, origin: str) -> str:
    known = column.dropna()
    types = set(map(type, known))
    if bad := next((t for t in types if issubclass(t, _NESTED)), None):
        row = next(i for i, v in enumerate(column) if type(v) is bad)
        raise UserError(
            f"column {column.name!r} in {origin} holds a {bad.__name__} in row {row + 1}; keep one number or text per "
            "cell, or give an array for images and series (npz)"
        )
    if types & _TRUTHS and all(issubclass(t, _NUMBERS) for t in types):
        return "bool" if known.isin([0, 1]).all() else "number"
    if types and types <= {int, np.int64, np.uint64}:
        return "text" if large(floats(known)) else ""
    mended = str in types and any(isinstance(v, str) and text_of(v) != v.strip() for v in known)
    return "text" if mended or bytes in types else ""


def _of_arrow(column: pd.Series, origin: str) -> pd.Series:
    """A column that arrow holds, as numpy and pandas hold it."""
    import pyarrow as pa  # who holds such a column has it; a small install need not

    values: Any = pa.array(column.array)
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
        kind = kind.value_type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise UserError(
            f"column {column.name!r} in {origin} holds lists or bytes; keep plain columns, or use npz for arrays"
        )
    if pa.types.is_date(kind):
        values = values.cast(pa.timestamp("s"))
    elif pa.types.is_decimal(kind) or pa.types.is_null(kind):
        values = values.cast(pa.float64())
    series = values.to_pandas()
    return pd.Series(series.to_numpy() if series.dtype == object else series.array, column.index, name=column.name)
