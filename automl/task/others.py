"""Targets of tasks that are none here: several labels or numbers in a row, ranks. README.md tells which, "Not for"."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from automl.data.dataset import Dataset
from automl.errors import UserError

_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_NUMBERS = re.compile(rf"[\[({{]?\s*{_NUMBER}(?:\s*[,; ]\s*{_NUMBER})+\s*[\])}}]?")
_WHOLE = re.compile(r"\d+(?:\.0*)?")
_QUERY = re.compile(r"(qid|query|query_?id|srch_?id|search_?id)", re.IGNORECASE)
GRADES = 10  # of relevance, at most: judges give five, places in a list are more
_GRADE = re.compile(r"(rel|relevance|relevance_?(label|grade|score)|rank|ranking)", re.IGNORECASE)


def refuse_tags(target: pd.Series, where: str) -> None:
    """Raises UserError for several tags in a row. ``target``: without missing values."""
    if tags := joined_tags([str(v) for v in pd.unique(target)]):
        raise UserError(
            f"{where} joins {len(tags[1])} tags by {tags[0]!r}: several tags per row (multi-label) are no task here; "
            "give a column per tag and learn one at a time, or set task.kind=multiclass for a class per combination"
        )


def refuse_ranking(dataset: Dataset, where: str) -> None:
    """Raises UserError where names say that rows of a query are to be ranked, unless a group says how to split them."""
    queries = [str(c) for c in dataset.table.columns if _QUERY.fullmatch(str(c))]
    named = bool(queries) and dataset.group is None and bool(_GRADE.fullmatch(str(dataset.target.name)))
    if named and _grades(dataset.target) and 2 * len(set(dataset.table[queries[0]])) <= len(dataset):
        raise UserError(
            f"{where} with column {queries[0]!r} looks like ranking, which is no task here; set "
            f"data.group={queries[0]} to predict the grade of each row instead"
        )


def _grades(target: pd.Series) -> bool:
    """Whether they are a few whole numbers."""
    texts = {str(v).strip() for v in target.dropna().unique()}
    return 3 <= len(texts) <= GRADES and all(_WHOLE.fullmatch(text) for text in texts)


def several_numbers(target: pd.Series) -> str:
    """What to say of texts that each hold several numbers; empty where they do not."""
    some = [str(v).strip() for v in target.iloc[:100]]
    if not all(map(_NUMBERS.fullmatch, some)):
        return ""
    return (
        f": each holds several numbers, such as {some[0]!r} (boxes, points, several targets), and one number per row "
        "is learned; give a column per number"
    )


def joined_tags(labels: Sequence[str]) -> tuple[str, tuple[str, ...]] | None:
    """(separator, tags) when many labels are joins of few tags, as in "red,green"; None when they are not.

    At least a third of the labels, and three, join two tags or more; and there are fewer tags than labels, most of
    them in several labels: "Paris, France" and "Smith, John" are no joins in this sense.
    """
    for separator in (",", ";", "|"):
        parts = [{p.strip(" []{}()'\"") for p in text.split(separator)} - {""} for text in labels]
        several = sum(len(p) > 1 for p in parts)
        counts = pd.Series([tag for p in parts for tag in p]).value_counts()
        factors = several == len(labels) and len({len(p) for p in parts}) == 1  # "S, red": one of each, no tags
        if not factors and several >= max(3, len(labels) / 3) and len(counts) < len(labels) and counts.median() >= 3:
            return separator, tuple(sorted(map(str, counts.index)))
    return None
