"""Images as uint8 (channels, height, width)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl.data.dataset import Dataset
from automl.data.read.image import channels_first, resize
from automl.types import Input

SAMPLE = 5_000


@dataclass(frozen=True)
class ImageEncoder:
    """``gain``: what raw values are multiplied by to fill 0..255 (255 for images in [0, 1], 1 for bytes).

    ``mean`` and ``std`` per channel are in units of [0, 1]; the network applies them, so the exported graph holds them.
    """

    name: str
    channels: int
    height: int
    width: int
    gain: float
    mean: list[float]
    std: list[float]

    @classmethod
    def fit(cls, name: str, array: np.ndarray, rows: np.ndarray) -> ImageEncoder:
        """``array``: (rows, h, w), (rows, h, w, colours) or (rows, colours, h, w)."""
        some = rows if len(rows) <= SAMPLE else rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64)]
        raw = channels_first(array[some])
        top = float(np.nanmax(raw)) if raw.size else 1.0
        gain = 1.0
        if raw.dtype.kind == "f" and top <= 1.0 + 1e-6:
            gain = 255.0
        elif 0 < top <= 16 and raw.dtype.kind in "biu":
            gain = 255.0 / top  # a few grey levels or a mask: bytes as others know them
        mean, std = _moments(_bytes(raw, gain))
        channels, height, width = raw.shape[1:]
        return cls(name, channels, height, width, gain, mean.tolist(), std.tolist())

    @property
    def why(self) -> str:
        stretched = "" if self.gain == 1 else f", values stretched by {self.gain:g} to 0..255"
        return (
            f"{self.name}: images of {self.channels} x {self.height} x {self.width} (colours, height, width){stretched}"
        )

    @property
    def input(self) -> Input:
        shape = (self.channels, self.height, self.width)
        return Input(self.name, "image", shape, mean=tuple(self.mean), std=tuple(self.std))

    @property
    def fields(self) -> tuple[dict[str, Any], ...]:
        return ({"name": self.name, "kind": "image", "shape": [self.channels, self.height, self.width]},)

    def transform(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """uint8 (rows, channels, height, width); other sizes are resized, other colours converted."""
        raw = channels_first(dataset.arrays[self.name], want=self.channels)
        whole = len(rows) == len(raw) and bool((rows == np.arange(len(raw))).all())
        if not whole:
            raw = raw[rows]
        if raw.shape[2:] != (self.height, self.width):
            raw = resize(_bytes(raw, self.gain), self.height, self.width)
            return np.ascontiguousarray(raw)
        return np.ascontiguousarray(_bytes(raw, self.gain))

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> ImageEncoder:
        return cls(**state)


def _moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation per channel in units of [0, 1], counted: exact in any order of the rows, and small."""
    levels = np.arange(256) / 255
    counts = np.stack([np.bincount(plane.reshape(-1), minlength=256) for plane in np.moveaxis(pixels, 1, 0)])
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ levels
    return mean, np.sqrt((share * (levels - mean[:, None]) ** 2).sum(axis=1)).clip(1 / 255)


def _bytes(raw: np.ndarray, gain: float) -> np.ndarray:
    if raw.dtype == np.uint8 and gain == 1.0:
        return raw
    return np.rint(np.nan_to_num(raw.astype(np.float32)) * gain).clip(0, 255).astype(np.uint8)
