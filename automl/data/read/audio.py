"""Sound from wav files to log-mel spectrograms. One set of constants, so that training and serving agree."""

from __future__ import annotations

import functools
import io
import struct
import warnings
from collections.abc import Callable
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.read.files import short
from automl.errors import UserError

ENDINGS = (".wav", ".wave")
RATE = 16_000  # samples per second that every sound is brought to
WINDOW = 512  # samples: 32 ms
HOP = 256  # samples: 16 ms
MELS = 64
LOUDEST, FLOOR = 0.0, -80.0  # dB relative to the loudest point of the clip
MAX_SECONDS = 600.0


def decode_wav(content: bytes | Path, *, place: str) -> np.ndarray:
    """Mono float32 samples at ``RATE``, in [-1, 1]. Raises UserError for what is no wav, empty, or over 10 minutes."""
    try:
        rate, samples = _reader()(io.BytesIO(content) if isinstance(content, bytes) else content)
    except (ValueError, OSError, EOFError, struct.error, TypeError, IndexError, ZeroDivisionError) as error:
        raise UserError(f"{place} is no readable wav: {short(str(error))}; save it as PCM wav or remove it") from error
    if samples.size == 0 or rate <= 0:
        raise UserError(f"{place} holds no sound; remove it")
    if len(samples) / rate > MAX_SECONDS:
        raise UserError(f"{place} lasts {len(samples) / rate:.0f} s, more than {MAX_SECONDS:.0f}; cut it")
    if samples.dtype == np.uint8:
        sound = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        sound = samples.astype(np.float32) / float(np.iinfo(samples.dtype).max)
    else:
        sound = np.nan_to_num(samples.astype(np.float32))
    if sound.ndim > 1:
        sound = sound.mean(axis=1)
    if rate != RATE:
        from scipy.signal import resample_poly  # takes a second, and most data hold no sounds

        common = gcd(int(rate), RATE)
        sound = resample_poly(sound, RATE // common, int(rate) // common)
    return np.asarray(sound, dtype=np.float32)


@functools.cache
def _reader() -> Callable[..., Any]:
    """Scipy's wav reader, imported late, as most bundles hold no sounds."""
    from scipy.io import wavfile

    # Unknown chunks are harmless. Set once, as filters cannot change safely in threads.
    warnings.filterwarnings("ignore", category=wavfile.WavFileWarning)
    return wavfile.read


def log_mel(sound: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram in dB below the clip's loudest point, float32 (MELS, frames); frames are ``HOP`` apart."""
    sound = np.pad(sound, (WINDOW // 2, WINDOW // 2 + HOP))
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32), axis=1)) ** 2
    mel = power @ _filters().T
    decibel = 10 * np.log10(np.maximum(mel, 1e-10))
    return (decibel - decibel.max()).clip(FLOOR, LOUDEST).T.astype(np.float32)


def spectrogram(sound: np.ndarray | None, frames: int) -> np.ndarray:
    """The first frames of a sound as float32 (MELS, frames), NaN after its end; None is silence."""
    if sound is None:
        return np.full((MELS, frames), FLOOR, dtype=np.float32)
    mel = log_mel(sound[: frames * HOP])[:, :frames]
    out = np.full((MELS, frames), np.nan, dtype=np.float32)
    out[:, : mel.shape[1]] = mel
    return out


@functools.cache
def _filters() -> np.ndarray:
    """Triangles that are equally wide on the mel scale (O'Shaughnessy 1987), float64 (MELS, WINDOW // 2 + 1)."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    bins = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    rise = (bins - hertz[:-2, None]) / (hertz[1:-1] - hertz[:-2])[:, None]
    fall = (hertz[2:, None] - bins) / (hertz[2:] - hertz[1:-1])[:, None]
    return np.maximum(0, np.minimum(rise, fall))
