"""Which rows a network knows, in little room and without their values: it must not be judged by any of them.

>>> sketch = Sketch.of(np.array([3 << 40, 5 << 40], dtype=np.uint64))
>>> sketch.held(np.array([5 << 40, 6 << 40], dtype=np.uint64))
(1, 2)
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl.data.dataset import Dataset
from automl.data.quality.rowhash import combine, hash_cells, hash_values
from automl.data.read.image import channels_first

BITS = 48
"""Of a hash that are kept. One of 10^7 rows has another row's with a chance of 4e-8."""
MOST = 10_000_000
"""Rows of a sketch, some 35 MB; of more those with the lowest hashes, and of others only such are asked for."""
CHANCE = 1e-3
"""In so many cases a row that only seems to be known is taken for one."""


def row_hashes(dataset: Dataset, names: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """A 64-bit hash of what each of these rows (positions) holds in some of its inputs: uint64, shape of ``rows``.

    It is the same whatever the rows beside it, the names of the inputs, the type of numbers, a picture's unit (bytes,
    0 to 1) and its order of axes. A copy that was resized, cut or otherwise changed is another row. The target is not
    looked at.
    """
    parts = []
    for name in names:
        if name not in dataset.arrays:
            parts.append(hash_cells(dataset.table[name].iloc[rows]))
            continue
        array, picture = np.asarray(dataset.arrays[name]), dataset.modalities.get(name) == "image"
        parts.append(hash_values(channels_first(array) if picture else array, rows, stretched=picture))
    return combine(parts)


@dataclass(frozen=True)
class Sketch:
    """``starts``: the first bits of the rows' hashes, ascending, each once, uint64. ``reach``: rows of a larger one
    were not kept.
    """

    starts: np.ndarray
    reach: int = 2**BITS - 1

    @classmethod
    def of(cls, hashes: np.ndarray) -> Sketch:
        starts = _starts(hashes)
        return cls(starts) if len(starts) <= MOST else cls(starts[:MOST], int(starts[MOST - 1]))

    def held(self, hashes: np.ndarray) -> tuple[int, int]:
        """How many of other rows are among these, and of how many it can be told: of all but in a very large sketch."""
        asked = _starts(hashes)
        asked = asked[asked <= self.reach]
        places = np.searchsorted(self.starts, asked, side="right")
        return int((places > np.searchsorted(self.starts, asked)).sum()), len(asked)

    def by_chance(self, asked: int) -> int:
        """How many of so many rows may seem to be among these though none is: more do in one of 1,000 cases at most."""
        mean = asked * len(self.starts) / (self.reach + 1)
        found, left, term = 0, -math.expm1(-mean), math.exp(-mean)  # left: the chance of more than found (Poisson)
        while left > CHANCE:
            found += 1
            term *= mean / found
            left -= term
        return found

    def to_bytes(self) -> bytes:
        """Differences of neighbours are small, so that the high bytes are nearly all 0."""
        steps = np.diff(self.starts, prepend=np.uint64(0)).astype("<u8")
        planes = steps.view(np.uint8).reshape(-1, 8).T
        return self.reach.to_bytes(8, "little") + zlib.compress(planes.tobytes(), 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Sketch:
        """Raises ValueError for what ``to_bytes`` did not write."""
        packed = zlib.decompressobj()
        try:
            planes = packed.decompress(data[8:], 8 * MOST + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if not packed.eof:
            raise ValueError("it is cut off, or too long")
        steps = np.frombuffer(planes, np.uint8).reshape(8, -1).T
        starts = np.cumsum(np.ascontiguousarray(steps).view("<u8").ravel(), dtype=np.uint64)
        return cls(starts, int.from_bytes(data[:8], "little"))


def _starts(hashes: np.ndarray) -> np.ndarray:
    """Ascending, each once. Sorted: of 10^7 such numbers ``np.unique`` takes half a minute."""
    found = np.sort(hashes >> np.uint64(64 - BITS))
    return found[np.diff(found, prepend=~found[:1]) != 0]
