"""One contract for every meta-learner: those of conf/metalearner join by themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from automl.errors import UserError
from automl.types import Axis, MetaLearner, Profile
from metalearner.learner import Learner
from metalearner.prior import fits
from tests.metalearner.made import AXES, EMPTY, runs, trial, worth

CONF = Path(__file__).parents[2] / "conf"
FILES = sorted((CONF / "metalearner").glob("*.yaml"))
PROFILE = Profile(("size", "kind=x"), (2.5, 1.0))


@pytest.fixture(params=FILES, ids=lambda f: f.stem)
def learner(request: pytest.FixtureRequest) -> MetaLearner:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        cfg = compose("config", overrides=[f"metalearner={request.param.stem}"])
    return instantiate(cfg.metalearner)


class TestContract:
    def test_no_past_runs_give_a_uniform_prior(self, learner: MetaLearner) -> None:
        prior = learner.fit(EMPTY).predict(PROFILE, AXES)
        assert prior.families == {"f": 0.5, "g": 0.5}

    def test_everything_proposed_is_inside_the_space_and_once(self, learner: MetaLearner) -> None:
        prior = learner.fit(runs()).predict(PROFILE, AXES)
        assert all(fits(c, AXES) for c in prior.portfolio)
        assert len({c.id for c in prior.portfolio}) == len(prior.portfolio)

    def test_probabilities_are_positive_and_sum_to_one(self, learner: MetaLearner) -> None:
        prior = learner.fit(runs()).predict(PROFILE, AXES)
        vectors = [list(prior.families.values())] + [list(p) for of in prior.weights.values() for p in of.values()]
        assert all(min(v) > 0 and sum(v) == pytest.approx(1) for v in vectors)

    def test_unknown_families_and_options_are_ignored(self, learner: MetaLearner) -> None:
        axes = {"g": (Axis("b", (0.1, 0.4)),), "new": (Axis("d", (1, 2)),)}
        prior = learner.fit(runs()).predict(PROFILE, axes)
        assert all(fits(c, axes) for c in prior.portfolio)
        assert fits(prior.sample(np.random.default_rng(0)), axes)

    def test_the_same_history_gives_the_same_prior(self, learner: MetaLearner) -> None:
        first = learner.fit(runs()).predict(PROFILE, AXES)
        assert learner.fit(runs()).predict(PROFILE, AXES) == first

    def test_update_is_taken_and_failures_are_no_error(self, learner: MetaLearner) -> None:
        prior = learner.fit(runs()).predict(PROFILE, AXES)
        learner.update(
            [trial(c, worth(c)) for c in prior.portfolio[:3]] + [trial(c, None) for c in prior.portfolio[3:5]]
        )
        again = learner.predict(PROFILE, AXES)
        assert all(fits(c, AXES) for c in again.portfolio)

    def test_what_was_good_on_past_tasks_comes_first(self, learner: MetaLearner) -> None:
        prior = learner.fit(runs()).predict(PROFILE, AXES)
        if prior.portfolio and isinstance(learner, Learner):  # uniform and practice look at no past runs
            assert worth(prior.portfolio[0]) > -0.5
            assert prior.weights["f"]["b"][1] > 1 / 3

    def test_profiles_may_be_missing(self, learner: MetaLearner) -> None:
        assert learner.fit(runs(profiles=False)).predict(Profile((), ()), AXES).families

    def test_saving_and_loading_gives_the_same_prior(self, learner: MetaLearner, tmp_path: Path) -> None:
        if not isinstance(learner, Learner):
            pytest.skip("learns nothing")
        first = learner.fit(runs()).predict(PROFILE, AXES)
        learner.save(tmp_path / "learner.npz")
        loaded = type(learner).load(tmp_path / "learner.npz")
        assert dataclasses.replace(loaded.predict(PROFILE, AXES)) == first

    def test_a_file_that_is_no_learner_is_one_line(self, learner: MetaLearner, tmp_path: Path) -> None:
        if not isinstance(learner, Learner):
            pytest.skip("learns nothing")
        (tmp_path / "x.npz").write_bytes(b"nothing")
        with pytest.raises(UserError, match=r"x\.npz is no saved meta-learner"):
            type(learner).load(tmp_path / "x.npz")
