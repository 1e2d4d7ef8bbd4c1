"""The greedy portfolio: candidates that complete each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl.types import Axes, Prior, Profile
from metalearner.learner import Learner
from metalearner.past.surfaces import expected_cost, inside, regrets
from metalearner.prior import prior_from_list, top_weights


@dataclass
class Portfolio(Learner):
    """Each next candidate lowers most the mean over past tasks of the best regret so far.

    Feurer et al., Auto-sklearn 2.0 (2022), section 3.1; Salinas and Erickson, TabRepo (2024). ``length`` is
    the portfolio's; ``limit`` bounds the candidates considered. ``per_second``: the one that lowers it most for its
    price (see ``greedy``); None leaves it to the search's budget.
    """

    length: int = 200
    limit: int = 4000
    per_second: bool | None = None

    def predict(self, profile: Profile, axes: Axes) -> Prior:
        """The same for every profile; past candidates outside ``axes`` are left out before the choice."""
        of = inside(self.history, axes, self.limit)
        if not len(of):
            return Prior.uniform(axes, why=("no past run fits this search space",))
        cost = expected_cost(self.history, of) if self.per_second else None
        chosen = greedy(regrets(self.history, of), self.length, cost)
        ranked = [self.history.candidates[of[i]] for i in chosen]
        by = " by gain per second" if self.per_second else ""
        why = (f"greedy portfolio of {len(ranked)} candidates{by} over {len(self.history.tasks)} past tasks",)
        return prior_from_list(axes, ranked, top_weights(len(ranked)), why, portfolio=self.length)


def greedy(regret: np.ndarray, length: int, cost: np.ndarray | None = None) -> np.ndarray:
    """Columns of ``regret`` (tasks, candidates) in greedy order, int (min(length, candidates),).

    ``cost``: (candidates,), of a training in usual ones. The gain is divided by the cost and that of a usual training,
    so that the cheapest count at most twice as much as a usual one; None: all cost the same. Ties, and what is left
    when nothing improves any more, go by the mean regret.
    """
    mean = regret.mean(axis=0)
    price = np.ones(len(mean)) if cost is None else cost + 1.0
    best = np.ones(len(regret))
    left = np.ones(regret.shape[1], bool)
    order = []
    for _ in range(min(length, regret.shape[1])):
        gain = best.mean() - np.minimum(best[:, None], regret).mean(axis=0)
        value = (gain + 1e-6 * (1 - mean)) / price
        order.append(int(np.argmax(np.where(left, value, -np.inf))))
        left[order[-1]] = False
        best = np.minimum(best, regret[:, order[-1]])
    return np.array(order, dtype=np.int64)
