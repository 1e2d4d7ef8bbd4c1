"""Transformer over patches of a series (after PatchTST, Nie et al. 2023; here a patch holds all channels)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from automl.models.layers.attention import Positions, TransformerBlock
from automl.models.layers.common import TokenPool, choose
from automl.models.layers.series import ROW_OPTIONS, SeriesInput, SeriesTokens, step_sizes
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class PatchTransformer:
    """``widths``: options for the token width; ``depths``: for the number of blocks."""

    widths: tuple[int, ...] = (32, 64, 128, 256)
    depths: tuple[int, ...] = (1, 2, 3, 4, 6)
    name: str = "patch_transformer"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "series"

    def space(self, task: Task) -> nn.Module:
        return PatchTransformerSpace(task, tuple(self.widths), tuple(self.depths))


class PatchTransformerSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        of = task.inputs[0]
        width = self.choose("width", widths)
        depth = self.choose("depth", depths)
        steps = step_sizes(of.shape[1], 6, 128)
        patch = steps[choose(self, "grain", tuple(steps))]
        overlap = self.choose("overlap", ("no", "yes"))
        ratio = self.choose("ratio", (2, 4))
        pool = self.choose("pool", ("mean", "max", "attention"))
        normalise = self.choose("normalise", ROW_OPTIONS)
        dropout = self.shared("dropout", 0.0)

        self.input = SeriesInput(of, normalise)
        # overlapping: a patch looks at as much again of what follows it
        self.patches = SeriesTokens(of, 2 * patch if overlap == "yes" else patch, patch, width)
        self.positions = Positions(self.patches.tokens, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, ratio, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.pool = TokenPool(pool, width)
        self.head = nn.Linear(width, task.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, channels, length) -> (rows, num_outputs)."""
        tokens, mask = self.patches(*self.input(x))
        tokens = self.positions(tokens)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return self.head(self.pool(self.norm(tokens), mask))
