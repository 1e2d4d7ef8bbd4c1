"""How good the model is now: estimated from its own probabilities, and confirmed by the labels that came.

Without labels: were the probabilities right, the class that is decided for would be right as often as its probability
says. So the mean of these is the accuracy to expect ("confidence-based performance estimation" of NannyML). They are
never quite right, so where the accuracy was measured the change of their mean is added to it (difference of
confidences, Guillory et al. 2021, "Predicting with confidence on unseen distributions"). It sees rows that the model is
less sure of, not a relation that has changed, nor rows unlike all that it knows of which it is sure nevertheless. For
values nothing is estimated: how far they are off cannot be told from them.

With labels: shares with bounds that hold at all times at once, however often one looks (``bounds``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl import metrics
from automl.deploy.bundle import Bundle
from automl.errors import UserError
from automl.types import Task
from automl.uncertainty.sets import LEVELS, Calibration, decide, rank_of

if TYPE_CHECKING:
    from automl.monitor.answers import Labelled

UNIT = 1_000_000
"""Sums are kept in millionths, as whole numbers: two workers' sums are the same in any order."""
SUMS = ("sure", "variance", "log_loss")
SURE = 0.95
"""How sure the bounds are: the usual 95 %."""
SLACK = 0.6
"""Two standard errors of the cover at 90 %, times the square root of the calibration rows: these are a sample too."""


def sums_size(task: Task) -> int:
    return 0 if task.kind == "regression" else len(SUMS) + 2 * task.num_outputs


def sums_of(task: Task, p: np.ndarray, weights: Sequence[float] | None) -> np.ndarray:
    """int64 (``sums_size``,), sums over rows, in millionths; none for values.

    Of the probability of the decided class, of its variance, and of the log-loss to expect; then by class: of its
    probability, and of that where it is decided for. ``p``: (rows, classes). ``weights``: of the decision.
    """
    if task.kind == "regression":
        return np.zeros(0, dtype=np.int64)
    p = np.nan_to_num(np.asarray(p, dtype=np.float64)).clip(0, 1)
    chosen = decide(p, weights)
    sure = p[np.arange(len(p)), chosen]
    entropy = -(p * np.log(np.maximum(p, 1e-12))).sum(1)
    rows = np.zeros((len(p), sums_size(task)))
    rows[:, :3] = np.stack([sure, sure * (1 - sure), entropy], axis=1)
    rows[:, 3 : 3 + p.shape[1]] = p
    rows[np.arange(len(p)), 3 + p.shape[1] + chosen] = sure
    return np.rint(rows * UNIT).astype(np.int64).sum(0)  # a row is rounded, not a batch: so batches add up


def estimated(
    task: Task, sums: np.ndarray, rows: int, calibration: Calibration | None, offset: float = 0.0
) -> dict[str, Any]:
    """``accuracy``, its ``bounds``, ``balanced_accuracy`` and ``log_loss`` to expect of rows; empty for values.

    The bounds hold how far the rows' own luck, and that of the calibration rows, may move it (two normal errors); they
    know nothing of a relation that has changed. ``offset``: what the mean probability is known to be off.
    """
    if task.kind == "regression" or not rows:
        return {}
    sure, variance, loss = (float(s) / UNIT / rows for s in sums[:3])
    mass, right = np.split(sums[3:] / UNIT, 2)
    there = mass > 0
    luck = variance / rows
    if calibration is not None:
        luck += sure * (1 - sure) / calibration.rows
    off, guess = 1.96 * math.sqrt(luck), min(max(sure + offset, 0.0), 1.0)
    return {
        "accuracy": guess,
        "bounds": [max(guess - off, 0.0), min(guess + off, 1.0)],
        "balanced_accuracy": float((right[there] / mass[there]).mean()) if there.any() else None,
        "log_loss": loss,
    }


def expected(calibration: Calibration | None) -> float | None:
    """Accuracy on the calibration rows, which the networks had not learned from; None for values."""
    if calibration is None or calibration.sure is None:
        return None
    _, rows, wrong = calibration.sure[-1]
    return float(1 - wrong / rows)


