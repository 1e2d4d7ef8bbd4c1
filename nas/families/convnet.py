"""Convolutional network for images and spectrograms: stages of plain, residual or depthwise blocks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from automl.models.layers.common import choose
from automl.models.layers.image import (
    MapPool,
    channels_last,
    conv_unit,
    is_image_task,
    shrunk,
    stage_options,
    stem,
    stem_strides,
)
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class ConvNet:
    """``widths``: options for the channels of the first stage, which double at each further stage."""

    widths: tuple[int, ...] = (16, 32, 64)
    name: str = "convnet"

    def supports(self, task: Task) -> bool:
        return is_image_task(task)

    def space(self, task: Task) -> nn.Module:
        return ConvNetSpace(task, tuple(self.widths))


class ConvNetSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, width = task.inputs[0].shape
        block = self.choose("block", ("plain", "residual", "depthwise"))
        stages = choose(self, "stages", stage_options(height, width))
        depth = self.choose("depth", (1, 2, 3))
        wide = self.choose("width", widths)
        kernel = self.choose("kernel", (3, 5))
        strides = stem_strides(height, width)
        stride = strides[choose(self, "resolution", tuple(strides))]
        pool = self.choose("pool", ("average", "max"))
        dropout = self.shared("dropout", 0.0)

        self.stem = stem(channels, wide, stride)
        side = min(shrunk(task.inputs[0].shape, stride))
        layers: list[nn.Module] = []
        size = wide
        for stage in range(stages):
            if stage and side >= 2:
                layers.append(nn.MaxPool2d(2))
                side //= 2
            for _ in range(depth):
                layers.append(Block(size, wide * 2**stage, kernel, block))
                size = wide * 2**stage
        self.body = nn.Sequential(*layers)
        self.pool = MapPool(pool)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(size, task.num_outputs)

    def forward(self, image: Tensor) -> Tensor:
        """(rows, channels, height, width) -> (rows, num_outputs)."""
        return self.head(self.dropout(self.pool(self.body(channels_last(self.stem(image))))))


class Block(nn.Module):
    """Convolution, norm, activation; ``residual`` adds the input, ``depthwise`` splits space and channels."""

    def __init__(self, size: int, out: int, kernel: int, form: str) -> None:
        super().__init__()
        if form == "depthwise":
            # norms and an activation on both halves, as in MobileNet: without them deep stacks do not train
            self.body: nn.Module = nn.Sequential(
                conv_unit(size, size, kernel, groups=size), conv_unit(size, out, 1, act=nn.Identity())
            )
        else:
            self.body = conv_unit(size, out, kernel, act=nn.Identity())
        self.shortcut: nn.Module | None = None
        if form == "residual":
            self.shortcut = nn.Identity() if size == out else conv_unit(size, out, 1, act=nn.Identity())
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return self.act(y if self.shortcut is None else y + self.shortcut(x))
