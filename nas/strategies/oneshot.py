"""Train one network that holds all candidates, then only those that it ranks highest."""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np
from nni.nas.oneshot.pytorch.strategy import OneShotStrategy

from automl.errors import UserError, within
from automl.types import Candidate, Option, active_choices
from nas.space import Proposal
from nas.strategies.parts.neighbours import pick
from nas.strategies.parts.stepwise import Stepwise
from nas.strategies.parts.supernet import Supernet, shared_axes


class OneShot(Stepwise):
    """NNI's one-shot algorithms as a strategy like any other.

    Of each family that shares weights (written with ``LayerChoice``) a supernet is trained in this process. Then

    - RandomOneShot (Guo et al. 2020): ``pool`` candidates are scored with the shared weights and ranked;
    - DARTS (Liu et al. 2019), GumbelDARTS (Xie et al. 2019): the most probable candidate goes first, then draws from
      the architecture probabilities.

    In that order they are trained on their own, by the engine, with training choices drawn from the prior: shared
    weights only rank, they are not kept. The prior's portfolio goes first; when the ranking is used up, candidates
    come from the prior.

    algorithm: makes a fresh NNI strategy. epochs: of the supernet, None for four times the budget's.
    share: of the remaining seconds that the supernets may take. retries: draws in a row that give nothing new before
    the space counts as exhausted.
    """

    def __init__(
        self,
        algorithm: Callable[[], OneShotStrategy],
        epochs: int | None = None,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        pool: int = 100,
        share: float = 0.5,
        retries: int = 500,
        seed: int = 0,
    ) -> None:
        super().__init__()
        within("epochs", epochs, 1)
        within("pool", pool, 1)
        within("share", share, 0.01, 1)
        self.algorithm, self.epochs, self.pool, self.share, self.retries = algorithm, epochs, pool, share, retries
        self.batch_size, self.learning_rate, self.seed = batch_size, learning_rate, seed
        self._rng = np.random.default_rng(seed)

    def prepare(self) -> None:
        job = self.session.job
        self.shared = {name: axes for name in self.space.axes if (axes := shared_axes(job.families[name], job.task))}
        if not self.shared:
            raise UserError(
                f"none of the families {', '.join(self.space.axes)} shares weights between its candidates, which a "
                "one-shot strategy needs. Set family=[convnet_shared], or another strategy."
            )
        self._tried: set[str] = set()
        self._ranked: deque[Candidate] | None = None

    def propose(self) -> Proposal | None:
        candidate = self._next()
        if candidate is None:
            return None
        self._tried.add(candidate.id)
        return self.space.propose(candidate)

    def observe(self, proposal: Proposal, score: float | None) -> None:
        """The ranking stands."""
        self._tried.add(proposal.candidate.id)

    def _next(self) -> Candidate | None:
        if (listed := self.listed(self._tried)) is not None:
            return listed
        if self._ranked is None:
            self._ranked = deque(self._rank())
        while self._ranked:
            candidate = self._ranked.popleft()
            if candidate.id not in self._tried:
                return candidate
        return self.drawn(self._tried, self._rng, self.retries)

    # --- ranking

    def _rank(self) -> list[Candidate]:
        """Candidates of all supernets, best first."""
        found: list[tuple[float, int, Candidate]] = []
        for family in self.shared:
            net = self._trained(family)
            found += self._scored(family, net) if net.samples_paths else self._likely(family, net)
        return [candidate for _, _, candidate in sorted(found, key=lambda item: (-item[0], item[1]))]

    def _trained(self, family: str) -> Supernet:
        session = self.session
        left = session.seconds_left
        until = None if left is None else left * (1 - self.share / len(self.shared))

        def expired() -> bool:
            now = session.seconds_left
            return session.stopped or (until is not None and now is not None and now < until)

        net = Supernet(
            session.job,
            family,
            self.algorithm(),
            epochs=self.epochs or 4 * session.budget.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=self.seed,
        )
        net.train(expired)
        return net

    def _scored(self, family: str, net: Supernet) -> list[tuple[float, int, Candidate]]:
        """Different architectures from the prior with their shared-weight scores, and the order of their drawing."""
        found: dict[tuple[Option, ...], tuple[float, int, Candidate]] = {}
        for _ in range(4 * self.pool):
            candidate = self._draw(family, {})
            choices = {axis: candidate.choices[axis] for axis in self.shared[family]}
            key = tuple(choices.values())
            if key not in found:
                found[key] = (net.score(choices), len(found), candidate)
            if len(found) == self.pool:
                break
        return list(found.values())

    def _likely(self, family: str, net: Supernet) -> list[tuple[float, int, Candidate]]:
        """The most probable candidate, then draws; scored by the place in this list."""
        probabilities = net.probabilities()
        found = {(c := self._draw(family, net.best())).id: c}
        for _ in range(4 * self.pool):
            drawn = {}
            for axis in self.shared[family]:
                options, weights = zip(*probabilities[axis].items(), strict=True)
                drawn[axis] = options[pick(list(weights), self._rng)]
            candidate = self._draw(family, drawn)
            found.setdefault(candidate.id, candidate)
            if len(found) == self.pool:
                break
        return [(-float(place), place, candidate) for place, candidate in enumerate(found.values())]

    def _draw(self, family: str, fixed: Mapping[str, Option]) -> Candidate:
        """A candidate of the family from the prior, with some choices fixed."""
        prior = self.space.prior
        alone = dataclasses.replace(prior, families={name: float(name == family) for name in prior.families})
        axes = prior.axes[family]
        choices = {axis.name: axis.options[0] for axis in axes} | dict(alone.sample(self._rng).choices) | dict(fixed)
        return Candidate(family, active_choices(axes, choices))
