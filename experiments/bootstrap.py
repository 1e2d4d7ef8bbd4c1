"""Drawing again what was measured, for intervals (Efron 1979); what depends on each other is drawn together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def drawn_groups(group: np.ndarray, times: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Positions of each draw: as many groups as there are, with replacement, and all that belongs to them.

    group: (n,) numbers or names, one per measurement.
    """
    of = np.unique(group, return_inverse=True)[1]
    sizes = np.bincount(of)
    order, starts = np.argsort(of, kind="stable"), np.cumsum(sizes) - sizes
    rng = np.random.default_rng(seed)
    for _ in range(times):
        chosen = rng.integers(0, len(sizes), len(sizes))
        count = sizes[chosen]
        first = starts[chosen] - (np.cumsum(count) - count)  # less the rows that are taken before it
        yield order[np.repeat(first, count) + np.arange(count.sum())]
