"""Many short trainings, few long ones, and new candidates from where the evidence points."""

from __future__ import annotations

import bisect
import math
from typing import Literal

import numpy as np

from automl.errors import within
from automl.types import Candidate, Prior
from nas.family import begins
from nas.space import Proposal
from nas.strategies.parts.neighbours import Neighbours, mean_likelihood, pick
from nas.strategies.parts.rungs import Rungs, bracket_starts, rung_epochs
from nas.strategies.parts.stepwise import Stepwise
from nas.strategies.parts.zero_cost import ZeroCost, zero_cost
from nas.time import FIRST, LAST

Sampler = Literal["prior", "uniform", "incumbent"]
# Both by judgement: a worker waits for more, with fewer a search ends early, or its evidence is that of chance.
ATTEMPTS = 10  # draws of something that fits into what is left of the budget
EVIDENCE = 30  # results at most that weigh the prior against the best so far


class PriorBand(Stepwise):
    """PriorBand (Mallik et al. 2023) on asynchronous Hyperband brackets (Li et al. 2018, 2020).

    A candidate is trained for few epochs first and goes on, from its checkpoint, when it is among the best 1/eta of
    its rung; one of a family that is fitted at once is trained to full length, which costs hardly more. At the end of
    the budget what can still become the best is finished, and then neighbours of the best are tried. A new one comes
    from a mixture of three: the prior, the neighbourhood of the best so far, and the uniform distribution. The uniform
    share is 1 / (1 + trust * eta^rung): section 4.2 of the paper, where trust is 1 and half of the new candidates on
    the lowest rung ignore what is known. Prior and incumbent share the rest by how well each explains the best
    results: equation 3 of the paper, with geometric means per decision, so that the number of axes does not matter.
    With a uniform prior this is a cold multi-fidelity evolution.

    min_epochs, eta: of the rungs; the highest is the budget's epochs. mutation: probability that an axis changes.
    trust: in what is known against the uniform distribution. sure: so many of the prior's own candidates are trained
    to full length at once, if the budget's beginning allows: families learn at different paces, and a short training
    may hide the one that the prior rightly favours.
    brackets: false starts every candidate on the lowest rung. elite: parents are drawn from that many of the best.
    draws: equally likely candidates of which one is taken, by what their families cost or by zero_cost: the score of
    an untrained network, which decides between equal results too; what it says nothing of gets the median.
    retries: draws in a row that give nothing new before the space counts as exhausted.

    eta is Hyperband's 3; sure was compared with 3 and with none (docs/benchmarks.md). The others are by judgement: more
    mutation and less trust look further, and find less where the prior is right.
    """

    def __init__(
        self,
        min_epochs: int = 1,
        eta: int = 3,
        mutation: float = 0.25,
        brackets: bool = True,
        trust: float = 3.0,
        sure: int = 4,
        elite: int = 4,
        zero_cost: ZeroCost | None = None,
        draws: int = 3,
        retries: int = 500,
        seed: int = 0,
    ) -> None:
        super().__init__()
        within("min_epochs", min_epochs, 1)
        within("eta", eta, 2)
        within("mutation", mutation, 0, 1)
        within("trust", trust, 0)
        within("draws", draws, 1)
        within("sure", sure, 0)
        within("elite", elite, 1)
        self.min_epochs, self.eta, self.mutation, self.brackets = min_epochs, eta, mutation, brackets
        self.elite, self.retries, self.trust, self.sure = elite, retries, trust, sure
        self.zero_cost: ZeroCost | None = zero_cost
        self.draws = draws
        self._rng = np.random.default_rng(seed)

    def prepare(self) -> None:
        epochs = rung_epochs(self.session.budget.epochs, self.min_epochs, self.eta)
        self.rungs = Rungs(epochs, self.eta, tie_break=self._hint, kind=lambda id: self._known[id].family)
        self._starts = bracket_starts(len(epochs), self.eta) if self.brackets else (0,)
        self._uniform = Prior.uniform(self.space.axes)
        self._turn = 0
        self._known: dict[str, Candidate] = {}
        self._best: dict[str, float] = {}  # candidate -> its best score on any rung
        self._untrained: dict[str, float] = {}  # candidate -> zero-cost score
        self._submitted = 0
        self._reached: dict[str, int] = {}  # candidate -> epochs that it was trained for
        self._seconds: dict[str, list[float]] = {}  # family -> seconds per epoch of its trainings
        self._sure = self.sure

    # --- what next

    def propose(self) -> Proposal | None:
        if self._late():
            # The end of a budget finishes the best, so that even a short search ends with full trainings.
            found = self.rungs.promote_anyway() or (self._near_the_best() if self._best else self._new())
        else:
            found = self.rungs.promote() or self._new() or self.rungs.promote_anyway()
        if found is None:
            return None
        self._submitted += 1
        id, rung = found
        return self.space.propose(self._known[id], self.rungs.epochs[rung])

    def observe(self, proposal: Proposal, score: float | None) -> None:
        id = proposal.candidate.id
        self._known.setdefault(id, proposal.candidate)
        assert proposal.fidelity is not None
        rung = bisect.bisect_right(self.rungs.epochs, proposal.fidelity) - 1  # one that was cut may lie between
        epochs = proposal.fidelity - self._reached.get(id, 0)
        self._reached[id] = proposal.fidelity
        self.rungs.report(max(rung, 0), id, score)
        if score is not None:
            self._seconds.setdefault(proposal.candidate.family, []).append(proposal.seconds / max(epochs, 1))
            self._best[id] = max(score, self._best.get(id, -math.inf))

    def _late(self) -> bool:
        trials = self.session.budget.trials
        late = trials is not None and trials - self._submitted < len(self.rungs.epochs)
        return late or self.session.share_spent > 1 - LAST

    def _near_the_best(self) -> tuple[str, int] | None:
        """A neighbour of the best at full length, where one fits into what is left of the budget.

        What is left otherwise is worth more to the last training of the chosen ones than to a search.
        """
        seconds, top = self.session.budget.seconds, len(self.rungs.epochs) - 1
        left = math.inf if seconds is None else (1 - self.session.share_spent) * seconds
        for _ in range(ATTEMPTS):
            candidate = self._drawn(top, "incumbent")
            if candidate is not None and self._price(candidate.family, top) <= left:
                self._known[candidate.id] = candidate
                return candidate.id, top
        return None

    def _price(self, family: str, rung: int) -> float:
        """Seconds that a training of the family to this rung takes, as they did so far; 0 while nothing was trained.

        One that is fitted at once is trained to full length, whatever the rung.
        """
        known = {name: float(np.mean(of)) for name, of in self._seconds.items()}
        if not known:
            return 0.0
        epochs = self.rungs.epochs[-1 if begins(self.session.job, family) else rung]
        return known.get(family, float(np.median(list(known.values())))) * epochs

    def _new(self) -> tuple[str, int] | None:
        start = self._starts[self._turn % len(self._starts)]
        candidate = self.listed(self._known)
        if candidate is not None and self._sure > 0 and self.session.share_spent <= FIRST:
            self._sure -= 1
            start = len(self.rungs.epochs) - 1
        else:
            candidate = candidate or self._drawn(start)
            self._turn += 1
        if candidate is None:
            return None
        if begins(self.session.job, candidate.family):
            start = len(self.rungs.epochs) - 1
        self._known[candidate.id] = candidate
        return candidate.id, start

    def _drawn(self, rung: int, sampler: Sampler | None = None) -> Candidate | None:
        """A candidate not tried before; of several equally likely ones that with the best untrained network, else one
        by what their families cost.
        """
        found: dict[str, Candidate] = {}
        if sampler is None:
            shares = self.shares(rung)
            sampler = list(shares)[pick(list(shares.values()), self._rng)]
        for attempt in range(self.retries):
            # A sampler that runs dry gives way to the uniform one, which reaches every candidate.
            candidate = self._sample(sampler if attempt < self.retries // 4 else "uniform")
            if candidate.id not in self._known:
                found[candidate.id] = candidate
            if len(found) == self.draws:
                break
        if self.zero_cost is None or not found:
            return self._cheaper(list(found.values()), rung) if found else None
        for id, candidate in found.items():
            if id not in self._untrained:
                self._untrained[id] = zero_cost(self.session.job, candidate, self.zero_cost)
        return max(found.values(), key=lambda c: self._hint(c.id))

    def _cheaper(self, of: list[Candidate], rung: int) -> Candidate:
        """One of them, the likelier the less it costs: its seconds and those of a usual one, since a cheap training
        that teaches nothing takes the place of another. So the cheapest is at most twice as likely as a usual one.

        Where no seconds are counted, none decide: such a search can be repeated exactly.
        """
        if self.session.budget.seconds is None:
            return of[0]
        prices = np.array([self._price(c.family, rung) for c in of])
        usual = float(np.median([self._price(family, rung) for family in self.space.prior.axes]))
        return of[pick(1 / (prices + usual + 1e-9), self._rng)] if usual else of[0]

    def _hint(self, id: str) -> float:
        """The zero-cost score; the median of all where it says nothing, and 0 without any."""
        value = self._untrained.get(id, math.nan)
        if not math.isnan(value):
            return value
        known = [score for score in self._untrained.values() if math.isfinite(score)]
        return float(np.median(known)) if known else 0.0

    # --- where from

    def _sample(self, sampler: Sampler) -> Candidate:
        prior = self.space.prior
        if sampler == "prior":
            return prior.sample(self._rng)
        if sampler == "uniform":
            return self._uniform.sample(self._rng)
        best = self._elite()
        parent = best[pick([0.5**rank for rank in range(len(best))], self._rng)]
        return Neighbours(prior, self.mutation).draw(parent, self._rng)

    def shares(self, rung: int) -> dict[Sampler, float]:
        """Probability of each sampler for a candidate that starts on this rung."""
        uniform = 1 / (1 + self.trust * self.eta**rung)
        top, best = self._evidence(), self._elite()
        if len(top) < 2:
            return {"prior": 1 - uniform, "uniform": uniform, "incumbent": 0.0}
        near = Neighbours(self.space.prior, self.mutation)
        for_prior = for_incumbent = 0.0
        for rank, candidate in enumerate(c for c in top if c.id != best[0].id):  # it would speak for itself
            weight = len(top) - rank
            for_prior += weight * mean_likelihood(self.space.prior, candidate)
            for_incumbent += weight * near.likelihood(best[0], candidate)
        incumbent = (1 - uniform) * for_incumbent / (for_prior + for_incumbent)
        return {"prior": 1 - uniform - incumbent, "uniform": uniform, "incumbent": incumbent}

    def _evidence(self) -> list[Candidate]:
        """The best third or so of the highest rung that has seen enough, best first."""
        for rung in reversed(range(len(self.rungs.epochs))):
            ranked = [id for id in self.rungs.ranked(rung) if self.rungs.score(rung, id) > -math.inf]
            if len(ranked) >= self.eta + 1:
                enough = min(max(len(ranked) // self.eta, self.eta), EVIDENCE)
                return [self._known[id] for id in ranked[:enough]]
        return []

    def _elite(self) -> list[Candidate]:
        """The best so far, by their best score on any rung."""
        ranked = sorted(self._best, key=lambda id: self._best[id], reverse=True)
        return [self._known[id] for id in ranked[: self.elite]]
