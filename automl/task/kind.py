"""Which kind of task a target asks for.

How the kind is inferred from the target (``infer_kind``), first rule that holds:

1. words: 2 distinct are binary, more are multiclass (refused when nearly every row has its own);
2. 2 distinct values are binary;
3. numbers with fractions are regression;
4. whole numbers are classes when there are at most 4; a quantity, so regression, when there are more than
   ``MAX_CLASSES`` or a quarter of the rows; classes when the given split is stratified by them (each value has its
   share of the test rows to within one row: chance does not do that), or when the target is named like a class;
5. more than 20 whole numbers are what the inputs say (``automl.data.quality.order``): a quantity where rows of
   neighbouring values look alike more than under shuffled names, classes where rows of one value look alike and those
   of neighbouring values do not. Where the inputs say nothing the form decides: classes when they count 0, 1, 2, ...
   (or 1, 2, 3, ...) with about equal frequencies, or, with pictures, series and sounds (which come with codes for
   labels), of frequencies alike and not rare at both ends; else a quantity;
6. up to 20 are classes when they count so with about equal frequencies: digits, months, ratings of 1 to 5 (where the
   inputs show that their order carries meaning, the reason says so). They are a quantity when they look like a
   measurement (rare at both ends and frequent between; or more than 10, uneven, with gaps or in an order that the
   inputs show), unless the inputs show classes; or when they have gaps and the given split ignores them;
7. the rest are classes.

The rules were checked on 128 real sets (``+experiment=bench/data``); ``kind`` overrides them.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pandas as pd

from automl.data.cells.numbers import LARGEST as EXACT
from automl.data.cells.numbers import is_bound, number_of
from automl.data.cells.reading import READERS, reading_of, to_number, to_seconds
from automl.data.cells.words import distinct, is_missing_word, spread, text_of
from automl.data.dataset import TEST, Dataset
from automl.errors import UserError
from automl.task.labels import label
from automl.task.others import refuse_ranking, refuse_tags, several_numbers
from automl.types import Kind

KINDS: tuple[Kind, ...] = ("binary", "multiclass", "regression")


MAX_CLASSES = 1_000


WORDS = 20  # texts that may be classes although each is a number, or nearly each


LARGEST = 1e18  # of a numeric target, and one over the smallest: squares must fit float32


_CLASS_NAMES = re.compile(
    r"(^|_)(class|category|label|species|type|diagnosis|cluster|group)(_?id|es|s)?$", re.IGNORECASE
)


def check_kind(dataset: Dataset, kind: str) -> None:
    """Raises UserError when the target cannot be of this kind."""
    if kind not in KINDS:
        raise UserError(f"task.kind={kind!r} is unknown; use one of: {', '.join(KINDS)}")
    target = _known(dataset)
    _check_training_rows(dataset)
    distinct = len(counts_of(target))
    where = f"target {target.name!r} of {dataset.origin or dataset.name}"
    if kind == "regression":
        wrong = ~np.isfinite(_numbers(target))
        if wrong.any():
            bad = target.iloc[int(np.flatnonzero(wrong)[0])]
            raise UserError(f"{where} holds {str(bad)!r}, no number; mend it, or set task.kind=multiclass")
        if distinct < 2:
            raise UserError(f"{where} holds only {str(target.iloc[0])!r}; there is nothing to learn")
        _check_size(_numbers(target), where)
        return
    if distinct < 2:
        raise UserError(f"{where} holds only {str(target.iloc[0])!r}; there is nothing to tell apart")
    if kind == "binary" and distinct != 2:
        raise UserError(f"{where} has {distinct} distinct values, binary needs 2; set task.kind=multiclass")
    if distinct > MAX_CLASSES:
        raise UserError(
            f"{where} has {distinct:,} distinct values, at most {MAX_CLASSES:,} classes; set task.kind=regression"
        )


def infer_kind(dataset: Dataset) -> tuple[Kind, str]:
    """The kind of task and the reason in a few words. Raises UserError for a target that cannot be learned."""
    dataset = numeric_target(dataset)
    target = _known(dataset)
    where = f"target {target.name!r} of {dataset.origin or dataset.name}"
    counts = counts_of(target)
    distinct = len(counts)
    if distinct < 2:
        raise UserError(
            f"{where} holds only {str(counts.index[0])!r} in its {len(target)} rows; "
            "there is nothing to tell apart: give rows of another value, or set data.target=..."
        )
    _check_training_rows(dataset)
    refuse_ranking(dataset, where)
    if not pd.api.types.is_numeric_dtype(target) or pd.api.types.is_bool_dtype(target):
        return _kind_of_words(target, distinct, where)
    if distinct == 2:
        return "binary", f"the target has 2 distinct values ({_some(counts)})"
    values = target.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise UserError(f"{where} holds infinity; mend or drop these rows")
    _check_size(values, where)
    if (values != np.round(values)).any():
        return "regression", f"the target holds numbers with fractions, {distinct:,} distinct"
    return _kind_of_whole_numbers(dataset, target, counts)


def plain_target(dataset: Dataset) -> Dataset:
    """The data set with a target as it will be counted: texts stripped, what means "no value" missing, no categories.

    Numbers that are written in several ways ("1", "1.0") are one label, the commonest. Does nothing the second time.
    """
    target = dataset.target
    if isinstance(target.dtype, pd.CategoricalDtype):
        target = pd.Series(np.asarray(target), index=target.index, name=target.name)
    if _texty(target):
        codes, values = distinct(target)
        texts = [text_of(v) if isinstance(v, (str, bytes)) else v for v in values]
        names = {t for t in texts if isinstance(t, str) and not is_missing_word(t)}
        # "NA" is missing, unless all others are such codes as well: of continents, of countries.
        code = len(names) >= 3 and all(len(t) == 2 and t.isalpha() and t.isupper() for t in names)
        texts = [None if is_missing_word(t) and not (code and t == "NA") else t for t in texts]
        texts = _spelt(texts, np.bincount(codes[codes >= 0], minlength=len(texts)))
        if any(type(a) is not type(b) or a != b for a, b in zip(texts, values, strict=True)):  # True is not 1
            target = spread(target, codes, texts, None, object)
    return dataset if target is dataset.target else dataclasses.replace(dataset, target=target)


def _spelt(texts: list[Any], rows: np.ndarray) -> list[Any]:
    """Texts of equal numbers written as the commonest of them, where all are whole and none is padded with zeros.

    Of versions and sections 3.1 and 3.10 are two, and so are <30 and >30.
    """
    numbers = [number_of(t) for t in texts if t is not None]
    whole = all(abs(n) < 2**53 and n == round(n) for n in numbers) and not any(map(is_bound, texts))
    if len(set(numbers)) == len(numbers) or _padded(texts) or not whole:
        return texts
    first: dict[float, Any] = {}
    for i in np.argsort(-rows, kind="stable"):
        if texts[i] is not None:
            first.setdefault(number_of(texts[i]), texts[i])
    return [None if t is None else first[number_of(t)] for t in texts]


def _texty(target: pd.Series) -> bool:
    return pd.api.types.is_object_dtype(target.dtype) or pd.api.types.is_string_dtype(target.dtype)


def _padded(texts: list[Any]) -> bool:
    return any(isinstance(t, str) and len(t) > 1 and t.isdecimal() and t.startswith("0") for t in texts)


def numeric_target(dataset: Dataset) -> Dataset:
    """The data set with a plain target, of numbers, times or dates where all its cells are ("1,200", "$5", "18:30")."""
    dataset = plain_target(dataset)
    target = dataset.target
    if not _texty(target) or not target.notna().any():
        return dataset
    reading = reading_of(target, dataset.decimal)
    if reading.what not in ("number", "seconds", "date") or reading.bad:
        return dataset
    numbers = READERS[reading.what](target, *reading.values)
    if numbers.nunique() < target.nunique():  # 3.1 and 3.10: versions where they are few, else one number twice
        known = target.nunique() > WORDS and reading.what != "date"
        if not known or float(numbers.abs().max()) >= EXACT:
            return dataset
    return dataclasses.replace(dataset, target=numbers)


def _numbers(target: pd.Series) -> np.ndarray:
    """float64, NaN where a value is no number."""
    if _texty(target):
        reading = reading_of(target)
        notation = reading.found.notation
        seconds = reading.what == "seconds"
        target = to_seconds(target) if seconds else to_number(target, notation.decimal, notation.unit)
    values: Any = target
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _known(dataset: Dataset) -> pd.Series:
    target = plain_target(dataset).target.dropna()
    where = f"target {dataset.target.name!r} of {dataset.origin or dataset.name}"
    if len(target) == 0:
        raise UserError(f"{where} has no value in any of its {len(dataset)} rows; set data.target=COLUMN")
    if len(target) < 4:
        raise UserError(f"{where} has {len(target)} rows with a value; give at least 4 to train, select and test")
    return target


def _check_size(values: np.ndarray, where: str) -> None:
    """Raises UserError for numbers that a network cannot hold."""
    largest = values[int(np.abs(values).argmax())]
    if abs(largest) > LARGEST:
        raise UserError(f"{where} holds {largest:g}, too large to learn; scale it down, or set task.kind=multiclass")
    if abs(largest) < 1 / LARGEST:
        raise UserError(f"{where} holds no number beyond {largest:g}, too small to learn; scale it up")


def _kind_of_words(target: pd.Series, distinct: int, where: str) -> tuple[Kind, str]:
    if pd.api.types.is_datetime64_any_dtype(target):
        raise UserError(f"{where} holds dates, which are no classes; set data.target to a number or a class")
    known = np.isfinite(_numbers(target)) & ~np.array([is_bound(v) for v in target], dtype=bool)
    if known.all() and distinct > WORDS:
        raise UserError(f"{where} holds numbers too large to tell apart, such as {target.iloc[0]}; scale them down")
    if known.mean() > 0.9 and distinct > WORDS:
        bad = target.iloc[int(np.flatnonzero(~known)[0])]
        raise UserError(f"{where} holds numbers, but also {str(bad)!r}; mend or drop these rows")
    if distinct == 2:
        return "binary", f"the target has 2 distinct labels ({_some(counts_of(target))})"
    many = distinct > MAX_CLASSES or distinct > 0.5 * len(target)
    numbers = several_numbers(target) if many else ""
    if not numbers:
        refuse_tags(target, where)
    if many:
        raise UserError(
            f"{where} has {distinct:,} different labels in {len(target):,} rows, too many to be classes"
            f"{numbers or '; set data.target=COLUMN'}"
        )
    return "multiclass", f"the target has {distinct} distinct labels"


def _kind_of_whole_numbers(dataset: Dataset, target: pd.Series, counts: pd.Series) -> tuple[Kind, str]:
    """Rules 4 to 7 of the module's text."""
    distinct, rows = len(counts), len(target)
    by_value = counts.sort_index()
    first, last = int(by_value.index[0]), int(by_value.index[-1])
    codes = first in (0, 1) and last - first + 1 == distinct  # 0..K-1 or 1..K without a gap
    even = bool(by_value.min() >= 2 and by_value.max() <= 3 * by_value.min())
    span = f"{distinct} whole numbers from {first} to {last}"
    if distinct <= 4:
        return "multiclass", f"the target has only {distinct} distinct values ({_some(counts)})"
    if distinct > MAX_CLASSES or (distinct > rows / 4 and not (codes and even)):
        return "regression", f"the target has {span} in {rows:,} rows: too many to be classes"
    split = split_by_target(dataset)
    if split == "stratified" and distinct <= 200:
        return "multiclass", f"each of the target's {span} has its share of the given test split: they are classes"
    if _CLASS_NAMES.search(str(target.name)) and (codes or distinct <= 20):
        return "multiclass", f"the target {target.name!r} has {span}, and its name says class"
    from automl.data.quality.order import told_by_inputs  # its libraries take a second

    told = told_by_inputs(dataset)
    ordered = f"rows of neighbouring values look alike (p = {told.chance:.2g}): their order carries meaning"
    apart = "rows of one value look alike, those of neighbouring values do not: they are names of classes"
    bell = _bell(by_value)
    if distinct > 20:
        alike = bool(dataset.arrays) and by_value.max() <= 10 * by_value.median() and by_value.min() >= 2 and not bell
        if told.what != "nothing":
            kind: Kind = "regression" if told.what == "quantity" else "multiclass"
            return kind, f"the target has {span}, and {ordered if told.what == 'quantity' else apart}"
        if codes and (even or alike):
            return "multiclass", f"the target has {span}, about equally frequent: they are codes of classes"
        return "regression", f"the target has {span}, not equally frequent: a quantity"
    if codes and even:
        if told.what != "quantity":
            return "multiclass", f"the target has {span}, about equally frequent: they are codes of classes"
        return "multiclass", f"the target has {span}, taken for classes, but {ordered}; task.kind=regression keeps it"
    if told.what != "classes":
        coded = codes and bool(dataset.arrays) and told.what == "nothing"  # pictures come with codes for labels
        if bell and (distinct > 10 or not codes) and not coded:
            return "regression", f"the target has {span}, rare at both ends and frequent between: a measurement"
        if told.what == "quantity" and distinct > 10 and not even:
            return "regression", f"the target has {span}, of unequal frequency, and {ordered}"
        if not codes and distinct > 10 and not even and not dataset.arrays:
            return "regression", f"the target has {span}, with gaps and of unequal frequency: a measurement"
    if not codes and split == "random" and not dataset.arrays:
        return "regression", f"the target has {span}, and the given split was drawn without regard to them"
    why = ordered if told.what == "quantity" else apart if told.what == "classes" else "they are taken for classes"
    return "multiclass", f"the target has {span}: {why}; set task.kind=regression if it is a quantity"


