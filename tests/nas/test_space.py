"""The conditional space: what NNI sees and what a candidate is."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import RandomState
from torch import nn

from automl.errors import UserError
from automl.types import Axis, Candidate, Input, Prior, Task
from nas.family import build, parents_first, search_axes
from nas.space import SearchSpace
from nas.testing.strategies import FAMILIES, SHARED, TASK, uniform

seeds = st.integers(0, 2**31 - 1)


def test_axes_follow_the_family_then_the_shared_ones():
    axes = search_axes(FAMILIES, TASK, SHARED)
    assert [a.name for a in axes["toy"]] == ["deep", "hidden", "learning_rate"]
    assert axes["toy"][1] == Axis("hidden", (2, 4, 8), "deep", ("yes",))


def test_no_family_for_the_task_is_one_clear_line():
    text = Task("t", "binary", (Input("t", "text", (5,), vocabulary=9),), 2, "accuracy")
    with pytest.raises(UserError, match="none of the families toy, plain can learn from text"):
        search_axes(FAMILIES, text, SHARED)


def test_children_may_be_declared_before_their_parents():
    child, parent = Axis("b", (1, 2), "a", (1,)), Axis("a", (1, 2))
    assert parents_first([child, parent]) == (parent, child)
    with pytest.raises(ValueError, match="without their parent"):
        parents_first([child])


@given(seeds)
def test_random_candidates_hold_exactly_their_active_axes(seed):
    space = SearchSpace(uniform())
    model = space.random(random_state=RandomState(seed))
    candidate = model.candidate
    if candidate.family == "toy":
        assert ("hidden" in candidate.choices) == (candidate.choices["deep"] == "yes")
    assert np.isfinite(space.prior.log_prob(candidate))
    assert space.candidate(model.sample) == candidate, "candidate -> NNI sample -> candidate"
    assert space.freeze(model.sample).candidate.id == candidate.id


@given(seeds, st.floats(0, 1))
def test_mutants_stay_inside_the_space(seed, probability):
    space, state = SearchSpace(uniform()), RandomState(seed)
    parent = space.draw(state)
    child = space.mutate(parent, probability, state)
    assert np.isfinite(space.prior.log_prob(child))
    if probability == 0:
        assert child == parent


def test_inactive_axes_do_not_tell_candidates_apart():
    space = SearchSpace(uniform())
    sample = {
        "family": "toy",
        "toy.deep": "no",
        "toy.learning_rate": 0.1,
        "plain.bias": True,
        "plain.learning_rate": 0.1,
    }
    first = space.freeze({**sample, "toy.hidden": 2})
    second = space.freeze({**sample, "toy.hidden": 8})
    assert first.candidate.id == second.candidate.id
    assert first.sample == second.sample, "NNI's own deduplication sees them as one"


def test_the_grid_visits_every_candidate_once():
    found = [m.candidate.id for m in SearchSpace(uniform()).grid()]
    assert len(found) == len(set(found)) == (1 + 3) * 3 + 2 * 3


def test_the_portfolio_comes_first_and_once():
    prior = uniform()
    first = [Candidate("plain", {"bias": False, "learning_rate": rate}) for rate in (0.1, 0.001)]
    outside = Candidate("plain", {"bias": False, "learning_rate": 7.0})
    prior = Prior(prior.families, prior.axes, prior.weights, (first[0], outside, first[0], first[1]))
    space, state = SearchSpace(prior), RandomState(0)
    assert [space.random(random_state=state).candidate for _ in range(2)] == first
    assert next(space.grid()).candidate == first[0]


def test_weights_of_the_prior_reach_nni():
    prior = uniform()
    weights = {f: dict(of) for f, of in prior.weights.items()}
    weights["toy"]["deep"] = (0.0, 1.0)
    space = SearchSpace(Prior({"toy": 1.0, "plain": 0.0}, prior.axes, weights))
    state = RandomState(0)
    for _ in range(20):
        candidate = space.random(random_state=state).candidate
        assert (candidate.family, candidate.choices["deep"]) == ("toy", "yes")


def test_following_a_prior_over_another_space_is_refused():
    other = Prior.uniform({"toy": (Axis("deep", ("no", "yes")),)})
    with pytest.raises(ValueError, match="another search space"):
        SearchSpace(uniform()).follow(other)


def test_build_gives_plain_modules_whose_weights_depend_on_the_seed_alone():
    axes = search_axes(FAMILIES, TASK, SHARED)["toy"]
    candidate = Candidate("toy", {"deep": "yes", "hidden": 8, "learning_rate": 0.1})
    state = torch.random.get_rng_state()
    one, again, other = (build(FAMILIES["toy"], TASK, candidate, axes, seed=s) for s in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state()), "the global generator is left alone"
    assert isinstance(one.body, nn.Linear) and one.body.out_features == 8
    assert torch.equal(one.body.weight, again.body.weight)
    assert not torch.equal(one.body.weight, other.body.weight)
    small = build(FAMILIES["toy"], TASK, Candidate("toy", {"deep": "no", "learning_rate": 0.1}), axes, seed=0)
    assert isinstance(small.body, nn.Identity)
