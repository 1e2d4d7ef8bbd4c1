"""Fitting a calibration: temperature, decision, and the scores that sets and intervals are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from automl import metrics
from automl.data.weights import effective
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
    ``y``: class index or value, (rows,). ``rows``: which row of the data each is, (rows,), as copies stand for weights
    (``automl.data.weights``); None: no row stands twice.
    """

    prediction: np.ndarray
    y: np.ndarray
    spread: np.ndarray | None = None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def effective(self, some: np.ndarray | None = None) -> int:
        """How many rows these tell as much as, or those of the mask ``some``: see ``automl.data.weights.effective``."""
        if self.rows is None:
            return len(self) if some is None else int(np.count_nonzero(some))
        return effective(self.rows if some is None else self.rows[some])


def temperature_of(p: np.ndarray, y: np.ndarray, size: int | None = None) -> float:
    """The temperature that makes log-loss least (Guo et al. 2017, "On calibration of modern neural networks").

    1 unless the loss falls by more than one standard error of the difference: few rows would move it for nothing. A
    temperature below 1 is looked for as if one row in ``rows + 2`` were wrong (Platt 1999, "Probabilistic outputs for
    support vector machines"): where all rows are right, nothing else bounds how sure they make the model.
    ``size``: see ``Answers.effective``, None: all rows.
    """
    count = len(y) if size is None else size
    logs = np.log(np.clip(np.asarray(p, dtype=np.float64), metrics.SMALLEST, 1.0))

    def losses(log_t: float) -> np.ndarray:
        scaled = logs / np.exp(log_t)
        top = scaled.max(axis=1)
        return top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)) - scaled[np.arange(len(y)), y]

    def hedged(log_t: float) -> float:
        right = losses(log_t)
        wrong = -np.log(np.maximum(-np.expm1(-right), metrics.SMALLEST))
        return float((right + (wrong - right) / (count + 2)).mean())

    def least(loss: Callable[[float], float], low: float, high: float) -> float:
        found: Any = minimize_scalar(loss, bounds=(low, high), method="bounded")
        return float(found.x)

    best = least(lambda log_t: float(losses(log_t).mean()), np.log(COLDEST), np.log(HOTTEST))
    if best < 0:
        best = least(hedged, best, 0.0)
    gain = losses(0.0) - losses(best)
    sure = count > 1 and gain.mean() > gain.std(ddof=1) / np.sqrt(count)
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
    guaranteed, count = held is not None and alike, of.effective()
    if task.kind == "regression":
        offset = best_offset(judged)
        scores = np.abs(of.y - of.prediction) / widths(of.spread, offset, len(of))
        spreads = None if of.spread is None else kept(of.spread, count)
        return Calibration(task.kind, count, source, guaranteed, kept(scores, count), offset=offset, spreads=spreads)
    p, y = np.asarray(of.prediction, dtype=np.float64), of.y
    weights = metrics.decision(task.metric, judged.y, np.asarray(judged.prediction, dtype=np.float64), shares)
    scores = 1 - p[np.arange(len(y)), y]
    by_class = {int(c): of.effective(y == c) for c in np.unique(y)}
    return Calibration(
        task.kind,
        count,
        source,
        guaranteed,
        kept(scores, count),
        temperature=temperature,
        decision=tuple(weights.tolist()) if (weights != 1).any() else (),
        by_class={c: kept(scores[y == c], n) for c, n in by_class.items() if n >= CLASS_ROWS},
        venn=venn_abers(p[:, 1], y, count / len(of)) if task.num_outputs == 2 else None,
        sure=sure_of(p, y, weights, count / len(of)),
    )


def kept(scores: np.ndarray, size: int | None = None) -> Scores:
    """Ascending; evenly many of copies (``size``: see ``Answers.effective``, None: all), and of very many ``KEPT``. The
    largest is among them, so that a quantile is never too small.
    """
    values = np.sort(np.asarray(scores, dtype=np.float64))
    rows = len(values) if size is None else size
    most = min(rows, KEPT)
    if len(values) > most:
        values = values[np.ceil(np.arange(1, most + 1) * len(values) / most).astype(np.int64) - 1]
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


def venn_abers(p: np.ndarray, y: np.ndarray, each: float = 1.0) -> np.ndarray:
    """See ``Calibration.venn``: at ``PLACES`` of the probabilities of class 1 at most. ``each``: the part of a row that
    one of these is worth, as of copies.
    """
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
            value, weight = means.copy(), counts * each
            value[i] = (value[i] * weight[i] + label) / (weight[i] + 1)
            weight[i] += 1
            ends.append(float(isotonic_regression(value, sample_weight=weight)[i]))
        rows.append((float(place), *ends))
    return np.asarray(rows, dtype=np.float64)


def sure_of(p: np.ndarray, y: np.ndarray, weights: np.ndarray, each: float = 1.0) -> np.ndarray:
    """See ``Calibration.sure``: at ``PLACES`` thresholds at most. ``each``: see ``venn_abers``; rows are rounded
    down, errors up.
    """
    decided = decide(p, weights)
    confidence = p[np.arange(len(y)), decided]
    order = np.argsort(-confidence, kind="stable")
    confidence, wrong = confidence[order], np.cumsum(decided[order] != y[order])
    last = np.flatnonzero(np.append(confidence[1:] < confidence[:-1], True))  # equal ones are accepted together
    if len(last) > PLACES:
        last = last[np.linspace(0, len(last) - 1, PLACES).astype(np.int64)]
    accepted = np.maximum(np.floor(np.round((last + 1) * each, 9)), 1.0)
    return np.stack([confidence[last], accepted, np.ceil(np.round(wrong[last] * each, 9))], axis=1)


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