def split_by_target(dataset: Dataset) -> str:
    """How the given test split treats the target's values: "stratified", "random", "other" or "none" (no split).

    Stratified: every value has its share of the test rows to within one row (which a random draw would reach with a
    probability below 1e-3). Random: shares differ as a draw without regard to the target makes them differ.
    """
    if dataset.split is None:
        return "none"
    known = dataset.target.notna().to_numpy()
    test = (dataset.split == TEST)[known]
    share = test.mean()
    if share in (0.0, 1.0):
        return "none"
    codes, _ = pd.factorize(dataset.target[known])
    totals = np.bincount(codes)
    got = np.bincount(codes[test], minlength=len(totals))
    spread = np.sqrt(totals * share * (1 - share))
    off = np.abs(got - share * totals)
    # The chance that a random draw lands within one row of every share: about 2 / (spread * sqrt(2 pi)) per value.
    chance = np.prod(np.minimum(1.0, 2.0 / np.maximum(spread * np.sqrt(2 * np.pi), 1e-9))[1:])
    if off.max() <= 1.0:
        return "stratified" if chance < 1e-3 else "other"
    from scipy.stats import chi2

    statistic = float(((got - share * totals) ** 2 / np.maximum(totals * share * (1 - share), 1e-9)).sum())
    return "random" if chi2.sf(statistic, len(totals) - 1) > 1e-3 else "other"


