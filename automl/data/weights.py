"""Rows that weigh more than others: a row stands in an encoded part as often as it weighs.

So whatever learns or judges by that part honours the weights, a closed form, a tree, a metric or a calibration alike,
and none of them has to know. Copies of a row never part: they are made once the rows are split.
"""

from __future__ import annotations

import numpy as np

LEAST = 2_000
"""Copies in all where there are fewer rows: a weight is met to a fraction of the mean then. Where there are more, to
one copy of it, and by chance in proportion."""
MOST = 10
"""Copies of a row at most, on average. By judgement, like ``LEAST``: more copies meet the weights closer and make all
trainings longer."""


def copies_of(weight: np.ndarray, seed: int = 0) -> np.ndarray:
    """How often each row stands, int64 (rows,), for weights above 0 (rows,).

    Whole numbers that do not add up to too much are taken as they are. Else the sum is that of ``LEAST`` or of the
    rows, and what is between two whole numbers is drawn (systematic resampling, Kitagawa 1996), so that on average each
    row has exactly its share.
    """
    weight = np.asarray(weight, dtype=np.float64)
    total = min(max(len(weight), LEAST), MOST * len(weight))
    if weight.sum() <= total and (weight == np.round(weight)).all():
        return weight.astype(np.int64)
    start = np.random.default_rng([seed, 2]).random()
    ends = np.floor(np.cumsum(weight / weight.max()) / (weight / weight.max()).sum() * total + start)
    return np.diff(ends, prepend=0.0).astype(np.int64)


def effective(rows: np.ndarray) -> int:
    """How many rows of equal weight tell as much as these positions: a copy tells nothing new (the effective sample
    size, Kish 1965, "Survey sampling").
    """
    counts = np.unique(rows, return_counts=True)[1]
    return int(counts.sum() ** 2 // max((counts**2).sum(), 1))


def repeated(rows: np.ndarray, copies: np.ndarray, weight: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Positions of a part, each as often as it stands, ascending as they came.

    ``rows``: int (n,). ``copies``, ``weight``: of all rows. ``strata``: the class of each row, or one for all; none of
    them vanishes: where no row of one stands, its heaviest does once.
    """
    counts = copies[rows].copy()
    for stratum in np.unique(strata[rows]):
        of = np.flatnonzero(strata[rows] == stratum)
        if not counts[of].any():
            counts[of[weight[rows[of]].argmax()]] = 1
    return np.repeat(rows, counts)
