"""The training axes that every family shares: finite, ordered grids, from cautious to bold.

``automl.training.train`` reads the choices; ``dropout`` is read by the networks while they are built.
"""

from __future__ import annotations

from automl.types import Axis, Task


def training_axes(task: Task) -> tuple[Axis, ...]:
    """The shared axes for a task; what only makes sense for classification is left out for regression."""
    axes = [
        Axis("learning_rate", (0.0003, 0.001, 0.003, 0.01)),
        Axis("weight_decay", (0.0, 0.0001, 0.01, 0.1)),
        Axis("batch_size", (32, 64, 128, 256)),
        Axis("optimizer", ("adamw", "sgd")),
        Axis("schedule", ("cosine", "onecycle")),
        Axis("dropout", (0.0, 0.1, 0.3)),
        Axis("augment", ("none", "light", "medium")),
    ]
    if task.kind != "regression":
        axes.append(Axis("label_smoothing", (0.0, 0.1)))
    return tuple(axes)
