"""Workers that live in processes of their own, each with one training at a time: the base of such engines.

Which worker gets which order, and what becomes of one that is lost, hangs or outgrows its memory: it is replaced, its
training becomes a Trial with that status and the search goes on. Where the processes live and how they are spoken to
is the engine's: the methods at the end.
"""

from __future__ import annotations

import functools
import math
import os
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psutil

from automl.errors import UserError, within
from automl.machine import cores
from automl.types import Status
from nas.engines.base import Engine
from nas.engines.room import on_gpus, places
from nas.job import Job, Order, Outcome
from nas.time import SHORTEST, WORKER_START, patience

NICE = 5  # of workers. Ray's own 15 is a thirtieth of another program's share (36 of 1,024 in Linux): none came up
T = TypeVar("T")
LOST_STARTS = 5  # workers in a row that may die before their first training: by judgement, one may be bad luck


class Lost(Exception):
    """A worker is gone. ``status``: of what it trained; None: that may be tried again."""

    def __init__(self, why: str, status: Status | None = None) -> None:
        super().__init__(why)
        self.status: Status | None = status


@dataclass(eq=False)
class Seat:
    """A worker as the engine sees it. ``worker`` and ``answer``: what it is spoken to by, and what is awaited of it."""

    worker: Any
    answer: Any = None
    pid: int | None = None  # None: it is not up, as far as is known
    number: int | None = None
    order: Order | None = None
    since: float = 0.0


