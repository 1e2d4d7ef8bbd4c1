"""One candidate -> one outcome: build the network, train it, never raise.

This is all that a worker does, in whatever process or on whatever machine it runs.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from safetensors.torch import save

from automl.data.dataset import Part
from automl.data.folds import Folds
from automl.training.folds import cross_validate
from automl.training.predictor import network_size
from automl.training.state import TrainingState
from automl.training.train import find_device, train
from automl.types import Axes, Candidate, Family, Status, Task
from nas.family import build
from nas.preflight import SHARE, free_gb, latency_ms, memory_gb, over_limit, too_slow


@dataclass(frozen=True)
class Job:
    """What every training of a search shares; sent to each worker once.

    ``latency``: measure every candidate's latency before it is trained; a limit on it does so too.
    ``folds``: trainings of full length are judged by these instead of by ``valid``, and learn from all their rows.
    """

    task: Task
    train: Part
    valid: Part
    families: Mapping[str, Family]
    axes: Axes
    device: str = "auto"
    latency: bool = False
    folds: Folds | None = None


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

    ``predictions``: probabilities (rows, classes) or values (rows,) for the rows of ``Job.valid``, or of
    ``Job.folds.valid`` when ``folded``. ``weights``: the trained network's state as safetensors bytes, with the
    candidate's id as ``candidate`` in their metadata. Both None unless ok. ``epochs``: really trained; ``cut``: they
    are fewer than asked because time was up, not because the curve was flat. ``latency_ms``: of one row, when it was
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
    cut: bool = False
    folded: bool = False


def evaluate(job: Job, order: Order) -> Outcome:
    """Train one candidate. Whatever goes wrong becomes an Outcome with that status."""
    parameters = latency = None
    try:
        candidate = order.candidate
        network = build(
            job.families[candidate.family], job.task, candidate, job.axes[candidate.family], seed=order.seed
        )
        parameters = network_size(network)
        too_big = over_limit(job.task, parameters)
        if not too_big and (job.latency or job.task.limits.latency_ms is not None):
            latency = latency_ms(network, job.task, job.train)
            too_big = over_limit(job.task, parameters, latency)
        if too_big:
            return Outcome("skipped", parameters=parameters, latency_ms=latency, error=too_big)
        needed, free = memory_gb(network, job.task, job.train, candidate), free_gb(job.device)
        if needed > SHARE * free:
            error = f"training needs about {needed:.1f} GB, {free:.1f} GB are free"
            return Outcome("oom", parameters=parameters, latency_ms=latency, error=error)
        if order.seconds is not None and order.start is None and find_device(job.device).type == "cpu":
            slow = too_slow(network, job.task, job.train, job.valid, candidate, order.epochs, order.seconds)
            if slow:
                return Outcome("timeout", parameters=parameters, latency_ms=latency, error=slow)
        # What may go on later is compared with its like only: one validation split tells enough, and no training per
        # fold is spent on what will be given up.
        folds = None if order.keep else job.folds
        if folds is not None:
            # Afresh: the training on all rows can only repeat what the folds did in one go.
            crossed = cross_validate(
                network,
                job.task,
                folds,
                candidate.choices,
                epochs=order.epochs,
                seed=order.seed,
                seconds=order.seconds,
                device=job.device,
            )
            fit, cut = crossed.fit, crossed.cut
        else:
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
                start=None if order.start is None else TrainingState.from_bytes(order.start),
            )
            cut = fit.resume is None  # a training that was cut in mid-epoch leaves no place to go on from
        outcome = Outcome(
            fit.status,
            curve=fit.curve,
            seconds=fit.seconds,
            epochs=fit.epochs,
            parameters=parameters,
            error=fit.error,
            latency_ms=latency,
        )
        if fit.status != "ok" or fit.state is None:
            return outcome
        return replace(
            outcome,
            score=fit.score,
            cut=cut,
            folded=folds is not None,
            predictions=fit.predictions,
            weights=save(
                {name: tensor.contiguous().cpu() for name, tensor in fit.state.items()}, {"candidate": candidate.id}
            ),
            resume=fit.resume.to_bytes() if order.keep and fit.resume is not None else None,
        )
    except (MemoryError, torch.OutOfMemoryError) as error:
        return Outcome("oom", parameters=parameters, latency_ms=latency, error=one_line(error))
    except Exception as error:  # the promise of this function: a bad candidate never ends a search
        return Outcome("failed", parameters=parameters, latency_ms=latency, error=one_line(error))


def one_line(error: BaseException) -> str:
    """Type, message and the innermost place, short enough for a table."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}"[:400] + place
