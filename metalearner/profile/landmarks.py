"""Landmarks: the error of small models on rows they have not seen (Pfahringer et al. 2000).

Three folds of the sample. Error is 1 - accuracy for classes and 1 - R2 for values, cut to [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from metalearner.profile.convolve import convolved
from metalearner.profile.flat import reduce_width, word_counts
from metalearner.profile.sample import Group, Measured, Sample, Unmeasurable

FEATURES = {
    "landmark_constant_error": "error of always telling the most frequent class, or the mean",
    "landmark_1nn_error": "error of the nearest neighbour",
    "landmark_linear_error": "error of ridge regression on the flat inputs",
    "landmark_stump_error": "error of a tree with one split",
    "landmark_tree_error": "error of a tree with at most 32 leaves",
    "landmark_random_features_error": "error of ridge regression on 256 random rectified features",
    "landmark_centroid_error": "error of the nearest class mean",
    "landmark_convolution_error": "error of ridge regression on pooled random convolutions (images, sound, series)",
    "landmark_word_pairs_error": "error of ridge regression on words and pairs of words (text)",
    "landmark_linear_gain_per_doubling": "error of ridge regression saved by twice the rows",
    "landmark_1nn_gain_per_doubling": "error of the nearest neighbour saved by twice the rows",
}
_RANDOM = 256

Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(fit rows, test rows) -> outputs for the test rows: (rows, outputs)."""


def measure(sample: Sample) -> Measured:
    """Every model on the same folds."""
    if len(sample) < 12:
        raise Unmeasurable(f"only {len(sample)} rows")
    out: dict[str, float | str] = {
        "landmark_constant_error": _error(sample, lambda fit, test: _constant(sample, fit, test)),
        "landmark_stump_error": _error(sample, lambda fit, test: _tree(sample, fit, test, leaves=2)),
        "landmark_tree_error": _error(sample, lambda fit, test: _tree(sample, fit, test, leaves=32)),
        "landmark_random_features_error": _ridge_error(sample, _random_features(sample)),
    }
    linear, near = _ridge_error(sample, sample.flat), _error(sample, _nearest(sample))
    out["landmark_linear_error"], out["landmark_1nn_error"] = linear, near
    out["landmark_linear_gain_per_doubling"] = _ridge_error(sample, sample.flat, half=True) - linear
    out["landmark_1nn_gain_per_doubling"] = _error(sample, _nearest(sample), half=True) - near
    if sample.is_regression:
        out["landmark_centroid_error"] = "the target has no classes"
    else:
        out["landmark_centroid_error"] = _error(sample, lambda fit, test: _centroid(sample, fit, test))
    return out | _by_modality(sample)


def _by_modality(sample: Sample) -> dict[str, float | str]:
    """The models that know of neighbourhood in a picture or a sentence, on the first input they fit."""
    out: dict[str, float | str] = {
        "landmark_convolution_error": "the task has no image, audio or series input",
        "landmark_word_pairs_error": "the task has no text input",
    }
    for spec, array in zip(sample.task.inputs, sample.inputs, strict=True):
        if spec.modality in ("image", "audio", "series"):
            features = convolved(spec, array, np.random.default_rng(sample.seed))
            out["landmark_convolution_error"] = _ridge_error(sample, features)
        elif spec.modality == "text":
            features = word_counts(array, pairs=True)
            out["landmark_word_pairs_error"] = _ridge_error(sample, reduce_width(features - features.mean(axis=0)))
    return out


def _error(sample: Sample, predict: Predict, half: bool = False) -> float:
    """Error over the three folds; ``half``: with every other fit row only."""
    told = np.zeros_like(sample.targets)
    for fold in range(3):
        fit, test = np.flatnonzero(sample.folds != fold), np.flatnonzero(sample.folds == fold)
        told[test] = predict(fit[::2] if half else fit, test)
    if sample.is_regression:
        y = sample.targets[:, 0]
        return float(np.clip(((y - told[:, 0]) ** 2).mean() / max(y.var(), 1e-12), 0, 1))
    return float((told.argmax(axis=1) != sample.y).mean())


