"""The texts of a csv file as numbers, dates, true and false, where all cells of a column agree; else they stay words.

Whole columns at a time, by arrow. What needs a closer look (units, groups of digits, stray words) stays text: the
quality check reads it and tells so.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from automl.data.cells.words import BOOLS, MISSING
from automl.data.read.plain import large
from automl.data.step import Step

pc: Any = pyarrow.compute  # its functions are made at run time
_ISO = re.compile(r"\d{4}-\d\d-\d\d.*")
_MISSING = pa.array(sorted({spell(w) for w in MISSING for spell in (str.lower, str.upper, str.title)} - {""}))
_PADDED = r"^0(\d+|[xX].*)$"  # 0x1F is a number to arrow, and a name to all others
_DIGITS = r"^[+-]?\d+$"
_OPEN = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"


def typed(table: pd.DataFrame, decimal: str) -> tuple[pd.DataFrame, tuple[Step, ...]]:
    """The table and the steps that turn its cells, written as text, into what it holds.

    ``table``: columns of stripped strings, missing where a cell is empty; others stay as they are. ``decimal``: the
    sign that begins decimals in the file, empty when it is not known.
    """
    columns: dict[str, pd.Series] = {}
    steps: list[Step] = []
    for name, column in table.items():
        if isinstance(column.dtype, pd.StringDtype):
            values: Any = pa.array(column.array)  # of the Series itself it would copy text by text
            done, made = _typed(values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values]), decimal)
            column = pd.Series(done.to_pandas().array, column.index, name=name)
            steps += [Step(do, str(name), given) for do, given in made]
        columns[str(name)] = column
    return pd.DataFrame(columns, index=table.index, copy=False), tuple(steps)


def _typed(values: pa.ChunkedArray, decimal: str) -> tuple[pa.ChunkedArray, list[tuple[str, tuple[Any, ...]]]]:
    """A column read, and what Steps do the same."""
    if read := _numbers(values, decimal):
        return read[0], [("number", (read[1], ""))]
    blank = pc.is_in(values, value_set=_MISSING.cast(values.type))
    if pc.any(blank).as_py():
        values = pc.if_else(blank, pa.scalar(None, values.type), values)
        if read := _numbers(values, decimal):
            return read[0], [("number", (read[1], ""))]
    first = str(pc.first(values)).lower()
    if first in BOOLS and set(pc.unique(pc.utf8_lower(values)).to_pylist()) - {None} <= set(BOOLS):
        return pc.equal(pc.utf8_lower(values), "true").cast(pa.float64()), [("bool", ())]
    if _ISO.fullmatch(first) and (dates := _cast(values, pa.timestamp("us"))) is not None:
        return dates, [("date", ())]
    return values, [("text", ()), ("placeholder", ())]


def _numbers(values: pa.ChunkedArray, decimal: str) -> tuple[pa.ChunkedArray, str] | None:
    """int64 or float64, and the sign before decimals.

    None when a cell is no number, or when they are names: padded with zeros, or too long.
    """
    if (whole := _cast(values, pa.int64())) is not None:
        known = whole.drop_null().to_numpy()
        if large(known) or (pc.any(pc.starts_with(values, "0")).as_py() and _any(values, _PADDED)):
            return None
        return whole, decimal or "."
    sign = "."
    if decimal != "." and pc.any(pc.match_substring(values, ".")).as_py():
        points = values.filter(pc.match_substring(values, "."))
        if pc.all(pc.match_substring_regex(points, _OPEN)).as_py():
            return None  # 17.027: groups of digits, or decimals
    elif decimal == ",":
        sign = ","
        values = pc.replace_substring(values, ",", ".")
    numbers = _cast(values, pa.float64())
    if numbers is None or (pc.any(pc.starts_with(values, "0")).as_py() and _any(values, _PADDED)):
        return None
    known = numbers.drop_null().to_numpy()
    if large(known[np.isfinite(known)]) and pc.mean(pc.match_substring_regex(values, _DIGITS)).as_py() >= 0.5:
        return None
    return numbers, sign


def _cast(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        return None


def _any(values: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, pattern)).as_py())
