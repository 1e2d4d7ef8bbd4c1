"""Train one network on one task: the step that everything above repeats."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from automl.training.lightning import pl  # isort: skip  # before anything else imports Lightning

import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.trainer.connectors import callback_connector
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn

from automl.data.dataset import Part
from automl.training.memory import give_back
from automl.training.module import Diverged, OutOfTime, Training
from automl.training.options import Options
from automl.training.predictor import Predictor, network_size, target_scale
from automl.training.state import TrainingState
from automl.types import Choices, Status, Task

# What a Trainer costs apart from training, measured for tiny networks and taken away here:
# - it searches all installed packages for callbacks, 9 ms each time; the answer never changes within a process.
_scan = callback_connector._load_external_callbacks  # pyright: ignore[reportPrivateImportUsage]
callback_connector._load_external_callbacks = functools.cache(_scan)  # pyright: ignore[reportPrivateImportUsage]
# - Lightning makes torch ask NVML whether there is a GPU, and torch asks in every optimizer step: 0.1 ms without a GPU,
#   so it is made to ask otherwise there (in ``_fit``: whoever imports this may fork, which a question may forbid).


@dataclass(frozen=True)
class Fit:
    """What a training came to.

    ``status``: ok | failed | timeout | oom | diverged. ``score``: the metric (higher is better) of the best epoch on
    the validation rows; None unless ok with validation. ``curve``: the score after each epoch, those before
    ``start`` included. ``predictions``: of the best epoch for the validation rows, probabilities (rows, classes) or
    values (rows,).
    ``epochs``: done so far; ``best_epoch``: 1 is the first. ``seconds``: of this call. ``parameters``: of the network.
    ``state``: the network's best weights, on the CPU. ``mean``, ``std``: of the training targets (regression).
    ``resume``: to go on from here. ``error``: one line.
    """

    status: Status
    score: float | None = None
    curve: tuple[float, ...] = ()
    predictions: np.ndarray | None = None
    seconds: float = 0.0
    epochs: int = 0
    best_epoch: int = 0
    parameters: int = 0
    state: dict[str, Tensor] | None = None
    mean: float = 0.0
    std: float = 1.0
    resume: TrainingState | None = None
    error: str = ""


def train(
    network: nn.Module,
    task: Task,
    train: Part,
    valid: Part | None,
    choices: Choices,
    *,
    epochs: int,
    seed: int,
    seconds: float | None = None,
    device: str = "auto",
    horizon: int | None = None,
    start: TrainingState | None = None,
    history: list[np.ndarray] | None = None,
) -> Fit:
    """Train ``network`` in place up to ``epochs`` epochs and leave it with its best weights, on the CPU, in eval mode.

    ``choices``: see ``Options``; others are passed over. ``valid``: None trains without looking (refit): the last
    weights are the best. ``device``: auto | cpu | cuda | cuda:1. ``horizon``: epochs that the schedule spans, by
    default ``epochs``; with the same horizon, stopping and going on from ``start`` gives the same curve as not
    stopping. ``history``: a list that takes in the validation predictions of each epoch of this call.

    ``seconds`` ends the training in mid-epoch; what it learned till then is validated, so that it is ok with the best
    so far, and a timeout only where there was no time for a step and a validation. A training that will not keep its
    time brings its rates down in the time it has; one without ``valid`` is a timeout where it could not.
    Early stop: after ``Options.patience`` epochs without a better one.
    The same seed and thread count give the same result. The global random state is as before afterwards.
    Raises nothing: whatever goes wrong is the Fit's status and error.
    """
    give_back()  # of the training before this one: its rows and its network are out of reach by now
    began = time.monotonic()
    run: Training | None = None
    mean, std = target_scale(task, train)
    parameters = network_size(network)
    try:
        where = find_device(device)
        with quiet(), torch.random.fork_rng([where.index or 0] if where.type == "cuda" else []):
            run = Training(
                Predictor(network, task, mean, std).to(where),
                task,
                Options.of(choices),
                train,
                valid,
                epochs=epochs,
                horizon=horizon or epochs,
                seed=seed,
                deadline=None if seconds is None else began + seconds,
                device=where,
                history=history,
            )
            if start is None:
                run.begin()
            else:
                run.resume(start)
            _fit(run, epochs - run.epoch, where)
            resume = run.finish()
    except Exception as failure:
        status, error = _reason(failure)
        if run is not None:
            run.release()
        with contextlib.suppress(Exception):  # a GPU that failed may not give it back
            network.to("cpu")
        if status == "oom" and torch.cuda.is_available():
            torch.cuda.empty_cache()
        return Fit(
            status,
            curve=tuple(run.curve) if run is not None else (),
            seconds=time.monotonic() - began,
            epochs=len(run.curve) if run is not None else 0,
            parameters=parameters,
            error=error,
        )
    return Fit(
        "ok",
        score=max(run.curve, default=None),
        curve=tuple(run.curve),
        predictions=run.predictions,
        seconds=time.monotonic() - began,
        epochs=run.epoch,
        best_epoch=run.best_epoch,
        parameters=network_size(network),  # some have grown
        state=run.best,
        mean=mean,
        std=std,
        resume=resume,
    )


def find_device(name: str) -> torch.device:
    """The device of a name: auto (the first GPU if there is one) | cpu | cuda | cuda:1."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else device


def _fit(run: Training, epochs: int, device: torch.device) -> None:
    """Let Lightning train for so many epochs."""
    if epochs < 1:
        return
    if not torch.cuda.is_available():
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    cuda = device.type == "cuda"
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cuda" if cuda else "cpu",
        devices=[device.index] if cuda else 1,
        precision=precision_on(device),
        barebones=True,  # no logger, checkpoints, bars or sanity checks
        plugins=[LightningEnvironment()],  # one process, also inside a Slurm job
    )
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(run, run.loader)
    except OutOfTime:
        run.end_early()
    except SIGTERMException:
        raise
    except SystemExit:  # Lightning turns Ctrl-C into an exit and leaves SIGINT ignored: turn it back
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


def precision_on(device: torch.device) -> Literal["bf16-mixed", "32-true"]:
    """Mixed where the device computes in bfloat16: one that only emulates it is slower than in float32."""
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if fast else "32-true"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's remarks on devices, loaders and bare bones from the user's terminal."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(failure: Exception) -> tuple[Status, str]:
    """Status and one line for what went wrong."""
    if isinstance(failure, OutOfTime):
        return "timeout", str(failure)
    if isinstance(failure, Diverged):
        return "diverged", str(failure)
    frame = traceback.extract_tb(failure.__traceback__)[-1]
    first = (str(failure).strip().splitlines() or [""])[0]
    line = f"{type(failure).__name__}: {first} ({Path(frame.filename).name}:{frame.lineno})"
    text = str(failure).lower()
    full = isinstance(failure, (MemoryError, torch.OutOfMemoryError)) or any(
        sign in text for sign in ("out of memory", "can't allocate memory", "not enough memory")
    )
    return ("oom" if full else "failed"), line
