"""Trainings in this process: threads, and those that hang."""

import dataclasses
import signal
import time
from contextlib import contextmanager

import pytest
import torch
from nni.nas.strategy import GridSearch

from automl.types import Budget
from nas.engines import sequential
from nas.engines.sequential import SequentialEngine
from nas.job import Outcome
from nas.search import search
from tests.nas.faults import faulty_job, without


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


@pytest.mark.parametrize(("asked", "expected"), [(None, 2), (3, 3)])
def test_a_container_s_share_of_the_machine_bounds_torch_s_own_choice_of_threads(asked, expected, monkeypatch):
    seen: list[int] = []

    def evaluate(job, order) -> Outcome:
        seen.append(torch.get_num_threads())
        return Outcome("ok", 0.5)

    monkeypatch.setattr(sequential, "cores", lambda: 2)
    monkeypatch.setattr(sequential, "evaluate", evaluate)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        search(
            *(faulty_job(), without("none"), GridSearch(shuffle=False), SequentialEngine(threads=asked)),
            Budget(trials=1, epochs=2),
            seed=0,
        )
        assert seen == [expected] and torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def test_the_timer_of_a_caller_goes_off_in_time_and_goes_on():
    """Such as that of a test's time-out, which would else never come."""
    rings = []
    before = signal.signal(signal.SIGALRM, lambda signum, frame: rings.append(signum))
    try:
        handler = signal.getsignal(signal.SIGALRM)
        signal.setitimer(signal.ITIMER_REAL, 1000, 7)
        with sequential.alarm(60):
            pass
        left, again = signal.getitimer(signal.ITIMER_REAL)
        assert signal.getsignal(signal.SIGALRM) is handler and 900 < left <= 1000 and again == 7 and not rings
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with sequential.alarm(1000):
            end = time.monotonic() + 60
            while not rings and time.monotonic() < end:
                pass
        assert len(rings) == 1 and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        signal.setitimer(signal.ITIMER_REAL, 1000)
        with pytest.raises(sequential.TrialHangs), sequential.alarm(0.001):
            signal.setitimer(signal.ITIMER_REAL, sequential.SOON)  # as the engine does that is told to stop
            while True:
                pass
        assert 900 < signal.getitimer(signal.ITIMER_REAL)[0] <= 1000
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
