"""The training choices that every family shares, with their defaults."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from automl.types import Choices


@dataclass(frozen=True)
class Options:
    """How a network is trained.

    ``learning_rate``: peak, in AdamW's units: other optimizers scale it (see ``automl.training.optim``), so that
    one grid serves all. ``weight_decay``: decoupled, likewise; norms and biases have none.
    ``optimizer``: adamw | sgd | lion. ``schedule``: cosine | onecycle | constant.
    ``loss``: cross_entropy | focal | class_weighted for classes; mse | huber | quantile for values; "" takes the
    first of the task's kind. ``label_smoothing``: 0 to 1, classes only.
    Optimizer, schedule and loss may also be torch's own, with arguments: ``automl.training.named``.
    ``augment``: none | light | medium | strong, or image operations in order: ``automl.training.transforms``.
    ``mixup``: alpha of the Beta distribution, 0 switches it off.
    ``ema``: validate and keep a moving average of the weights. ``clip``: largest gradient norm, 0 switches it off.
    ``patience``: epochs without improvement before the training stops; 0 takes a third of its length, at least 5.

    Rate and decay are torch's of AdamW. ``batch_size`` and ``clip`` are by judgement: most families search the first,
    and a norm of 1 leaves all but the odd step as it is.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    batch_size: int = 128
    optimizer: str = "adamw"
    schedule: str = "cosine"
    loss: str = ""
    label_smoothing: float = 0.0
    augment: str = "none"
    mixup: float = 0.0
    ema: bool = False
    clip: float = 1.0
    patience: int = 0

    @classmethod
    def of(cls, choices: Choices) -> Options:
        """Pick the training choices out of all choices of a candidate; those of its architecture are passed over."""
        names = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in choices.items() if name in names})  # type: ignore[arg-type]
