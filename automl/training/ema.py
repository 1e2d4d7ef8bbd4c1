"""A moving average of a network's weights."""

# pyright: reportPrivateImportUsage=false
# (torch._foreach_* is how torch's own averaged models treat all weights in one call; it has no public name.)

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

LONGEST = 0.999  # of what was, a step: it forgets over a thousand steps (the usual choice, such as TensorFlow's)


class Ema:
    """Exponential moving average of parameters and float buffers, to be validated and kept in the network's place.

    The decay grows as (1 + step) / (10 + step), TensorFlow's rule, up to what spans a tenth of the training (by
    judgement; at most ``LONGEST``), so short trainings are not averaged with their first weights.
    """

    def __init__(self, network: nn.Module, steps: int) -> None:
        found = {k: v.detach() for k, v in network.state_dict(keep_vars=True).items() if v.is_floating_point()}
        # They share memory with the network. A constant may hold infinities (the outer edges of bins), and the mean
        # of two infinities is no number.
        self.live = {k: v for k, v in found.items() if bool(v.isfinite().all())}
        self.average = {k: v.clone() for k, v in self.live.items()}
        self.limit = min(LONGEST, 1 - 10 / max(steps, 20))

    def restart(self) -> None:
        """The average of nothing but the weights as they are."""
        torch._foreach_copy_(list(self.average.values()), list(self.live.values()))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step ``step`` (from 0)."""
        decay = min(self.limit, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.values()), list(self.live.values()), 1 - decay)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The network holds the average inside this block."""
        kept = {k: v.clone() for k, v in self.live.items()}
        self._write(self.average)
        try:
            yield
        finally:
            self._write(kept)

    @torch.no_grad()
    def _write(self, values: dict[str, Tensor]) -> None:
        torch._foreach_copy_(list(self.live.values()), [values[k] for k in self.live])
