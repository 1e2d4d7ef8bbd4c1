"""Quick models with out-of-fold predictions for free: kernel ridge (left out) and extra trees (out of bag)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

# By judgement, as they bound the time (``+experiment=bench/label_errors`` prints it and how good they are).
LANDMARKS = 400  # rows that all others are compared with: a kernel of them stands for that of all
TREES, MANY = 60, 20  # fewer trees where classes are more than MANY: each costs as much as it has classes
_BLOCK = 4096
_JUDGED = 1000  # rows that a temperature is fitted to


@dataclass(frozen=True)
class KernelRidge:
    """Ridge regression on Nystroem features of a Gaussian kernel (Williams & Seeger 2001) and on the inputs.

    ``anchors``: (landmarks, d), the rows that the kernel compares with; ``root``: (landmarks, m);
    ``weights``: (m + d + 1, outputs). Inputs are scaled to a mean squared norm near 1.
    """

    anchors: np.ndarray
    gamma: float
    root: np.ndarray
    weights: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Outputs for the rows of x: (rows, outputs)."""
        m, d = self.root.shape[1], x.shape[1]
        on_kernel, on_inputs, offset = np.split(self.weights, [m, m + d])
        on_kernel = self.root @ on_kernel  # once, instead of the root for every row
        parts = [
            np.exp(-self.gamma * _square_distances(block, self.anchors)) @ on_kernel + block @ on_inputs + offset
            for block in (x[i : i + _BLOCK] for i in range(0, len(x), _BLOCK))
        ]
        return np.vstack(parts)


def fit_kernel_ridge(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, loss: Callable[[np.ndarray], float]
) -> tuple[KernelRidge, np.ndarray]:
    """Fit to x (rows, d) and y (rows, outputs); also the leave-one-out predictions, (rows, outputs).

    Width and ridge are those with the smallest ``loss`` of the leave-one-out predictions, which need no
    refit: the residual of the fit over one minus the leverage (Allen 1974).
    """
    n = len(x)
    anchors = x[np.sort(rng.choice(n, min(n, LANDMARKS), replace=False))]
    distances = _square_distances(anchors, anchors)
    typical = float(np.median(distances[np.triu_indices(len(anchors), 1)])) if len(anchors) > 1 else 1.0
    best: tuple[float, KernelRidge, np.ndarray] | None = None
    for factor in (0.25, 1.0, 4.0):
        gamma = factor / max(typical, 1e-12)
        values, vectors = np.linalg.eigh(np.exp(-gamma * distances))
        keep = values > 1e-6 * values[-1]
        root = vectors[:, keep] / np.sqrt(values[keep])
        z = _features(x, anchors, gamma, root)
        squares, basis = np.linalg.eigh(z.T @ z)
        zb = z @ basis
        target = zb.T @ y
        for ridge in (0.03, 0.3, 3.0):
            inverse = 1 / (np.maximum(squares, 0) + ridge)
            fitted = (zb * inverse) @ target
            leverage = np.minimum((zb**2) @ inverse, 1 - 1e-6)
            out = y - (y - fitted) / (1 - leverage[:, None])
            score = loss(out)
            if best is None or score < best[0]:
                weights = basis @ (inverse[:, None] * target)
                best = (score, KernelRidge(anchors, gamma, root, weights), out)
    assert best is not None
    return best[1], best[2]


def _square_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * (a @ b.T), 0)


def _features(x: np.ndarray, anchors: np.ndarray, gamma: float, root: np.ndarray) -> np.ndarray:
    kernel = np.exp(-gamma * _square_distances(x, anchors)) @ root
    return np.hstack([kernel, x, np.ones((len(x), 1))])


