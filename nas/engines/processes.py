"""Trains in processes of this machine, forked from one that has imported what a training needs.

That one (``nas.engines.nursery``) starts while the program imports; from then on a worker is up in a moment, the first
as well as one that takes a lost one's place. What workers print goes nowhere: debug with ``sequential``.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.reduction import send_handle
from pickle import PickleBuffer
from typing import IO, Any

import cloudpickle

from automl.errors import UserError
from nas.engines.nursery import Spans
from nas.engines.pool import Lost, Pool, Seat
from nas.engines.room import gpu_count, places
from nas.job import Job, Order

START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from nas.engines.nursery import main; "
    "main(*map(int, sys.argv[2:]))"
)
NO_THREADS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Else libraries start threads as they are imported, before the workers are forked: for sums, and to tidy memory."""
ALIGNED = 64  # bytes: numpy's and torch's widest loads
END = 5.0  # seconds in which the nursery ends its workers and itself, before it is killed


class ProcessesEngine(Pool):
    """Parameters.

    workers: trainings at once; None: one for so many cores as it has threads, or as many as fit ``gpus_per_worker`` on
    the GPUs.
    threads: torch threads of a worker. gpus_per_worker: a fraction lets several small candidates share a GPU; None is
    one where there are GPUs.
    retries: how often a training is started again when its worker is lost. memory_gb: limit per worker.
    """

    def __init__(
        self,
        workers: int | None = None,
        threads: int = 1,
        gpus_per_worker: float | None = None,
        retries: int = 1,
        memory_gb: float | None = None,
        trial_seconds: float | None = None,
    ) -> None:
        if not hasattr(os, "fork"):
            raise UserError("engine=processes needs a system that forks processes. Use engine=sequential")
        self._there = gpu_count()
        super().__init__(workers, threads, gpus_per_worker, retries, memory_gb, trial_seconds, self._there)
        self._nursery: Nursery | None = None
        self._job: tuple[IO[bytes], Spans] | None = None

    # --- life

    def warm_up(self, wait: bool = False) -> None:
        if self._nursery is None:
            fit = places([self._resources()], self.threads, self.gpus)
            if not fit:
                raise UserError(self._no_place())
            self.workers = min(self.workers, fit)
            self._nursery = Nursery(self.threads)
            self._seats = [self._seat(place) for place in range(self.workers)]
        if wait:
            self._all_up()

    def shutdown(self) -> None:
        super().shutdown()
        if self._nursery is not None:
            self._nursery.end()
        if self._job is not None:
            self._job[0].close()
        self._nursery = self._job = None

    # --- how the workers are reached

    def _hold(self, job: Job) -> None:
        if self._job is not None:
            self._job[0].close()
        self._job = write_job(job)

    def _seat(self, place: int) -> Seat:
        environment = visible(place, self.gpus, self._there)
        assert self._nursery is not None
        try:
            child = self._nursery.child(environment)
        except OSError as error:  # it has ended
            self._nursery.end()
            if why := self._nursery.last_word:
                raise UserError(f"no worker can start: {why}. Use engine=sequential") from error
            self._nursery = Nursery(self.threads)
            child = self._nursery.child(environment)
            for at, other in enumerate(self._seats):
                # It has ended too, and nobody listens to who is up and has no work.
                if at != place and other.number is None and other.pid is not None:
                    self._dismiss(other)
                    self._seats[at] = self._seat(at)
        seat = Seat(child)
        if self._job is not None:
            self._give(seat)
        return seat

    def _give(self, seat: Seat) -> None:
        file, spans = self._job or (None, None)
        seat.answer = None
        seat.worker.ask("take", spans, file)

    def _send(self, seat: Seat, order: Order) -> None:
        seat.answer = None
        seat.worker.ask("train", order)

    def _make(self, seat: Seat, work: Callable[[Job], Any]) -> None:
        seat.answer = None
        seat.worker.ask("make", work)

    def _wait(self, seats: Sequence[Seat], seconds: float) -> Sequence[Seat]:
        until = time.monotonic() + seconds
        while not (said := [seat for seat in seats if seat.answer is not None]):
            lines = {seat.worker.line: seat for seat in seats}
            ready = wait([*lines], max(until - time.monotonic(), 0.0))
            if not ready:
                break
            for line in ready:
                seat = lines[line]  # pyright: ignore[reportArgumentType]
                seat.answer = seat.worker.hear()
        return said

    def _answer(self, seat: Seat) -> Any:
        answer, seat.answer = seat.answer, None
        if isinstance(answer, Lost):
            raise answer
        return answer

    def _dismiss(self, seat: Seat) -> None:
        seat.worker.end()

    def _resources(self) -> Mapping[str, float]:
        return {"CPU": self.workers * self.threads, "GPU": self._there}


