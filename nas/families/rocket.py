"""ROCKET: thousands of random convolutions, fixed, and a linear head (Dempster, Petitjean and Webb 2020).

The head starts as the paper's ridge classifier, in closed form, and is trained from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from automl.types import Input, Task
from nas.layers.remember import Remember
from nas.layers.ridge import classes_head, ridge
from nas.layers.series import ROW_OPTIONS, SeriesInput
from nas.space import FamilySpace

TAPS = 9  # of every kernel; the paper draws from 7, 9, 11, MiniRocket (2021) shows that 9 alone does as well
GROUP = 64  # kernels that are applied at once
# The same in the exported graph: each group costs some ten nodes, and the exporter takes minutes for thousands.
EXPORTED = 512
CACHED = 2**19  # numbers that should stay in a core's cache while they are summarised


@dataclass(frozen=True)
class Rocket:
    """``kernels``: options for how many random convolutions; each gives two features."""

    kernels: tuple[int, ...] = (500, 2000, 5000, 10000)
    name: str = "rocket"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "series"

    def space(self, task: Task) -> nn.Module:
        return RocketSpace(task, tuple(self.kernels))


class RocketSpace(FamilySpace):
    begin_rows = 2000  # its closed form costs their square
    patience = 0

    def __init__(self, task: Task, kernels: tuple[int, ...]) -> None:
        super().__init__()
        of = task.inputs[0]
        count = self.choose("kernels", kernels)
        normalise = self.choose("normalise", ROW_OPTIONS)
        change = self.choose("change", ("no", "yes"))  # convolve the first difference too (MultiRocket, 2022)
        dropout = self.shared("dropout", 0.0)

        # the features never change: remembered over the epochs, and standardised once
        self.features = Remember(RocketFeatures(of, count, normalise, change == "yes"))
        self.scale = 3 * (2 * count) ** -0.5  # one learning rate fits any number of features
        self.register_buffer("middle", torch.zeros(2 * count))
        self.register_buffer("factor", torch.full((2 * count,), self.scale))
        self.classes = task.num_outputs if task.kind != "regression" else 0
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * count, task.num_outputs)
        nn.init.zeros_(self.head.weight)

    middle: Tensor
    factor: Tensor

    def begin(self, batches: Iterable[tuple[Tensor, ...]], y: Tensor, until: float = math.inf) -> None:
        """Standardise the features and solve for the head; see ``automl.training.module.Begins``."""
        features = torch.cat([self.features(*batch) for batch in batches])
        y = y[: len(features)]  # the closed form takes little beside the features, so ``until`` need not be looked at
        self.middle.copy_(features.mean(dim=0))
        spread = (features.var(dim=0, unbiased=False) + 1e-5).sqrt()
        self.factor.copy_(self.scale / spread)
        seen = features.sub_(self.middle).mul_(self.factor)  # in place: up to 160 MB
        weight, bias = classes_head(seen, y, self.classes) if self.classes else ridge(seen, y[:, None].double())[:2]
        self.head.weight.copy_(weight.T)
        self.head.bias.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, channels, length) -> (rows, num_outputs)."""
        return self.head(self.dropout((self.features(x) - self.middle) * self.factor))


class RocketFeatures(nn.Module):
    """(rows, channels, length) -> (rows, 2 ``count``) features of the series and, if asked for, of its changes."""

    def __init__(self, of: Input, count: int, normalise: str, change: bool) -> None:
        super().__init__()
        length = of.shape[1]
        changes = count // 2 if change and length > 2 else 0
        self.input = SeriesInput(of, normalise)
        self.levels = RandomFeatures(of, count - changes, length)
        self.changes = RandomFeatures(of, changes, length - 1) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        x, mask = self.input(x)
        features = self.levels(x, mask)
        if self.changes is None:
            return features
        steps = None if mask is None else mask[..., 1:] * mask[..., :-1]
        return torch.cat([features, self.changes(x.diff(dim=2), steps)], dim=1)


