"""Train the chosen network once more, on training and validation rows together."""

from __future__ import annotations

import numpy as np
from torch import nn

from automl.data.dataset import Part
from automl.training.train import Fit, train
from automl.types import Choices, Task


def joined(first: Part, second: Part) -> Part:
    """The rows of both parts, in order."""
    return Part(
        inputs=tuple(np.concatenate(pair) for pair in zip(first.inputs, second.inputs, strict=True)),
        y=np.concatenate([first.y, second.y]),
        rows=np.concatenate([first.rows, second.rows]),
    )


def refit(
    network: nn.Module,
    task: Task,
    train_part: Part,
    valid_part: Part,
    choices: Choices,
    *,
    epochs: int,
    horizon: int,
    seed: int,
    seconds: float | None = None,
    device: str = "auto",
) -> Fit:
    """Train a fresh ``network`` on both parts for as many ``epochs`` as the first training.

    Nothing is left to choose an epoch by. Not the first training's best epoch either: among few validation rows that is
    chance, and it lies where the learning rate is still high. The schedule (``horizon``: the epochs that the first
    training was planned for) is that of the first. The result has no score and no predictions. Where ``seconds`` are
    not enough the rates are brought down in them; where there was no time for that it is a timeout: keep the first
    weights then.
    """
    return train(
        network,
        task,
        joined(train_part, valid_part),
        None,
        choices,
        epochs=epochs,
        horizon=horizon,
        seed=seed,
        seconds=seconds,
        device=device,
    )
