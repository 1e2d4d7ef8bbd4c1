"""What did well on the past tasks whose profiles are nearest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl.types import Axes, Prior, Profile
from metalearner.learner import Learner
from metalearner.past.features import ProfileScaler
from metalearner.past.surfaces import inside, normal_scores
from metalearner.portfolio import LIMIT
from metalearner.prior import prior_from_list, top_weights


@dataclass
class Nearest(Learner):
    """Ranks candidates by their mean score over past tasks, each weighted by how near its profile is.

    Feurer et al., Initializing Bayesian Hyperparameter Optimization via Meta-Learning (2015). Distance is
    the mean absolute difference of rank-scaled features; the weight is exp(-d^2 / 2h^2) with h the distance
    to the ``neighbours``-th past task: 5 by judgement, fewer follow one task's luck. Without any profile all tasks
    weigh the same.
    """

    neighbours: int = 5
    limit: int = LIMIT

    def predict(self, profile: Profile, axes: Axes) -> Prior:
        of = inside(self.history, axes, self.limit)
        if not len(of):
            return Prior.uniform(axes, why=("no past run fits this search space",))
        scaler = ProfileScaler(self.history.profiles)
        distance = np.abs(scaler(self.history.profiles) - scaler([profile])).sum(axis=1) / max(1, len(scaler.names))
        width = max(float(np.sort(distance)[min(self.neighbours, len(distance)) - 1]), 1e-3)
        weight = np.exp(-0.5 * (distance / width) ** 2) + 1e-9
        weight /= weight.sum()
        score = weight @ normal_scores(self.history, of)[0]
        ranked = [self.history.candidates[of[i]] for i in np.argsort(-score, kind="stable")]
        return prior_from_list(axes, ranked, top_weights(len(ranked)), similar(self.history.tasks, weight))


def similar(tasks: tuple[str, ...], weight: np.ndarray, most: int = 5) -> tuple[str, ...]:
    """Lines for the report: the past tasks that count most."""
    order = np.argsort(-weight, kind="stable")[:most]
    return tuple(f"similar past task: {tasks[i]} (weight {weight[i]:.2f})" for i in order)
