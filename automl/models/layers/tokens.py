"""Tokens from any input: what families that take every modality are built on.

=========== =====================================================================
modality    a token is
=========== =====================================================================
image,      a patch, cut and projected or through a small convolutional stem;
audio       ``grid`` is (down, across)
series      a stretch of steps, projected; ``grid`` is (stretches,)
tabular     a column, or where columns are many, a group of them; ``grid`` is (columns,)
text        a word; ``grid`` is (words,)
=========== =====================================================================
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from automl.models.layers.image import PatchTokens, patch_sides
from automl.models.layers.series import SeriesInput, SeriesTokens, step_sizes
from automl.models.layers.tabular import ColumnTokens, ColumnVector
from automl.models.layers.text import Words
from automl.types import Input

MOST_COLUMNS = 128  # tokens of a table, of a series below: attention costs their square, so by judgement no more
FEWEST_STEPS, MOST_STEPS = 8, 128


def grains(of: Input) -> dict[str, int]:
    """Size of a token by ``grain``, coarse first; columns and words leave no choice."""
    if of.modality in ("image", "audio"):
        return patch_sides(of.shape[1], of.shape[2])
    if of.modality == "series":
        return step_sizes(of.shape[1], FEWEST_STEPS, MOST_STEPS)
    return {"fine": 1}


def grain_options(inputs: tuple[Input, ...]) -> tuple[str, ...]:
    """The grains that make a difference for at least one of the inputs, coarse first."""
    found = {name for of in inputs for name in grains(of)}
    return tuple(name for name in ("coarse", "medium", "fine") if name in found)


class Tokens(nn.Module):
    """One input (rows, ...) -> (rows, tokens, width) and the mask (rows, tokens), or None where every token counts.

    ``grain``: where an input has not that one, the next finer. ``stem``: patch or conv. ``numeric``: linear, piecewise
    or periodic. ``normalise``: of series. ``cut``: whether text may lose its common padding while training.
    """

    def __init__(
        self,
        of: Input,
        width: int,
        *,
        grain: str = "fine",
        stem: str = "patch",
        numeric: str = "linear",
        normalise: str = "none",
        cut: bool = False,
    ) -> None:
        super().__init__()
        sizes = grains(of)
        order = ("coarse", "medium", "fine")
        size = next(sizes[name] for name in order[order.index(grain) :] if name in sizes)
        self.masked = of.modality == "text" or of.masked
        self.grid: tuple[int, ...]
        if of.modality in ("image", "audio"):
            body: nn.Module = PatchTokens(of.shape, size, width, stem)
            self.grid = body.grid
        elif of.modality == "series":
            body = _SeriesBody(of, size, width, normalise, stem)
            self.grid = (body.cut.tokens,)
        elif of.modality == "text":
            body = Words(of, width, cut=cut)
            self.grid = (of.tokens,)
        elif of.shape[0] <= MOST_COLUMNS:
            body = ColumnTokens(of, width, numeric)
            self.grid = (body.tokens,)
        else:
            body = ColumnGroups(of, width, MOST_COLUMNS // 2)
            self.grid = (MOST_COLUMNS // 2,)
        self.body = body
        self.count = self.grid[0] * self.grid[1] if len(self.grid) == 2 else self.grid[0]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        out = self.body(x)
        return out if isinstance(out, tuple) else (out, None)


class _SeriesBody(nn.Module):
    """Mask and normalise, look at neighbouring steps (``conv``), cut into tokens."""

    def __init__(self, of: Input, size: int, width: int, normalise: str, stem: str) -> None:
        super().__init__()
        self.input = SeriesInput(of, normalise)
        self.look: nn.Module = nn.Identity()
        if stem == "conv":
            half = max(8, width // 2)
            self.look = nn.Sequential(
                nn.Conv1d(of.shape[0], half, 7, padding=3, bias=False), nn.BatchNorm1d(half), nn.ReLU()
            )
            of = Input(of.name, "series", (half, of.shape[1]))
        self.cut = SeriesTokens(of, size, size, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        x, mask = self.input(x)
        return self.cut(self.look(x), mask)


class ColumnGroups(nn.Module):
    """(rows, columns) -> (rows, groups, width): neighbouring columns share a token, each group projected on its own."""

    def __init__(self, of: Input, width: int, groups: int) -> None:
        super().__init__()
        self.columns = ColumnVector(of)
        self.groups = groups
        each = -(-self.columns.size // groups)
        self.pad = nn.ConstantPad1d((0, groups * each - self.columns.size), 0.0)
        bound = each**-0.5
        self.weight = nn.Parameter(torch.empty(groups, each, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(groups, width).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        flat = self.pad(self.columns(x))
        return torch.einsum("rge,gew->rgw", flat.view(len(flat), self.groups, -1), self.weight) + self.bias
