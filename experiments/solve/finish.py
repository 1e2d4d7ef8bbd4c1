"""From finished trials to a bundle: ensemble, export, and the one look at the test split."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from safetensors.torch import load
from torch import nn

from automl.data.dataset import Dataset, Part
from automl.data.prepare import Prepared
from automl.deploy.bundle import MODEL, Bundle
from automl.deploy.cut import cut
from automl.deploy.export import export
from automl.deploy.importance import Importances, importance
from automl.deploy.measure import measured
from automl.deploy.onnx import Agreement, compare, write_onnx
from automl.errors import UserError
from automl.metrics import score, scores
from automl.training.ensemble import blend, select
from automl.training.predictor import Deployed, Predictor, outputs, predict, target_scale
from automl.types import Limits, Task, Trial
from automl.uncertainty.calibrate import Answers, calibrate, temperature_of, tempered, told
from automl.uncertainty.sets import Calibration
from experiments.events import Events
from experiments.report.words import count
from experiments.solve.again import Members, trained_again, whole
from experiments.solve.artifacts import Artifacts
from experiments.solve.filling import fill
from experiments.solve.simple import Simple, simple_model
from nas.engines.base import Engine
from nas.family import build
from nas.time import Clock, importance_seconds, refit_seconds, simple_seconds

SAME = 1e-3  # mean difference up to which two answers are of the same network
SAME_ROWS = 256  # a large network takes seconds for all validation rows
LINE = 300  # characters of an error


@dataclass(frozen=True)
class Finished:
    """``members``: of the ensemble, as result.json lists them; ``chosen`` is the heaviest.

    ``val``, ``test``: metric -> value. ``test_predictions``: what the exported model answered for the test rows,
    probabilities (rows, classes) or values (rows,). ``judged_by``: the rows behind ``val``, for people.
    ``cost``: see ``automl.deploy.measure``; ``within_limits``: whether that keeps the hard limits.
    ``notes``: one line for each network that was chosen and had to be left out. ``calibration``: see
    ``automl.uncertainty.calibrate.told``, None where it was not wanted. ``weights``: of the decision (classes,), None
    for the likeliest class; ``plain``: test metrics of that, where the model decides otherwise. ``importance``: of what
    the model looks at; ``learned``: whether its networks had learned from the rows that told it.
    """

    chosen: Trial
    members: list[dict[str, Any]]
    val: dict[str, float]
    test: dict[str, float]
    test_predictions: np.ndarray
    bundle: Path
    judged_by: str
    cost: Mapping[str, float | None]
    within_limits: bool
    importance: Importances
    learned: bool
    simple: Simple | None
    notes: tuple[str, ...] = ()
    calibration: Mapping[str, Any] | None = None
    weights: np.ndarray | None = None
    plain: Mapping[str, float] | None = None


def finish(
    prepared: Prepared,
    engine: Engine,
    artifacts: Artifacts,
    trials: Sequence[Trial],
    dataset: Dataset,
    folder: Path,
    *,
    ensemble: int,
    refit: bool | None,
    calibrated: bool,
    clock: Clock,
    events: Events,
) -> Finished:
    """Choose -> refit -> calibrate -> export -> measure, until a model stands; then judge it once on the test split.

    ``engine``: that of the search. ``dataset``: as it was loaded. ``refit``: whether the chosen networks are trained
    once more, on training and validation rows together; None: those for which the clock has time. ``calibrated``:
    whether the model is to know how sure it is. ``val`` stays that of the networks before, as those rows can judge no
    longer. With folds ``val`` is that of cross-validation, and the networks have learned from all rows already. A
    network that does not answer any more what was judged, or that cannot be exported, is left out, and the ensemble
    chosen again without it. A model over a hard limit falls back to fewer members where that can help. Raises UserError
    when no training succeeded, or when none of the networks can be deployed.
    """
    networks = Networks(prepared, engine, artifacts, trials)
    notes: list[str] = []
    while True:
        with events.during("refit"):
            members = networks.chosen(ensemble)
            if not networks.rebuilt(members):
                continue
            networks.refit(members, refit, clock)
        with events.during("export"):
            found = networks.within(members, calibrated, folder / "bundle", dataset, notes)
            if found is None:
                continue
            members, model, cost = found
            bundle, over = folder / "bundle", beyond(prepared.task.limits, cost)
            if over:
                notes.append(f"the model is over a limit: {over}")
            break
    with events.during("export"):
        loaded = Bundle.load(bundle)
        told_test = loaded.outputs_encoded(prepared.parts.test.inputs)
        known = Answers(told_test[0], prepared.parts.test.y, told_test[1] if len(told_test) > 1 else None)
        judge = partial(scores, prepared.task.kind, known.y, known.prediction)
        test = judge(weights=model.weights)
        asked = prepared.parts.held or networks.rows
        looked_at = importance(
            *(loaded.predict_encoded, prepared.encoding, asked.inputs, asked.y),
            partial(score, prepared.task.metric, prepared.task.kind, weights=model.decides),
            importance_seconds(clock.seconds),
        )
        simple = simple_model(prepared.task, prepared.parts, simple_seconds(clock.seconds))
    total = sum(weight for _, weight in members)
    return Finished(
        chosen=members[0][0],
        members=[
            {
                "number": t.number,
                "family": t.candidate.family,
                "choices": dict(t.candidate.choices),
                "weight": weight / total,
                "score": t.score,
                "parameters": t.parameters,
                "refit": networks.again[t.number] is not None,
            }
            for t, weight in members
        ],
        val=networks.validation(members, model),
        test=test,
        test_predictions=known.prediction,
        bundle=bundle,
        cost=cost,
        within_limits=not over,
        importance=looked_at,
        learned=asked is networks.rows
        and (networks.folds is not None or any(networks.again[t.number] is not None for t, _ in members)),
        simple=simple,
        judged_by=networks.judged_by,
        notes=(*(f"left out: {why}" for why in networks.left_out.values()), *notes),
        calibration=None if model.calibration is None else told(model.calibration, known),
        weights=model.weights,
        plain=None if model.weights is None else judge(),
    )


@dataclass(frozen=True)
class Model:
    """What is deployed: ``predictor`` answers, ``calibration`` tells how sure that is, None where nobody asked.

    ``weights``: of the decision (classes,), None: the likeliest class. ``temperature``: in the predictor already.
    """

    predictor: Deployed
    calibration: Calibration | None
    weights: np.ndarray | None
    temperature: float

    @property
    def decides(self) -> np.ndarray | float:
        """The weights as a factor, also where they are all 1: a score without any would look for its own."""
        return 1.0 if self.weights is None else self.weights


class Networks:
    """The networks that may be deployed, by the numbers of their trials.

    ``judged``: as they were when they were judged. ``again``: trained once more, None where that is not taken.
    ``left_out``: why.
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

    @property
    def judged_by(self) -> str:
        return f"{len(self.rows):,} rows" if self.folds is None else str(self.folds)

    def chosen(self, size: int) -> Members:
        """The ensemble of at most ``size`` of those that are not left out."""
        task, pool = self.prepared.task, [t for t in self.best if t.number not in self.left_out]
        allowed = within_limits(task, pool)
        if not any(allowed((i,)) for i in range(len(pool))):
            why = next(iter(self.left_out.values()), "each is over a limit")
            raise UserError(f"none of {len(self.best)} networks can be deployed; {why}")
        predictions = [self.artifacts.predictions(t) for t in pool]
        names = [t.candidate.family for t in pool]
        weights = select(predictions, self.rows.y, task, families=names, size=size, allowed=allowed)
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
        todo = [(whole(t, self.trials), w) for t, w in members if t.number not in self.again]
        seconds = refit_seconds(asked, clock, len(members))
        if self.folds is not None or self.engine.stopped:  # learned from all rows already, or is in a hurry
            seconds = 0.0
        found = trained_again(self.engine, todo, self.artifacts.packed, seconds)
        scale = target_scale(self.prepared.task, self.engine.job.teaching) if found else ()
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
        task, parts, prepared = self.prepared.task, self.prepared.parts, self.prepared
        predictors, weights = self.final(members), [w for _, w in members]
        judged = blended([self.artifacts.predictions(t) for t, _ in members], weights, self.rows.y)
        temperature = 1.0
        if calibrated and task.kind != "regression":
            temperature = temperature_of(judged.prediction, judged.y)
            judged = replace(judged, prediction=tempered(judged.prediction, temperature))
        model = Deployed(predictors, weights, task, temperature).eval()
        shares = None
        if task.kind != "regression":
            learned = prepared.learned.y if self.folds is not None else np.concatenate([parts.train.y, parts.valid.y])
            shares = np.bincount(learned, minlength=task.num_outputs) / len(learned)
        held = None
        if parts.held is not None:
            told_held = outputs(model, parts.held.inputs)
            held = Answers(told_held[0], parts.held.y, told_held[1] if model.names[1:2] == ("spread",) else None)
        calibration = calibrate(
            *(task, judged, held),
            source="holdout" if held is not None else "folds" if self.folds is not None else "valid",
            alike=prepared.dataset.time is None and prepared.dataset.group is None,
            temperature=temperature,
            shares=shares,
        )
        moved = np.asarray(calibration.decision) if calibration.decision else None
        return Model(model, calibration if calibrated else None, moved, temperature)

    def within(
        self, members: Members, calibrated: bool, folder: Path, dataset: Dataset, notes: list[str]
    ) -> tuple[Members, Model, Mapping[str, float | None]] | None:
        """The most of these members, heaviest first, whose bundle keeps the limits, that model and what it costs.

        Fewer are cut out of the graph of all: no further export. All of them where fewer would not help, one where that
        is over a limit too. ``notes``: a line is added for each step. None: see ``exported``.
        """
        limits, whole = self.prepared.task.limits, None
        while True:
            model = self.deployed(members, calibrated)
            bundle = self.exported(members, model, dataset, folder, whole)
            if bundle is None:
                return None
            cost = measured(bundle, dataset)
            if len(members) == 1 or not fewer_would_help(limits, cost):
                return members, model, cost
            over = beyond(limits, cost)
            notes.append(f"an ensemble of {len(members)} is over a limit ({over}): fewer members are taken")
            members, whole = members[:-1], bundle / MODEL

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
            fill(draft, self.prepared, dataset, model.predictor, model.calibration, model.weights)

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

    def validation(self, members: Members, model: Model) -> dict[str, float]:
        """Metrics of the members' ensemble, as it was judged, with the model's temperature and decision."""
        total = sum(w for _, w in members)
        prediction = blend([self.artifacts.predictions(t) for t, _ in members], [w / total for _, w in members])
        if self.prepared.task.kind != "regression":
            prediction = tempered(prediction, model.temperature)
        return scores(self.prepared.task.kind, self.rows.y, prediction, weights=model.weights)


