"""Successive halving, the mixture of samplers, and going on from a checkpoint."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.types import Budget, Candidate, Prior, Trial
from nas.engines.sequential import SequentialEngine
from nas.evaluate import evaluate
from nas.job import Order, Outcome
from nas.search import search
from nas.strategies import prior_band
from nas.strategies.parts.neighbours import Neighbours, mean_likelihood
from nas.strategies.parts.rungs import Rungs, bracket_starts, rung_epochs
from nas.strategies.prior_band import PriorBand
from nas.testing.strategies import LookUp, PlainSpace, job, known_score, uniform

BEST = {"deep": "yes", "hidden": 8, "learning_rate": 0.01}


def run(engine, strategy=None, trials: int | None = 20, epochs: int = 9, prior: Prior | None = None, **options):
    strategy = strategy or PriorBand(seed=0)
    return search(job(), prior or uniform(), strategy, engine, Budget(trials=trials, epochs=epochs), seed=0, **options)


class TestRungs:
    @given(st.integers(1, 500), st.integers(1, 20), st.integers(2, 5))
    def test_lengths_rise_to_the_full_one(self, epochs, least, eta):
        found = rung_epochs(epochs, least, eta)
        assert found[-1] == epochs
        assert all(a < b for a, b in itertools.pairwise(found))
        assert len(found) == 1 or found[0] >= least

    def test_known_lengths_and_brackets(self):
        assert rung_epochs(27, 1, 3) == (1, 3, 9, 27)
        assert rung_epochs(15, 1, 3) == (2, 5, 15)
        # Hyperband, R = 9 and eta = 3: 9, 5 and 3 configurations (table 1 of the paper for R = 81: 81, 34, 15, 8, 5).
        starts = bracket_starts(3, 3)
        assert [starts.count(s) for s in range(3)] == [9, 5, 3]
        assert [bracket_starts(5, 3).count(s) for s in range(5)] == [81, 34, 15, 8, 5]

    def test_the_best_third_of_a_rung_goes_on_and_each_once(self):
        rungs = Rungs((1, 3, 9), eta=3)
        for id, score in zip("abcdef", (0.1, 0.6, 0.3, 0.5, 0.2, 0.4), strict=True):
            assert rungs.promote() is None or id > "c"
            rungs.report(0, id, score)
        rungs = Rungs((1, 3, 9), eta=3)
        for id, score in zip("abcdef", (0.1, 0.6, 0.3, 0.5, 0.2, 0.4), strict=True):
            rungs.report(0, id, score)
        assert [rungs.promote(), rungs.promote(), rungs.promote()] == [("b", 1), ("d", 1), None]
        rungs.report(1, "d", 0.7)
        rungs.report(1, "b", 0.6)
        rungs.report(1, "x", 0.5)
        assert rungs.promote() == ("d", 2), "the highest rung first"

    def test_failures_never_rise(self):
        rungs = Rungs((1, 3), eta=3)
        for id in "abc":
            rungs.report(0, id, None)
        assert rungs.promote() is None and rungs.promote_anyway() is None

    def test_equal_scores_are_decided_by_the_tie_break_then_by_arrival(self):
        rungs = Rungs((1, 3), eta=3, tie_break={"a": 0.0, "b": 1.0, "c": 1.0}.__getitem__)
        for id in "abc":
            rungs.report(0, id, 0.5)
        assert rungs.ranked(0) == ["b", "c", "a"]


class TestReach:
    """Who may become the best, by what others gained."""

    def rungs(self) -> Rungs:
        rungs = Rungs((1, 9), eta=3, kind=lambda id: id[0])
        for id, short, full in (("a1", 0.6, 0.8), ("a2", 0.5, 0.75), ("b1", 0.3, 0.7)):
            rungs.report(0, id, short)
            rungs.report(1, id, full)
            rungs._send(0, id)
        return rungs

    def test_only_what_may_become_the_best_is_finished(self):
        """The a gain 0.25 at most, the b 0.4; for want of its own kind c may gain as much."""
        rungs = self.rungs()
        for id, score in (("a3", 0.54), ("a4", 0.56), ("b2", 0.39), ("b3", 0.41), ("c1", 0.45), ("c2", 0.35)):
            rungs.report(0, id, score)
        found = [rungs.promote_anyway() for _ in range(4)]
        assert found == [("a4", 1), ("c1", 1), ("b3", 1), None]

    def test_what_may_be_gained_is_looked_up_once_and_not_for_each_candidate(self):
        asked: list[str] = []
        rungs = Rungs((1, 9), eta=3, kind=lambda id: (asked.append(id), id[0])[1])
        for i in range(200):
            rungs.report(0, f"a{i}", 0.1)
            if i % 2:
                rungs.report(1, f"a{i}", 0.2)
                rungs._send(0, f"a{i}")
        rungs.report(1, "b", 0.9)
        assert rungs.promote_anyway() is None and len(asked) <= 400

    def test_while_nothing_was_finished_everything_may_be(self):
        rungs = Rungs((1, 9), eta=3)
        rungs.report(0, "a", 0.1)
        rungs.report(0, "b", None)
        assert [rungs.promote_anyway(), rungs.promote_anyway()] == [("a", 1), None]
        rungs.report(0, "c", 0.0)
        rungs.report(1, "a", None)
        assert rungs.promote_anyway() == ("c", 1), "failures set no bar"
        rungs.report(1, "x", 0.9)  # began there
        rungs.report(0, "d", 0.05)
        assert rungs.promote_anyway() == ("d", 1), "how others grow is not known"


class TestNeighbours:
    parent = Candidate("toy", {"deep": "yes", "hidden": 2, "learning_rate": 0.001})

    def test_likelihoods_are_those_of_the_draws(self):
        near, rng = Neighbours(uniform(), 0.3), np.random.default_rng(0)
        draws = [near._draw(self.parent, rng) for _ in range(4000)]
        for candidate in sorted(set(draws), key=draws.count)[-4:]:
            share = draws.count(candidate) / len(draws)
            expected = near.likelihood(self.parent, candidate) ** (1 + len(candidate.choices))
            assert share == pytest.approx(expected, rel=0.15)

    def test_a_step_is_likelier_than_a_jump(self):
        near = Neighbours(uniform(), 0.3)
        step, jump = (dataclasses.replace(self.parent, choices={**self.parent.choices, "hidden": h}) for h in (4, 8))
        assert near.likelihood(self.parent, step) > near.likelihood(self.parent, jump)

    @given(st.integers(0, 2**31 - 1), st.floats(0.01, 1.0))
    def test_neighbours_lie_in_the_space_and_are_others(self, seed, probability):
        rng = np.random.default_rng(seed)
        child = Neighbours(uniform(), probability).draw(self.parent, rng)
        assert np.isfinite(uniform().log_prob(child))
        assert probability < 0.3 or child != self.parent

    def test_the_likelihood_under_a_uniform_prior_is_one_over_the_options(self):
        assert mean_likelihood(uniform(), self.parent) == pytest.approx((1 / (2 * 2 * 3 * 3)) ** (1 / 4))


class TestSearch:
    def test_longer_trainings_are_for_the_better_candidates(self):
        trials = run(LookUp(), PriorBand(brackets=False, seed=0))
        by_length = {e: [t.score for t in trials if t.fidelity == e] for e in (1, 3, 9)}
        assert len(by_length[1]) > len(by_length[3]) > 0 and by_length[9]
        assert np.mean(by_length[3]) > np.mean(by_length[1])

    def test_the_best_is_found_and_fully_trained(self):
        trials = run(LookUp(), trials=45)
        best = max((t for t in trials if t.fidelity == 9), key=lambda t: t.score)
        assert best.candidate.choices == BEST

    @pytest.mark.parametrize("trials", [3, 4, 5, 8])
    def test_even_a_short_search_ends_with_a_full_training(self, trials):
        assert any(t.fidelity == 9 for t in run(LookUp(), trials=trials))

    def test_one_epoch_leaves_one_rung(self):
        assert {t.fidelity for t in run(LookUp(), epochs=1, trials=10)} == {1}

    def test_the_shares_move_from_the_prior_to_the_best_as_the_evidence_does(self):
        def after(prior: Prior) -> dict[str, float]:
            strategy = PriorBand(seed=0)
            run(LookUp(), strategy, trials=25, prior=prior)
            return strategy.shares(1)

        def towards(value: str) -> Prior:
            weights = {f: dict(of) for f, of in uniform().weights.items()}
            weights["toy"]["deep"] = (0.98, 0.02) if value == "no" else (0.02, 0.98)
            return dataclasses.replace(uniform(), weights=weights, families={"toy": 0.95, "plain": 0.05})

        right, wrong = after(towards("yes")), after(towards("no"))
        assert wrong["incumbent"] > right["incumbent"] > 0
        assert sum(wrong.values()) == pytest.approx(1) and wrong["uniform"] == pytest.approx(1 / 10)

    def test_a_strong_prior_is_searched_first(self):
        sharp = dataclasses.replace(uniform(), families={"toy": 0.0, "plain": 1.0})
        new = list(dict.fromkeys(t.candidate for t in run(LookUp(), trials=12, prior=sharp)))
        assert sum(c.family == "plain" for c in new[:5]) >= 4

    @pytest.mark.parametrize("sure", [0, 1, 2])
    def test_the_first_of_the_priors_own_candidates_are_trained_to_full_length_at_once(self, sure):
        own = tuple(uniform().sample(np.random.default_rng(i)) for i in range(4))
        listed = dataclasses.replace(uniform(), portfolio=own)
        trials = run(LookUp(), PriorBand(sure=sure, seed=0), trials=12, prior=listed)
        first = {t.candidate: t.fidelity for t in reversed(trials) if t.candidate in own}
        assert [first[c] == 9 for c in own[:3]] == [True] * sure + [False] * (3 - sure)

    def timed(self, seconds, budget: float, **options):
        """Trials of a search whose trainings take ``seconds(candidate)`` per epoch, on the engine's own clock."""

        def outcome(order: Order) -> Outcome:
            growth = 0.1 * order.epochs if order.candidate.family == "toy" else 0.0
            score = known_score(order.candidate) + growth
            return Outcome("ok", score, seconds=seconds(order.candidate) * order.epochs, resume=b"x")

        engine, strategy = LookUp(outcome=outcome), PriorBand(seed=0, sure=0, **options)
        trials = search(job(), uniform(), strategy, engine, Budget(seconds=budget, epochs=9), seed=0)
        return trials, strategy

    @pytest.mark.parametrize("budget", [60.0, 90.0, 120.0])
    def test_the_end_of_a_budget_is_not_spent_on_what_cannot_become_the_best(self, budget):
        """The plain ones do not grow with their epochs, the others do by far more than they are apart."""
        trials, _ = self.timed(lambda c: 1.0, budget)
        began = np.cumsum([0.0, *(t.seconds for t in trials)])
        late = [t for t, at in zip(trials, began, strict=False) if at > 0.75 * budget]
        before = {t.candidate for t in trials[: -len(late)]}
        assert late and all(t.candidate.family == "toy" for t in late if t.candidate in before)
        assert all(t.fidelity == 9 for t in late if t.candidate not in before), "neighbours of the best"

    def test_a_search_ends_early_rather_than_begin_what_does_not_fit(self):
        trials, strategy = self.timed(lambda c: 1.0, 40.0)
        assert any(t.fidelity == 9 for t in trials)
        assert sum(t.seconds for t in trials) <= 40.0 + 9.0
        left = 40.0 - sum(t.seconds for t in trials)
        assert left < 9.0 or strategy._near_the_best() is None

    def test_the_cheaper_of_equally_likely_candidates_is_taken_more_often_but_not_always(self):
        count = {}
        for dear in (1.0, 30.0):
            _, strategy = self.timed(lambda c, dear=dear: dear if c.family == "plain" else 1.0, 200.0)
            of = [strategy._cheaper([Candidate("toy", {}), Candidate("plain", {})], 0) for _ in range(400)]
            count[dear] = sum(c.family == "plain" for c in of) / 400
        assert 0.4 < count[1.0] < 0.6 and 0.1 < count[30.0] < 0.4

    def test_a_search_that_counts_no_seconds_does_not_depend_on_them(self):
        def course(dear: float) -> list[tuple[Candidate, int]]:
            def outcome(order: Order) -> Outcome:
                seconds = dear if order.candidate.family == "plain" else 1.0
                return Outcome("ok", known_score(order.candidate), seconds=seconds * order.epochs)

            return [(t.candidate, t.fidelity) for t in run(LookUp(outcome=outcome), trials=20)]

        assert course(1.0) == course(30.0) == course(0.001)

    @pytest.mark.parametrize("begins", [True, False])
    def test_what_is_fitted_at_once_is_trained_to_full_length(self, begins, monkeypatch):
        monkeypatch.setattr(PlainSpace, "begin", lambda self, batches, y, until: None, raising=False)
        monkeypatch.setattr(PlainSpace, "patience", 0, raising=False)
        if begins:
            monkeypatch.setattr(PlainSpace, "begin_rows", 9, raising=False)
        trials = run(LookUp(), PriorBand(sure=0, seed=0), trials=20)
        lengths = {t.fidelity for t in trials if t.candidate.family == "plain"}
        assert lengths and (lengths == {9}) == begins

    def test_what_is_fitted_at_once_costs_its_full_length_on_every_rung(self, monkeypatch):
        for name, value in (("begin", lambda self, batches, y, until: None), ("begin_rows", 9), ("patience", 0)):
            monkeypatch.setattr(PlainSpace, name, value, raising=False)
        _, strategy = self.timed(lambda c: 1.0, 200.0)
        assert [strategy._price("plain", rung) for rung in range(3)] == [9.0] * 3
        toy = [strategy._price("toy", rung) for rung in range(3)]
        assert toy == pytest.approx([toy[0] * epochs for epochs in (1, 3, 9)])

    @pytest.mark.parametrize("kind", ["synflow", "jacob_cov", "params"])
    def test_zero_cost_scores_choose_among_equally_likely_draws(self, kind):
        strategy = PriorBand(zero_cost=kind, draws=4, seed=0)
        trials = run(LookUp(), strategy, trials=12)
        assert len(trials) == 12 and set(strategy._untrained) >= {t.candidate.id for t in trials}
        if kind == "params":
            plain = run(LookUp(), PriorBand(seed=0), trials=12)
            hidden = [np.mean([t.candidate.choices.get("hidden", 0) for t in found]) for found in (trials, plain)]
            assert hidden[0] > hidden[1]

    def test_what_the_zero_cost_score_says_nothing_of_is_in_the_middle(self, monkeypatch):
        """Of three draws it is then the best as often as any other; as the worst of all it would never be one."""
        monkeypatch.setattr(
            prior_band,
            "zero_cost",
            lambda job, c, kind: math.nan if c.family == "plain" else float(int(c.id, 16) % 1000),
        )
        strategy = PriorBand(zero_cost="synflow", draws=3, sure=0, seed=0)
        new = {t.candidate for t in run(LookUp(), strategy, trials=12, epochs=1)}
        assert any(c.family == "plain" for c in new) and any(c.family == "toy" for c in new)
        known = [s for s in strategy._untrained.values() if not math.isnan(s)]
        plain = next(id for id, s in strategy._untrained.items() if math.isnan(s))
        assert strategy._hint(plain) == np.median(known)


