"""Inverted residuals with a kernel and an expansion per stage (Sandler et al. 2018; Cai et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from automl.models.layers.common import choose
from automl.models.layers.image import (
    MapPool,
    SqueezeExcite,
    channels_last,
    conv_unit,
    is_image_task,
    shrunk,
    stage_options,
    stem,
    stem_strides,
)
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class MobileNet:
    """``widths``: options for the channels of the first stage; each further stage has half as many again."""

    widths: tuple[int, ...] = (16, 24, 32, 48)
    name: str = "mobilenet"

    def supports(self, task: Task) -> bool:
        return is_image_task(task)

    def space(self, task: Task) -> nn.Module:
        return MobileNetSpace(task, tuple(self.widths))


class MobileNetSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, width = task.inputs[0].shape
        possible = stage_options(height, width)
        stages = choose(self, "stages", possible)
        depth = self.choose("depth", (1, 2, 3, 4))
        wide = self.choose("width", widths)
        strides = stem_strides(height, width)
        stride = strides[choose(self, "resolution", tuple(strides))]
        excite = self.choose("excite", ("no", "yes"))
        kernels, expansions = [], []
        for stage in possible:
            rule = {"parent": "stages", "when": [n for n in possible if n >= stage]} if stage > 1 else {}
            kernels.append(self.choose(f"kernel{stage}", (3, 5, 7), **rule))
            expansions.append(self.choose(f"expansion{stage}", (2, 4, 6), **rule))
        dropout = self.shared("dropout", 0.0)

        self.stem = stem(channels, wide, stride)
        side = min(shrunk(task.inputs[0].shape, stride))
        blocks: list[nn.Module] = []
        size = wide
        for stage in range(stages):
            out = int(wide * 1.5**stage) // 4 * 4
            for i in range(depth):
                shrink = 2 if stage and i == 0 and side >= 2 else 1
                side = -(-side // shrink)
                blocks.append(InvertedResidual(size, out, kernels[stage], expansions[stage], shrink, excite == "yes"))
                size = out
        self.body = nn.Sequential(*blocks)
        self.last = conv_unit(size, 4 * size, 1, act=nn.Hardswish())
        self.pool = MapPool("average")
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * size, task.num_outputs)

    def forward(self, image: Tensor) -> Tensor:
        """(rows, channels, height, width) -> (rows, num_outputs)."""
        return self.head(self.dropout(self.pool(self.last(self.body(channels_last(self.stem(image)))))))


class InvertedResidual(nn.Module):
    """Widen, look around channel by channel, narrow; a shortcut where the shape stays."""

    def __init__(self, size: int, out: int, kernel: int, expansion: int, stride: int, excite: bool) -> None:
        super().__init__()
        inner = size * expansion
        self.body = nn.Sequential(
            conv_unit(size, inner, 1, act=nn.Hardswish()),
            conv_unit(inner, inner, kernel, stride, groups=inner, act=nn.Hardswish()),
            SqueezeExcite(inner) if excite else nn.Identity(),
            conv_unit(inner, out, 1, act=nn.Identity()),
        )
        self.shortcut = stride == 1 and size == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)
