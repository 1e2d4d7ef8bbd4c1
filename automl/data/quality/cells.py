"""Faults of single cells: nothing there, the wrong type, the wrong notation, out of all proportion."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from automl.data.cells.numbers import is_bound, number_of
from automl.data.cells.reading import Reading, read_as
from automl.data.cells.words import MISSING, is_missing_word
from automl.data.quality.findings import MAX_ROWS, Step
from automl.data.quality.parse import counts_of, floats
from automl.data.quality.view import Proposal, View, finding, share

FAR = 6.0
"""Interquartile ranges beyond the quartiles, four times Tukey's 1.5: eight standard deviations of a normal, rare in a
skewed column."""

_SPELLINGS = {spell(p) for p in MISSING for spell in (str.lower, str.upper, str.title)}
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
        padded = {v for v in view.sampled(name).dropna().unique() if is_missing_word(v)}
        counts = counts_of(column.where(column.isin(list(_SPELLINGS | padded))))
        if counts:
            found, count = [v for v, _ in counts], sum(c for _, c in counts)
            text = f"'{name}' says {', '.join(repr(v) for v in found[:3])} in {count:,} rows for a missing value."
            yield Proposal(
                finding("placeholder_values", "info", count, name, text, found, "count them as missing"),
                steps=(Step("placeholder", name),),
            )


def wrong_types(view: View) -> Iterator[Proposal]:
    """Numbers, times and dates stored as text, each column in one notation; numbers and texts in one column."""
    for name in view.texty_columns():
        if any(_told(name, *_distinct(view.sampled(name), 2000), view.dataset.decimal)):
            yield from _told(name, *_distinct(view.column(name)), view.dataset.decimal)


def _distinct(column: pd.Series, most: int | None = None) -> tuple[list, np.ndarray]:
    """The distinct values but placeholders, most frequent first (``most`` of them), and how often each
    stands.
    """
    kept = [(v, c) for v, c in counts_of(column)[:most] if not is_missing_word(v)]
    return [v for v, _ in kept], np.array([c for _, c in kept], dtype=np.float64)


def _told(name: str, values: list, weights: np.ndarray, decimal: str) -> Iterator[Proposal]:
    """What there is to say of one column of texts, and the step that reads it."""
    reading = read_as(values, weights, decimal)
    step = Step(reading.what, name, reading.values)
    bad = [values[i] for i in reading.bad]
    lost, rows = int(weights[list(reading.bad)].sum()), int(weights.sum())
    few = ", ".join(repr(v) for v in bad[:3])
    if reading.what == "number":
        bounds = [(v, w) for v, w in zip(values, weights, strict=True) if is_bound(v)]
        yield _numbers(name, values, rows, reading, bad, lost, bounds)
    elif reading.what in ("date", "seconds"):
        dates = reading.what == "date"
        kind = f"dates{' (day first)' if any(reading.values[:1]) else ''}" if dates else "times"
        good = next(v for i, v in enumerate(values) if i not in reading.bad)
        text = f"'{name}' holds {kind} that are stored as text, such as {good!r}."
        repair = "read it as a date" if dates else "read it as a number of seconds"
        yield Proposal(finding("date_text", "info", rows - lost, name, text, values, repair), steps=(step,))
        if bad:
            text = f"'{name}' holds {kind}, but {lost:,} rows are none: {few}."
            repair = "those count as missing (with date_text)"
            yield Proposal(finding("unparsable_dates", "warning", lost, name, text, bad, repair))
    elif reading.what == "units":
        text = f"'{name}' gives numbers in several units ({', '.join(map(repr, reading.found.units[:4]))})."
        repair = "write them in one unit; as it is each text is a category"
        yield Proposal(finding("mixed_types", "warning", rows, name, text, values, repair))
    elif reading.what == "text":
        yield _mixed(name, values, weights, reading)
    elif not reading.found.codes and 2 * (part := float(weights[reading.found.readable].sum())) >= rows > 0:
        bad = [v for v, good in zip(values, reading.found.readable, strict=True) if not good]
        text = (
            f"'{name}' holds numbers, but {rows - part:,.0f} rows say something else: {', '.join(map(repr, bad[:3]))}."
        )
        repair = "empty those cells or write numbers; as it is each text is a category"
        yield Proposal(finding("mixed_types", "warning", int(rows - part), name, text, bad, repair))


def _numbers(
    name: str, values: list, rows: int, reading: Reading, bad: list, lost: int, bounds: list[tuple[str, float]]
) -> Proposal:
    steps = (Step("number", name, reading.values),)
    count = int(sum(w for _, w in bounds))
    said = (
        f" {count:,} rows give a bound, such as {bounds[0][0]!r}: its number is taken for the value." if bounds else ""
    )
    if bounds and not bad:
        text = f"'{name}' holds numbers.{said}"
        few = [v for v, _ in bounds]
        return Proposal(finding("mixed_types", "warning", count, name, text, few, "read it as a number"), steps=steps)
    if bad:
        text = f"'{name}' holds numbers, but {lost:,} rows say something else: {', '.join(map(repr, bad[:3]))}.{said}"
        repair = "read it as a number; what is none counts as missing"
        return Proposal(finding("mixed_types", "warning", lost, name, text, bad, repair), steps=steps)
    kind = "mixed_types" if any(not isinstance(v, str) for v in values) else "numeric_text"
    text = f"'{name}' holds numbers that are stored as text, such as {values[0]!r}."
    if example := reading.found.example:
        number = number_of(example, reading.found.notation)
        text = f"{text[:-1]}; {example!r} has two readings and no cell decides: it is taken for {number:.10g}."
    return Proposal(finding(kind, "info", rows, name, text, values, "read it as a number"), steps=steps)


def _mixed(name: str, values: list, weights: np.ndarray, reading: Reading) -> Proposal:
    types = sorted({type(v).__name__ for v in values})
    part = float(weights[reading.found.readable].sum() / weights.sum())
    text = f"'{name}' mixes {' and '.join(types)}; {share(part, 1)} of its values are numbers."
    count = int(sum(w for v, w in zip(values, weights, strict=True) if not isinstance(v, str)))
    first = {type(v).__name__: v for v in reversed(values)}
    return Proposal(
        finding("mixed_types", "warning", count, name, text, list(first.values()), "read it as text"),
        steps=(Step("text", name),),
    )


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
