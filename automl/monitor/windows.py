"""Windows in a folder: each worker appends a line of counts a minute to a file of its own, and reading adds them up.

windows-DAY-WORKER.jsonl    {"from": unix seconds, "to": unix seconds, "counts": [...]}, see ``automl.monitor.counter``

Who reads remembers how far, not up to when: so a clock that jumps, a worker that is late and one that is killed move no
row into a window twice, and lose none that was written. A line that is broken, or of another layout, is passed over.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

KEEP_DAYS, KEEP_MB = 30, 64
"""Files that are older, and the oldest of what is more, are removed once they were read. By judgement, as in
``answers``."""
SURELY_OVER = 2 * 86400
"""Seconds after which nobody writes into a file any more, as its name has the day."""


@dataclass(frozen=True)
class Window:
    """Rows between two moments, unix seconds. ``counts``: int64, see ``automl.monitor.counter``."""

    start: float
    end: float
    counts: np.ndarray

    def __add__(self, other: Window) -> Window:
        return Window(min(self.start, other.start), max(self.end, other.end), self.counts + other.counts)

    def line(self) -> bytes:
        said = {"from": round(self.start, 3), "to": round(self.end, 3), "counts": self.counts.tolist()}
        return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def worker_name() -> str:
    """One that no other process has, or will have."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def append(folder: Path, worker: str, window: Window) -> None:
    """Write one window whole, or nothing of it. Raises OSError where it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    day = time.strftime("%Y%m%d", time.gmtime(max(window.end, 0)))
    append_whole(folder / f"windows-{day}-{worker}.jsonl", window.line())


def append_whole(path: Path, text: bytes) -> None:
    """Append lines to a file that nobody else writes now; all or nothing. Raises OSError where the disk is full."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(file).st_size
        if os.write(file, text) != len(text):
            os.ftruncate(file, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(file)


@dataclass(frozen=True)
class Read:
    """``windows``: in no order. ``places``: bytes of each file that were read. ``broken``: lines passed over."""

    windows: list[Window]
    places: dict[str, int]
    broken: int


def read(folder: Path, size: int, places: Mapping[str, int] | None = None) -> Read:
    """The windows that were appended since ``places``, of all workers. ``size``: of the vector of counts.

    A folder that is not there holds none. Raises OSError for one that cannot be read.
    """
    known, found, now, broken = places or {}, [], {}, 0
    for path in sorted(folder.glob("windows-*.jsonl")):
        try:
            with path.open("rb") as file:
                at = known.get(path.name, 0)
                at = at if at <= os.fstat(file.fileno()).st_size else 0  # removed and begun anew
                file.seek(at)
                text = file.read()
        except FileNotFoundError:
            continue
        whole = text.rfind(b"\n") + 1  # a line that is being written has no end yet
        now[path.name] = at + whole
        for line in text[:whole].splitlines():
            window = _window(line, size)
            broken += window is None
            found += [] if window is None else [window]
    return Read(found, now, broken)


def _window(line: bytes, size: int) -> Window | None:
    try:
        plain = json.loads(line)
        counts = np.array(plain["counts"])
        start, end = float(plain["from"]), float(plain["to"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    if counts.shape != (size,) or counts.dtype != np.int64 or (counts < 0).any():
        return None
    return Window(start, end, counts)


def total(windows: Iterable[Window]) -> Window | None:
    """All added up; None of none."""
    found: Window | None = None
    for window in windows:
        found = window if found is None else found + window
    return found


def clear(folder: Path, places: Mapping[str, int], now: float) -> None:
    """Remove files that were read to their end and are older, or more, than is kept. ``now``: unix seconds."""
    room = KEEP_MB << 20
    files = [(path, path.stat()) for path in folder.glob("windows-*.jsonl")]
    for path, stat in sorted(files, key=lambda f: f[1].st_mtime, reverse=True):
        room -= stat.st_size
        age = now - stat.st_mtime
        if places.get(path.name) == stat.st_size and age > SURELY_OVER and (room < 0 or age > KEEP_DAYS * 86400):
            path.unlink(missing_ok=True)