class Pool(Engine):
    """``workers``: None takes one for so many cores as it has ``threads``, or as many as fit on the GPUs.

    ``gpus_per_worker``: below 1 several share a GPU; None is one where there are GPUs. ``there``: GPUs of this machine.
    ``retries``: how often a training is started again when its worker is lost. ``memory_gb``: limit per worker.
    """

    address: str | None = None  # of other machines

    def __init__(
        self,
        workers: int | None,
        threads: int,
        gpus_per_worker: float | None,
        retries: int,
        memory_gb: float | None,
        trial_seconds: float | None,
        there: int,
    ) -> None:
        within("threads", threads, 1)
        within("retries", retries, 0)
        within("gpus_per_worker", gpus_per_worker, 0)
        within("memory_gb", memory_gb, 0.1)  # less than Python itself takes
        self.gpus = float(bool(there)) if gpus_per_worker is None else float(gpus_per_worker)
        if self.gpus > 1 and not self.gpus.is_integer():
            raise ValueError(f"gpus_per_worker={gpus_per_worker} must be a whole number above 1, or a fraction of one")
        if workers is None:
            workers = max(on_gpus(there, self.gpus) if there and self.gpus else cores() // threads, 1)
        super().__init__(workers, trial_seconds)
        self.threads, self.retries, self.memory_gb = threads, retries, memory_gb
        self._seats: list[Seat] = []
        self._queue: deque[tuple[int, Order]] = deque()
        self._tries: dict[int, int] = {}
        self._lost_starts = 0
        self._at_work = 0.0  # when a training was last seen at work
        self._made: Callable[[], Any] | None = None  # waits for what a worker makes beside

    # --- life

    def take(self, job: Job) -> None:
        self.warm_up()
        self._hold(job)
        self._queue.clear()
        self._tries.clear()
        for seat in tuple(self._seats):
            if seat.number is not None:  # of a search that was broken off
                self._replace(seat)
            else:
                seat.pid = None
                self._give(seat)
        # A worker that never comes up is met in ``_assign``.
        if not self._wait(self._seats, WORKER_START):
            raise UserError(self._no_place())
        self._at_work = time.monotonic()
        super().take(job)

    def _all_up(self) -> None:
        """Wait until every worker is."""
        until = time.monotonic() + WORKER_START
        for seat in self._seats:
            self._give(seat)
        waiting = list(self._seats)
        while waiting:
            said = self._wait(waiting, max(until - time.monotonic(), 0.0))
            if not said:
                raise UserError(self._no_place())
            for seat in said:
                waiting.remove(seat)
                try:
                    seat.pid = self._answer(seat)
                except Lost as lost:
                    self._give(another := self._start_lost(seat, lost))
                    waiting.append(another)

    @property
    def aside(self) -> bool:
        return self.address is None and cores() > 1  # other machines are sent what trains, and no more

    def beside(self, work: Callable[[Job], T]) -> Callable[[], T]:
        free = [seat for seat in self._seats if seat.number is None and seat.pid is not None]
        if self._made is not None or not free or not self.aside:
            return super().beside(work)
        seat = free[0]
        self._make(seat, work)

        @functools.cache
        def waited() -> T:
            self._made = None
            while not self._wait([seat], WORKER_START):
                pass
            try:
                (made,) = self._answer(seat)
                return made
            except Lost:  # the worker is gone, or what it raised is raised here
                self._replace(seat)
                return work(self.job)

        self._made = waited
        return waited

    @property
    def hands(self) -> int:
        return max(len(self._seats), 1)

    def run(self, orders: Sequence[Order], seconds: float | None = None) -> list[Outcome | None]:
        until = None if seconds is None else time.monotonic() + seconds
        self.left = lambda: None if until is None else until - time.monotonic()
        self._at_work = time.monotonic()
        self._tries.clear()
        found: dict[int, Outcome | None] = {}
        for number, order in enumerate(orders):
            self.start(number, order)
        while len(found) < len(orders):
            found.update(self.collect())
        return [found[number] for number in range(len(orders))]

    def shutdown(self) -> None:
        for seat in self._seats:
            self._dismiss(seat)
        self._seats = []
        self._queue.clear()
        self._fresh = False

    # --- work

    def start(self, number: int, order: Order) -> None:
        if self._made is not None:
            self._made()
        self._queue.append((number, order))
        self._assign()

    def _assign(self) -> None:
        """Give queued orders to free workers that are up."""
        for seat in tuple(self._seats):
            if not self._queue:
                return
            if seat.number is not None:
                continue
            if seat.pid is None:
                if not self._wait([seat], 0):
                    continue
                try:
                    seat.pid = self._answer(seat)
                    self._lost_starts = 0
                except Lost as lost:
                    self._start_lost(seat, lost)
                    continue
            number, order = self._queue.popleft()
            if (left := self.left()) is not None:  # it may have waited long for a worker
                sides = (left, math.inf if order.seconds is None else order.seconds)
                order = replace(order, seconds=max(min(sides), SHORTEST))
            seat.number, seat.order = number, order
            seat.since = time.monotonic()
            self._send(seat, order)

    def collect(self) -> Sequence[tuple[int, Outcome | None]]:
        while True:
            if self.stopped:
                return self._give_up()
            left = self.left()
            if self._queue and left is not None and left <= 0:
                return self._withdraw()
            self._assign()
            busy = [seat for seat in self._seats if seat.number is not None]
            if busy:
                self._at_work = time.monotonic()
            elif time.monotonic() - self._at_work > WORKER_START:
                raise UserError(self._no_place())
            starting = [seat for seat in self._seats if seat.pid is None and self._queue]
            ended: list[tuple[int, Outcome | None]] = []
            for seat in self._wait([*busy, *starting], 0.5):
                if seat in busy:
                    ended += self._take(seat)
            for seat in busy:
                ended += self._police(seat)
            if ended:
                return ended

    def _withdraw(self) -> Sequence[tuple[int, Outcome | None]]:
        """What no worker was free for."""
        waiting = [(number, None) for number, _ in self._queue]
        self._queue.clear()
        return waiting

    def _give_up(self) -> Sequence[tuple[int, Outcome | None]]:
        """All that is under way; the workers that train are gone then, so that they take nothing from what follows."""
        busy = [seat for seat in self._seats if seat.number is not None]
        for seat in busy:
            self._dismiss(seat)
        self._seats = [seat for seat in self._seats if seat.number is None]
        return [*((seat.number, None) for seat in busy if seat.number is not None), *self._withdraw()]

    def _take(self, seat: Seat) -> list[tuple[int, Outcome]]:
        """The result of a worker that ended; nothing when the training was started again."""
        number, order = seat.number, seat.order
        assert number is not None and order is not None
        seconds = time.monotonic() - seat.since
        try:
            outcome: Outcome = self._answer(seat)
        except Lost as lost:
            tried = self._tries.get(number, 0)
            if lost.status is None and tried < self.retries:
                self._tries[number] = tried + 1
                self._queue.appendleft((number, order))
                self._replace(seat)
                return []
            why = f"its worker was killed, {tried + 1} times" if lost.status is None else str(lost)
            self._replace(seat)
            return [(number, Outcome(lost.status or "failed", seconds=seconds, error=why))]
        seat.number = seat.order = None
        self._assign()
        return [(number, outcome)]

    def _police(self, seat: Seat) -> list[tuple[int, Outcome]]:
        """Stop a training that overstays its time or memory."""
        if seat.number is None or seat.order is None or seat not in self._seats:
            return []
        seconds = time.monotonic() - seat.since
        outcome = None
        limit = seat.order.seconds
        if limit is not None and seconds > patience(limit):
            outcome = Outcome(
                "timeout", seconds=seconds, error=f"killed after {seconds:.1f} s, the limit is {limit:.1f} s"
            )
        elif self.memory_gb is not None and seat.pid is not None:
            used = resident_gb(seat.pid)
            if used > self.memory_gb:
                outcome = Outcome("oom", seconds=seconds, error=f"used {used:.1f} GB, the limit is {self.memory_gb} GB")
        if outcome is None:
            return []
        self._replace(seat)
        return [(seat.number, outcome)]

    def _replace(self, seat: Seat) -> Seat:
        """End a worker and start another in its place."""
        self._dismiss(seat)
        place = self._seats.index(seat)
        self._seats[place] = self._seat(place)
        return self._seats[place]

    def _start_lost(self, seat: Seat, lost: Lost) -> Seat:
        """The same for one that died as it started. Raises UserError when too many did."""
        self._lost_starts += 1
        if self._lost_starts > LOST_STARTS:
            raise UserError(
                f"the workers die as they start ({lost}). Free memory, set engine.workers lower, or use "
                "engine=sequential"
            ) from lost
        return self._replace(seat)

    def _no_place(self) -> str:
        """What a worker needs, and what there is, in one line."""
        there = self._resources()
        if self.address is None and places([there], self.threads, self.gpus):
            busy = f"a load of {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
            return (
                f"no worker was up within {WORKER_START:.0f} s: this machine is too busy ({busy}) or out of memory. "
                "Finished trials are kept; add resume=true to go on"
            )
        where = "this machine has" if self.address is None else f"the cluster at engine.address={self.address} has"
        return (
            f"no worker finds a place: one needs {self.threads} cores and {self.gpus:g} GPUs, {where} "
            f"{there.get('CPU', 0):g} and {there.get('GPU', 0):g}, other programs' included. Set engine.threads or "
            "engine.gpus_per_worker lower. Finished trials are kept; add resume=true to go on"
        )

    # --- how the workers are reached

    @abstractmethod
    def _hold(self, job: Job) -> None:
        """Keep the job where workers find it. Raises UserError when there can be none."""

    @abstractmethod
    def _seat(self, place: int) -> Seat:
        """Start a worker, which is given the job that is held. Returns at once."""

    @abstractmethod
    def _give(self, seat: Seat) -> None:
        """Let it take up the job that is held. It answers with its process id."""

    @abstractmethod
    def _send(self, seat: Seat, order: Order) -> None:
        """Let it train. It answers with the Outcome."""

    @abstractmethod
    def _make(self, seat: Seat, work: Callable[[Job], Any]) -> None:
        """Let it make something of its job. It answers with a tuple of that."""

    @abstractmethod
    def _wait(self, seats: Sequence[Seat], seconds: float) -> Sequence[Seat]:
        """Until one has answered or is gone, no longer than so long; those that have or are."""

    @abstractmethod
    def _answer(self, seat: Seat) -> Any:
        """Of one that has. Raises Lost."""

    @abstractmethod
    def _dismiss(self, seat: Seat) -> None:
        """End it, whatever it does."""

    @abstractmethod
    def _resources(self) -> Mapping[str, float]:
        """What there is for workers: ``CPU`` and ``GPU``."""


def resident_gb(pid: int) -> float:
    """Resident memory of a process on this machine; 0 when it is gone."""
    try:
        return psutil.Process(pid).memory_info().rss / 1e9
    except psutil.Error:
        return 0.0
