"""The plain columns: numbers and categories, their shape and how they depend on each other."""

from __future__ import annotations

import math

import numpy as np

from metalearner.profile.sample import Group, Measured, Sample

_NUMBERS = {
    "table_mean_abs_skewness": "skewness of a numeric column without its sign, mean, no unit",
    "table_median_excess_kurtosis": "excess kurtosis of a numeric column, median, no unit",
    "table_outlier_share": "share of the numbers beyond 3 interquartile ranges",
    "table_distinct_share": "distinct values of a numeric column as a share of the rows, mean",
    "table_mode_share": "share of the rows with a numeric column's most frequent value, mean",
    "table_two_value_share": "share of the numeric columns with two values only",
    "table_mean_abs_correlation": "Pearson correlation of two numeric columns without its sign, mean",
    "table_max_abs_correlation": "Pearson correlation of two numeric columns without its sign, largest",
    "table_high_correlation_share": "share of the pairs of numeric columns that correlate beyond 0.9",
}
_CATEGORIES = {
    "table_log10_max_cardinality": "categories of the richest categorical column, log10",
    "table_mean_category_entropy_nats": "entropy of a categorical column, mean, nats",
    "table_rare_category_share": "share of the categorical cells whose category stands in fewer than 1 % of the rows",
}
FEATURES = {
    "table_log10_columns": "encoded columns, log10",
    "table_categorical_share": "share of the encoded columns that are categories",
    **_NUMBERS,
    **_CATEGORIES,
}
_MAX_COLUMNS = 300


def measure(sample: Sample) -> Measured:
    """On the largest tabular input; of very many columns the first 300 with values that differ."""
    spec, array = sample.one("tabular")
    x = np.nan_to_num(array.astype(np.float64), posinf=0, neginf=0)
    sizes = np.array(spec.cardinalities or (0,) * x.shape[1])
    numbers = x[:, sizes == 0]
    numbers = numbers[:, np.ptp(numbers, axis=0) > 0][:, :_MAX_COLUMNS]
    categories = x[:, sizes > 0].astype(np.int64)[:, :_MAX_COLUMNS]
    out: dict[str, float | str] = {
        "table_log10_columns": math.log10(len(sizes)),
        "table_categorical_share": float((sizes > 0).mean()),
    }
    out |= _numbers(numbers) if numbers.shape[1] else dict.fromkeys(_NUMBERS, "no numeric column that varies")
    if categories.shape[1]:
        out |= _categories(categories, sizes[sizes > 0])
    else:
        out |= dict.fromkeys(_CATEGORIES, "no categorical column")
    return out


def _numbers(x: np.ndarray) -> dict[str, float | str]:
    n, d = x.shape
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    low, high = np.quantile(x, [0.25, 0.75], axis=0)
    spread = high - low
    far = ((x < low - 3 * spread) | (x > high + 3 * spread)) & (spread > 0)
    ordered = np.sort(x, axis=0)
    steps = ordered[1:] != ordered[:-1]
    distinct = steps.sum(axis=0) + 1
    out: dict[str, float | str] = {
        "table_mean_abs_skewness": float(np.abs((scaled**3).mean(axis=0)).mean()),
        "table_median_excess_kurtosis": float(np.median((scaled**4).mean(axis=0) - 3)),
        "table_outlier_share": float(far.mean()),
        "table_distinct_share": float(distinct.mean() / n),
        "table_mode_share": float(np.mean([_longest_run(s) for s in steps.T]) / n),
        "table_two_value_share": float((distinct == 2).mean()),
    }
    if d < 2:
        reason = "only one numeric column that varies"
        return out | {k: reason for k in _NUMBERS if "correlation" in k}
    r = np.abs(scaled.T @ scaled / n)[np.triu_indices(d, 1)]
    return out | {
        "table_mean_abs_correlation": float(r.mean()),
        "table_max_abs_correlation": float(min(r.max(), 1.0)),
        "table_high_correlation_share": float((r > 0.9).mean()),
    }


def _longest_run(steps: np.ndarray) -> int:
    """Rows with the most frequent value, from where a sorted column changes."""
    edges = np.flatnonzero(np.concatenate([[True], steps, [True]]))
    return int(np.diff(edges).max())


def _categories(codes: np.ndarray, sizes: np.ndarray) -> dict[str, float]:
    entropies, rare = [], []
    for column in codes.T:
        shares = np.bincount(column) / len(column)
        shares = shares[shares > 0]
        entropies.append(float(-(shares * np.log(shares)).sum()))
        rare.append(float(shares[shares < 0.01].sum()))
    return {
        "table_log10_max_cardinality": math.log10(int(sizes.max())),
        "table_mean_category_entropy_nats": float(np.mean(entropies)),
        "table_rare_category_share": float(np.mean(rare)),
    }


GROUP = Group(FEATURES, measure)
