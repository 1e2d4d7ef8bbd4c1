"""A linear head over sparse features in closed form: ridge regression by conjugate gradients."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_matrix, hstack
from scipy.special import log_softmax

Weighting = Literal["tfidf", "evidence"]
Sparse = Any  # a csr_matrix: the annotations of scipy do not know its operators
STRENGTHS = (10.0, 3.0, 1.0, 0.3, 0.1)  # of the shrinkage, for rows of length 1
SHARPNESS = np.logspace(-0.5, 2, 26)
HELD_OUT = 0.2  # share of the rows that choose the strength and the sharpness
STEPS = 30
BIAS = 10.0  # value of a constant feature: hardly shrunk


def sparse_head(
    x: Sparse, y: np.ndarray, classes: int, *, weighting: Weighting = "tfidf"
) -> tuple[np.ndarray, np.ndarray]:
    """Weight (features, outputs) and bias (outputs,) of logits; of values, one output, where ``classes`` is 0.

    x: float32 (rows, features), rows of length 1; y: class numbers, or values, (rows,). Classes are a ridge regression
    of -1 and 1 per class. Its scores are multiplied with the factor that gives the least log-loss on rows left out,
    which makes them logits. ``evidence``: per class, what a feature says for or against it (``log_count_ratio``)
    decides how little its weight is shrunk (NBSVM: Wang and Manning 2012, section 2.3). Costs some 200 passes over
    the entries.
    """
    aim = (2.0 * (y[:, None] == np.arange(classes)) - 1 if classes else y[:, None]).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(y))
    held, rest = np.split(order, [int(HELD_OUT * len(y))])
    weight = np.zeros((x.shape[1] + 1, aim.shape[1]), np.float32)
    best = np.inf, STRENGTHS[len(STRENGTHS) // 2], 1.0, weight
    if len(held):
        known, ahead, scale = with_constant(x[rest]), with_constant(x[held]), scales(x[rest], aim[rest], weighting)
        for strength in STRENGTHS:
            weight = conjugate_gradients(known, aim[rest], scale, strength, weight)
            scores = ahead @ (scale * weight)
            loss, sharpness = (
                sharpest(scores, y[held]) if classes else (float(np.square(scores - aim[held]).mean()), 1.0)
            )
            if loss < best[0]:
                best = loss, strength, sharpness, weight
    _, strength, sharpness, weight = best
    scale = scales(x, aim, weighting)
    found = sharpness * scale * conjugate_gradients(with_constant(x), aim, scale, strength, weight)
    return found[:-1], BIAS * found[-1]


def with_constant(x: Sparse) -> Sparse:
    return csr_matrix(hstack([x, np.full((x.shape[0], 1), BIAS, np.float32)], format="csr"))


def sharpest(scores: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The least log-loss of ``scores`` (rows, classes) times a factor, and that factor."""
    rows = np.arange(len(y))
    return min((float(-log_softmax(scores * s, axis=1)[rows, y].mean()), float(s)) for s in SHARPNESS)


def scales(x: Sparse, aim: np.ndarray, weighting: Weighting) -> np.ndarray:
    """float32 (features + 1, outputs): what each feature and the constant are multiplied with."""
    ones = np.ones((1, aim.shape[1]), np.float32)
    if weighting == "tfidf" or aim.shape[1] == 1:
        return np.repeat(ones, x.shape[1] + 1, axis=0)
    return np.vstack([np.abs(log_count_ratio(x, aim > 0)), ones])


def log_count_ratio(x: Sparse, of: np.ndarray) -> np.ndarray:
    """Logarithm of how much likelier a feature is in a class than in all others, float32 (features, classes).

    x: (rows, features), a feature is there where it is above 0; of: bool (rows, classes). Each count begins at 1.
    """
    there = csr_matrix((x > 0).T, dtype=np.float32)
    inside, outside = (1 + np.asarray(there @ rows.astype(np.float32)) for rows in (of, ~of))
    return np.log(inside / inside.sum(axis=0)) - np.log(outside / outside.sum(axis=0))


def conjugate_gradients(
    x: Sparse, aim: np.ndarray, scale: np.ndarray, strength: float, start: np.ndarray
) -> np.ndarray:
    """Weights w (features, outputs) near the minimum of |x (scale w) - aim|^2 + strength |w|^2, from ``start``.

    One system per output (Hestenes and Stiefel 1952), all at once.
    """
    back = csr_matrix(x.T)

    def normal(w: np.ndarray) -> np.ndarray:
        return scale * (back @ (x @ (scale * w))) + strength * w

    goal = scale * (back @ aim)
    w, residual = start.copy(), goal - normal(start)
    direction, size = residual.copy(), np.square(residual).sum(axis=0)
    enough = 1e-8 * np.square(goal).sum(axis=0)
    for _ in range(STEPS):
        if (size <= enough).all():
            break
        turned = normal(direction)
        step = size / np.maximum((direction * turned).sum(axis=0), 1e-30)
        w += step * direction
        residual -= step * turned
        before, size = size, np.square(residual).sum(axis=0)
        direction = residual + size / np.maximum(before, 1e-30) * direction
    return w
