"""The greedy portfolio: candidates that complete each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl.types import Axes, Prior, Profile
from metalearner.learner import Learner
from metalearner.past.surfaces import inside, regrets
from metalearner.prior import prior_from_list, top_weights


@dataclass
class Portfolio(Learner):
    """Each next candidate lowers most the mean over past tasks of the best regret so far.

    Feurer et al., Auto-sklearn 2.0 (2022), section 3.1; Salinas and Erickson, TabRepo (2024). ``length`` is
    the portfolio's; ``limit`` bounds the candidates considered.
    """

    length: int = 200
    limit: int = 4000

    def predict(self, profile: Profile, axes: Axes) -> Prior:
        """The same for every profile; past candidates outside ``axes`` are left out before the choice."""
        of = inside(self.history, axes, self.limit)
        if not len(of):
            return Prior.uniform(axes, why=("no past run fits this search space",))
        chosen = greedy(regrets(self.history, of), self.length)
        ranked = [self.history.candidates[of[i]] for i in chosen]
        why = (f"greedy portfolio of {len(ranked)} candidates over {len(self.history.tasks)} past tasks",)
        return prior_from_list(axes, ranked, top_weights(len(ranked)), why, portfolio=self.length)


def greedy(regret: np.ndarray, length: int) -> np.ndarray:
    """Columns of ``regret`` (tasks, candidates) in greedy order, int (min(length, candidates),).

    Ties, and what is left when nothing improves any more, go by the mean regret.
    """
    mean = regret.mean(axis=0)
    best = np.ones(len(regret))
    left = np.ones(regret.shape[1], bool)
    order = []
    for _ in range(min(length, regret.shape[1])):
        value = np.minimum(best[:, None], regret).mean(axis=0) + 1e-6 * mean
        order.append(int(np.argmin(np.where(left, value, np.inf))))
        left[order[-1]] = False
        best = np.minimum(best, regret[:, order[-1]])
    return np.array(order, dtype=np.int64)
