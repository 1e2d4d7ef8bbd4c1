"""InceptionTime: parallel convolutions of several lengths (Ismail Fawaz et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.models.layers.common import choose
from automl.models.layers.series import ROW_OPTIONS, SeriesInput, TimeConv, TimePool
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class InceptionTime:
    """``widths``: options for the filters of each branch."""

    widths: tuple[int, ...] = (8, 16, 32, 64)
    name: str = "inception_time"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "series"

    def space(self, task: Task) -> nn.Module:
        return InceptionTimeSpace(task, tuple(self.widths))


class InceptionTimeSpace(FamilySpace):
    """The published network is width 32, depth 6, kernel 39 (there 40), mean pooling."""

    def __init__(self, task: Task, widths: tuple[int, ...]) -> None:
        super().__init__()
        of = task.inputs[0]
        width = self.choose("width", widths)
        depth = self.choose("depth", (3, 6, 9))
        kernel = choose(self, "kernel", longest_kernels(of.shape[1]))
        pool = self.choose("pool", ("mean", "max", "both"))
        normalise = self.choose("normalise", ROW_OPTIONS)
        dropout = self.shared("dropout", 0.0)

        self.input = SeriesInput(of, normalise)
        blocks: list[nn.Module] = []
        size = of.shape[0]
        for _ in range(depth // 3):
            blocks.append(InceptionBlock(size, width, kernel))
            size = 4 * width
        self.body = nn.Sequential(*blocks)
        self.pool = TimePool(pool)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(size * self.pool.factor, task.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, channels, length) -> (rows, num_outputs)."""
        x, mask = self.input(x)
        return self.head(self.dropout(self.pool(self.body(x[:, :, None]), mask)))


def longest_kernels(length: int) -> tuple[int, ...]:
    """Options for the longest branch that are no longer than the series."""
    return tuple(k for k in (9, 19, 39, 79) if k == 9 or k <= length)


class InceptionModule(nn.Module):
    """Bottleneck, then convolutions of length k, k/2, k/4, beside a max-pooled 1x1: 4 ``width`` channels."""

    def __init__(self, size: int, width: int, kernel: int) -> None:
        super().__init__()
        narrow = size if size <= width else width
        self.bottleneck = TimeConv(size, narrow, 1) if size > width else nn.Identity()
        odd = [max(3, k - 1 + k % 2) for k in (kernel, kernel // 2, kernel // 4)]
        self.branches = nn.ModuleList(TimeConv(narrow, width, k) for k in odd)
        self.pooled = nn.Sequential(nn.MaxPool2d((1, 3), 1, (0, 1)), TimeConv(size, width, 1))
        self.norm = nn.BatchNorm2d(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.bottleneck(x)
        return self.norm(torch.cat([*(branch(narrow) for branch in self.branches), self.pooled(x)], dim=1))


class InceptionBlock(nn.Module):
    """Three modules with a shortcut around them."""

    def __init__(self, size: int, width: int, kernel: int) -> None:
        super().__init__()
        out = 4 * width
        self.body = nn.Sequential(
            InceptionModule(size, width, kernel),
            nn.ReLU(),
            InceptionModule(out, width, kernel),
            nn.ReLU(),
            InceptionModule(out, width, kernel),
        )
        self.shortcut = nn.Sequential(TimeConv(size, out, 1), nn.BatchNorm2d(out))
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.shortcut(x))
