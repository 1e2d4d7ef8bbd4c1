"""A linear head over dense features, fitted at once: a logistic regression of classes, a ridge regression of values."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

STRENGTHS = np.logspace(1, -6, 15)  # of the shrinkage, relative to rows x mean variance of the features
CLASS_STRENGTHS = np.logspace(0, -6, 7)  # each costs a training
FOLDS = 5
FEW = 1e6  # rows x features x classes up to which all folds choose the strength; above, one of them
PASSES = 100  # of the solver, at most


def linear_head(x: np.ndarray, y: np.ndarray, classes: int, *, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight (features, outputs) and bias (outputs,) of logits; of values, one output, where ``classes`` is 0.

    x: (rows, features); y: class numbers, all below ``classes``, or values, (rows,). The strength of the shrinkage is
    the one that serves the rows left out: one at a time for values, a fold for classes. The bias is not shrunk.
    """
    x = x.astype(np.float64)
    unit = len(x) * max(float(x.var(axis=0).mean()), 1e-12)
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # training goes on from there
        if classes:
            return logistic(x, y, classes, unit)
        found: Any = RidgeCV(STRENGTHS * unit).fit(x, y)
    return found.coef_[:, None], np.array([found.intercept_])


def logistic(x: np.ndarray, y: np.ndarray, classes: int, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """As ``linear_head``. A class without a row gets no weight, and a bias well below all others."""
    seen = np.unique(y)
    weight, bias = np.zeros((x.shape[1], classes)), np.zeros(classes)
    if len(seen) > 1:
        found = solver(unit * best_strength(x, y, unit)).fit(x, y)
        sides = np.array([-0.5, 0.5]) if len(seen) == 2 else 1.0  # of two classes there is one score, their difference
        weight[:, seen], bias[seen] = found.coef_.T * sides, found.intercept_ * sides
    unseen = np.setdiff1d(np.arange(classes), seen)
    bias[unseen] = bias[seen].min() - np.log(1 + len(y))
    return weight, bias


def solver(shrinkage: float) -> LogisticRegression:
    return LogisticRegression(C=1 / shrinkage, max_iter=PASSES, warm_start=True)


def best_strength(x: np.ndarray, y: np.ndarray, unit: float) -> float:
    """The one of ``CLASS_STRENGTHS`` with the least log-loss on rows left out."""
    if len(y) < 2 * FOLDS:
        return float(np.median(CLASS_STRENGTHS))
    folds = list(KFold(FOLDS, shuffle=True, random_state=0).split(x))
    if x.size * len(np.unique(y)) > FEW:
        folds = folds[:1]
    losses = [held_out(x, y, unit * len(rest) / len(y), rest, held) for rest, held in folds]
    return float(CLASS_STRENGTHS[np.sum(losses, axis=0).argmin()])


def held_out(x: np.ndarray, y: np.ndarray, unit: float, rest: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Summed log-loss of the rows ``held`` at each strength, learned from the ``rest``. Where it has risen twice the
    weaker ones are not tried and count as the last.
    """
    losses = np.zeros(len(CLASS_STRENGTHS))
    if len(np.unique(y[rest])) < 2:
        return losses
    model = solver(1.0)
    known = held[np.isin(y[held], y[rest])]  # of a class that only the held rows have, nothing can be learned
    for i, strength in enumerate(CLASS_STRENGTHS):
        model.set_params(C=1 / (unit * strength)).fit(x[rest], y[rest])
        score = model.decision_function(x[known])
        score = np.stack([-score / 2, score / 2], axis=1) if score.ndim == 1 else score
        place = np.searchsorted(model.classes_, y[known])
        losses[i:] = -log_softmax(score, axis=1)[np.arange(len(known)), place].sum()
        if i > 1 and losses[i] > losses[i - 1] > losses[i - 2]:
            break
    return losses
