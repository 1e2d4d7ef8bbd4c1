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
