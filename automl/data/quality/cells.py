"""Faults of single cells: nothing there, the wrong type, the wrong notation, out of all proportion."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from automl.data.quality.findings import MAX_ROWS, Step
from automl.data.quality.parse import PLACEHOLDERS, counts_of, dates_of, floats, is_placeholder, number_of
from automl.data.quality.view import Proposal, View, finding, share

MOSTLY = 0.95
"""From this share of its values on, a column is what they are, and the rest is faulty."""

FAR = 6.0
"""Interquartile ranges beyond the quartiles: eight standard deviations of a normal, rare in a skewed
column."""

_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?"  # 2020-01-31, 2020-01
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"  # 31.01.2020
    r"|\d{1,2}[-/]\d{1,2}[-/]\d{2}"  # 31/01/20
    rf"|(\d{{1,2}}[ -])?{_MONTH}[ -.,]+(\d{{1,2}}(st|nd|rd|th)?,? +)?\d{{2,4}})"  # 31 Jan 2020, January 31, 2020
    r"([ t]\d{1,2}:\d{2}.*)?",
    re.IGNORECASE,
)
_DAY_FIRST = re.compile(r"(1[3-9]|2\d|3[01])[-/.]\d{1,2}[-/.]\d{2,4}.*")
_LEADING_ZERO = re.compile(r"0\d+")
_SPELLINGS = {spell(p) for p in PLACEHOLDERS for spell in (str.lower, str.upper, str.title)}
_SENTINELS = frozenset({-1.0, -9.0, -99.0, -999.0, -9999.0, -99999.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0})


def missing_values(view: View) -> Iterator[Proposal]:
    """Cells without a value, one finding for each column that has any."""
    total = len(view.seen)
    for name in view.columns:
        missing = view.column(name).isna().to_numpy()
        count = int(missing.sum())
        if count == total:
            text = f"'{name}' has no value in any row."
            yield Proposal(
                finding("empty_column", "warning", count, name, text, repair="drop the column"),
                steps=(Step("drop", name),),
            )
        elif count:
            text = f"'{name}' is missing in {count:,} of {total:,} rows ({share(count, total)})."
            yield Proposal(
                finding(
                    "missing_values",
                    "warning" if count > 0.5 * total else "info",
                    count,
                    name,
                    text,
                    repair="the encoding fills it in and marks where it was missing",
                    rows=view.row_numbers(view.seen[np.flatnonzero(missing)[:MAX_ROWS]]),
                )
            )


def placeholders(view: View) -> Iterator[Proposal]:
    """Texts such as "?" and "N/A" that stand for a missing value."""
    for name in view.texty_columns():
        column = view.column(name)
        padded = {v for v in view.sampled(name).dropna().unique() if is_placeholder(v)}
        counts = counts_of(column.where(column.isin(list(_SPELLINGS | padded))))
        if counts:
            found, count = [v for v, _ in counts], sum(c for _, c in counts)
            text = f"'{name}' says {', '.join(repr(v) for v in found[:3])} in {count:,} rows for a missing value."
            yield Proposal(
                finding("placeholder_values", "info", count, name, text, found, "count them as missing"),
                steps=(Step("placeholder", name),),
            )


def wrong_types(view: View) -> Iterator[Proposal]:
    """Numbers stored as text, numbers and texts in one column, dates stored as text, dates that are none."""
    for name in view.texty_columns():
        few, weights = _distinct(view.sampled(name), 2000)
        if not few:
            continue
        numeric = np.array([not np.isnan(number_of(v)) for v in few])
        part = float(weights[numeric].sum() / weights.sum())
        if any(isinstance(v, str) and _LEADING_ZERO.fullmatch(v.strip()) for v in few):
            part = min(part, 0.5)  # postcodes and the like: the zeros mean something
        texts = sum(isinstance(v, str) for v in few)
        if part >= MOSTLY:
            yield _numbers(name, *_distinct(view.column(name)))
        elif 0 < texts < len(few):
            yield _mixed(name, *_distinct(view.column(name)), part)
        elif part < 0.5 and _dates_mostly(few[:500]):
            yield from _dates(name, *_distinct(view.column(name)))


def _distinct(column: pd.Series, most: int | None = None) -> tuple[list, np.ndarray]:
    """The distinct values but placeholders, most frequent first (``most`` of them), and how often each
    stands.
    """
    kept = [(v, c) for v, c in counts_of(column)[:most] if not is_placeholder(v)]
    return [v for v, _ in kept], np.array([c for _, c in kept], dtype=np.float64)


def _numbers(name: str, values: list, weights: np.ndarray) -> Proposal:
    bad = [i for i, v in enumerate(values) if np.isnan(number_of(v))]
    lost = int(weights[bad].sum())
    typed = any(not isinstance(v, str) for v in values)
    if bad:
        few = [values[i] for i in bad]
        text = f"'{name}' holds numbers, but {lost:,} rows say something else: {', '.join(repr(v) for v in few[:3])}."
        repair = "read it as a number; what is none counts as missing"
        return Proposal(finding("mixed_types", "warning", lost, name, text, few, repair), steps=(Step("number", name),))
    kind = "mixed_types" if typed else "numeric_text"
    text = f"'{name}' holds numbers that are stored as text, such as {values[0]!r}."
    return Proposal(
        finding(kind, "info", int(weights.sum()), name, text, values, "read it as a number"),
        steps=(Step("number", name),),
    )


def _mixed(name: str, values: list, weights: np.ndarray, part: float) -> Proposal:
    types = sorted({type(v).__name__ for v in values})
    text = f"'{name}' mixes {' and '.join(types)}; {share(part, 1)} of its values are numbers."
    count = int(sum(w for v, w in zip(values, weights, strict=True) if not isinstance(v, str)))
    first = {type(v).__name__: v for v in reversed(values)}
    return Proposal(
        finding("mixed_types", "warning", count, name, text, list(first.values()), "read it as text"),
        steps=(Step("text", name),),
    )


def _is_day_first(values: list) -> bool:
    return any(_DAY_FIRST.fullmatch(str(v).strip()) for v in values)


def _dates_mostly(values: list) -> bool:
    """Whether at least seven in ten look like dates and can be read as such."""
    looks = np.mean([bool(_DATE.fullmatch(str(v).strip())) for v in values])
    if looks < 0.7:
        return False
    return bool(dates_of(pd.Series(values, dtype=object), _is_day_first(values)).notna().mean() >= 0.7)


def _dates(name: str, values: list, weights: np.ndarray) -> Iterator[Proposal]:
    day_first = _is_day_first(values[:500])
    bad = np.flatnonzero(dates_of(pd.Series(values, dtype=object), day_first).isna().to_numpy())
    order = " (day first)" if day_first else ""
    step = Step("date", name, (True,) if day_first else ())
    yield Proposal(
        finding(
            "date_text",
            "info",
            int(weights.sum() - weights[bad].sum()),
            name,
            f"'{name}' holds dates that are stored as text, such as {values[0]!r}{order}.",
            values,
            "read it as a date",
        ),
        steps=(step,),
    )
    if len(bad):
        few = [values[i] for i in bad]
        lost = int(weights[bad].sum())
        text = f"'{name}' holds dates, but {lost:,} rows are none: {', '.join(repr(v) for v in few[:3])}."
        repair = "those count as missing (with date_text)"
        yield Proposal(finding("unparsable_dates", "warning", lost, name, text, few, repair))


def infinite_values(view: View) -> Iterator[Proposal]:
    """Infinite numbers (for those in arrays see ``media``)."""
    for name in view.numeric_columns():
        values = floats(view.column(name))
        yield from _infinite(view, name, np.isinf(values))


def _infinite(view: View, name: str, found: np.ndarray) -> Iterator[Proposal]:
    count = int(found.sum())
    if count:
        yield Proposal(
            finding(
                "infinite_values",
                "warning",
                count,
                name,
                f"'{name}' is infinite in {count:,} rows.",
                repair="count them as missing",
                rows=view.row_numbers(view.seen[np.flatnonzero(found)[:MAX_ROWS]]),
            ),
            steps=(Step("finite", name),),
        )


def sentinels(view: View) -> Iterator[Proposal]:
    """A number such as -999 that many rows share and that lies far from all others: a missing value in
    disguise.
    """
    for name in view.numeric_columns():
        values = floats(view.sampled(name))
        values = values[np.isfinite(values)]
        if len(values) < 50:
            continue
        for value in (float(values.min()), float(values.max())):
            rest = values[values != value]
            count = len(values) - len(rest)
            if value not in _SENTINELS or len(rest) < 20 or count < max(5, 0.005 * len(values)):
                continue
            low, high = np.quantile(rest, [0.25, 0.75])
            gap = rest.min() - value if value < rest.min() else value - rest.max()
            if gap > 3 * max(high - low, 1e-12):
                total = int((floats(view.column(name)) == value).sum())
                text = f"'{name}' is {value:g} in {total:,} rows, far from all other values: it may mean missing."
                yield Proposal(
                    finding("sentinel_values", "warning", total, name, text, [value], f"count {value:g} as missing"),
                    steps=(Step("blank", name, (value,)),),
                )


def outliers(view: View) -> Iterator[Proposal]:
    """Numbers far out: ``FAR`` interquartile ranges beyond the quartiles, twice as far as Tukey's "far out".

    A warning when they are few and two hundred ranges away with nothing in between: a slip of unit or point.
    """
    for name in view.numeric_columns():
        sample = floats(view.sampled(name))
        sample = sample[np.isfinite(sample)]
        if len(sample) < 20 or len(np.unique(sample[:1000])) <= 2:
            continue
        low, middle, high = np.quantile(sample, [0.25, 0.5, 0.75])
        with np.errstate(over="ignore"):
            spread = high - low
        if not 0 < spread < 1e300:
            continue
        values = floats(view.column(name))
        fences = (low - FAR * spread, high + FAR * spread)
        with np.errstate(invalid="ignore"):
            far = (values < fences[0]) | (values > fences[1])
        count = int(far.sum())
        if not count:
            continue
        distance = np.abs(np.nan_to_num(values, nan=middle) - middle) / spread
        gross = distance > 200
        few = 0 < gross.sum() <= max(5, 0.001 * len(values))
        slip = bool(few and distance[gross].min() > 10 * distance[~gross].max())
        order = np.flatnonzero(far)[np.argsort(-distance[far], kind="stable")][:MAX_ROWS]
        worst = view.row_numbers(view.seen[order])
        text = (
            f"'{name}' lies far out in {count:,} rows ({share(count, len(values))}); half of its values are "
            f"between {low:.4g} and {high:.4g}, the farthest is {values[order[0]]:.4g}."
        )
        yield Proposal(
            finding(
                "outliers",
                "warning" if slip else "info",
                count,
                name,
                text,
                [{"row": r, "value": float(values[i])} for r, i in zip(worst, order, strict=True)],
                f"clip to {fences[0]:.4g}..{fences[1]:.4g} (the encoding's robust scaling bears them as they are)",
                worst,
            ),
            steps=(Step("clip", name, (float(fences[0]), float(fences[1]))),),
        )