class RandomFeatures(nn.Module):
    """(rows, channels, length) -> (rows, 2 ``count``): per kernel the share of positive answers and the largest one.

    Half of the kernels of each dilation see the series padded with zeros, the other half only where they fit whole.
    Weights are normal, centred per channel; biases uniform in ±1; each kernel reads a random subset of the channels.
    All are buffers: drawn once from the network's seed, saved with it, never trained.
    """

    def __init__(self, of: Input, count: int, length: int) -> None:
        super().__init__()
        channels = of.shape[0]
        # Dilations are powers of two, as in MiniRocket: few groups. The paper draws 2^uniform and rounds down; here
        # each gets the share that is expected, so that the groups follow from the candidate and not from the seed.
        most = math.log2(max(1.0, (length - 1) / (TAPS - 1)))
        exponents = ((torch.arange(count) + 0.5) / count * most).floor().long()
        weight = torch.randn(count, TAPS, channels)
        weight = weight - weight.mean(dim=1, keepdim=True)
        if channels > 1:
            keep = (2 ** (torch.rand(count) * math.log2(channels + 1))).floor()
            order = torch.rand(count, channels).argsort(dim=1).argsort(dim=1)
            weight = weight * (order < keep[:, None])[:, None]
        bias = torch.rand(count, 1) * 2 - 1
        self.register_buffer("kernels", torch.cat([weight.flatten(1), bias], dim=1))  # (count, TAPS channels + 1)
        # (dilation, padded, first kernel, one past the last)
        self.groups: list[tuple[int, bool, int, int]] = []
        for exponent in exponents.unique().tolist():
            start, end = int((exponents < exponent).sum()), int((exponents <= exponent).sum())
            middle = (start + end) // 2
            for padded, first, last in ((True, start, middle), (False, middle, end)):
                if first < last:
                    self.groups.append((2**exponent, padded, first, last))

    kernels: Tensor

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if torch.compiler.is_exporting():
            return self.some_rows(x, mask)
        rows = max(1, CACHED // (GROUP * x.shape[2]))
        masks = [None] * len(x) if mask is None else mask.split(rows)
        return torch.cat([self.some_rows(*part) for part in zip(x.split(rows), masks, strict=False)])

    def some_rows(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """A convolution is a matrix product with the shifted copies of the series; the last row of ones is the bias."""
        length = x.shape[2]
        group = EXPORTED if torch.compiler.is_exporting() else GROUP
        shares, peaks = [], []
        for dilation, padded, first, last in self.groups:
            reach = (TAPS - 1) // 2 * dilation
            inner = 0 if padded else min(reach, (length - 1) // 2)
            # One gather, not a slice per tap: the exporter takes its time for every node of the graph.
            place = torch.arange(inner, length - inner) + dilation * torch.arange(TAPS)[:, None]
            shifted = F.pad(x, (reach, reach))[:, :, place.to(x.device)].transpose(1, 2).flatten(1, 2)
            windows = F.pad(shifted, (0, 0, 0, 1), value=1.0)
            seen = None if mask is None else mask[:, :, inner : length - inner]
            for start in range(first, last, group):
                kernels = self.kernels[start : min(start + group, last)]
                share, peak = summarise(torch.matmul(kernels, windows), seen)
                shares.append(share)
                peaks.append(peak)
        return torch.cat([*shares, *peaks], dim=1)


def summarise(answers: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Share of positive less share of negative answers, and the largest one, along the last axis where observed.

    The first is twice the paper's PPV less one, and four times as fast as counting.
    """
    if mask is None:
        return answers.sign().mean(dim=2), answers.amax(dim=2)
    count = mask.sum(dim=2)
    peak = answers.masked_fill(mask == 0, -1e4).amax(dim=2) * (count > 0)
    return (answers.sign() * mask).sum(dim=2) / count.clamp(min=1), peak
