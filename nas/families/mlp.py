"""Multi-layer perceptron: every input flattened, then hidden layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.models.layers.common import activation, choose, vector_norm
from automl.models.layers.tabular import ColumnVector, numeric_options
from automl.types import Input, Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class MLP:
    """The family; ``max_width`` bounds the widest hidden layer."""

    max_width: int = 1024
    name: str = "mlp"

    def supports(self, task: Task) -> bool:
        return all(i.modality != "text" for i in task.inputs)

    def space(self, task: Task) -> nn.Module:
        return MLPSpace(task, self.max_width)


class MLPSpace(FamilySpace):
    def __init__(self, task: Task, max_width: int) -> None:
        super().__init__()
        depth = self.choose("depth", (1, 2, 3, 4))
        width = self.choose("width", [w for w in (64, 128, 256, 512, 1024) if w <= max_width])
        act = self.choose("activation", ("relu", "gelu", "silu"))
        norm = self.choose("norm", ("none", "batch", "layer"))
        numeric = choose(self, "numeric", numeric_options(task.inputs))
        dropout = self.shared("dropout", 0.0)

        self.inputs = nn.ModuleList(flat(i, numeric) for i in task.inputs)
        size = sum(vector_size(i, module) for i, module in zip(task.inputs, self.inputs, strict=True))
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(size, width), vector_norm(norm, width), activation(act), nn.Dropout(dropout)]
            size = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(size, task.num_outputs)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Each input (rows, ...) -> (rows, num_outputs)."""
        vectors = [module(x) for module, x in zip(self.inputs, inputs, strict=True)]
        return self.head(self.body(torch.cat(vectors, dim=1)))


def flat(of: Input, numeric: str) -> nn.Module:
    """The module that makes one vector per row of an input."""
    return ColumnVector(of, numeric) if of.modality == "tabular" else nn.Flatten()


def vector_size(of: Input, module: nn.Module) -> int:
    """Length of that vector."""
    return module.size if isinstance(module, ColumnVector) else math.prod(of.shape)
