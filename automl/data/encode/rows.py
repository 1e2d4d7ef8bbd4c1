"""Rows from a client, as raw as they come, to a Dataset: the same form that a source gives."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.quality.clean import clean
from automl.data.quality.findings import Step
from automl.data.read import audio
from automl.data.read.image import decode_image, resize_one
from automl.errors import UserError

_ARRAYS = ("image", "series", "audio")


def rows_to_dataset(
    fields: Sequence[Mapping[str, Any]],
    rows: pd.DataFrame | Sequence[Mapping[str, Any]] | Mapping[str, Any],
    steps: Sequence[Step] = (),
) -> Dataset:
    """A Dataset without target from a DataFrame, a list of rows (name -> value), or name -> array of all rows.

    ``fields``: as ``Encoding.fields`` gives them. A column may be left out of a row (a missing value) but not of all.
    ``steps``: column repairs made at training, which the new rows undergo too.
    An image is a nested list or array, or base64 text of a png or jpeg file; a sound is a spectrogram, or base64 text
    of a wav file. None is a black picture or silence, as at training. Unknown columns are ignored.
    Raises UserError that names the row and the column.
    """
    columns = _columns(rows)
    count = max((len(v) for v in columns.values()), default=0)
    if count == 0:
        raise UserError("no rows were given; send at least one")
    table: dict[str, pd.Series] = {}
    arrays: dict[str, np.ndarray] = {}
    for field in fields:
        name = field["name"]
        if name not in columns:
            wanted = ", ".join(f["name"] for f in fields[:8])
            raise UserError(f"column {name!r} is absent from the rows; the model needs: {wanted}")
        values = columns[name]
        if field["kind"] in _ARRAYS:
            arrays[name] = _array(field, values)
        else:
            table[name] = _series(name, values)
    frame = clean(pd.DataFrame(table, index=range(count)), steps)
    return Dataset(
        name="rows",
        table=frame,
        target=pd.Series([None] * count, name="target", dtype=object),
        arrays=arrays,
        modalities={f["name"]: f["kind"] for f in fields if f["kind"] in (*_ARRAYS, "text")},
        origin="rows",
    )


def _columns(rows: Any) -> dict[str, Any]:
    if isinstance(rows, pd.DataFrame):
        return {str(c): rows[c].reset_index(drop=True) for c in rows.columns}
    if isinstance(rows, Mapping):
        lengths = {str(k): len(v) for k, v in rows.items()}
        if len(set(lengths.values())) > 1:
            raise UserError(f"columns differ in length: {lengths}; give one value per row in each")
        return {str(k): v for k, v in rows.items()}
    rows = list(rows)
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise UserError(
                f"row {i + 1} is {type(row).__name__}, not an object of name and value; send [{{...}}, ...]"
            )
    names = {str(k): None for row in rows for k in row}
    return {name: [row.get(name) for row in rows] for name in names}


def _series(name: str, values: Any) -> pd.Series:
    if isinstance(values, pd.Series):
        return values
    nested = next((i for i, v in enumerate(values) if isinstance(v, (list, dict, tuple, np.ndarray))), None)
    if nested is not None:
        raise UserError(f"column {name!r} holds a list or an object in row {nested + 1}; send a number or text")
    return pd.Series(list(values))


def _array(field: Mapping[str, Any], values: Any) -> np.ndarray:
    if isinstance(values, np.ndarray) and values.dtype != object:
        first = field["shape"][0]
        steps_first = field["kind"] == "series" and values.ndim == 3 and values.shape[1] != first == values.shape[2]
        return np.swapaxes(values, 1, 2) if steps_first else values
    decoded = [_one(field, value, i) for i, value in enumerate(values)]
    if field["kind"] in ("series", "audio"):
        return _padded(field, decoded)
    height, width = field["shape"][1:]
    if len({d.shape for d in decoded}) > 1 or decoded[0].dtype == np.uint8:
        decoded = [resize_one(_last_axis(d), height, width) for d in decoded]
    if len({d.shape for d in decoded}) > 1:
        raise UserError(f"images in column {field['name']!r} differ in colours; send all grey or all in colour")
    return np.stack(decoded)


def _one(field: Mapping[str, Any], value: Any, row: int) -> np.ndarray:
    name, place = field["name"], f"column {field['name']!r} in row {row + 1}"
    empty = value is None or (isinstance(value, float) and np.isnan(value))
    if field["kind"] == "image":
        if empty:
            channels, height, width = field["shape"]
            return np.zeros((height, width) if channels == 1 else (height, width, channels), dtype=np.uint8)
        if isinstance(value, (str, bytes)):
            content = _content(value, place, "png or jpeg")
            return decode_image(content, place=place, mode="L" if field["shape"][0] == 1 else "RGB")
    if field["kind"] == "audio" and field.get("sounds") and (empty or isinstance(value, (str, bytes))):
        sound = (
            audio.decode_wav(_content(value, place, "wav"), place=place) if isinstance(value, (str, bytes)) else None
        )
        return audio.spectrogram(sound, field["shape"][1])
    try:
        array = np.asarray(value, dtype=np.float64 if field["kind"] != "image" else None)
    except (TypeError, ValueError) as error:
        raise UserError(f"{place} is no array of numbers; send nested lists of equal lengths") from error
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        raise UserError(f"{place} is no array of numbers ({type(value).__name__}); send nested lists for {name!r}")
    if field["kind"] == "image" and array.dtype.kind in "iu" and array.size and 0 <= array.min() <= array.max() <= 255:
        array = array.astype(np.uint8)
    return array


def _content(value: str | bytes, place: str, what: str) -> bytes:
    """The bytes of a file, which JSON carries as base64 text."""
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value.split(",")[-1], validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"{place} is no base64 text of a {what} file; encode the file's bytes") from error


def _last_axis(image: np.ndarray) -> np.ndarray:
    """(colours, h, w) to (h, w, colours), (h, w, 1) to (h, w): as PIL takes it."""
    if image.ndim == 3 and image.shape[0] in (1, 3, 4) and image.shape[-1] not in (1, 3, 4):
        image = np.moveaxis(image, 0, -1)
    return np.ascontiguousarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image)


def _padded(field: Mapping[str, Any], rows: list[np.ndarray]) -> np.ndarray:
    """Series or spectrograms of unequal length to one array, NaN after the end."""
    first = field["shape"][0]
    axes = [r[None] if r.ndim == 1 else r for r in rows]
    if field["kind"] == "series":
        axes = [r.T if r.ndim == 2 and r.shape[0] != first == r.shape[1] else r for r in axes]  # steps first
    for i, row in enumerate(axes):
        if row.ndim != 2 or row.shape[0] != first:
            raise UserError(
                f"column {field['name']!r} in row {i + 1} has shape {row.shape}; the model takes ({first}, any length)"
            )
    out = np.full((len(axes), first, max(r.shape[1] for r in axes)), np.nan)
    for i, row in enumerate(axes):
        out[i, :, : row.shape[1]] = row
    return out
