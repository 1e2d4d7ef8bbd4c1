"""Arrays from npz and npy files, without pickle."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, cast

import numpy as np

from automl.data.dataset import TEST, TRAIN, VALID
from automl.data.read.files import check_unpacked, short
from automl.data.read.words import SPLITS
from automl.errors import UserError
from automl.types import Modality

# One axis is smoother than the other when its roughness is smaller by this factor: series of archives, right way round
# and turned, lie beyond 2.
CLEAR = 1.25
LONG = 2  # without smoothness: more channels than steps by this factor are steps
SAMPLE = 1 << 22  # values that are looked at
_ENDING = ".npy"  # of the members of an npz
_X = ("x", "data", "images", "features", "inputs", "series")
_Y = ("y", "target", "targets", "label", "labels")


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file.

    Raises UserError for a broken file, for object arrays (they need pickle), and for more than is believed
    (``check_unpacked``), before anything is unpacked.
    """
    try:
        with path.open("rb") as file:
            if file.read(1) == b"\x80":
                raise UserError(
                    f"{path} is no plain npz (it needs pickle, which can run code); save it with numpy.savez"
                )
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(_ENDING)]
            check_unpacked(path, sum(m.file_size for m in members))
            arrays = {m.filename.removesuffix(_ENDING): _member(path, archive, m) for m in members}
    except UserError:
        raise
    except Exception as error:  # a decoder raises whatever it stumbles over
        raise UserError(f"{path} is not a readable npz: {short(str(error))}; save it again with numpy.savez") from error
    if not arrays:
        raise UserError(f"{path} holds no arrays; save X_train, y_train, X_test, y_test in it with numpy.savez")
    return arrays


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        return _array(file, member.file_size, f"array {member.filename.removesuffix(_ENDING)!r} in {path}")


def read_npy(path: Path) -> np.ndarray:
    """One array of an npy file; same errors as ``read_npz``."""
    try:
        size = path.stat().st_size
        check_unpacked(path, size)
        with path.open("rb") as file:
            return _array(file, size, str(path))
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror}; mend its rights, or copy it") from error


def _array(file: IO[bytes], size: int, place: str) -> np.ndarray:
    """The array of an npy file of ``size`` bytes, whose header is compared with its size before memory is taken."""
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        if dtype.hasobject:
            raise UserError(
                f"{place} holds Python objects, which need pickle and are refused; "
                "save numbers, or pad unequal rows with NaN to one array"
            )
        if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize > size - file.tell():
            raise UserError(f"{place} claims the shape {short(str(shape))}, but ends before; save it again with numpy")
        file.seek(0)
        array = np.lib.format.read_array(file, allow_pickle=False)
        return array.astype(dtype.newbyteorder("="), copy=False)  # pandas and torch take no other order of bytes
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{place} does not fit in memory; save fewer rows, or smaller ones") from error
    except Exception as error:  # a decoder raises whatever it stumbles over
        raise UserError(f"{place} is broken: {short(str(error))}; save it again with numpy") from error


