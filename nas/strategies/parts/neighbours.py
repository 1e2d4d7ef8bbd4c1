"""Small changes of a good candidate, and how likely a change leads to another one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from automl.types import Axis, Candidate, Option, Prior

# Both by judgement: with less a wrong prior holds the search where it is, with more the prior's order is lost.
DECAY = 0.4  # of the likelihood per further step along an ordered axis
UNIFORM = 0.5  # share of the uniform distribution beside the prior's in where a change goes


class Neighbours:
    """The distribution of candidates around a parent.

    Each active axis changes with ``probability``: ordered numbers mostly by one step, names to anything, and where the
    prior expects more, more often. The family changes half as often; axes that both families have are
    then kept, the others are drawn from the prior.
    """

    def __init__(self, prior: Prior, probability: float) -> None:
        self.prior = prior
        self.probability = probability

    def draw(self, parent: Candidate, rng: np.random.Generator) -> Candidate:
        """One neighbour; never the parent itself unless the space holds nothing else."""
        candidate = parent
        for _ in range(20):
            candidate = self._draw(parent, rng)
            if candidate.id != parent.id:
                break
        return candidate

    def _draw(self, parent: Candidate, rng: np.random.Generator) -> Candidate:
        families = list(self.prior.axes)
        family = families[pick(self._families(parent.family), rng)]
        choices: dict[str, Option] = {}
        for axis in self.prior.axes[family]:
            if axis.is_active(choices):
                choices[axis.name] = axis.options[pick(self._axis(family, axis, parent), rng)]
        return Candidate(family, choices)

    def likelihood(self, parent: Candidate, candidate: Candidate) -> float:
        """Geometric mean over the decisions of the candidate (family and active axes) of their probabilities."""
        families = list(self.prior.axes)
        total = safe_log(self._families(parent.family)[families.index(candidate.family)])
        for axis in self.prior.axes[candidate.family]:
            if axis.name in candidate.choices:
                at = axis.options.index(candidate.choices[axis.name])
                total += safe_log(self._axis(candidate.family, axis, parent)[at])
        return math.exp(total / (1 + len(candidate.choices)))

    # --- the distribution of one decision

    def _families(self, now: str) -> np.ndarray:
        names = list(self.prior.axes)
        weights = blend([self.prior.families[name] for name in names])
        return kernel(names.index(now), weights, self.probability / 2, ordered=False)

    def _axis(self, family: str, axis: Axis, parent: Candidate) -> np.ndarray:
        weights = np.asarray(self.prior.weights[family][axis.name], dtype=float)
        now = parent.choices.get(axis.name)
        if axis.name not in parent.choices or now not in axis.options:
            return weights / weights.sum()
        return kernel(axis.options.index(now), blend(weights), self.probability, is_ordered(axis.options))


def mean_likelihood(prior: Prior, candidate: Candidate) -> float:
    """Geometric mean over the candidate's decisions of their probabilities under the prior."""
    return math.exp(prior.log_prob(candidate) / (1 + len(candidate.choices)))


def kernel(now: int, weights: np.ndarray, probability: float, ordered: bool) -> np.ndarray:
    """Stay with 1 - probability, else move by ``weights``, on an ordered axis rather near than far."""
    moves = weights.copy()
    if ordered:
        moves *= DECAY ** np.abs(np.arange(len(moves)) - now)
    moves[now] = 0.0
    if moves.sum() <= 0:
        moves[now] = 1.0
        return moves
    moves *= probability / moves.sum()
    moves[now] = 1 - probability
    return moves


def blend(weights: Sequence[float] | np.ndarray) -> np.ndarray:
    p = np.asarray(weights, dtype=float)
    return (1 - UNIFORM) * p / p.sum() + UNIFORM / len(p)


def is_ordered(options: Sequence[Option]) -> bool:
    return all(isinstance(o, int | float) and not isinstance(o, bool) for o in options)


def pick(weights: Sequence[float] | np.ndarray, rng: np.random.Generator) -> int:
    """Index drawn in proportion to the weights."""
    edges = np.cumsum(weights)
    return int(np.searchsorted(edges, rng.random() * edges[-1], side="right").clip(0, len(edges) - 1))


def safe_log(p: float) -> float:
    return math.log(p) if p > 0 else -math.inf
