"""Spectrograms as float32 (1, mels, frames)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl.data.dataset import Dataset
from automl.types import Input

SAMPLE = 2_000


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
    def fit(cls, name: str, array: np.ndarray, rows: np.ndarray, ours: bool = False) -> AudioEncoder:
        """``array``: (rows, mels, frames), NaN after the end of a short one."""
        some = rows if len(rows) <= SAMPLE else rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64)]
        train = array[some].astype(np.float64)
        mean, std = float(np.nanmean(train)), float(np.nanstd(train))
        return cls(name, array.shape[1], array.shape[2], mean, max(std, 1e-6), ours)

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
        out = np.full((len(rows), 1, self.mels, self.frames), np.nan, dtype=np.float32)
        take = min(self.frames, raw.shape[2])
        out[:, 0, :, :take] = raw[rows, :, :take]
        out -= self.mean
        out /= self.std
        return np.nan_to_num(out, nan=-3.0, posinf=20.0, neginf=-20.0, copy=False)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> AudioEncoder:
        return cls(**state)
