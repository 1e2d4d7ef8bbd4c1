"""What ``transfer`` expects a trial to cost, how the cost counts, and what comes first."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from automl.types import Axis, Candidate, Profile, Runs
from metalearner.practice import Practice
from metalearner.testing import AXES, CANDIDATES, runs, trial
from metalearner.transfer.kernel import AxisKernel, AxisShape
from metalearner.transfer.session import Session
from metalearner.transfer.transfer import Transfer, cold_belief, full_length, varied

PROFILE = Profile((), ())


def test_failures_say_nothing_of_what_a_training_costs():
    past = runs()
    slow = np.array([c.family == "g" for c in past.candidates])[past.candidate]
    seconds = np.where(slow, 8.0, 1.0)
    early = slow & (np.arange(len(slow)) % 2 == 0)  # found too slow before they trained
    past = dataclasses.replace(past, seconds=np.where(early, 0.01, seconds), score=np.where(early, np.nan, past.score))
    candidates, session, _ = Transfer().fit(past).resumed(PROFILE, AXES)
    cost = {c.id: s for c, s in zip(candidates, session.seconds, strict=True)}
    g, f = (np.array([cost[c.id] for c in CANDIDATES if c.family == family]) for family in "gf")
    assert (g > 4 * f.max()).all()


def test_what_was_trained_for_longer_does_not_look_dearer():
    past = runs()
    longer = past.candidate % 3 == 0
    past = dataclasses.replace(
        past, fidelity=np.where(longer, 12, 4), seconds=np.where(longer, 3.0, 1.0) * np.where(past.candidate == 1, 2, 1)
    )
    candidates, session, _ = Transfer().fit(past).resumed(PROFILE, AXES)
    cost = {c.id: s for c, s in zip(candidates, session.seconds, strict=True)}
    of = [cost[c.id] for c in CANDIDATES]
    assert of[0] == pytest.approx(of[2]) == pytest.approx(of[3]), "the same for an epoch"
    assert of[1] == pytest.approx(2 * of[0])


def test_a_failure_of_the_task_at_hand_does_not_make_it_look_fast():
    learner = Transfer().fit(runs())
    learner.update([dataclasses.replace(trial(c, None), seconds=0.01) for c in CANDIDATES[:3]])
    assert learner.resumed(PROFILE, AXES)[1].seconds == pytest.approx(1.0)


def test_per_second_prefers_the_cheaper_of_equals_but_at_most_twice():
    every = list(CANDIDATES)
    cost = np.log(np.geomspace(0.001, 100, len(every)))
    kernel = AxisKernel(every, AxisShape(True, 1.0))
    chosen = Session([cold_belief(kernel, len(every), 0.0)], cost, per_second=True)
    value = chosen.acquisition()
    assert int(np.argmax(value)) == 0 and (np.diff(value) < 0).all()
    middle = value[len(every) // 2]
    assert middle < value[0] <= 2 * middle * 1.01


def test_a_short_trial_counts_as_if_it_had_gone_on_like_others_of_its_family():
    f, g = CANDIDATES[0], CANDIDATES[-1]
    long = dataclasses.replace(trial(f, 0.8, 3), curve=(0.2, 0.5, 0.8))
    other = dataclasses.replace(trial(g, 0.5, 3), curve=(0.4, 0.45, 0.5))
    short = [trial(CANDIDATES[1], 0.3, 1), trial(CANDIDATES[-2], 0.3, 2)]
    assert full_length([long, other, *short]) == pytest.approx([0.8, 0.5, 0.3 + 0.6, 0.3 + 0.05])
    assert full_length([long, short[1]]) == pytest.approx([0.8, 0.3 + 0.3]), "for want of its own family"
    assert full_length(short) == pytest.approx([0.3, 0.3]) and full_length([]) == []


def test_the_first_candidate_is_the_one_that_loses_least_not_the_one_most_often_best():
    three = tuple(Candidate("g", {"b": b}) for b in (0.1, 0.2, 0.4))
    often_best, never_far, neither = [1.0] * 6 + [0.0] * 2, [0.99] * 8, [0.5] * 8
    task, candidate = np.divmod(np.arange(8 * 3), 3)
    past = Runs(
        tasks=tuple(f"t{i}" for i in range(8)),
        groups=tuple(f"g{i}" for i in range(8)),
        profiles=(None,) * 8,
        candidates=three,
        task=task,
        candidate=candidate,
        fidelity=np.ones(24, np.int64),
        seed=np.zeros(24, np.int64),
        score=np.array([often_best, never_far, neither]).T.ravel(),
        seconds=np.ones(24),
    )
    prior = Transfer(fresh=0).fit(past).predict(PROFILE, {"g": AXES["g"]})
    assert prior.portfolio[0] == three[1]


def test_the_first_candidates_are_of_four_families():
    a, b, c, d, e = ([Candidate(f, {"x": i}) for i in range(3)] for f in "abcde")
    ranked = [*a, b[0], b[1], c[0], d[0], e[0], b[2]]
    assert varied(ranked, []) == [a[0], b[0], c[0], d[0], a[1], a[2], b[1], e[0], b[2]]
    assert varied(ranked, ["a", "a"]) == [b[0], c[0], d[0], *a, b[1], e[0], b[2]]
    assert varied(ranked, ["a", "b", "c", "d"]) == ranked, "then they come as they promise"
    assert varied(a, []) == a and varied([], ["a"]) == []
    prior = Transfer().fit(runs()).predict(PROFILE, AXES)
    assert len({c.family for c in prior.portfolio[:4]}) == min(4, len(AXES))


@pytest.mark.parametrize("first", ["scored", "failed"])
def test_a_longer_failure_does_not_undo_a_shorter_score(first):
    learner, of = Transfer().fit(runs()), CANDIDATES[0]
    both = [trial(of, 0.9, 3), trial(of, None, 9)]
    learner.update(both if first == "scored" else both[::-1])
    assert learner._trials[of.id].score == 0.9
    learner.update([trial(of, 0.8, 9)])
    assert learner._trials[of.id].score == 0.8, "of scores the longest counts"
    learner.update([trial(of, 0.95, 5)])
    assert learner._trials[of.id].score == 0.8


def test_what_runs_counts_as_run():
    """The neighbours of what is running promise less, and it is not proposed again."""
    learner = Transfer(fresh=0).fit(runs())
    learner.update([trial(CANDIDATES[3], 0.1)])
    alone = learner.predict(PROFILE, AXES).portfolio
    learner.update([], running=alone[:1])
    beside = learner.predict(PROFILE, AXES).portfolio
    assert alone[0] not in beside and alone[0] in learner.resumed(PROFILE, AXES)[0]
    session, _ = learner.session(PROFILE, CANDIDATES, AXES)
    session.observe(3, 0.1)
    session.observe(4, 0.2)
    ranked = session.ranking(6)
    assert session.ranking(5, pending=ranked[:1]) == ranked[1:], "what would be next, were it chosen already"
    learner.update([trial(alone[0], 0.2)], running=())
    assert learner.predict(PROFILE, AXES).portfolio[0] != alone[0]


def test_what_runs_in_another_space_is_passed_over():
    learner = Transfer(fresh=0).fit(runs())
    learner.update([trial(CANDIDATES[3], 0.1)], running=[Candidate("unknown", {"b": 0.1}), CANDIDATES[3]])
    assert learner.predict(PROFILE, AXES).portfolio


def test_a_family_that_no_run_knows_is_tried_once_early():
    axes = {**AXES, "mine": (Axis("width", (4, 8)),)}
    start = Practice(own={"mine": {"width": {"8": 5}}})
    wanted = Candidate("mine", {"width": 8})
    learner = Transfer(start=start).fit(runs())
    first = learner.predict(PROFILE, axes).portfolio
    assert first[0].family in AXES and first[1] == wanted
    learner.update([], running=first[:1])
    assert learner.predict(PROFILE, axes).portfolio[0] == wanted
    learner.update([], running=[first[0], wanted])
    assert wanted not in learner.predict(PROFILE, axes).portfolio[:2]
    learner.update([trial(first[0], 0.5), trial(wanted, None)])
    assert wanted not in learner.predict(PROFILE, axes).portfolio[:2], "it is known to fail"
    assert Transfer().fit(runs()).predict(PROFILE, axes).portfolio[1] != wanted, "nobody advises anything"
