"""The anytime portfolio: what to try first, in an order that knows what trainings cost.

A greedy portfolio of past runs (``metalearner.portfolio``) by gain per second. With the program ships one that was
learned from its knowledge, as a shallow tree over modality, kind and size (``metalearner.opening``), so that a search
begins before the knowledge is read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl.types import Candidate

OPENING = 4  # trials that are decided by it: chosen by replay on the shipped knowledge (docs/benchmarks.md)
GUARD = OPENING  # practice's first candidate is among the first so many, at their end unless the past says otherwise
WINDOW = (0.5, 30.0)  # usual trainings of a task, within which an order is judged: by judgement, a short search's


def guarded(portfolio: Sequence[Candidate], practice: Sequence[Candidate]) -> list[Candidate]:
    """The portfolio with practice's first candidate among its first ones: a race guard.

    Where past tasks mislead, it costs a few trainings until what common practice would have begun with is there.
    """
    if not practice or practice[0] in portfolio[:GUARD]:
        return list(portfolio)
    rest = [c for c in portfolio if c != practice[0]]
    return [*rest[: GUARD - 1], practice[0], *rest[GUARD - 1 :]]


def area(times: np.ndarray, regret: np.ndarray, window: tuple[float, float] = WINDOW) -> float:
    """Mean regret over log time within the window, in [0, 1].

    ``times``: rising, (n,), when each evaluation ended; ``regret``: (n,), of the best so far from then on. Before the
    first it is 1, after the last it stays.
    """
    low, high = window
    inside = (times > low) & (times < high)
    edges = np.log([low, *times[inside], high])
    before = int((times <= low).sum())
    levels = np.r_[regret[before - 1] if before else 1.0, regret[inside]]
    return float((np.diff(edges) * levels).sum() / (edges[-1] - edges[0]))
