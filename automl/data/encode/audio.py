"""Spectrograms as float32 (1, mels, frames)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl.data.dataset import Dataset
from automl.data.encode.scale import LIMIT, meaningful
from automl.errors import UserError
from automl.types import Input

SAMPLE = 2_000  # sounds of which mean and deviation are taken: one of each, so that fewer would do


@dataclass(frozen=True)
class AudioEncoder:
    """Log-mel spectrograms, standardised by one mean and deviation over the training rows; short ones are padded.

    ``ours``: made by ``automl.data.read.audio``, so that a sound itself can be sent to the model.
    """

    name: str
    mels: int
    frames: int
    mean: float
    std: float
    ours: bool = False

    @classmethod
    def fit(cls, name: str, array: np.ndarray, rows: np.ndarray, decoded: bool = False) -> AudioEncoder:
        """``array``: (rows, mels, frames), NaN after the end of a short one. ``decoded``: from sound files."""
        some = rows if len(rows) <= SAMPLE else rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64)]
        train = _finite(array[some].astype(np.float64))
        if np.isnan(train).all():
            raise UserError(f"spectrograms {name!r} hold no number in the training rows; give at least one")
        mean, std = np.nanmean(train, keepdims=True), np.nanstd(train, keepdims=True)
        std = meaningful(std, mean)
        return cls(name, array.shape[1], array.shape[2], mean.item(), std.item(), decoded)

    @property
    def why(self) -> str:
        return f"{self.name}: spectrograms of {self.mels} mel bands x {self.frames} frames"

    @property
    def input(self) -> Input:
        return Input(self.name, "audio", (1, self.mels, self.frames))

    @property
    def fields(self) -> tuple[dict[str, Any], ...]:
        return ({"name": self.name, "kind": "audio", "shape": [self.mels, self.frames], "sounds": self.ours},)

    def transform(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """float32 (rows, 1, mels, frames); silence (the training minimum is near -3) pads with -3."""
        raw = dataset.arrays[self.name]
        if raw.shape[1] != self.mels:
            raise UserError(f"spectrograms {self.name!r} have {raw.shape[1]} mel bands, the model takes {self.mels}")
        out = np.full((len(rows), 1, self.mels, self.frames), np.nan, dtype=np.float32)
        take = min(self.frames, raw.shape[2])
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and so missing
            out[:, 0, :, :take] = raw[rows, :, :take]
        out = _finite(out)
        out -= self.mean
        out /= self.std
        return np.nan_to_num(out, nan=-3.0, posinf=LIMIT, neginf=-LIMIT, copy=False).clip(-LIMIT, LIMIT)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> AudioEncoder:
        return cls(**state)


def _finite(array: np.ndarray) -> np.ndarray:
    """The array itself, with NaN for what is infinite."""
    array[np.isinf(array)] = np.nan
    return array
