"""Scores on the test rows as a bundle would have them: nothing is decided by the test rows themselves."""

from __future__ import annotations

import numpy as np

from automl import metrics
from automl.types import Task


def judged_score(
    task: Task,
    y: np.ndarray,
    test: np.ndarray,
    valid_y: np.ndarray,
    valid: np.ndarray,
    learned: np.ndarray | None = None,
) -> float:
    """The score of predictions ``test`` of targets ``y``, higher is better.

    Where the metric moves the decision (balanced accuracy, macro F1), its weights are those that suit what the same
    networks said of the rows that chose them, ``valid`` of ``valid_y``: by themselves ``automl.metrics.score`` would
    take those that suit the test rows best. ``learned``: targets of all rows to learn from, for the classes' shares;
    None: of ``valid_y`` alone.
    """
    if task.kind == "regression":
        return metrics.score(task.metric, task.kind, y, test)
    shares = None if learned is None else np.bincount(learned, minlength=task.num_outputs) / len(learned)
    return metrics.score(task.metric, task.kind, y, test, metrics.decision(task.metric, valid_y, valid, shares))
