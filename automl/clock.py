"""Whether the clock can be trusted with what is old: one that jumps makes all of it seem so."""

from __future__ import annotations

import time
from collections.abc import Callable

EVEN_FOR = 3600.0
"""Seconds that the clock must have run evenly before anything is removed as too old: a jump would else empty all. By
judgement: what is too old may lie an hour longer."""
JUMP = 60.0  # seconds by which it may be set: what a time server corrects is far less


class Evenly:
    """Of one process. ``clock``: unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._offset, self._since = clock() - time.monotonic(), time.monotonic()

    def runs(self) -> bool:
        """Whether it has for ``EVEN_FOR`` seconds, as far as was looked: look often."""
        running = time.monotonic()
        if abs((offset := self._clock() - running) - self._offset) > JUMP:
            self._offset, self._since = offset, running
        return running - self._since > EVEN_FOR
