"""Transformer encoder over word vectors; padding is masked (Vaswani et al. 2017, pre-norm)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from automl.models.layers.attention import Positions, TransformerBlock
from automl.models.layers.common import TokenPool
from automl.models.layers.text import Words
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class TextTransformer:
    """``widths``: options for the token width; ``depths``: for the number of blocks."""

    widths: tuple[int, ...] = (32, 64, 128, 256)
    depths: tuple[int, ...] = (1, 2, 3, 4, 6)
    name: str = "text_transformer"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "text"

    def space(self, task: Task) -> nn.Module:
        return TextTransformerSpace(task, tuple(self.widths), tuple(self.depths))


class TextTransformerSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        of = task.inputs[0]
        width = self.choose("width", widths)
        depth = self.choose("depth", depths)
        ratio = self.choose("ratio", (1, 2, 4))
        pool = self.choose("pool", ("mean", "max", "attention"))
        dropout = self.shared("dropout", 0.0)

        self.words = Words(of, width, dropout)
        self.positions = Positions(of.tokens, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, ratio, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.pool = TokenPool(pool, width)
        self.head = nn.Linear(width, task.num_outputs)

    def forward(self, ids: Tensor) -> Tensor:
        """(rows, length) -> (rows, num_outputs)."""
        tokens, mask = self.words(ids)
        tokens = self.positions(tokens)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return self.head(self.pool(self.norm(tokens), mask))
