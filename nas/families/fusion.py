"""Several inputs: a small tower each, and a searched way and place of joining them.

======  ===========================================================================================
place   what is joined
======  ===========================================================================================
early   the inputs' embeddings; a joint network follows
middle  what the towers read out; one joint block follows
late    the towers' own predictions
======  ===========================================================================================

``concat`` puts the parts side by side, ``gated`` weighs them by what all of them say (Arevalo et al. 2017),
``attention`` lets every token of every input see the others before they are weighed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.models.layers.attention import FeedForward, TransformerBlock
from automl.models.layers.blocks import Block, joined
from automl.models.layers.common import Residual, TokenPool, choose
from automl.models.layers.mixers import make_mixer
from automl.models.layers.tabular import ColumnVector, numeric_options
from automl.models.layers.tokens import Tokens, grain_options
from automl.types import Input, Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class Fusion:
    """``widths``: options for the width of towers and joint network; ``depths``: for their blocks."""

    widths: tuple[int, ...] = (32, 64, 128, 256)
    depths: tuple[int, ...] = (1, 2, 3, 4)
    name: str = "fusion"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) > 1

    def space(self, task: Task) -> nn.Module:
        return FusionSpace(task, tuple(self.widths), tuple(self.depths))


class FusionSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        width = self.choose("width", widths)
        depth = self.choose("depth", depths)
        self.place = self.choose("place", ("middle", "early", "late"))
        self.join = self.choose("join", ("concat", "gated", "attention"))
        mixer = self.choose("tower", ("depthwise", "conv", "attention"), parent="place", when=("middle", "late"))
        grain = choose(self, "grain", grain_options(task.inputs))
        numeric = choose(self, "numeric", numeric_options(task.inputs))
        pool = self.choose("pool", ("mean", "max", "attention"))
        dropout = self.shared("dropout", 0.0)

        count, out = len(task.inputs), task.num_outputs
        deep = 0 if self.place == "early" else depth
        self.towers = nn.ModuleList(Tower(i, width, deep, mixer, grain, numeric, dropout) for i in task.inputs)
        self.kinds: nn.Parameter | None = None
        if self.join == "attention":
            # early: the joint network itself is the attention; else one round of it over what the towers say
            rounds = depth if self.place == "early" else 1
            self.kinds = nn.Parameter(torch.randn(count, width) * 0.02)
            self.joint = nn.ModuleList(TransformerBlock(width, 2, dropout) for _ in range(rounds))
            self.sizes = [tower.count for tower in self.towers if isinstance(tower, Tower)]
        self.pools = nn.ModuleList(TokenPool(pool, width) for _ in task.inputs)
        self.gate = None if self.join == "concat" else nn.Linear(count * width, count)
        self.dropout = nn.Dropout(dropout)
        if self.place == "late":
            self.heads = nn.ModuleList(head(width, out) for _ in task.inputs)
            self.weigh = nn.Linear(count * out, out) if self.join == "concat" else None
            return
        self.mix = nn.Linear(count * width, width) if self.join == "concat" else None
        further = depth if self.place == "early" and self.join != "attention" else 1
        self.after = nn.Sequential(*(mlp_block(width, dropout) for _ in range(further)))
        self.head = head(width, out)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Each input (rows, ...) -> (rows, num_outputs)."""
        parts = [tower(x) for tower, x in zip(self.towers, inputs, strict=True)]
        if self.kinds is not None:
            parts = self.attend(parts, self.kinds)
        vectors = [pool(x, mask) for pool, (x, mask) in zip(self.pools, parts, strict=True)]
        side_by_side = torch.cat(vectors, dim=1)
        shares = None if self.gate is None else self.gate(side_by_side).softmax(dim=1)[..., None]
        if self.place == "late":
            own = torch.stack([h(self.dropout(v)) for h, v in zip(self.heads, vectors, strict=True)], dim=1)
            if self.weigh is not None:
                return self.weigh(own.flatten(1))
            assert shares is not None
            return (shares * own).sum(dim=1)
        if self.mix is not None:
            together = self.mix(side_by_side)
        else:
            assert shares is not None
            together = (shares * torch.stack(vectors, dim=1)).sum(dim=1)
        return self.head(self.dropout(self.after(together)))

    def attend(self, parts: list[tuple[Tensor, Tensor | None]], kinds: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """All tokens see each other, then go back to their inputs."""
        x, mask = joined(parts, kinds)
        for block in self.joint:
            x = block(x, mask)
        return list(zip(x.split(self.sizes, dim=1), (m for _, m in parts), strict=True))


def head(width: int, out: int) -> nn.Module:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out))


def mlp_block(width: int, dropout: float) -> nn.Module:
    """Norm and feed-forward beside a shortcut."""
    return Residual(nn.LayerNorm(width), FeedForward(width, 2 * width, dropout), nn.Dropout(dropout))


class Tower(nn.Module):
    """One input (rows, ...) -> (rows, tokens, width) and its mask; a table is one token, read by an MLP."""

    def __init__(self, of: Input, width: int, depth: int, mixer: str, grain: str, numeric: str, dropout: float) -> None:
        super().__init__()
        self.table: nn.Module | None = None
        if of.modality == "tabular":
            columns = ColumnVector(of, numeric)
            blocks = (mlp_block(width, dropout) for _ in range(depth))
            self.table = nn.Sequential(columns, nn.Linear(columns.size, width), *blocks)
            self.count = 1
            return
        self.tokens = Tokens(of, width, grain=grain, stem="conv")
        self.count = self.tokens.count
        self.blocks = nn.ModuleList(
            Block(
                make_mixer(mixer, self.tokens.grid, width, 3, 1, dropout),
                FeedForward(width, 2 * width, dropout),
                "layer",
                "pre",
                "gelu",
                width,
                dropout,
            )
            for _ in range(depth)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.table is not None:
            return self.table(x)[:, None], None
        x, mask = self.tokens(x)
        for block in self.blocks:
            x, mask = block(x, mask)
        return x, mask
