"""The page of an inspection: findings, the target, what is missing, suspects to look at, columns and profile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl.data.columns import as_number
from automl.data.dataset import TEST, Dataset
from automl.data.prepare import Prepared
from automl.data.quality import REPAIRS, Finding, Quality
from automl.data.quality.parse import column_of, counts_of, floats, is_numeric
from automl.files import write_atomically
from automl.types import Profile
from experiments.inspect.pictures import row_view
from experiments.report.page import Html, details, facts, figure, join, lines, meter, page, section, table, tag, tile
from experiments.report.plots import Figure, label
from experiments.report.words import amount
from metalearner.profile import DESCRIPTIONS

_STYLE = """
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 14px; margin: 14px 0 4px; }
.cards.broad { grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; min-width: 0; font-size: 13px; }
.card p { margin: 8px 0 0; overflow-wrap: anywhere; }
.card s { color: var(--bad); text-decoration-thickness: 1.5px; }
.card strong { color: var(--good); }
.card small { display: block; }
.card .row { display: block; width: 100%; max-height: 170px; object-fit: contain; image-rendering: pixelated;
  border-radius: 5px; background: var(--soft); }
.card svg.row { height: auto; }
.cells { display: flex; flex-direction: column; gap: 2px; overflow-wrap: anywhere; }
.cells i { color: var(--muted); font-style: normal; }
.cells q { display: block; quotes: none; font-size: 13.5px; line-height: 1.45; }
td small { display: block; }
.badge.warn { color: var(--c1); }
"""
_BADGES = {"error": "badge bad", "warning": "badge warn", "info": "badge"}
_MOST_CARDS, _MOST_BARS, _MOST_COLUMNS, _FEW = 24, 40, 60, 12
_SHOWN = ("label_errors", "contradicting_labels", "corrupt_images", "corrupt_audio", "constant_rows", "target_outliers")
_TITLES = {
    "label_errors": "Suspected label errors",
    "contradicting_labels": "Same inputs, different target",
    "corrupt_images": "Images that may be broken",
    "corrupt_audio": "Sounds that may be broken",
    "constant_rows": "Series that never change",
    "target_outliers": "Targets far from all others",
}


def write_page(
    path: Path,
    dataset: Dataset,
    quality: Quality,
    prepared: Prepared | None,
    profile: Profile | None,
    problem: str = "",
) -> None:
    """Write the page as one file that needs nothing else. ``problem``: why no task could be made of the data."""
    shown = [n for n in _SHOWN if quality.named(n) and quality.named(n)[0].rows]
    body = [
        tag("style", Html(_STYLE)),
        _head(dataset, quality, prepared, problem),
        section("Findings", _findings(quality)),
        *(section(_TITLES[n], _examples(dataset, quality.named(n))) for n in shown),
        section("Target", _target(dataset, prepared)),
        _rows_part(dataset, prepared),
        _missing_part(dataset),
        _columns_part(dataset),
        _task_part(prepared),
        _profile_part(profile),
    ]
    write_atomically(path, page(f"{dataset.name}: inspection", [b for b in body if b]))


def _head(dataset: Dataset, quality: Quality, prepared: Prepared | None, problem: str) -> Html:
    task = prepared.task if prepared else None
    counts = {s: sum(f.severity == s for f in quality.findings) for s in _BADGES}
    repaired = sum(f.repaired for f in quality.findings)
    worst = quality.worst()
    lead = {
        "error": "Look at the errors first: a model of this data would not mean much.",
        "warning": "Usable, with warnings worth a look.",
        "info": "Nothing to worry about.",
        None: "Nothing wrong was found.",
    }[worst]
    inputs = ", ".join(sorted({dataset.modalities.get(n, "array") for n in dataset.arrays}))
    wide = dataset.table.shape[1]
    held = f"{wide:,} columns" if wide else inputs
    dropped = quality.rows - len(quality.kept)
    classes = f"{task.num_outputs} classes" if task and task.classes else ""
    splits = ""
    if prepared:
        parts = prepared.parts
        splits = f"{len(parts.train):,} train, {len(parts.valid):,} valid, {len(parts.test):,} test"
    return join(
        [
            tag("h1", dataset.name),
            tag("p", f"No task can be made of it: {problem}" if problem else lead, class_="lead"),
            tag("p", dataset.origin, class_="note") if dataset.origin else "",
            tag(
                "div",
                tile(f"{len(dataset):,}", "rows", splits),
                tile(held, "to learn from", f"and {inputs}" if wide and inputs else ""),
                tile(task.kind if task else "–", "task", classes),
                tile(
                    counts["error"] + counts["warning"],
                    "errors and warnings",
                    f"and {counts['info']} remark{'s' * (counts['info'] != 1)}",
                ),
                tile(
                    repaired,
                    "repair made" if repaired == 1 else "repairs made",
                    f"{dropped:,} rows left out" if dropped else "",
                ),
                class_="tiles",
            ),
        ]
    )


def _findings(quality: Quality) -> Html:
    if not quality.findings:
        return tag("p", "The checks found nothing wrong.")

    def rows(of: Sequence[Finding]) -> list[tuple[object, ...]]:
        return [
            (
                tag("span", f.severity, class_=_BADGES[f.severity]),
                tag("span", tag("code", f.where), tag("small", f.name.replace("_", " "))),
                tag("span", f.text, class_="wide"),
                _repair(f),
            )
            for f in of
        ]

    head = ["", "where", "finding", "repair"]
    grave = [f for f in quality.findings if f.severity != "info"]
    mild = [f for f in quality.findings if f.severity == "info"]
    parts = [table(head, rows(grave))] if grave else []
    if mild and len(mild) > 6:
        parts.append(details(f"{len(mild)} remarks", table(head, rows(mild))))
    elif mild:
        parts = [table(head, rows([*grave, *mild]))]
    yes, no = tag("code", "task.repairs.NAME=true"), tag("code", "task.repairs.NAME=false")
    switch = join(["A proposed repair is made with ", yes, ", one that was made is left out with ", no, "."])
    return join([*parts, tag("p", switch, class_="note")])


def _repair(f: Finding) -> Html:
    if not f.repair:
        return Html("")
    if f.repaired:
        return join([tag("span", "done", class_="badge good"), " ", f.repair])
    return join([tag("span", "proposed", class_="badge") if f.name in REPAIRS else "", " ", f.repair])


def _examples(dataset: Dataset, found: Sequence[Finding]) -> Html:
    """Rows to look at, as cards."""
    parts: list[object] = []
    for f in found:
        told = {int(e["row"]): e for e in f.examples if isinstance(e, dict) and "row" in e}
        rows = [r for r in f.rows[:_MOST_CARDS] if r < len(dataset)]
        cards = [tag("div", row_view(dataset, r), _verdict(dataset, r, told.get(r, {})), class_="card") for r in rows]
        broad = not dataset.arrays
        rest = f.count - len(cards)
        parts += [
            tag("p", f.text),
            tag("div", *cards, class_="cards broad" if broad else "cards"),
            tag("p", f"and {rest:,} more: their row numbers are in quality.json", class_="note") if rest > 0 else "",
        ]
    return join(parts)


def _verdict(dataset: Dataset, row: int, told: dict[str, Any]) -> Html:
    given = str(told.get("label", dataset.target.iloc[row]))
    if "suggested" in told:
        said = tag("p", tag("s", given), " → ", tag("strong", told["suggested"]))
        left = float(told.get("quality", 0.0))
        return join([said, tag("small", f"row {row:,}, {100 * left:.1f} % left to the label")])
    if "expected" in told:
        return join([tag("p", f"target {given}, expected {told['expected']}"), tag("small", f"row {row:,}")])
    return join([tag("p", f"target {given}"), tag("small", f"row {row:,}")])


def _target(dataset: Dataset, prepared: Prepared | None) -> Html:
    """Rows that are not test: an official test split's labels are nobody's business before the end."""
    seen = dataset.target if dataset.split is None else dataset.target.iloc[np.flatnonzero(dataset.split != TEST)]
    task = prepared.task if prepared else None
    note = "" if dataset.split is None else " Test rows are not counted."
    if task is not None and task.kind == "regression":
        values = as_number(seen)
        drawn = _histogram(values[np.isfinite(values)], str(seen.name or "target"))
        return figure(drawn, f"How the target is spread.{note}")
    counts = counts_of(seen)
    if not counts:
        return tag("p", "The target has no value in any row.")
    caption = f"Rows of each class.{note}"
    if len(counts) > _MOST_BARS:
        caption += f" The {_MOST_BARS} largest of {len(counts):,} classes."
    return figure(_bars([(label(v), c) for v, c in counts[:_MOST_BARS]], "rows"), caption)


def _rows_part(dataset: Dataset, prepared: Prepared | None) -> Html:
    """A few rows that are not test, of each class in turn, where rows are something to look at."""
    if not dataset.arrays:
        return Html("")
    known = dataset.target.notna().to_numpy()
    seen = np.flatnonzero(known if dataset.split is None else known & (dataset.split != TEST))
    if prepared is not None and prepared.task.kind != "regression":
        turn = dataset.target.iloc[seen].groupby(dataset.target.iloc[seen]).cumcount().to_numpy()
        seen = seen[np.argsort(turn, kind="stable")]
    cards = [tag("div", row_view(dataset, int(r)), _verdict(dataset, int(r), {}), class_="card") for r in seen[:_FEW]]
    return section("Some rows", tag("div", *cards, class_="cards"))


def _bars(pairs: Sequence[tuple[str, float]], x: str, percent: bool = False) -> Figure:
    """Horizontal bars, the first on top. Names may repeat once they are cut: places are numbers, names are ticks."""
    names, values = [p[0] for p in pairs], [p[1] for p in pairs]
    places = list(range(len(pairs)))
    bar = {
        "type": "bar",
        "orientation": "h",
        "y": places,
        "x": values,
        "customdata": names,
        "marker": {"color": "var:c0"},
        "hovertemplate": "%{customdata}: " + ("%{x:.1%}" if percent else "%{x:,}") + "<extra></extra>",
    }
    ticks = {"tickvals": places, "ticktext": names, "autorange": "reversed", "showgrid": False}
    form = {"tickformat": ".0%", "rangemode": "tozero"} if percent else {"rangemode": "tozero"}
    return {
        "data": [bar],
        "layout": {
            "height": max(150, min(900, 74 + 22 * len(pairs))),
            "showlegend": False,
            "bargap": 0.3,
            "xaxis": {"title": {"text": x}, **form},
            "yaxis": ticks,
        },
    }


def _histogram(values: np.ndarray, name: str) -> Figure | None:
    if not len(values):
        return None
    counts, edges = np.histogram(values, bins=min(60, max(8, int(math.sqrt(len(values))))))
    middles = (edges[1:] + edges[:-1]) / 2
    bar = {"type": "bar", "x": middles.tolist(), "y": counts.tolist(), "marker": {"color": "var:c0"}}
    layout = {"height": 300, "showlegend": False, "bargap": 0.04}
    return {
        "data": [bar],
        "layout": {**layout, "xaxis": {"title": {"text": label(name)}}, "yaxis": {"title": {"text": "rows"}}},
    }


def _missing_part(dataset: Dataset) -> Html:
    names = [str(c) for c in dataset.table.columns]
    shares = [(n, float(column_of(dataset.table, n).isna().to_numpy().mean())) for n in names]
    gaps = sorted([(n, s) for n, s in shares if s > 0], key=lambda pair: -pair[1])
    if not gaps:
        return Html("")
    bars = _bars([(label(n), s) for n, s in gaps[:_MOST_BARS]], "share of the rows", percent=True)
    caption = f"Missing values: {len(gaps):,} of {len(names):,} columns have some."
    return section("Missing values", figure(bars, caption))


def _columns_part(dataset: Dataset) -> Html:
    names = [str(c) for c in dataset.table.columns]
    if not names:
        return Html("")
    rows = [(tag("code", n), *_column(column_of(dataset.table, n))) for n in names[:_MOST_COLUMNS]]
    head = ["column", "holds", "missing", "distinct", "values"]
    more = len(names) - len(rows)
    rest = tag("p", f"and {more:,} more columns", class_="note") if more > 0 else ""
    return section("Columns", table(head, rows, numbers=[3]), rest)


def _column(column: pd.Series) -> tuple[object, ...]:
    gaps = float(column.isna().mean())
    missing = meter(gaps, f"{gaps:.1%}") if gaps else "–"
    distinct = f"{column.nunique():,}"
    if is_numeric(column):
        values = floats(column)
        values = values[np.isfinite(values)]
        if not len(values):
            return "nothing", missing, distinct, "–"
        low, middle, high = np.quantile(values, [0, 0.5, 1])
        return "numbers", missing, distinct, f"{amount(low)} to {amount(high)}, median {amount(middle)}"
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "dates", missing, distinct, f"{column.min():%Y-%m-%d} to {column.max():%Y-%m-%d}"
    few = counts_of(column)[:4]
    shown = ", ".join(f"{label(v, 40)} ({c:,})" if c > 1 else label(v, 40) for v, c in few)
    return "yes or no" if pd.api.types.is_bool_dtype(column.dtype) else "text", missing, distinct, Html(shown)


def _task_part(prepared: Prepared | None) -> Html:
    if prepared is None:
        return Html("")
    task = prepared.task
    known: list[tuple[object, object]] = [
        ("Kind", task.kind),
        ("Metric", task.metric),
        ("Inputs", lines(f"{i.name}: {i.modality}, {' x '.join(map(str, i.shape))}" for i in task.inputs)),
    ]
    return section("The task", facts(known), details("Why", lines(task.why)))


def _profile_part(profile: Profile | None) -> Html:
    if profile is None:
        return Html("")
    values = {n: v for n, v in profile.as_dict().items() if math.isfinite(v)}
    errors = {n: v for n, v in values.items() if n.startswith("landmark_") and n.endswith("_error")}
    landmarks = [(n.removeprefix("landmark_").removesuffix("_error").replace("_", " "), v) for n, v in errors.items()]
    drawn = _bars(landmarks, "error: 1 − accuracy, or 1 − R²") if landmarks else None
    rows = [(tag("code", n), f"{v:.4g}", DESCRIPTIONS.get(n, "")) for n, v in values.items()]
    shown = table(["feature", "value", "meaning"], rows, numbers=[1])
    absent = [(tag("code", n), why) for n, why in profile.reasons.items()]
    caption = "Errors of small models on rows they have not seen, on at most 2,000 rows: what is easy, and for whom."
    return section(
        "Profile",
        figure(drawn, caption),
        details(f"{len(rows)} numbers by which similar data sets are found", shown),
        details(f"{len(absent)} that do not apply", table(["feature", "why"], absent)) if absent else "",
    )
