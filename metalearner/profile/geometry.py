"""The cloud of rows: how many directions it really has, and how the target lies in it."""

from __future__ import annotations

import math

import numpy as np

from metalearner.profile.sample import Group, Measured, Sample, Unmeasurable

FEATURES = {
    "log10_pca_dimensions_95": "principal components that hold 95 % of the variance, log10",
    "pca_first_share": "share of the variance in the first principal component",
    "log10_participation_dimension": "participation ratio of the variances, log10",
    "log10_twonn_dimension": "intrinsic dimension by the two nearest neighbours (Facco et al. 2017), log10",
    "max_target_dependence_share": "share of the target's variance that the best single feature tells linearly",
    "mean_target_dependence_share": "share of the target's variance that one feature tells linearly, mean",
    "neighbour_agreement_share": "share of the 5 nearest neighbours with the same class, or R2 of their mean target",
    "neighbour_separation_log10": "distance to the nearest other class over the own class, median, log10",
    "distance_concentration": "spread of the distances over their mean: small when all are alike (high dimension)",
}


def measure(sample: Sample) -> Measured:
    """On the flat matrix of the sample."""
    if len(sample) < 8:
        raise Unmeasurable(f"only {len(sample)} rows")
    if not sample.flat.any():
        raise Unmeasurable("every input is the same in every row")
    return {**_spectrum(sample.flat), **_neighbours(sample), **_dependence(sample)}


def _spectrum(x: np.ndarray) -> dict[str, float]:
    gram = x.T @ x if x.shape[1] <= x.shape[0] else x @ x.T
    variances = np.maximum(np.linalg.eigvalsh(gram)[::-1], 0)
    shares = variances / variances.sum()
    return {
        "log10_pca_dimensions_95": math.log10(int(np.searchsorted(np.cumsum(shares), 0.95)) + 1),
        "pca_first_share": float(shares[0]),
        "log10_participation_dimension": math.log10(float(1 / (shares**2).sum())),
    }


def _neighbours(sample: Sample) -> dict[str, float | str]:
    squares = sample.square_distances
    near = np.argpartition(squares, 5, axis=1)[:, :5]
    distances = np.sqrt(np.sort(np.take_along_axis(squares, near, axis=1), axis=1))
    finite = np.sqrt(squares[np.isfinite(squares)])
    out: dict[str, float | str] = {
        "log10_twonn_dimension": _twonn(distances),
        "distance_concentration": float(finite.std() / max(finite.mean(), 1e-12)),
    }
    if sample.is_regression:
        y = sample.targets[:, 0]
        told = y[near].mean(axis=1)
        out["neighbour_agreement_share"] = float(np.clip(1 - ((y - told) ** 2).mean(), -1, 1))
        out["neighbour_separation_log10"] = "the target has no classes"
        return out
    same = sample.y[:, None] == sample.y
    out["neighbour_agreement_share"] = float((sample.y[near] == sample.y[:, None]).mean())
    own = np.where(same, squares, np.inf).min(axis=1)
    other = np.where(same, np.inf, squares).min(axis=1)
    fit = np.isfinite(own) & np.isfinite(other) & (own > 0) & (other > 0)
    if fit.sum() < 5:
        out["neighbour_separation_log10"] = "too few rows with a neighbour of their own and of another class"
    else:
        out["neighbour_separation_log10"] = float(np.median(np.log10(other[fit] / own[fit])) / 2)
    return out


def _twonn(distances: np.ndarray) -> float | str:
    """The ratio of the two nearest distances follows a Pareto law whose exponent is the dimension."""
    first, second = distances[:, 0], distances[:, 1]
    fit = first > 1e-9 * second.max()
    ratios = np.sort(np.log(second[fit] / first[fit]))
    ratios = ratios[: int(0.9 * len(ratios))]  # the largest ratios break the law most
    if len(ratios) < 5 or ratios.sum() <= 0:
        return "too many rows are the same"
    # Maximum likelihood with the upper tenth censored.
    dimension = len(ratios) / (ratios.sum() + 0.1 / 0.9 * len(ratios) * ratios[-1])
    return math.log10(max(dimension, 1e-3))


def _dependence(sample: Sample) -> dict[str, float]:
    x, y = sample.flat, sample.targets
    x = x / np.maximum(x.std(axis=0), 1e-12)
    y = y[:, y.std(axis=0) > 0]
    if y.shape[1] == 0:
        return {"max_target_dependence_share": 0.0, "mean_target_dependence_share": 0.0}
    if sample.is_regression:
        told = (x.T @ (y[:, 0] / y[:, 0].std()) / len(x)) ** 2
    else:
        codes = sample.y
        counts = np.bincount(codes, minlength=sample.task.num_outputs)
        sums = np.zeros((len(counts), x.shape[1]))
        np.add.at(sums, codes, x)
        told = (sums**2 / np.maximum(counts, 1)[:, None]).sum(axis=0) / len(x)  # eta squared: between over total
    told = np.clip(told, 0, 1)
    return {
        "max_target_dependence_share": float(told.max()),
        "mean_target_dependence_share": float(told.mean()),
    }


GROUP = Group(FEATURES, measure)
