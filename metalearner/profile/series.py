"""Series: length, rhythm, trend, and how far a value tells the next one."""

from __future__ import annotations

import math

import numpy as np

from metalearner.profile.sample import Group, Measured, Sample

FEATURES = {
    "series_channels": "channels, count (without the mask)",
    "series_log10_length": "time steps, log10",
    "series_masked_share": "share of the steps that are padding or missing",
    "series_autocorrelation_1step": "correlation of a value with the next one",
    "series_autocorrelation_tenth": "correlation of a value with one a tenth of the length later",
    "series_decorrelation_share": "steps until the autocorrelation falls below 1/e, as a share of the length",
    "series_spectral_entropy_share": "entropy of the spectrum as a share of its greatest value: 1 is white noise",
    "series_dominant_frequency_share": "strongest frequency as a share of the highest, median",
    "series_trend_r2": "share of the variance that a straight line tells, mean",
    "series_roughness": "standard deviation of the steps over that of the values",
    "series_excess_kurtosis": "excess kurtosis of the values within a series, median: high with spikes",
    "series_mean_series_share": "share of the variance that the mean series tells: high when aligned in time",
    "series_channel_correlation": "correlation of the channels without its sign, mean; 1 with one channel",
}
_MAX_SERIES, _MAX_LENGTH = 512, 4096


def measure(sample: Sample) -> Measured:
    """On the largest series input, at most 512 series; each channel of each series is centred by itself."""
    spec, array = sample.one("series")
    array = array[:_MAX_SERIES].astype(np.float64)
    mask = array[:, -1] > 0 if spec.masked else np.logical_and.reduce(np.isfinite(array), axis=1)
    values = array[:, :-1] if spec.masked else array
    _, channels, length = values.shape
    out: dict[str, float | str] = {
        "series_channels": float(channels),
        "series_log10_length": math.log10(length),
        "series_masked_share": float(1 - mask.mean()),
    }
    if length < 4:
        return out | {k: f"only {length} time steps" for k in FEATURES if k not in out}
    x = np.nan_to_num(values)[..., :_MAX_LENGTH]
    x = (x - x.mean(axis=-1, keepdims=True)) * mask[:, None, : x.shape[-1]]
    total = float((x**2).sum())
    if total <= 0:
        return out | {k: "every series is constant" for k in FEATURES if k not in out}
    flat = x.reshape(-1, x.shape[-1])
    flat = flat[(flat**2).sum(axis=1) > 1e-12 * total]
    flat = flat / flat.std(axis=1, keepdims=True)
    correlations = _autocorrelation(flat)
    return out | _rhythm(flat, correlations) | _form(flat, x)


def _autocorrelation(x: np.ndarray) -> np.ndarray:
    """Mean autocorrelation of the rows at lags 0, 1, ..., by the spectrum of the padded rows."""
    length = x.shape[1]
    spectrum = np.abs(np.fft.rfft(x, 2 * length, axis=1)) ** 2
    lagged = np.fft.irfft(spectrum.mean(axis=0))[:length]
    return lagged / lagged[0]


def _rhythm(x: np.ndarray, correlations: np.ndarray) -> dict[str, float]:
    length = x.shape[1]
    power = (np.abs(np.fft.rfft(x, axis=1)) ** 2)[:, 1:]
    shares = power / power.sum(axis=1, keepdims=True)
    entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum(axis=1) / math.log(max(shares.shape[1], 2))
    below = np.flatnonzero(correlations < 1 / math.e)
    return {
        "series_autocorrelation_1step": float(correlations[1]),
        "series_autocorrelation_tenth": float(correlations[max(1, length // 10)]),
        "series_decorrelation_share": float((below[0] if len(below) else length) / length),
        "series_spectral_entropy_share": float(entropy.mean()),
        "series_dominant_frequency_share": float(np.median(power.argmax(axis=1) + 1) / shares.shape[1]),
    }


def _form(flat: np.ndarray, x: np.ndarray) -> dict[str, float]:
    time = np.linspace(-1, 1, flat.shape[1])
    slope = flat @ time / (time @ time)
    trend = slope**2 * (time @ time) / (flat**2).sum(axis=1)
    scaled = flat - flat.mean(axis=1, keepdims=True)
    each = x / np.maximum(x.std(axis=-1, keepdims=True), 1e-12)
    channels = x.shape[1]
    if channels == 1:
        together = 1.0
    else:
        c = np.einsum("nit,njt->nij", each, each) / x.shape[-1]
        together = float(np.abs(c[:, ~np.eye(channels, dtype=bool)]).mean())
    return {
        "series_trend_r2": float(np.clip(trend, 0, 1).mean()),
        "series_roughness": float(np.diff(flat, axis=1).std() / flat.std()),
        "series_excess_kurtosis": float(np.median((scaled**4).mean(axis=1) / (scaled**2).mean(axis=1) ** 2) - 3),
        "series_mean_series_share": float((each.mean(axis=0) ** 2).mean() / max((each**2).mean(), 1e-12)),
        "series_channel_correlation": together,
    }


GROUP = Group(FEATURES, measure)
