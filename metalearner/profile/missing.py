"""What the encoding hides: values that are missing in the raw table."""

from __future__ import annotations

import numpy as np

from automl.data.quality.parse import column_of
from metalearner.profile.sample import Group, Measured, Sample, Unmeasurable

FEATURES = {
    "missing_share": "share of the table's cells without a value",
    "missing_column_share": "share of the columns that miss a value",
    "missing_row_share": "share of the rows that miss a value",
    "max_column_missing_share": "share of missing values in the emptiest column",
}


def measure(sample: Sample) -> Measured:
    """Counts over all training rows, column by column."""
    if sample.dataset is None:
        raise Unmeasurable("the raw data set was not given")
    table = sample.dataset.table
    if table.shape[1] == 0:
        raise Unmeasurable("the data set has no plain columns")
    any_missing = np.zeros(len(sample.rows), dtype=bool)
    shares = []
    for name in table.columns:
        missing = column_of(table, name).isna().to_numpy()[sample.rows]
        any_missing |= missing
        shares.append(float(missing.mean()))
    return {
        "missing_share": float(np.mean(shares)),
        "missing_column_share": float(np.mean([s > 0 for s in shares])),
        "missing_row_share": float(any_missing.mean()),
        "max_column_missing_share": max(shares),
    }


GROUP = Group(FEATURES, measure)
