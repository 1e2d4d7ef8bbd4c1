"""How good a prediction is: one name, one number, for search, report and users alike.

Predictions are probabilities ``(rows, classes)`` for classification and values ``(rows,)`` in the target's own unit for
regression. Every metric is finite for finite predictions, also when a class is absent from the rows (each function says
what it returns then), so a score can always be compared and written as JSON.

Which class is decided for is the one of the largest probability times its weight. Where a metric counts
rare classes fully the decision moves, not the probabilities: see ``decision``.

Plain NumPy: the training loop scores after every epoch, where scikit-learn's input checks would cost more than small
networks do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from automl.types import Kind

ECE_BINS = 15  # as Guo et al. 2017, section 5
EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Powers of the classes' shares that a decision may divide by: see ``decision``. A grid by judgement: the rows choose
from it, and a finer one would let few rows choose by luck."""
SMALLEST = 1e-7
"""Probabilities are clipped to [SMALLEST, 1] before a logarithm: the resolution of the float32 they come in."""


def accuracy(y: np.ndarray, p: np.ndarray) -> float:
    """Share of rows whose most probable class is the true one."""
    return float(np.mean(p.argmax(1) == y))


def balanced_accuracy(y: np.ndarray, p: np.ndarray) -> float:
    """Mean recall over the classes that occur in ``y``."""
    return float(np.mean(list(recalls(y, p).values())))


def recalls(y: np.ndarray, p: np.ndarray) -> dict[int, float]:
    """Recall of each class that occurs in ``y``."""
    right = p.argmax(1) == y
    return {int(c): float(np.mean(right[y == c])) for c in np.unique(y)}


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean negative log-likelihood in nats; rows are renormalised."""
    clipped = np.clip(p, SMALLEST, 1.0)
    return float(np.mean(np.log(clipped.sum(1)) - np.log(clipped[np.arange(len(y)), y])))


def roc_auc(y: np.ndarray, p: np.ndarray) -> float:
    """Area under the ROC curve: of class 1 for two classes, else the mean of one class against the rest.

    Classes without a positive or without a negative row have no curve and are left out; 0.5 (chance) when none has one.
    """
    areas = [_area(y == c, p[:, c]) for c in ((1,) if p.shape[1] == 2 else range(p.shape[1]))]
    defined = [a for a in areas if a is not None]
    return float(np.mean(defined)) if defined else 0.5


def _area(positive: np.ndarray, score: np.ndarray) -> float | None:
    """Probability that a positive row scores above a negative one, ties counting half (Mann-Whitney U)."""
    from scipy.stats import rankdata  # takes a second to import

    of, rest = int(positive.sum()), int((~positive).sum())
    if not of or not rest:
        return None
    return float((rankdata(score)[positive].sum() - of * (of + 1) / 2) / (of * rest))


def f1_macro(y: np.ndarray, p: np.ndarray) -> float:
    """Mean F1 over the classes that occur in ``y`` or are predicted."""
    guess = p.argmax(1)
    classes = p.shape[1]
    hit = np.bincount(y[guess == y], minlength=classes)
    total = np.bincount(y, minlength=classes) + np.bincount(guess, minlength=classes)
    return float(np.mean(2 * hit[total > 0] / total[total > 0]))


def brier(y: np.ndarray, p: np.ndarray) -> float:
    """Brier score: squared error of the probabilities; of class 1 alone for two classes, else summed over classes."""
    # (p - 1)² of the true class and p² of all others, without a matrix of ones and zeros
    error = np.einsum("rc,rc->r", p, p) - 2 * p[np.arange(len(y)), y] + 1
    return float(np.mean(error) / (2 if p.shape[1] == 2 else 1))


def ece(y: np.ndarray, p: np.ndarray) -> float:
    """Expected calibration error of the top label over 15 equal-width bins (Guo et al. 2017, eq. 3), in [0, 1]."""
    confidence, right = p.max(1), p.argmax(1) == y
    # Bin m holds confidences in ((m-1)/15, m/15].
    place = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    gap = np.bincount(place, weights=right - confidence, minlength=ECE_BINS)
    return float(np.abs(gap).sum() / len(y))


def r2(y: np.ndarray, value: np.ndarray) -> float:
    """Share of variance explained; when ``y`` is constant, 1 for a perfect prediction and else 0."""
    rest, total = float(np.sum((y - value) ** 2)), float(np.sum((y - y.mean()) ** 2))
    if total == 0:
        return 1.0 if rest == 0 else 0.0
    return 1 - rest / total


def rmse(y: np.ndarray, value: np.ndarray) -> float:
    """Root mean squared error, in the target's unit."""
    return float(np.sqrt(np.mean((y - value) ** 2)))


def mae(y: np.ndarray, value: np.ndarray) -> float:
    """Mean absolute error, in the target's unit."""
    return float(np.mean(np.abs(y - value)))


Metric = Callable[[np.ndarray, np.ndarray], float]
CLASSIFICATION: Mapping[str, Metric] = {
    f.__name__: f for f in (accuracy, balanced_accuracy, log_loss, roc_auc, f1_macro, brier, ece)
}
REGRESSION: Mapping[str, Metric] = {f.__name__: f for f in (r2, rmse, mae)}
DECIDED = frozenset({"accuracy", "balanced_accuracy", "f1_macro"})
"""Metrics that look at the decided classes only; MOVED: for which the decision is not the most probable class."""
MOVED = frozenset({"balanced_accuracy", "f1_macro"})
LOSSES = frozenset({"log_loss", "brier", "ece", "rmse", "mae"})


def _of(kind: Kind) -> Mapping[str, Metric]:
    return REGRESSION if kind == "regression" else CLASSIFICATION


