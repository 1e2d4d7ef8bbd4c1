"""What every strategy promises. A new yaml in conf/strategy joins by itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hydra.utils import instantiate
from nni.algorithms.hpo.tpe_tuner import suggest
from omegaconf import OmegaConf

from automl.types import Attempt, Budget, Candidate, Prior, Trial
from experiments import configuration
from nas.job import Job, Order, Outcome
from nas.search import search
from nas.strategies.parts.stepwise import Stepwise
from tests.nas.sharing import shared_job
from tests.nas.toys import LookUp, job, known_score

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

    @pytest.mark.parametrize("workers", [1, 3])
    def test_more_budget_and_more_workers_keep_the_recorded_course(self, name, workers):
        """Shares of a budget are decisions too; and trainings that were cut end twice at the same epochs."""

        def outcome(order: Order) -> Outcome:
            cut = int(order.candidate.id[0], 16) % 2 == 0
            return Outcome("ok", score_of(order.candidate), seconds=1.0, cut=cut, epochs=1)

        record: list[Trial] = []
        first, more = Budget(8, 10.0, EPOCHS), Budget(16, 1000.0, EPOCHS)
        search(
            space_of(name), prior_of(name), make(name), look_up(workers, outcome), first, seed=0,
            finished=lambda trial, outcome: record.append(trial),
        )  # fmt: skip
        heard: list[Trial] = []
        resumed = look_up(5, outcome)
        trials = search(
            space_of(name), prior_of(name), make(name), resumed, more, seed=0, record=record,
            learn=lambda trial, running: heard.append(trial),
            attempts=[Attempt(0, first, workers)], spent=8.0 / workers,
        )  # fmt: skip
        known = len(record)  # a search may end before its budget does
        assert known >= 6 and heard[:known] == record, "told in the recorded order before anything new"
        assert len(resumed.ran) == 16 - known and [t.number for t in trials] == list(range(16))

    @pytest.mark.parametrize("fidelity", [EPOCHS, 2])
    def test_a_record_of_another_course_is_told_and_not_repeated(self, name, fidelity):
        rng = np.random.default_rng(7)
        chosen = list({(c := prior_of(name).sample(rng)).id: c for _ in range(9)}.values())[-5:]
        record = [Trial("toy", c, fidelity, 0, "ok", score_of(c), number=n) for n, c in enumerate(chosen)]
        record[1] = dataclasses.replace(record[1], status="failed", score=None)
        heard: list[Trial] = []
        resumed = look_up()
        trials = run(name, resumed, trials=12, record=record, learn=lambda trial, running: heard.append(trial))
        assert sorted((t for t in heard if t in record), key=lambda t: t.number) == record
        assert len({t.number for t in heard}) == len(heard), "each is told once"
        assert not {(o.candidate.id, o.epochs) for o in resumed.ran} & set(keys(record))
        assert len(trials) == 12 and len(resumed.ran) == 7

    @pytest.mark.parametrize("workers", [1, 3, 16, 64])
    @pytest.mark.parametrize("failures", [0, 1, 5])
    def test_any_number_of_workers_and_failures_at_the_start(self, name, workers, failures):
        ran: list[Order] = []

        def outcome(order: Order) -> Outcome:
            ran.append(order)
            if len(ran) <= failures:
                return Outcome("failed", error="planted")
            return Outcome("ok", score_of(order.candidate), seconds=1.0)

        trials = run(name, look_up(workers, outcome), trials=None)
        assert len(set(keys(trials))) == len(trials) == len(ran)
        assert len({t.candidate.id for t in trials}) >= (18 if name != "evolution" else 14)

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
        def _collect(self):
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
