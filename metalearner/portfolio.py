"""The greedy portfolio: candidates that complete each other."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from automl.types import Axes, Candidate, Prior, Profile
from metalearner.learner import Learner
from metalearner.past.history import History
from metalearner.past.surfaces import expected_cost, inside, regrets
from metalearner.prior import prior_from_list, top_weights

LIMIT = 4000  # past candidates considered: by judgement, over three times those that ship; it bounds the time


@dataclass
class Portfolio(Learner):
    """Each next candidate lowers most the mean over past tasks of the best regret so far.

    Feurer et al., Auto-sklearn 2.0 (2022), section 3.1; Salinas and Erickson, TabRepo (2024). ``length`` is
    the portfolio's; ``limit`` bounds the candidates considered. ``per_second``: the one that lowers it most for its
    price (see ``greedy``); None leaves it to the search's budget.
    """

    length: int = 200
    limit: int = LIMIT
    per_second: bool | None = None
    _made: tuple[Axes, Prior] | None = field(default=None, init=False, repr=False)

    def fit_history(self, history: History) -> Portfolio:
        self.history, self._made = history, None
        return self

    def predict(self, profile: Profile, axes: Axes) -> Prior:
        """The same for every profile, and worked out once for a space: a search asks again after many of its trials.

        Past candidates outside ``axes`` are left out before the choice.
        """
        if self._made is None or self._made[0] != axes:
            self._made = axes, self._predicted(axes)
        return self._made[1]

    def _predicted(self, axes: Axes) -> Prior:
        ranked = chosen(self.history, axes, self.length, bool(self.per_second), self.limit)
        if not ranked:
            return Prior.uniform(axes, why=("no past run fits this search space",))
        by = " by gain per second" if self.per_second else ""
        why = (f"greedy portfolio of {len(ranked)} candidates{by} over {len(self.history.tasks)} past tasks",)
        return prior_from_list(axes, ranked, top_weights(len(ranked)), why, portfolio=self.length)


def chosen(history: History, axes: Axes, length: int, per_second: bool, limit: int = LIMIT) -> list[Candidate]:
    """The portfolio of a history: at most ``length`` of its candidates that fit the space, best first."""
    of = inside(history, axes, limit)
    if not len(of):
        return []
    cost = expected_cost(history, of) if per_second else None
    return [history.candidates[of[i]] for i in greedy(regrets(history, of), length, cost)]


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
