"""From finished trials to a bundle: ensemble, export, and the one look at the test split."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from automl.data.dataset import Parts
from automl.data.prepare import Prepared
from automl.deploy.bundle import Bundle, export
from automl.errors import UserError
from automl.metrics import score, scores
from automl.training.ensemble import blend, select
from automl.training.predictor import EnsemblePredictor, Predictor, predict, target_scale
from automl.training.refit import refit
from automl.types import Axes, Family, Task, Trial
from experiments.artifacts import Artifacts
from experiments.clock import timed
from nas.space import build


@dataclass(frozen=True)
class Finished:
    """``members``: of the ensemble, as result.json lists them; ``chosen`` is the heaviest.

    ``val``, ``test``: metric -> value. ``test_predictions``: what the exported model answered for the test rows,
    probabilities (rows, classes) or values (rows,). ``judged_by``: the rows behind ``val``, for people.
    """

    chosen: Trial
    members: list[dict[str, Any]]
    val: dict[str, float]
    test: dict[str, float]
    test_predictions: np.ndarray
    bundle: Path
    judged_by: str


def finish(
    prepared: Prepared,
    families: Mapping[str, Family],
    axes: Axes,
    artifacts: Artifacts,
    trials: Sequence[Trial],
    folder: Path,
    *,
    ensemble: int,
    refit_seconds: float,
    clock: dict[str, float],
) -> Finished:
    """Choose, export, and judge once on the test split, with the exported model itself.

    ``refit_seconds``: for training the chosen networks once more, on training and validation rows together; ``val``
    stays that of the networks before, as those rows can judge no longer. With folds ``val`` is that of
    cross-validation, and the networks have learned from all rows already.
    ``clock`` receives the seconds of ``refit`` and ``export``. Raises UserError when no training succeeded.
    """
    task, parts = prepared.task, prepared.parts
    best = artifacts.best(trials)
    if not best:
        raise UserError(nothing_worked(trials))
    # The best were all judged by the folds, or none was: a search too short for a single training of full length.
    folds = prepared.folds if artifacts.folded(best[0]) else None
    learned, judged = (parts.train, parts.valid) if folds is None else (folds.rows, folds.valid)
    with timed(clock, "refit"):
        predictions = [artifacts.predictions(t) for t in best]
        allowed = within_limits(task, best)
        families_of = [t.candidate.family for t in best]
        weights = select(predictions, judged.y, task, families=families_of, size=ensemble, allowed=allowed)
        members = [(t, w) for t, w in zip(best, weights, strict=True) if w > 0]
        members.sort(key=lambda pair: -pair[1])
        shares = [float(w) for _, w in members]
        seconds = refit_seconds if folds is None else 0.0
        again = refits(task, parts, families, axes, members, seconds)
        scale = target_scale(task, learned)
        predictors = []
        for trial, _ in members:
            if (predictor := again.get(trial.number)) is None:
                network = network_of(trial, task, families, axes)
                network.load_state_dict(artifacts.weights(trial))
                predictor = Predictor(network, task, *scale).eval()
            predictors.append(predictor)
        predictor = EnsemblePredictor(predictors, shares).eval() if len(members) > 1 else predictors[0]
        val = scores(task.kind, judged.y, blend(predictions, weights))
    with timed(clock, "export"):
        bundle = export(folder / "bundle", predictor, task, prepared.encoding, parts.valid.inputs)
        deployed = Bundle.load(bundle)
        answers = deployed.predict_encoded(parts.test.inputs)
        test = scores(task.kind, parts.test.y, answers)
    return Finished(
        chosen=members[0][0],
        members=[
            {
                "number": t.number,
                "family": t.candidate.family,
                "choices": dict(t.candidate.choices),
                "weight": share / sum(shares),
                "score": t.score,
                "parameters": t.parameters,
                "refit": t.number in again,
            }
            for (t, _), share in zip(members, shares, strict=True)
        ],
        val=val,
        test=test,
        test_predictions=answers,
        bundle=bundle,
        judged_by=f"{len(judged):,} rows" if folds is None else str(folds),
    )


def network_of(trial: Trial, task: Task, families: Mapping[str, Family], axes: Axes) -> nn.Module:
    family = trial.candidate.family
    return build(families[family], task, trial.candidate, axes[family], seed=trial.seed)


def refits(
    task: Task,
    parts: Parts,
    families: Mapping[str, Family],
    axes: Axes,
    members: Sequence[tuple[Trial, float]],
    seconds: float,
) -> dict[int, Predictor]:
    """Members trained once more, by the numbers of their trials; those with most weight per second go first."""
    until = time.monotonic() + seconds
    found = {}
    for trial, _ in sorted(members, key=lambda pair: -pair[1] / max(pair[0].seconds, 1e-9)):
        network = network_of(trial, task, families, axes)
        predictor = refitted(network, task, parts, trial, seconds=until - time.monotonic())
        if predictor is not None:
            found[trial.number] = predictor
    return found


def refitted(network: nn.Module, task: Task, parts: Parts, trial: Trial, *, seconds: float) -> Predictor | None:
    """The network trained anew on training and validation rows; None when it takes too long or comes out worse.

    Worse: on the validation rows, which it has learned from now, than the network that had not.
    """
    more = len(parts.valid) / len(parts.train)
    if seconds <= 0 or (1 + more) * trial.seconds > seconds:
        return None
    fit = refit(
        network,
        task,
        parts.train,
        parts.valid,
        trial.candidate.choices,
        epochs=len(trial.curve),
        horizon=trial.fidelity,
        seed=trial.seed,
        seconds=None if math.isinf(seconds) else seconds,
    )
    if fit.status != "ok":
        return None
    predictor = Predictor(network, task, fit.mean, fit.std).eval()
    known = score(task.metric, task.kind, parts.valid.y, predict(predictor, parts.valid.inputs))
    return predictor if trial.score is None or known >= trial.score else None


def within_limits(task: Task, trials: Sequence[Trial]) -> Callable[[tuple[int, ...]], bool]:
    """Whether the trials with these indices keep the hard limits together, deployed as one graph."""
    limits = task.limits

    def allowed(members: tuple[int, ...]) -> bool:
        parameters = sum(trials[i].parameters or 0 for i in members)
        latency = sum(trials[i].latency_ms or 0.0 for i in members)
        return (
            (limits.parameters is None or parameters <= limits.parameters)
            and (limits.megabytes is None or parameters * 4 / 1e6 <= limits.megabytes)
            and (limits.latency_ms is None or latency <= limits.latency_ms)
        )

    return allowed


def nothing_worked(trials: Sequence[Trial]) -> str:
    """Why there is no model, in one line."""
    if not trials:
        return "the budget ended before a single training did. Raise budget.seconds or budget.trials."
    status, count = Counter(t.status for t in trials).most_common(1)[0]
    error = next(t.error for t in trials if t.status == status)
    return (
        f"none of {len(trials)} trainings succeeded; {count} of them {status}: {error}. "
        "Raise the budget or the limits, or set family=[...]"
    )
