"""Tensors of the Open Inference Protocol to raw rows, and answers to tensors.

    a tensor per column, whose first axis is the row -> arrays of the shape that is claimed -> raw rows

    numbers             any type of numbers, or BOOL; NaN, or null in JSON, is a missing cell
    categories          BYTES (utf-8), numbers or BOOL
    dates, texts        BYTES
    series, sounds      numbers as (rows, channels, steps); sounds also as BYTES: wav files
    pictures            numbers as (rows, height, width[, colours]), or BYTES: png or jpeg files

In JSON a file is base64 text. What a cell means is the encoding's to say, as for all rows.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from automl.data.encode.media import ARRAYS
from automl.data.read.files import short
from automl.errors import UserError

HEADER = "Inference-Header-Content-Length"
"""How many bytes of a body are the JSON, where binary tensors follow it."""

AXES, LONGEST = 8, 1 << 31  # of a shape that may be claimed
NUMBERS = {
    **{"BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8"},
    **{"INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"},
}
_IN_JSON = {"b": {bool}, "u": {int}, "i": {int}, "f": {int, float, type(None)}}  # by the kind of the dtype
_LENGTH = struct.Struct("<I")  # before each of BYTES


def tensor_of(field: Mapping[str, Any]) -> tuple[str, list[int]]:
    """Type and shape of a column as training had it, -1 where it is free."""
    kind = field["kind"]
    if kind == "numeric":
        return "FP64", [-1]
    if kind not in ARRAYS or field.get("files") or field.get("sounds"):
        return "BYTES", [-1]
    if kind == "image":
        colours, height, width = field["shape"]
        whole = field["low"] == 0 and field["gain"] == 1
        return "UINT8" if whole else "FP32", [-1, height, width, *([colours] if colours > 1 else [])]
    return "FP32", [-1, field["shape"][0], -1]


def parts(body: bytes, length: str | None) -> tuple[bytes, memoryview]:
    """The JSON of a body and what is behind it. ``length``: what ``HEADER`` says."""
    if length is None:
        return body, memoryview(b"")
    if not (length.isascii() and length.isdigit() and len(length) < 12 and int(length) <= len(body)):
        raise UserError(f"{HEADER} is {short(length)}, of a body of {len(body):,} bytes; send the bytes of the JSON")
    return body[: int(length)], memoryview(body)[int(length) :]


def read_tensors(inputs: Sequence[Any], binary: memoryview, most_rows: int) -> dict[str, np.ndarray]:
    """Name -> array of the shape that is claimed; of BYTES one of objects: bytes, text or None.

    Nothing is made of a claim that the bytes do not bear out. Raises UserError that names the input.
    """
    found: dict[str, np.ndarray] = {}
    at = 0
    for one in inputs:
        one = as_object(one, "an input")
        name, datatype, shape = one.get("name"), one.get("datatype"), one.get("shape")
        if not isinstance(name, str) or name in found:
            raise UserError(f"an input has the name {told(name)}; name each column once")
        place = f"input {short(name)!r}"
        if datatype != "BYTES" and (not isinstance(datatype, str) or datatype not in NUMBERS):
            known = ", ".join((*NUMBERS, "BYTES"))
            raise UserError(f"{place} has datatype {told(datatype)}; send one of {known}")
        axes = shape if isinstance(shape, list) and 0 < len(shape) <= AXES else [0]
        if not all(type(n) is int and 0 < n < LONGEST for n in axes):
            raise UserError(f"{place} has shape {told(shape)}; send whole numbers above 0, that of rows first")
        if axes[0] > most_rows:
            raise UserError(f"{place} has {axes[0]:,} rows; send at most {most_rows:,} at once")
        size = as_object(one.get("parameters"), f"parameters of {place}").get("binary_data_size")
        if size is None:
            flat = _from_json(one.get("data"), datatype, place)
        elif type(size) is int and 0 <= size <= len(binary) - at:
            flat = _from_bytes(binary[at : at + size], datatype, place, math.prod(axes))
            at += size
        else:
            left = f"{len(binary) - at:,} bytes are left of the body"
            raise UserError(f"{place} has binary_data_size {told(size)}, and {left}")
        if len(flat) != math.prod(axes):
            raise UserError(f"{place} has shape {axes}, so {math.prod(axes):,} values, and {len(flat):,} were sent")
        found[name] = flat.reshape(axes)
    if at != len(binary):
        raise UserError(f"{len(binary) - at:,} bytes of the body are of no input; set their binary_data_size")
    return found


def _from_json(data: Any, datatype: str, place: str) -> np.ndarray:
    """Flat, of nested lists too."""
    flat = as_list(data, f"data of {place}")
    while flat and isinstance(flat[0], list):
        if not all(isinstance(part, list) for part in flat):
            raise UserError(f"{place} mixes lists and values; nest all alike")
        flat = [value for part in flat for value in part]
    words = datatype == "BYTES"
    if not set(map(type, flat)) <= ({str, type(None)} if words else _IN_JSON[np.dtype(NUMBERS[datatype]).kind]):
        raise UserError(f"{place} holds values in JSON that are no {datatype}")
    try:
        with np.errstate(over="ignore"):  # beyond FP32 is infinite
            return np.array(flat, dtype=object if words else NUMBERS[datatype])
    except OverflowError:
        raise UserError(f"{place} holds a number beyond {datatype}") from None


def _from_bytes(content: memoryview, datatype: str, place: str, count: int) -> np.ndarray:
    """Flat. ``count``: of values, as claimed."""
    if datatype != "BYTES":
        kind = np.dtype(NUMBERS[datatype])
        if len(content) != count * kind.itemsize:
            raise UserError(
                f"{place} needs {count * kind.itemsize:,} bytes for its shape, and {len(content):,} were sent"
            )
        return np.frombuffer(content, dtype=kind)
    found, at = [], 0
    while at < len(content) and len(found) <= count:
        end = at + _LENGTH.size
        end += _LENGTH.unpack_from(content, at)[0] if end <= len(content) else 0
        if end > len(content):
            raise UserError(f"{place} ends within value {len(found) + 1}; send the length of each before it, 4 bytes")
        found.append(bytes(content[at + _LENGTH.size : end]))
        at = end
    flat = np.empty(len(found), dtype=object)
    flat[:] = found
    return flat


def rows_of(fields: Sequence[Mapping[str, Any]], given: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Raw rows. Raises UserError for a column that is absent, of another type, or not as long as the others."""
    columns: dict[str, list[Any]] = {}
    for field in fields:
        name = field["name"]
        if name not in given:
            wanted = short(", ".join(f["name"] for f in fields), 300)
            raise UserError(f"input {short(name)!r} is absent; the model needs: {wanted}")
        columns[name] = _column(field, given[name])
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"inputs differ in rows: {short(str(lengths), 300)}; send a value for each row in each")
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _column(field: Mapping[str, Any], array: np.ndarray) -> list[Any]:
    """A cell, or an array, of each row."""
    kind, place, words = field["kind"], f"input {short(field['name'])!r}", array.dtype == object
    if kind in (("numeric", "series") if words else ("datetime", "text")):
        raise UserError(f"{place} holds {'BYTES' if words else 'numbers'}; the model takes {tensor_of(field)[0]}")
    if kind in ARRAYS and not words:
        return list(array)
    if array.size != len(array):
        raise UserError(f"{place} has shape {list(array.shape)}; send one value per row, [{len(array)}]")
    cells = array.ravel().tolist()
    if kind in ARRAYS or not words:
        return cells
    try:
        return [cell.decode() if isinstance(cell, bytes) else cell for cell in cells]
    except UnicodeDecodeError:
        raise UserError(f"{place} holds bytes that are no utf-8 text") from None


