"""Follows the meta-learner: always the best candidate of its current list that was not tried yet."""

from __future__ import annotations

import numpy as np

from nas.space import Proposal
from nas.strategies.parts.stepwise import Portfolio, Stepwise


class TransferSearch(Stepwise):
    """The meta-learner thinks, this obeys.

    After each result the meta-learner is updated and its new ranked list replaces the old one
    (``SearchSpace.follow``), so a meta-learner that ranks by expected improvement makes this Bayesian optimisation.
    When the list is exhausted, candidates are drawn from the prior.

    retries: draws in a row that give nothing new before the space counts as exhausted.
    """

    def __init__(self, retries: int = 500, seed: int = 0) -> None:
        super().__init__()
        self.retries = retries
        self._rng = np.random.default_rng(seed)

    def prepare(self) -> None:
        self.portfolio = Portfolio(self.space, limit=10**9)  # the whole list, whatever the search's own limit
        self._tried: set[str] = set()

    def propose(self) -> Proposal | None:
        candidate = self.listed(self._tried) or self.drawn(self._tried, self._rng, self.retries)
        if candidate is None:
            return None
        self._tried.add(candidate.id)
        return self.space.propose(candidate)

    def observe(self, proposal: Proposal, score: float | None) -> None:
        """``nas.search`` tells the meta-learner; here it only counts as tried."""
        self._tried.add(proposal.candidate.id)
