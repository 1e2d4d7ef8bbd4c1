"""Which trained networks to average: greedy ensemble selection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from automl import metrics
from automl.types import Task

ROUNDS = 40
PATIENCE = 10
POOL = 50
"""At most so many rounds, so many without a better ensemble, and so many of the best networks to choose from."""


def select(
    predictions: Sequence[np.ndarray],
    y: np.ndarray,
    task: Task,
    *,
    size: int = 5,
    allowed: Callable[[tuple[int, ...]], bool] | None = None,
) -> list[float]:
    """Weights (summing to 1) of the ensemble that scores best on validation rows; most are 0.

    Greedy selection with replacement (Caruana et al. 2004, "Ensemble Selection from Libraries of Models"): in each
    round the network that helps the average most joins, again if need be, so a network's weight is how often it
    joined. The best round counts, not the last; the first round is the best single network, so the ensemble is
    never worse than any of them on these rows. Equal scores are told apart by log-loss or squared error.

    ``predictions``: one per network, probabilities (rows, classes) or values (rows,). ``size``: largest number of
    different networks. ``allowed``: whether networks (indices, ascending) may be deployed together (hard limits);
    asked before a network joins, a single network included. Raises ValueError for no predictions, or when not one
    network is allowed.
    """
    if not predictions or size < 1:
        raise ValueError(f"an ensemble needs networks and a size, got {len(predictions)} and {size}")
    allowed = allowed or (lambda members: True)
    singles = [(_key(task, y, p), -i) for i, p in enumerate(predictions) if allowed((i,))]
    if not singles:
        raise ValueError("no network is allowed in the ensemble")
    pool = [-i for _, i in sorted(singles, reverse=True)[:POOL]]
    order = [pool[0]]
    total = np.asarray(predictions[pool[0]], dtype=np.float64)
    best, best_length = max(singles)[0], 1
    for _ in range(ROUNDS - 1):
        trial = [
            (_key(task, y, (total + predictions[i]) / (len(order) + 1)), -i)
            for i in pool
            if i in order or (len(set(order)) < size and allowed(tuple(sorted({*order, i}))))
        ]
        key, chosen = max(trial)
        order.append(-chosen)
        total = total + predictions[-chosen]
        if key > best:
            best, best_length = key, len(order)
        elif len(order) - best_length >= PATIENCE:
            break
    counts = np.bincount(order[:best_length], minlength=len(predictions))
    return (counts / best_length).tolist()


def blend(predictions: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Weighted mean of predictions; the weights need not sum to 1."""
    total = sum(w * np.asarray(p, dtype=np.float64) for p, w in zip(predictions, weights, strict=True) if w > 0)
    return np.asarray(total) / sum(weights)


def _key(task: Task, y: np.ndarray, prediction: np.ndarray) -> tuple[float, float]:
    """What is compared: the task's score, then how good the probabilities or values are beyond it."""
    second = "rmse" if task.kind == "regression" else "log_loss"
    return (
        metrics.score(task.metric, task.kind, y, prediction),
        metrics.score(second, task.kind, y, prediction),
    )
