"""The mean-rank list: what did well on average comes first. Needs no intelligence and is hard to beat."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from automl.types import Axes, Candidate, Prior, Profile
from metalearner.learner import Learner
from metalearner.past.history import History
from metalearner.prior import fits, prior_from_list, top_weights


@dataclass
class MeanRank(Learner):
    """Ranks past candidates by their mean rank over past tasks.

    A candidate seen on few tasks is drawn towards the middle: mean = (sum of ranks + 0.5 k) / (tasks + k), with
    ``k = shrink`` pseudo-tasks (one, as in Jeffreys' estimate of a share). Where all candidates ran on all tasks the
    order is that of the plain mean.
    """

    shrink: float = 1.0
    _ranked: tuple[Candidate, ...] = field(default=(), init=False, repr=False)

    def fit_history(self, history: History) -> MeanRank:
        self.history = history
        order = np.argsort(-mean_rank(history, self.shrink), kind="stable")
        self._ranked = tuple(history.candidates[i] for i in order)
        return self

    def predict(self, profile: Profile, axes: Axes) -> Prior:
        """The list is the same for every profile; past candidates outside ``axes`` are left out."""
        inside = [c for c in self._ranked if fits(c, axes)]
        if not inside:
            return Prior.uniform(axes, why=("no past run fits this search space",))
        why = (f"mean rank of {len(inside)} candidates over {len(self.history.tasks)} past tasks",)
        return prior_from_list(axes, inside, top_weights(len(inside)), why)


def mean_rank(history: History, shrink: float) -> np.ndarray:
    """Shrunken mean rank per candidate, float (candidates,), in [0, 1]; higher is better."""
    count = np.bincount(history.candidate, minlength=len(history.candidates))
    total = np.bincount(history.candidate, weights=history.rank, minlength=len(history.candidates))
    return (total + 0.5 * shrink) / (count + shrink)
