"""Sounds, as spectrograms: silence, change in time, breadth in pitch."""

from __future__ import annotations

import math

import numpy as np

from metalearner.profile.image import lag_correlation
from metalearner.profile.sample import Group, Measured, Sample

FEATURES = {
    "audio_log10_bands": "frequency bands, log10",
    "audio_log10_frames": "time frames, log10",
    "audio_frame_autocorrelation": "correlation of a value with the next frame",
    "audio_band_autocorrelation": "correlation of a value with the next band",
    "audio_quiet_share": "share of the frames below the mean level by one standard deviation of the levels",
    "audio_level_variation": "standard deviation of the frames' level over that of all values",
    "audio_band_variation": "standard deviation of the bands' mean over that of all values",
    "audio_mean_sound_share": "share of the variance that the mean spectrogram tells: high when aligned in time",
}
_MAX_SOUNDS = 256


def measure(sample: Sample) -> Measured:
    """On the largest audio input, at most 256 sounds."""
    _, array = sample.one("audio")
    x = np.nan_to_num(array[:_MAX_SOUNDS].astype(np.float64)).mean(axis=1)
    _, bands, frames = x.shape
    level = x.mean(axis=1)  # sounds, frames
    spread = max(float(x.std()), 1e-12)
    centred = x - x.mean(axis=(1, 2), keepdims=True)
    return {
        "audio_log10_bands": math.log10(bands),
        "audio_log10_frames": math.log10(frames),
        "audio_frame_autocorrelation": _along(x, 2),
        "audio_band_autocorrelation": _along(x, 1),
        "audio_quiet_share": float((level < level.mean() - level.std()).mean()),
        "audio_level_variation": float(level.std(axis=1).mean()) / spread,
        "audio_band_variation": float(x.mean(axis=2).std(axis=1).mean()) / spread,
        "audio_mean_sound_share": float((centred.mean(axis=0) ** 2).mean() / max((centred**2).mean(), 1e-12)),
    }


def _along(x: np.ndarray, axis: int) -> float:
    """Correlation of neighbours along one axis of (sounds, bands, frames)."""
    lines = np.moveaxis(x, axis, -1)
    lines = lines.reshape(len(x) * lines.shape[1], 1, -1)
    return lag_correlation(lines, 1)


GROUP = Group(FEATURES, measure)
