"""A linear head over dense features, fitted at once: a logistic regression of classes, a ridge regression of values."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GroupKFold, KFold
from threadpoolctl import threadpool_limits

from automl.models.closed_form.copies import copies
from automl.models.closed_form.fits import remembered

# By judgement, but for scikit-learn's FOLDS and PASSES: a grid too narrow or too coarse misses the strength that serves
# the rows left out best; all others share the time that is given between more rows and a better choice.
STRENGTHS = np.logspace(1, -6, 15)  # of the shrinkage, relative to rows x mean variance of the features
CLASS_STRENGTHS = np.logspace(0, -6, 7)  # each costs a training
FOLDS = 5
FEW = 1e6  # rows x features x classes up to which all folds choose the strength; above, one of them
PASSES, LEAST_PASSES = 100, 10  # of the solver: at most, and where time is short
LAST = 0.25  # of the time: what one fit of classes may take, the last one among them
PROBED = 200  # rows on which the price of a ridge regression is measured
STEP = 0.1
"""Of a prediction, per unit of a change of the weights that go on from this head, over all features: it is near what is
best. By judgement: the learning rates of all families are meant for it, a larger one would undo the start."""


@remembered
def linear_head(
    x: np.ndarray, y: np.ndarray, classes: int, *, threads: int, until: float = math.inf
) -> tuple[tuple[np.ndarray, np.ndarray], bool]:
    """Weight (features, outputs) and bias (outputs,) of logits; of values, one output, where ``classes`` is 0.

    x: (rows, features); y: class numbers, all below ``classes``, or values, (rows,). The strength of the shrinkage is
    the one that serves the rows left out: one at a time for values, a fold for classes. The bias is not shrunk.
    ``until``: of ``time.monotonic()``; what would end later learns from the first rows only, in fewer passes, and
    with fewer strengths tried. What was fitted before in this process is known.
    """
    x, rows = x.astype(np.float64), len(x)
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # training goes on from there
        warnings.filterwarnings("ignore", message="The number of unique classes")  # they are classes all the same
        if classes:
            return logistic(x, y, classes, until)
        x, y = in_time(x, y, until)
        of = copies(x, y)
    first, times = np.unique(of, return_index=True, return_counts=True)[1:]
    found: Any = RidgeCV(STRENGTHS * unit_of(x)).fit(x[first], y[first], times if len(first) < len(y) else None)
    return (found.coef_[:, None], np.array([found.intercept_])), len(x) == rows


def unit_of(x: np.ndarray) -> float:
    """What the strengths are relative to: rows x mean variance of the features."""
    return len(x) * max(float(x.var(axis=0).mean()), 1e-12)


def in_time(x: np.ndarray, y: np.ndarray, until: float) -> tuple[np.ndarray, np.ndarray]:
    """As many of the first rows as a ridge regression of values has time for, at least ``PROBED``.

    It costs rows x features x the fewer of both, measured on ``PROBED`` rows.
    """
    rows = len(x)
    if math.isinf(until) or rows <= PROBED:
        return x, y
    began = time.monotonic()
    RidgeCV(STRENGTHS).fit(x[:PROBED], y[:PROBED])
    unit = (time.monotonic() - began) / (PROBED * min(PROBED, x.shape[1]))
    left = until - time.monotonic()
    while rows > PROBED and unit * rows * min(rows, x.shape[1]) > left:
        rows = max(PROBED, rows * 3 // 4)
    return x[:rows], y[:rows]


def logistic(x: np.ndarray, y: np.ndarray, classes: int, until: float) -> tuple[tuple[np.ndarray, np.ndarray], bool]:
    """As ``linear_head``, and whether the clock took nothing from it. A class without a row gets no weight, and a bias
    well below all others.
    """
    rows, passes, each = affordable(x, y, until)
    whole = rows == len(x) and passes == PASSES
    x, y = x[:rows], y[:rows]
    seen = np.unique(y)
    weight, bias = np.zeros((x.shape[1], classes)), np.zeros(classes)
    if len(seen) > 1:
        unit = unit_of(x)
        strength = best_strength(x, y, unit, passes, until - passes * each)
        whole = whole and time.monotonic() <= until - passes * each
        found = solver(unit * strength, passes).fit(x, y)
        sides = np.array([-0.5, 0.5]) if len(seen) == 2 else 1.0  # of two classes there is one score, their difference
        weight[:, seen], bias[seen] = found.coef_.T * sides, found.intercept_ * sides
    unseen = np.setdiff1d(np.arange(classes), seen)
    bias[unseen] = bias[seen].min() - np.log(1 + len(y))
    return (weight, bias), whole


def affordable(x: np.ndarray, y: np.ndarray, until: float) -> tuple[int, int, float]:
    """How many rows, how many passes of the solver at most, and the seconds of a pass over these rows, so that one fit
    takes no more than ``LAST`` of the time.
    """
    if math.isinf(until) or len(np.unique(y)) < 2:
        return len(x), PASSES, 0.0
    began = time.monotonic()
    solver(unit_of(x), 2).fit(x, y)
    each = (time.monotonic() - began) / 2
    room = LAST * max(until - time.monotonic(), 0.0)
    share = min(room / (LEAST_PASSES * each), 1.0)
    rows = max(int(share * len(x)), min(len(x), PROBED))
    each *= rows / len(x)
    return rows, int(np.clip(room / each, LEAST_PASSES, PASSES)), each


def solver(shrinkage: float, passes: int) -> LogisticRegression:
    return LogisticRegression(C=1 / shrinkage, max_iter=passes, warm_start=True)


def best_strength(x: np.ndarray, y: np.ndarray, unit: float, passes: int, until: float) -> float:
    """The one of ``CLASS_STRENGTHS`` with the least log-loss on rows left out, of those tried by ``until``."""
    middle = float(np.median(CLASS_STRENGTHS))
    if len(y) < 2 * FOLDS or time.monotonic() > until:
        return middle
    of = copies(x, y)
    if of[-1] + 1 < len(y) and of[-1] + 1 >= FOLDS:
        folds = list(GroupKFold(FOLDS, shuffle=True, random_state=0).split(x, groups=of))
    else:
        folds = list(KFold(FOLDS, shuffle=True, random_state=0).split(x))
    if x.size * len(np.unique(y)) > FEW:
        folds = folds[:1]
    losses = np.zeros(len(CLASS_STRENGTHS))
    for i, (rest, held) in enumerate(folds):
        if i and time.monotonic() > until:
            break
        losses += held_out(x, y, unit * len(rest) / len(y), rest, held, passes, until)
    return float(CLASS_STRENGTHS[losses.argmin()]) if losses.any() else middle


def held_out(
    x: np.ndarray, y: np.ndarray, unit: float, rest: np.ndarray, held: np.ndarray, passes: int, until: float
) -> np.ndarray:
    """Summed log-loss of the rows ``held`` at each strength, learned from the ``rest``. Where it has risen twice, and
    after ``until``, the weaker ones are not tried and count as the last. All 0 where these rows tell nothing.
    """
    losses = np.zeros(len(CLASS_STRENGTHS))
    known = held[np.isin(y[held], y[rest])]  # of a class that only the held rows have, nothing can be learned
    if len(np.unique(y[rest])) < 2 or not len(known):
        return losses
    model = solver(1.0, passes)
    for i, strength in enumerate(CLASS_STRENGTHS):
        model.set_params(C=1 / (unit * strength)).fit(x[rest], y[rest])
        score = model.decision_function(x[known])
        score = np.stack([-score / 2, score / 2], axis=1) if score.ndim == 1 else score
        place = np.searchsorted(model.classes_, y[known])
        losses[i:] = -log_softmax(score, axis=1)[np.arange(len(known)), place].sum()
        if (i > 1 and losses[i] > losses[i - 1] > losses[i - 2]) or time.monotonic() > until:
            break
    return losses
