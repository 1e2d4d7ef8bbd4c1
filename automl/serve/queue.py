"""Requests that wait, and who answers them: bounded, in batches that need no waiting, never given up half-way.

Light ones (a table or texts, a small network) are answered by the event loop itself: a batch takes milliseconds, less
than handing it to a thread and back. All that arrived in one turn of the loop are one batch, so batches grow with the
load and cost a single request nothing. All others go to ``threads``, of which each has one slot. A request that was not
answered in time is told so, but its slot is free only when its thread has ended: there are never more of them than
slots (what BentoML#5642 is about).
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from automl.serve.limits import Limits, Refused
from automl.serve.models import Loaded

Row = Mapping[str, Any]
Told = Sequence[np.ndarray]
BATCH = 64  # rows of several requests together: by judgement, more make the first of them wait
_TOLD: weakref.WeakSet[Loaded] = weakref.WeakSet()
log = logging.getLogger(__name__)
SHADOWS = 64  # requests that wait for a shadow; further ones it does not see


@dataclass(eq=False)
class Job:
    """A request that waits. ``finish``: what the graph gave for its rows -> the result. ``until``: on the clock
    ``time.monotonic``. ``alone``: not in a batch with others.
    """

    loaded: Loaded
    rows: Sequence[Row]
    finish: Callable[[Told], Any]
    until: float
    alone: bool = False
    future: asyncio.Future[Any] | None = None
    timer: asyncio.TimerHandle | None = None
    result: Any = None
    error: Exception | None = field(default=None, repr=False)

    def settle(self) -> None:
        """Hand the result over, unless that came too late. On the loop's thread."""
        if self.future is None and self.error is not None and self.loaded not in _TOLD:
            _TOLD.add(self.loaded)  # once, and without the error's words, which hold values
            what = f"the shadow {self.loaded.reference} cannot answer what the champion is asked"
            log.error("%s (%s); compare their columns at /models", what, type(self.error).__name__)
        if self.future is None or self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)
            self.error = self.future = None


