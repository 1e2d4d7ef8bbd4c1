"""What every engine is: workers that train what they are given. Which candidate comes next is none of its business."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from nas.job import Job, Order, Outcome

T = TypeVar("T")


class Engine(ABC):
    """Base of all engines: implement ``start``, ``collect`` and ``shutdown``.

    ``workers``: trainings at once. ``trial_seconds``: wall-time limit of one training, None for the budget's alone.
    ``job``: what its workers train on. ``stopped``: see ``stop``. ``left``: tells the seconds that are left for what is
    under way, None without a limit; whoever starts trainings sets it.
    """

    job: Job

    def __init__(self, workers: int, trial_seconds: float | None = None) -> None:
        if workers < 1:
            raise ValueError(f"an engine needs at least one worker, got {workers}")
        self.workers = workers
        self.trial_seconds = trial_seconds
        self.stopped = False
        self._fresh = False  # no search has begun on the job yet
        self.left: Callable[[], float | None] = lambda: None

    def warm_up(self, wait: bool = False) -> None:  # noqa: B027  (few have something to begin)
        """Begin what takes long (processes, imports) while the caller does something else. Optional.

        ``wait``: until all of it is done; for benchmarks, whose first search should not differ from the others.
        """

    def take(self, job: Job) -> None:
        """Give the workers what they train on from now, and wait until one of them is up."""
        self.job, self._fresh = job, True

    def ready(self, job: Job) -> None:
        """Before each search: ``take`` the job, unless that was done and no search has begun since."""
        if not self._fresh or self.job is not job:
            self.take(job)
        self._fresh = False

    @abstractmethod
    def start(self, number: int, order: Order) -> None:
        """Begin or queue one training; must not block on it."""

    @abstractmethod
    def collect(self) -> Sequence[tuple[int, Outcome | None]]:
        """Wait until at least one started training has ended; all that have, in the order in which they ended.

        None: it was given up before it came to anything, since the search ends.
        """

    def stop(self) -> None:
        """Nothing new begins, what is at work is given up. For good. May be called from a signal handler."""
        self.stopped = True

    @property
    def hands(self) -> int:
        """Trainings at once in ``run``."""
        return 1

    def run(self, orders: Sequence[Order], seconds: float | None = None) -> list[Outcome | None]:
        """Trainings beside a search, once it has ended; what came of each, in the order of ``orders``.

        ``seconds``: for all of them. None: there was no time for it. Here one after the other, in this process.
        """
        from nas.evaluate import evaluate  # imports torch: an engine is made, and its workers start, before that

        until = None if seconds is None else time.monotonic() + seconds
        found: list[Outcome | None] = []
        for order in orders:
            timed = in_time(order, None if until is None else until - time.monotonic())
            found.append(None if timed is None else evaluate(self.job, timed))
        return found

    @property
    def aside(self) -> bool:
        """Whether workers can make something while this process goes on, on another core."""
        return False

    def beside(self, work: Callable[[Job], T]) -> Callable[[], T]:
        """Let a worker that has nothing to train make something of the job; what is returned waits for it, and raises
        what it raises. Without such a worker this process makes it when it is asked for it.

        ``work``: a function that pickle can name, or a ``partial`` of one.
        """
        return lambda: work(self.job)

    @abstractmethod
    def shutdown(self) -> None:
        """Give the workers up. May be called twice."""


def in_time(order: Order, left: float | None) -> Order | None:
    """The order in no more than the seconds that are left, None where there are none: it may have waited long."""
    if left is None:
        return order
    if left <= 0:
        return None
    return replace(order, seconds=left if order.seconds is None else min(order.seconds, left))
