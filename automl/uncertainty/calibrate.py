"""Fitting a calibration: temperature, decision, and the scores that sets and intervals are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from automl import metrics
from automl.types import Task
from automl.uncertainty.sets import CLASS_ROWS, LEVELS, Calibration, Scores, decide, rank_of, widths

COLDEST, HOTTEST = 0.2, 5.0
"""Temperatures between which the best is looked for. By judgement: a model that asks for more is not mended by it."""
KEPT = 4096
"""Scores that are kept at most: a level is met to a four-thousandth then."""
PLACES = 200
"""Places at which isotonic regression and thresholds are told: to half a percent of the rows."""
OFFSETS = (0.1, 0.3, 1.0, 3.0)
"""Of the mean spread: what is tried to be added to a row's own. A grid by judgement; the judged rows choose from it."""
BAND = 0.95
"""Of data sets whose cover lies in what is told as the ``band``: the usual share."""
ROWS_OF = {
    "holdout": "rows that nothing else saw",
    "folds": "the rows of cross-validation, each predicted by networks that had not seen it",
    "valid": "the validation rows, which also chose the model",
}
"""Where a calibration's rows come from, by its ``source``, for people."""


@dataclass(frozen=True)
class Answers:
    """Predictions for rows whose answer is known.

    ``prediction``: probabilities (rows, classes) or values (rows,); ``spread``: of the members (rows,), None without;
    ``y``: class index or value, (rows,).
    """

    prediction: np.ndarray
    y: np.ndarray
    spread: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)


def temperature_of(p: np.ndarray, y: np.ndarray) -> float:
    """The temperature that makes log-loss least (Guo et al. 2017, "On calibration of modern neural networks").

    1 unless the loss falls by more than one standard error of the difference: few rows would move it for nothing. A
    temperature below 1 is looked for as if one row in ``rows + 2`` were wrong (Platt 1999, "Probabilistic outputs for
    support vector machines"): where all rows are right, nothing else bounds how sure they make the model.
    """
    logs = np.log(np.clip(np.asarray(p, dtype=np.float64), metrics.SMALLEST, 1.0))

    def losses(log_t: float) -> np.ndarray:
        scaled = logs / np.exp(log_t)
        top = scaled.max(axis=1)
        return top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)) - scaled[np.arange(len(y)), y]

    def hedged(log_t: float) -> float:
        right = losses(log_t)
        wrong = -np.log(np.maximum(-np.expm1(-right), metrics.SMALLEST))
        return float((right + (wrong - right) / (len(y) + 2)).mean())

    def least(loss: Callable[[float], float], low: float, high: float) -> float:
        found: Any = minimize_scalar(loss, bounds=(low, high), method="bounded")
        return float(found.x)

    best = least(lambda log_t: float(losses(log_t).mean()), np.log(COLDEST), np.log(HOTTEST))
    if best < 0:
        best = least(hedged, best, 0.0)
    gain = losses(0.0) - losses(best)
    sure = len(y) > 1 and gain.mean() > gain.std(ddof=1) / np.sqrt(len(y))
    return float(np.exp(best)) if sure else 1.0


