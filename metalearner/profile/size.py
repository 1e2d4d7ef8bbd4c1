"""How large the task is and what it is made of."""

from __future__ import annotations

import math

import numpy as np

from metalearner.profile.sample import Group, Measured, Sample

FEATURES = {
    "log10_train_rows": "training rows, log10",
    "log10_values_per_row": "numbers in one encoded row, log10",
    "log10_rows_per_value": "training rows for each number of a row, log10",
    "inputs": "inputs of the task, count",
    "is_binary": "1 for two classes, else 0",
    "is_multiclass": "1 for more than two classes, else 0",
    "is_regression": "1 for a numeric target, else 0",
    "has_tabular": "1 with plain columns, else 0",
    "has_image": "1 with images, else 0",
    "has_audio": "1 with sounds, else 0",
    "has_series": "1 with series, else 0",
    "has_text": "1 with text, else 0",
    "duplicate_row_share": "share of the rows whose encoded inputs repeat an earlier row's",
}


def measure(sample: Sample) -> Measured:
    """Counts and kinds."""
    task = sample.task
    values = max(sum(int(np.prod(i.shape)) for i in task.inputs), 1)
    kinds = {i.modality for i in task.inputs}
    return {
        "log10_train_rows": math.log10(sample.total),
        "log10_values_per_row": math.log10(values),
        "log10_rows_per_value": math.log10(sample.total / values),
        "inputs": float(len(task.inputs)),
        **{f"is_{kind}": float(task.kind == kind) for kind in ("binary", "multiclass", "regression")},
        **{f"has_{m}": float(m in kinds) for m in ("tabular", "image", "audio", "series", "text")},
        "duplicate_row_share": sample.duplicate_share,
    }


GROUP = Group(FEATURES, measure)
