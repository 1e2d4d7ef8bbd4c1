"""EfficientNet-Lite0 without its head: a small known network of pictures (Tan and Le 2019, arXiv:1905.11946).

Lite is the form of the authors for phones: no squeeze and excitation, and ReLU6 in the place of Swish.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGES = ((1, 16, 3, 1, 1), (6, 24, 3, 2, 2), (6, 40, 5, 2, 2), (6, 80, 3, 2, 3), (6, 112, 5, 1, 3), (6, 192, 5, 2, 4))
STAGES = (*STAGES, (6, 320, 3, 1, 1))
"""Of each: expansion, channels, kernel, stride of its first block, blocks (Tan and Le 2019, table 1)."""
STEM, SIZE = 32, 1280  # of the same table


class EfficientNetLite0(nn.Module):
    """(rows, 3, height, width) -> (rows, 1280). The state's tensors stand in the order of the authors' files."""

    def __init__(self) -> None:
        super().__init__()
        self.size = SIZE
        self.stem = SameConv(3, STEM, 3, 2)
        blocks: list[nn.Module] = []
        size = STEM
        for expansion, channels, kernel, stride, count in STAGES:
            for step in itertools.chain([stride], itertools.repeat(1, count - 1)):
                blocks.append(Block(size, channels, kernel, step, expansion))
                size = channels
        self.blocks = nn.Sequential(*blocks)
        self.last = SameConv(size, SIZE, 1)

    def forward(self, image: Tensor) -> Tensor:
        return F.relu6(self.last(self.blocks(F.relu6(self.stem(image))))).mean(dim=(2, 3))


class Block(nn.Module):
    """Wide, each channel on its own, narrow again (Sandler et al. 2018, MobileNetV2)."""

    def __init__(self, size: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = size * expansion
        self.expand = SameConv(size, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv(wide, out, 1)
        self.adds = stride == 1 and size == out

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else F.relu6(self.expand(x))
        out = self.project(F.relu6(self.depthwise(wide)))
        return x + out if self.adds else out


class SameConv(nn.Module):
    """Convolution and norm. The map is padded as TensorFlow does, where the weights are from: of an odd number of
    zeros one more at the right and the bottom.
    """

    def __init__(self, size: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv2d(size, out, kernel, stride, 0 if stride > 1 else kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            height, width = (self.missing(int(n)) for n in x.shape[2:])
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return self.norm(self.conv(x))

    def missing(self, length: int) -> int:
        """Zeros that make every step of the kernel whole."""
        return max((-(-length // self.stride) - 1) * self.stride + self.kernel - length, 0)


def read_state(net: EfficientNetLite0, state: dict[str, Tensor]) -> None:
    """Copy the weights of a file of EfficientNet-PyTorch's layout. Raises ValueError where it holds another network."""
    own = net.state_dict()
    theirs = [tensor for name, tensor in state.items() if not name.startswith("_fc")]
    if [t.shape for t in theirs] != [t.shape for t in own.values()]:
        raise ValueError("not the weights of EfficientNet-Lite0")
    with torch.no_grad():
        for mine, given in zip(own.values(), theirs, strict=True):
            mine.copy_(given)
