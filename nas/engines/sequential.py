"""Trains in this process, one after the other: the easiest to debug, and exactly repeatable."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import torch
import torch._dynamo  # optimizers import it, and would in the first training

from automl.errors import within
from automl.machine import cores
from nas.engines.base import Engine
from nas.evaluate import evaluate
from nas.job import Order, Outcome
from nas.time import patience

AGAIN = 5.0  # seconds between two alarms for one training
SOON = 0.05  # the same for one that is given up
EARLY = 0.001  # seconds by which a timer may ring before the clock says so


class SequentialEngine(Engine):
    """``threads``: torch threads; None: torch's own choice, of the cores that this process may use."""

    def __init__(self, trial_seconds: float | None = None, threads: int | None = None) -> None:
        super().__init__(workers=1, trial_seconds=trial_seconds)
        within("threads", threads, 1)
        self.threads = threads
        self._queue: deque[tuple[int, Order]] = deque()
        self._training = False

    def start(self, number: int, order: Order) -> None:
        self._queue.append((number, order))

    def collect(self) -> Sequence[tuple[int, Outcome | None]]:
        number, order = self._queue.popleft()
        if self.stopped:
            return [(number, None)]
        threads = torch.get_num_threads()
        outcome: Outcome | None
        try:
            torch.set_num_threads(self.threads or min(threads, cores()))
            with alarm(order.seconds), self._interruptible():
                outcome = evaluate(self.job, order)
        except TrialHangs as hang:
            outcome = None if self.stopped else Outcome("timeout", seconds=hang.seconds, error=str(hang))
        except SystemExit:  # Lightning's answer to SIGTERM, at the next step
            if not self.stopped:
                raise
            outcome = None
        finally:
            torch.set_num_threads(threads)
        return [(number, outcome)]

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Within it ``stop`` may set the timer; outside of ``alarm`` nobody would answer that, and the process end."""
        self._training = True
        try:
            if self.stopped:  # the signal came when there was nothing to interrupt yet
                raise TrialHangs(0.0)
            yield
        finally:
            self._training = False

    def stop(self) -> None:
        super().stop()
        if self._training and threading.current_thread() is threading.main_thread():
            signal.setitimer(signal.ITIMER_REAL, SOON, SOON)  # as if it hung

    def shutdown(self) -> None:
        self._queue.clear()


class TrialHangs(BaseException):
    """Not an Exception, so that no handler inside a training swallows it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"stopped after {seconds:.1f} s: the training did not keep its own time limit")
        self.seconds = seconds


@contextmanager
def alarm(seconds: float | None) -> Iterator[None]:
    """Interrupt Python code that ignores its time limit (``nas.time.patience``). Needs the main thread.

    Without a limit it only waits for whoever sets the timer. A timer of the caller, such as that of a test's time-out,
    goes off when it is due, also within the block, and goes on behind it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hangs = 0.0 if seconds is None else patience(seconds)
    delay, again = signal.setitimer(signal.ITIMER_REAL, 0)
    began = time.monotonic()
    own, due = (began + hangs if hangs else math.inf), (began + delay if delay else math.inf)

    def ring(signum: int, frame: FrameType | None) -> None:
        nonlocal due
        if time.monotonic() + EARLY < due:
            raise TrialHangs(hangs)
        due = due + again if again else math.inf
        wait()
        if callable(before):
            before(signum, frame)
        elif before is signal.SIG_DFL:  # which ends the process
            signal.signal(signum, before)
            os.kill(os.getpid(), signum)

    def wait() -> None:
        """For whichever is due first. Again and again: Python swallows what is raised while it collects garbage."""
        first = min(own, due)
        signal.setitimer(signal.ITIMER_REAL, max(first - time.monotonic(), EARLY) if first < math.inf else 0, AGAIN)

    before = signal.signal(signal.SIGALRM, ring)
    wait()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if due < math.inf:
            signal.setitimer(signal.ITIMER_REAL, max(due - time.monotonic(), EARLY), again)