def x_y_split(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Find inputs, target and split among named arrays: (X, y, split or None), parts put one after the other.

    Knows X_train/y_train, X_valid/y_valid, X_test/y_test in any case, and plain X/y.
    """
    lower = {name.lower(): array for name, array in arrays.items()}
    if len(lower) < len(arrays):
        raise UserError(f"{path} holds arrays whose names differ only in case ({_names(arrays)}); rename one")
    xs, ys, parts = [], [], []
    for part in (TRAIN, VALID, TEST):
        aliases = [word for word, split in SPLITS.items() if split == part]
        x = _first(lower, [f"{x}_{a}" for a in aliases for x in _X] + [f"{a}_{x}" for a in aliases for x in _X])
        y = _first(lower, [f"{y}_{a}" for a in aliases for y in _Y] + [f"{a}_{y}" for a in aliases for y in _Y])
        if (x is None) != (y is None):
            raise UserError(f"{path} has only one of X_{part} and y_{part} (it holds: {_names(arrays)}); save both")
        if x is None or y is None:
            continue
        y = _from_one_hot(y)
        _check_pair(path, x, y, f"X_{part}", f"y_{part}")
        xs.append(x)
        ys.append(y.reshape(-1))
        parts.append(np.full(len(x), part, dtype="<U5"))
    if xs:
        shapes = {x.shape[1:] for x in xs}
        if len(shapes) > 1:
            raise UserError(
                f"{path}: rows of the splits differ in shape: {sorted(map(str, shapes))}; save equal shapes"
            )
        if len(xs) == 1:
            return xs[0], ys[0], None
        return np.concatenate(xs), np.concatenate(ys), np.concatenate(parts)
    x, y = _first(lower, list(_X)), _first(lower, list(_Y))
    if x is None or y is None:
        raise UserError(
            f"{path} holds {_names(arrays)}, but no X_train and y_train (or X and y); save the arrays under these names"
        )
    y = _from_one_hot(y)
    _check_pair(path, x, y, "X", "y")
    return x, y.reshape(-1), None


def _from_one_hot(y: np.ndarray) -> np.ndarray:
    """Class numbers when each row has one 1 among zeros; else the array as it is."""
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "biuf":
        return y
    ones = y == 1
    return ones.argmax(axis=1) if bool((ones | (y == 0)).all() and (ones.sum(axis=1) == 1).all()) else y


def _first(arrays: Mapping[str, np.ndarray], names: list[str]) -> np.ndarray | None:
    return next((arrays[n] for n in names if n in arrays), None)


def _names(arrays: Mapping[str, np.ndarray]) -> str:
    return ", ".join(list(arrays)[:8])


def _check_pair(path: Path, x: np.ndarray, y: np.ndarray, x_name: str, y_name: str) -> None:
    if x.ndim < 2:
        raise UserError(f"{x_name} in {path} has shape {x.shape}; it needs rows and at least one more axis")
    if y.size != len(x) or (y.ndim > 1 and y.shape[0] != len(x)):
        raise UserError(
            f"{y_name} in {path} has shape {y.shape} for {len(x)} rows of {x_name}; give one target value per row"
        )
    if y.dtype.kind not in "biufUSM":
        raise UserError(f"{y_name} in {path} has type {y.dtype}; save one number or one word per row")
    if x.dtype.kind not in "biuf" or x.dtype.itemsize > 8:
        raise UserError(f"{x_name} in {path} has type {x.dtype}; save it as integers or floats")
    if len(x) == 0 and not x_name.endswith(("valid", "test")):
        raise UserError(f"{x_name} in {path} has shape {x.shape}, no rows; save at least one row per class")
    if 0 in x.shape[1:]:
        raise UserError(f"{x_name} in {path} has shape {x.shape}: an axis of length 0; save real rows")


def modality_of(x: np.ndarray) -> tuple[Modality, str]:
    """What an array of rows most likely is, and why, in one line.

    Images have a colour axis, are bytes, 16-bit numbers, or bytes that were divided to [0, 1] or [-1, 1]; series are
    other numbers, one row a channel. Two axes (rows, values) are columns of a table.
    """
    shape = " x ".join(map(str, x.shape[1:]))
    if x.ndim == 2:
        return "tabular", f"an array of {x.shape[1]} numbers per row is a table"
    byte = x.dtype == np.uint8
    colour = x.ndim == 4 and (x.shape[-1] in (1, 3, 4) or x.shape[1] in (1, 3, 4))
    if byte and (x.ndim == 3 or colour):
        return "image", f"bytes of shape {shape} are images"
    if colour:
        return "image", f"numbers of shape {shape} with a colour axis are images"
    if x.ndim == 4:
        raise UserError(f"an array of rows of shape {shape} is no image (1, 3 or 4 colours) and no series; reshape it")
    if x.ndim > 4:
        raise UserError(f"an array of rows with {x.ndim - 1} axes ({shape}) is not supported; give at most 3")
    height, width = x.shape[1:]
    if min(height, width) >= 8 and max(height, width) <= 4 * min(height, width):
        if x.dtype == np.uint16:
            return "image", f"16-bit numbers of shape {shape} are images"
        if range_ := _grey_levels(x):
            return "image", f"{range_} of shape {shape} are images"
    if _looks_like_spectrogram(x):
        return "audio", f"floats of shape {shape} that are smooth along both axes are spectrograms"
    return "series", f"numbers of shape {shape} are series"


def as_modality(x: np.ndarray, asked: str | None) -> tuple[np.ndarray, Modality, str]:
    """(array, modality, why): what was asked for, else what it most likely is (``modality_of``, ``steps_last``).

    ``asked``: "tabular" lays all values of a row side by side; "series" takes (rows, length) as one channel and
    (rows, channels, length) as it is.
    Raises UserError for a modality that rows of this shape cannot be.
    """
    if asked is None:
        modality, why = modality_of(x)
        if modality == "series":
            x, why = steps_last(x)
        return x, modality, why
    axes = {"tabular": (2, 3, 4, 5), "image": (3, 4), "audio": (3,), "series": (2, 3)}
    if asked not in axes:
        raise UserError(f"data.modality={asked!r} is unknown for an array; use one of: {', '.join(axes)}")
    if x.ndim not in axes[asked]:
        raise UserError(
            f"data.modality={asked}: an array of shape {x.shape} (rows first) cannot be that; "
            f"it needs {' or '.join(map(str, axes[asked]))} axes"
        )
    if asked == "tabular":
        x = x.reshape(len(x), -1)
    elif asked == "series" and x.ndim == 2:
        x = x[:, None]
    return x, cast(Modality, asked), f"the rows are {asked}, as asked"


def steps_last(x: np.ndarray, channels: int | None = None) -> tuple[np.ndarray, str]:
    """Series as (rows, channels, steps) and why, from that or from (rows, steps, channels).

    ``channels``: how many there are, None: found. Neighbouring steps are more alike than neighbouring channels; where
    neither axis is smoother, the last one holds the steps unless it is much shorter. Raises UserError when no axis has
    ``channels`` places.
    """
    first, last = x.shape[1:]
    if channels is not None and channels not in (first, last):
        raise UserError(f"data.channels={channels} is neither axis of series of shape {first} x {last}; correct it")
    if channels is not None:
        swap, why = first != channels, "as data.channels says"
    elif 1 in (first, last):
        swap, why = first > 1, "the axis of length 1 holds the channel"
    else:
        of_first, of_last = _roughness(x, 1), _roughness(x, 2)
        smooth = of_first * CLEAR < of_last or of_last * CLEAR < of_first
        swap = of_first < of_last if smooth else first >= LONG * last
        why = (
            f"along the {'first' if swap else 'last'} axis neighbours are more alike"
            if smooth
            else (f"the first axis is {LONG} times as long" if swap else "the last axis is taken for the steps")
        )
        # A model cannot tell which layout a square row that is sent to it has.
        if swap and first == last:
            swap, why = False, "as given; swap the axes if the steps come first"
    x = np.swapaxes(x, 1, 2) if swap else x
    number, length = x.shape[1:]
    said = "" if channels is not None or 1 in (first, last) else "; data.modality=series takes the last axis for steps"
    return x, (
        f"numbers of shape {first} x {last} are series: {number} channel{'s' * (number > 1)} of length {length} "
        f"({why}{said * swap})"
    )


def _roughness(x: np.ndarray, axis: int) -> float:
    """One minus the mean correlation, over rows, of neighbours along an axis: 1 for noise, near 0 for smooth curves.

    Each place is standardised over the rows: levels and units of channels would look like a curve along them.
    """
    rows = np.linspace(0, len(x) - 1, min(len(x), max(1, SAMPLE // math.prod(x.shape[1:])))).astype(np.int64)
    z = x[rows].astype(np.float64)
    known = np.isfinite(z)
    count = np.maximum(known.sum(axis=0), 1)
    z = np.where(known, z, 0).clip(-1e150, 1e150)  # whose square is a number
    z = np.where(known, z - z.sum(axis=0) / count, 0)
    scale = np.sqrt((z**2).sum(axis=0) / count)
    z = np.where(known & (scale > 0), z / np.where(scale > 0, scale, 1), np.nan)
    steps = np.diff(z, axis=axis)
    steps = steps[np.isfinite(steps)]
    return float((steps**2).mean()) / 2 if len(steps) else 1.0


def _grey_levels(x: np.ndarray) -> str:
    """What the values are when they are bytes, perhaps divided; else nothing."""
    some = x[np.linspace(0, len(x) - 1, min(len(x), 200)).astype(np.int64)].astype(np.float64)
    if not np.isfinite(some).all():
        return ""
    # Text, (value + shift) * levels is whole, and within 0..top.
    for text, shift, levels, top in (
        ("whole numbers from 0 to 255", 0, 1, 255),
        ("bytes divided by 255", 0, 255, 255),
        ("grey levels divided by 16", 0, 16, 16),
        ("bytes brought to -1..1", 1, 127.5, 255),
    ):
        level = (some + shift) * levels
        if level.min() >= -1e-3 and level.max() <= top + 1e-3 and np.abs(level - np.rint(level)).max() < 1e-3:
            return text
    return ""


def _looks_like_spectrogram(x: np.ndarray) -> bool:
    """A usual number of mel bands, whose neighbours rise and fall together (correlation above 0.6)."""
    bands = x.shape[1]
    if bands not in (32, 40, 64, 80, 96, 128) or x.shape[2] < 16:
        return False
    some = np.nan_to_num(x[:64].astype(np.float64))
    flat = some.transpose(1, 0, 2).reshape(bands, -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norm = np.sqrt((flat**2).sum(axis=1)) + 1e-12
    near = (flat[1:] * flat[:-1]).sum(axis=1) / (norm[1:] * norm[:-1])
    return float(np.median(near)) > 0.6