class Unexportable(Exception):
    """There is no graph of the networks that answers what they answer."""


def blamed(write: Callable[..., Agreement]) -> Callable[..., Agreement]:
    """A way to write a graph whose faults are those of the networks, whatever the exporter raises.

    But a disk that is full or closed is not, and so are faults in the bundle's other files not.
    """

    def tried(*of: Any) -> Agreement:
        try:
            return write(*of)
        except OSError:
            raise
        except Exception as error:
            raise Unexportable(flat(error)) from error

    return tried


def write_cut(
    whole: Path,
    of: Mapping[str, Any],
    values: bool,
    path: Path,
    predictor: nn.Module,
    names: Sequence[str],
    inputs: Sequence[np.ndarray],
) -> Agreement:
    """As ``write_onnx``, but cut out of a graph of more members. ``of``: their weights and the temperature."""
    onnx.save(cut(onnx.load(whole), of["weights"], of["temperature"], values=values, told=True), path)
    return compare(path, predictor, names, inputs)


def blended(predictions: Sequence[np.ndarray], weights: Sequence[float], y: np.ndarray) -> Answers:
    """The members' answers together; of several for values also how much they differ, as the graph tells it."""
    mean = blend(predictions, weights)
    if mean.ndim > 1 or len(predictions) == 1:
        return Answers(mean, y)
    return Answers(mean, y, np.sqrt(blend([(p - mean) ** 2 for p in predictions], weights)))


def fewer_would_help(limits: Limits, cost: Mapping[str, float | None]) -> bool:
    """Whether the model is over a limit on what its members cost: reading a row takes as long with fewer of them."""
    reading = (cost["latency_ms"] or 0.0) - (cost["graph_ms"] or 0.0)
    hopeless = limits.latency_ms is not None and reading >= limits.latency_ms
    return bool(beyond(limits, {**cost, "latency_ms": None} if hopeless else cost))


def beyond(limits: Limits, cost: Mapping[str, float | None]) -> str:
    """Which hard limits a deployed model of this cost is over, or an empty string."""
    names = ("latency_ms", "parameters", "megabytes")
    over = [
        f"{name} {cost[name]:g}, the limit is {limit:g}"
        for name in names
        if (limit := getattr(limits, name)) is not None and (cost[name] or 0.0) > limit
    ]
    return "; ".join(over)


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
