"""ROCKET: thousands of fixed convolutions and a linear head, in the form of MiniRocket (Dempster et al. 2020, 2021).

The head starts as the paper's ridge classifier, in closed form, and is trained from there.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from automl.models.closed_form.copies import copies
from automl.models.closed_form.ridge import classes_head, ridge
from automl.models.layers.series import ROW_OPTIONS, SeriesInput
from automl.models.remember import Remember
from automl.types import Input, Task
from nas.family import FamilySpace

# TAPS, CHANNELS and GOLDEN are MiniRocket's (Dempster et al. 2021, section 3, and the authors' code).
TAPS = 9  # of every kernel: three weigh 2, six weigh -1, in every order
PATTERNS = tuple(itertools.combinations(range(TAPS), 3))
REACH = (TAPS - 1) // 2
CHANNELS = 9  # at most, that one kernel adds up
GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it, less their whole part, fill [0, 1) evenly: which quantiles
# By judgement: narrower, and last digits decide again; wider, and features say less (``+experiment=bench/rocket``).
STEEP = 0.01  # width of a threshold, in standard deviations of what it is laid across
SMALLEST = 1e-5  # the same in root mean squares of the series: rounding is a hundredth of it
CACHED = 2**19  # numbers that should stay in a core's cache while they are summarised: 2 MB
ROWS = 128  # between two looks at the clock


@dataclass(frozen=True)
class Rocket:
    """``kernels``: options for how many convolutions with a threshold of their own; each gives a feature."""

    kernels: tuple[int, ...] = (500, 2000, 5000, 10000)
    name: str = "rocket"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "series"

    def space(self, task: Task) -> nn.Module:
        return RocketSpace(task, tuple(self.kernels))


class RocketSpace(FamilySpace):
    begin_rows = 2000  # its closed form costs their square; by judgement
    patience = 0

    def __init__(self, task: Task, kernels: tuple[int, ...]) -> None:
        super().__init__()
        of = task.inputs[0]
        count = self.choose("kernels", kernels)
        normalise = self.choose("normalise", ROW_OPTIONS)
        change = self.choose("change", ("no", "yes"))  # convolve the first difference too (MultiRocket, 2022)
        dropout = self.shared("dropout", 0.0)

        # the features change once, before the first step: remembered over the epochs, and standardised
        body = RocketFeatures(of, count, normalise, change == "yes")
        self.features = Remember(body)
        self.scale = 3 * body.size**-0.5  # one learning rate fits any number of features; 3 by judgement
        self.register_buffer("middle", torch.zeros(body.size))
        self.register_buffer("factor", torch.full((body.size,), self.scale))
        self.classes = task.num_outputs if task.kind != "regression" else 0
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(body.size, task.num_outputs)
        nn.init.zeros_(self.head.weight)

    middle: Tensor
    factor: Tensor

    def begin(self, batches: Iterable[tuple[Tensor, ...]], y: Tensor, until: float = math.inf) -> None:
        """Lay the thresholds, standardise, solve for the head; see ``automl.training.module.Begins``.

        Where the time is up the head is that of the rows so far: the closed form takes little beside the features.
        """
        x = torch.cat([x for (x,) in batches])
        of = copies(x.flatten(1).cpu().numpy(), y[: len(x)].cpu().numpy())
        _, first, times = np.unique(of, return_index=True, return_counts=True)
        x, y, times = x[first], y[first], torch.from_numpy(times).to(x.device)
        body = self.features.body
        assert isinstance(body, RocketFeatures)
        body.fit(x)
        self.features.forget()
        parts: list[Tensor] = []
        for some in x.split(ROWS):
            parts.append(self.features(some))
            if time.monotonic() > until:
                break
        features = torch.cat(parts)
        y, times = y[: len(features)], times[: len(features)]
        self.middle.copy_(features.mean(dim=0))
        spread = (features.var(dim=0, unbiased=False) + 1e-5).sqrt()
        self.factor.copy_(self.scale / spread)
        seen = features.sub_(self.middle).mul_(self.factor)  # in place: up to 80 MB
        if self.classes:
            weight, bias = classes_head(seen, y, self.classes, times)
        else:
            weight, bias = ridge(seen, y[:, None].double(), times)[:2]
        self.head.weight.copy_(weight.T)
        self.head.bias.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, channels, length) -> (rows, num_outputs)."""
        return self.head(self.dropout((self.features(x) - self.middle) * self.factor))


