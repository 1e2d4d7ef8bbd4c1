"""Puts the groups of meta-features together."""

from __future__ import annotations

import math

import numpy as np

from automl.data.dataset import Dataset, Part
from automl.types import Profile, Task

NAMES: tuple[str, ...] = (
    "log10_train_rows",
    "log10_values_per_row",
    "log10_classes",
    "class_entropy_nats",
    "missing_share",
)
"""The names of every profile, in order."""


def profile(
    task: Task, train: Part, dataset: Dataset | None = None, *, seed: int = 0, max_rows: int = 2000
) -> Profile:
    """Measure a task.

    Parameters
    ----------
    task, train
        The task and its encoded training part.
    dataset
        The raw rows that ``train.rows`` points into, for what the encoding hides (missing values).
    seed
        For the random features of one landmark.
    max_rows
        Rows that all but the plain counts are measured on: those with the smallest content hashes, so that
        the order of the rows does not matter.
    """
    values = dict.fromkeys(NAMES, math.nan)
    reasons = {}
    values["log10_train_rows"] = math.log10(max(len(train), 1))
    values["log10_values_per_row"] = math.log10(max(sum(int(np.prod(i.shape)) for i in task.inputs), 1))
    if task.kind == "regression":
        reasons["log10_classes"] = reasons["class_entropy_nats"] = "the target has no classes"
    else:
        shares = np.bincount(train.y, minlength=task.num_outputs) / max(len(train), 1)
        values["log10_classes"] = math.log10(task.num_outputs)
        values["class_entropy_nats"] = float(-sum(s * math.log(s) for s in shares if s > 0))
    if dataset is None or dataset.table.shape[1] == 0:
        reasons["missing_share"] = "no raw table at hand"
    else:
        missing = [dataset.table[c].isna().to_numpy()[train.rows].mean() for c in dataset.table.columns]
        values["missing_share"] = float(np.mean(missing))
    return Profile(NAMES, tuple(values.values()), reasons)
