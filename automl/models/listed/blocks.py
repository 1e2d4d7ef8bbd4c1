"""Modules that a list needs beside those of torch: blocks, one input and one output for recurrent layers and attention,
and what makes of a task's input the tensor that the first layer gets.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from automl.models.layers.series import SeriesInput
from automl.models.layers.tabular import ColumnVector
from automl.types import Input


class Entry(nn.Module):
    """An input of a task -> what the first layer of a list gets: the same as the other networks' first layers.

    ======== ========================= ==========================================================================
    image    (channels, height, width) standardised
    audio    (1, mels, frames)         standardised
    series   (channels, length)        unobserved places are 0; where lengths differ the last channel is the mask
    tabular  (features,)               the numbers, and beside them an embedding of each category
    text     (tokens,)                 token ids, 0 pads
    ======== ========================= ==========================================================================
    """

    def __init__(self, of: Input) -> None:
        super().__init__()
        self.shape: tuple[int, ...] = of.shape
        self.tokens = 0
        self.body: nn.Module | None = None
        if of.modality == "text":
            self.tokens = of.tokens
            self.shape = (of.tokens,)
        elif of.modality == "series":
            self.body = SeriesInput(of)
        elif of.modality == "tabular":
            self.body = ColumnVector(of)
            self.shape = (self.body.size,)

    def forward(self, x: Tensor) -> Tensor:
        if self.tokens:
            return x[:, : self.tokens].long()
        if self.body is None:
            return x
        out = self.body(x)
        return out[0] if isinstance(out, tuple) else out


class Parallel(nn.Module):
    """The same input through each branch; joined by adding, or side by side along the axis ``dim``."""

    def __init__(self, branches: Sequence[nn.Module], join: str, dim: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join, self.dim = join, dim

    def forward(self, x: Tensor) -> Tensor:
        parts = [branch(x) for branch in self.branches]
        if self.join == "cat":
            return torch.cat(parts, dim=self.dim)
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


class Transpose(nn.Module):
    """(rows, a, b) -> (rows, b, a)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class Positions(nn.Module):
    """(rows, steps, features), to each step a learned vector is added (Devlin et al. 2019, BERT, section 3)."""

    def __init__(self, steps: int, features: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(steps, features))
        nn.init.normal_(self.table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table


class Recurrent(nn.Module):
    """GRU, LSTM or RNN: (rows, steps, features) -> (rows, steps, size), or (rows, size) of ``last``.

    ``last``: the state of the top layer after its last step, of both directions side by side.
    """

    def __init__(self, net: nn.RNNBase, output: str) -> None:
        super().__init__()
        self.net, self.output = net, output
        self.directions = 2 if net.bidirectional else 1
        self.size = (net.proj_size or net.hidden_size) * self.directions

    def forward(self, x: Tensor) -> Tensor:
        steps, state = self.net(x)
        if self.output == "all":
            return steps
        last = state[0] if isinstance(state, tuple) else state
        return torch.cat([last[i - self.directions] for i in range(self.directions)], dim=1)


class SelfAttention(nn.Module):
    """nn.MultiheadAttention of a sequence to itself."""

    def __init__(self, net: nn.MultiheadAttention) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x, x, x, need_weights=False)[0]