def higher_is_better(name: str) -> bool:
    """Whether more of this metric is better. Raises ValueError for an unknown name."""
    if name not in CLASSIFICATION and name not in REGRESSION:
        raise ValueError(f"unknown metric {name!r}; metrics are: {', '.join((*CLASSIFICATION, *REGRESSION))}")
    return name not in LOSSES


def scores(
    kind: Kind,
    y: np.ndarray,
    prediction: np.ndarray,
    classes: Sequence[str] | None = None,
    *,
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """Every metric of the kind; with ``classes`` (their names) also ``recall[name]`` of each class that occurs.

    ``y``: class index or value, shape (rows,); ``prediction``: see the module. ``weights``: of the decision, for the
    metrics that look at decided classes; None: all 1. Raises ValueError for wrong shapes.
    """
    y, prediction = _checked(kind, y, prediction)
    decided = prediction if weights is None else prediction * weights
    found = {name: metric(y, decided if name in DECIDED else prediction) for name, metric in _of(kind).items()}
    if classes is not None and kind != "regression":
        found |= {f"recall[{classes[c]}]": r for c, r in recalls(y, decided).items()}
    return found


def score(
    metric: str, kind: Kind, y: np.ndarray, prediction: np.ndarray, weights: np.ndarray | float | None = None
) -> float:
    """One metric as a score, higher is better: losses are negated. Raises ValueError for one the kind has not.

    ``weights``: of the decision; None: those that suit the metric on these rows best (``decision``).
    """
    if metric not in _of(kind):
        raise ValueError(f"no metric {metric!r} for {kind}; metrics are: {', '.join(_of(kind))}")
    y, prediction = _checked(kind, y, prediction)
    if metric in (DECIDED if weights is not None else MOVED):
        prediction = prediction * (decision(metric, y, prediction) if weights is None else weights)
    value = _of(kind)[metric](y, prediction)
    return value if higher_is_better(metric) else -value


def redrawn(
    metric: str,
    kind: Kind,
    y: np.ndarray,
    prediction: np.ndarray,
    draws: Iterable[np.ndarray],
    weights: np.ndarray | float | None = None,
) -> np.ndarray:
    """``score`` of each draw, (draws,). ``draws``: positions of rows, where one may stand several times.

    Of roc_auc the rows are sorted once for each class, and not in every draw anew: with hundreds of classes that took
    minutes.
    """
    if metric != "roc_auc":
        return np.array([score(metric, kind, y[rows], prediction[rows], weights) for rows in draws])
    y, p = _checked(kind, y, prediction)
    counts = np.stack([np.bincount(rows, minlength=len(y)).astype(np.int32) for rows in draws], axis=1)
    total, defined = np.zeros(counts.shape[1]), np.zeros(counts.shape[1])
    for c in (1,) if p.shape[1] == 2 else range(p.shape[1]):
        area = _areas(y == c, p[:, c], counts)
        there = np.isfinite(area)
        total[there] += area[there]
        defined += there
    return np.where(defined > 0, total / np.maximum(defined, 1), 0.5)


def _areas(positive: np.ndarray, score: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``_area`` of draws, NaN where there is none. ``counts``: how often each row stands in each, int (rows, draws)."""
    order = np.argsort(score, kind="stable")
    known, positive, counts = score[order], positive[order], counts[order]
    mine = counts[positive]
    counts[positive] = 0
    rest = np.concatenate([np.zeros_like(counts[:1]), np.cumsum(counts, axis=0, dtype=counts.dtype)])
    below, upto = (rest[np.searchsorted(known, known[positive], side)] for side in ("left", "right"))
    of, others = mine.sum(axis=0), rest[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return (mine * (below + upto)).sum(axis=0) / 2 / (of * others)


def decision(metric: str, y: np.ndarray, p: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
    """Weights (classes,), largest 1, by which probabilities are multiplied before the largest is decided for.

    ``balanced_accuracy``: one over the classes' shares in ``y``, which is best where the probabilities are right, as a
    row of class c counts 1 / share(c) (Elkan 2001, "The foundations of cost-sensitive learning", theorem 1). They are
    not for a class of a row or two, which would then be the answer everywhere: where these rows are judged better by
    more than a standard error with a smaller power of ``EXPONENTS``, that is taken. ``f1_macro``: the best power; every
    other metric: all 1. A class that has no row has the weight of the rarest. ``shares``: of the classes, where more
    rows than these tell them.
    """
    if metric not in MOVED:
        return np.ones(p.shape[1])
    if shares is None:
        shares = np.bincount(y, minlength=p.shape[1]) / len(y)
    inverse = shares[shares > 0].min() / np.where(shares > 0, shares, shares[shares > 0].min())
    judged = [(_of("multiclass")[metric](y, p * inverse**power), power) for power in EXPONENTS]
    best, power = max(judged, key=lambda pair: pair[0])
    rows = np.bincount(y)
    error = float(np.sqrt((0.25 / rows[rows > 0]).sum())) / (rows > 0).sum()  # of a mean of recalls, at most
    if metric == "balanced_accuracy" and best - judged[-1][0] <= error:
        return inverse
    return inverse**power


def _checked(kind: Kind, y: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, prediction = np.asarray(y), np.asarray(prediction, dtype=np.float64)
    dimensions = 1 if kind == "regression" else 2
    if not len(y) or prediction.ndim != dimensions or len(prediction) != len(y):
        raise ValueError(f"{kind} needs rows and predictions of {dimensions} axes: {y.shape}, {prediction.shape}")
    return (y.astype(np.float64) if kind == "regression" else y.astype(np.int64)), prediction
