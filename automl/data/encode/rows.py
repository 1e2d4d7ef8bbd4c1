"""Rows from a client, as raw as they come, to a Dataset: the same form that a source gives.

    rows in any form -> columns by name -> plain cells (as a source does) -> steps (loading, repairs) -> Dataset

What cannot be what the model learned from is refused; a cell that held a value and reads as none is told.
"""

from __future__ import annotations

import datetime
import decimal
import logging
import math
import numbers
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import pandas as pd

from automl.data.cells.numbers import BOOL_TYPES
from automl.data.cells.words import BOOLS, is_missing_word
from automl.data.columns import as_date, as_number
from automl.data.dataset import Dataset
from automl.data.encode.image import from_bytes
from automl.data.encode.media import ARRAYS, array_of
from automl.data.quality.clean import clean, clean_arrays
from automl.data.quality.parse import column_of
from automl.data.read import audio
from automl.data.read.files import short
from automl.data.read.plain import as_pandas, plain, plain_names
from automl.data.step import Step
from automl.errors import UserError

_CELLS = (
    *(str, numbers.Real, np.generic, type(None), type(pd.NA), type(pd.NaT)),
    *(datetime.date, datetime.time, datetime.timedelta, pd.Period),
)
# By kind: how a column is read, and what it is then.
_READERS = {"numeric": (as_number, "number"), "datetime": (as_date, "date")}
ORIGIN = "the rows"
log = logging.getLogger(__name__)


def rows_to_dataset(
    fields: Sequence[Mapping[str, Any]],
    rows: Any,
    steps: Sequence[Step] = (),
    columns: Sequence[str] = (),
    *,
    tell: bool = True,
) -> Dataset:
    """A Dataset without target from raw rows in any of these forms.

    A DataFrame (of polars too), or a table of pyarrow; a list of rows (name -> value), or one such row; name -> column
    of all rows; or an array whose first axis is the row: of the training table's shape, ``columns`` naming them in that
    order, or of the model's only input.

    ``fields``: as ``Encoding.fields`` gives them. A column may be left out of a row (a missing value) but not of all.
    ``steps``: what loading and repairs did at training, which the new rows undergo too.
    An image is a nested list or array of values as in training, or a png or jpeg file, as bytes or base64 text; a
    sound is a spectrogram, or a wav file likewise. None is a black picture or silence, as at training. Unknown columns
    are ignored. ``tell``: whether to warn of a cell that holds something which is no value of its column. Raises
    UserError that names the row and the column.
    """
    given = _columns(rows, fields, columns)
    count = max((len(v) for v in given.values()), default=0)
    if count == 0:
        raise UserError("no rows were given; send at least one")
    index = pd.RangeIndex(count)  # one for all columns: aligning them takes long
    table: dict[str, pd.Series] = {}
    arrays: dict[str, np.ndarray] = {}
    for field in fields:
        name = field["name"]
        if name not in given:
            wanted = ", ".join(f["name"] for f in fields[:8])
            raise UserError(f"column {name!r} is absent from the rows; the model needs: {wanted}")
        if field["kind"] in ARRAYS:
            arrays[name] = array_of(field, given[name])
        else:
            table[name] = _spelt(field, _series(name, given[name], index))
    steps = _straight(steps)
    raw, _ = plain(pd.DataFrame(table, index=index, copy=False), ORIGIN)
    frame = clean(raw, serving_steps(fields, steps))
    if tell:
        _tell_unread(fields, table, frame, steps)
    return Dataset(
        name="rows",
        table=frame,
        target=pd.Series([None] * count, name="target", dtype=object),
        arrays=clean_arrays(arrays, steps),
        modalities={f["name"]: f["kind"] for f in fields if f["kind"] in (*ARRAYS, "text")},
        origin="rows",
    )


def serving_steps(fields: Sequence[Mapping[str, Any]], steps: Sequence[Step]) -> list[Step]:
    """The steps that raw rows undergo, from those of training, so that each cell is read alone."""
    straight = _straight(steps)
    return [*_plain_readings(fields, straight), *straight]


