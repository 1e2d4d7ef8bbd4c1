"""What all engines with workers of their own promise, whatever the workers are."""

import functools
import os
import time
from collections import deque
from multiprocessing.connection import Pipe
from types import SimpleNamespace

import pytest
import torch
from nni.nas.strategy import GridSearch

from automl.errors import UserError
from automl.types import Budget, Candidate, Prior, Trial
from nas.engines import pool as module
from nas.engines.pool import LOST_STARTS, Pool, Seat
from nas.engines.processes import Child, ProcessesEngine
from nas.engines.room import places
from nas.execution import Execution
from nas.job import Job, Order, Outcome
from nas.search import search
from nas.session import Session
from nas.space import SearchSpace
from tests.nas.engines import ray_engine
from tests.nas.faults import faulty_job, without

STATUS = {"none": "ok", "raise": "failed", "nan": "diverged", "memory": "oom", "kill": "failed", "hang": "timeout"}
ENGINES = pytest.mark.parametrize("make", [ProcessesEngine, ray_engine])


@pytest.mark.timeout(180)
@pytest.mark.whole
@ENGINES
def test_every_fault_of_a_worker_is_a_trial_with_its_status_and_the_search_ends(make):
    """Those that a process survives are in the contract of all engines."""
    engine, prior = make(workers=1, trial_seconds=1.0, retries=0), without("raise", "nan", "memory")
    try:
        trials: list[Trial] = search(faulty_job(), prior, GridSearch(shuffle=False), engine, Budget(epochs=2), seed=0)
    finally:
        engine.shutdown()
    assert len(trials) == 3
    for trial in trials:
        assert trial.status == STATUS[trial.candidate.choices["fault"]], trial
        assert (trial.score is not None) == (trial.status == "ok")
        assert (trial.error == "") == (trial.status == "ok")


def made_by(job: Job, program: int) -> str:
    """A worker does not live to make it."""
    if os.getpid() != program:
        os._exit(1)
    return job.task.name


@pytest.mark.timeout(180)
@pytest.mark.whole
@ENGINES
def test_what_a_lost_worker_was_to_make_is_made_here_and_trainings_go_on(make, monkeypatch):
    monkeypatch.setattr(module, "cores", lambda: 2)
    engine, order = make(workers=1), Order(Candidate("faulty", {"fault": "none"}), 2, 0)
    try:
        engine.take(faulty_job())
        assert engine.run([order])[0].status == "ok"
        made = engine.beside(functools.partial(made_by, program=os.getpid()))
        assert engine.run([order])[0].status == "ok", "it waits for what is made"
        assert made() == "toy"
        (seat,) = engine._seats
        pid = seat.pid
        assert engine.beside(pid_of)() == pid != os.getpid()
        monkeypatch.setattr(module, "cores", lambda: 1)
        assert engine.beside(pid_of)() == os.getpid(), "one core does one thing"
    finally:
        engine.shutdown()


def pid_of(job: Job) -> int:
    return os.getpid()


RESOURCES = {"CPU": 4.0}


def nobody(references, timeout=None):
    """No worker of Ray answers."""
    time.sleep(0.02)
    return [], references


