"""What every engine promises, and what a killed search gets back."""

import dataclasses

import pytest
from nni.nas.strategy import Random

from automl.types import Budget, Trial
from nas.job import Order, Outcome
from nas.search import search
from nas.strategies.evolution import Evolution
from nas.testing.strategies import LookUp, job, known_score, uniform


def strategies(seed: int = 0):
    return {
        "random": lambda: Random(seed=seed),
        "evolution": lambda: Evolution(population_size=4, sample_size=2, mutation_prob=0.3, seed=seed),
    }


def run(engine, strategy, trials=14, record=(), finished=lambda trial, outcome: None, **options) -> list[Trial]:
    return search(
        job(),
        uniform(),
        strategy,
        engine,
        Budget(trials=trials, epochs=3),
        seed=0,
        record=record,
        finished=finished,
        **options,
    )


@pytest.fixture(params=["random", "evolution"])
def make(request):
    return strategies()[request.param]


def test_the_budget_of_trials_is_kept_exactly(make):
    trials = run(LookUp(), make())
    assert [t.number for t in trials] == list(range(14))
    assert len({t.candidate.id for t in trials}) == 14, "no candidate twice"
    assert all(t.score == known_score(t.candidate) and t.fidelity == 3 for t in trials)


def test_a_spent_time_budget_stops_the_search(make):
    trials = search(job(), uniform(), make(), LookUp(), Budget(seconds=0.0, epochs=1), seed=0)
    assert trials == []


def test_the_same_seed_gives_the_same_trials(make):
    assert [t.candidate for t in run(LookUp(), make())] == [t.candidate for t in run(LookUp(), make())]


def test_a_small_space_ends_the_search(make):
    trials = run(LookUp(), make(), trials=1000)
    assert len(trials) <= 18 and len({t.candidate.id for t in trials}) == len(trials)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("killed_after", [0, 1, 5, 13, 14])
def test_a_killed_search_is_replayed_not_repeated(make, workers, killed_after):
    """The uninterrupted search is the reference: same proposals, nothing trained twice, nothing lost."""
    whole: list[Trial] = []
    engine = LookUp(workers)
    reference = run(engine, make(), finished=lambda trial, outcome: whole.append(trial))

    written: list[Trial] = []

    class Killed(BaseException):
        pass

    def write_then_die(trial, outcome):
        if len(written) == killed_after:
            raise Killed
        written.append(trial)

    if killed_after < 14:
        with pytest.raises(Killed):
            run(LookUp(workers), make(), finished=write_then_die)
    else:
        written = list(whole)
    assert written == whole[:killed_after]

    after: list[Trial] = []
    resumed = LookUp(workers)
    trials = run(resumed, make(), record=written, finished=lambda trial, outcome: after.append(trial))
    assert len(resumed.ran) == 14 - killed_after, "finished trials are not run again"
    assert {t.number for t in written} | {t.number for t in after} == set(range(14))
    if workers == 1:
        assert trials == reference


def test_a_record_of_another_course_is_kept_and_its_numbers_are_not_reused(make):
    record = run(LookUp(), strategies(seed=99)["random"](), trials=5)
    after: list[Trial] = []
    trials = run(LookUp(), make(), trials=8, record=record, finished=lambda trial, outcome: after.append(trial))
    assert not {t.number for t in after} & {t.number for t in record}
    assert len(trials) == 8


@pytest.mark.parametrize("status", ["failed", "timeout", "oom", "diverged", "skipped"])
def test_failures_are_trials_and_the_search_goes_on(make, status):
    def outcome(order: Order) -> Outcome:
        if order.candidate.choices["learning_rate"] == 0.1:
            return Outcome(status, error="planted")
        return Outcome("ok", known_score(order.candidate))

    trials = run(LookUp(outcome=outcome), make())
    bad = [t for t in trials if t.status == status]
    assert len(trials) == 14 and bad
    assert all(t.score is None and t.error == "planted" for t in bad)


def test_a_new_prior_is_followed_from_the_next_proposal_on():
    better = dataclasses.replace(uniform(), families={"toy": 0.0, "plain": 1.0})
    trials = run(LookUp(), Random(seed=0), trials=6, learn=lambda trial, running: better)
    assert {t.candidate.family for t in trials[2:]} == {"plain"}


def test_evolution_finds_the_optimum_of_a_known_surface():
    trials = run(LookUp(), strategies()["evolution"](), trials=17)
    best = max(trials, key=lambda t: t.score or 0)
    assert best.candidate.choices == {"deep": "yes", "hidden": 8, "learning_rate": 0.01}


def test_a_training_whose_time_was_up_counts_for_what_it_reached_and_is_not_repeated():
    def outcome(order: Order) -> Outcome:
        return Outcome("ok", known_score(order.candidate), epochs=1, cut=True)

    record = run(LookUp(outcome=outcome), strategies()["evolution"](), trials=3)
    assert [t.fidelity for t in record] == [1, 1, 1], "asked for 3 epochs"
    resumed = LookUp()
    trials = run(resumed, strategies()["evolution"](), trials=5, record=record)
    assert len(resumed.ran) == 2 and trials[:3] == record
