"""Random convolutions, pooled: what an untrained convolutional layer sees in a picture, a sound or a series.

In two dimensions the kernels are random patches of the data themselves (Coates & Ng 2011); in one dimension
they are random and dilated, pooled by their maximum and their share of positive values (ROCKET, Dempster et
al. 2020).
"""

from __future__ import annotations

import numpy as np

from automl.types import Input
from metalearner.profile.flat import pooled

KERNELS = 48  # windows of the data themselves, drawn at random
_MAX_LENGTH = 256  # steps of a series; of longer ones every so many


def convolved(spec: Input, array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Features of encoded rows: float64 (rows, features)."""
    return _series(array, rng) if spec.modality == "series" else _image(array, rng)


def _image(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(rows, channels, height, width) -> kernels x 4 quarters, rectified mean; and the same for the negative
    part.
    """
    images = pooled(array, side=16)
    images = (images - images.mean()) / max(float(images.std()), 1e-12)
    n, _, height, width = images.shape
    size = min(5, height, width)
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(2, 3))
    windows = np.moveaxis(windows, 1, 3)  # rows, y, x, channels, size, size
    tall, wide = windows.shape[1], windows.shape[2]
    picks = rng.integers(0, [n, tall, wide], size=(KERNELS, 3))
    kernels = windows[picks[:, 0], picks[:, 1], picks[:, 2]].reshape(KERNELS, -1)
    kernels = kernels - kernels.mean(axis=1, keepdims=True)
    kernels /= np.maximum(np.linalg.norm(kernels, axis=1, keepdims=True), 1e-6)
    rows = []
    for start in range(0, n, 128):
        flat = windows[start : start + 128].reshape(-1, kernels.shape[1])
        seen = (flat @ kernels.T).reshape(-1, tall, wide, KERNELS)
        quarters = [seen[:, y, x] for y in _halves(tall) for x in _halves(wide)]
        rows.append(np.hstack([np.maximum(s * q, 0).mean(axis=(1, 2)) for q in quarters for s in (1, -1)]))
    return np.vstack(rows)


def _halves(length: int) -> tuple[slice, slice]:
    """The two halves of an axis, both not empty."""
    middle = length // 2
    return slice(0, max(middle, 1)), slice(min(middle, length - 1), length)


def _series(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(rows, channels, length) -> for each kernel its maximum and its share of positive values."""
    series = np.nan_to_num(array.astype(np.float64))
    step = max(1, series.shape[-1] // _MAX_LENGTH)
    length = series.shape[-1] // step
    series = series[..., : length * step].reshape(*series.shape[:2], length, step).mean(axis=-1)
    size = min(9, length)
    out = []
    for _ in range(2 * KERNELS):
        weights = rng.normal(size=size)
        weights -= weights.mean()
        longest = max(0.0, np.log2(max((length - 1) / max(size - 1, 1), 1)))
        dilation = int(2 ** rng.uniform(0, longest))
        channel = int(rng.integers(series.shape[1]))
        reach = (size - 1) * dilation
        windows = np.lib.stride_tricks.sliding_window_view(series[:, channel], reach + 1, axis=1)[..., ::dilation]
        seen = windows @ weights
        bias = float(np.quantile(seen[:: max(1, len(seen) // 50)], rng.uniform(0.2, 0.8)))
        out += [seen.max(axis=1), (seen > bias).mean(axis=1)]
    features = np.column_stack(out)
    return (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-9)