def class_probabilities(
    x: np.ndarray, y: np.ndarray, num_classes: int, fit: np.ndarray, seed: int
) -> tuple[np.ndarray, float]:
    """Calibrated class probabilities that no row had a part in itself: (rows, classes), and the share they
    get right.

    Two models of different kinds are fitted on the rows ``fit`` (positions); each one's scores are
    calibrated with one temperature (Guo et al. 2017) and the two are mixed by how well they tell the given
    labels. Rows outside ``fit`` are plainly predicted.
    """
    rng = np.random.default_rng(seed)
    rest = np.setdiff1d(np.arange(len(x)), fit)
    codes = np.eye(num_classes)[y[fit]] - 1 / num_classes
    model, out = fit_kernel_ridge(x[fit], codes, rng, lambda scores: _temperature(scores, y[fit])[1])
    ridge = np.zeros((len(x), num_classes))
    ridge[fit] = out
    if len(rest):
        ridge[rest] = model.predict(x[rest])
    trees = _forest_scores(x, y, num_classes, fit, rest, seed)
    scored = [(s, *_temperature(s[fit], y[fit])) for s in (ridge, trees)]
    best = min(loss for _, _, loss in scored)
    weights = np.array([np.exp(-20 * (loss - best)) for _, _, loss in scored])
    mixed = sum(w * softmax(s * t) for w, (s, t, _) in zip(weights / weights.sum(), scored, strict=True))
    assert isinstance(mixed, np.ndarray)
    return mixed, float((mixed.argmax(axis=1) == y).mean())


def _forest_scores(
    x: np.ndarray, y: np.ndarray, num_classes: int, fit: np.ndarray, rest: np.ndarray, seed: int
) -> np.ndarray:
    trees = max(20, min(TREES, TREES * MANY // num_classes))
    forest = ExtraTreesClassifier(trees, min_samples_leaf=2, bootstrap=True, oob_score=True, random_state=seed).fit(
        x[fit], y[fit]
    )
    probabilities = np.zeros((len(x), num_classes))
    columns = forest.classes_
    probabilities[np.ix_(fit, columns)] = np.nan_to_num(forest.oob_decision_function_)
    if len(rest):
        probabilities[np.ix_(rest, columns)] = forest.predict_proba(x[rest])
    return np.log(probabilities + 0.003)


def predicted_values(x: np.ndarray, y: np.ndarray, fit: np.ndarray, seed: int) -> np.ndarray:
    """Predictions of a numeric target that no row had a part in itself, shape (rows,): the mean of two
    models.
    """
    rng = np.random.default_rng(seed)
    rest = np.setdiff1d(np.arange(len(x)), fit)
    middle, spread = float(np.median(y[fit])), float(np.std(y[fit])) or 1.0
    scaled = ((y[fit] - middle) / spread)[:, None]
    model, out = fit_kernel_ridge(x[fit], scaled, rng, lambda p: float(np.mean(np.abs(p - scaled))))
    forest = ExtraTreesRegressor(TREES, min_samples_leaf=2, bootstrap=True, oob_score=True, random_state=seed)
    forest.fit(x[fit], scaled[:, 0])
    told = np.zeros(len(x))
    told[fit] = (out[:, 0] + forest.oob_prediction_) / 2
    if len(rest):
        told[rest] = (model.predict(x[rest])[:, 0] + forest.predict(x[rest])) / 2
    return middle + spread * told


def softmax(scores: np.ndarray) -> np.ndarray:
    """Rows to probabilities."""
    exps = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


def _temperature(scores: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The factor on the scores that makes the labels likeliest, and their mean negative log-likelihood in
    nats.
    """
    if len(y) > _JUDGED:
        some = np.linspace(0, len(y) - 1, _JUDGED).astype(np.int64)
        scores, y = scores[some], y[some]
    rows = np.arange(len(y))

    def loss(log_factor: float) -> float:
        return float(-np.mean(np.log(softmax(scores * np.exp(log_factor))[rows, y] + 1e-12)))

    found = minimize_scalar(loss, bounds=(-3, 6), method="bounded", options={"xatol": 0.02})
    return float(np.exp(found.x)), float(found.fun)
