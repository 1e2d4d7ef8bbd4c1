"""Temporal convolutional network: residual blocks whose dilation doubles (Bai, Kolter and Koltun 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from automl.models.layers.common import choose
from automl.models.layers.series import ROW_OPTIONS, SeriesInput, TimeConv, TimePool
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class TCN:
    """``widths``: options for the channels of every block."""

    widths: tuple[int, ...] = (16, 32, 64, 128)
    name: str = "tcn"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "series"

    def space(self, task: Task) -> nn.Module:
        return TCNSpace(task, tuple(self.widths))


class TCNSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...]) -> None:
        super().__init__()
        of = task.inputs[0]
        width = self.choose("width", widths)
        levels = choose(self, "levels", level_options(of.shape[1]))
        kernel = self.choose("kernel", (3, 5, 7))
        causal = self.choose("causal", ("no", "yes"))
        pool = self.choose("pool", ("mean", "max", "both"))
        normalise = self.choose("normalise", ROW_OPTIONS)
        dropout = self.shared("dropout", 0.0)

        self.input = SeriesInput(of, normalise)
        sizes = [of.shape[0], *[width] * levels]
        self.body = nn.Sequential(
            *(Block(sizes[i], width, kernel, 2**i, causal == "yes", dropout) for i in range(levels))
        )
        self.pool = TimePool(pool)
        self.head = nn.Linear(width * self.pool.factor, task.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, channels, length) -> (rows, num_outputs)."""
        x, mask = self.input(x)
        return self.head(self.pool(self.body(x[:, :, None]), mask))


def level_options(length: int) -> tuple[int, ...]:
    """Numbers of blocks whose largest dilation still falls inside the series."""
    return tuple(n for n in (2, 4, 6, 8, 10) if n == 2 or 2 ** (n - 1) < length)


class Block(nn.Module):
    """Two dilated convolutions beside a shortcut; batch norm stands where the paper has weight norm."""

    def __init__(self, size: int, out: int, kernel: int, dilation: int, causal: bool, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before in (size, out):
            layers += [
                TimeConv(before, out, kernel, dilation=dilation, causal=causal),
                nn.BatchNorm2d(out),
                nn.ReLU(),
                nn.Dropout(dropout),
            ]
        self.body = nn.Sequential(*layers)
        self.shortcut = nn.Identity() if size == out else TimeConv(size, out, 1, bias=True)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.shortcut(x))
