"""What a dictionary would train, before anything is: shapes layer by layer, parameters, memory."""

from __future__ import annotations

import math
from typing import Any

import torch
from omegaconf import DictConfig

from automl.data.prepare import Prepared
from automl.models.listed.blocks import Entry
from automl.models.listed.build import planned
from automl.models.listed.errors import LayerError
from automl.training.options import Options
from automl.training.predictor import network_size
from automl.types import Axis, Candidate, Task, active_choices
from experiments.jobs.dictionary import Wanted, placed
from experiments.options import made, made_families
from metalearner.profile import profile
from nas.family import build, search_axes
from nas.recipe import training_axes

BYTES = 4  # of a number


def about(wanted: Wanted, cfg: DictConfig, prepared: Prepared) -> dict[str, Any]:
    """Raises LayerError for layers and a training that do not fit the task."""
    task, parts = prepared.task, prepared.parts
    families = made_families(cfg)
    at, what = ("/layers", "a list of layers") if wanted.layers is not None else ("/model", wanted.model)
    if not any(family.supports(task) for family in families.values()):
        inputs = " and ".join(sorted({i.modality for i in task.inputs}))
        raise LayerError(at, f"{what} cannot learn from {inputs} input of {task.kind}", "Write another model")
    with placed(at):
        axes = search_axes(families, task, training_axes(task))
    ((name, own),) = axes.items()
    choices = first(cfg, prepared, axes, name)
    said: dict[str, Any] = {
        "task": {
            "kind": task.kind,
            "metric": task.metric,
            "classes": list(task.classes),
            "inputs": {i.name: {"modality": i.modality, "shape": list(i.shape)} for i in task.inputs},
            "rows": {"learn": len(prepared.learned), "test": len(parts.test), "judged_by": prepared.judging},
        },
        "choices": [{"name": a.name, "options": list(a.options)} for a in own if len(a.options) > 1],
        "trials": min(wanted.trials, math.prod(len(axis.options) for axis in own)),
        "epochs": wanted.epochs,
        "seconds": wanted.seconds,
    }
    if wanted.layers is not None:
        listing, entry = families["layers"].listing, Entry(task.inputs[0])  # type: ignore[attr-defined]
        plan = planned(listing.fixed(choices), entry.shape, task.num_outputs, task.inputs[0].vocabulary)
        # Two numbers are kept of each that a layer gives: for the way back, and its gradient.
        numbers = 2 * sum(math.prod(step.shape) for step in plan.steps)
        return said | {
            "layers": [{"at": s.path, "shape": list(s.shape), "parameters": s.parameters} for s in plan.steps],
            "parameters": plan.parameters,
            "memory_mb": memory_mb(plan.parameters, numbers, choices),
        }
    parameters = size_of(task, families[name], Candidate(name, choices), own)
    return said | {"layers": [], "parameters": parameters, "memory_mb": memory_mb(parameters, 0, choices)}


def first(cfg: DictConfig, prepared: Prepared, axes: Any, name: str) -> dict[str, Any]:
    """The choices of the candidate that is trained first."""
    learner = made(cfg, "metalearner")
    task = prepared.task
    prior = learner.predict(profile(task, prepared.parts.train, prepared.dataset, seed=int(cfg.seed)), axes)
    for candidate in prior.portfolio:
        if candidate.family == name:
            return dict(candidate.choices)
    return active_choices(axes[name], {axis.name: axis.options[0] for axis in axes[name]})


def size_of(task: Task, family: Any, candidate: Candidate, axes: tuple[Axis, ...]) -> int | None:
    """Parameters of a candidate, counted on torch's ``meta`` device; None where that has no such operation."""
    try:
        with torch.device("meta"):
            return network_size(build(family, task, candidate, axes, seed=0))
    except Exception:  # whatever a network does with numbers that are not there
        return None


def memory_mb(parameters: int | None, numbers: int, choices: dict[str, Any]) -> float | None:
    """About what training fills: weights, gradients, moments, the best weights, and a batch between the layers."""
    if parameters is None:
        return None
    batch = Options.of(choices).batch_size
    return round((parameters * 5 + numbers * batch) * BYTES / 1e6, 3)
