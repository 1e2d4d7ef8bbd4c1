"""One candidate -> one outcome: build the network, train it, never raise.

This is all that a worker does, in whatever process or on whatever machine it runs.
"""

from __future__ import annotations

import json
from dataclasses import replace

import torch
from safetensors.torch import load, save
from torch import nn

from automl.metrics import score
from automl.training.folds import cross_validate
from automl.training.module import Begins
from automl.training.predictor import Predictor, network_bytes, network_size, predict
from automl.training.refit import refit
from automl.training.state import TrainingState
from automl.training.train import find_device, train
from nas.family import build
from nas.job import Job, Order, Outcome, one_line
from nas.preflight import SHARE, free_gb, latency_ms, memory_gb, over_limit, row_ms, too_dear, too_slow


def evaluate(job: Job, order: Order) -> Outcome:
    """Train one candidate. Whatever goes wrong becomes an Outcome with that status."""
    parameters = latency = None
    try:
        candidate = order.candidate
        network = build(
            job.families[candidate.family], job.task, candidate, job.axes[candidate.family], seed=order.seed
        )
        parameters = network_size(network)
        if order.weights is not None:
            return trained_again(job, order, network)
        size = network_bytes(network)
        too_big = over_limit(job.task, parameters, size)
        if not too_big and (job.latency or job.task.limits.latency_ms is not None):
            latency = latency_ms(network, job.task, job.train)
            too_big = over_limit(job.task, parameters, size, latency)
        if too_big:
            return Outcome("skipped", parameters=parameters, latency_ms=latency, error=too_big)
        needed, free = memory_gb(network, job.task, job.train, candidate), free_gb(job.device)
        if needed > SHARE * free:
            error = f"training needs about {needed:.1f} GB, {free:.1f} GB are free"
            return Outcome("oom", parameters=parameters, latency_ms=latency, error=error)
        if order.seconds is not None and order.start is None and find_device(job.device).type == "cpu":
            slow = too_slow(network, job.task, job.train, job.valid, candidate, order.epochs, order.seconds)
            if not slow and not order.keep:  # a shorter training has a shorter limit
                slow = too_dear(network, job.task, job.valid, job.answered, order.seconds)
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
        parameters, size = network_size(network), network_bytes(network)  # what was grown has its size now
        if too_big := over_limit(job.task, parameters, size):
            return replace(outcome, status="skipped", parameters=parameters, error=too_big)
        return replace(
            outcome,
            score=fit.score,
            parameters=parameters,
            cut=cut,
            folded=folds is not None,
            predictions=fit.predictions,
            row_ms=row_ms(network, job.task, job.valid),
            weights=save(
                {name: tensor.contiguous().cpu() for name, tensor in fit.state.items()},
                # One entry: safetensors writes several in any order, and equal weights would be other bytes.
                {"trial": json.dumps({"candidate": candidate.id, "bytes": size})},
            ),
            resume=fit.resume.to_bytes() if order.keep and fit.resume is not None else None,
        )
    except (MemoryError, torch.OutOfMemoryError) as error:
        return Outcome("oom", parameters=parameters, latency_ms=latency, error=one_line(error))
    except Exception as error:  # the promise of this function: a bad candidate never ends a search
        return Outcome("failed", parameters=parameters, latency_ms=latency, error=one_line(error))


def trained_again(job: Job, order: Order, network: nn.Module) -> Outcome:
    """A last training. ``score`` and ``predictions`` are of the validation rows, which it has learned from."""
    if not isinstance(network, Begins) or getattr(network, "tuned", False):  # others fit anew to the rows
        network.load_state_dict(load(order.weights or b""))
    fit = refit(
        network,
        job.task,
        job.teaching,
        order.candidate.choices,
        epochs=order.epochs,
        seed=order.seed,
        seconds=order.seconds,
        device=job.device,
    )
    if fit.status != "ok":
        return Outcome(fit.status, seconds=fit.seconds, error=fit.error)
    predictor = Predictor(network, job.task, fit.mean, fit.std)
    answers = predict(predictor, job.valid.inputs, device=find_device(job.device))
    predictor.to("cpu")
    known = score(job.task.metric, job.task.kind, job.valid.y, answers)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    weights = save(state, {"candidate": order.candidate.id})
    return Outcome("ok", known, seconds=fit.seconds, epochs=fit.epochs, predictions=answers, weights=weights)