def _plain_readings(fields: Sequence[Mapping[str, Any]], steps: Sequence[Step]) -> list[Step]:
    """Steps for columns that held numbers and dates as such at training: a text among them is read one way, not in the
    notation of whatever rows are sent along.
    """
    read = {s.column for s in steps if s.do in ("number", "bool", "seconds", "date")}
    step = {"numeric": "number", "datetime": "date"}
    return [Step(step[f["kind"]], f["name"]) for f in fields if f["kind"] in step and f["name"] not in read]


def _straight(steps: Sequence[Step]) -> list[Step]:
    """The steps without those that make texts of what another reads: a number that is sent is one already, and its text
    could mean another in the notation of the training file (17.027 is 17027 in German).
    """
    last = {s.column: i for i, s in enumerate(steps) if s.do in ("number", "seconds", "date")}
    return [s for i, s in enumerate(steps) if s.do != "text" or i > last.get(s.column, -1)]


def _spelt(field: Mapping[str, Any], column: pd.Series) -> pd.Series:
    """True and false as the training rows spell them, where they are categories beside others ("true", "unknown"), and
    else as the numbers that they are where they stand alone.
    """
    words = {c.lower(): c for c in field.get("categories", ()) if c.lower() in BOOLS}
    if column.dtype != object and not (words and pd.api.types.is_bool_dtype(column.dtype)):
        return column
    if not any(isinstance(v, BOOL_TYPES) for v in column):
        return column
    cells = [words.get(str(v).lower(), float(v)) if isinstance(v, BOOL_TYPES) else v for v in column]
    return pd.Series(cells, column.index, dtype=object, name=column.name)


def extreme(field: Mapping[str, Any], at: int) -> Any:
    """A raw value that hardly any row has: 0 nothing, -1 and 1 the ends, or what training did not see."""
    kind = field["kind"]
    if kind in ARRAYS:
        ends = {"audio": (audio.FLOOR, audio.LOUDEST), "series": (-1e30, 1e30)}.get(kind, (0.0, 255.0))
        values = np.full(field["shape"], ends[at > 0] if at else np.nan)
        return from_bytes(values, field["low"], field["gain"]) if kind == "image" else values
    if at == 0:
        return None
    ends = {"numeric": (-1e300, 1e300), "datetime": ("1700-01-01", "2250-01-01")}
    return ends.get(kind, ("\0unseen", "unseen " * 1_000))[at > 0]


