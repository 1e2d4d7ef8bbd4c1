"""Ctrl-C and SIGTERM: what a cluster or a person says when the time is up."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stoppable(stop: Callable[[], bool]) -> Iterator[None]:
    """Within the block the first signal calls ``stop``, which says whether the program goes on with what there is.

    If not, and from the second signal on, a signal does what it did before. A signal that is ignored stays so; outside
    the main thread nothing changes, since Python handles signals there alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: handler for s in STOPS if (handler := signal.getsignal(s)) not in (signal.SIG_IGN, None)}
    stopped = False

    def restore() -> None:
        for signum, handler in before.items():
            signal.signal(signum, handler)

    def hear(signum: int, frame: FrameType | None) -> None:
        nonlocal stopped
        if not stopped and stop():
            stopped = True
            return
        restore()
        handler = before[signal.Signals(signum)]
        if callable(handler):
            handler(signum, frame)
        else:
            os.kill(os.getpid(), signum)

    for signum in before:
        signal.signal(signum, hear)
    try:
        yield
    finally:
        restore()


@contextmanager
def terminated(then: Callable[[], None]) -> Iterator[None]:
    """Within the block SIGTERM calls ``then`` and ends it as Ctrl-C does: what is open is closed on the way out."""
    if (
        threading.current_thread() is not threading.main_thread()
        or (before := signal.getsignal(signal.SIGTERM)) is signal.SIG_IGN
    ):
        yield
        return

    def hear(signum: int, frame: FrameType | None) -> None:
        then()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