class Queue:
    """Of one worker. All but the work in threads happens on the loop's thread."""

    def __init__(self, limits: Limits, threads: int) -> None:
        self.limits = limits
        self.light: deque[Job] = deque()
        self.heavy: deque[Job] = deque()
        self.shadows: deque[Job] = deque(maxlen=SHADOWS)
        self.threads = Threads(threads)
        self._turn = False

    def __len__(self) -> int:
        return len(self.light) + len(self.heavy)

    @property
    def busy(self) -> int:
        """Requests that a thread works on."""
        return self.threads.count - self.threads.free

    def admit(self) -> None:
        """Raises Refused when no more may wait."""
        if len(self.light) + len(self.heavy) >= self.limits.queue:
            raise Refused(429, "too many requests wait; ask again later", Retry_After="1")

    async def answer(
        self, loaded: Loaded, rows: Sequence[Row], finish: Callable[[Told], Any], *, alone: bool = False
    ) -> Any:
        """What ``finish`` makes of the graph's outputs. Raises Refused, and what encoding and ``finish`` raise.

        ``alone``: ``finish`` takes long, so it is not done with others.
        """
        self.admit()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        until = time.monotonic() + self.limits.seconds
        job = Job(loaded, rows, finish, until, alone or not loaded.cells, future)
        if not alone and len(rows) <= loaded.light:
            self.light.append(job)
        else:
            self._to_threads(job, loop)
        self._soon(loop)
        try:
            return await future
        finally:
            if job.timer is not None:
                job.timer.cancel()  # it holds the rows
            # An error knows this frame, which would know the error by these: a circle that keeps the body in memory
            # until Python looks for circles, and megabytes of text do not make it look.
            del future, job

    def shadow(self, loaded: Loaded, rows: Sequence[Row], finish: Callable[[Told], Any]) -> None:
        """Ask in the background, when nobody waits; nobody is told."""
        self.shadows.append(Job(loaded, rows, finish, float("inf"), not loaded.cells))
        self._soon(asyncio.get_running_loop())

    def _soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._turn:
            self._turn = True
            loop.call_soon(self._pump, loop)

    def _pump(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turn = False
        while self.threads.free and (self.heavy or (self.shadows and not self.light)):
            waiting = self.heavy or self.shadows
            if batch := self._taken(waiting, BATCH):
                self.threads.start(lambda batch=batch: work(batch), lambda batch=batch: self._done(batch, loop), loop)
        if not self.light:
            return
        batch = self._taken(self.light, min(BATCH, self.light[0].loaded.light))
        unread = work(batch, plain=True)
        for job in batch:
            if job in unread:
                self._to_threads(job, loop)
            else:
                job.settle()
        if self.light or unread:
            self._soon(loop)  # the loop reads on meanwhile

    def _taken(self, waiting: deque[Job], most: int) -> list[Job]:
        """The next ones that can be answered together, of ``most`` rows; those whose time is up are told so."""
        batch: list[Job] = []
        rows, now = 0, time.monotonic()
        while waiting:
            job = waiting[0]
            if job.until < now or (job.future is not None and job.future.done()):
                self._late(waiting.popleft())
                continue
            if batch and (job.loaded is not batch[0].loaded or job.alone or batch[0].alone):
                break
            if batch and rows + len(job.rows) > most:
                break
            batch.append(waiting.popleft())
            rows += len(job.rows)
        return batch

    def _done(self, batch: list[Job], loop: asyncio.AbstractEventLoop) -> None:
        for job in batch:
            job.settle()
        self._soon(loop)

    def _late(self, job: Job) -> None:
        if job.future is not None and not job.future.done():
            text = f"not answered within {self.limits.seconds:g} s"
            job.future.set_exception(Refused(503, text, Retry_After="1"))

    def _to_threads(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        job.timer = loop.call_later(max(job.until - time.monotonic(), 0), self._late, job)
        self.heavy.append(job)


def work(batch: list[Job], *, plain: bool = False) -> list[Job]:
    """Fill in results, or errors. Returns those that need pandas, which ``plain`` has not asked.

    Together where that gives what each gives alone: rows of cells are read one by one. What fails is tried alone, so
    that nobody gets an error for the rows of another.
    """
    if not batch:
        return []
    loaded = batch[0].loaded
    if len(batch) > 1 and (told := _together(batch)) is not None:
        at = 0
        for job in batch:
            _finish(job, [out[at : at + len(job.rows)] for out in told])
            at += len(job.rows)
        return []
    unread = []
    for job in batch:
        try:
            encoded = loaded.bundle.fast.encode(job.rows) if plain else loaded.encode(job.rows)
            if encoded is None:
                unread.append(job)
            else:
                _finish(job, loaded.bundle.outputs_encoded(encoded))
        except Exception as error:
            job.error = error
    return unread


def _together(batch: list[Job]) -> Told | None:
    """What the graph gives for the rows of all; None where each must be asked alone, to see whose fault it is."""
    bundle = batch[0].loaded.bundle
    try:
        encoded = bundle.fast.encode([row for job in batch for row in job.rows])
        return None if encoded is None else bundle.outputs_encoded(encoded)
    except Exception:
        return None


def _finish(job: Job, told: Told) -> None:
    """Once per request: it is counted here. One that was told that it is late is not."""
    if job.future is not None and job.future.done():
        return
    try:
        job.result = job.finish(told)
    except Exception as error:
        job.error = error


_Task = tuple[Callable[[], Any], Callable[[], None], asyncio.AbstractEventLoop]


class Threads:
    """A few that never keep the process from ending, which those of ``concurrent.futures`` do while they work."""

    def __init__(self, count: int) -> None:
        self.count = self.free = count
        self.since: dict[int, float] = {}  # thread -> when it began what it does now
        self._todo: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._running = 0

    def start(self, task: Callable[[], Any], done: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        """``done`` is called on the loop's thread, when the slot is free again."""
        self.free -= 1
        if self._running < self.count:
            threading.Thread(target=self._run, args=(self._running,), daemon=True).start()
            self._running += 1
        self._todo.put((task, done, loop))

    def close(self) -> None:
        """Let the threads end when they are idle."""
        for _ in range(self._running):
            self._todo.put(None)

    def longest(self) -> float:
        """Seconds that the oldest task takes by now, 0 for none."""
        began = list(self.since.values())
        return time.monotonic() - min(began) if began else 0.0

    def _run(self, number: int) -> None:
        while (one := self._todo.get()) is not None:
            task, done, loop = one
            self.since[number] = time.monotonic()
            try:
                task()
            finally:
                del self.since[number]
                try:
                    loop.call_soon_threadsafe(self._end, done)
                except RuntimeError:  # the loop has ended
                    return

    def _end(self, done: Callable[[], None]) -> None:
        self.free += 1
        done()
