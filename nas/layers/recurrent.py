"""GRU and LSTM over (rows, steps, width), with the pooling that fits both directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.layers.common import TokenPool


class Recurrent(nn.Module):
    """(rows, steps, ``size``) and a mask (rows, steps) -> (rows, ``width``), read by ``pool``.

    ``width`` counts both directions together. ``last`` reads each direction where it ends.
    """

    def __init__(
        self, cell: str, size: int, width: int, layers: int, *, both: bool, pool: str, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.net = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](
            size,
            width // 2 if both else width,
            num_layers=layers,
            batch_first=True,
            bidirectional=both,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.both = both
        self.pool = TokenPool(pool, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        states = self.net(x)[0]
        if self.pool.form != "last" or not self.both:
            return self.pool(states, mask)
        onward, back = states.chunk(2, dim=2)
        return torch.cat([self.pool(onward, mask), back[:, 0]], dim=1)
