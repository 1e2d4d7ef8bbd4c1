"""Columns that teach nothing: constant, id-like, copies; and categories spelt in several ways."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from automl.data.quality.findings import Step
from automl.data.quality.parse import counts_of, floats, fold, is_texty
from automl.data.quality.rowhash import hash_column
from automl.data.quality.target import told_in_order
from automl.data.quality.view import Proposal, View, finding, share

MIN_ROWS = 50
"""Fewer rows may be all different by chance."""

FEW_KEYS = 20
"""Fewer are a category: shops, states. By judgement."""

MAYBE = 0.05
"""A column tells of the target when chance gives as much to fewer than this (usual) share of shuffled targets."""

SORTED = 0.5
"""A column that goes one way along the rows and tells more of the target than this: the file may be sorted by it. By
judgement: it is said and nothing is dropped for it."""

_KEY = r"(.*[_\s.-])?(id|uuid|guid)"
_SAVED_INDEX = re.compile(r"unnamed: 0(\.\d+)*|__index_level_\d+__", re.IGNORECASE)  # that pandas wrote
_ID_NAME = re.compile(
    rf"{_KEY}|key|index|idx|serial|row|row[_\s-]?(id|no|nr|number|index)|{_SAVED_INDEX.pattern}", re.IGNORECASE
)
_ID_CAMEL = re.compile(r".*[a-z](Id|ID)")
_KEY_NAME = re.compile(r".*[_\s-](key|index|idx|serial)|.*[a-z](Key|Index)")  # a heat_index is no key
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(r"(?=.*\d)[0-9a-f]{8,}", re.IGNORECASE)
_CODE = re.compile(r"([^\W\d_]+[-_/#])*[^\W\d_]*\d+([-_/]\d+)*")  # cust-0042, 00042: no time, no unit, no currency


def constant_columns(view: View) -> Iterator[Proposal]:
    """Columns that hold one value only."""
    for name in view.columns:
        value = view.sampled(name).iloc[0]
        if pd.isna(value) or not all(bool((c == value).all()) for c in (view.sampled(name), view.column(name))):
            continue  # present or missing is itself a value
        text = f"'{name}' is {str(value)!r} in every row: there is nothing to learn from it."
        yield Proposal(
            finding("constant_column", "warning", len(view.seen), name, text, [value], "drop the column"),
            steps=(Step("drop", name),),
        )


def id_like_columns(view: View) -> Iterator[Proposal]:
    """Columns that only name the row: row numbers, keys, uuids. A model would learn them by heart.

    Dropped for the name or as random keys, even if their order tells the target: so does any row number in a sorted
    file, and new rows have numbers beyond. What merely counts through, or looks like a code, may be a day, a rank or
    a depth: dropped only where it tells nothing of the target.
    """
    for name in view.columns:
        if len(view.seen) < MIN_ROWS and not _SAVED_INDEX.fullmatch(name):
            continue
        if view.modality(name) not in (None, "tabular"):
            continue
        sample = view.sampled(name)
        if not _may_be_id(sample):
            continue
        why, sure = _id_reason(name, view.column(name))
        if not why:
            continue
        part, chance = told_in_order(sample, view.sampled_target(), view.kind, seed=view.seed)
        tells = chance <= MAYBE
        text = f"'{name}' differs from row to row and {why}"
        severity, repair, steps = "warning", "drop the column", (Step("drop", name),)
        if not tells:
            more = "" if sure else ", and its order tells nothing of the target"
            text += f"{more}: it names the row and says nothing about it."
        elif sure:
            text += (
                f". Its order tells {share(part, 1)} of the target, as where a file is sorted, which helps with no new "
                f"row; keep it by task.repairs.id_like_column=false where it means something."
            )
        else:
            severity, repair, steps = "warning" if _sorted(sample) and part > SORTED else "info", "", ()
            text += (
                f", but its order tells {share(part, 1)} of the target: it is kept. If it only names the row, "
                "the file is sorted: drop it."
            )
        yield Proposal(
            finding("id_like_column", severity, len(view.seen), name, text, sample.head(5), repair), steps=steps
        )


def grouping_columns(view: View) -> Iterator[Proposal]:
    """Keys that several rows share, as of a patient: a model may know in the test whom it met in training."""
    dataset = view.dataset
    if dataset.group is not None or view.has_split or len(view.seen) < MIN_ROWS:
        return
    for name in view.columns:
        if not (re.fullmatch(_KEY, name, re.IGNORECASE) or _ID_CAMEL.fullmatch(name)):
            continue
        count, known = view.column(name).nunique(), int(view.column(name).notna().sum())
        if not FEW_KEYS <= count <= known / 2:
            continue
        text = (
            f"'{name}' is called like a key and stands in {known / count:.3g} rows each: if rows of one belong "
            "together, as those of a patient do, the test flatters unless it holds whole groups."
        )
        yield Proposal(finding("grouped_rows", "info", known, name, text, repair=f"set data.group={name}"))


def _sorted(column: pd.Series) -> bool:
    """Whether it goes one way along the rows."""
    return bool(column.is_monotonic_increasing or column.is_monotonic_decreasing)


def _may_be_id(sample: pd.Series) -> bool:
    """Whether a sample is all different and whole numbers or texts: cheap, and settles most columns."""
    if pd.api.types.is_float_dtype(sample.dtype):
        if not _whole(floats(sample.head(1000))):
            return False
    elif not is_texty(sample) and not pd.api.types.is_integer_dtype(sample.dtype):
        return False
    return _nearly_unique(sample)


def _whole(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (np.mod(values, 1) == 0).all())


def _nearly_unique(column: pd.Series) -> bool:
    """Whether hardly a value repeats and none is missing: repeated rows repeat their keys too."""
    return not column.hasnans and column.nunique() >= 0.95 * len(column)


def _id_reason(name: str, column: pd.Series) -> tuple[str, bool]:
    """Why a column whose sample is all different may be an id (empty: it is none), and whether that is sure."""
    if not _nearly_unique(column):
        return "", False
    called = bool(_ID_NAME.fullmatch(name) or _ID_CAMEL.fullmatch(name))
    perhaps = ("is called so", called) if called or _KEY_NAME.fullmatch(name) else ("", False)
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = floats(column)
        if not _whole(values) or perhaps[0]:
            return perhaps if _whole(values) else ("", False)
        return ("counts through", False) if values.max() - values.min() < 3 * len(values) else ("", False)
    texts = [str(v) for v in column.head(1000)]
    if any(len(t.split()) > 1 for t in texts):
        return "", False  # words: text that happens to be all different
    letters = np.mean([not t.isdecimal() for t in texts]) > 0.5  # else these are dates or numbers: 01022020
    if all(_UUID.fullmatch(t) for t in texts) or (letters and all(_HEX.fullmatch(t) for t in texts)):
        return "is a random key", True
    if not perhaps[0] and np.mean([bool(_CODE.fullmatch(t)) for t in texts]) >= 0.9:
        return f"looks like {texts[0]!r}", False
    return perhaps


def duplicate_columns(view: View) -> Iterator[Proposal]:
    """Columns that say the same as an earlier one, cell by cell."""
    first: dict[bytes, str] = {}
    for name in view.columns:
        hashes = hash_column(view.sampled(name))
        if (hashes == hashes[0]).all():
            continue  # constant ones have a finding of their own
        key = hashes.tobytes()
        if key not in first:
            first[key] = name
        elif view.column(name).equals(view.column(first[key])):
            text = f"'{name}' is a copy of '{first[key]}'."
            yield Proposal(
                finding("duplicate_columns", "info", len(view.seen), name, text, [first[key]], "drop the copy"),
                steps=(Step("drop", name),),
            )


def category_variants(view: View) -> Iterator[Proposal]:
    """Categories that differ by case, spaces or punctuation only: "New York", "new york ", "new-york"."""
    for name in view.texty_columns():
        counts = dict(counts_of(view.sampled(name)))
        if not 2 <= len(counts) <= 1000:
            continue
        groups: dict[str, list[str]] = {}
        for value in counts:
            groups.setdefault(fold(value), []).append(str(value))
        alike = [g for g in groups.values() if len(g) > 1]
        if alike:
            few = [" = ".join(repr(v) for v in g) for g in alike]
            count = sum(counts.get(v, 0) for g in alike for v in g[1:])
            text = f"'{name}' writes the same category in several ways: {few[0]}."
            yield Proposal(
                finding("category_variants", "warning", count, name, text, few, "write them alike"),
                steps=(Step("fold", name, tuple(g[0] for g in alike)),),
            )
