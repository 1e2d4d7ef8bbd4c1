"""Convolutional network whose candidates can share their weights: what NNI's one-shot strategies search."""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

from dataclasses import dataclass

import torch
from nni.nas.nn.pytorch import LayerChoice
from torch import Tensor, nn

from automl.models.layers.image import conv_unit, is_image_task, stage_options, stem
from automl.types import Task
from nas.family import FamilySpace

OPERATIONS = ("conv1", "conv3", "conv5", "separable3", "separable5")


@dataclass(frozen=True)
class ConvNetShared:
    """``width``: channels of the first stage, which double at each further one. ``depth``: blocks of a stage."""

    width: int = 16
    depth: int = 2
    max_stages: int = 3
    name: str = "convnet_shared"

    def supports(self, task: Task) -> bool:
        return is_image_task(task)

    def space(self, task: Task) -> nn.Module:
        return ConvNetSharedSpace(task, self.width, self.depth, self.max_stages)


class ConvNetSharedSpace(FamilySpace):
    """Stages of residual blocks; the operation of each block is an axis ``op1``, ``op2``, ... written as LayerChoice.

    Shapes are the same whatever is chosen, so one network holds all candidates.
    """

    def __init__(self, task: Task, width: int, depth: int, max_stages: int) -> None:
        super().__init__()
        channels, height, wide = task.inputs[0].shape
        stages = min(max_stages, max(stage_options(height, wide)))
        stride = 1
        while min(height, wide) / stride > 48:
            stride *= 2
        self.stem = stem(channels, width, stride)
        layers: list[nn.Module] = []
        for stage in range(stages):
            size = width * 2**stage
            if stage:
                layers += [nn.MaxPool2d(2), conv_unit(size // 2, size, 1)]
            layers += [Block(size, f"op{stage * depth + i + 1}") for i in range(depth)]
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(self.shared("dropout", 0.0))
        self.head = nn.Linear(width * 2 ** (stages - 1), task.num_outputs)

    def forward(self, image: Tensor) -> Tensor:
        """(rows, channels, height, width) -> (rows, num_outputs)."""
        return self.head(self.dropout(self.body(self.stem(image)).mean(dim=(2, 3))))


class Block(nn.Module):
    """relu(x + operation(x)), the operation to be chosen."""

    def __init__(self, size: int, label: str) -> None:
        super().__init__()
        self.op = LayerChoice({name: operation(name, size) for name in OPERATIONS}, label=label)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.op(x))


def operation(name: str, size: int) -> nn.Module:
    """A convolution over (rows, size, height, width) that keeps the shape, with batch norm."""
    kernel = int(name[-1])
    if name.startswith("separable"):
        spatial = conv_unit(size, size, kernel, groups=size)
        return nn.Sequential(spatial, conv_unit(size, size, 1, act=nn.Identity()))
    return conv_unit(size, size, kernel, act=nn.Identity())
