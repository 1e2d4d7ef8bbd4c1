"""Feature-tokenizer transformer for tables (Gorishniy et al. 2021): each column a token, attention between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.models.layers.attention import TransformerBlock
from automl.models.layers.common import choose
from automl.models.layers.tabular import ColumnTokens, columns
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class FTTransformer:
    """``widths``: options for the token width; ``max_columns``: attention is quadratic in the columns."""

    widths: tuple[int, ...] = (32, 64, 128, 256)
    max_columns: int = 256
    name: str = "ft_transformer"

    def supports(self, task: Task) -> bool:
        of = task.inputs[0]
        return len(task.inputs) == 1 and of.modality == "tabular" and of.shape[0] <= self.max_columns

    def space(self, task: Task) -> nn.Module:
        return FTTransformerSpace(task, tuple(self.widths))


class FTTransformerSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...]) -> None:
        super().__init__()
        depth = self.choose("depth", (1, 2, 3, 4))
        width = self.choose("width", widths)
        ratio = self.choose("ratio", (1, 2, 4))
        feed = self.choose("feed", ("gelu", "reglu"))
        has_numbers = bool(columns(task.inputs[0])[0])
        numeric = choose(self, "numeric", ("linear", "piecewise", "periodic") if has_numbers else ("linear",))
        dropout = self.shared("dropout", 0.0)

        self.tokens = ColumnTokens(task.inputs[0], width, numeric)
        self.start = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        gated = feed == "reglu"
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, ratio, dropout, act="relu" if gated else feed, gated=gated) for _ in range(depth))
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, task.num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, columns) -> (rows, num_outputs), read from the start token."""
        tokens = self.tokens(x)
        tokens = torch.cat([self.start.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return self.head(self.blocks(tokens)[:, 0])
