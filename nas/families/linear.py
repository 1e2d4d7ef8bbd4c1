"""A linear model of a table's columns or a series' steps. It is fitted before the first step and trained from there.

On small tables, on spectra and on forecasts it is often the best there is; beside others in an ensemble it is the one
that does not bend.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from automl.models.closed_form.linear_head import STEP, linear_head
from automl.models.layers.common import choose
from automl.models.layers.series import ROW_OPTIONS, SeriesInput
from automl.models.layers.tabular import columns
from automl.types import Input, Task
from nas.family import FamilySpace, affordable_rows

# By judgement: more knots bend closer and need more rows; more work learns from more rows and takes longer to begin.
KNOTS = [NormalDist().inv_cdf((i + 0.5) / 8) for i in range(8)]  # numbers arrive nearly standard normal
WORK = 1e7  # rows x features x outputs of the start: some 5 s of one core
WEIGHTS = 20_000  # with more, the start would take too long on the fewest rows


@dataclass(frozen=True)
class Linear:
    """``most``: features, at most: what has more columns, categories or steps is left to others."""

    most: int = 4000
    name: str = "linear"

    def supports(self, task: Task) -> bool:
        if len(task.inputs) != 1 or task.inputs[0].modality not in ("tabular", "series"):
            return False
        return feature_count(task.inputs[0], "none") <= self.bound(task)

    def space(self, task: Task) -> nn.Module:
        return LinearSpace(task, self.bound(task))

    def bound(self, task: Task) -> int:
        """The most features for this task."""
        return min(self.most, WEIGHTS // task.num_outputs)


class LinearSpace(FamilySpace):
    patience = 2

    def __init__(self, task: Task, most: int) -> None:
        super().__init__()
        (of,) = task.inputs
        if of.modality == "tabular":
            forms = [f for f in ("none", "hinges", "products", "both") if feature_count(of, f) <= most]
            form = choose(self, "bend", forms if columns(of)[0] else ["none"])
            self.features: nn.Module = ColumnFeatures(of, form)
            size = feature_count(of, form)
        else:
            self.features = StepFeatures(of, self.choose("normalise", ROW_OPTIONS))
            size = feature_count(of, "none")
        dropout = self.shared("dropout", 0.0)

        self.classes = task.num_outputs if task.kind != "regression" else 0
        self.begin_rows = affordable_rows(WORK / (size * task.num_outputs))
        self.register_buffer("start", torch.zeros(size, task.num_outputs))
        self.register_buffer("level", torch.zeros(task.num_outputs))
        self.dropout = nn.Dropout(dropout)
        self.change = nn.Linear(size, task.num_outputs)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)
        self.scale = STEP * size**-0.5

    start: Tensor
    level: Tensor

    def begin(self, batches: Iterable[tuple[Tensor, ...]], y: Tensor, until: float = math.inf) -> None:
        """Fit; see ``automl.training.module.Begins``."""
        x = torch.cat([self.features(*batch) for batch in batches])
        target = y[: len(x)].cpu().numpy()
        weight, bias = linear_head(x.cpu().numpy(), target, self.classes, threads=torch.get_num_threads(), until=until)
        self.start.copy_(torch.from_numpy(weight))
        self.level.copy_(torch.from_numpy(bias))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, columns) or (rows, channels, length) -> (rows, num_outputs)."""
        features = self.dropout(self.features(x))
        return features @ self.start + self.level + self.change(self.scale * features)


def feature_count(of: Input, form: str) -> int:
    """How many features there are of an input: those of ``ColumnFeatures`` or ``StepFeatures``."""
    if of.modality == "series":
        return math.prod(of.shape)
    numbers = len(columns(of)[0])
    hinges = numbers * len(KNOTS) if form in ("hinges", "both") else 0
    products = numbers * (numbers + 1) // 2 if form in ("products", "both") else 0
    return numbers + sum(of.cardinalities) + hinges + products


class ColumnFeatures(nn.Module):
    """(rows, columns) of a table -> (rows, features): the numbers, and 0 or 1 for each category.

    hinges: by how much a number is above each of eight knots, so that the sum is a curve of straight pieces
    (regression splines of degree 1). products: of each two numbers, and squares. both: both.
    """

    def __init__(self, of: Input, form: str) -> None:
        super().__init__()
        self.numbers, self.codes = columns(of)
        self.hinges, self.products = form in ("hinges", "both"), form in ("products", "both")
        cardinalities = [of.cardinalities[i] for i in self.codes]
        self.register_buffer("knots", torch.tensor(KNOTS), persistent=False)
        pairs = torch.triu_indices(len(self.numbers), len(self.numbers))
        self.register_buffer("pairs", pairs, persistent=False)
        # of each category's place, its column among the codes and its code
        column = torch.repeat_interleave(torch.arange(len(self.codes)), torch.tensor(cardinalities, dtype=torch.long))
        self.register_buffer("column", column, persistent=False)
        codes = torch.cat([torch.arange(c) for c in cardinalities]) if cardinalities else torch.zeros(0)
        self.register_buffer("code", codes, persistent=False)

    knots: Tensor
    pairs: Tensor
    column: Tensor
    code: Tensor

    def forward(self, x: Tensor) -> Tensor:
        numbers = x[:, self.numbers]
        parts = [numbers]
        if self.codes:
            parts.append((x[:, self.codes][:, self.column] == self.code).to(x.dtype))
        if self.hinges:
            parts.append(F.relu(numbers[..., None] - self.knots).flatten(1))
        if self.products:
            parts.append(numbers[:, self.pairs[0]] * numbers[:, self.pairs[1]])
        return torch.cat(parts, dim=1)


class StepFeatures(nn.Module):
    """(rows, channels, length) -> (rows, channels x length). Where lengths differ, the mask is among them."""

    def __init__(self, of: Input, normalise: str) -> None:
        super().__init__()
        self.input = SeriesInput(of, normalise)

    def forward(self, x: Tensor) -> Tensor:
        return self.input(x)[0].flatten(1)
