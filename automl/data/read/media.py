"""Many picture or sound files to one array, and columns of paths to such files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from automl.data.progress import track
from automl.data.read import audio, image
from automl.data.read.files import short
from automl.errors import UserError
from automl.types import Modality

# Convolutions on a processor are slow beyond this; data.size and data.seconds ask for more.
MAX_SIDE = 64
MAX_SECONDS = 10.0
_SAMPLE = 300  # files that tell the usual size or length
_WORKERS = 4  # threads that decode
_GREY = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F"}
Broken = str  # "stop" or "skip"


@dataclass(frozen=True)
class Loaded:
    """``array``: one row per file that could be read; ``kept``: their positions; ``notes``: what was done.

    ``white``: of pictures of more than 8 bits the number that is white; None where a sample of the files has none.
    """

    array: np.ndarray
    kept: np.ndarray
    notes: tuple[str, ...] = ()
    white: float | None = None


def read_images(paths: Sequence[Path | None], *, size: int | None = None, broken: Broken = "stop") -> Loaded:
    """uint8 (files, h, w) when all are grey, else (files, h, w, 3); None gives a black picture.

    ``size``: side in pixels; None keeps the size when all agree and it is small, else takes the median side, at most
    ``MAX_SIDE``. ``broken``: "stop" raises UserError at the first unreadable file, "skip" leaves such files out.
    """
    if size is not None and not 1 <= size <= 1024:
        raise UserError(f"data.size={size} must lie between 1 and 1024 pixels")
    some = _some([p for p in paths if p is not None])
    height, width, mode, note = _common_size(some, size)
    white, notes = _white(some)
    shape = (height, width) if mode == "L" else (height, width, 3)

    def one(path: Path | None) -> np.ndarray:
        if path is None:
            return np.zeros(shape, dtype=np.uint8)
        return image.resize_one(image.decode_image(path, place=str(path), mode=mode, white=white), height, width)

    loaded = _read(paths, one, shape, np.uint8, "reading pictures", broken)
    return Loaded(loaded.array, loaded.kept, (note, *notes, *loaded.notes), white)


def read_sounds(paths: Sequence[Path | None], *, seconds: float | None = None, broken: Broken = "stop") -> Loaded:
    """Log-mel spectrograms, float32 (files, mels, frames), NaN after the end of a short one.

    ``seconds``: what is kept of each; None takes the longest of a sample, at most ``MAX_SECONDS``.
    """
    if seconds is not None and not 0.1 <= seconds <= audio.MAX_SECONDS:
        raise UserError(f"data.seconds={seconds} must lie between 0.1 and {audio.MAX_SECONDS:.0f}")
    if seconds is None:
        seconds = min(MAX_SECONDS, max(_durations([p for p in paths if p is not None]), default=1.0))
    frames = int(np.ceil(seconds * audio.RATE / audio.HOP)) + 1

    def one(path: Path | None) -> np.ndarray:
        return audio.spectrogram(None if path is None else audio.decode_wav(path, place=str(path)), frames)

    loaded = _read(paths, one, (audio.MELS, frames), np.float32, "reading sounds", broken)
    note = f"sounds as {audio.MELS} mel bands x {frames} frames of 16 ms: the first {seconds:.1f} s of each"
    return Loaded(loaded.array, loaded.kept, (note, *loaded.notes))


def _read(
    paths: Sequence[Path | None],
    one: Callable[[Path | None], np.ndarray],
    shape: tuple[int, ...],
    dtype: type,
    text: str,
    broken: Broken,
) -> Loaded:
    if broken not in ("stop", "skip"):
        raise UserError(f"data.broken={broken!r} is unknown; use stop or skip")

    def safe(path: Path | None) -> np.ndarray | UserError:
        try:
            return one(path)
        except UserError as error:
            return error

    array = np.empty((len(paths), *shape), dtype=dtype)
    kept, bad = [], []
    with ThreadPoolExecutor(_WORKERS) as pool:
        for i, got in enumerate(track(pool.map(safe, paths), text, len(paths))):
            if isinstance(got, UserError):
                if broken == "stop":
                    pool.shutdown(cancel_futures=True)
                    raise UserError(f"{got}, or set data.broken=skip")
                bad.append(str(paths[i]))
                continue
            array[len(kept)] = got
            kept.append(i)
    notes = (f"left out {len(bad)} unreadable files: {short(', '.join(bad), 100)}",) if bad else ()
    return Loaded(array[: len(kept)], np.array(kept, dtype=np.int64), notes)


def _some(paths: Sequence[Path]) -> list[Path]:
    """A sample of the files."""
    return [paths[i] for i in np.linspace(0, len(paths) - 1, min(_SAMPLE, len(paths))).astype(int)] if paths else []


def _white(some: Sequence[Path]) -> tuple[float | None, tuple[str, ...]]:
    """What is white in whole numbers of more than 8 bits, and a note where it is not the end of their 16 bits."""
    tops = [top for path in some if (top := image.brightest(path)) is not None]
    white = next((w for w in image.WHITES if tops and max(tops) <= w), None)
    if white in (None, image.WHITES[-1]):
        return white, ()
    return white, (f"pictures of 16 bits of which {max(tops):,.0f} is the most: {white:,.0f} is taken for white",)


def _common_size(some: Sequence[Path], size: int | None) -> tuple[int, int, str, str]:
    """(height, width, "L" or "RGB", note) from the headers of a sample of the files."""
    sizes, modes = [], set()
    for path in some:
        if (found := image.measure(path)) is not None:
            sizes.append(found[:2])
            modes.add(found[2])
    mode = "L" if modes and modes <= _GREY else "RGB"
    if not sizes:
        return size or MAX_SIDE, size or MAX_SIDE, mode, "pictures could not be measured"
    same = len(set(sizes)) == 1
    if size is None and same and max(sizes[0]) <= 1.5 * MAX_SIDE:
        return *sizes[0], mode, f"pictures of {sizes[0][0]} x {sizes[0][1]} pixels"
    side = size or int(np.clip(np.median([min(s) for s in sizes]), 8, MAX_SIDE))
    was = f"{sizes[0][0]} x {sizes[0][1]}" if same else "several sizes"
    return side, side, mode, f"pictures of {was} are resized to {side} x {side}; set data.size=... for another"


def _durations(paths: Sequence[Path]) -> list[float]:
    """Seconds of a sample of sounds; unreadable ones are passed over here and told when they are read."""
    found = []
    for path in _some(paths):
        try:
            found.append(len(audio.decode_wav(path, place=str(path))) / audio.RATE)
        except UserError:
            continue
    return found


def media_kind(column: pd.Series) -> Modality | None:
    """Whether a column holds paths of pictures or sounds, by their endings."""
    known = column.dropna().iloc[:200].astype(object).infer_objects()
    if len(known) == 0 or not pd.api.types.is_string_dtype(known.dtype):
        return None
    some = [str(v).lower() for v in known]
    if any(v.startswith(("http://", "https://")) for v in some):
        return None
    if all(v.endswith(image.ENDINGS) for v in some):
        return "image"
    return "audio" if all(v.endswith(audio.ENDINGS) for v in some) else None


def inside(folder: Path, text: str, place: str) -> Path:
    """The file a table names, which must lie in the table's folder. Raises UserError when it does not, or is absent."""
    try:
        root = folder.resolve()
        path = (root / text).resolve()
        if not path.is_file():
            path = (root / text.replace("\\", "/")).resolve()  # written on Windows
        there = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a zero byte, a ring of links
        raise UserError(f"{place} names {short(text)!r}, which is no path ({short(str(error))}); correct it") from error
    if root not in path.parents:
        raise UserError(f"{place} names {short(text)!r}, outside of {folder}; move the file into the folder")
    if not there:
        raise UserError(f"{place} names {short(text)!r}, which is not in {folder}; correct the path or drop the row")
    return path
