"""Train the chosen network once more, on training and validation rows together."""

from __future__ import annotations

import math

from torch import nn

from automl.data.dataset import Part
from automl.training import named
from automl.training.options import Options
from automl.training.train import Fit, train
from automl.types import Choices, Task

SHARE, RATE = 0.25, 0.3
"""Of the first training's epochs, and of its learning rate: ``+experiment=bench/refit``. On ten runs on data of all
kinds (docs/benchmarks.md) it is as good as training afresh, in half of its time and less; afresh in half of its time is
worse than not at all."""


def shorter(epochs: int) -> int:
    """Epochs of a last training after a first one of so many."""
    return max(math.ceil(SHARE * epochs), 1)


def refit(
    network: nn.Module,
    task: Task,
    rows: Part,
    choices: Choices,
    *,
    epochs: int,
    seed: int,
    seconds: float | None = None,
    device: str = "auto",
) -> Fit:
    """Let a trained ``network`` go on, on ``rows`` (``Parts.teaching``), after a first training of so many ``epochs``.

    The second way to use the validation rows of Goodfellow et al. 2016, Deep Learning, section 7.8: shorter and slower
    than the first training, see ``SHARE``. What a network fits before its first step (``Begins``) is fitted to these
    rows. Nothing is left to choose an epoch by, so the last weights count. The result has no score and no predictions.
    Where ``seconds`` are not enough the rates are brought down in them; where there was no time for that it is a
    timeout: keep the first weights then.
    """
    first = Options.of(choices)
    slower = {"learning_rate": RATE * first.learning_rate, "optimizer": named.slower(first.optimizer, RATE)}
    length = shorter(epochs)
    return train(
        network,
        task,
        rows,
        None,
        {**choices, **slower},
        epochs=length,
        horizon=length,
        seed=seed,
        seconds=seconds,
        device=device,
    )
