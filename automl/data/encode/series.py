"""Series as float32 (channels, length), with a mask where lengths differ or values are missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl.data.dataset import Dataset
from automl.data.encode.number import soft_clip
from automl.data.encode.scale import LIMIT, meaningful
from automl.errors import UserError
from automl.types import Input

# Longer series are averaged over equal blocks: convolutions see no more than this many steps. By judgement: what a
# training on a processor can afford.
MAX_LENGTH = 4_096
SAMPLE = 5_000  # rows of which the scales are taken
# When the rows' own deviations differ by this factor, one scale for all would flatten most rows. By judgement: the
# other way costs two channels more for each, and a few loud rows hide the others without it.
UNEQUAL = 30.0
# Levels that differ by less, in typical deviations of a row, are the same: rows that were centred have no level.
LEVEL = 0.01
HUGE = 1e150  # its square is a number too


@dataclass(frozen=True)
class SeriesEncoder:
    """Standardised per channel over the training rows.

    ``own_scale``: each row by its own level and deviation instead, which then stand in two more channels per channel
    (their logarithm in units of ``unit``, a typical row's deviation, standardised), so that nothing is lost. ``unit``
    is 0 in encodings from before it, whose networks know other numbers. ``masked``: the last channel is 1 where a value
    was observed; gaps inside a row are filled by a line, ends by 0 (the mean). ``pool``: steps averaged to one.
    """

    name: str
    channels: int
    length: int
    pool: int
    masked: bool
    own_scale: bool
    mean: list[float]
    std: list[float]
    row_stats: list[float]
    unit: float = 0.0

    @classmethod
    def fit(cls, name: str, array: np.ndarray, rows: np.ndarray) -> SeriesEncoder:
        """``array``: (rows, channels, length) or (rows, length), NaN where nothing was observed."""
        some = rows if len(rows) <= SAMPLE else rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64)]
        raw = _three_axes(array)
        train = _observed(raw[some])
        channels, length = train.shape[1:]
        masked = bool(np.isnan(train).any())
        observed = ~np.isnan(train)
        if not observed.any():
            raise UserError(f"series {name!r} hold no number in the training rows; give at least one")
        mean, std = _moments(train, axis=(0, 2))
        own_mean, own_std = _moments(train, axis=2)
        positive = own_std[own_std > 0]
        spread = float(np.quantile(positive, 0.95) / np.quantile(positive, 0.05)) if len(positive) else 1.0
        own_scale = spread > UNEQUAL
        stats: list[float] = []
        unit = float(np.median(positive)) if own_scale else 0.0
        if own_scale:
            level, scale = _signed_log(own_mean / unit), np.log1p(own_std / unit)
            stats = [float(s) for v in (level, scale) for s in (v.mean(), max(float(v.std()), LEVEL))]
        pool = -(-length // MAX_LENGTH)
        std = meaningful(std, mean)
        return cls(name, channels, length, pool, masked, own_scale, mean.tolist(), std.tolist(), stats, unit)

    @property
    def why(self) -> str:
        notes = [f"{self.channels} channel{'s' * (self.channels > 1)} of length {self.length}"]
        if self.masked:
            notes.append("a mask channel says where a value was observed")
        if self.own_scale:
            notes.append("rows differ much in scale: each is standardised alone, its level and scale become channels")
        if self.pool > 1:
            notes.append(f"{self.pool} steps are averaged to one")
        return f"{self.name}: series, " + "; ".join(notes)

    @property
    def input(self) -> Input:
        channels = self.channels * (3 if self.own_scale else 1) + int(self.masked)
        return Input(self.name, "series", (channels, -(-self.length // self.pool)), masked=self.masked)

    @property
    def fields(self) -> tuple[dict[str, Any], ...]:
        return ({"name": self.name, "kind": "series", "shape": [self.channels, self.length], "missing": self.masked},)

    def transform(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """float32 (rows, channels, length)."""
        raw = _three_axes(dataset.arrays[self.name])
        if raw.shape[1] != self.channels:
            raise UserError(f"series {self.name!r} have {raw.shape[1]} channels, the model takes {self.channels}")
        out = np.empty((len(rows), *self.input.shape), dtype=np.float32)
        step = max(1, (1 << 22) // max(1, raw[0].size))
        for start in range(0, len(rows), step):
            out[start : start + step] = self._encode(raw[rows[start : start + step]])
        return out

    @np.errstate(over="ignore")  # infinite planes end at their limit
    def _encode(self, raw: np.ndarray) -> np.ndarray:
        x = np.full((len(raw), self.channels, self.length), np.nan)
        take = min(self.length, raw.shape[2])
        x[:, :, :take] = _observed(raw[:, :, :take])
        observed = ~np.isnan(x)
        planes: list[np.ndarray] = []
        if self.own_scale:
            own_mean, own_std = _moments(x, axis=2)
            divisor = meaningful(own_std, own_mean) if self.unit else own_std.clip(1e-8)
            z = (x - own_mean[:, :, None]) / divisor[:, :, None]
            unit = self.unit or 1.0
            level = (_signed_log(own_mean / unit) - self.row_stats[0]) / self.row_stats[1]
            scale = (np.log1p(own_std / unit) - self.row_stats[2]) / self.row_stats[3]
            ends = [soft_clip(v) if self.unit else v.clip(-LIMIT, LIMIT) for v in (level, scale)]
            planes = [np.repeat(v[:, :, None], self.length, axis=2) for v in ends]
        else:
            z = (x - np.asarray(self.mean)[:, None]) / np.asarray(self.std)[:, None]
        z = _fill(z, observed).clip(-LIMIT, LIMIT)
        planes = [z, *planes]
        if self.masked:
            planes.append(np.asarray(observed.any(axis=1, keepdims=True), dtype=np.float64))
        full = np.concatenate(planes, axis=1)
        if self.pool > 1:
            full = np.pad(full, ((0, 0), (0, 0), (0, -full.shape[2] % self.pool)))
            full = full.reshape(*full.shape[:2], -1, self.pool).mean(axis=3)
        return full.astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> SeriesEncoder:
        return cls(**state)


def _three_axes(array: np.ndarray) -> np.ndarray:
    return array[:, None] if array.ndim == 2 else array


def _observed(raw: np.ndarray) -> np.ndarray:
    """float64, NaN where nothing finite was observed, and nothing too large to be squared."""
    x = np.asarray(raw, dtype=np.float64)
    return np.where(np.isfinite(x), x, np.nan).clip(-HUGE, HUGE)


def _moments(x: np.ndarray, axis: int | tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation over observed values; 0 and 0 where there is none."""
    seen = (~np.isnan(x)).sum(axis=axis)
    keep = np.maximum(seen, 1)
    mean = np.nansum(x, axis=axis) / keep
    centred = np.nan_to_num(x - np.expand_dims(mean, axis))
    centred[np.isnan(x)] = 0
    return mean, np.sqrt((centred**2).sum(axis=axis) / keep)


def _signed_log(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.log1p(np.abs(x))


def _fill(z: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Gaps between two observed values by a line; before the first and after the last by 0."""
    if observed.all():
        return z
    filled = np.nan_to_num(z)
    steps = np.arange(z.shape[2])
    for row, channel in zip(*np.nonzero(~observed.all(axis=2)), strict=True):
        seen = observed[row, channel]
        at = np.flatnonzero(seen)
        if len(at) > 1 and at[-1] - at[0] + 1 > len(at):
            inner = slice(at[0], at[-1] + 1)
            filled[row, channel, inner] = np.interp(steps[inner], at, z[row, channel, at])
    return filled
