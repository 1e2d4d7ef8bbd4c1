"""Columns that teach nothing: constant, id-like, copies; and categories spelt in several ways."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from automl.data.quality.findings import Step
from automl.data.quality.parse import counts_of, floats, fold, is_texty
from automl.data.quality.rowhash import hash_column
from automl.data.quality.view import Proposal, View, finding

MIN_ROWS = 50
"""Fewer rows may be all different by chance."""

_ID_NAME = re.compile(r"(.*[_\s-])?(id|uuid|guid|key|index|idx|rowid|row_?number|serial)|.*[a-z](Id|ID|Key)|unnamed: 0")
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(r"(?=.*\d)[0-9a-f]{8,}", re.IGNORECASE)


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
    """Columns that only name the row: row numbers, keys, uuids. A model would learn them by heart."""
    if len(view.seen) < MIN_ROWS:
        return
    for name in view.columns:
        if view.modality(name) not in (None, "tabular"):
            continue
        sample = view.sampled(name)
        if not _may_be_id(sample):
            continue
        why = _id_reason(name, view.column(name))
        if why:
            text = f"'{name}' differs from row to row and {why}: it names the row and says nothing about it."
            yield Proposal(
                finding("id_like_column", "warning", len(view.seen), name, text, sample.head(5), "drop the column"),
                steps=(Step("drop", name),),
            )


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


def _id_reason(name: str, column: pd.Series) -> str:
    """Why a column whose sample is all different is an id; empty when it is none."""
    if not _nearly_unique(column):
        return ""
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = floats(column)
        if not _whole(values):
            return ""
        if values.max() - values.min() < 3 * len(values):
            return "counts through"
        return "is called so" if _ID_NAME.fullmatch(name) else ""
    texts = [str(v) for v in column.head(1000)]
    if any(len(t.split()) > 1 for t in texts):
        return ""  # words: text that happens to be all different
    if all(_UUID.fullmatch(t) for t in texts) or all(_HEX.fullmatch(t) for t in texts):
        return "is a random key"
    shapes = pd.Series([_shape(t) for t in texts]).value_counts(normalize=True)
    if "9" in str(shapes.index[0]) and shapes.iloc[0] >= 0.9 and len(str(shapes.index[0])) <= 8:
        return f"looks like {texts[0]!r}"
    return "is called so" if _ID_NAME.fullmatch(name) else ""


def _shape(text: str) -> str:
    """The outline of a text: "cust-0042" -> "a-9"."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", text))


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
