"""A linear head over sparse features: a support vector machine for classes, a ridge regression for values."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_matrix, hstack
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from automl.models.closed_form.copies import copies, left_out
from automl.models.closed_form.fits import remembered
from automl.training.module import OutOfTime

Weighting = Literal["tfidf", "evidence"]
Sparse = Any  # a csr_matrix: the annotations of scipy do not know its operators
# By judgement: strengths about 0.5, which is scikit-learn's C = 1, each of which costs a training; more rows held out
# choose better and teach less.
STRENGTHS = (0.3, 1.0, 0.1, 3.0)  # of the shrinkage, for rows of length 1; where time is short the first are tried
SHARPNESS = np.logspace(-1, 2, 31)  # of the logits
HELD_OUT = 0.2  # share of the rows that choose the strength and the sharpness
BIAS = 1.0  # value of a constant feature: scikit-learn's ``intercept_scaling``
PASSES = 100  # of the solver, at most: scikit-learn has 1,000, but training goes on from here
FEWEST = 1_000  # rows, where time is short


@remembered
def sparse_head(
    x: Sparse, y: np.ndarray, classes: int, *, weighting: Weighting = "tfidf", until: float = math.inf
) -> tuple[tuple[np.ndarray, np.ndarray], bool]:
    """Weight (features, outputs) and bias (outputs,) of logits; of values, one output, where ``classes`` is 0.

    x: float32 (rows, features), rows of length 1; y: class numbers, or values, (rows,). Classes are one linear support
    vector machine each, with a squared hinge (Fan et al. 2008). Their scores are multiplied with the factor that gives
    the least log-loss on rows left out, which makes them logits. ``evidence``: per class, what a feature says for or
    against it (``log_count_ratio``) decides how little its weight is shrunk (NBSVM: Wang and Manning 2012, section
    2.3). The strength of the shrinkage is the one that serves the rows left out.

    ``until``: of ``time.monotonic()``; what would end later tries fewer strengths, leaves it at the rows that were not
    held out, and then learns from the first rows only. Raises OutOfTime when the fewest rows would take too long. What
    was fitted before in this process is known.
    """
    rows = in_time(x, y, classes, until)
    whole = rows == len(y)
    x, y = x[:rows], y[:rows]
    aim = y[:, None] == np.arange(classes) if classes else y[:, None].astype(np.float32)
    held, rest = left_out(copies(x, y), HELD_OUT, np.random.default_rng(0))
    best: tuple[float, float, float, np.ndarray | None] = np.inf, STRENGTHS[0], 1.0, None
    each, tried = 0.0, list[float]()
    if len(held):
        known, ahead, scale = with_constant(x[rest]), with_constant(x[held]), scales(x[rest], aim[rest], weighting)
        for strength in STRENGTHS:
            if any(min(strength, best[1]) < one < max(strength, best[1]) for one in tried):
                continue  # it has risen that way already
            tried.append(strength)
            began = time.monotonic()
            found = weights(known, aim[rest], scale, strength)
            scores = ahead @ found
            loss, sharpness = (
                sharpest(scores, y[held]) if classes else (float(np.square(scores - aim[held]).mean()), 1.0)
            )
            if loss < best[0]:
                best = loss, strength, sharpness, found
            each = max(each, time.monotonic() - began)
            if time.monotonic() + each * (1 + 1 / (1 - HELD_OUT)) > until:  # one more, and the one on all rows
                whole = whole and strength == STRENGTHS[-1]
                break
    _, strength, sharpness, found = best
    if found is None or time.monotonic() + each / (1 - HELD_OUT) <= until:
        found = weights(with_constant(x), aim, scales(x, aim, weighting), strength)
    else:
        whole = False
    found = sharpness * found
    return (found[:-1], BIAS * found[-1]), whole


def in_time(x: Sparse, y: np.ndarray, classes: int, until: float) -> int:
    """How many of the first rows there is time for, by what one class of all takes; see ``sparse_head``."""
    rows, outputs = x.shape[0], classes if classes > 2 else 1
    if math.isinf(until) or rows < 2:
        return rows
    aim = (y[:, None] == y[0]) if classes else y[:, None].astype(np.float32)
    began = time.monotonic()
    weights(with_constant(x), aim, None, STRENGTHS[0])
    needed = outputs * (time.monotonic() - began)
    left = max(until - time.monotonic(), 0.0)
    if needed * min(FEWEST / rows, 1.0) > left:
        raise OutOfTime(f"{outputs} linear models would take about {needed:.1f} s, {left:.1f} s are left")
    return rows if needed <= left else max(FEWEST, int(rows * left / needed))


def with_constant(x: Sparse) -> Sparse:
    return csr_matrix(hstack([x, np.full((x.shape[0], 1), BIAS, np.float32)], format="csr"))


def sharpest(scores: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The least log-loss of ``scores`` (rows, classes) times a factor, and that factor."""
    rows = np.arange(len(y))
    return min((float(-log_softmax(scores * s, axis=1)[rows, y].mean()), float(s)) for s in SHARPNESS)


def scales(x: Sparse, aim: np.ndarray, weighting: Weighting) -> np.ndarray | None:
    """float32 (features + 1, classes): what each feature and the constant are multiplied with; None for nothing."""
    if weighting == "tfidf" or aim.dtype != bool:
        return None
    return np.vstack([np.abs(log_count_ratio(x, aim)), np.ones((1, aim.shape[1]), np.float32)])


def log_count_ratio(x: Sparse, of: np.ndarray) -> np.ndarray:
    """Logarithm of how much likelier a feature is in a class than in all others, float32 (features, classes).

    x: (rows, features), a feature is there where it is above 0; of: bool (rows, classes). Each count begins at 1.
    """
    there = csr_matrix((x > 0).T, dtype=np.float32)
    inside, outside = (1 + np.asarray(there @ rows.astype(np.float32)) for rows in (of, ~of))
    return np.log(inside / inside.sum(axis=0)) - np.log(outside / outside.sum(axis=0))


def weights(x: Sparse, aim: np.ndarray, scale: np.ndarray | None, strength: float) -> np.ndarray:
    """float32 (features, outputs). ``aim``: bool (rows, classes), or values (rows, 1)."""
    found = np.zeros((x.shape[1], aim.shape[1]), np.float32)
    if aim.dtype != bool:
        found[:, 0] = Ridge(strength, fit_intercept=False, solver="sparse_cg", tol=1e-4).fit(x, aim[:, 0]).coef_
        return found
    both = aim.shape[1] == 2  # classes of two are each other's opposite
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for k, of in enumerate(aim.T[:1] if both else aim.T):
            if of.all() or not of.any():  # one side only: the constant says so
                found[-1, k] = (2 * of[0] - 1) / BIAS
                continue
            turned = x if scale is None else csr_matrix(x.multiply(scale[:, k]))
            solver = LinearSVC(C=0.5 / strength, fit_intercept=False, max_iter=PASSES, tol=1e-3, random_state=0)
            found[:, k] = solver.fit(turned, of).coef_[0] * (1 if scale is None else scale[:, k])
    if both:
        found[:, 1] = -found[:, 0]
    return found