class Child:
    """A worker, by the engine's end of the line to it. It answers every question once, in their order.

    ``kill``: ends its process, whatever it does.
    """

    def __init__(self, line: Connection, kill: Callable[[], None]) -> None:
        self.line, self._kill = line, kill
        self._owed = 0

    def ask(self, word: str, what: Any, file: IO[bytes] | None = None) -> None:
        """A question. Whoever waits for its answer learns that the worker is gone."""
        self._owed += 1
        with contextlib.suppress(OSError):
            self.line.send((word, what))
            if file is not None:
                send_handle(self.line, file.fileno(), None)

    def hear(self) -> Any:
        """The answer to the last question, Lost, or None where it is one to an earlier question. Waits for it."""
        try:
            answer = self.line.recv()
        except (EOFError, OSError):
            return Lost("it ended without a word")
        self._owed -= 1
        return None if self._owed else answer

    def end(self) -> None:
        self.line.close()
        with contextlib.suppress(OSError):  # its nursery has ended, and it too
            self._kill()


class Nursery:
    """The process that workers are forked from. ``last_word``: why it could not go on, where it said so."""

    def __init__(self, threads: int) -> None:
        self._control, theirs = Pipe()
        self._numbers = 0
        self.last_word = ""
        paths = json.dumps([path for path in sys.path if isinstance(path, str)])
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", START, paths, *map(str, (theirs.fileno(), os.getpid(), threads))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **NO_THREADS},
                pass_fds=[theirs.fileno()],
            )

    def child(self, environment: Mapping[str, str]) -> Child:
        """A worker, in a moment, or as soon as the nursery is up. Raises OSError when it has ended."""
        self._numbers += 1
        mine, theirs = Pipe()
        with theirs:
            self._control.send(("begin", self._numbers, environment))
            send_handle(self._control, theirs.fileno(), None)
        return Child(mine, functools.partial(self._control.send, ("end", self._numbers, {})))

    def end(self) -> None:
        """End it and all its workers. May be called twice."""
        if self._control.closed:
            return
        up = self._control.poll()
        with contextlib.suppress(EOFError, OSError):
            while self._control.poll():
                self.last_word = self._control.recv()
        self._control.close()
        if not up:  # it imports, and would look up later
            self._process.kill()
        try:
            self._process.wait(END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def visible(place: int, gpus: float, there: int) -> dict[str, str]:
    """What shows the worker in this place no more than its GPUs, of those that this process sees. All of them: {}."""
    if not gpus:
        return {}
    name = "HIP_VISIBLE_DEVICES" if "HIP_VISIBLE_DEVICES" in os.environ else "CUDA_VISIBLE_DEVICES"
    seen = [one.strip() for one in os.environ.get(name, "").split(",") if one.strip()] or [*map(str, range(there))]
    first = place // int(1 / gpus) if gpus < 1 else place * int(gpus)
    return {name: ",".join(seen[first : first + max(int(gpus), 1)])}


def write_job(job: Job) -> tuple[IO[bytes], Spans]:
    """A file without a name, which goes when the last process that reads it does; its memory is given back in need.

    Classes of the main module (of a notebook) travel with it.
    """
    arrays: list[PickleBuffer] = []
    plain = cloudpickle.dumps(job, protocol=5, buffer_callback=arrays.append)  # pyright: ignore[reportCallIssue]
    file = tempfile.TemporaryFile(prefix="level4-job-")  # noqa: SIM115  (closed when another job comes)
    spans: list[tuple[int, int]] = []
    for piece in (plain, *(array.raw() for array in arrays)):
        first = file.seek(-file.tell() % ALIGNED, os.SEEK_CUR)
        file.write(piece)
        spans.append((first, file.tell()))
    file.flush()
    return file, spans
