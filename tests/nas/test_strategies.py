"""What every strategy promises. A new yaml in conf/strategy joins by itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from automl.types import Budget, Candidate, Prior, Trial
from nas.evaluate import Job, Order, Outcome
from nas.search import search
from tests.nas.sharing import shared_job
from tests.nas.toys import LookUp, job, known_score

FOLDER = Path(__file__).parents[2] / "conf" / "strategy"
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


def keys(trials: list[Trial]) -> list[tuple[str, int]]:
    return [(t.candidate.id, t.fidelity) for t in trials]


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


class TestStrategyContract:
    """Every strategy, on every engine that keeps the order of results."""

    @pytest.mark.parametrize("workers", [1, 3])
    def test_the_budget_of_trials_is_kept_and_nothing_is_trained_twice(self, name, workers):
        engine = look_up(workers)
        trials = run(name, engine)
        assert [t.number for t in trials] == list(range(14))
        assert len(set(keys(trials))) == len(engine.ran) == 14
        assert all(1 <= t.fidelity <= EPOCHS for t in trials)

    def test_a_spent_time_budget_stops_the_search(self, name):
        assert search(space_of(name), prior_of(name), make(name), look_up(), Budget(seconds=0.0), seed=0) == []

    @pytest.mark.parametrize("workers", [1, 3])
    def test_the_same_seed_gives_the_same_trials(self, name, workers):
        assert keys(run(name, look_up(workers))) == keys(run(name, look_up(workers)))

    def test_a_small_space_ends_the_search_after_every_candidate(self, name):
        trials = run(name, trials=None)
        assert len(set(keys(trials))) == len(trials)
        assert len({t.candidate.id for t in trials}) >= (18 if name != "evolution" else 14)

    def test_candidates_hold_exactly_their_active_axes(self, name):
        assert all(prior_of(name).log_prob(t.candidate) > float("-inf") for t in run(name))

    @pytest.mark.parametrize("workers", [1, 3])
    @pytest.mark.parametrize("killed_after", [1, 6, 13])
    def test_a_killed_search_is_replayed_not_repeated(self, name, workers, killed_after):
        whole: list[Trial] = []
        reference = run(name, look_up(workers), finished=lambda trial, outcome: whole.append(trial))
        written: list[Trial] = []

        class Killed(BaseException):
            pass

        def write_then_die(trial, outcome):
            if len(written) == killed_after:
                raise Killed
            written.append(trial)

        with pytest.raises(Killed):
            run(name, look_up(workers), finished=write_then_die)
        assert written == whole[:killed_after]
        resumed = look_up(workers)
        trials = run(name, resumed, record=written)
        assert len(resumed.ran) == 14 - killed_after, "finished trials are not run again"
        assert not {(o.candidate.id, o.epochs) for o in resumed.ran} & set(keys(written))
        if workers == 1:
            assert trials == reference

    @pytest.mark.parametrize("status", ["failed", "timeout", "oom", "diverged", "skipped"])
    def test_failures_are_trials_and_the_search_goes_on(self, name, status):
        def outcome(order: Order) -> Outcome:
            if order.candidate.choices["learning_rate"] == 0.1:
                return Outcome(status, error="planted")
            return Outcome("ok", score_of(order.candidate))

        trials = run(name, look_up(outcome=outcome))
        assert len(trials) == 14
        assert {t.status for t in trials if t.candidate.choices["learning_rate"] == 0.1} == {status}

    def test_a_search_in_which_everything_fails_ends(self, name):
        trials = run(name, look_up(outcome=lambda order: Outcome("failed", error="planted")), trials=None)
        assert len(set(keys(trials))) == len(trials) > 0

    def test_the_portfolio_comes_first(self, name):
        rng = np.random.default_rng(5)
        listed = tuple({(c := prior_of(name).sample(rng)).id: c for _ in range(3)}.values())
        trials = run(name, prior=dataclasses.replace(prior_of(name), portfolio=listed))
        new = list(dict.fromkeys(t.candidate for t in trials))
        assert tuple(new[: len(listed)]) == listed
