"""A 64-bit hash of each row's content: the same on every machine, whatever the order of the rows.

With 64 bits, a million rows have a chance of 3e-8 to hold two different rows of one hash.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import pandas as pd

_CHUNK_BYTES = 1 << 24
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_LEVELS = np.float32(1024)  # so many that bytes stay apart, and that none lies where a rounding error would decide


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele et al. 2014): every input bit moves every output bit. Works in
    place.
    """
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def hash_array(array: np.ndarray) -> np.ndarray:
    """Hash of each row of a numeric array, first axis the row: uint64, shape (rows,). Reads it in blocks.

    -0.0 equals 0.0, and every NaN equals every other.
    """
    n = len(array)
    out = np.zeros(n, dtype=np.uint64)
    per_row = max(1, int(np.prod(array.shape[1:])) * array.dtype.itemsize)
    step = max(1, _CHUNK_BYTES // per_row)
    for start in range(0, n, step):
        out[start : start + step] = _hash_block(array[start : start + step])
    return out


def _hash_block(block: np.ndarray) -> np.ndarray:
    flat = np.ascontiguousarray(block).reshape(len(block), -1)
    if flat.dtype.kind == "f":
        flat = flat + 0.0
        flat[np.isnan(flat)] = np.nan
    elif flat.dtype.kind == "M":
        flat = flat.view(np.int64)
    width = flat.shape[1] * flat.dtype.itemsize
    raw = flat.view(np.uint8).reshape(len(flat), width)
    if width % 8:
        raw = np.pad(raw, ((0, 0), (0, 8 - width % 8)))
    words = raw.view(np.uint64) + np.arange(1, raw.shape[1] // 8 + 1, dtype=np.uint64) * _GOLDEN
    mixed = _mix(words)
    return mixed[:, 0] if mixed.shape[1] == 1 else _mix(mixed.sum(axis=1, dtype=np.uint64))


def hash_column(column: pd.Series) -> np.ndarray:
    """Hash of each cell of a table's column: uint64, shape (rows,). Texts are hashed once per distinct
    value.
    """
    values = column.dtype
    if isinstance(values, np.dtype) and values.kind in "iubfM":
        return hash_array(column.to_numpy()[:, None])
    codes, distinct = pd.factorize(column)
    texts = np.asarray([str(v) for v in distinct], dtype=object)
    hashes = cast(Any, pd).util.hash_array(texts, categorize=False) if len(texts) else np.zeros(0, dtype=np.uint64)
    return _mix(np.append(hashes, np.uint64(0))[codes] + _GOLDEN)  # the appended one: missing, code -1


def hash_values(array: np.ndarray, rows: np.ndarray, stretched: bool = False) -> np.ndarray:
    """Hash of what these rows of a numeric array hold, first axis the row: uint64, shape of ``rows``. Read in blocks.

    Only values count, as float32 holds them: not the type, and not what is missing behind the end of the last axis, as
    where a short series was padded. What is infinite is missing. ``stretched``: nor does their unit, each row is
    brought to 0..``_LEVELS`` by its own ends.
    """
    array = array[:, None] if array.ndim == 1 else array
    out = np.zeros(len(rows), dtype=np.uint64)
    step = max(1, _CHUNK_BYTES // max(1, 4 * int(np.prod(array.shape[1:]))))
    for start in range(0, len(rows), step):
        block = np.moveaxis(array[rows[start : start + step]], -1, 1)  # what is padded comes last, whatever its length
        with np.errstate(over="ignore"):
            flat = np.ascontiguousarray(block, dtype=np.float32).reshape(len(block), -1) + np.float32(0)
        known = True if array.dtype.kind in "biu" else np.isfinite(flat)
        if stretched:
            low = flat.min(axis=1, where=known, initial=np.inf, keepdims=True)
            span = flat.max(axis=1, where=known, initial=-np.inf, keepdims=True) - low
            with np.errstate(invalid="ignore", over="ignore"):
                flat = np.rint((flat - low) * (_LEVELS / np.where(span > 0, span, 1))) + np.float32(0)
        bits = flat.view(np.uint32) ^ np.uint32(1 << 31)  # 0 stands for what is missing, and is no number's
        if known is not True:
            bits[~known] = 0
        words = np.pad(bits, ((0, 0), (0, bits.shape[1] % 2))).view(np.uint64)
        missing = words == 0
        mixed = _mix(words + np.arange(1, words.shape[1] + 1, dtype=np.uint64) * _GOLDEN)
        mixed[missing] = 0
        out[start : start + step] = _mix(mixed.sum(axis=1, dtype=np.uint64))
    return out


def hash_cells(column: pd.Series) -> np.ndarray:
    """Hash of what each cell of a table's column holds: uint64, shape (rows,). A number is the same in whatever type, a
    text that holds one too.
    """
    if pd.api.types.is_numeric_dtype(column.dtype):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return hash_values(numbers, np.arange(len(numbers)))
    codes, distinct = pd.factorize(column)
    texts = np.asarray([str(v).strip() for v in distinct], dtype=object)
    numbers = np.asarray(pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce"), dtype=np.float64)
    hashes = cast(Any, pd).util.hash_array(texts, categorize=False) if len(texts) else np.zeros(0, dtype=np.uint64)
    hashes = np.where(np.isnan(numbers), _mix(hashes), hash_values(numbers, np.arange(len(numbers))))
    return np.append(hashes, np.uint64(0))[codes]  # the appended one: missing, code -1


def combine(hashes: Iterable[np.ndarray]) -> np.ndarray:
    """One hash per row from several, order of the parts included; shape (rows,)."""
    total: np.ndarray | None = None
    for part in hashes:
        total = part + _GOLDEN if total is None else total * _GOLDEN + part  # parts are mixed: a polynomial does
    if total is None:
        raise ValueError("nothing to hash: no columns and no arrays")
    return _mix(total)
