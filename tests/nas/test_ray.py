"""Ray workers that crash, hang and come back."""

import dataclasses
import operator
import signal
import time
from collections import deque
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from nni.nas.strategy import GridSearch
from ray.exceptions import RayError

import automl
import nas
from automl.errors import UserError
from automl.types import Budget, Candidate, Prior, Trial
from nas.engines import ray as module
from nas.engines import sequential
from nas.engines.cluster import environment, places
from nas.engines.ray import LOST_STARTS, RayEngine, Seat
from nas.engines.sequential import SequentialEngine
from nas.execution import Execution
from nas.job import Order, Outcome
from nas.search import search
from nas.session import Session
from nas.space import SearchSpace
from tests.nas.faults import faulty_job

STATUS = {"none": "ok", "raise": "failed", "nan": "diverged", "memory": "oom", "kill": "failed", "hang": "timeout"}


def run(engine, prior: Prior) -> list[Trial]:
    return search(faulty_job(), prior, GridSearch(shuffle=False), engine, Budget(epochs=2), seed=0)


def without(*faults: str) -> Prior:
    """Every candidate but those with these faults."""
    prior = Prior.uniform(faulty_job().axes)
    axes = tuple(
        dataclasses.replace(a, options=tuple(o for o in a.options if o not in faults)) for a in prior.axes["faulty"]
    )
    return Prior.uniform({"faulty": axes})


@pytest.mark.timeout(180)
@pytest.mark.whole
def test_every_fault_of_a_worker_is_a_trial_with_its_status_and_the_search_ends():
    """Those that a process survives are in the contract of all engines."""
    engine = RayEngine(workers=1, trial_seconds=1.0, retries=0)
    try:
        trials = run(engine, without("raise", "nan", "memory"))
    finally:
        engine.shutdown()
    assert len(trials) == 3
    for trial in trials:
        assert trial.status == STATUS[trial.candidate.choices["fault"]], trial
        assert (trial.score is not None) == (trial.status == "ok")
        assert (trial.error == "") == (trial.status == "ok")


def test_a_cluster_that_does_not_answer_is_one_line():
    with pytest.raises(UserError, match=r"no Ray cluster answers at engine.address=127.0.0.1:1"):
        RayEngine(workers=1, address="127.0.0.1:1").warm_up(wait=True)


