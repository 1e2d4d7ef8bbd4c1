"""The target: how many classes and how even, or how the values are spread."""

from __future__ import annotations

import math

import numpy as np

from metalearner.profile.sample import Group, Measured, Sample

_CLASSES = {
    "log10_classes": "classes, log10",
    "log10_rows_per_class": "training rows for each class, log10",
    "class_entropy_nats": "entropy of the classes, nats",
    "class_entropy_share": "entropy of the classes as a share of its greatest value",
    "majority_class_share": "share of the rows in the largest class",
    "minority_class_share": "share of the rows in the smallest class",
    "log10_class_imbalance": "largest over smallest class, log10",
}
_VALUES = {
    "target_skewness": "skewness of the target, no unit",
    "target_excess_kurtosis": "excess kurtosis of the target, no unit",
    "target_distinct_share": "distinct target values as a share of the rows",
    "target_mode_share": "share of the rows with the most frequent target value",
    "target_outlier_share": "share of the targets beyond 3 interquartile ranges",
}
FEATURES = {**_CLASSES, **_VALUES}


def measure(sample: Sample) -> Measured:
    """Classes over all rows; values on the sample."""
    if sample.is_regression:
        return {**dict.fromkeys(_CLASSES, "the target has no classes"), **_values(sample.y.astype(np.float64))}
    return {**_classes(sample), **dict.fromkeys(_VALUES, "the target is no number")}


def _classes(sample: Sample) -> dict[str, float]:
    counts = sample.class_counts
    present = counts[counts > 0]
    shares = present / present.sum()
    entropy = float(-(shares * np.log(shares)).sum())
    return {
        "log10_classes": math.log10(sample.task.num_outputs),
        "log10_rows_per_class": math.log10(sample.total / sample.task.num_outputs),
        "class_entropy_nats": entropy,
        "class_entropy_share": entropy / math.log(max(sample.task.num_outputs, 2)),
        "majority_class_share": float(shares.max()),
        "minority_class_share": float(shares.min()),
        "log10_class_imbalance": math.log10(present.max() / present.min()),
    }


def _values(y: np.ndarray) -> dict[str, float | str]:
    if np.ptp(y) == 0:
        return dict.fromkeys(_VALUES, "the target is the same in every row")
    scaled = (y - y.mean()) / y.std()
    low, high = np.quantile(y, [0.25, 0.75])
    _, counts = np.unique(y, return_counts=True)
    far = (y < low - 3 * (high - low)) | (y > high + 3 * (high - low))
    return {
        "target_skewness": float((scaled**3).mean()),
        "target_excess_kurtosis": float((scaled**4).mean() - 3),
        "target_distinct_share": len(counts) / len(y),
        "target_mode_share": float(counts.max() / len(y)),
        "target_outlier_share": float(far.mean()),
    }


GROUP = Group(FEATURES, measure)