class Told:
    """What a worker of either engine is told, and answers."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.answers: deque[object] = deque()

    def seat(self, engine: Pool, **more) -> Seat:
        if not isinstance(engine, ProcessesEngine):
            actor = SimpleNamespace(evaluate=SimpleNamespace(remote=lambda order: self.orders.append(order)))
            return Seat(actor, object(), **more)
        mine, self.theirs = Pipe()
        child = Child(mine, lambda: None)
        child.ask = lambda word, what, file=None: self.orders.append(what)  # type: ignore[method-assign]
        return Seat(child, **more)


@pytest.fixture(params=[ProcessesEngine, ray_engine])
def pending(request, monkeypatch) -> Pool:
    """An engine whose only worker finds no place."""
    engine = request.param(workers=1, gpus_per_worker=1)
    monkeypatch.setattr(ProcessesEngine, "_resources", lambda self: RESOURCES)
    if not isinstance(engine, ProcessesEngine):
        monkeypatch.setattr("nas.engines.ray.ray", SimpleNamespace(wait=nobody, cluster_resources=lambda: RESOURCES))
    engine.told = Told()
    engine._seats = [engine.told.seat(engine)]
    engine._at_work = time.monotonic()
    return engine


def opened(engine: Pool, budget: Budget) -> Execution:
    job = faulty_job()
    space = SearchSpace(Prior.uniform(job.axes))
    session = Session(job, budget, 1, seed=0, stopped=lambda: engine.stopped)
    execution = Execution(engine, session, space.propose)
    execution.submit_models(space.random())
    return execution


def test_what_never_found_a_place_ends_with_the_budget_and_is_no_trial(pending):
    began = time.monotonic()
    execution = opened(pending, Budget(seconds=0.3))
    execution.wait_models()
    assert time.monotonic() - began < 5 and execution.session._count == 0 and not execution.list_models()


def test_without_a_budget_it_is_one_line(pending, monkeypatch):
    monkeypatch.setattr(module, "WORKER_START", 0.2)
    with pytest.raises(UserError, match="one needs 1 cores and 1 GPUs, this machine has 4 and 0") as caught:
        opened(pending, Budget()).wait_models()
    assert "\n" not in str(caught.value)
    pending.gpus = 0.0  # a place is there, and yet none comes up
    with pytest.raises(UserError, match=r"no worker was up within 0 s: this machine is too busy \(a load of "):
        opened(pending, Budget()).wait_models()


def test_a_search_that_is_stopped_gives_up_what_waits(pending):
    opened(pending, Budget())
    pending.stop()
    assert pending.collect() == [(0, None)]


def test_a_training_that_waited_for_a_worker_keeps_the_budget(pending):
    execution = opened(pending, Budget(seconds=10.0))
    assert pending._queue[0][1].seconds == pytest.approx(5.0, abs=0.1), "half of the budget"
    execution.session._began -= 9.0
    pending._seats = [pending.told.seat(pending, pid=1)]
    pending._assign()
    assert pending.told.orders[0].seconds == pytest.approx(1.0, abs=0.1)


def test_last_trainings_have_their_own_time(pending):
    """When the search's is up."""
    opened(pending, Budget(seconds=0.0))
    assert pending.collect() == [(0, None)]
    order = Order(Candidate("faulty", {}), 1, 0, weights=b"")
    began = time.monotonic()
    assert pending.run([order, order], seconds=0.3) == [None, None] and 0.3 <= time.monotonic() - began < 5
    pending.stop()
    assert pending.run([order]) == [None]


def test_starts_that_are_lost_count_in_a_row_only(pending, monkeypatch):
    """In a search of days a worker may die as it starts now and then."""

    def get(answer):
        if isinstance(answer, Exception):
            raise answer
        return answer

    def next_seat(starts: list[object]) -> Seat:
        seat = pending.told.seat(pending)
        seat.answer = starts.pop(0)
        return seat

    opened(pending, Budget())
    (waiting,) = pending._queue
    lose: Exception = module.Lost("lost")
    if not isinstance(pending, ProcessesEngine):
        from ray.exceptions import RayError

        lose = RayError("lost")
        monkeypatch.setattr("nas.engines.ray.ray.wait", lambda references, timeout: (references, []))
        monkeypatch.setattr("nas.engines.ray.ray.get", get, raising=False)
        monkeypatch.setattr("nas.engines.ray.ray.kill", lambda actor: None, raising=False)
    for lost in [1, LOST_STARTS] * 3:
        starts = [*[lose] * lost, 77]
        monkeypatch.setattr(pending, "_seat", lambda place, of=starts: next_seat(of))
        pending._seats, pending._queue = [pending._seat(0)], deque([waiting])
        for _ in range(lost + 1):
            pending._assign()
        assert pending._seats[0].number == 0
    monkeypatch.setattr(pending, "_seat", lambda place: next_seat([lose]))
    pending._seats, pending._queue = [pending._seat(0)], deque([waiting])
    with pytest.raises(UserError, match="workers die as they start"):
        for _ in range(LOST_STARTS + 1):
            pending._assign()