def _columns(rows: Any, fields: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Name -> column (a Series, array or list with one value per row), whatever form the rows have."""
    rows = as_pandas(rows)
    if isinstance(rows, pd.Series):
        one_row = not {f["name"] for f in fields}.isdisjoint(map(str, rows.index))
        rows = rows.to_dict() if one_row else rows.to_numpy()
    if isinstance(rows, np.ndarray):
        rows = _named(rows, fields, names)
    if isinstance(rows, pd.DataFrame):
        frame = plain_names(rows, ORIGIN)
        return {c: column_of(frame, c) for c in frame.columns}
    if isinstance(rows, Mapping):
        if any(_is_cell(v) for v in rows.values()):
            return _columns([rows], fields, names)
        for name, column in rows.items():
            if isinstance(column, (Mapping, Set)):
                raise UserError(
                    f"column {str(name)!r} is a {type(column).__name__}; send a list with one value per row"
                )
        _check_names(rows)
        lengths = {str(k): len(v) for k, v in rows.items()}
        if len(set(lengths.values())) > 1:
            raise UserError(f"columns differ in length: {lengths}; give one value per row in each")
        return {str(k): v for k, v in rows.items()}
    if isinstance(rows, (str, bytes)) or not hasattr(rows, "__iter__"):
        raise UserError(f"rows are a {type(rows).__name__}; send a DataFrame or [{{name: value, ...}}, ...]")
    made = []
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise UserError(
                f"row {i + 1} is {type(row).__name__}, not an object of name and value; send [{{...}}, ...]"
            )
        _check_names(row)
        made.append({str(k): v for k, v in row.items()})
    return {name: [row.get(name) for row in made] for name in {k: None for row in made for k in row}}


def _is_cell(value: Any) -> bool:
    """Whether it is one value, and no column of them."""
    return isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or getattr(value, "shape", None) == ()


def _check_names(row: Mapping[Any, Any]) -> None:
    names = [str(k) for k in row]
    twice = next((n for n in names if names.count(n) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise UserError(f"column name {twice!r} stands twice in {ORIGIN}; rename one of them")


def _named(rows: np.ndarray, fields: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Any:
    """An array as it was at training: of the table's columns in their order, or of the only input."""
    tabular = all(f["kind"] not in ARRAYS for f in fields)
    names = names or [f["name"] for f in fields]
    if tabular and rows.ndim > 0 and math.prod(rows.shape[1:]) == len(names):
        return pd.DataFrame(rows.reshape(len(rows), -1), columns=pd.Index(names))
    if len(fields) == 1 and not tabular:
        return {fields[0]["name"]: rows}
    raise UserError(
        f"an array of shape {rows.shape} does not fit the model, which learned from {len(names)} columns; "
        f"send {short(', '.join(names), 100)}"
    )


def _series(name: str, values: Any, index: pd.Index) -> pd.Series:
    if isinstance(values, pd.Series):
        column = values.set_axis(index)
    else:
        cells = values if isinstance(values, np.ndarray) and values.ndim == 1 else list(values)
        try:
            column = pd.Series(cells, index)
        except UnicodeEncodeError:  # half of a pair of surrogates, which no file can hold
            cells = [v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in cells]
            column = pd.Series(cells, index)
    at = next((i for i, v in enumerate(column) if not _is_value(v)), None) if column.dtype == object else None
    if at is not None:
        value = column.iloc[at]
        what = "number beyond float64" if isinstance(value, numbers.Number) else type(value).__name__
        raise UserError(f"column {name!r} holds a {what} in row {at + 1}; send a number, text or date")
    return column


def _is_value(cell: Any) -> bool:
    if isinstance(cell, decimal.Decimal):
        return not cell.is_snan()
    return isinstance(cell, _CELLS) and not (isinstance(cell, int) and cell.bit_length() > 1023)


def _tell_unread(
    fields: Sequence[Mapping[str, Any]], table: Mapping[str, pd.Series], read: pd.DataFrame, steps: Sequence[Step]
) -> None:
    """Warn, once per column, of cells that hold something which is no number (or date) and no word for "missing"."""
    stepped = {s.column for s in steps}
    for field in fields:
        name, kind = field["name"], field["kind"]
        if kind not in _READERS or (name not in stepped and _is_plain(table[name], kind)):
            continue
        reader, what = _READERS[kind]
        column = table[name]
        nothing = np.flatnonzero(pd.isna(reader(column_of(read, name))) & column.notna().to_numpy())
        meant = [v for s in steps if s.column == name and s.do == "blank" for v in s.values]
        told = [i for i in nothing if not is_missing_word(v := column.iloc[i]) and v not in meant]
        told = [i for i in told if reader(column.iloc[[i]])[0] not in meant]  # a number as text
        if told:
            more = f" (and {len(told) - 1:,} more)" if len(told) > 1 else ""
            value = short(repr(column.iloc[told[:1]].tolist()[0]))
            text = "column %r holds %s in row %d%s, which is no %s: taken as missing"
            log.warning(text, name, value, told[0] + 1, more, what)


def _is_plain(column: pd.Series, kind: str) -> bool:
    """Whether all cells are numbers (or dates, or durations) already; most columns are, and it takes no time to see."""
    if kind == "datetime":
        return column.dtype.kind == "M"
    finite = column.dtype.kind != "f" or not np.isinf(column.to_numpy(dtype=np.float64, na_value=np.nan)).any()
    return column.dtype.kind in "iubmf" and finite