def bounds(hits: int, rows: int, sure: float = SURE) -> tuple[float, float]:
    """Between what a share lies, of which ``hits`` of ``rows`` were seen: for all numbers of rows at once.

    A confidence sequence (Robbins 1970; Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by
    betting"): the shares m for which the mixture over all alternatives, integral of q^hits (1-q)^misses dq, has not
    grown to 1 / (1 - sure) times m^hits (1-m)^misses. That ratio is a martingale where m is right, so the true share
    ever leaves the bounds with a probability of at most 1 - sure (Ville's inequality).
    """
    misses = rows - hits
    limit = -math.log1p(-sure)
    mixture = math.lgamma(hits + 1) + math.lgamma(misses + 1) - math.lgamma(rows + 2)

    def out(m: float) -> bool:
        told = (hits * math.log(m) if hits else 0.0) + (misses * math.log1p(-m) if misses else 0.0)
        return mixture - told > limit

    ends = []
    for far in (1e-12, 1 - 1e-12):
        inner, outer = (hits / rows if rows else 0.5), far
        if not out(outer):
            ends.append(round(outer))
            continue
        for _ in range(60):
            middle = (inner + outer) / 2
            inner, outer = (inner, middle) if out(middle) else (middle, outer)
        ends.append(outer)
    return float(ends[0]), float(ends[1])


def confirmed(bundle: Bundle, of: Labelled) -> dict[str, Any]:
    """What labels say: ``labels``, the metrics of the kind, and how often the truth was in sets or intervals.

    Where the model said no numbers the answer counts as wrong, and has no error and no loss. ``bounds`` stand beside
    what is a share of rows: accuracy, and cover. Errors of values have no bound on how large one can be, and so none on
    their mean.
    """
    rows, task = len(of.y), bundle.task
    if not rows:
        return {"labels": 0}
    found: dict[str, Any] = {"labels": rows}
    fine = np.asarray(np.isfinite(of.said).all(axis=1))
    if task.kind == "regression":
        y, prediction = of.y[fine], of.said[fine, 0].astype(np.float64)
        measured = (metrics.r2, metrics.rmse, metrics.mae) if len(y) else ()
        with np.errstate(over="ignore", invalid="ignore"):
            found |= {m.__name__: told(m(y, prediction)) for m in measured}
    else:
        said = np.where(fine[:, None], of.said, 0).astype(np.float64)
        weighted = said if bundle.decision is None else said * np.asarray(bundle.decision)
        weighted[~fine, (of.y[~fine] + 1) % weighted.shape[1]] = 1  # no numbers are no answer, and so a wrong one
        hits = int((weighted.argmax(1) == of.y).sum())
        found |= {"accuracy": hits / rows, "bounds": bounds(hits, rows), "hits": hits}
        found |= {"balanced_accuracy": metrics.balanced_accuracy(of.y, weighted)}
        found |= {"log_loss": told(metrics.log_loss(of.y[fine], said[fine]))} if fine.any() else {}
    return found | {"coverage": covered(bundle, of)}


def told(score: float) -> float | None:
    """A score that JSON knows: None for that of values that are too large to be squared."""
    return score if math.isfinite(score) else None


def covered(bundle: Bundle, of: Labelled) -> list[dict[str, Any]]:
    """By level that the calibration rows reach: share of the labels in sets or intervals, with bounds."""
    calibration, rows = calibration_of(bundle), len(of.y)
    found: list[dict[str, Any]] = []
    for level in LEVELS:
        if calibration is None or rank_of(level, calibration.rows) > calibration.rows:
            continue
        if bundle.task.kind == "regression":
            with np.errstate(invalid="ignore"):  # an endless value lies in no interval
                ends = calibration.intervals(of.said[:, 0], of.said[:, 1] if of.said.shape[1] > 1 else None, level)
            inside = (ends[:, 0] <= of.y) & (of.y <= ends[:, 1])
        else:
            inside = calibration.sets(of.said, level)[np.arange(rows), of.y]
        hits = int((inside & np.isfinite(of.said).all(axis=1)).sum())
        found.append({"level": level, "covered": hits / rows, "bounds": bounds(hits, rows), "hits": hits})
    return found


def worse(bundle: Bundle, said: Mapping[str, Any], level: float, sure: float) -> Iterator[tuple[str, bool, str]]:
    """What labels watch, whether they show that it is worse than before, and in words."""
    calibration, rows = calibration_of(bundle), said["labels"]
    was = expected(calibration)
    if calibration is not None and was is not None and "hits" in said:
        low, high = bounds(said["hits"], rows, sure)
        fine = was - 2 * math.sqrt(was * (1 - was) / calibration.rows)  # it is a measurement too
        yield "accuracy", high < fine, f"accuracy {was:.1%} -> {said['accuracy']:.1%} ({low:.1%} to {high:.1%})"
    for one in said.get("coverage", ()):
        if one["level"] == level:
            low, high = bounds(one["hits"], rows, sure)
            text = (
                f"the truth is in {one['covered']:.1%} of the {level:.0%} sets or intervals ({low:.1%} to {high:.1%})"
            )
            yield "coverage", high < level - SLACK / math.sqrt(calibration.rows if calibration else 1), text


def calibration_of(bundle: Bundle) -> Calibration | None:
    """None where the bundle has none, which is no mistake here."""
    try:
        return bundle.calibration
    except UserError:
        return None
