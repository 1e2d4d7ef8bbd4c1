"""Drawing again what was measured, for intervals (Efron 1979); what depends on each other is drawn together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

DRAWS = 5000


def drawn_groups(group: np.ndarray, times: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Positions of each draw: as many groups as there are, with replacement, and all that belongs to them.

    group: (n,) numbers or names, one per measurement.
    """
    names, of = np.unique(group, return_inverse=True)
    members = np.split(np.argsort(of, kind="stable"), np.cumsum(np.bincount(of))[:-1])
    rng = np.random.default_rng(seed)
    alone = len(names) == len(of)
    places = np.concatenate(members) if alone else None
    for _ in range(times):
        chosen = rng.integers(0, len(names), len(names))
        yield places[chosen] if places is not None else np.concatenate([members[i] for i in chosen])


def mean_interval(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The ends of 95 % of the means over drawn groups: (2, ...) for ``values`` (n, ...) and ``group`` (n,)."""
    means = [values[at].mean(axis=0) for at in drawn_groups(group, DRAWS)]
    return np.percentile(means, [2.5, 97.5], axis=0)