def tempered(p: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at another temperature; the same as the graph's, see ``automl.training.predictor.Deployed``."""
    if temperature == 1:
        return np.asarray(p, dtype=np.float64)
    logs = np.log(np.clip(np.asarray(p, dtype=np.float64), metrics.SMALLEST, 1.0)) / temperature
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def calibrate(
    task: Task,
    judged: Answers,
    held: Answers | None,
    *,
    source: str,
    alike: bool,
    temperature: float = 1.0,
    shares: np.ndarray | None = None,
) -> Calibration:
    """The calibration of a model.

    ``judged``: answers for the rows by which it was chosen: they give the decision and what a spread is worth.
    ``held``: the deployed model's answers for rows that nothing else saw; None: the judged ones give the scores too.
    ``source``: which rows those are. ``alike``: whether rows stand for themselves; with an order in time or in groups
    they don't, and nothing is guaranteed. ``temperature``: in the predictions already. ``shares``: of the classes, see
    ``automl.metrics.decision``.
    """
    of = judged if held is None else held
    guaranteed = held is not None and alike
    if task.kind == "regression":
        offset = best_offset(judged)
        scores = np.abs(of.y - of.prediction) / widths(of.spread, offset, len(of))
        spreads = None if of.spread is None else kept(of.spread)
        return Calibration(task.kind, len(of), source, guaranteed, kept(scores), offset=offset, spreads=spreads)
    p, y = np.asarray(of.prediction, dtype=np.float64), of.y
    weights = metrics.decision(task.metric, judged.y, np.asarray(judged.prediction, dtype=np.float64), shares)
    scores = 1 - p[np.arange(len(y)), y]
    counts = np.bincount(y, minlength=task.num_outputs)
    return Calibration(
        task.kind,
        len(of),
        source,
        guaranteed,
        kept(scores),
        temperature=temperature,
        decision=tuple(weights.tolist()) if (weights != 1).any() else (),
        by_class={int(c): kept(scores[y == c]) for c in np.flatnonzero(counts >= CLASS_ROWS)},
        venn=venn_abers(p[:, 1], y) if task.num_outputs == 2 else None,
        sure=sure_of(p, y, weights),
    )


def kept(scores: np.ndarray) -> Scores:
    """Ascending; of very many ``KEPT``, the largest among them, so that a quantile is never too small."""
    values = np.sort(np.asarray(scores, dtype=np.float64))
    rows = len(values)
    if rows > KEPT:
        values = values[np.ceil(np.arange(1, KEPT + 1) * rows / KEPT).astype(np.int64) - 1]
    return Scores(rows, values)


def best_offset(judged: Answers) -> float | None:
    """What to add to a spread so that intervals of 90 % are narrowest on average; None: equal widths are.

    In units of the target. On the judged rows, so that rows that were held out stay untouched by any choice.
    """
    if judged.spread is None or not np.any(judged.spread > 0):
        return None
    errors = np.abs(judged.y - np.asarray(judged.prediction, dtype=np.float64))

    def width(offset: float | None) -> float:
        scale = widths(judged.spread, offset, len(judged))
        return float(np.quantile(errors / scale, 0.9) * scale.mean())

    tried = [float(share * judged.spread.mean()) for share in OFFSETS]
    best = min(tried, key=width)
    return best if width(best) < width(None) else None


def venn_abers(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """See ``Calibration.venn``: at ``PLACES`` of the probabilities of class 1 at most."""
    from sklearn.isotonic import isotonic_regression

    order = np.argsort(p, kind="stable")
    p, y = p[order], y[order].astype(np.float64)
    places = np.unique(p)
    if len(places) > PLACES:
        places = places[np.linspace(0, len(places) - 1, PLACES).astype(np.int64)]
    # Rows of one probability share one value: isotonic regression is of their means.
    at, first, counts = np.unique(p, return_index=True, return_counts=True)
    means = np.add.reduceat(y, first) / counts
    rows = []
    for place in places:
        i = int(np.searchsorted(at, place))
        ends = []
        for label in (0.0, 1.0):
            value, weight = means.copy(), counts.astype(np.float64)
            value[i] = (value[i] * weight[i] + label) / (weight[i] + 1)
            weight[i] += 1
            ends.append(float(isotonic_regression(value, sample_weight=weight)[i]))
        rows.append((float(place), *ends))
    return np.asarray(rows, dtype=np.float64)


def sure_of(p: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """See ``Calibration.sure``: at ``PLACES`` thresholds at most."""
    decided = decide(p, weights)
    confidence = p[np.arange(len(y)), decided]
    order = np.argsort(-confidence, kind="stable")
    confidence, wrong = confidence[order], np.cumsum(decided[order] != y[order])
    last = np.flatnonzero(np.append(confidence[1:] < confidence[:-1], True))  # equal ones are accepted together
    if len(last) > PLACES:
        last = last[np.linspace(0, len(last) - 1, PLACES).astype(np.int64)]
    return np.stack([confidence[last], last + 1.0, wrong[last].astype(np.float64)], axis=1)


def coverage(calibration: Calibration, test: Answers) -> dict[str, Any]:
    """By level, on the test rows: the share that is covered, the mean size of a set or width of an interval, the rows,
    and the band in which 95 % of such shares lie where the promise holds (beta-binomial, exactly).
    """
    found: dict[str, Any] = {}
    for level in LEVELS if len(test) else ():
        if rank_of(level, calibration.rows) > calibration.rows:
            continue
        if calibration.kind == "regression":
            ends = calibration.intervals(test.prediction, test.spread, level)
            covered = (ends[:, 0] <= test.y) & (test.y <= ends[:, 1])
            size = {"mean_width": float(np.mean(ends[:, 1] - ends[:, 0]))}
        else:
            sets = calibration.sets(test.prediction, level)
            covered = sets[np.arange(len(test)), test.y]
            size = {"mean_size": float(sets.sum(axis=1).mean())}
        found[f"{level:g}"] = {
            "covered": float(covered.mean()),
            "band": list(band(calibration.rows, len(test), level)),
            **size,
            "rows": len(test),
        }
    return found


def band(calibration_rows: int, test_rows: int, level: float) -> tuple[float, float]:
    """Between which shares of cover 95 % of exchangeable data sets of these sizes lie (Vovk 2012, "Conditional validity
    of inductive conformal predictors"): a draw of calibration rows covers Beta(k, n + 1 - k) of all rows.
    """
    from scipy.stats import betabinom  # a third of a second, and only a finished model asks

    k = rank_of(level, calibration_rows)
    low, high = betabinom.interval(BAND, test_rows, k, calibration_rows + 1 - k)
    return float(low) / test_rows, float(high) / test_rows


def told(calibration: Calibration, test: Answers) -> Mapping[str, Any]:
    """What result.json and the card say; ``test``: the deployed model's answers."""
    return {
        "source": calibration.source,
        "rows": calibration.rows,
        "guaranteed": calibration.guaranteed,
        "temperature": calibration.temperature,
        "decision": list(calibration.decision),
        "coverage": coverage(calibration, test),
    }
