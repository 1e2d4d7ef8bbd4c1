"""From finished trials to a bundle: ensemble, export, and the one look at the test split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.dataset import Dataset, taken
from automl.data.prepare import Prepared
from automl.deploy.bundle import Bundle
from automl.deploy.importance import Importances, importance
from automl.metrics import score, scores
from automl.types import Trial
from automl.uncertainty.calibrate import Answers, told
from experiments.events import Events
from experiments.solve.artifacts import Artifacts
from experiments.solve.limits import beyond
from experiments.solve.networks import Networks
from experiments.solve.simple import Simple, simple_model
from nas.engines.base import Engine
from nas.time import Clock, importance_seconds, simple_seconds


@dataclass(frozen=True)
class Finished:
    """``members``: of the ensemble, as result.json lists them; ``chosen`` is the heaviest.

    ``val``, ``test``: metric -> value, the latter empty where no rows were held out to test. ``test_predictions``: what
    the exported model answered for the test rows, probabilities (rows, classes) or values (rows,). ``judged_by``: the
    rows behind ``val``, for people.
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
    bundle: Bundle
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
    """Choose -> refit -> calibrate -> export -> measure, until a model stands; then judge it once on the test split, if
    there is one.

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
    simple: Callable[[], Simple | None] | None = None
    while True:
        with events.during("refit"):
            members = networks.chosen(ensemble)
            if not networks.rebuilt(members):
                continue
            networks.refit(members, refit, clock)
        with events.during("export"):
            # The workers have nothing to do now, but until the last trainings ended they had.
            simple = simple or simple_model(engine, prepared.task, prepared.parts, simple_seconds(clock.seconds))
            found = networks.within(members, calibrated, folder / "bundle", dataset, notes, quiet=simple)
            if found is None:
                simple()  # another network may be trained once more now
                continue
            members, model, cost = found
            over = beyond(prepared.task.limits, cost)
            if over:
                notes.append(f"the model is over a limit: {over}")
            break
    with events.during("export"):
        loaded = Bundle.load(folder / "bundle")
        told_test = networks.told_test  # by the graph as it was exported
        if told_test is None or loaded.variant:
            told_test = loaded.outputs_encoded(prepared.parts.test.inputs)
        known = Answers(told_test[0], prepared.parts.test.y, told_test[1] if len(told_test) > 1 else None)
        judge = partial(scores, prepared.task.kind, known.y, known.prediction)
        test = judge(weights=model.weights) if len(known) else {}
        asked = prepared.parts.held or networks.rows
        each = taken(asked, asked.once)  # a copy would stand in for the row that is shuffled
        looked_at = importance(
            *(loaded.predict_encoded, prepared.encoding, each.inputs, each.y),
            partial(score, prepared.task.metric, prepared.task.kind, weights=model.decides),
            importance_seconds(clock.seconds),
        )
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
        bundle=loaded,
        cost=cost,
        within_limits=not over,
        importance=looked_at,
        learned=asked is networks.rows
        and (networks.folds is not None or any(networks.again[t.number] is not None for t, _ in members)),
        simple=simple(),
        judged_by=networks.judged_by,
        notes=(*(f"left out: {why}" for why in networks.left_out.values()), *notes),
        calibration=None if model.calibration is None else told(model.calibration, known),
        weights=model.weights,
        plain=None if model.weights is None or not test else judge(),
    )
