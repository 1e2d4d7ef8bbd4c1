"""Sound from wav files to log-mel spectrograms. One set of constants, so that training and serving agree."""

from __future__ import annotations

import functools
import io
import struct
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.read.files import short
from automl.errors import UserError

ENDINGS = (".wav", ".wave")
# The usual log-mel spectrogram of speech. By judgement: finer bands and shorter windows make larger inputs, which a
# processor trains more slowly; what sounds above 8 kHz is lost.
RATE = 16_000  # samples per second that every sound is brought to
WINDOW = 512  # samples: 32 ms
HOP = 256  # samples: 16 ms
MELS = 64
_NOTHING = 1e-10  # power below which there is no sound
LOUDEST, FLOOR = 0.0, -80.0  # dB relative to the loudest point of the clip: 80 is librosa's ``top_db``
MAX_SECONDS = 600.0  # of a file; what is kept of it is less (``automl.data.read.media``)
# Loggers write from 1 kHz up, the fastest converters end at 768 kHz; other rates are broken headers.
RATES = (1_000, 768_000)
MAX_BYTES = 1 << 29  # ten minutes of 96 kHz, two channels, 32 bits: 460 MB
MAX_VALUES = 1 << 27  # samples times channels; half a GiB as float32
# Of the fraction that stands for RATE / rate: exact for all usual rates, within 0.1 % for others, as its filter,
# which grows with it, must stay small.
MAX_DENOMINATOR = 1_000
_UNKNOWN = 0xFFFF_FFFF  # a length of who streams; so is 0
_A_LAW, _MU_LAW = 6, 7  # formats of telephones: a byte a sample, finer where it is quiet


def decode_wav(content: bytes | Path, *, place: str) -> np.ndarray:
    """Mono float32 samples at ``RATE``, in [-1, 1].

    Raises UserError for what is no wav, is empty, is over 10 minutes, ``MAX_BYTES`` or ``MAX_VALUES``, or has a rate
    beyond ``RATES``.
    """
    try:
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if size > MAX_BYTES:
            raise UserError(f"{place} has {size:,} bytes, more than {MAX_BYTES:,}; cut it, or save it at {RATE} Hz")
        whole, law = _whole(content)
        rate, samples = _reader()(io.BytesIO(whole) if isinstance(whole, bytes) else whole)
        if law and samples.dtype == np.uint8:
            samples = expanded(law)[samples]
    except UserError:
        raise
    except Exception as error:  # a decoder raises whatever it stumbles over
        reason = short(str(error) or type(error).__name__)
        raise UserError(f"{place} is no readable wav: {reason}; save it as PCM wav or remove it") from error
    if samples.size == 0:
        raise UserError(f"{place} holds no sound; remove it")
    if not RATES[0] <= rate <= RATES[1]:
        raise UserError(
            f"{place} claims {rate:,} samples a second, not {RATES[0]:,} to {RATES[1]:,}; save it at {RATE} Hz"
        )
    if len(samples) / rate > MAX_SECONDS:
        raise UserError(f"{place} lasts {len(samples) / rate:.0f} s, more than {MAX_SECONDS:.0f}; cut it")
    if samples.size > MAX_VALUES:
        raise UserError(f"{place} has {samples.size:,} values, more than {MAX_VALUES:,}; save it as mono at {RATE} Hz")
    return _at_rate(_mono(samples), int(rate))


def expanded(law: int) -> np.ndarray:
    """int16 (256,): the sample that each byte stands for (ITU-T recommendation G.711, with 16 bits)."""
    byte = np.arange(256) ^ (0x55 if law == _A_LAW else 0xFF)
    power, steps = byte >> 4 & 7, byte & 15
    if law == _A_LAW:
        size = np.where(power == 0, (steps << 4) + 8, (steps << 4) + 0x108 << np.maximum(power - 1, 0))
        return np.where(byte & 0x80, size, -size).astype(np.int16)
    size = ((steps << 3) + 0x84 << power) - 0x84
    return np.where(byte & 0x80, -size, size).astype(np.int16)


def _whole(content: bytes | Path) -> tuple[bytes | Path, int]:
    """The file with the lengths that it has: who streams does not know them, and writes 0 or the largest number.

    What is cut off ends with its last whole frame. Other files, and what is no wav, are given as they are. The number
    is ``_A_LAW`` or ``_MU_LAW`` where its bytes are of these: then the file says that they are samples; else 0.
    """
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RIFX"):
            return content, 0
        number, frame, at, tag, tagged = "<I" if head[:4] == b"RIFF" else ">I", 1, 12, 0, 0
        (said,) = struct.unpack(number, head[4:8])
        while len(chunk := file.read(8)) == 8:
            (length,), at = struct.unpack(number, chunk[4:]), at + 8
            if chunk[:4] == b"data":
                break
            if chunk[:4] == b"fmt ":
                tag, frame = struct.unpack(f"{number[0]}H10xH", file.read(14))
                tagged, frame = at, frame or 1
            at += length + length % 2
            file.seek(at)
        else:
            return content, 0
        law, there = tag if tag in (_A_LAW, _MU_LAW) else 0, size - at
        kept = (0 < length <= there and said + 8 >= at + length) or (length == 0 and at < said + 8 < _UNKNOWN)
        if kept and not law:
            return content, 0
        length = length if kept else min(length or there, there) // frame * frame
        file.seek(0)
        read = file.read(at + length)
    if law:  # what the reader knows as unsigned samples of 8 bits
        read = read[:tagged] + struct.pack(f"{number[0]}H", 1) + read[tagged + 2 :]
    whole = read[:4] + struct.pack(number, at + length - 8) + read[8 : at - 4] + struct.pack(number, length) + read[at:]
    return whole, law


def _mono(samples: np.ndarray) -> np.ndarray:
    """float32 (samples,) in [-1, 1]; louder floats, of any unit, by their loudest."""
    if samples.dtype.kind == "f":
        samples = np.nan_to_num(samples, posinf=0.0, neginf=0.0)
        top = float(np.abs(samples).max())
        samples = samples / top if top > 1 else samples
    mono = samples if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)
    if samples.dtype == np.uint8:
        return (mono.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return mono.astype(np.float32) / float(np.iinfo(samples.dtype).max)
    return mono.astype(np.float32)


def _at_rate(sound: np.ndarray, rate: int) -> np.ndarray:
    """float32 (samples,) at ``RATE``."""
    if rate == RATE:
        return sound
    from scipy.signal import resample_poly  # takes a second, and most data hold no sounds

    ratio = Fraction(RATE, rate).limit_denominator(MAX_DENOMINATOR)
    return np.asarray(resample_poly(sound, ratio.numerator, ratio.denominator), dtype=np.float32)


@functools.cache
def _reader() -> Callable[..., Any]:
    """Scipy's wav reader, imported late, as most bundles hold no sounds."""
    from scipy.io import wavfile

    # Unknown chunks are harmless. Set once, as filters cannot change safely in threads.
    warnings.filterwarnings("ignore", category=wavfile.WavFileWarning)
    return wavfile.read


def log_mel(sound: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram in dB below the clip's loudest point, float32 (MELS, frames); frames are ``HOP`` apart.

    Of silence every point is ``FLOOR``.
    """
    sound = np.pad(sound, (WINDOW // 2, WINDOW // 2 + HOP))
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32), axis=1)) ** 2
    mel = power @ _filters().T
    if mel.max() <= _NOTHING:
        return np.full(mel.T.shape, FLOOR, dtype=np.float32)
    decibel = 10 * np.log10(np.maximum(mel, _NOTHING))
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
