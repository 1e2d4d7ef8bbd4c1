"""The family of families: tokens from any input, blocks of any token mixer and any channel mixer, a head.

Its axes span MLP-Mixer, ViT, PoolFormer, isotropic ConvNeXt, temporal convolutional and recurrent networks, and
everything between them (the view of "MetaFormer", Yu et al. 2022), so a prior over them can invent a family for a task.
``NAMED`` says where the known ones lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.models.layers.attention import FeedForward, Positions
from automl.models.layers.blocks import Block, joined, token_norm
from automl.models.layers.common import TokenPool, choose
from automl.models.layers.mixers import MIXERS, Grid, Merge, make_mixer
from automl.models.layers.series import ROW_OPTIONS
from automl.models.layers.tabular import columns
from automl.models.layers.tokens import MOST_COLUMNS, Tokens, grain_options
from automl.types import Option, Task
from nas.family import FamilySpace

NAMED: Mapping[str, Mapping[str, Option]] = {
    "mlp_mixer": {"mixer": "token_mlp", "channel": "mlp", "norm": "layer", "residual": "pre"},
    "vit": {"mixer": "attention", "channel": "mlp", "norm": "layer", "residual": "pre", "positions": "learned"},
    "poolformer": {"mixer": "pooling", "channel": "mlp", "norm": "layer", "residual": "pre", "merge": "yes"},
    "convnext": {"mixer": "depthwise", "kernel": 7, "channel": "mlp", "norm": "layer", "residual": "pre"},
    "tcn": {"mixer": "conv", "dilation": "doubling", "channel": "none", "norm": "batch", "residual": "post"},
    "rnn": {"mixer": "gru", "channel": "none", "norm": "layer", "residual": "pre", "positions": "none"},
}
"""What makes each known architecture; width, depth, grain and the rest stay free."""


@dataclass(frozen=True)
class Composed:
    """``widths``: options for the token width; ``depths``: for the number of blocks."""

    widths: tuple[int, ...] = (32, 64, 128, 256)
    depths: tuple[int, ...] = (1, 2, 4, 6, 8)
    name: str = "composed"

    def supports(self, task: Task) -> bool:
        return True

    def space(self, task: Task) -> nn.Module:
        return ComposedSpace(task, tuple(self.widths), tuple(self.depths))


class ComposedSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        width = self.choose("width", widths)
        depth = self.choose("depth", depths)
        modalities = {i.modality for i in task.inputs}
        cut = bool(modalities & {"image", "audio", "series"})
        grain = choose(self, "grain", grain_options(task.inputs))
        stem = choose(self, "stem", ("patch", "conv") if cut else ("patch",))
        numbers = any(i.modality == "tabular" and columns(i)[0] and i.shape[0] <= MOST_COLUMNS for i in task.inputs)
        numeric = choose(self, "numeric", ("linear", "piecewise", "periodic") if numbers else ("linear",))
        normalise = choose(self, "normalise", ROW_OPTIONS if "series" in modalities else ("none",))

        mixer = self.choose("mixer", MIXERS)
        some = [d for d in depths if d > 1]
        late = self.choose("late_mixer", ("same", "conv", "gru", "attention"), parent="depth", when=some)
        local = ("pooling", "depthwise", "conv")
        kernel = self.choose("kernel", (3, 5, 7), parent="mixer", when=local)
        dilation = self.choose("dilation", ("none", "doubling"), parent="mixer", when=("depthwise", "conv"))
        channel = self.choose("channel", ("mlp", "glu", "none"), parent="mixer", when=MIXERS[1:])
        ratio = self.choose("ratio", (2, 4), parent="channel", when=("mlp", "glu"))
        norm = self.choose("norm", ("layer", "batch", "none"))
        residual = self.choose("residual", ("pre", "post", "none"))
        act = self.choose("activation", ("gelu", "relu", "silu"))
        placed = self.choose("positions", ("learned", "none"))
        pool = self.choose("pool", ("mean", "max", "attention"))
        several = len(task.inputs) > 1
        options = ("no", "yes") if cut and not several else ("no",)
        merge = choose(self, "merge", options, parent="depth", when=some)
        dropout = self.shared("dropout", 0.0)

        trim = "token_mlp" not in (mixer, late)  # a perceptron over tokens needs all of them
        self.inputs = nn.ModuleList(
            Tokens(
                i,
                width,
                grain=grain,
                stem=stem,
                numeric=numeric,
                normalise=normalise,
                cut=trim and not several,  # the tokens of one text stand before those of another
            )
            for i in task.inputs
        )
        counts = [m.count for m in self.inputs if isinstance(m, Tokens)]
        first = self.inputs[0]
        assert isinstance(first, Tokens)
        grid: Grid = (sum(counts),) if several else first.grid
        self.kinds = nn.Parameter(torch.randn(len(counts), width) * 0.02) if several else None
        self.positions = Positions(sum(counts), width) if placed == "learned" else None
        blocks: list[nn.Module] = []
        for i in range(depth):
            if merge == "yes" and i == depth - depth // 2 and min(grid) > 1:
                halved = Merge(grid, width)
                blocks.append(halved)
                grid, width = halved.grid, 2 * width
            name = late if late != "same" and i >= depth - depth // 2 else mixer
            spread = 2 ** (i % 6) if dilation == "doubling" and name == mixer else 1
            mix = None if name == "none" else make_mixer(name, grid, width, kernel, spread, dropout)
            feed = None
            if mix is None or channel != "none":
                feed = FeedForward(width, width * ratio, dropout, act, gated=channel == "glu")
            blocks.append(Block(mix, feed, norm, residual, act, width, dropout))
        self.blocks = nn.ModuleList(blocks)
        self.norm = token_norm(norm, width) if residual == "pre" else nn.Identity()
        self.pool = TokenPool(pool, width)
        self.head = nn.Linear(width, task.num_outputs)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Each input (rows, ...) -> (rows, num_outputs)."""
        x, mask = joined([module(x) for module, x in zip(self.inputs, inputs, strict=True)], self.kinds)
        if self.positions is not None:
            x = self.positions(x)
        for block in self.blocks:
            x, mask = block(x, mask)
        return self.head(self.pool(self.norm(x), mask))
