"""Pictures, sounds and series of raw rows, as files or nested lists, to the arrays that encoders take."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from automl.data.encode.image import from_bytes, to_bytes
from automl.data.read import audio
from automl.data.read.image import channels_first, decode_image, resize, resize_one
from automl.data.read.plain import plain_array
from automl.errors import UserError

ARRAYS = ("image", "series", "audio")
_URLS = str.maketrans("-_", "+/")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # of a decoded picture, by the model's colours
log = logging.getLogger(__name__)


def array_of(field: Mapping[str, Any], values: Any) -> np.ndarray:
    """All rows of one input, (rows, ...), as an encoder takes it. ``field``: as the encoder describes it.

    Raises UserError that names the row and the column.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind not in "OU":
        return _checked(field, plain_array(values))
    decoded = [_one(field, value, i) for i, value in enumerate(values)]
    if field["kind"] in ("series", "audio"):
        return _padded(field, decoded)
    if len({d.shape for d in decoded}) > 1:
        height, width = field["shape"][1:]
        low, gain = field["low"], field["gain"]
        sized = [resize(channels_first(to_bytes(d[None], low, gain)), height, width) for d in decoded]
        if len({d.shape for d in sized}) > 1:
            raise UserError(f"images in column {field['name']!r} differ in colours; send all grey or all in colour")
        return from_bytes(np.concatenate(sized), low, gain)
    return _checked(field, np.stack(decoded))


def _checked(field: Mapping[str, Any], array: np.ndarray) -> np.ndarray:
    """The array. Raises UserError where it is none of numbers, or no rows of what the model takes."""
    name, shape, kind = field["name"], field["shape"], field["kind"]
    if array.dtype.kind not in "biuf":
        raise UserError(f"{name!r} has type {array.dtype}; send integers or floats")
    if kind == "series" and array.ndim == 3 and array.shape[1] != shape[0] == array.shape[2]:
        array = np.swapaxes(array, 1, 2)  # steps before channels, as it may have been at training
    axes = {"image": (3, 4), "series": (2, 3) if shape[0] == 1 else (3,), "audio": (3,)}[kind]
    lone = kind == "image" and array.ndim == 3 and shape[0] > 1 and array.shape[2] == shape[0] != shape[2]
    if array.ndim not in axes or lone:
        raise UserError(
            f"{name!r} has shape {array.shape}; send rows of {' x '.join(map(str, shape))}, the first axis the row"
        )
    if kind != "image" and array.ndim == 3 and array.shape[1] != shape[0]:
        raise UserError(f"{name!r} has shape {array.shape}; the model takes (rows, {shape[0]}, any length)")
    if array.ndim == 4 and not {1, 3, 4} & {array.shape[1], array.shape[3]}:
        raise UserError(f"{name!r} has shape {array.shape}, no axis of 1, 3 or 4 colours; the model takes {shape[0]}")
    if 0 in array.shape[1:]:
        raise UserError(f"{name!r} has shape {array.shape}: rows without a value; send at least one in each")
    if kind == "image" and len(array):
        _tell_range(field, array)
    return array


def _tell_range(field: Mapping[str, Any], array: np.ndarray) -> None:
    """Warn of pictures that come out all white or all black, as their values are of another range than in training."""
    low, top = field["low"], field["low"] + 255 / field["gain"]
    known = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if not known.size or (array.dtype == np.uint8 and top >= 255):
        return
    least, most = float(known.min()), float(known.max())
    beyond = most - top > top - low or low - least > top - low
    dark = array.dtype.kind == "f" and low <= least < most < low + (top - low) / 200
    if beyond or dark:
        text = "%r holds values from %g to %g where training had %g to %g; bring them to that range"
        log.warning(text, field["name"], least, most, low, top)


def _one(field: Mapping[str, Any], value: Any, row: int) -> np.ndarray:
    name, place = field["name"], f"column {field['name']!r} in row {row + 1}"
    value = bytes(value) if isinstance(value, (bytearray, memoryview)) else value
    file = value if isinstance(value, (str, bytes)) else None
    empty = value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))
    if field["kind"] == "image" and (empty or file is not None):
        channels, height, width = field["shape"]
        if file is None:
            pixels = np.zeros((height, width) if channels == 1 else (height, width, channels), dtype=np.uint8)
        else:
            content = content_of(file, place, "png or jpeg")
            mode, white = _MODES.get(channels, "RGB"), field.get("white")
            pixels = decode_image(content, place=place, mode=mode, white=white)
        if field["files"] or channels in (1, 3):  # as the encoder would, before eight bytes are made of each
            pixels = resize_one(pixels, height, width)
        if field["files"]:
            return pixels
        # A file holds 0..255, whatever the values were in the arrays that the model learned from.
        return from_bytes(pixels, field["low"], field["gain"])
    if field["kind"] == "audio" and field.get("sounds") and (empty or file is not None):
        sound = None if file is None else audio.decode_wav(content_of(file, place, "wav"), place=place)
        return audio.spectrogram(sound, field["shape"][1])
    try:
        array = np.asarray(value)
        array = array.astype(np.float64) if array.dtype.kind in "OUS" else array
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{place} is no array of numbers; send nested lists of equal lengths") from error
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        raise UserError(f"{place} is no array of numbers ({type(value).__name__}); send nested lists for {name!r}")
    if array.size == 0:
        raise UserError(f"{place} holds no value; send at least one")
    if field["kind"] == "image" and array.ndim not in (2, 3):
        raise UserError(f"{place} has shape {array.shape}; send (height, width) or (height, width, colours)")
    return array


def content_of(value: str | bytes, place: str, what: str) -> bytes:
    """The bytes of a file, which JSON carries as base64 text, also of the alphabet for addresses and cut into lines."""
    if not value:
        raise UserError(f"{place} is empty; send a {what} file, or null for none")
    if isinstance(value, bytes):
        return value
    try:
        text = "".join(value.split(",")[-1].split()).translate(_URLS)
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"{place} is no base64 text of a {what} file; encode the file's bytes") from error


def _padded(field: Mapping[str, Any], rows: list[np.ndarray]) -> np.ndarray:
    """Series or spectrograms of unequal length to one array, NaN after the end; cut where the model stops to look."""
    first = field["shape"][0]
    axes = [r[None] if r.ndim == 1 else r for r in rows]
    if field["kind"] == "series":
        axes = [r.T if r.ndim == 2 and r.shape[0] != first == r.shape[1] else r for r in axes]  # steps first
    for i, row in enumerate(axes):
        if row.ndim != 2 or row.shape[0] != first:
            raise UserError(
                f"column {field['name']!r} in row {i + 1} has shape {row.shape}; the model takes ({first}, any length)"
            )
    length = min(field["shape"][1], max(r.shape[1] for r in axes))  # one long row must not make all long
    out = np.full((len(axes), first, length), np.nan)
    for i, row in enumerate(axes):
        out[i, :, : row.shape[1]] = row[:, :length]
    return out
