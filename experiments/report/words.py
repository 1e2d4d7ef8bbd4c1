"""Metrics in plain words, with what they are to be compared to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from automl.metrics import higher_is_better, redrawn, scores
from automl.types import Kind
from experiments.bootstrap import drawn_groups

NOISE = 1e-12  # what rounding leaves of a zero
EXACT = 1e15  # whole numbers up to here are told digit by digit

NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "log_loss": "Log loss",
    "roc_auc": "Area under the ROC curve",
    "f1_macro": "Mean F1",
    "brier": "Brier score",
    "ece": "Calibration error",
    "r2": "Explained variance (R²)",
    "rmse": "Root mean squared error",
    "mae": "Mean absolute error",
}

NO_TEST = "no test rows were held out"
MOST_DRAWN = 100_000  # rows from which on an interval is negligible, and takes seconds to draw

KINDS = {
    "binary": "choose one of two classes",
    "multiclass": "choose one of several classes",
    "regression": "predict a number",
}


def metric_name(metric: str) -> str:
    """The metric's name for people; an unknown one as it is."""
    return NAMES.get(metric, metric)


def explain(metric: str, value: float, classes: int) -> str:
    """One or two sentences on what this value says. Empty for an unknown metric."""
    percent = f"{100 * value:.1f}"
    guess = math.log(max(classes, 2))
    texts = {
        "accuracy": f"{percent} of 100 rows get the right class.",
        "balanced_accuracy": f"On average {percent} % of a class's rows are found; rare classes count fully.",
        "log_loss": f"How surprised the model is by the truth. 0 is perfect, {guess:.2f} is an even guess.",
        "roc_auc": "The chance that a row of a class is ranked above a row of another. 0.5 is a coin, 1 is perfect.",
        "f1_macro": "Balance of finding a class and being right when naming it, averaged over classes. 1 is perfect.",
        "brier": "Squared error of the probabilities. 0 is perfect, less is better.",
        "ece": f"Stated confidence and share of right answers differ by {percent} points on average.",
        "r2": f"{percent} % of the target's variance is explained. Always answering the mean gives 0, 1 is perfect.",
        "rmse": f"Predictions are typically {value:.4g} off, in the target's own unit; large errors weigh more.",
        "mae": f"Predictions are {value:.4g} off on average, in the target's own unit.",
    }
    return texts.get(metric, "")


def number(value: float | None) -> str:
    """A number as people read it: four decimals, or a few digits when it is large or small; a dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) < NOISE:
        return "0.0000"
    if abs(value) < 1e-3 or abs(value) >= EXACT:
        return f"{value:.3g}"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def amount(value: float) -> str:
    """A value of the user's as people write it: 16,670 and 0.0312 rather than 1.667e+04 and 0.031171."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else str(value)
    if value == round(value) and abs(value) < EXACT:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if 1000 <= abs(value) < EXACT else f"{value:.4g}"


def count(n: int, thing: str) -> str:
    """``1 trial``, ``2 trials``, ``1,000 trials``."""
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def as_metric(metric: str, score_value: float | None) -> float | None:
    """A trial's score (higher is better) as the metric's own value."""
    if score_value is None or metric not in NAMES:
        return score_value
    return score_value if higher_is_better(metric) else -score_value


def met(goal_met: bool | None) -> str:
    """What became of the goal."""
    return {True: "met", False: "not met"}.get(goal_met, "not judged")  # type: ignore[arg-type]


def without_a_model(kind: Kind, y: np.ndarray, classes: int) -> dict[str, float]:
    """Metrics of the best constant answer: the class shares, or the mean. ``y`` as in ``automl.metrics``.

    Not its calibration error: shares that were counted on these very rows are off by nothing, and no model is less.
    """
    if kind == "regression":
        constant = np.full(len(y), float(np.mean(y)))
    else:
        constant = np.tile(np.bincount(y, minlength=classes) / len(y), (len(y), 1))
    return {name: value for name, value in scores(kind, y, constant).items() if name != "ece"}


def interval(
    metric: str,
    kind: Kind,
    y: np.ndarray,
    prediction: np.ndarray,
    together: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> list[float] | None:
    """95 % of the metric, low and high, over redrawn rows (percentile bootstrap, Efron 1979): how far another test set
    may differ.

    ``together``: int (rows,); rows of one number depend on each other and are drawn together, None: each for itself.
    ``weights``: of the decision (``automl.metrics``), None: for the likeliest class. None when there are too many rows
    to redraw them often, as the interval is negligible then, or a single group, or none.
    """
    return _drawn(metric, kind, y, [(prediction, weights)], together)


def difference(
    metric: str,
    kind: Kind,
    y: np.ndarray,
    first: tuple[np.ndarray, np.ndarray | None],
    second: tuple[np.ndarray, np.ndarray | None],
    together: np.ndarray | None = None,
) -> list[float] | None:
    """The same of the first's metric less the second's, both on the same redrawn rows. Each: predictions and weights of
    the decision.
    """
    return _drawn(metric, kind, y, [first, second], together)


def _drawn(
    metric: str,
    kind: Kind,
    y: np.ndarray,
    of: Sequence[tuple[np.ndarray, np.ndarray | None]],
    together: np.ndarray | None,
) -> list[float] | None:
    """Ends for the first model's metric, less the second's where there is one."""
    times = min(400, max(100, 4_000_000 // of[0][0].size)) if 0 < len(y) <= MOST_DRAWN else 0
    groups = np.arange(len(y)) if together is None else together
    if times < 100 or len(np.unique(groups)) < 2:
        return None
    # A fixed decision, not one that each draw finds best.
    fixed = [(prediction, 1.0 if weights is None else weights) for prediction, weights in of]
    first, *second = [redrawn(metric, kind, y, p, drawn_groups(groups, times), w) for p, w in fixed]
    low, high = np.quantile(first - sum(second), [0.025, 0.975])
    return [float(low), float(high)] if higher_is_better(metric) else [float(-high), float(-low)]
