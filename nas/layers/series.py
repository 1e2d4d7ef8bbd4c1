"""What networks over series share: the mask of unequal lengths, normalisation per row, convolution blocks, pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from automl.types import Input
from nas.layers.common import scales

ROW_OPTIONS = ("none", "row")
"""Options of the axis ``normalise``: as encoded, or each row brought to mean 0 and standard deviation 1."""


class SeriesInput(nn.Module):
    """(rows, channels, length) -> the same shape, and the mask (rows, 1, length) or None when all is observed.

    Unobserved values become 0; the mask stays the last channel, so that the network sees it too.
    """

    def __init__(self, of: Input, normalise: str = "none") -> None:
        super().__init__()
        self.masked = of.masked
        self.normalise = normalise == "row"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.masked:
            return (self.standard(x, None) if self.normalise else x), None
        values, mask = x[:, :-1], x[:, -1:]
        values = self.standard(values, mask) if self.normalise else values * mask
        return torch.cat([values, mask], dim=1), mask

    def standard(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            centred = x - x.mean(dim=2, keepdim=True)
            return centred / (centred.square().mean(dim=2, keepdim=True) + 1e-5).sqrt()
        count = mask.sum(dim=2, keepdim=True).clamp(min=1)
        centred = (x - (x * mask).sum(dim=2, keepdim=True) / count) * mask
        return centred / (centred.square().sum(dim=2, keepdim=True) / count + 1e-5).sqrt()


def same(kernel: int, dilation: int = 1) -> nn.ConstantPad1d:
    """Zeros to both sides, so that a convolution keeps the length, for even kernels too."""
    total = (kernel - 1) * dilation
    return nn.ConstantPad1d((total // 2, total - total // 2), 0.0)


def convolution(size: int, out: int, kernel: int, *, dilation: int = 1, bias: bool = False) -> nn.Module:
    """1-D convolution that keeps the length."""
    if kernel % 2:
        return nn.Conv1d(size, out, kernel, padding=kernel // 2 * dilation, dilation=dilation, bias=bias)
    return nn.Sequential(same(kernel, dilation), nn.Conv1d(size, out, kernel, dilation=dilation, bias=bias))


def mean_over_time(x: Tensor, mask: Tensor | None) -> Tensor:
    """(rows, size, length) -> (rows, size), over the observed positions; ``mask`` (rows, 1, length)."""
    if mask is None:
        return x.mean(dim=2)
    return (x * mask).sum(dim=2) / mask.sum(dim=2).clamp(min=1)


def max_over_time(x: Tensor, mask: Tensor | None) -> Tensor:
    """(rows, size, length) -> (rows, size), over the observed positions; zeros where there is none."""
    if mask is None:
        return x.amax(dim=2)
    return x.masked_fill(mask == 0, -1e4).amax(dim=2) * mask.amax(dim=2)


def step_sizes(length: int, fewest: int, most: int) -> dict[str, int]:
    """Powers of two that cut a series into ``fewest`` to ``most`` steps, by ``grain``, coarse (cheapest) first."""
    fitting = [2**i for i in range(12, -1, -1) if fewest <= -(-length // 2**i) <= most]
    return scales(fitting or [1 if length < fewest else -(-length // most)])


class SeriesTokens(nn.Module):
    """(rows, channels, length) and its mask -> (rows, tokens, out) and a mask (rows, tokens) or None.

    A token is a learned projection of ``patch`` steps; one starts every ``stride`` steps. The end is padded with zeros.
    """

    def __init__(self, of: Input, patch: int, stride: int, out: int) -> None:
        super().__init__()
        channels, length = of.shape
        self.tokens = max(0, -(-(length - patch) // stride)) + 1
        self.patch, self.stride = patch, stride
        self.pad = nn.ConstantPad1d((0, (self.tokens - 1) * stride + patch - length), 0.0)
        self.project = nn.Conv1d(channels, out, patch, stride)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        tokens = self.project(self.pad(x)).transpose(1, 2)
        if mask is None:
            return tokens, None
        return tokens, F.max_pool1d(self.pad(mask), self.patch, self.stride)[:, 0] > 0


class TimePool(nn.Module):
    """(rows, size, length) -> (rows, size): ``mean``, ``max``, or both side by side, (rows, 2 size)."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.factor = 2 if form == "both" else 1

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.form == "mean":
            return mean_over_time(x, mask)
        if self.form == "max":
            return max_over_time(x, mask)
        return torch.cat([mean_over_time(x, mask), max_over_time(x, mask)], dim=1)
