"""Fully convolutional and residual networks for series (Wang, Yan and Oates 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from automl.models.layers.series import ROW_OPTIONS, SeriesInput, TimeConv, TimePool
from automl.types import Task
from nas.family import FamilySpace

_KERNELS = {"short": (5, 3, 3), "medium": (7, 5, 3), "long": (15, 9, 5)}


@dataclass(frozen=True)
class FCNResNet1d:
    """``widths``: options for the channels of the first block; later blocks have twice as many."""

    widths: tuple[int, ...] = (16, 32, 64, 128)
    name: str = "fcn_resnet1d"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "series"

    def space(self, task: Task) -> nn.Module:
        return FCNResNet1dSpace(task, tuple(self.widths))


class FCNResNet1dSpace(FamilySpace):
    """``fcn``: three convolutions. ``resnet``: three residual blocks of three convolutions each."""

    def __init__(self, task: Task, widths: tuple[int, ...]) -> None:
        super().__init__()
        form = self.choose("form", ("fcn", "resnet"))
        width = self.choose("width", widths)
        kernels = _KERNELS[self.choose("kernels", tuple(_KERNELS))]
        pool = self.choose("pool", ("mean", "max", "both"))
        normalise = self.choose("normalise", ROW_OPTIONS)
        dropout = self.shared("dropout", 0.0)

        of = task.inputs[0]
        self.input = SeriesInput(of, normalise)
        sizes = (width, 2 * width, width) if form == "fcn" else (width, 2 * width, 2 * width)
        blocks: list[nn.Module] = []
        size = of.shape[0]
        for i, out in enumerate(sizes):
            blocks.append(unit(size, out, kernels[i]) if form == "fcn" else ResidualBlock(size, out, kernels))
            size = out
        self.body = nn.Sequential(*blocks)
        self.pool = TimePool(pool)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(size * self.pool.factor, task.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, channels, length) -> (rows, num_outputs)."""
        x, mask = self.input(x)
        return self.head(self.dropout(self.pool(self.body(x[:, :, None]), mask)))


def unit(size: int, out: int, kernel: int) -> nn.Sequential:
    """Convolution, norm, activation."""
    return nn.Sequential(TimeConv(size, out, kernel), nn.BatchNorm2d(out), nn.ReLU())


class ResidualBlock(nn.Module):
    """Three units, a shortcut around them; the last activation comes after the sum."""

    def __init__(self, size: int, out: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            unit(size, out, kernels[0]),
            unit(out, out, kernels[1]),
            TimeConv(out, out, kernels[2]),
            nn.BatchNorm2d(out),
        )
        self.shortcut = nn.BatchNorm2d(out)
        if size != out:
            self.shortcut = nn.Sequential(TimeConv(size, out, 1), self.shortcut)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.shortcut(x))
