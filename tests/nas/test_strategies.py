"""What every strategy promises. A new yaml in conf/strategy joins by itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hydra.utils import instantiate
from nni.algorithms.hpo.tpe_tuner import suggest
from omegaconf import OmegaConf

from automl.types import Budget, Candidate, Prior, Trial
from experiments import configuration
from nas.job import Job, Order, Outcome
from nas.search import search
from nas.strategies.parts.stepwise import Stepwise
from nas.testing.strategies import LookUp, StrategyContract, job, keys, known_score
from tests.nas.sharing import shared_job

FOLDER = configuration.CONF / "strategy"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
ONE_SHOT = [name for name in NAMES if "oneshot" in (FOLDER / f"{name}.yaml").read_text()]
EPOCHS = 9


def make(name: str, seed: int = 0):
    config = OmegaConf.merge({"seed": seed}, {"strategy": OmegaConf.load(FOLDER / f"{name}.yaml")})
    if name in ONE_SHOT:
        config.strategy.epochs = 1
    return instantiate(config.strategy)


def space_of(name: str) -> Job:
    """One-shot strategies need families that share weights."""
    return shared_job() if name in ONE_SHOT else job()


def prior_of(name: str) -> Prior:
    return Prior.uniform(space_of(name).axes)


def score_of(candidate: Candidate) -> float:
    return known_score(candidate) if candidate.family != "shared" else int(candidate.id[:4], 16) / 2**16


def run(name: str, engine=None, trials: int | None = 14, prior: Prior | None = None, **options) -> list[Trial]:
    budget = Budget(trials=trials, epochs=EPOCHS)
    engine = engine or look_up()
    return search(space_of(name), prior or prior_of(name), make(name), engine, budget, seed=0, **options)


def look_up(workers: int = 1, outcome=lambda order: Outcome("ok", score_of(order.candidate), seconds=1.0)) -> LookUp:
    return LookUp(workers, outcome)


@pytest.mark.parametrize("name", NAMES)
class TestStrategies(StrategyContract):
    """On every engine that keeps the order of results."""

    @pytest.fixture
    def make(self, name):
        self.least = 18 if name != "evolution" else 14
        return lambda: make(name)

    @pytest.fixture
    def job(self, name):
        return space_of(name)

    def score_of(self, candidate):
        return score_of(candidate)


def test_tpe_trains_no_candidate_twice_when_a_new_prior_lists_it():
    best = max((prior_of("tpe").sample(np.random.default_rng(n)) for n in range(50)), key=score_of)
    trials = run(
        "tpe", trials=18, learn=lambda trial, _: dataclasses.replace(prior_of("tpe"), portfolio=(trial.candidate, best))
    )
    assert len(set(keys(trials))) == len(trials)


def test_tpe_turns_away_from_a_region_that_fails():
    def outcome(order: Order) -> Outcome:
        if order.candidate.choices["learning_rate"] == 0.1:
            return Outcome("failed", error="planted")
        return Outcome("ok", 0.5)

    config = OmegaConf.load(FOLDER / "tpe.yaml")
    config.startup, config.seed = 4, 0
    tpe = instantiate(config)
    search(job(), prior_of("tpe"), tpe, look_up(outcome=outcome), Budget(12, epochs=1), seed=0)
    # What the tuner itself would draw; its own deduplication has little left in so small a space.
    (axis,) = (key for key in tpe.tuner.space if key[-1] == "toy.learning_rate")
    drawn = [suggest(tpe.tuner.args, tpe.tuner.rng, tpe.tuner.space, tpe.tuner._history)[axis] for _ in range(40)]
    assert drawn.count(2) < 20, "the third rate always fails"


def test_a_free_worker_waits_for_the_next_result_not_for_the_oldest():
    """A long training at the start must not keep the others from what a result opens."""

    class Longest(LookUp):
        def collect(self):
            if len(self._pending) > 1:
                self._pending.rotate(-1)  # the oldest ends last
            number, order = self._pending.popleft()
            self.ran.append(order)
            return [(number, self._outcome(order))]

    class Waits(Stepwise):
        """Two candidates at the start, so that one worker is free; each result opens one more."""

        def prepare(self):
            self.open, self.seen = 2, []

        def propose(self):
            if not self.open:
                return None
            self.open -= 1
            candidate = self.drawn(self.seen, np.random.default_rng(len(self.seen)), 500)
            self.seen.append(candidate.id)
            return self.space.propose(candidate)

        def observe(self, proposal, score):
            self.open += 1

    engine, strategy = Longest(3), Waits()
    search(job(), prior_of("random"), strategy, engine, Budget(8, epochs=1), seed=0)
    assert len(engine.ran) == 8 and engine.ran[-1].candidate.id == strategy.seen[0]
