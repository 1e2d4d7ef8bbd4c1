"""From finished trials to a bundle: ensemble, export, and the one look at the test split."""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from automl.data.dataset import Part, Parts
from automl.data.prepare import Prepared
from automl.deploy.bundle import Bundle, export
from automl.deploy.onnx import write_onnx
from automl.errors import UserError
from automl.metrics import score, scores
from automl.training.ensemble import blend, select
from automl.training.predictor import EnsemblePredictor, Predictor, predict, target_scale
from automl.training.refit import refit
from automl.types import Axes, Family, Task, Trial
from experiments.clock import timed
from experiments.solve.artifacts import Artifacts
from nas.space import build

SAME = 1e-3  # mean difference up to which two answers are of the same network
LINE = 300  # characters of an error


@dataclass(frozen=True)
class Finished:
    """``members``: of the ensemble, as result.json lists them; ``chosen`` is the heaviest.

    ``val``, ``test``: metric -> value. ``test_predictions``: what the exported model answered for the test rows,
    probabilities (rows, classes) or values (rows,). ``judged_by``: the rows behind ``val``, for people.
    ``notes``: one line for each network that was chosen and had to be left out.
    """

    chosen: Trial
    members: list[dict[str, Any]]
    val: dict[str, float]
    test: dict[str, float]
    test_predictions: np.ndarray
    bundle: Path
    judged_by: str
    notes: tuple[str, ...] = ()


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
    cross-validation, and the networks have learned from all rows already. A network that does not answer any more what
    was judged, or that cannot be exported, is left out, and the ensemble chosen again without it.
    ``clock`` receives the seconds of ``refit`` and ``export``. Raises UserError when no training succeeded, or when
    none of the networks can be deployed.
    """
    task, parts = prepared.task, prepared.parts
    best = once_each(artifacts.best(trials))
    if not best:
        raise UserError(nothing_worked(trials))
    # The best were all judged by the folds, or none was: a search too short for a single training of full length.
    folds = prepared.folds if artifacts.folded(best[0]) else None
    learned, judged = (parts.train, parts.valid) if folds is None else (folds.rows, folds.valid)
    scale = target_scale(task, learned)
    refit_left = refit_seconds if folds is None else 0.0
    again: dict[int, Predictor | None] = {}  # trained once more, by the trial's number; None: better not
    judged_ones: dict[int, Predictor] = {}
    left_out: dict[int, str] = {}  # why, by the trial's number
    while True:
        with timed(clock, "refit"):
            pool = [t for t in best if t.number not in left_out]
            allowed = within_limits(task, pool)
            if not any(allowed((i,)) for i in range(len(pool))):
                why = next(iter(left_out.values()), "each is over a limit")
                raise UserError(f"none of {len(best)} networks can be deployed; {why}")
            predictions = [artifacts.predictions(t) for t in pool]
            families_of = [t.candidate.family for t in pool]
            weights = select(predictions, judged.y, task, families=families_of, size=ensemble, allowed=allowed)
            members = [(t, float(w)) for t, w in zip(pool, weights, strict=True) if w > 0]
            members.sort(key=lambda pair: -pair[1])
            new = [t for t, _ in members if t.number not in judged_ones]
            for trial in new:
                try:
                    network = network_of(trial, task, families, axes)
                    network.load_state_dict(artifacts.weights(trial))
                    judged_ones[trial.number] = Predictor(network, task, *scale).eval()
                    if folds is None:  # the folds' predictions are those of other networks
                        check_same(judged_ones[trial.number], judged.inputs, artifacts.predictions(trial))
                except Exception as error:  # code and files may be of another time: any error is possible
                    left_out[trial.number] = f"{named(trial)} is not the one that was judged: {flat(error)}"
            if left_out.keys() & {t.number for t in new}:
                continue
            began = time.monotonic()
            todo = [(whole(t, trials), w) for t, w in members if t.number not in again]
            found = refits(task, parts, families, axes, todo, refit_left)
            again |= {t.number: found.get(t.number) for t, _ in todo}
            refit_left -= time.monotonic() - began
            predictors = [again[t.number] or judged_ones[t.number] for t, _ in members]
            shares = [w for _, w in members]
            predictor = EnsemblePredictor(predictors, shares).eval() if len(members) > 1 else predictors[0]
            val = scores(task.kind, judged.y, blend(predictions, weights))
        with timed(clock, "export"):
            try:
                bundle = export(folder / "bundle", predictor, task, prepared.encoding, parts.valid.inputs)
                break
            except OSError:  # the disk is full or closed: that is no network's fault
                raise
            except Exception as error:  # the exporter raises whatever it meets
                alone = {} if len(members) == 1 else unexportable(predictors, task, parts.valid)
                faults = alone or {len(members) - 1: flat(error)}  # the lightest, where each alone would do
                for place, why in faults.items():
                    number = members[place][0].number
                    if again[number] is not None:
                        again[number] = None  # the network that was judged may do
                    else:
                        left_out[number] = f"{named(members[place][0])} cannot be exported: {why}"
    with timed(clock, "export"):
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
                "refit": again[t.number] is not None,
            }
            for (t, _), share in zip(members, shares, strict=True)
        ],
        val=val,
        test=test,
        test_predictions=answers,
        bundle=bundle,
        judged_by=f"{len(judged):,} rows" if folds is None else str(folds),
        notes=tuple(f"left out: {why}" for why in left_out.values()),
    )


def once_each(best: Sequence[Trial]) -> list[Trial]:
    """Of each candidate its best training, of equal ones the longest: a shorter one is no second network.

    ``best``: best first, and so is the result.
    """
    found: dict[str, Trial] = {}
    for trial in best:
        kept = found.setdefault(trial.candidate.id, trial)
        if trial.score == kept.score and trial.fidelity > kept.fidelity:
            found[trial.candidate.id] = trial
    return list(found.values())


def whole(trial: Trial, trials: Sequence[Trial]) -> Trial:
    """With the seconds of all trainings that led to it: it went on from the shorter ones of its candidate."""
    led = [
        t for t in trials if t.candidate.id == trial.candidate.id and t.status == "ok" and t.fidelity < trial.fidelity
    ]
    return replace(trial, seconds=trial.seconds + sum(t.seconds for t in led))


def check_same(predictor: Predictor, inputs: Sequence[np.ndarray], expected: np.ndarray) -> None:
    """Raises ValueError when a network does not answer what it answered when it was judged.

    The mean difference decides, in probabilities or in spreads of the target: single rows differ a little between a
    GPU and this CPU.
    """
    answers = predict(predictor, inputs)
    if answers.shape != expected.shape:
        raise ValueError(f"it answers with shape {answers.shape}, not {expected.shape}")
    apart = float(np.abs(answers - expected).mean()) / predictor.unit
    if not apart <= SAME:  # NaN differs too
        raise ValueError(f"its answers for the validation rows differ by {apart:.3g} on average, {SAME:g} is allowed")


def unexportable(predictors: Sequence[Predictor], task: Task, valid: Part) -> dict[int, str]:
    """Which of the networks the exporter refuses alone, by their place, and why."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for place, predictor in enumerate(predictors):
            try:
                write_onnx(Path(folder) / "alone.onnx", predictor, [i.name for i in task.inputs], valid.inputs)
            except OSError:
                raise
            except Exception as error:  # the exporter raises whatever it meets
                found[place] = flat(error)
    return found


def named(trial: Trial) -> str:
    return f"network {trial.number} ({trial.candidate.family})"


def flat(error: Exception) -> str:
    """An error in one line that fits a terminal."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:LINE]


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
        parts.teaching,
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