def _constant(sample: Sample, fit: np.ndarray, test: np.ndarray) -> np.ndarray:
    if sample.is_regression:
        return np.full((len(test), 1), sample.targets[fit].mean())
    return np.tile(np.bincount(sample.y[fit], minlength=sample.task.num_outputs), (len(test), 1))


def _nearest(sample: Sample) -> Predict:
    def predict(fit: np.ndarray, test: np.ndarray) -> np.ndarray:
        near = fit[sample.square_distances[np.ix_(test, fit)].argmin(axis=1)]
        return _outputs(sample, sample.y[near]) if not sample.is_regression else sample.targets[near]

    return predict


def _centroid(sample: Sample, fit: np.ndarray, test: np.ndarray) -> np.ndarray:
    counts = np.bincount(sample.y[fit], minlength=sample.task.num_outputs)
    means = np.zeros((len(counts), sample.flat.shape[1]))
    np.add.at(means, sample.y[fit], sample.flat[fit])
    means /= np.maximum(counts, 1)[:, None]
    scores = 2 * sample.flat[test] @ means.T - (means**2).sum(axis=1)
    return np.where(counts > 0, scores, -np.inf)


def _tree(sample: Sample, fit: np.ndarray, test: np.ndarray, leaves: int) -> np.ndarray:
    maker = DecisionTreeRegressor if sample.is_regression else DecisionTreeClassifier
    tree = maker(max_leaf_nodes=leaves, min_samples_leaf=1 if leaves == 2 else 3, random_state=0)
    y = sample.targets[:, 0] if sample.is_regression else sample.y
    told = tree.fit(sample.flat[fit], y[fit]).predict(sample.flat[test])
    return told[:, None] if sample.is_regression else _outputs(sample, told)


def _outputs(sample: Sample, codes: np.ndarray) -> np.ndarray:
    return np.eye(sample.task.num_outputs)[codes.astype(np.int64)]


def _random_features(sample: Sample) -> np.ndarray:
    """Random directions, rectified: what the first layer of an untrained network gives."""
    rng = np.random.default_rng(sample.seed)
    d = sample.flat.shape[1]
    directions = rng.normal(size=(d, _RANDOM))
    offsets = rng.normal(size=_RANDOM) * 0.5
    return np.maximum(sample.flat @ directions + offsets, 0)


def _ridge_error(sample: Sample, x: np.ndarray, half: bool = False) -> float:
    spread = np.sqrt((x - x.mean(axis=0)).var(axis=0).sum())
    x = x / max(float(spread), 1e-12) * np.sqrt(x.shape[1])
    return _error(sample, lambda fit, test: ridge(x[fit], sample.targets[fit], x[test]), half)


def ridge(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Ridge regression of y (rows, outputs) on x (rows, d), told for new rows; the ridge is chosen by
    leaving one out.
    """
    mean, level = x.mean(axis=0), y.mean(axis=0)
    x, y = x - mean, y - level
    values, vectors = np.linalg.eigh(x.T @ x)
    values = np.maximum(values, 0)
    z = x @ vectors
    on_y = z.T @ y
    best, weights = np.inf, np.zeros_like(on_y)
    for penalty in (0.001, 0.01, 0.1, 1.0, 10.0):
        inverse = 1 / (values + penalty * len(x) * 0.1)
        leverage = np.minimum((z**2) @ inverse + 1 / len(x), 0.999)
        left_out = (y - z @ (inverse[:, None] * on_y)) / (1 - leverage)[:, None]
        loss = float((left_out**2).mean())
        if loss < best:
            best, weights = loss, inverse[:, None] * on_y
    return (new - mean) @ (vectors @ weights) + level


GROUP = Group(FEATURES, measure)
