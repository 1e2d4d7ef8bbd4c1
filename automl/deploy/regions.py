"""Which raw field, or which part of a picture, sound or series, each place of an encoded row belongs to.

A map is an int array of the shape of an encoded row: the number of the part that owns the place.

    names, owner = mapped(encoder)
    np.where(kept[owner], row, other)   # the parts that are kept, and the rest from another row
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from automl.data.encode.encoding import Encoder

GRID, BANDS, STEPS = (4, 4), (2, 8), 16  # parts of a picture (down, across), of a sound (bands, time), of a series
COLUMNS = 256  # of a table; where there are more, neighbours are one part


def mapped(encoder: Encoder) -> tuple[list[str], np.ndarray]:
    """Names of the parts of an input that is no text, and its map.

    Of a table the raw columns; a column's own flag and codes are with it. Of a picture the patches of a grid, in all
    colours; of a sound bands by time; of a series its channels by time, longer times where channels are many.
    """
    return _MAPS[encoder.input.modality](encoder)


def _columns(encoder: Any) -> tuple[list[str], np.ndarray]:
    places = encoder.places()
    owner = np.zeros(encoder.input.shape, dtype=np.int64)
    for i, at in enumerate(places.values()):
        owner[at] = i
    names, size = list(places), -(-len(places) // COLUMNS)
    return [_joined(names[i : i + size]) for i in range(0, len(names), size)], owner // size


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names)} columns)"


def _patches(encoder: Any) -> tuple[list[str], np.ndarray]:
    return _grid(encoder, GRID, ("rows", "columns"))


def _bands(encoder: Any) -> tuple[list[str], np.ndarray]:
    return _grid(encoder, BANDS, ("bands", "frames"))


def _grid(encoder: Any, cells: tuple[int, int], words: tuple[str, str]) -> tuple[list[str], np.ndarray]:
    shape = encoder.input.shape
    down, across = (_runs(length, count) for length, count in zip(shape[1:], cells, strict=True))
    owner = down[:, None] * (across[-1] + 1) + across
    first, second = _spans(down), _spans(across)
    names = [f"{encoder.name}, {words[0]} {a}, {words[1]} {b}" for a in first for b in second]
    return names, np.broadcast_to(owner, shape)


def _segments(encoder: Any) -> tuple[list[str], np.ndarray]:
    """Of the planes behind the values, level and scale of a channel are one part, as they are the same at all steps.

    The mask goes with the only channel, or is a part of its own.
    """
    channels, (planes, length) = encoder.channels, encoder.input.shape
    runs = _runs(length, max(STEPS // channels, 1))
    count = int(runs[-1]) + 1
    owner = np.empty((planes, length), dtype=np.int64)
    owner[:channels] = np.arange(channels)[:, None] * count + runs
    spans = _spans(runs, encoder.pool)
    called = [encoder.name if channels == 1 else f"{encoder.name}, channel {c + 1}" for c in range(channels)]
    names = [f"{name}, steps {span}" for name in called for span in spans]
    if encoder.own_scale:
        owner[channels : 3 * channels] = len(names) + np.tile(np.arange(channels), 2)[:, None]
        names += [f"{name}, level and scale" for name in called]
    if encoder.masked:
        owner[-1] = runs if channels == 1 else len(names)
        names += [] if channels == 1 else [f"{encoder.name}, where values are missing"]
    return names, owner


def _runs(length: int, count: int) -> np.ndarray:
    """Number of the run that each of ``length`` steps is in, int (length,): so many runs, nearly equal, none empty."""
    return np.arange(length) * min(count, length) // length


def _spans(runs: np.ndarray, unit: int = 1) -> list[str]:
    """First and last step of each run as people count; ``unit``: raw steps of one."""
    ends = [0, *(np.flatnonzero(np.diff(runs)) + 1), len(runs)]
    return [f"{a * unit + 1} to {b * unit}" for a, b in itertools.pairwise(ends)]


_MAPS = {"tabular": _columns, "image": _patches, "audio": _bands, "series": _segments}