def test_a_hanging_training_is_stopped_in_this_process_too():
    prior = without("none", "raise", "nan", "memory", "kill")
    prior = dataclasses.replace(prior, portfolio=())
    engine = SequentialEngine(trial_seconds=0.01)
    trials = search(faulty_job(), prior, GridSearch(shuffle=False), engine, Budget(trials=1, epochs=2), seed=0)
    assert [t.status for t in trials] == ["timeout"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_signal_just_beside_a_training_gives_it_up_or_leaves_no_timer_behind(when, monkeypatch):
    """Nobody answers a timer that goes off later: it would end the process."""
    engine, rings = SequentialEngine(), []
    watched = sequential.alarm

    @contextmanager
    def beside(seconds):
        with watched(seconds):
            if when == "before":
                engine.stop()
            yield
        if when == "after":
            engine.stop()

    monkeypatch.setattr(sequential, "alarm", beside)
    monkeypatch.setattr(sequential, "evaluate", lambda job, order: Outcome("ok", 0.5))
    before = signal.signal(signal.SIGALRM, lambda signum, frame: rings.append(signum))
    try:
        trials = search(
            faulty_job(), without("none"), GridSearch(shuffle=False), engine, Budget(trials=3, epochs=2), seed=0
        )
        time.sleep(4 * sequential.SOON)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not rings and len(trials) == (when == "after")


@pytest.fixture
def pending(monkeypatch) -> RayEngine:
    """An engine whose only actor finds no place."""
    resources = {"CPU": 4.0}
    silent = SimpleNamespace(
        wait=lambda references, timeout=None, num_returns=1: (time.sleep(0.02), ([], references))[1],
        cluster_resources=lambda: resources,
    )
    monkeypatch.setattr(module, "ray", silent)
    engine = RayEngine(workers=1, gpus_per_worker=1)
    engine._seats = [Seat(None, object())]
    engine._at_work = time.monotonic()
    return engine


def opened(engine: RayEngine, budget: Budget) -> Execution:
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
    class Actor:
        evaluate = SimpleNamespace(remote=lambda order: orders.append(order))

    orders = []
    execution = opened(pending, Budget(seconds=10.0))
    assert pending._queue[0][1].seconds == pytest.approx(5.0, abs=0.1), "half of the budget"
    execution.session._began -= 9.0
    pending._seats = [Seat(Actor(), None, pid=1)]
    pending._assign()
    assert orders[0].seconds == pytest.approx(1.0, abs=0.1)


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

    opened(pending, Budget())
    (waiting,) = pending._queue
    actor = SimpleNamespace(evaluate=SimpleNamespace(remote=lambda order: order))
    monkeypatch.setattr(module.ray, "wait", lambda references, timeout: (references, []))
    monkeypatch.setattr(module.ray, "get", get, raising=False)
    for lost in [1, LOST_STARTS] * 3:
        starts = [*[RayError("lost")] * lost, 77]
        monkeypatch.setattr(pending, "_seat", lambda of=starts: Seat(actor, of.pop(0)))
        pending._seats, pending._queue = [pending._seat()], deque([waiting])
        for _ in range(lost + 1):
            pending._assign()
        assert pending._seats[0].number == 0
    monkeypatch.setattr(pending, "_seat", lambda: Seat(actor, RayError("lost")))
    pending._seats, pending._queue = [pending._seat()], deque([waiting])
    with pytest.raises(UserError, match="workers die as they start"):
        for _ in range(LOST_STARTS + 1):
            pending._assign()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.timeout(120)
@pytest.mark.whole
def test_a_gpu_that_is_not_there_is_told_at_once():
    engine = RayEngine(workers=1, gpus_per_worker=1)
    try:
        with pytest.raises(UserError, match=r"one needs 1 cores and 1 GPUs, this machine has 1 and 0"):
            engine.warm_up(wait=True)
    finally:
        engine.shutdown()


def test_workers_that_fit_are_counted_per_node():
    nodes = [{"CPU": 5.0}, {"CPU": 3.0, "GPU": 1.0}, {"GPU": 8.0}]
    assert places(nodes, 1, 0) == 8 and places(nodes, 2, 0) == 3 and places(nodes, 4, 0) == 1
    assert places(nodes, 1, 1) == 1 and places(nodes, 1, 0.25) == 3 and places([], 1, 0) == 0


def test_a_cluster_gets_the_code_and_no_path_of_this_machine():
    assert environment("host:6379")["py_modules"] == [automl, nas]
    assert environment(None) == {}


def test_a_memory_limit_that_nobody_would_watch_is_refused():
    with pytest.raises(UserError, match=r"engine.memory_gb=2.0 is watched on this machine only"):
        RayEngine(address="host:6379", memory_gb=2.0)


def test_what_a_lost_worker_was_to_make_is_made_here(monkeypatch):
    def lost(reference):
        raise RayError("its worker died")

    monkeypatch.setattr(module.ray, "get", lost)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda of: {0, 1}, raising=False)
    engine, asked = RayEngine(workers=1), list[object]()
    engine.job = faulty_job()
    actor = SimpleNamespace(make=SimpleNamespace(remote=asked.append))
    engine._seats = [Seat(actor, None, pid=1, number=0), Seat(actor, None)]
    assert engine.beside(operator.attrgetter("task.name"))() == "toy" and not asked, "none is free, or up"
    engine._seats[0].number = None
    assert engine.beside(operator.attrgetter("task.name"))() == "toy" and len(asked) == 1
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda of: {0})
    assert engine.beside(operator.attrgetter("task.name"))() == "toy" and len(asked) == 1, "one core does one thing"