class RocketFeatures(nn.Module):
    """(rows, channels, length) -> (rows, ``size``): features of the series and, if asked for, of its changes.

    ``count`` of both together; where lengths differ one more, the share that is observed.
    """

    def __init__(self, of: Input, count: int, normalise: str, change: bool) -> None:
        super().__init__()
        channels, length = of.shape[0] - of.masked, of.shape[1]
        changes = count // 2 if change and length > 2 else 0
        self.size = count + of.masked
        self.input = SeriesInput(of, normalise)
        self.levels = Convolutions(channels, length, count - changes)
        self.changes = Convolutions(channels, length - 1, changes) if changes else None

    def fit(self, x: Tensor) -> None:
        """Lay the thresholds for rows (rows, channels, length)."""
        (x, mask), steps = self.read(x)
        self.levels.fit(x, mask)
        if self.changes is not None:
            self.changes.fit(*steps)

    def forward(self, x: Tensor) -> Tensor:
        (x, mask), steps = self.read(x)
        features = [self.levels(x, mask)]
        if self.changes is not None:
            features.append(self.changes(*steps))
        if mask is not None:
            features.append(mask.mean(dim=2))
        return torch.cat(features, dim=1)

    def read(self, x: Tensor) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
        """The values and their mask or None, and the same of the changes between neighbours."""
        x, mask = self.input(x)
        if mask is None:
            return (x, None), (x.diff(dim=2), None)
        values, steps = x[:, :-1], mask[..., 1:] * mask[..., :-1]
        return (values, mask), (values.diff(dim=2) * steps, steps)