def _bell(by_value: pd.Series) -> bool:
    """Whether frequencies over the sorted values rise and fall once, and the ends are rare (a tenth of the peak)."""
    counts = by_value.to_numpy(dtype=np.float64)
    if len(counts) > 20:  # smooth: many values are ragged
        width = max(3, len(counts) // 8)
        counts = np.convolve(counts, np.ones(width) / width, mode="same")[:: max(1, width // 2)]
    peak = int(counts.argmax())
    if peak < 1 or peak > len(counts) - 2:
        return False
    slack = 0.02 * counts.max()
    rises = bool((np.diff(counts[: peak + 1]) >= -slack).all())
    falls = bool((np.diff(counts[peak:]) <= slack).all())
    return rises and falls and max(counts[0], counts[-1]) <= 0.1 * counts.max()


def counts_of(target: pd.Series) -> pd.Series:
    """How often each value stands, most frequent first; words as ``class_names`` tells them apart, and none that is not
    there (a category that no row has).
    """
    if not pd.api.types.is_numeric_dtype(target) and not pd.api.types.is_datetime64_any_dtype(target):
        target = pd.Series([label(v) for v in target], dtype=object)
    counts = target.value_counts()
    return counts.loc[counts > 0]


def _some(counts: pd.Series) -> str:
    text = ", ".join(label(v) for v in list(counts.index[:4]))
    return text + (", ..." if len(counts) > 4 else "")


def _check_training_rows(dataset: Dataset) -> None:
    """Raises UserError when a given split leaves one value of the target to learn from, and the others to the test."""
    if dataset.split is None:
        return
    seen = dataset.target.iloc[np.flatnonzero(dataset.split != TEST)].dropna()
    if len(seen) and seen.nunique() < 2 <= dataset.target.nunique():
        raise UserError(
            f"target {dataset.target.name!r} of {dataset.origin or dataset.name} holds only {str(seen.iloc[0])!r} "
            f"in its {len(seen):,} training rows; mark rows of another value as train"
        )
