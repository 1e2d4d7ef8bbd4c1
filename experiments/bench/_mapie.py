"""MAPIE's sets and intervals on the same answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from automl.uncertainty.calibrate import Answers


def mapie_size(rows: Answers, test: Answers, level: float) -> float:
    """Mean size of MAPIE's sets on the same probabilities, through an estimator that answers what it is given."""
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        def fit(self, x: np.ndarray, y: Any) -> Given:
            self.classes_, self.n_features_in_ = np.arange(x.shape[1]), x.shape[1]
            return self

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            return x

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x.argmax(1)

    p = rows.prediction / rows.prediction.sum(1, keepdims=True)
    of = SplitConformalClassifier(Given().fit(p, rows.y), confidence_level=level, conformity_score="lac", prefit=True)
    of.conformalize(p, rows.y)
    sets = of.predict_set(test.prediction / test.prediction.sum(1, keepdims=True))[1]
    return float(sets[:, :, 0].sum(1).mean())


def mapie_width(rows: Answers, test: Answers, level: float) -> float:
    """Mean width of MAPIE's intervals on the same values, likewise."""
    from mapie.regression import SplitConformalRegressor
    from sklearn.base import BaseEstimator, RegressorMixin

    class Given(RegressorMixin, BaseEstimator):
        def fit(self, x: np.ndarray, y: Any) -> Given:
            self.n_features_in_ = 1
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x[:, 0]

    known = np.asarray(rows.prediction, dtype=np.float64)[:, None]
    of = SplitConformalRegressor(Given().fit(known, rows.y), confidence_level=level, prefit=True)
    of.conformalize(known, np.asarray(rows.y, dtype=np.float64))
    ends = of.predict_interval(np.asarray(test.prediction, dtype=np.float64)[:, None])[1]
    return float((ends[:, 1, 0] - ends[:, 0, 0]).mean())