class TestGoingOn:
    """Rungs continue from their checkpoint."""

    def test_orders_carry_the_state_of_the_shorter_training(self):
        def outcome(order: Order) -> Outcome:
            state = f"{order.candidate.id} {order.epochs}".encode() if order.keep else None
            return Outcome("ok", known_score(order.candidate), resume=state)

        engine = LookUp(outcome=outcome)
        run(engine)
        risen = [o for o in engine.ran if o.start is not None]
        assert risen and all(o.start.split()[0].decode() == o.candidate.id for o in risen)
        assert all(int(o.start.split()[1]) < o.epochs for o in risen)
        assert all(o.keep == (o.epochs < 9) for o in engine.ran)
        assert len({o.candidate.id for o in risen}) <= len(risen)

    def test_a_continued_training_adds_only_the_missing_epochs(self):
        order = Order(Candidate("toy", BEST), epochs=2, seed=0, keep=True)
        first = evaluate(job(), order)
        assert first.status == "ok" and first.resume is not None
        more = evaluate(job(), Order(order.candidate, 6, 0, start=first.resume))
        assert more.curve[:2] == first.curve and len(more.curve) == more.epochs == 6
        assert more.predictions is not None and more.weights is not None

    def test_after_a_kill_the_states_are_gone_and_the_search_ends_the_same(self):
        whole: list[Trial] = []
        run(SequentialEngine(threads=1), trials=10, finished=lambda trial, outcome: whole.append(trial))
        assert [len(t.curve) for t in whole] == [t.fidelity for t in whole]
        rest: list[Trial] = []
        again = run(
            SequentialEngine(threads=1), trials=10, record=whole[:5], finished=lambda trial, outcome: rest.append(trial)
        )
        assert len(rest) == 5 and [len(t.curve) for t in rest] == [t.fidelity for t in rest]
        assert [t.candidate for t in again[:5]] == [t.candidate for t in whole[:5]]
