"""Trains in persistent Ray workers: on a cluster by its address, or on this machine.

A worker imports torch once and then trains many candidates. On one machine ``processes`` does the same without Ray's
own processes.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from automl.errors import UserError
from nas.engines.cluster import begin, environment, needs_ray
from nas.engines.pool import NICE, Lost, Pool, Seat
from nas.engines.room import gpu_count, places
from nas.job import Job, Order, Outcome, one_line

try:
    import ray
    from ray.exceptions import OutOfMemoryError, RayActorError, RayError
except ModuleNotFoundError:
    needs_ray()
    raise  # Ray is there, and something that it needs is not


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

    def make(self, work: Callable[[Job], Any]) -> tuple[Any]:
        assert self.job is not None
        return (work(self.job),)


class RayEngine(Pool):
    """Parameters.

    workers: trainings at once; None: one for so many cores as it has threads, or as many as fit ``gpus_per_worker`` on
    the GPUs.
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
        there = gpu_count() if address is None else 0
        super().__init__(workers, threads, gpus_per_worker, retries, memory_gb, trial_seconds, there)
        self.address = address
        self._ask_gpus, self._ask_workers = gpus_per_worker is None, workers is None  # a cluster, once it was joined
        self._job: Any = None
        self._own_cluster = False
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
            self._all_up()

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
        self._seats = [self._seat(place) for place in range(self.workers)]

    def shutdown(self) -> None:
        if self._thread is not None:
            self._up.wait()
        super().shutdown()
        if self._own_cluster:
            ray.shutdown()
            self._own_cluster = False
        self._over.set()
        self._thread = self._job = None

    # --- how the workers are reached

    def _hold(self, job: Job) -> None:
        self._begun()
        self._job = ray.put(job)

    def _seat(self, place: int) -> Seat:
        make: Any = ray.remote(num_cpus=self.threads, num_gpus=self.gpus, max_restarts=0)(Worker)
        seat = Seat(make.remote(self.threads))
        if self._job is not None:
            self._give(seat)
        return seat

    def _give(self, seat: Seat) -> None:
        seat.answer = seat.worker.take.remote(self._job)

    def _send(self, seat: Seat, order: Order) -> None:
        seat.answer = seat.worker.evaluate.remote(order)

    def _make(self, seat: Seat, work: Callable[[Job], Any]) -> None:
        seat.answer = seat.worker.make.remote(work)

    def _wait(self, seats: Sequence[Seat], seconds: float) -> Sequence[Seat]:
        done, _ = ray.wait([seat.answer for seat in seats], timeout=seconds)
        return [seat for seat in seats if seat.answer in done]

    def _answer(self, seat: Seat) -> Any:
        try:
            return ray.get(seat.answer)
        except OutOfMemoryError as error:
            raise Lost(one_line(error), "oom") from error
        except RayActorError as error:
            raise Lost(one_line(error)) from error
        except RayError as error:
            raise Lost(one_line(error), "failed") from error

    def _dismiss(self, seat: Seat) -> None:
        ray.kill(seat.worker)

    def _resources(self) -> Mapping[str, float]:
        return ray.cluster_resources()
