"""A moving average of a network's weights."""

# pyright: reportPrivateImportUsage=false
# (torch._foreach_* is how torch's own averaged models treat all weights in one call; it has no public name.)

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

LONGEST = 0.999  # of what was, a step: it forgets over a thousand steps (the usual choice, such as TensorFlow's)


class Ema:
    """Exponential moving average of parameters and float buffers, to be validated and kept in the network's place.

    The decay grows as (1 + step) / (10 + step), TensorFlow's rule, up to what spans a tenth of the training (by
    judgement; at most ``LONGEST``), so short trainings are not averaged with their first weights.
    """

    def __init__(self, network: nn.Module, steps: int) -> None:
        state = network.state_dict()
        # Where a weight is held, not the memory it is in: a network that moves between devices, or recurrent layers
        # that lay their weights side by side for a GPU, leave that behind.
        self.places: dict[str, tuple[dict[str, Any], str]] = {}
        for path, module in network.named_modules(remove_duplicate=False):
            for table in (module._parameters, module._buffers):
                for key in table:
                    value = state.get(name := f"{path}.{key}" if path else key)
                    # A constant may hold infinities (the outer edges of bins), and the mean of two infinities is no
                    # number.
                    if value is not None and value.is_floating_point() and bool(value.isfinite().all()):
                        self.places[name] = table, key
        self.average = dict(zip(self.places, (t.clone() for t in self.live), strict=True))
        self.limit = min(LONGEST, 1 - 10 / max(steps, 20))

    @property
    def live(self) -> list[Tensor]:
        """The network's own, in the order of ``average``; they share memory with it."""
        return [table[key].detach() for table, key in self.places.values()]

    def restart(self) -> None:
        """The average of nothing but the weights as they are."""
        torch._foreach_copy_(list(self.average.values()), self.live)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step ``step`` (from 0)."""
        decay = min(self.limit, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.values()), self.live, 1 - decay)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The network holds the average inside this block."""
        kept = [t.clone() for t in self.live]
        torch._foreach_copy_(self.live, list(self.average.values()))
        try:
            yield
        finally:
            torch._foreach_copy_(self.live, kept)
