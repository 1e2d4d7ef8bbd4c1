"""The networks of finished trials that may be deployed: chosen, trained once more, calibrated, exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load
from torch import nn

from automl.data.dataset import Dataset
from automl.data.prepare import Prepared
from automl.data.weights import effective
from automl.deploy.bundle import MODEL
from automl.deploy.export import export
from automl.deploy.judge import Rows
from automl.deploy.measure import measured
from automl.deploy.onnx import write_onnx
from automl.errors import UserError
from automl.metrics import scores
from automl.training.ensemble import blend, select
from automl.training.predictor import Deployed, Predictor, outputs, predict, target_scale
from automl.types import Trial
from automl.uncertainty.calibrate import Answers, calibrate, temperature_of, tempered
from automl.uncertainty.sets import Calibration
from experiments.report.words import count
from experiments.solve.again import Members, anew, trained_again
from experiments.solve.artifacts import Artifacts
from experiments.solve.filling import fill
from experiments.solve.graphs import Unexportable, blamed, flat, unexportable, write_cut
from experiments.solve.limits import beyond, eight_bits, smaller_would_help, within_limits
from nas.engines.base import Engine
from nas.family import build
from nas.time import Clock, refit_seconds

SAME = 1e-3  # mean difference up to which two answers are of the same network: by judgement, well above rounding
SAME_ROWS = 256  # a large network takes seconds for all validation rows


@dataclass(frozen=True)
class Model:
    """What is deployed: ``predictor`` answers, ``calibration`` tells how sure that is, None where nobody asked.

    ``weights``: of the decision (classes,), None: the likeliest class. ``temperature``: in the predictor already.
    """

    predictor: Deployed
    calibration: Calibration | None
    weights: np.ndarray | None
    temperature: float

    def known_by(self, calibration: Calibration | None) -> Model:
        """The same where another graph of it answers."""
        moved = self.weights if calibration is None else np.asarray(calibration.decision or ())
        return replace(self, calibration=calibration, weights=moved if moved is not None and len(moved) else None)

    @property
    def decides(self) -> np.ndarray | float:
        """The weights as a factor, also where they are all 1: a score without any would look for its own."""
        return 1.0 if self.weights is None else self.weights


class Networks:
    """The networks that may be deployed, by the numbers of their trials.

    ``judged``: as they were when they were judged. ``again``: trained once more, None where that is not taken.
    ``left_out``: why. ``told_test``: what the graph that was written last said of the test rows, None before.
    """

    def __init__(
        self,
        prepared: Prepared,
        engine: Engine,
        artifacts: Artifacts,
        trials: Sequence[Trial],
    ) -> None:
        self.prepared, self.engine, self.artifacts, self.trials = prepared, engine, artifacts, trials
        self.best = once_each(artifacts.best(trials))
        if not self.best:
            raise UserError(nothing_worked(trials, artifacts.folder))
        # The best were all judged by the folds, or none was: a search too short for a single training of full length.
        self.folds = prepared.folds if artifacts.folded(self.best[0]) else None
        parts = prepared.parts
        self.learned, self.rows = (
            (parts.train, parts.valid) if self.folds is None else (self.folds.rows, self.folds.valid)
        )
        self.judged: dict[int, Predictor] = {}
        self.again: dict[int, Predictor | None] = {}
        self.left_out: dict[int, str] = {}
        self.told_test: list[np.ndarray] | None = None

    @property
    def judged_by(self) -> str:
        return f"{self.rows.distinct:,} rows" if self.folds is None else str(self.folds)

    @property
    def shares(self) -> np.ndarray | None:
        """Of the classes, among the rows that were learned from; None for values."""
        task, parts = self.prepared.task, self.prepared.parts
        if task.kind == "regression":
            return None
        judged = self.folds is not None
        learned = self.prepared.learned.y if judged else np.concatenate([parts.train.y, parts.valid.y])
        return np.bincount(learned, minlength=task.num_outputs) / len(learned)

    def chosen(self, size: int) -> Members:
        """The ensemble of at most ``size`` of those that are not left out."""
        task, pool = self.prepared.task, [t for t in self.best if t.number not in self.left_out]
        allowed = within_limits(task, pool, self.artifacts.megabytes)
        if not any(allowed((i,)) for i in range(len(pool))):
            why = next(iter(self.left_out.values()), "each is over a limit")
            raise UserError(f"none of {len(self.best)} networks can be deployed; {why}")
        predictions = [self.artifacts.predictions(t) for t in pool]
        names = [t.candidate.family for t in pool]
        told = effective(self.rows.rows)
        weights = select(predictions, self.rows.y, task, families=names, size=size, allowed=allowed, effective=told)
        members = [(t, float(w)) for t, w in zip(pool, weights, strict=True) if w > 0]
        return sorted(members, key=lambda pair: -pair[1])

    def rebuilt(self, members: Members) -> bool:
        """Make the members' networks from their files; False when one is not the one that was judged."""
        task, scale, fine = self.prepared.task, target_scale(self.prepared.task, self.learned), True
        for trial, _ in members:
            if trial.number in self.judged:
                continue
            try:
                network = self.network(trial)
                network.load_state_dict(self.artifacts.weights(trial))
                predictor = Predictor(network, task, *scale).eval()
                if self.folds is None:  # the folds' predictions are those of other networks
                    check_same(predictor, self.rows.inputs, self.artifacts.predictions(trial))
                self.judged[trial.number] = predictor
            except Exception as error:  # code and files may be of another time: any error is possible
                self.left_out[trial.number] = f"{named(trial)} is not the one that was judged: {flat(error)}"
                fine = False
        return fine

    def network(self, trial: Trial) -> nn.Module:
        """As it was before its training."""
        job, family = self.engine.job, trial.candidate.family
        return build(job.families[family], job.task, trial.candidate, job.axes[family], seed=trial.seed)

    def refit(self, members: Members, asked: bool | None, clock: Clock) -> None:
        """Train those once more that were not yet."""
        todo = [(anew(t, self.trials, self.engine.job), w) for t, w in members if t.number not in self.again]
        seconds = refit_seconds(asked, clock, len(members))
        if self.folds is not None or self.engine.stopped:  # learned from all rows already, or is in a hurry
            seconds = 0.0
        found = trained_again(self.engine, todo, self.artifacts.packed, seconds)
        job = self.engine.job
        targets = replace(
            job, train=replace(job.train, inputs=()), valid=replace(job.valid, inputs=())
        )  # no third copy
        scale = target_scale(self.prepared.task, targets.teaching) if found else ()
        for trial, _ in todo:
            self.again[trial.number] = None
            if (outcome := found.get(trial.number)) is not None and outcome.weights is not None:
                network = self.network(trial)
                network.load_state_dict(load(outcome.weights))
                self.again[trial.number] = Predictor(network, self.prepared.task, *scale).eval()

    def final(self, members: Members) -> list[Predictor]:
        """The members' networks as they are deployed."""
        return [self.again[t.number] or self.judged[t.number] for t, _ in members]

    def deployed(self, members: Members, calibrated: bool) -> Model:
        """The ensemble of the members, calibrated on the rows that judged it or on those that were held out."""
        task, parts = self.prepared.task, self.prepared.parts
        predictors, weights = self.final(members), [w for _, w in members]
        judged = blended([self.artifacts.predictions(t) for t, _ in members], weights, self.rows.y)
        judged = replace(judged, rows=self.rows.rows)
        temperature = 1.0
        if calibrated and task.kind != "regression":
            temperature = temperature_of(judged.prediction, judged.y, judged.effective())
            judged = replace(judged, prediction=tempered(judged.prediction, temperature))
        model = Deployed(predictors, weights, task, temperature).eval()
        held = None
        if parts.held is not None:
            told_held = outputs(model, parts.held.inputs)
            spread = told_held[1] if model.names[1:2] == ("spread",) else None
            held = Answers(told_held[0], parts.held.y, spread, parts.held.rows)
        calibration = calibrate(
            *(task, judged, held),
            source="holdout" if held is not None else "folds" if self.folds is not None else "valid",
            alike=self.prepared.dataset.alike,
            temperature=temperature,
            shares=self.shares,
        )
        moved = np.asarray(calibration.decision) if calibration.decision else None
        return Model(model, calibration if calibrated else None, moved, temperature)

    def within(
        self,
        members: Members,
        calibrated: bool,
        folder: Path,
        dataset: Dataset,
        notes: list[str],
        quiet: Callable[[], object],
    ) -> tuple[Members, Model, Mapping[str, float | None]] | None:
        """The most of these members, heaviest first, whose bundle keeps the limits, that model and what it costs.

        Fewer are cut out of the graph of all: no further export. All of them where fewer would not help; one where that
        is over a limit too, in 8 bits where these keep it. ``notes``: a line is added for each step. ``quiet``: waits
        for what runs beside, before what is exported is timed. None: see ``exported``.
        """
        limits, whole = self.prepared.task.limits, None
        while True:
            model = self.deployed(members, calibrated)
            bundle = self.exported(members, model, dataset, folder, whole)
            if bundle is None:
                return None
            quiet()
            cost = measured(bundle, dataset)
            if not smaller_would_help(limits, cost):
                return members, model, cost
            if len(members) == 1:
                found = eight_bits(bundle, self.judging(members), dataset, limits, notes)
                if found is None:
                    return members, model, cost
                notes.append(found.note)
                return members, model.known_by(found.calibration), found.cost
            over = beyond(limits, cost)
            notes.append(f"an ensemble of {len(members)} is over a limit ({over}): fewer members are taken")
            members, whole = members[:-1], bundle / MODEL

    def judging(self, members: Members) -> Rows:
        """The rows that judged the members, and what these said of them before they learned from them."""
        parts = self.prepared.parts
        return Rows(
            self.rows.inputs,
            self.rows.y,
            parts.train.inputs,
            "valid" if self.folds is None else "folds",
            before=[self.artifacts.predictions(t) for t, _ in members],
            held=parts.held,
            alike=self.prepared.dataset.alike,
            shares=self.shares,
            rows=self.rows.rows,
        )

    def exported(
        self, members: Members, model: Model, dataset: Dataset, folder: Path, whole: Path | None
    ) -> Path | None:
        """The bundle of these members; None when one of them cannot be exported, which is left out then.

        ``dataset``: as it was loaded. ``whole``: a graph that they are the first members of, to be cut out of it; None:
        they are exported.
        """
        task, valid = self.prepared.task, self.prepared.parts.valid
        predictors = self.final(members)

        def more(draft: Path) -> None:
            judged = None if len(self.prepared.parts.test) else self.answers(members, model)[self.rows.once]
            predictor, known, weights = model.predictor, model.calibration, model.weights
            self.told_test = fill(draft, self.prepared, dataset, predictor, known, weights, judged)

        total = sum(w for _, w in members)
        # What an ensemble of fewer is cut out of the graph with (``automl.deploy.cut``).
        extra: dict[str, Any] = {"weights": [w / total for _, w in members], "temperature": model.temperature}
        extra |= {} if model.weights is None else {"decision": model.weights.tolist()}
        write = write_onnx if whole is None else partial(write_cut, whole, extra, task.kind == "regression")
        try:
            return export(
                folder, model.predictor, task, self.prepared.encoding, valid.inputs, extra, more, blamed(write)
            )
        except Unexportable as error:
            alone = {} if len(members) == 1 else unexportable(predictors, task, valid)
            faults = alone or {len(members) - 1: str(error)}  # the lightest, where each alone would do
            for place, why in faults.items():
                trial = members[place][0]
                if self.again[trial.number] is not None:
                    self.again[trial.number] = None  # the network that was judged may do
                else:
                    self.left_out[trial.number] = f"{named(trial)} cannot be exported: {why}"
        return None

    def answers(self, members: Members, model: Model) -> np.ndarray:
        """What the members' ensemble said of the rows that judged it, at the model's temperature."""
        total = sum(w for _, w in members)
        prediction = blend([self.artifacts.predictions(t) for t, _ in members], [w / total for _, w in members])
        return prediction if self.prepared.task.kind == "regression" else tempered(prediction, model.temperature)

    def validation(self, members: Members, model: Model) -> dict[str, float]:
        """Metrics of the members' ensemble, as it was judged, with the model's temperature and decision."""
        return scores(self.prepared.task.kind, self.rows.y, self.answers(members, model), weights=model.weights)