class Convolutions(nn.Module):
    """(rows, channels, length) -> (rows, ``count``): for each kernel and threshold the share of steps above.

    Dilations are powers of two. Half of the thresholds look at the series padded with zeros, the others only where the
    kernel fits whole. A kernel adds up a random subset of the channels. Thresholds are quantiles of what a kernel
    answers for one row that ``fit`` sees, another for each kernel. They are no jumps but short ramps: across a jump
    the last digit of a sum, which is another in every runtime, would decide; and a ramp begins just above its quantile,
    since flat stretches and whole numbers put many steps exactly there. Buffers hold all this.
    """

    def __init__(self, channels: int, length: int, count: int) -> None:
        super().__init__()
        most = int(math.log2(max(1.0, (length - 1) / (TAPS - 1))))
        dilations = [2**i for i in range(most + 1)][:count]
        # (dilation, whether padded, first feature, one past the last) of up to len(PATTERNS) features
        self.rounds: list[tuple[int, bool, int, int]] = []
        places = [round(i * count / len(dilations)) for i in range(len(dilations) + 1)]
        for i, (dilation, start, end) in enumerate(zip(dilations, places, places[1:], strict=False)):
            for turn, first in enumerate(range(start, end, len(PATTERNS))):
                self.rounds.append((dilation, (i + turn) % 2 == 0, first, min(first + len(PATTERNS), end)))
        self.dilations = dilations
        kernels = torch.full((len(PATTERNS), TAPS), -1.0).scatter_(1, torch.tensor(PATTERNS), 2.0)
        shuffled = torch.rand(len(dilations), len(PATTERNS)).argsort(dim=1)  # the last round is not full
        subset = torch.rand(len(dilations), len(PATTERNS), channels).argsort(dim=2).argsort(dim=2)
        most = math.log2(min(channels, CHANNELS) + 1)
        chosen = subset < (2 ** (torch.rand(len(dilations), len(PATTERNS), 1) * most)).floor()
        # (dilations, patterns, channels, taps), in units of the ramps' width
        self.register_buffer("kernels", kernels[shuffled][:, :, None] * chosen[..., None])
        self.register_buffer("thresholds", torch.randn(count))
        # For the exported graph: the rounds of a dilation in pairs, one padded and one not; what fills them up is left
        # out again.
        own = [[r for r in self.rounds if r[0] == dilation] for dilation in dilations]
        self.pairs = [-(-len(rounds) // 2) for rounds in own]
        filled = [[*rounds, (0, False, 0, 0)][: 2 * n] for rounds, n in zip(own, self.pairs, strict=True)]
        places = torch.tensor([r[2] for rounds in filled for r in rounds])[:, None] + torch.arange(len(PATTERNS))
        last = torch.tensor([r[3] for rounds in filled for r in rounds])[:, None]
        order = torch.empty(count, dtype=torch.long)
        order[places[places < last]] = torch.arange(places.numel()).reshape(places.shape)[places < last]
        places = places.clamp(max=count - 1).reshape(1, -1, 2, len(PATTERNS), 1)
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("order", order, persistent=False)
        ones = torch.ones(1, 1, length)
        shares = [torch.cat([seen(ones, None, d, (i + k) % 2 == 0) for k in (0, 1)]) for i, d in enumerate(dilations)]
        self.register_buffer("shares", torch.stack(shares).transpose(2, 3), persistent=False)

    kernels: Tensor
    thresholds: Tensor
    places: Tensor
    order: Tensor
    shares: Tensor

    def fit(self, x: Tensor, mask: Tensor | None) -> None:
        """Set the thresholds by rows (rows, channels, length) and their mask (rows, 1, length), or None."""
        signs = self.kernels.sign() * (1.5 + 0.5 * self.kernels.sign())  # -1 and 2, whatever was fitted before
        smallest = SMALLEST * float(x.square().mean().sqrt()) + 1e-9
        every = torch.arange(len(PATTERNS), device=x.device)
        for i, dilation in enumerate(self.dilations):
            some = (every + i * len(PATTERNS)) % len(x)
            answers = convolved(x[some], signs[i], dilation)
            own = answers[every, :, every]  # kernel k's of row k
            width = (STEEP * answers.std(dim=(0, 1))).clamp(min=smallest)
            known = torch.full_like(every, own.shape[1])
            if mask is not None:
                own = own.masked_fill(mask[some, 0] == 0, math.inf)
                known = mask[some, 0].sum(dim=1).long()
            own = own.sort(dim=1).values / width[:, None]
            self.kernels[i] = signs[i] / width[:, None, None]
            for of, _, first, last in self.rounds:
                if of != dilation:
                    continue
                share = torch.arange(first + 1, last + 1, device=x.device) * GOLDEN % 1
                place = (share * known[: last - first]).long()
                value = own[: last - first].gather(1, place[:, None])[:, 0]
                self.thresholds[first:last] = torch.where(value.isfinite(), value, 0.0) + 1

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if torch.compiler.is_exporting():
            return self.exported(x, mask)
        rows = max(1, CACHED // (len(PATTERNS) * x.shape[2]))
        masks = [None] * len(x) if mask is None else mask.split(rows)
        return torch.cat([self.some_rows(*part) for part in zip(x.split(rows), masks, strict=False)])

    def some_rows(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Steps before kernels, so that thresholds are neighbours in memory: five times as fast as the other way."""
        shares, answers, of = [], x, 0
        for dilation, padded, first, last in self.rounds:
            if dilation != of:
                answers, of = convolved(x, self.kernels[self.dilations.index(dilation)], dilation), dilation
            above = (answers[..., : last - first] - self.thresholds[first:last]).clamp_(0, 1)
            shares.append((seen(x, mask, dilation, padded) @ above)[:, 0])
        return torch.cat(shares, dim=1)

    def exported(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The same in few nodes, as the exporter takes its time for each: all rounds of a dilation at once."""
        thresholds = self.thresholds[self.places].split(self.pairs, dim=1)
        of_each = zip(self.dilations, thresholds, self.kernels.unbind(), self.shares.unbind(), strict=True)
        parts = []
        for i, (dilation, threshold, kernels, shares) in enumerate(of_each):
            answers = F.conv1d(x, kernels, dilation=dilation, padding=REACH * dilation)
            answers = answers.reshape(-1, 1, 1, len(PATTERNS), x.shape[2])
            if mask is not None:
                both = [seen(x, mask, dilation, (i + k) % 2 == 0) for k in (0, 1)]
                shares = torch.stack(both, dim=1).transpose(2, 3)[:, None]
            # (rows, pairs, 2, patterns, length) @ (2, length, 1)
            parts.append((answers - threshold).clamp(0, 1) @ shares)
        return torch.cat(parts, dim=1).flatten(1)[:, self.order]


def convolved(x: Tensor, kernels: Tensor, dilation: int) -> Tensor:
    """(rows, channels, length), (kernels, channels, TAPS) -> (rows, length, kernels), zeros around the series."""
    place = torch.arange(x.shape[2], device=x.device)[:, None] + dilation * torch.arange(TAPS, device=x.device)
    windows = F.pad(x, (REACH * dilation, REACH * dilation))[:, :, place]  # (rows, channels, length, TAPS)
    return windows.transpose(1, 2).flatten(2) @ kernels.flatten(1).T


def seen(x: Tensor, mask: Tensor | None, dilation: int, padded: bool) -> Tensor:
    """(rows, 1, length): what each step counts for, in all 1 or, where a row has none that counts, 0."""
    length = x.shape[2]
    counts = torch.ones_like(x[:, :1]) if mask is None else mask
    if not padded:
        reach = min(REACH * dilation, (length - 1) // 2)
        ends = F.pad(counts, (reach, reach))
        counts = counts * ends[..., : -2 * reach or None] * ends[..., 2 * reach :]
    return counts / counts.sum(dim=2, keepdim=True).clamp(min=1)
