"""When the meta-learner thinks anew, and that nobody waits for it."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time

from automl.types import Axis, Candidate, Prior, Profile, Runs, Task, Trial
from metalearner import follow as following
from metalearner.follow import FIRST, LATER, Follow

AXES = {"net": (Axis("rate", (0.1, 0.2)),)}
TRIAL = Trial("task", Candidate("net", {"rate": 0.1}), 1, 0, "ok", 0.5)
TASK = Task("t", "binary", (), 2, "accuracy")
PROFILE = Profile((), ())


class Counting:
    def __init__(self) -> None:
        self.told = 0

    def fit(self, runs):
        return self

    def predict(self, profile, axes):
        return Prior.uniform(axes, why=(str(self.told),))

    def update(self, trials, running=()):
        self.told += len(trials)
        self.running = running


class Slow(Counting):
    """Begins at once, and thinks when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.thread = threading.Event(), None

    def begin(self, task, profile, axes):
        return Prior.uniform(axes, why=("begun",))

    def predict(self, profile, axes):
        assert self.may.wait(10)
        self.thread = threading.current_thread()
        return super().predict(profile, axes)


def test_it_hears_of_every_trial_and_thinks_less_often_as_they_grow():
    learner = Counting()
    follow = Follow(learner, PROFILE, AXES, epochs=1)
    priors = [follow(TRIAL) for _ in range(100)]
    assert learner.told == 100
    thought = [i + 1 for i, prior in enumerate(priors) if prior is not None]
    assert thought[:9] == list(range(1, 10)) and len(thought) < 35
    assert all(b - a <= 1 + a / 8 for a, b in itertools.pairwise(thought))
    assert [int(p.why[0]) for p in priors if p is not None] == thought, "it knew all trials when it thought"


def test_a_shorter_training_without_time_is_not_held_against_the_candidate():
    learner = Counting()
    follow = Follow(learner, PROFILE, AXES, epochs=9)
    out_of_time = Trial("task", TRIAL.candidate, 3, 0, "timeout", None)
    follow(out_of_time)
    assert learner.told == 0
    for told in (
        dataclasses.replace(out_of_time, fidelity=9),
        dataclasses.replace(out_of_time, status="failed"),
        TRIAL,
    ):
        follow(told)
    assert learner.told == 3


def test_it_passes_on_what_is_running():
    learner = Counting()
    follow = Follow(learner, PROFILE, AXES, epochs=9)
    other = Candidate("net", {"rate": 0.2})
    follow(TRIAL, [other])
    assert learner.running == [other]
    follow(dataclasses.replace(TRIAL, status="timeout", score=None), [])
    assert learner.running == [], "also where the trial itself tells nothing"


def test_a_search_begins_before_past_runs_are_read_and_waits_for_no_thought():
    learner, read = Slow(), threading.Event()

    def past():
        assert learner.may.wait(10)
        read.set()
        return Runs.none()

    with Follow(learner, PROFILE, AXES, 1, workers=2, beside=True) as follow:
        assert follow.start(TASK, past).why == ("begun",) and not read.is_set()
        short = dataclasses.replace(TRIAL, seconds=FIRST / 2)
        assert [follow(short) for _ in range(3)] == [None] * 3, "trained for 3/4 of what a first thought may take"
        assert follow.learned is None and follow.waited == 0
        learner.may.set()
        assert (prior := follow(short)) is not None
        assert prior.why == ("3",), "what was known a result ago: half a second of training has gone by since"
        assert follow.learned is not None and follow.learned.why == ("0",)
        assert learner.thread is not threading.current_thread()


def test_which_prior_is_followed_depends_on_the_trainings_alone():
    def course(delay: float) -> list[tuple[str, ...] | None]:
        class Delayed(Slow):
            def predict(self, profile, axes):
                time.sleep(delay)
                return Counting.predict(self, profile, axes)

        with Follow(Delayed(), PROFILE, AXES, 1, beside=True) as follow:
            follow.start(TASK, Runs.none)
            took = (0.1, 2.0, 1.9, 0.2, 0.2, 0.2, 3.0, LATER, 0.1)
            told = [follow(dataclasses.replace(TRIAL, seconds=s)) for s in took]
            assert (follow.waited > 0.05) == (delay > 0)
            return [None if p is None else p.why for p in told]

    assert course(0.0) == course(0.05)


def test_a_resumed_search_follows_by_the_workers_of_then():
    """Two workers had trained 2 s each when the second trial ended; the one that goes on must not count 8."""

    def course(workers) -> list[tuple[str, ...] | None]:
        with Follow(Slow(), PROFILE, AXES, 1, workers=workers, beside=True) as follow:
            assert isinstance(follow.learner, Slow)
            follow.learner.may.set()
            follow.start(TASK, Runs.none)
            told = [follow(dataclasses.replace(TRIAL, seconds=FIRST)) for _ in range(4)]
            return [None if p is None else p.why for p in told]

    then = course(2)
    assert then[0] is None and then[1] is not None
    assert course(lambda: 2) == then != course(1)


def test_what_goes_wrong_in_a_thought_is_told_and_costs_no_search(caplog):
    class Broken(Slow):
        def predict(self, profile, axes):
            raise OSError("the store is gone")

    with Follow(Broken(), PROFILE, AXES, 1, beside=True) as follow:
        follow.start(TASK, Runs.none)
        assert follow(dataclasses.replace(TRIAL, seconds=2 * FIRST)) is None and follow.learned is None
    assert "could not think: OSError: the store is gone" in caplog.text


def test_without_a_beginning_the_past_is_read_first(monkeypatch):
    monkeypatch.setattr(following, "FIRST", 0.0)
    read = []
    with Follow(Counting(), PROFILE, AXES, 1, beside=True) as follow:
        assert follow.start(TASK, lambda: read.append(1) or Runs.none()).why == ("0",)
    assert read == [1]
