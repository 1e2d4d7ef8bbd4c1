"""One candidate -> one outcome: build the network, train it, never raise.

This is all that a worker does, in whatever process or on whatever machine it runs.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from automl.training.train import train
from safetensors.torch import save

from automl.data.dataset import Part
from automl.types import Axes, Candidate, Family, Status, Task
from nas.space import build


@dataclass(frozen=True)
class Job:
    """What every training of a search shares; sent to each worker once."""

    task: Task
    train: Part
    valid: Part
    families: Mapping[str, Family]
    axes: Axes
    device: str = "auto"


@dataclass(frozen=True)
class Order:
    """One training: up to ``epochs``, within ``seconds`` of wall time (None: no limit).

    ``start``: the ``Outcome.resume`` of a shorter training of the same candidate, to go on from; None starts afresh.
    ``keep``: whether the training may be continued later, so that the outcome must hold its state.
    """

    candidate: Candidate
    epochs: int
    seed: int
    seconds: float | None = None
    start: bytes | None = None
    keep: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of an order.

    ``predictions``: validation probabilities (rows, classes) or values (rows,). ``weights``: the trained network's
    state as safetensors bytes. Both None unless ok. ``epochs``: really trained. ``latency_ms``: of one row, when it was
    asked for. ``resume``: what a longer training goes on from, when the order asked to keep it.
    """

    status: Status
    score: float | None = None
    curve: tuple[float, ...] = ()
    seconds: float = 0.0
    epochs: int = 0
    parameters: int | None = None
    error: str = ""
    predictions: np.ndarray | None = None
    weights: bytes | None = None
    latency_ms: float | None = None
    resume: bytes | None = None


def evaluate(job: Job, order: Order) -> Outcome:
    """Train one candidate. Whatever goes wrong becomes an Outcome with that status."""
    parameters = None
    try:
        candidate = order.candidate
        network = build(
            job.families[candidate.family], job.task, candidate, job.axes[candidate.family], seed=order.seed
        )
        parameters = sum(p.numel() for p in network.parameters())
        too_big = over_limit(job.task, parameters)
        if too_big:
            return Outcome("skipped", parameters=parameters, error=too_big)
        fit = train(
            network,
            job.task,
            job.train,
            job.valid,
            candidate.choices,
            epochs=order.epochs,
            seed=order.seed,
            seconds=order.seconds,
            device=job.device,
        )
        if fit.status != "ok":
            return Outcome(fit.status, None, fit.curve, fit.seconds, fit.epochs, parameters, fit.error)
        weights = save({name: tensor.contiguous().cpu() for name, tensor in fit.state.items()})
        return Outcome("ok", fit.score, fit.curve, fit.seconds, fit.epochs, parameters, "", fit.predictions, weights)
    except (MemoryError, torch.OutOfMemoryError) as error:
        return Outcome("oom", parameters=parameters, error=one_line(error))
    except Exception as error:  # the promise of this function: a bad candidate never ends a search
        return Outcome("failed", parameters=parameters, error=one_line(error))


def over_limit(task: Task, parameters: int) -> str:
    """Which hard limit a network of this size breaks, or an empty string."""
    limits = task.limits
    megabytes = parameters * 4 / 1e6
    if limits.parameters is not None and parameters > limits.parameters:
        return f"{parameters} parameters, the limit is {limits.parameters}"
    if limits.megabytes is not None and megabytes > limits.megabytes:
        return f"{megabytes:.2f} MB of weights, the limit is {limits.megabytes}"
    return ""


def one_line(error: BaseException) -> str:
    """Type, message and the innermost place, short enough for a table."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}"[:400] + place
