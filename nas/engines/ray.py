"""Trains in persistent Ray workers: on this machine, or on a cluster by its address.

A worker imports torch once and then trains many candidates. One that crashes, hangs or outgrows its memory is
replaced; its training becomes a Trial with that status and the search goes on.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psutil
import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError

from automl.errors import UserError, within
from nas.engines.base import Engine
from nas.engines.cluster import begin, environment, gpu_count, places
from nas.job import Job, Order, Outcome, one_line
from nas.time import SHORTEST, WORKER_START, patience

NICE = 5  # Ray's own 15 is a thirtieth of another program's share (36 of 1,024 in Linux): none came up beside a few
LOST_STARTS = 5  # workers in a row that may die before their first training: by judgement, one may be bad luck
T = TypeVar("T")


class Worker:
    """Lives in its own process; holds the job and trains one order at a time."""

    def __init__(self, threads: int) -> None:
        import torch._dynamo  # optimizers do: all that a training needs, before there is one

        from nas.evaluate import evaluate

        torch.set_num_threads(threads)
        self._evaluate = evaluate
        self.job: Job | None = None

    def take(self, job: Job | None) -> int:
        """Take up a job; answers with the process id."""
        self.job = job
        return os.getpid()

    def evaluate(self, order: Order) -> Outcome:
        assert self.job is not None
        return self._evaluate(self.job, order)

    def make(self, work: Callable[[Job], Any]) -> Any:
        assert self.job is not None
        return work(self.job)


@dataclass
class Seat:
    """A worker as the engine sees it."""

    actor: Any
    ready: Any  # reference to the answer of ``take``: its process id
    pid: int | None = None
    number: int | None = None
    order: Order | None = None
    result: Any = None
    since: float = 0.0


class RayEngine(Engine):
    """Parameters.

    workers: trainings at once; None: one per core, or as many as fit ``gpus_per_worker`` on the GPUs.
    threads: torch threads of a worker. gpus_per_worker: a fraction lets several small candidates share a GPU; None is
    one where there are GPUs.
    address: of an existing Ray cluster, whose cores and GPUs then count and to which the code is sent; None starts a
    private one on this machine, closed to the network.
    retries: how often a training is started again when its worker is lost. memory_gb: limit per worker, watched on this
    machine only. Raises UserError with an address and such a limit.
    """

    def __init__(
        self,
        workers: int | None = None,
        threads: int = 1,
        gpus_per_worker: float | None = None,
        address: str | None = None,
        retries: int = 1,
        memory_gb: float | None = None,
        trial_seconds: float | None = None,
    ) -> None:
        if address is not None and memory_gb is not None:
            raise UserError(
                f"engine.memory_gb={memory_gb} is watched on this machine only. Leave it null with engine.address"
            )
        gpus = gpu_count() if address is None else 0
        self.gpus = (1.0 if gpus else 0.0) if gpus_per_worker is None else gpus_per_worker
        self._ask_gpus, self._ask_workers = gpus_per_worker is None, workers is None
        if workers is None:  # of a cluster it is known once it was joined
            workers = max(int(gpus / self.gpus), 1) if gpus and self.gpus else len(os.sched_getaffinity(0))
        super().__init__(workers, trial_seconds)
        within("threads", threads, 1)
        within("retries", retries, 0)
        within("gpus_per_worker", gpus_per_worker, 0)
        within("memory_gb", memory_gb, 0.1)  # less than Python itself takes
        self.threads, self.address, self.retries, self.memory_gb = threads, address, retries, memory_gb
        self._seats: list[Seat] = []
        self._queue: deque[tuple[int, Order]] = deque()
        self._tries: dict[int, int] = {}
        self._job: Any = None
        self._own_cluster = False
        self._lost_starts = 0
        self._at_work = 0.0  # when a training was last seen at work
        self._thread: threading.Thread | None = None
        self._up, self._over = threading.Event(), threading.Event()
        self._refused: BaseException | None = None  # why Ray did not begin

    # --- life

    def warm_up(self, wait: bool = False) -> None:
        """In a thread: Ray takes seconds to start, and a program as long to import torch meanwhile."""
        if self._thread is None:
            self._up.clear()
            self._over.clear()
            self._refused = None
            self._thread = threading.Thread(target=self._live, name="ray", daemon=True)
            self._thread.start()
        if wait:
            self._begun()
            up = [seat.actor.take.remote(self._job) for seat in self._seats]
            ray.wait(up, num_returns=len(up), timeout=WORKER_START)

    def _live(self) -> None:
        """Ray's processes end with the thread that started them: it stays until ``shutdown``. (Started in the main
        thread, Ray would answer SIGTERM in its own way.)
        """
        try:
            self._begin()
        except BaseException as error:  # told to whoever waits for it
            self._refused = error
        self._up.set()
        self._over.wait()

    def _begun(self) -> None:
        """Wait until Ray has begun. Raises what it refused with."""
        self._up.wait()
        if self._refused is not None:
            raise self._refused

    def _begin(self) -> None:
        """Start Ray and its workers.

        Raises UserError when there is no Ray, or not a single worker has a place on a machine that cannot grow.
        """
        if not ray.is_initialized():
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
            options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
            if self.address is None:
                options |= {
                    "num_cpus": max(self.workers * self.threads, 1),
                    "include_dashboard": False,
                    "_node_ip_address": "127.0.0.1",
                    "_system_config": {"worker_niceness": NICE},
                }
            begin(self.address, environment(self.address), options)
            self._own_cluster = True
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if self.address is not None and self._ask_gpus:
            self.gpus = 1.0 if any(node.get("GPU", 0) for node in nodes) else 0.0
        fit = places(nodes, self.threads, self.gpus)
        if self.address is None and not fit:
            raise UserError(self._no_place())
        if self.address is not None and self._ask_workers:
            self.workers = max(fit, 1)  # a cluster may still grow
        elif self.address is None:
            self.workers = min(self.workers, fit)
        self._seats = [self._seat() for _ in range(self.workers)]

    def _no_place(self) -> str:
        """What a worker needs, and what there is, in one line."""
        there = ray.cluster_resources()
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

    def _seat(self) -> Seat:
        make: Any = ray.remote(num_cpus=self.threads, num_gpus=self.gpus, max_restarts=0)(Worker)
        actor = make.remote(self.threads)
        return Seat(actor, actor.take.remote(self._job) if self._job is not None else None)

    def take(self, job: Job) -> None:
        self.warm_up()
        self._begun()
        self._job = ray.put(job)
        self._tries.clear()
        for seat in self._seats:
            seat.ready, seat.pid = seat.actor.take.remote(self._job), None
        # A worker that never comes up is met in ``_assign``.
        up, _ = ray.wait([seat.ready for seat in self._seats], num_returns=1, timeout=WORKER_START)
        if not up:
            raise UserError(self._no_place())
        self._at_work = time.monotonic()
        super().take(job)

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

    @property
    def aside(self) -> bool:
        return self.address is None and len(os.sched_getaffinity(0)) > 1  # a cluster is sent what trains, and no more

    def beside(self, work: Callable[[Job], T]) -> Callable[[], T]:
        free = [seat for seat in self._seats if seat.number is None and seat.pid is not None]
        if not free or not self.aside:
            return super().beside(work)
        made = free[0].actor.make.remote(work)

        def waited() -> T:
            try:
                return ray.get(made)
            except RayError:  # its worker is gone, or what it raised is raised here
                return work(self.job)

        return waited

    def shutdown(self) -> None:
        if self._thread is not None:
            self._up.wait()
        for seat in self._seats:
            ray.kill(seat.actor)
        self._seats = []
        self._queue.clear()
        if self._own_cluster:
            ray.shutdown()
            self._own_cluster = False
        self._over.set()
        self._thread = None
        self._fresh = False

    # --- work

    def start(self, number: int, order: Order) -> None:
        self._queue.append((number, order))
        self._assign()

    def _assign(self) -> None:
        """Give queued orders to free workers that are up."""
        for index, seat in enumerate(self._seats):
            if not self._queue:
                return
            if seat.number is not None:
                continue
            if seat.pid is None:
                try:
                    done, _ = ray.wait([seat.ready], timeout=0)
                    if not done:
                        continue
                    seat.pid = ray.get(seat.ready)
                    self._lost_starts = 0
                except RayError as error:
                    self._lost_starts += 1
                    if self._lost_starts > LOST_STARTS:
                        raise UserError(
                            f"Ray's workers die as they start ({one_line(error)}). Free memory, set engine.workers "
                            "lower, or use engine=sequential"
                        ) from error
                    self._seats[index] = self._seat()
                    continue
            number, order = self._queue.popleft()
            if (left := self.left()) is not None:  # it may have waited long for a worker
                sides = (left, math.inf if order.seconds is None else order.seconds)
                order = replace(order, seconds=max(min(sides), SHORTEST))
            seat.number, seat.order = number, order
            seat.since = time.monotonic()
            seat.result = seat.actor.evaluate.remote(seat.order)

    def collect(self) -> Sequence[tuple[int, Outcome | None]]:
        while True:
            if self.stopped:
                return self._give_up()
            left = self.left()
            if self._queue and left is not None and left <= 0:
                return self._withdraw()
            self._assign()
            busy = {s.result: i for i, s in enumerate(self._seats) if s.number is not None}
            if busy:
                self._at_work = time.monotonic()
            elif time.monotonic() - self._at_work > WORKER_START:
                raise UserError(self._no_place())
            starting = [s.ready for s in self._seats if s.pid is None and self._queue]
            done, _ = ray.wait([*busy, *starting], timeout=0.5, num_returns=1)
            ended: list[tuple[int, Outcome | None]] = []
            for reference in done:
                if reference in busy:
                    ended += self._take(busy[reference])
            for index in busy.values():
                ended += self._police(index)
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
            ray.kill(seat.actor)
        self._seats = [seat for seat in self._seats if seat.number is None]
        return [*((seat.number, None) for seat in busy if seat.number is not None), *self._withdraw()]

    def _take(self, index: int) -> list[tuple[int, Outcome]]:
        """The result of a worker that ended; nothing when the training was started again."""
        seat = self._seats[index]
        number, order = seat.number, seat.order
        assert number is not None and order is not None
        seconds = time.monotonic() - seat.since
        try:
            outcome: Outcome = ray.get(seat.result)  # pyright: ignore[reportAssignmentType]
            seat.number = seat.order = seat.result = None
            self._assign()
            return [(number, outcome)]
        except OutOfMemoryError as error:
            outcome = Outcome("oom", seconds=seconds, error=one_line(error))
        except RayActorError:
            tried = self._tries.get(number, 0)
            if tried < self.retries:
                self._tries[number] = tried + 1
                self._queue.appendleft((number, order))
                self._replace(index)
                return []
            outcome = Outcome("failed", seconds=seconds, error=f"its worker was killed, {tried + 1} times")
        except RayError as error:
            outcome = Outcome("failed", seconds=seconds, error=one_line(error))
        self._replace(index)
        return [(number, outcome)]

    def _police(self, index: int) -> list[tuple[int, Outcome]]:
        """Stop a training that overstays its time or memory."""
        seat = self._seats[index]
        if seat.number is None or seat.order is None:
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
        number = seat.number
        self._replace(index)
        return [(number, outcome)]

    def _replace(self, index: int) -> None:
        ray.kill(self._seats[index].actor)
        self._seats[index] = self._seat()


def resident_gb(pid: int) -> float:
    """Resident memory of a process on this machine; 0 when it is gone."""
    try:
        return psutil.Process(pid).memory_info().rss / 1e9
    except psutil.Error:
        return 0.0
