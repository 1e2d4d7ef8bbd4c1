"""Faults between rows: the same row twice, the same inputs with two answers, training rows in the test
split.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from automl.data.dataset import TEST
from automl.data.quality.findings import MAX_ROWS
from automl.data.quality.parse import column_of, is_prose
from automl.data.quality.rowhash import combine, hash_array, hash_column
from automl.data.quality.view import Proposal, View, finding, share

GRAVE = 0.01
"""Share of the rows from which it is a warning. By judgement: it decides how grave it is called, and nothing else."""

NATURE, FEW = 0.9, 20
"""Where so many rows repeat others, or so few would be left, to repeat is what the data does: it is no slip. By
judgement: kept repeats flatter the validation, dropped ones may be the data."""

CHANCE = 0.01
"""Repeats are put down to chance from this share of the repeats that independent columns would give: columns
depend on each other in real tables, which makes more repeats than that. By judgement, a hundred times more."""


def repeated_rows(view: View) -> Iterator[Proposal]:
    """Duplicates, contradictions and train-test overlap, which share one hash of the inputs."""
    if not view.columns and not view.dataset.arrays:
        return
    inputs = combine(
        [
            *(hash_column(column_of(view.dataset.table, c)) for c in view.columns),
            *(hash_array(np.asarray(a)) for a in view.dataset.arrays.values()),
        ]
    )
    seen = inputs[view.seen]
    codes, _ = pd.factorize(seen)
    sizes = np.bincount(codes)
    chance = functools.cache(lambda: _by_chance(view, int((sizes * (sizes - 1) // 2).sum())))
    if sizes.max(initial=0) > 1:
        yield from _duplicates(view, seen, chance)
        if view.kind != "regression":
            yield from _contradictions(view, codes, chance)
    if view.has_split:
        yield from _overlap(view, inputs, chance)


def _by_chance(view: View, pairs: int) -> bool:
    """Whether so many equal pairs are no wonder, as in a table of a few coarse columns."""
    if view.dataset.arrays:
        return False
    n = len(view.seen)
    log_expected = math.log(max(n * (n - 1) / 2, 1))
    for name in view.columns:
        column = view.sampled(name)
        counts = column.value_counts(dropna=False).to_numpy(dtype=np.float64)
        total = counts.sum()
        same = float((counts * (counts - 1)).sum() / max(total * (total - 1), 1))
        words = view.modality(name) == "text" or is_prose(column)
        if same <= 0 or words:
            return False
        log_expected += math.log(same)
    return log_expected >= math.log(CHANCE * max(pairs, 1))


def _duplicates(view: View, seen: np.ndarray, chance) -> Iterator[Proposal]:
    parts = [seen, hash_column(view.target())]
    if view.dataset.time is not None:  # what was measured again later is no slip
        parts.append(hash_array(np.asarray(view.dataset.time)[view.seen][:, None]))
    full = combine(parts)
    again = pd.Series(full).duplicated().to_numpy()
    count = int(again.sum())
    if not count:
        return
    positions = view.seen[again]
    rows = view.row_numbers(positions)
    part = share(count, len(view.seen))
    examples = [
        {"row": int(view.given[p]), "same as row": int(view.given[view.seen[np.argmax(full == h)]])}
        for p, h in zip(positions[:5], full[again][:5], strict=True)
    ]
    if chance():
        text = f"{count:,} rows ({part}) repeat an earlier one; with so few distinct values that is to be expected."
        yield Proposal(finding("duplicate_rows", "info", count, "rows", text, examples, rows=rows))
        return
    text = f"{count:,} rows ({part}) repeat an earlier one, target included."
    left = len(view.seen) - count
    if count > NATURE * len(view.seen) or left < FEW <= len(view.seen):
        text += f" Only {left:,} differ: too few to learn from alone, so that the repeats stay."
        yield Proposal(finding("duplicate_rows", "warning", count, "rows", text, examples, rows=rows))
        return
    yield Proposal(
        finding(
            "duplicate_rows",
            "warning" if count >= GRAVE * len(view.seen) else "info",
            count,
            "rows",
            text,
            examples,
            "drop the repeats from training",
            rows,
        ),
        drop=positions,
        repeats=view.seen[np.flatnonzero(~again)[pd.factorize(full)[0][again]]],  # codes are in order of appearance
    )


def _contradictions(view: View, codes: np.ndarray, chance) -> Iterator[Proposal]:
    target, _ = pd.factorize(view.target())
    pairs = pd.DataFrame({"inputs": codes, "target": target})
    distinct = pairs.drop_duplicates()["inputs"].to_numpy()
    several = np.bincount(distinct, minlength=int(codes.max()) + 1) > 1
    bad = np.flatnonzero(several[codes])
    if not len(bad):
        return
    bad = bad[np.argsort(codes[bad], kind="stable")]  # those that contradict each other stand together
    rows = view.row_numbers(view.seen[bad])
    labels = view.target().iloc[bad[:5]]
    text = f"{len(bad):,} rows ({share(len(bad), len(codes))}) have the same inputs as another row but another target."
    if chance():
        text += " With so few distinct values that is to be expected."
    yield Proposal(
        finding(
            "contradicting_labels",
            "info" if chance() or len(bad) < GRAVE * len(codes) else "warning",
            len(bad),
            "rows",
            text,
            [{"row": r, "target": str(v)} for r, v in zip(rows, labels, strict=False)],
            "look at them: at most one of the answers is right",
            rows,
        )
    )


def _overlap(view: View, inputs: np.ndarray, chance) -> Iterator[Proposal]:
    """Inputs only: the labels of the test rows are not read."""
    test = np.flatnonzero(np.asarray(view.dataset.split) == TEST)
    known = np.isin(inputs[test], inputs[view.seen])
    count = int(known.sum())
    if not count:
        return
    part = count / len(test)
    again = view.seen[np.isin(inputs[view.seen], inputs[test])]
    natural = chance()
    text = f"{count:,} test rows ({share(count, len(test))}) stand in the training rows too"
    text += ", as is to be expected with so few distinct values." if natural else ": the test flatters."
    yield Proposal(
        finding(
            "train_test_overlap",
            "info" if natural or part < GRAVE else ("warning" if part < 0.1 else "error"),
            count,
            "rows",
            text,
            [{"test row": int(view.given[i])} for i in test[known][:5]],
            "" if natural else "drop them from training",
            view.row_numbers(test[known][:MAX_ROWS]),
        ),
        drop=np.zeros(0, dtype=np.int64) if natural else again,
    )
