"""Images: size, light, edges, and how far a pixel tells its neighbours."""

from __future__ import annotations

import math

import numpy as np

from metalearner.profile.sample import Group, Measured, Sample

FEATURES = {
    "image_channels": "channels, count",
    "image_log10_pixels": "pixels of one channel, log10",
    "image_brightness": "mean value, 0 black to 1 white",
    "image_contrast": "standard deviation of the values within an image, mean, 0 to 0.5",
    "image_dark_share": "share of the pixels below 0.05",
    "image_log10_levels": "distinct values, log10",
    "image_edge_density": "share of the pixels with a step above 0.1 to a neighbour",
    "image_autocorrelation_1px": "correlation of a pixel with the next one",
    "image_autocorrelation_quarter_side": "correlation of a pixel with one a quarter of the side away",
    "image_high_frequency_share": "share of the spectral energy above half of the highest frequency",
    "image_mirror_correlation": "correlation of an image with its left-right mirror image",
    "image_mean_image_share": "share of the variance that the mean image tells: high when objects are centred alike",
    "image_channel_correlation": "correlation of the channels, mean; 1 with one channel",
}
_MAX_IMAGES, _MAX_SIDE = 256, 96


def measure(sample: Sample) -> Measured:
    """On the largest image input, at most 256 images, cut to 96 x 96 in the middle."""
    _, array = sample.one("image")
    levels = len(np.unique(array[:_MAX_IMAGES]))
    channels, height, width = array.shape[1:]
    images = _middle(array[:_MAX_IMAGES]).astype(np.float64) / 255
    grey = images.mean(axis=1)
    return {
        "image_channels": float(channels),
        "image_log10_pixels": math.log10(height * width),
        "image_brightness": float(images.mean()),
        "image_contrast": float(grey.std(axis=(1, 2)).mean()),
        "image_dark_share": float((images < 0.05).mean()),
        "image_log10_levels": math.log10(levels),
        "image_edge_density": _edges(grey),
        "image_autocorrelation_1px": lag_correlation(grey, 1),
        "image_autocorrelation_quarter_side": lag_correlation(grey, max(1, min(grey.shape[1:]) // 4)),
        "image_high_frequency_share": _high_frequencies(grey),
        "image_mirror_correlation": _correlation(_centred(grey), _centred(grey)[:, :, ::-1]),
        "image_mean_image_share": _mean_share(grey),
        "image_channel_correlation": _channels(images),
    }


def _middle(array: np.ndarray) -> np.ndarray:
    top, left = (max(0, (s - _MAX_SIDE) // 2) for s in array.shape[2:])
    return array[:, :, top : top + _MAX_SIDE, left : left + _MAX_SIDE]


def _edges(grey: np.ndarray) -> float:
    down = np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    right = np.abs(np.diff(grey, axis=2, append=grey[:, :, -1:]))
    return float((np.maximum(down, right) > 0.1).mean())


def _centred(grey: np.ndarray) -> np.ndarray:
    return grey - grey.mean(axis=(1, 2), keepdims=True)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    scale = math.sqrt(float((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / scale) if scale > 0 else 0.0


def lag_correlation(grey: np.ndarray, lag: int) -> float:
    """Correlation of values ``lag`` steps apart, along both axes, of (rows, height, width); 0 where none
    fit.
    """
    x = _centred(grey)
    found = []
    if lag < x.shape[1]:
        found.append(_correlation(x[:, lag:], x[:, :-lag]))
    if lag < x.shape[2]:
        found.append(_correlation(x[:, :, lag:], x[:, :, :-lag]))
    return float(np.mean(found)) if found else 0.0


def _high_frequencies(grey: np.ndarray) -> float:
    energy = np.abs(np.fft.fft2(_centred(grey))) ** 2
    fy, fx = np.fft.fftfreq(grey.shape[1]), np.fft.fftfreq(grey.shape[2])
    high = np.maximum(np.abs(fy)[:, None], np.abs(fx)) > 0.25
    total = float(energy.sum())
    return float(energy[:, high].sum()) / total if total > 0 else 0.0


def _mean_share(grey: np.ndarray) -> float:
    x = _centred(grey)
    total = float((x**2).mean())
    return float((x.mean(axis=0) ** 2).mean()) / total if total > 0 else 0.0


def _channels(images: np.ndarray) -> float:
    channels = images.shape[1]
    if channels == 1:
        return 1.0
    x = images - images.mean(axis=(2, 3), keepdims=True)
    pairs = [(i, j) for i in range(channels) for j in range(i)]
    return float(np.mean([_correlation(x[:, i], x[:, j]) for i, j in pairs]))


GROUP = Group(FEATURES, measure)
