"""Images as uint8 (channels, height, width)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl.data.dataset import Dataset
from automl.data.encode.scale import LIMIT
from automl.data.read.image import channels_first, resize
from automl.types import Input

SAMPLE = 5_000  # pictures of which range and moments are taken: by judgement, hundreds of thousands of pixels and more
BLOCK = 1_024  # rows
FEW = 16  # grey levels: digits of scikit-learn have 0..16
HUGE = 1e300  # no value of a picture counts as more, so that no difference overflows
CONTRAST = 1 / LIMIT  # of [0, 1]: a set of less is not stretched further, so that no pixel is beyond that


@dataclass(frozen=True)
class ImageEncoder:
    """``low`` is taken off raw values and ``gain`` multiplies them, to fill 0..255 (0 and 1 for bytes).

    ``mean`` and ``std`` per channel are in units of [0, 1]; the network applies them, so the exported graph holds them.
    ``files``: the raw values were those of picture files; those of a file that is sent are 0..255 otherwise. ``white``:
    see ``automl.data.read.image.decode_image``.
    """

    name: str
    channels: int
    height: int
    width: int
    low: float
    gain: float
    mean: list[float]
    std: list[float]
    files: bool = False
    white: float | None = None

    @classmethod
    def fit(
        cls, name: str, array: np.ndarray, rows: np.ndarray, decoded: bool = False, white: float | None = None
    ) -> ImageEncoder:
        """``array``: (rows, h, w), (rows, h, w, colours) or (rows, colours, h, w). ``decoded``: from picture files."""
        some = rows if len(rows) <= SAMPLE else rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64)]
        raw = channels_first(array[some])
        low, gain = _range(raw)
        mean, std = _moments(to_bytes(raw, low, gain))
        channels, height, width = raw.shape[1:]
        return cls(name, channels, height, width, low, gain, mean.tolist(), std.tolist(), decoded, white)

    @property
    def why(self) -> str:
        stretched = "" if self.gain == 1 else f", values from {self.low:g} stretched by {self.gain:g} to 0..255"
        return (
            f"{self.name}: images of {self.channels} x {self.height} x {self.width} (colours, height, width){stretched}"
        )

    @property
    def input(self) -> Input:
        shape = (self.channels, self.height, self.width)
        return Input(self.name, "image", shape, mean=tuple(self.mean), std=tuple(self.std))

    @property
    def fields(self) -> tuple[dict[str, Any], ...]:
        shape = [self.channels, self.height, self.width]
        raw: dict[str, Any] = {"low": self.low, "gain": self.gain, "files": self.files}
        raw |= {} if self.white is None else {"white": self.white}
        return ({"name": self.name, "kind": "image", "shape": shape, **raw},)

    def transform(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """uint8 (rows, channels, height, width); other sizes are resized, other colours converted."""
        raw = channels_first(dataset.arrays[self.name], want=self.channels)
        whole = len(rows) == len(raw) and bool((rows == np.arange(len(raw))).all())
        if not whole:
            raw = raw[rows]
        if raw.shape[2:] != (self.height, self.width):
            raw = resize(to_bytes(raw, self.low, self.gain), self.height, self.width)
            return np.ascontiguousarray(raw)
        return np.ascontiguousarray(to_bytes(raw, self.low, self.gain))

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
    return mean, np.sqrt((share * (levels - mean[:, None]) ** 2).sum(axis=1)).clip(CONTRAST)


def _range(raw: np.ndarray) -> tuple[float, float]:
    """(low, gain) that bring raw values to 0..255: bytes stay, [0, 1] is stretched, anything else by its own ends."""
    known = raw[np.isfinite(raw)] if raw.dtype.kind == "f" else raw
    if not known.size:
        return 0.0, 1.0
    low, top = max(float(known.min()), -HUGE), min(float(known.max()), HUGE)
    whole = raw.dtype.kind != "f" or bool((known == np.rint(known)).all())
    if whole and low >= 0 and 0 < top <= FEW:
        return 0.0, 255.0 / top  # a few grey levels or a mask: bytes as others know them
    if low >= 0 and FEW < top <= 255:
        return 0.0, 1.0
    if low >= 0 and 1 / FEW < top <= 1 + 1e-6:
        return 0.0, 255.0
    return low, 255.0 / max(top - low, 1 / HUGE)


def to_bytes(raw: np.ndarray, low: float, gain: float) -> np.ndarray:
    """uint8 (rows, ...) as given; what is missing or infinite is 0 before it is stretched."""
    if raw.dtype == np.uint8 and gain == 1.0:
        return raw
    out = np.empty(raw.shape, dtype=np.uint8)
    for at in range(0, len(raw), BLOCK):
        block = raw[at : at + BLOCK].astype(np.float64)
        block[~np.isfinite(block)] = 0
        with np.errstate(over="ignore"):
            out[at : at + BLOCK] = np.rint((block - low) * gain).clip(0, 255)
    return out


def from_bytes(pixels: np.ndarray, low: float, gain: float) -> np.ndarray:
    """Bytes as raw values of the training set, of which ``to_bytes`` makes the very same bytes again."""
    return pixels if gain == 1.0 and low == 0.0 else low + pixels / gain
