"""A model of rank from profile and choices, by boosted trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from automl.types import Axes, Prior, Profile
from metalearner.learner import Learner
from metalearner.past.features import ProfileScaler, choice_matrix
from metalearner.past.surfaces import inside, normal_scores
from metalearner.portfolio import LIMIT
from metalearner.prior import prior_from_list, top_weights


@dataclass
class Surrogate(Learner):
    """Boosted trees from (profile, candidate) to the normal score of the rank within the task.

    Wistuba et al., Hyperparameter search space pruning (2015); the trees are those of scikit-learn.
    ``rows`` past trials at most are drawn, so that fitting takes seconds at any size. Past candidates are
    ranked by prediction.
    """

    rows: int = 20_000
    trees: int = 100
    limit: int = LIMIT
    seed: int = 0

    def predict(self, profile: Profile, axes: Axes) -> Prior:
        history = self.history
        of = inside(history, axes, self.limit)
        if not len(of):
            return Prior.uniform(axes, why=("no past run fits this search space",))
        z, ran = normal_scores(history, of)
        task, column = np.nonzero(ran)
        if len(task) > self.rows:
            kept = np.random.default_rng(self.seed).choice(len(task), self.rows, replace=False)
            task, column = task[kept], column[kept]
        candidates = [history.candidates[i] for i in of]
        choices = choice_matrix(candidates, candidates)
        mean = z.mean(axis=0)[:, None]  # what an axis cannot say of a candidate
        scaler = ProfileScaler(history.profiles)
        about = scaler(history.profiles)
        rows = np.hstack([about[task], choices[column], mean[column]])
        model = HistGradientBoostingRegressor(max_iter=self.trees, random_state=self.seed)
        model.fit(rows, z[task, column])
        asked = np.hstack([np.repeat(scaler([profile]), len(of), axis=0), choices, mean])
        order = np.argsort(-model.predict(asked), kind="stable")
        why = (f"boosted trees over {len(task)} past trials of {len(history.tasks)} tasks",)
        return prior_from_list(axes, [candidates[i] for i in order], top_weights(len(of)), why)
