"""The check for likely label errors: what quick models say of a data set, as a finding.

``suspects`` does the work; it is imported when the check runs, as its libraries take a second and more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from automl.data.quality.parse import floats, is_numeric
from automl.data.quality.view import Proposal, View, finding, share

if TYPE_CHECKING:
    from automl.data.quality.suspects import Suspects

MIN_ROWS = 20
"""Fewer rows say nothing about a label."""

MAX_JUDGED = 20_000
"""Rows that are judged at most, drawn at random: it takes three seconds on one core."""

ALARM, CLEAR = 0.02, 0.4
"""It is a warning when so many labels are suspects, and so many of the rows that the models get wrong: where classes
overlap the models are wrong too, but seldom sure of it. By judgement; ``+experiment=bench/label_errors`` prints what is
named where nothing is wrong."""

MAX_SHOWN = 24
"""Suspects that are named with what the models expect instead."""


def label_errors(view: View) -> Iterator[Proposal]:
    """The suspects among at most ``MAX_JUDGED`` rows of a data set."""
    from automl.data.quality.features import quick_features
    from automl.data.quality.suspects import find_label_errors, find_value_errors

    target = view.sampled_target()
    known = target.notna().to_numpy()
    if view.kind == "regression":
        if not is_numeric(target):
            return
        known = known & np.isfinite(floats(target))
    known = np.flatnonzero(known)
    if len(known) > MAX_JUDGED:
        known = np.sort(np.random.default_rng(view.seed).choice(known, MAX_JUDGED, replace=False))
    rows = view.sample[known]
    target = target.iloc[known]
    if len(rows) < MIN_ROWS or not (view.columns or view.dataset.arrays):
        return
    x = quick_features(view.dataset, rows, view.seed)
    if view.kind == "regression":
        yield from _values(view, rows, floats(target), find_value_errors(x, floats(target), seed=view.seed))
        return
    codes, names = pd.factorize(target, sort=False)
    if len(names) >= 2:
        yield from _classes(view, rows, codes, list(names), find_label_errors(x, codes, seed=view.seed))


def _classes(view: View, rows: np.ndarray, codes: np.ndarray, names: list, found: Suspects) -> Iterator[Proposal]:
    count = len(found.rows)
    if not count:
        return
    where = view.row_numbers(rows[found.rows])
    examples = [
        {
            "row": row,
            "label": str(names[codes[i]]),
            "suggested": str(names[code]),
            "quality": round(float(found.quality[i]), 4),
        }
        for row, i, code in zip(where, found.rows, found.suggested, strict=False)
    ]
    text = (
        f"{count:,} of {len(rows):,} labels ({share(count, len(rows))}) may be wrong: quick models that have "
        f"not seen the row are sure of another class (they agree with {found.accuracy:.0%} of all labels)."
    )
    if found.weak:
        text += " The models are weak here, so that only the surest cases are named."
    clear = count >= CLEAR * (1 - found.accuracy) * len(rows)
    alarm = not found.weak and clear and count >= max(3, ALARM * len(rows))
    yield _proposal(view, rows, found, text, examples, alarm)


def _values(view: View, rows: np.ndarray, values: np.ndarray, found: Suspects) -> Iterator[Proposal]:
    count = len(found.rows)
    if not count or count > 0.05 * len(rows):  # so many are a heavy tail, not slips
        return
    where = view.row_numbers(rows[found.rows])
    examples = [
        {
            "row": row,
            "target": float(values[i]),
            "expected": float(f"{told:.5g}"),
            "spreads away": round(float(found.quality[i]), 1),
        }
        for row, i, told in zip(where, found.rows, found.suggested, strict=False)
    ]
    text = (
        f"{count:,} of {len(rows):,} target values ({share(count, len(rows))}) are far from what quick models "
        f"expect of their inputs (R2 {found.accuracy:.2f})."
    )
    yield _proposal(view, rows, found, text, examples, False)


def _proposal(view: View, rows: np.ndarray, found: Suspects, text: str, examples: list, alarm: bool) -> Proposal:
    return Proposal(
        finding(
            "label_errors",
            "warning" if alarm else "info",
            len(found.rows),
            "target",
            text,
            examples,
            "look at them, or leave them out of training",
            view.row_numbers(rows[found.rows]),
            most=MAX_SHOWN,
        ),
        drop=rows[found.rows],
        after_split=True,
    )
