"""Multi-layer perceptron: every input flattened, then hidden layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.types import Task
from nas.space import FamilySpace


@dataclass(frozen=True)
class MLP:
    """The family; ``max_width`` bounds the widest hidden layer."""

    max_width: int = 512
    name: str = "mlp"

    def supports(self, task: Task) -> bool:
        return all(i.modality != "text" and not any(i.cardinalities) for i in task.inputs)

    def space(self, task: Task) -> nn.Module:
        return MLPSpace(task, self.max_width)


class MLPSpace(FamilySpace):
    def __init__(self, task: Task, max_width: int) -> None:
        super().__init__()
        depth = self.choose("depth", (1, 2, 3))
        width = self.choose("width", [w for w in (64, 128, 256, 512, 1024) if w <= max_width])
        activation = self.choose("activation", ("relu", "gelu", "silu"))
        norm = self.choose("norm", ("none", "batch"))
        dropout = self.shared("dropout", 0.0)
        layers: list[nn.Module] = []
        size = sum(math.prod(i.shape) for i in task.inputs)
        for _ in range(depth):
            layers.append(nn.Linear(size, width))
            if norm == "batch":
                layers.append(nn.BatchNorm1d(width))
            layers += [{"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}[activation](), nn.Dropout(dropout)]
            size = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(size, task.num_outputs)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Each input (rows, ...) -> (rows, num_outputs)."""
        return self.head(self.body(torch.cat([x.flatten(1) for x in inputs], dim=1)))