def blended(predictions: Sequence[np.ndarray], weights: Sequence[float], y: np.ndarray) -> Answers:
    """The members' answers together; of several for values also how much they differ, as the graph tells it."""
    mean = blend(predictions, weights)
    if mean.ndim > 1 or len(predictions) == 1:
        return Answers(mean, y)
    return Answers(mean, y, np.sqrt(blend([(p - mean) ** 2 for p in predictions], weights)))


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


def check_same(predictor: Predictor, inputs: Sequence[np.ndarray], expected: np.ndarray) -> None:
    """Raises ValueError when a network does not answer what it answered when it was judged.

    The mean difference decides, in probabilities or in spreads of the target: single rows differ a little between a
    GPU and this CPU. ``SAME_ROWS`` of them tell.
    """
    some = np.linspace(0, len(expected) - 1, min(SAME_ROWS, len(expected))).astype(np.int64)
    inputs, expected = [a[some] for a in inputs], expected[some]
    answers = predict(predictor, inputs)
    if answers.shape != expected.shape:
        raise ValueError(f"it answers with shape {answers.shape}, not {expected.shape}")
    apart = float(np.abs(answers - expected).mean()) / predictor.unit
    if not apart <= SAME:  # NaN differs too
        raise ValueError(f"its answers for the validation rows differ by {apart:.3g} on average, {SAME:g} is allowed")


def named(trial: Trial) -> str:
    return f"network {trial.number} ({trial.candidate.family})"


def nothing_worked(trials: Sequence[Trial], folder: Path) -> str:
    """Why there is no model, in one line. ``folder``: where the networks of those that worked would lie."""
    if not trials:
        return "the budget ended before a single training did. Raise budget.seconds or budget.trials."
    if ok := sum(t.status == "ok" for t in trials):
        return (
            f"{count(ok, 'training')} succeeded, but {folder} does not hold what came of it any more, so no model can "
            "be made. Raise budget.trials or budget.seconds to train further ones, or set resume=false to begin anew"
        )
    status, most = Counter(t.status for t in trials).most_common(1)[0]
    error = next(t.error for t in trials if t.status == status)
    return (
        f"none of {len(trials)} trainings succeeded; {most} of them {status}: {error}. "
        "Raise the budget or the limits, or set family=[...]"
    )
