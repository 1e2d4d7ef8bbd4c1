"""Convolutional network for images and spectrograms: stages of plain, residual or depthwise blocks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from automl.types import Task
from nas.space import FamilySpace


@dataclass(frozen=True)
class ConvNet:
    """``widths``: options for the channels of the first stage, which double at each further stage."""

    widths: tuple[int, ...] = (16, 32, 64)
    name: str = "convnet"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality in ("image", "audio")

    def space(self, task: Task) -> nn.Module:
        return ConvNetSpace(task, tuple(self.widths))


class ConvNetSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, width = task.inputs[0].shape
        block = self.choose("block", ("plain", "residual", "depthwise"))
        stages = self.choose("stages", stage_options(min(height, width)))
        depth = self.choose("depth", (1, 2, 3))
        wide = self.choose("width", widths)
        kernel = self.choose("kernel", (3, 5))
        pool = self.choose("pool", ("average", "max"))
        dropout = self.shared("dropout", 0.0)

        layers: list[nn.Module] = [
            nn.Conv2d(channels, wide, 3, padding=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        ]
        size = wide
        for stage in range(stages):
            out = wide * 2**stage
            for _ in range(depth):
                layers.append(Block(size, out, kernel, block))
                size = out
            if stage < stages - 1:
                layers.append(nn.MaxPool2d(2))
        self.body = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1) if pool == "average" else nn.AdaptiveMaxPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(size, task.num_outputs)

    def forward(self, image: Tensor) -> Tensor:
        """(rows, channels, height, width) -> (rows, num_outputs)."""
        return self.head(self.dropout(self.pool(self.body(image)).flatten(1)))


def stage_options(side: int) -> tuple[int, ...]:
    """How many stages, each halving the side, leave a map of at least 2 x 2 (at most four)."""
    return tuple(n for n in (1, 2, 3, 4) if n == 1 or side >= 2**n)


class Block(nn.Module):
    """Convolution, norm, activation; ``residual`` adds the input, ``depthwise`` splits space and channels."""

    def __init__(self, size: int, out: int, kernel: int, form: str) -> None:
        super().__init__()
        if form == "depthwise":
            convolution: list[nn.Module] = [
                nn.Conv2d(size, size, kernel, padding=kernel // 2, groups=size, bias=False),
                nn.Conv2d(size, out, 1, bias=False),
            ]
        else:
            convolution = [nn.Conv2d(size, out, kernel, padding=kernel // 2, bias=False)]
        self.body = nn.Sequential(*convolution, nn.BatchNorm2d(out))
        self.shortcut: nn.Module | None = None
        if form == "residual":
            self.shortcut = nn.Identity() if size == out else nn.Conv2d(size, out, 1, bias=False)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return self.activation(y if self.shortcut is None else y + self.shortcut(x))
