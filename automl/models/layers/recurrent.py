"""GRU and LSTM over (rows, steps, width), with the pooling that fits both directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from automl.models.layers.common import TokenPool


class Recurrent(nn.Module):
    """(rows, steps, ``size``) and a mask (rows, steps) -> (rows, ``width``), read by ``pool``.

    ``width`` counts both directions together. ``last`` reads each direction where it ends. The backward direction
    begins at a row's own last step, so that what is padded behind it changes nothing, however much that is.
    """

    def __init__(
        self, cell: str, size: int, width: int, layers: int, *, both: bool, pool: str, dropout: float = 0.0
    ) -> None:
        super().__init__()
        one = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
        each = width // 2 if both else width
        sizes = [size, *[width] * (layers - 1)]
        self.onward = nn.ModuleList(one(n, each, batch_first=True) for n in sizes)
        self.back = nn.ModuleList(one(n, each, batch_first=True) for n in sizes) if both else None
        self.dropout = nn.Dropout(dropout)
        self.pool = TokenPool(pool, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.back is None:
            for i, layer in enumerate(self.onward):
                x = layer(self.dropout(x) if i else x)[0]
            return self.pool(x, mask)
        onward = back = x
        place = reversed_places(x, mask)
        for i, (one, other) in enumerate(zip(self.onward, self.back, strict=True)):
            x = self.dropout(x) if i else x
            onward = one(x)[0]
            back = turned(other(turned(x, place))[0], place)
            x = torch.cat([onward, back], dim=2)
        if self.pool.form != "last":
            return self.pool(x, mask)
        return torch.cat([self.pool(onward, mask), back[:, 0]], dim=1)


def reversed_places(x: Tensor, mask: Tensor | None) -> Tensor:
    """(rows, steps): for each step the one in its place when a row is read backwards; padding stays where it is."""
    steps = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2])
    if mask is None:
        return x.shape[1] - 1 - steps
    last = (steps * mask).amax(dim=1, keepdim=True)
    return torch.where(steps <= last, last - steps, steps)


def turned(x: Tensor, place: Tensor) -> Tensor:
    """(rows, steps, width) with the steps of each row in the order of ``place``."""
    return x.gather(1, place[..., None].expand(-1, -1, x.shape[2]))
