"""Labels that are likely wrong: what quick models, which have not seen the row, are sure to call otherwise.

Confident learning (Northcutt et al. 2021) judges a label by its out-of-fold probability, each class by its
own measure. Here the probabilities are calibrated first, and the bar is lower the more classes there are:
see ``suspects``. With 5 % of flipped labels this finds more of them with fewer false alarms than the filters
of cleanlab do on the same probabilities; ``+experiment=bench/label_errors`` prints both.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from cleanlab.rank import get_label_quality_scores

from automl.data.quality.quick import class_probabilities, predicted_values

FLOOR, SLOPE, HALF = 0.03, 0.3, 0.5
"""Of the bar below which a label's own probability must be, see ``suspects``: ``+experiment=bench/label_errors``."""

WEAK = 0.8
"""Below this accuracy the quick models cannot say much: only what they are surest of counts, and it is no
warning. By judgement: where classes overlap four in ten of those found are no faults (docs/benchmarks.md)."""

MIN_CLASS = 5
"""Rows of a class, of which fewer are not judged: as many as ``target.RARE``."""

MAX_FIT = 2500
"""Rows that the quick models are fitted on; the others are predicted. It bounds the time."""

FAR = 15.0
"""Robust standard deviations of the residual from which a numeric target is a suspect. By judgement: with less every
heavy tail is one, with more slips of a digit pass."""


@dataclass(frozen=True)
class Suspects:
    """Rows (positions among those judged) whose label is likely wrong, most suspicious first.

    ``suggested``: class codes or values the models expect there. ``quality``: the calibrated probability of
    the given label, shape (rows,), or the residual in robust standard deviations. ``accuracy``: of the quick
    models.
    """

    rows: np.ndarray
    suggested: np.ndarray
    quality: np.ndarray
    accuracy: float

    @property
    def weak(self) -> bool:
        return self.accuracy < WEAK


def find_label_errors(x: np.ndarray, y: np.ndarray, *, seed: int = 0, max_fit: int = MAX_FIT) -> Suspects:
    """Suspects among the rows of x (rows, features) with class codes y (rows,) from 0 on."""
    num_classes = int(y.max()) + 1
    fit = stratified(y, max_fit, np.random.default_rng(seed))
    probabilities, accuracy = class_probabilities(x, y, num_classes, fit, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cleanlab warns of classes that a sample lacks
        quality = get_label_quality_scores(y, probabilities, method="self_confidence")
    bad = suspects(probabilities, y, quality, sure=0.5 if accuracy >= WEAK else WEAK)
    return Suspects(bad, probabilities.argmax(axis=1)[bad], quality, accuracy)


def suspects(probabilities: np.ndarray, y: np.ndarray, quality: np.ndarray, sure: float = 0.5) -> np.ndarray:
    """Positions of the labels that are likely wrong, most suspicious first.

    ``quality``: the calibrated probability of the given label. A label is a suspect when another class has
    more than ``sure``, and its own less than ``FLOOR + SLOPE / classes`` and less than half of what labels
    of its class have on average: else every row of a rare class would be one.
    """
    size = np.bincount(y)
    usual = np.bincount(y, quality) / np.maximum(size, 1)
    bar = np.minimum(FLOOR + SLOPE / probabilities.shape[1], HALF * usual)
    sure_of_other = (probabilities.argmax(axis=1) != y) & (probabilities.max(axis=1) > sure)
    bad = np.flatnonzero(sure_of_other & (quality < bar[y]) & (size[y] >= MIN_CLASS))
    return bad[np.argsort(quality[bad], kind="stable")]


def find_value_errors(x: np.ndarray, y: np.ndarray, *, seed: int = 0, max_fit: int = MAX_FIT) -> Suspects:
    """Suspects among the rows of x with a numeric target y (rows,)."""
    rng = np.random.default_rng(seed)
    fit = np.sort(rng.choice(len(y), min(len(y), max_fit), replace=False))
    told = predicted_values(x, y, fit, seed)
    residual = np.abs(y - told)
    spread = 1.4826 * float(np.median(residual))
    distance = residual / max(spread, 1e-12 * max(float(np.std(y)), 1e-300))
    bad = np.flatnonzero(distance > FAR)
    bad = bad[np.argsort(-distance[bad], kind="stable")]
    r2 = 1 - float(np.mean((y - told) ** 2)) / max(float(np.var(y)), 1e-300)
    return Suspects(bad, told[bad], distance, r2)


def stratified(y: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most ``most`` positions, sorted, each class with its share and its first ``MIN_CLASS`` rows at
    least.
    """
    if len(y) <= most:
        return np.arange(len(y))
    order = rng.permutation(len(y))
    rank = pd.Series(y[order]).groupby(y[order]).cumcount().to_numpy()
    size = np.bincount(y)[y[order]]
    return np.sort(order[(rank < MIN_CLASS) | (rank < size * most / len(y))])
