"""Rows that stand for a weight (``automl.data.weights``): what leaves rows out leaves out all copies of one, as one
that stays would tell what the others are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse


def copies(x: Any, y: np.ndarray) -> np.ndarray:
    """(rows,) the number of the row that each stands for: equal rows that follow one another are one.

    x: (rows, features), an array or a csr_matrix; y: (rows,).
    """
    if len(y) < 2:
        return np.arange(len(y))
    differ = np.diff((x[1:] - x[:-1]).indptr) > 0 if issparse(x) else (x[1:] != x[:-1]).any(axis=1)
    return np.cumsum(np.r_[False, differ | (y[1:] != y[:-1])])


def left_out(of: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions of about ``share`` of the rows, at random, and of the rest; none of ``copies`` is on both sides."""
    turn = np.argsort(rng.permutation(of[-1] + 1 if len(of) else 0))[of]  # of the row that each stands for
    order = np.argsort(turn, kind="stable")
    cut = int(share * len(of))
    cut = int(np.searchsorted(turn[order], turn[order[cut]])) if cut else 0
    return order[:cut], order[cut:]
