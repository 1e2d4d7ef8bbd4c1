"""Train the chosen network once more, on training and validation rows together."""

from __future__ import annotations

from torch import nn

from automl.data.dataset import Part
from automl.training.train import Fit, train
from automl.types import Choices, Task


def refit(
    network: nn.Module,
    task: Task,
    rows: Part,
    choices: Choices,
    *,
    epochs: int,
    horizon: int,
    seed: int,
    seconds: float | None = None,
    device: str = "auto",
) -> Fit:
    """Train a fresh ``network`` on ``rows`` (``Parts.teaching``) for as many ``epochs`` as the first training.

    Nothing is left to choose an epoch by. Not the first training's best epoch either: among few validation rows that is
    chance, and it lies where the learning rate is still high. The schedule (``horizon``: the epochs that the first
    training was planned for) is that of the first. The result has no score and no predictions. Where ``seconds`` are
    not enough the rates are brought down in them; where there was no time for that it is a timeout: keep the first
    weights then.
    """
    return train(
        network,
        task,
        rows,
        None,
        choices,
        epochs=epochs,
        horizon=horizon,
        seed=seed,
        seconds=seconds,
        device=device,
    )
