"""ConvNeXt: large depthwise kernels and inverted bottlenecks in stages (Liu et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from automl.models.layers.common import Residual, choose
from automl.models.layers.image import (
    ChannelNorm,
    MapPool,
    PadTo,
    channels_last,
    is_image_task,
    shrunk,
    stage_options,
    stem_strides,
)
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class ConvNeXt:
    """``widths``: options for the channels of the first stage, which double at each further stage."""

    widths: tuple[int, ...] = (16, 32, 64, 96)
    name: str = "convnext"

    def supports(self, task: Task) -> bool:
        return is_image_task(task)

    def space(self, task: Task) -> nn.Module:
        return ConvNeXtSpace(task, tuple(self.widths))


class ConvNeXtSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, width = task.inputs[0].shape
        stages = choose(self, "stages", stage_options(height, width))
        depth = self.choose("depth", (1, 2, 3, 4))
        wide = self.choose("width", widths)
        kernel = self.choose("kernel", (3, 5, 7))
        strides = stem_strides(height, width)
        stride = strides[choose(self, "resolution", tuple(strides))]
        norm = {"layer": ChannelNorm, "batch": nn.BatchNorm2d}[self.choose("norm", ("layer", "batch"))]
        dropout = self.shared("dropout", 0.0)

        # a stem that keeps the map still looks at 3x3 neighbourhoods, else it cuts patches
        look = (3, 1, 1) if stride == 1 else (stride, stride, 0)
        self.stem = nn.Sequential(PadTo(height, width, stride), nn.Conv2d(channels, wide, *look), norm(wide))
        side = min(shrunk(task.inputs[0].shape, stride))
        layers: list[nn.Module] = []
        for stage in range(stages):
            size = wide * 2**stage
            if stage:
                halve = 2 if side >= 2 else 1
                side //= halve
                layers += [norm(size // 2), nn.Conv2d(size // 2, size, halve, halve)]
            layers += [
                Residual(
                    nn.Conv2d(size, size, kernel, padding=kernel // 2, groups=size),
                    norm(size),
                    nn.Conv2d(size, 4 * size, 1),
                    nn.GELU(),
                    nn.Conv2d(4 * size, size, 1),
                )
                for _ in range(depth)
            ]
        self.body = nn.Sequential(*layers)
        last = wide * 2 ** (stages - 1)
        self.pool = MapPool("average")
        self.head = nn.Sequential(nn.LayerNorm(last), nn.Dropout(dropout), nn.Linear(last, task.num_outputs))

    def forward(self, image: Tensor) -> Tensor:
        """(rows, channels, height, width) -> (rows, num_outputs)."""
        return self.head(self.pool(self.body(channels_last(self.stem(image)))))
