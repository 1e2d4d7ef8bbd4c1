"""What networks over images and spectrograms share: how far to shrink them, stems, norms, pooling."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from automl.models.layers.common import scales
from automl.types import Task


def is_image_task(task: Task) -> bool:
    """One input that has a height and a width."""
    return len(task.inputs) == 1 and task.inputs[0].modality in ("image", "audio")


def stem_strides(height: int, width: int) -> dict[str, int]:
    """Stride of a stem by the ``resolution`` it leaves, low (cheapest) first: 7 to 64 on the shorter side."""
    side = min(height, width)
    fitting = [s for s in (16, 8, 4, 2, 1) if side / s >= 7 and (side / s <= 64 or s == 16)]
    return scales(fitting[-3:] or [1], ("low", "medium", "high"))


def stage_options(height: int, width: int) -> tuple[int, ...]:
    """How many stages, each halving the side, leave a map of at least 2 x 2 (at most four)."""
    side = min(height, width)
    return tuple(n for n in (1, 2, 3, 4) if n == 1 or side >= 2**n)


def patch_sides(height: int, width: int) -> dict[str, int]:
    """Side of a patch by ``grain``, coarse (cheapest) first: 12 to 256 tokens; when none does, all is one patch.

    By judgement: with fewer tokens there is little to attend to, and the time grows with their square. 14 and 7 divide
    28 and 56; 16 is the usual patch (Dosovitskiy et al. 2021).
    """
    divisors = [p for p in (14, 7) if height % p == 0 and width % p == 0]
    sizes = sorted({64, 32, 16, 8, 4, 2, 1, *divisors}, reverse=True)
    fitting = [p for p in sizes if 12 <= math.ceil(height / p) * math.ceil(width / p) <= 256]
    return scales(fitting[-3:] or [1 if height * width <= 256 else max(height, width)])


def conv_unit(size: int, out: int, kernel: int, stride: int = 1, groups: int = 1, act: nn.Module | None = None):
    """Convolution that pads to the same size, batch norm, activation (``nn.Identity()`` for none)."""
    return nn.Sequential(
        nn.Conv2d(size, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True) if act is None else act,
    )


def stem(channels: int, out: int, stride: int) -> nn.Module:
    """3x3 convolutions that halve the map until ``stride`` is reached."""
    steps = max(1, int(math.log2(stride)))
    sizes = [channels, *(max(8, out // 2 ** (steps - 1 - i)) for i in range(steps - 1)), out]
    units = [conv_unit(a, b, 3, 2 if stride > 1 else 1) for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(*units)


def shrunk(shape: Sequence[int], stride: int) -> tuple[int, int]:
    """Height and width of a (channels, height, width) map after convolutions of that stride, rounded up."""
    return math.ceil(shape[1] / stride), math.ceil(shape[2] / stride)


class PadTo(nn.Module):
    """Zeros at the right and the bottom, up to a multiple of ``multiple``."""

    def __init__(self, height: int, width: int, multiple: int) -> None:
        super().__init__()
        right, bottom = -width % multiple, -height % multiple
        self.pad = nn.ZeroPad2d((0, right, 0, bottom)) if right or bottom else nn.Identity()
        self.height, self.width = height + bottom, width + right

    def forward(self, x: Tensor) -> Tensor:
        return self.pad(x)


class MapPool(nn.Module):
    """(rows, size, height, width) -> (rows, size)."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3)) if self.form == "average" else x.amax(dim=(2, 3))


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (rows, channels, height, width)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SqueezeExcite(nn.Module):
    """Channels weighted by what the whole map says (Hu et al. 2018)."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        narrow = max(4, channels // reduction)
        self.gate = nn.Sequential(nn.Linear(channels, narrow), nn.ReLU(), nn.Linear(narrow, channels), nn.Hardsigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean(dim=(2, 3)))[..., None, None]


class PatchTokens(nn.Module):
    """(rows, channels, height, width) -> (rows, tokens, out), a token per patch, row by row.

    ``stem``: ``patch`` cuts and projects; ``conv`` looks at overlapping 3x3 neighbourhoods first (Xiao et al. 2021,
    "Early Convolutions Help Transformers See Better").
    """

    def __init__(self, shape: Sequence[int], patch: int, out: int, form: str) -> None:
        super().__init__()
        channels, height, width = shape
        self.pad = PadTo(height, width, patch)
        self.grid = self.pad.height // patch, self.pad.width // patch
        self.tokens = self.grid[0] * self.grid[1]
        if form == "patch":
            self.body: nn.Module = nn.Conv2d(channels, out, patch, patch)
        else:
            first = 2 if patch % 2 == 0 else 1
            half = max(8, out // 2)
            rest = patch // first
            self.body = nn.Sequential(conv_unit(channels, half, 3, first), nn.Conv2d(half, out, rest, rest))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.pad(x)).flatten(2).transpose(1, 2)


def channels_last(x: Tensor) -> Tensor:
    """The memory layout in which depthwise convolutions are fastest; left alone while exporting."""
    if torch.compiler.is_exporting():
        return x
    return x.contiguous(memory_format=torch.channels_last)
