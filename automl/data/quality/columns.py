"""Faults that one column of the table has by itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from automl.data.quality.findings import Step
from automl.data.quality.view import Proposal, View, finding, share


def missing_values(view: View) -> Iterator[Proposal]:
    """Cells without a value, one finding for each column that has any."""
    total = len(view.seen)
    for name in view.columns:
        missing = view.column(name).isna().to_numpy()
        count = int(missing.sum())
        if count == total:
            yield Proposal(
                finding(
                    "empty_column",
                    "warning",
                    count,
                    name,
                    f"'{name}' has no value at all.",
                    repair="drop the column",
                ),
                steps=(Step("drop", name),),
            )
        elif count:
            rows = view.seen[np.flatnonzero(missing)[:1000]]
            yield Proposal(
                finding(
                    "missing_values",
                    "warning" if count > 0.5 * total else "info",
                    count,
                    name,
                    f"'{name}' is missing in {count} of {total} rows ({share(count, total)}).",
                    repair="the encoding fills it and marks where it was missing",
                    rows=view.row_numbers(rows),
                )
            )


def constant_columns(view: View) -> Iterator[Proposal]:
    """Columns that hold one value only."""
    for name in view.columns:
        if view.sampled(name).nunique() == 1 and view.column(name).nunique() == 1:
            value = view.sampled(name).dropna().iloc[0]
            if view.column(name).isna().any():
                continue  # present or missing is itself a value
            yield Proposal(
                finding(
                    "constant_column",
                    "warning",
                    len(view.seen),
                    name,
                    f"'{name}' is {value!r} in every row: there is nothing to learn from it.",
                    [value],
                    "drop the column",
                ),
                steps=(Step("drop", name),),
            )
