"""GRU or LSTM over word vectors."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from automl.models.layers.recurrent import Recurrent
from automl.models.layers.text import Words
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class TextRNN:
    """``widths``: options for the state, both directions together; ``words``: for the length of a word's vector."""

    widths: tuple[int, ...] = (32, 64, 128, 256)
    words: tuple[int, ...] = (16, 64, 128, 300)
    name: str = "text_rnn"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "text"

    def space(self, task: Task) -> nn.Module:
        return TextRNNSpace(task, tuple(self.widths), tuple(self.words))


class TextRNNSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...], words: tuple[int, ...]) -> None:
        super().__init__()
        size = self.choose("word_width", words)
        width = self.choose("width", widths)
        layers = self.choose("layers", (1, 2))
        cell = self.choose("cell", ("gru", "lstm"))
        directions = self.choose("directions", (1, 2))
        pool = self.choose("pool", ("max", "mean", "attention", "last"))
        dropout = self.shared("dropout", 0.0)

        self.words = Words(task.inputs[0], size, dropout)
        self.net = Recurrent(cell, size, width, layers, both=directions == 2, pool=pool, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, task.num_outputs)

    def forward(self, ids: Tensor) -> Tensor:
        """(rows, length) -> (rows, num_outputs)."""
        return self.head(self.dropout(self.net(*self.words(ids))))
