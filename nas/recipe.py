"""The training axes that every family shares: finite, ordered grids, from cautious to bold.

``automl.training.train`` reads the choices; ``dropout`` is read by the networks while they are built.
"""

from __future__ import annotations

from automl.data.augment import STRENGTHS, can_mix
from automl.training.losses import CLASSES, VALUES
from automl.types import Axis, Task


def training_axes(task: Task) -> tuple[Axis, ...]:
    """The shared axes for a task: a loss of its kind, mixup where its inputs can be blended."""
    values = task.kind == "regression"
    axes = [
        Axis("learning_rate", (0.0003, 0.001, 0.003, 0.01)),
        Axis("weight_decay", (0.0, 0.0001, 0.01, 0.1)),
        Axis("batch_size", (32, 64, 128, 256)),
        Axis("optimizer", ("adamw", "sgd", "lion")),
        Axis("schedule", ("cosine", "onecycle")),
        Axis("loss", tuple(VALUES) if values else tuple(CLASSES)),
        Axis("dropout", (0.0, 0.1, 0.3)),
        Axis("augment", STRENGTHS),
        Axis("ema", (False, True)),
    ]
    if can_mix(task.inputs):
        axes.append(Axis("mixup", (0.0, 0.2)))
    if not values:
        axes.append(Axis("label_smoothing", (0.0, 0.1)))
    return tuple(axes)
