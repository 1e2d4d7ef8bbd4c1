"""Ways for tokens to see each other: (rows, tokens, width) and a mask (rows, tokens) or None -> (rows, tokens, width).

Tokens lie on a ``grid`` of one or two axes, row by row; convolution and pooling follow it. Tokens that the mask leaves
out are 0 for everything that would read them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from automl.models.layers.attention import Attention, heads_for
from automl.models.layers.recurrent import reversed_places, turned

Grid = tuple[int, ...]
MIXERS = ("none", "pooling", "depthwise", "conv", "token_mlp", "gru", "attention")


def make_mixer(name: str, grid: Grid, width: int, kernel: int, dilation: int, dropout: float) -> nn.Module:
    """The token mixer of that name (one of ``MIXERS``, but ``none``)."""
    if name == "pooling":
        return Pooling(grid, kernel)
    if name in ("conv", "depthwise"):
        return Convolution(grid, width, kernel, dilation, depthwise=name == "depthwise")
    if name == "token_mlp":
        return TokenMLP(math.prod(grid), dropout)
    if name == "gru":
        return Gru(width)
    if name == "attention":
        return Attention(width, heads_for(width), dropout)
    raise ValueError(f"no mixer {name!r}; there are {', '.join(MIXERS[1:])}")


def hidden(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zeros where the mask is False."""
    return x if mask is None else x * mask[..., None]


def on_grid(x: Tensor, grid: Grid) -> Tensor:
    """(rows, tokens, width) -> (rows, width, down, across); one axis is a map of height 1.

    No copy: tokens beside each other, width innermost, is the layout that torch calls ``channels_last``. The length of
    a single axis is taken from x, as text may be cut while training.
    """
    return x.transpose(1, 2).unflatten(2, grid if len(grid) == 2 else (1, -1))


def off_grid(x: Tensor) -> Tensor:
    """Undo ``on_grid``."""
    return x.flatten(2).transpose(1, 2)


def spread(grid: Grid, size: int, small: int = 1) -> tuple[int, int]:
    """``size`` along each axis that the grid has, ``small`` along the one that it lacks."""
    return (size, size) if len(grid) == 2 else (small, size)


class Convolution(nn.Module):
    """Each token looks at its neighbours on the grid; ``depthwise``: each number of the width on its own."""

    def __init__(self, grid: Grid, width: int, kernel: int, dilation: int, *, depthwise: bool) -> None:
        super().__init__()
        self.grid = grid
        self.body = nn.Conv2d(
            width,
            width,
            spread(grid, kernel),
            padding=spread(grid, kernel // 2 * dilation, 0),
            dilation=spread(grid, dilation),
            groups=width if depthwise else 1,
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return off_grid(self.body(on_grid(hidden(x, mask), self.grid)))


class Pooling(nn.Module):
    """The mean of the neighbourhood, where the mask shows it, less the token itself (PoolFormer: Yu et al. 2022)."""

    def __init__(self, grid: Grid, kernel: int) -> None:
        super().__init__()
        self.grid = grid
        self.body = nn.AvgPool2d(spread(grid, kernel), 1, spread(grid, kernel // 2, 0), count_include_pad=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = hidden(x, mask)
        mean = self.body(on_grid(x, self.grid))
        if mask is not None:
            share = self.body(on_grid(mask[..., None].to(x.dtype), self.grid))
            mean = mean / share.clamp(min=0.5 / self.body.kernel_size[-1] ** 2)  # type: ignore[index]
        return off_grid(mean) - x


class TokenMLP(nn.Module):
    """A perceptron over the tokens, the same for each number of the width (MLP-Mixer: Tolstikhin et al. 2021)."""

    def __init__(self, tokens: int, dropout: float) -> None:
        super().__init__()
        between = min(256, max(8, 2 * tokens))
        self.body = nn.Sequential(
            nn.Linear(tokens, between), nn.GELU(), nn.Dropout(dropout), nn.Linear(between, tokens)
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.body(hidden(x, mask).transpose(1, 2)).transpose(1, 2)


class Gru(nn.Module):
    """A recurrent pass over the tokens in both directions, half of the width each. The backward one begins at a row's
    own last token, as in ``Recurrent``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.onward, self.back = (nn.GRU(width, width // 2, batch_first=True) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = hidden(x, mask)
        place = reversed_places(x, mask)
        return torch.cat([self.onward(x)[0], turned(self.back(turned(x, place))[0], place)], dim=2)


class Merge(nn.Module):
    """Halves the grid: 2 (or 2x2) neighbouring tokens become one of twice the width."""

    def __init__(self, grid: Grid, width: int) -> None:
        super().__init__()
        self.before = grid
        self.grid: Grid = tuple(-(-n // 2) for n in grid)
        bottom = grid[0] % 2 if len(grid) == 2 else 0
        self.pad = nn.ZeroPad2d((0, grid[-1] % 2, 0, bottom))
        self.body = nn.Conv2d(width, 2 * width, spread(grid, 2), spread(grid, 2))

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        merged = off_grid(self.body(self.pad(on_grid(hidden(x, mask), self.before))))
        if mask is None:
            return merged, None
        seen = self.pad(on_grid(mask[..., None].to(x.dtype), self.before))
        return merged, F.max_pool2d(seen, self.body.kernel_size).flatten(1) > 0  # type: ignore[arg-type]
