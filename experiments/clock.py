"""How long each stage took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


@contextlib.contextmanager
def timed(clock: dict[str, float], stage: str) -> Iterator[None]:
    """Add the wall-clock seconds of the block to ``clock[stage]``."""
    began = time.monotonic()
    try:
        yield
    finally:
        clock[stage] = clock.get(stage, 0.0) + time.monotonic() - began