def test_a_worker_that_still_trains_for_a_search_that_was_broken_off_is_replaced(pending, monkeypatch):
    """Its outcome would be taken for one of the next search."""
    (busy,) = pending._seats
    busy.pid, busy.number, busy.order = 1, 0, Order(Candidate("faulty", {}), 1, 0)
    dismissed: list[Seat] = []
    monkeypatch.setattr(pending, "_dismiss", dismissed.append)
    monkeypatch.setattr(pending, "_seat", lambda place: pending.told.seat(pending))
    monkeypatch.setattr(pending, "_hold", lambda job: None)
    monkeypatch.setattr(pending, "_wait", lambda seats, seconds: seats)
    monkeypatch.setattr(pending, "warm_up", lambda: None)
    pending.take(faulty_job())
    assert dismissed == [busy] and pending._seats[0] is not busy and pending._seats[0].number is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("make", [ProcessesEngine, pytest.param(ray_engine, marks=pytest.mark.whole)])
def test_a_gpu_that_is_not_there_is_told_at_once(make):
    engine = make(workers=1, gpus_per_worker=1)
    try:
        with pytest.raises(UserError, match=r"one needs 1 cores and 1 GPUs, this machine has 1 and 0"):
            engine.warm_up(wait=True)
    finally:
        engine.shutdown()


@ENGINES
def test_workers_are_as_many_as_there_are_cores_for_their_threads(make, monkeypatch):
    monkeypatch.setattr(module, "cores", lambda: 6)
    assert [make(threads=threads).workers for threads in (1, 2, 4, 8)] == [6, 3, 1, 1]
    assert make(workers=9, threads=4).workers == 9, "whoever asks is given"


@ENGINES
def test_workers_are_as_many_as_fit_on_the_gpus(make, monkeypatch):
    monkeypatch.setattr(f"{type(make()).__module__}.gpu_count", lambda: 4)
    for each, expected in ((None, 4), (0.5, 8), (0.3, 12), (1, 4), (2, 2), (3, 1)):
        assert make(gpus_per_worker=each).workers == expected
    with pytest.raises(ValueError, match=r"gpus_per_worker=1.5 must be a whole number above 1"):
        make(gpus_per_worker=1.5)


def test_workers_that_fit_are_counted_per_node():
    nodes = [{"CPU": 5.0}, {"CPU": 3.0, "GPU": 1.0}, {"GPU": 8.0}]
    assert places(nodes, 1, 0) == 8 and places(nodes, 2, 0) == 3 and places(nodes, 4, 0) == 1
    assert places(nodes, 1, 1) == 1 and places(nodes, 1, 0.25) == 3 and places([], 1, 0) == 0
    assert places([{"CPU": 99, "GPU": 8}], 1, 0.3) == 24, "a worker does not stretch over two GPUs"


def test_a_training_whose_worker_is_killed_is_started_again(pending, monkeypatch):
    """As often as ``retries`` says, and then it is a failed trial."""
    pending.retries = 2
    opened(pending, Budget())
    pending._seats = [pending.told.seat(pending, pid=1)]
    monkeypatch.setattr(pending, "_seat", lambda place: pending.told.seat(pending, pid=1))
    monkeypatch.setattr(pending, "_dismiss", lambda seat: None)
    monkeypatch.setattr(pending, "_wait", lambda seats, seconds: seats)

    def lost(seat: Seat) -> Outcome:
        raise module.Lost("gone")

    monkeypatch.setattr(pending, "_answer", lost)
    ((number, outcome),) = pending.collect()
    assert (number, outcome.status, outcome.error) == (0, "failed", "its worker was killed, 3 times")
    assert len(pending.told.orders) == 3