def write_tensors(said: Mapping[str, Any], outputs: Sequence[tuple[str, np.ndarray, bool]]) -> tuple[bytes, int | None]:
    """A body, and the length of its JSON where bytes follow it. ``outputs``: name, array, whether it is sent as bytes.

    In JSON what is no finite number is null.
    """
    described, tail = [], []
    for name, array, binary in outputs:
        kind = {"O": "BYTES", "U": "BYTES", "b": "BOOL"}.get(array.dtype.kind, f"FP{8 * array.dtype.itemsize}")
        output: dict[str, Any] = {"name": name, "datatype": kind, "shape": list(array.shape)}
        flat = array.ravel().tolist()
        if binary:
            words = [str(v).encode() for v in flat] if kind == "BYTES" else None
            tail.append(array.tobytes() if words is None else b"".join(_LENGTH.pack(len(w)) + w for w in words))
            output["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            output["data"] = flat if kind == "BYTES" else [v if math.isfinite(v) else None for v in flat]
        described.append(output)
    text = json.dumps({**said, "outputs": described}, allow_nan=False).encode()
    return b"".join((text, *tail)), len(text) if tail else None


def as_object(value: Any, what: str) -> Mapping[str, Any]:
    """The object, an empty one for null. Raises UserError for anything else."""
    if value is not None and not isinstance(value, dict):
        raise UserError(f"{what} must be an object, not {told(value)}")
    return value or {}


def as_list(value: Any, what: str) -> list[Any]:
    """The list. Raises UserError for anything else."""
    if not isinstance(value, list):
        raise UserError(f"{what} must be a list, not {told(value)}")
    return value


def told(value: Any) -> str:
    """A value of JSON for an error; of what is nested just what it is."""
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, (list, dict)) for v in value)):
        return f"a nested {type(value).__name__}"
    return short(repr(value))
