"""GRU or LSTM over the steps of a series; long series are cut into steps by a convolution first."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from automl.models.layers.common import choose
from automl.models.layers.recurrent import Recurrent
from automl.models.layers.series import ROW_OPTIONS, SeriesInput, SeriesTokens, step_sizes
from automl.types import Task
from nas.family import FamilySpace

MOST_STEPS = 256  # by judgement: a recurrent network trains no better over more, and its time grows with them


@dataclass(frozen=True)
class RNN:
    """``widths``: options for the state, both directions together."""

    widths: tuple[int, ...] = (32, 64, 128, 256)
    name: str = "rnn"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "series"

    def space(self, task: Task) -> nn.Module:
        return RNNSpace(task, tuple(self.widths))


class RNNSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...]) -> None:
        super().__init__()
        of = task.inputs[0]
        width = self.choose("width", widths)
        layers = self.choose("layers", (1, 2, 3))
        cell = self.choose("cell", ("gru", "lstm"))
        directions = self.choose("directions", (1, 2))
        steps = step_sizes(of.shape[1], 16, MOST_STEPS)
        step = steps[choose(self, "grain", tuple(steps))]
        pool = self.choose("pool", ("mean", "max", "attention", "last"))
        normalise = self.choose("normalise", ROW_OPTIONS)
        dropout = self.shared("dropout", 0.0)

        self.input = SeriesInput(of, normalise)
        self.steps = SeriesTokens(of, step, step, width)
        self.net = Recurrent(cell, width, width, layers, both=directions == 2, pool=pool, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, task.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, channels, length) -> (rows, num_outputs)."""
        return self.head(self.dropout(self.net(*self.steps(*self.input(x)))))
