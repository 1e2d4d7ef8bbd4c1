"""What every standardisation has: a scale that means something, and an end to what comes out."""

from __future__ import annotations

import numpy as np

LIMIT = 20.0
"""No encoded number lies beyond it, whatever the raw one is. By judgement, in deviations: rows of training seldom pass
it, and networks answer nonsense far beyond what they have seen."""
ROUNDING = 1e-7  # of a float32, as share of the value


def meaningful(std: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The deviations, shape as given; those that rounding alone would leave become the size of the mean, or 1.

    A fixed floor is wrong at both ends: quantities of 1e-12 would vanish below it, and a constant one, divided by it,
    would send any other value to the stars.
    """
    size = np.abs(mean)
    return np.where(std > ROUNDING * size, std, np.where(size > 0, size, 1.0))
