"""When the meta-learner thinks anew."""

from __future__ import annotations

import dataclasses
import itertools

from automl.types import Axis, Candidate, Prior, Profile, Trial
from metalearner.follow import Follow

AXES = {"net": (Axis("rate", (0.1, 0.2)),)}
TRIAL = Trial("task", Candidate("net", {"rate": 0.1}), 1, 0, "ok", 0.5)


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


def test_it_hears_of_every_trial_and_thinks_less_often_as_they_grow():
    learner = Counting()
    follow = Follow(learner, Profile((), ()), AXES, epochs=1)
    priors = [follow(TRIAL) for _ in range(100)]
    assert learner.told == 100
    thought = [i + 1 for i, prior in enumerate(priors) if prior is not None]
    assert thought[:9] == list(range(1, 10)) and len(thought) < 35
    assert all(b - a <= 1 + a / 8 for a, b in itertools.pairwise(thought))
    assert [int(p.why[0]) for p in priors if p is not None] == thought, "it knew all trials when it thought"


def test_a_shorter_training_without_time_is_not_held_against_the_candidate():
    learner = Counting()
    follow = Follow(learner, Profile((), ()), AXES, epochs=9)
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
    follow = Follow(learner, Profile((), ()), AXES, epochs=9)
    other = Candidate("net", {"rate": 0.2})
    follow(TRIAL, [other])
    assert learner.running == [other]
    follow(dataclasses.replace(TRIAL, status="timeout", score=None), [])
    assert learner.running == [], "also where the trial itself tells nothing"
