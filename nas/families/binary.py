"""Binary networks: hidden weights and activations are +1 and -1, first and last layer are float.

Shortcuts carry the float activations past each binary layer, as in Bi-Real Net (Liu et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from automl.models.binary.layers import BinaryConv2d, BinaryLinear
from automl.models.layers.common import choose
from automl.models.layers.image import MapPool, is_image_task, shrunk, stage_options, stem, stem_strides
from automl.types import Task
from nas.families.mlp import flat, vector_size
from nas.family import FamilySpace


@dataclass(frozen=True)
class Binary:
    """``widths``: options for the channels of the first stage; a layer of vectors has 16 times as many units.

    ``twin``: the same network in float, to compare with.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    twin: bool = False
    name: str = "binary"
    level: ClassVar[int] = 0

    def supports(self, task: Task) -> bool:
        return all(i.modality != "text" for i in task.inputs)

    def space(self, task: Task) -> nn.Module:
        return (BinaryMaps if is_image_task(task) else BinaryVectors)(task, tuple(self.widths), self.twin)


class BinaryMaps(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...], twin: bool) -> None:
        super().__init__()
        channels, height, width = task.inputs[0].shape
        stages = choose(self, "stages", stage_options(height, width))
        depth = self.choose("depth", (1, 2, 3))
        wide = self.choose("width", widths)
        strides = stem_strides(height, width)
        stride = strides[choose(self, "resolution", tuple(strides))]
        dropout = self.shared("dropout", 0.0)

        self.stem = stem(channels, wide, stride)
        side = min(shrunk(task.inputs[0].shape, stride))
        layers: list[nn.Module] = []
        for stage in range(stages):
            size = wide * 2**stage
            if stage:
                layers.append(nn.Conv2d(size // 2, size, 1))
                if side >= 2:
                    layers.append(nn.MaxPool2d(2))
                    side //= 2
            for _ in range(depth):
                layer = nn.Conv2d(size, size, 3, padding=1) if twin else BinaryConv2d(size, size)
                layers.append(Shortcut(layer, nn.BatchNorm2d(size)))
        self.body = nn.Sequential(*layers)
        self.pool = MapPool("average")
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(wide * 2 ** (stages - 1), task.num_outputs)

    def forward(self, image: Tensor) -> Tensor:
        """(rows, channels, height, width) -> (rows, num_outputs)."""
        return self.head(self.dropout(self.pool(self.body(self.stem(image)))))


class BinaryVectors(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...], twin: bool) -> None:
        super().__init__()
        depth = self.choose("depth", (1, 2, 3))
        wide = 16 * self.choose("width", widths)
        dropout = self.shared("dropout", 0.0)

        self.inputs = nn.ModuleList(flat(i, "none") for i in task.inputs)
        size = sum(vector_size(i, module) for i, module in zip(task.inputs, self.inputs, strict=True))
        self.first = nn.Sequential(nn.Linear(size, wide), nn.BatchNorm1d(wide))
        self.body = nn.Sequential(
            *(
                Shortcut(nn.Linear(wide, wide) if twin else BinaryLinear(wide, wide), nn.BatchNorm1d(wide))
                for _ in range(depth)
            )
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(wide, task.num_outputs)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Each input (rows, ...) -> (rows, num_outputs)."""
        vectors = [module(x) for module, x in zip(self.inputs, inputs, strict=True)]
        return self.head(self.dropout(self.body(self.first(torch.cat(vectors, dim=1)))))


class Shortcut(nn.Module):
    """x + norm(layer(x)); the sign that a binary layer begins with is its activation, the twin has a hard tanh."""

    def __init__(self, layer: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        binary = isinstance(layer, BinaryConv2d | BinaryLinear)
        self.activation = nn.Identity() if binary else nn.Hardtanh()
        self.layer, self.norm = layer, norm

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.layer(self.activation(x)))
