"""The anytime portfolio: cheap gain first, nothing of a group that is left out, and there before anything is read."""

from __future__ import annotations

import dataclasses
import hashlib
import time

import numpy as np
import pytest

from automl.errors import UserError
from automl.types import Axis, Candidate, Input, Profile, Task
from experiments.compose import composed
from experiments.options import made
from metalearner import opening
from metalearner.anytime import GUARD, guarded
from metalearner.learner import History
from metalearner.opening import learn_opening, read_opening
from metalearner.past import shipped
from metalearner.portfolio import chosen, greedy
from metalearner.testing import AXES, PROFILE, runs
from metalearner.transfer.transfer import Transfer

NAMES = "abcdefgh"


def of(*letters: str) -> list[Candidate]:
    return [Candidate(x, {}) for x in letters]


def test_of_two_that_gain_alike_the_cheaper_is_first_and_a_dear_one_that_gains_twice_as_much_may_wait():
    regret = np.array([[0.5, 0.5, 0.0, 0.9], [0.5, 0.5, 0.0, 0.9]])
    assert greedy(regret, 4)[0] == 2, "by regret alone"
    assert greedy(regret, 4, np.array([1.0, 0.5, 9.0, 1.0])).tolist() == [1, 2, 0, 3]
    assert greedy(regret, 4, np.array([1.0, 0.5, 0.5, 1.0]))[0] == 2


def test_practice_is_among_the_first_four():
    assert guarded(of(*NAMES), of("x"))[:GUARD] == of("a", "b", "c", "x")
    assert guarded(of(*NAMES), of("b", "x")) == of(*NAMES), "it is there"
    assert guarded(of(*NAMES), of("g")) == of("a", "b", "c", "g", "d", "e", "f", "h"), "and once"
    assert guarded(of(*NAMES), ()) == of(*NAMES) and guarded([], of("x")) == of("x")


def test_seconds_of_past_runs_count():
    past = runs()
    slow = np.array([c.choices["b"] == 0.2 for c in past.candidates])[past.candidate]
    told = dataclasses.replace(past, seconds=np.where(slow, 1000.0, 1.0))
    assert chosen(History.of(told), AXES, 3, True)[0].choices["b"] != 0.2, "the best ones take a thousand times as long"
    assert chosen(History.of(told), AXES, 3, False)[0].choices["b"] == 0.2


def test_transfer_opens_with_it_and_goes_on_by_its_own_mind():
    learner = Transfer(opening=3, fresh=0).fit(runs())
    first = learner.predict(PROFILE, AXES).portfolio
    assert list(first[:3]) == learner.first(PROFILE, AXES)
    learner.update([], running=first[:1])
    assert learner.predict(PROFILE, AXES).portfolio[:2] == first[1:3]
    none = Transfer(opening=0, fresh=0).fit(runs())
    assert none.first(PROFILE, AXES) == []


# --- the one that ships


@pytest.fixture(scope="module")
def tables() -> tuple[list[Task], list[Profile]]:
    tasks, past = shipped._read(shipped.FILE)
    some = [i for i, task in enumerate(tasks) if shipped.modalities(task) == {"tabular"}]
    return [tasks[i] for i in some], [past.profiles[i] for i in some]


def test_it_was_learned_from_the_knowledge_that_ships():
    digest = hashlib.sha256(shipped.FILE.read_bytes()).hexdigest()[:16]
    assert read_opening().knowledge == digest, f"make it anew: {opening.__doc__.splitlines()[2].strip()}"


def test_it_is_read_in_the_blink_of_an_eye():
    took = []
    for _ in range(3):
        read_opening.cache_clear()
        began = time.process_time()
        read_opening()
        took.append(time.process_time() - began)
    assert min(took) < 0.05


def test_a_group_that_is_left_out_says_nothing(tables, monkeypatch):
    """Its list is the one that is learned where its runs are another's."""
    tasks, profiles = tables
    task, profile = tasks[3], profiles[3]
    learned = read_opening()
    leaf = next(leaf for leaf in learned.leaves if leaf.holds(task, profile))
    past = opening._past(*shipped._read(shipped.FILE), ("tabular",), task.kind == "regression")
    at = past.groups == task.group
    assert at.sum() == 1
    worse = dataclasses.replace(past, regret=np.where(at[:, None], 1 - past.regret, past.regret))
    again = opening._leaf(worse, np.arange(len(at)), leaf.modalities, leaf.values, leaf.size, leaf.low, leaf.high)
    names = [leaf.candidates[i].id for i in leaf.without[task.group]]
    assert [again.candidates[i].id for i in again.without[task.group]] == names
    assert [again.candidates[i].id for i in again.order] != names


def test_it_is_for_tasks_of_its_kind_inside_their_space(tables):
    tasks, profiles = tables
    task, profile = next(pair for pair in zip(tasks, profiles, strict=True) if pair[0].kind != "regression")
    learned = read_opening()
    leaf = next(leaf for leaf in learned.leaves if leaf.holds(task, profile))
    spanned: dict[str, dict[str, set]] = {}
    for c in leaf.candidates:
        for name, choice in c.choices.items():
            spanned.setdefault(c.family, {}).setdefault(name, set()).add(choice)
    axes = {"mlp": tuple(Axis(n, tuple(sorted(o, key=str))) for n, o in spanned["mlp"].items())}
    found, why = learned.portfolio(task, profile, axes, ())
    assert found and {c.family for c in found} == {"mlp"} and "past tasks of tabular, classes" in why
    assert all("mse" not in c.choices.values() for c in leaf.candidates)
    assert learned.portfolio(task, profile, axes, {t.group for t in tasks}) == ([], ""), "nothing is left to tell"
    both = dataclasses.replace(task, inputs=(*task.inputs, Input("t", "text", (5,), vocabulary=9)))
    assert learned.portfolio(both, profile, axes, ()) == ([], "")


def test_transfer_begins_with_it_only_where_seconds_count(tables):
    task, profile = tables[0][0], tables[1][0]
    leaf = next(leaf for leaf in read_opening().leaves if leaf.holds(task, profile))
    names = sorted({c.family for c in leaf.candidates})
    axes = {
        f: tuple(
            Axis(n, tuple(sorted({c.choices[n] for c in leaf.candidates if c.family == f and n in c.choices}, key=str)))
            for n in next(c for c in leaf.candidates if c.family == f).choices
        )
        for f in names
    }
    for per_second in (True, False):
        learner = made(composed(["metalearner=transfer", "family=[mlp]"]), "metalearner", per_second=per_second)
        read_opening.cache_clear()
        began = time.process_time()
        prior = learner.begin(task, profile, axes)
        assert time.process_time() - began < 0.2
        assert (prior is not None) == per_second
        if prior is not None:
            practice = learner.start.predict(profile, axes)
            assert practice.portfolio[0] in prior.portfolio[:GUARD] and prior.families == practice.families


def test_it_is_made_anew_and_a_file_that_is_none_is_one_line(tmp_path):
    assert learn_opening(shipped.FILE) == read_opening()
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UserError, match="is no opening") as told:
        read_opening(tmp_path / "x.json")
    assert "\n" not in str(told.value)
    assert read_opening(tmp_path / "none.json").leaves == ()
