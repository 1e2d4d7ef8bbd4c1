"""Memory that a training leaves behind goes back to the system.

glibc keeps what is freed in pieces between what is not. After some hundred trainings of different networks in one
process that was many gigabytes, none of them in use.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import os
from collections.abc import Callable
from pathlib import Path

ENOUGH = 128 * 2**20  # bytes: a smaller growth is not worth the milliseconds

_after: int | None = None  # resident bytes after the last time


def give_back() -> None:
    """Return freed memory when the process has grown since the last time. Does nothing where there is no glibc."""
    global _after
    trim = _trim()
    if trim is None:
        return
    now = resident()
    if _after is None:
        _after = now
    if now < _after + ENOUGH:
        return
    gc.collect()  # Lightning's module and Trainer refer to each other
    trim(0)
    _after = resident()


def resident() -> int:
    """Bytes of this process that are in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@functools.cache
def _trim() -> Callable[[int], int] | None:
    try:
        resident()
        return ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return None
