"""Layers of weights and activations that are +1 and -1, trained with straight-through estimates.

In training the sign is taken in float, so that any device does it fast; ``eval`` packs the weights into bits and
answers by the operator of ``automl.models.binary.operator``. Exported, the graph holds the bits, an eighth of a byte a
weight, and standard operators that unpack them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from automl.models.binary.operator import matmul, pack, unpack

NUMBERS = 2**24
"""Of the patches that a convolution lays out at once, which are nine times what it reads: 64 MB."""


class Sign(torch.autograd.Function):
    """+1 where a number is 0 or more, else -1; backwards as if it were the number itself, cut at ``limit``.

    Straight-through estimation (Bengio et al. 2013; Courbariaux et al. 2016, "Binarized neural networks").
    """

    @staticmethod
    def forward(ctx, x: Tensor, limit: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.limit = limit
        return sign(x)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] * (x.abs() <= ctx.limit), None


def sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


class _Binary(nn.Module):
    """What both layers share: float weights (outputs, size) to train, and their signs as bits.

    Answers are divided by the root of ``size``, so that they begin with a variance of 1.
    """

    packed: Tensor

    def __init__(self, outputs: int, size: int) -> None:
        super().__init__()
        self.size, self.scale = size, size**-0.5
        self.weight = nn.Parameter(torch.empty(outputs, size).uniform_(-1, 1))
        self.register_buffer("packed", pack(self.weight.detach()), persistent=False)
        self._of: tuple[int, int] | None = None

    @property
    def graph_bytes(self) -> int:
        """Of the bits alone: the float weights stay here."""
        return self.packed.nbytes

    def train(self, mode: bool = True):
        super().train(mode)
        self._of = None  # a fused optimizer changes weights without counting a version
        if not mode:
            self.bits()
        return self

    def bits(self) -> Tensor:
        """The signs of the weights as they are now, packed."""
        if torch.compiler.is_exporting():
            return self.packed  # ``eval`` packed them
        of = (self.weight.data_ptr(), self.weight._version)
        if of != self._of:
            with torch.inference_mode(False), torch.no_grad():
                self.packed = pack(self.weight.detach().clone())
            self._of = of
        return self.packed


class BinaryLinear(_Binary):
    """(rows, inputs) -> (rows, outputs), of signs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(outputs, inputs)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.scale * F.linear(Sign.apply(x, 1.0), Sign.apply(self.weight, math.inf))
        if torch.compiler.is_exporting():
            return self.scale * F.linear(sign(x), unpack(self.bits(), self.size))
        return self.scale * matmul(pack(x), self.bits(), self.size)


class BinaryConv2d(_Binary):
    """(rows, inputs, height, width) -> (rows, outputs, height, width), of signs; beyond the border all are -1."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__(outputs, inputs * kernel**2)
        self.inputs, self.outputs, self.kernel = inputs, outputs, kernel

    def forward(self, x: Tensor) -> Tensor:
        shape = (self.outputs, self.inputs, self.kernel, self.kernel)
        around = (self.kernel // 2, (self.kernel - 1) // 2) * 2
        if self.training:
            signs = F.pad(Sign.apply(x, 1.0), around, value=-1.0)
            return self.scale * F.conv2d(signs, Sign.apply(self.weight, math.inf).reshape(shape))
        signs = F.pad(sign(x), around, value=-1.0)
        if torch.compiler.is_exporting():
            return self.scale * F.conv2d(signs, unpack(self.bits(), self.size).reshape(shape))
        rows = max(1, NUMBERS // (self.size * math.prod(x.shape[2:])))
        counted = torch.cat([self.counted(some) for some in signs.split(rows)])
        return self.scale * counted.reshape(len(x), self.outputs, *x.shape[2:])

    def counted(self, signs: Tensor) -> Tensor:
        """Padded signs (rows, inputs, ...) -> sums (rows, outputs, places), whole numbers."""
        patches = F.unfold(signs, self.kernel).transpose(1, 2)  # (rows, places, size)
        sums = matmul(pack(patches.flatten(0, 1)), self.bits(), self.size)
        return sums.reshape(len(signs), -1, self.outputs).transpose(1, 2)
