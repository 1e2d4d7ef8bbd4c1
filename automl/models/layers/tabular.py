"""Columns of a table as vectors or tokens: embeddings of numbers and of categories.

Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning", with the linear part kept
beside the other two (their TabM code's version B; also Holzmüller et al. 2024, RealMLP).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from automl.types import Input

# A table with more numeric columns than this keeps them as they are: the embeddings would be the net. By judgement.
EMBEDDABLE = 256


def columns(of: Input) -> tuple[list[int], list[int]]:
    """Positions of the numeric and of the categorical columns."""
    codes = of.cardinalities or (0,) * of.shape[0]
    return [i for i, c in enumerate(codes) if not c], [i for i, c in enumerate(codes) if c]


def numeric_options(inputs: tuple[Input, ...]) -> tuple[str, ...]:
    """How numbers can be embedded in these inputs, as options of an axis."""
    count = sum(len(columns(i)[0]) for i in inputs if i.modality == "tabular")
    return ("none", "piecewise", "periodic") if 0 < count <= EMBEDDABLE else ("none",)


class NumericEmbedding(nn.Module):
    """(rows, columns) -> (rows, columns, size): a line per column, plus steps or waves.

    Columns arrive nearly standard normal and within ±3 (``automl.data.encode.number``), which is what the fixed
    edges of the steps and the scale of the frequencies count on.

    ``linear``: w x + b. ``piecewise``: plus a learned map of the value's position in each of ``bins`` intervals that
    hold equal shares of a normal distribution. ``periodic``: plus a learned map of ``bins`` cosines whose
    frequencies and phases are learned too. ``bins`` and ``scale`` are by judgement, as the paper tunes them for each
    table: more and higher ones bend closer, and fit noise.
    """

    def __init__(self, form: str, count: int, size: int, bins: int = 16, scale: float = 0.3) -> None:
        super().__init__()
        self.form = form
        bound = size**-0.5
        self.weight = nn.Parameter(torch.empty(count, size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(count, size).uniform_(-bound, bound))
        if form == "piecewise":
            edges = math.sqrt(2) * torch.erfinv(2 * torch.linspace(0.005, 0.995, bins + 1) - 1)
            self.register_buffer("low", edges[:-1].clone())
            self.register_buffer("step", edges.diff())
            # the outer intervals go on beyond the edges, so that the order of outliers survives
            self.register_buffer("least", torch.tensor([-math.inf] + [0.0] * (bins - 1)))
            self.register_buffer("most", torch.tensor([1.0] * (bins - 1) + [math.inf]))
        elif form == "periodic":
            self.frequency = nn.Parameter(torch.randn(count, bins) * scale)
            self.phase = nn.Parameter(torch.rand(count, bins))
        elif form != "linear":
            raise ValueError(f"no numeric embedding {form!r}; there are linear, piecewise, periodic")
        if form != "linear":
            bound = bins**-0.5
            self.mix = nn.Parameter(torch.empty(count, bins, size).uniform_(-bound, bound))

    low: Tensor
    step: Tensor
    least: Tensor
    most: Tensor

    def forward(self, x: Tensor) -> Tensor:
        x = x[..., None]
        line = x * self.weight + self.bias
        if self.form == "linear":
            return line
        if self.form == "piecewise":
            parts = ((x - self.low) / self.step).clamp(self.least, self.most)
        else:
            parts = torch.cos(2 * math.pi * (x * self.frequency + self.phase))
        return line + torch.einsum("rck,cks->rcs", parts, self.mix)


class CategoryEmbedding(nn.Module):
    """(rows, columns) codes, as floats -> (rows, columns, size), from one table for all columns."""

    def __init__(self, cardinalities: list[int], size: int) -> None:
        super().__init__()
        starts = torch.tensor([0, *cardinalities[:-1]]).cumsum(0)
        self.register_buffer("starts", starts)
        self.table = nn.Embedding(sum(cardinalities), size)
        nn.init.uniform_(self.table.weight, -(size**-0.5), size**-0.5)

    starts: Tensor

    def forward(self, codes: Tensor) -> Tensor:
        return self.table(codes.long() + self.starts)


class ColumnTokens(nn.Module):
    """(rows, columns) of a tabular input -> (rows, columns, size): one token per column, numbers first."""

    def __init__(self, of: Input, size: int, numeric: str = "linear") -> None:
        super().__init__()
        numbers, codes = columns(of)
        self.tokens = len(numbers) + len(codes)
        self.pick = _Pick(numbers, codes)
        self.numeric = NumericEmbedding(numeric, len(numbers), size) if numbers else None
        self.category = CategoryEmbedding([of.cardinalities[i] for i in codes], size) if codes else None
        self.bias = nn.Parameter(torch.empty(len(codes), size).uniform_(-(size**-0.5), size**-0.5)) if codes else None

    def forward(self, x: Tensor) -> Tensor:
        numbers, codes = self.pick(x)
        parts = []
        if self.numeric is not None:
            parts.append(self.numeric(numbers))
        if self.category is not None:
            parts.append(self.category(codes) + self.bias)
        return torch.cat(parts, dim=1)


class ColumnVector(nn.Module):
    """(rows, columns) of a tabular input -> (rows, ``size``): everything that an MLP reads, side by side.

    ``numeric``: none (the numbers themselves), piecewise or periodic.
    """

    def __init__(self, of: Input, numeric: str = "none") -> None:
        super().__init__()
        numbers, codes = columns(of)
        self.pick = _Pick(numbers, codes)
        cardinalities = [of.cardinalities[i] for i in codes]
        # the more columns, the shorter their embeddings (by judgement: else the first layer would be most of the
        # network); rule of thumb for categories as in fastai, less than 33
        number_size = 1 if numeric == "none" else 16 if len(numbers) <= 32 else 8 if len(numbers) <= 96 else 4
        code_size = min(32, max(4, round(1.6 * max(cardinalities, default=0) ** 0.56)))
        self.numeric = NumericEmbedding(numeric, len(numbers), number_size) if numbers and numeric != "none" else None
        self.act = nn.ReLU()
        self.category = CategoryEmbedding(cardinalities, code_size) if codes else None
        self.size = len(numbers) * number_size + len(codes) * code_size

    def forward(self, x: Tensor) -> Tensor:
        numbers, codes = self.pick(x)
        parts = [numbers if self.numeric is None else self.act(self.numeric(numbers)).flatten(1)]
        if self.category is not None:
            parts.append(self.category(codes).flatten(1))
        return torch.cat(parts, dim=1)


class _Pick(nn.Module):
    """Split columns into numbers and codes; skips the gather where all columns are of one sort."""

    def __init__(self, numbers: list[int], codes: list[int]) -> None:
        super().__init__()
        self.single = not (numbers and codes)
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.long))
        self.register_buffer("codes", torch.tensor(codes, dtype=torch.long))

    numbers: Tensor
    codes: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.single:
            return (x, x[:, :0]) if len(self.numbers) else (x[:, :0], x)
        return x[:, self.numbers], x[:, self.codes]
