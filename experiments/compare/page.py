"""The comparison as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.compare.summary import ALL
from experiments.report.page import details, figure, join, page, section, table, tag
from experiments.report.plots import COLOURS, Figure, label
from experiments.report.words import number

HEAD = ("system", "sets", "score", "95 %", "sets scored", "mean rank", "fit, s", "one row, ms", "failed fits")
TITLE = "Beside other systems"
HOW = (
    "A score is normalised: 0 is no model (the commonest class, or the mean), 1 the best system on that set. Sets on"
    " which the test rows cannot tell the best system from no model have no such scale; they count for ranks and for"
    " wins, ties and losses. Intervals hold 95 % of 5,000 draws of groups of sets. A set is won or lost where the test"
    " rows can tell, else tied. A fit that failed scores what no model does; a system of which all failed has the last"
    " rank."
)


def page_of(summary: Mapping[str, Any], seconds: float) -> str:
    """One HTML document of what ``summary_of`` returns."""
    us = summary["us"]
    modalities = list(dict.fromkeys(row["modality"] for row in summary["systems"]))
    body = [
        tag("h1", TITLE),
        tag("p", f"{len(summary['sets'])} data sets, {seconds:g} seconds for each fit where a system can be told."),
        *(tag("p", f"{name} is left out: {why}") for name, why in summary.get("left_out", {}).items()),
    ]
    for modality in modalities:
        rows = [row for row in summary["systems"] if row["modality"] == modality]
        scored = [row for row in rows if row["counted"]]
        body.append(
            section(
                "All sets" if modality == ALL else modality.capitalize(),
                figure(bars(scored), "Mean normalised score with its interval; 1 is the best of each set.")
                if scored
                else "",
                table(
                    [*HEAD[:2], f"{us} wins, ties, losses", *HEAD[2:]],
                    [system(row) for row in rows],
                    numbers=[1, 2, 3, 4, 5, 6, 7, 8, 9],
                ),
                "" if modality == ALL else details("Set by set", by_set(summary, modality, [r["peer"] for r in rows])),
            )
        )
    body.append(details("How the numbers are made", tag("p", HOW)))
    return page(TITLE, [join(body)])


def system(row: Mapping[str, Any]) -> list[object]:
    score, between = "–", "–"
    if row["counted"]:
        score, between = f"{row['normalised']:.3f}", "{:.3f} to {:.3f}".format(*row["interval"])
    return [
        row["peer"],
        row["sets"],
        " / ".join(map(str, row["outcome"])),
        score,
        between,
        row["counted"],
        f"{row['rank']:.2f}",
        f"{row['fit']:.0f}",
        f"{row['row_ms']:.1f}",
        row["failed"] or "",
    ]


def by_set(summary: Mapping[str, Any], modality: str, peers: list[str]) -> object:
    """Scores in the metric's own unit, the best of a set in bold."""
    rows = []
    for row in summary["sets"]:
        if row["modality"] == modality:
            best = max(s for s in row["scores"].values() if s is not None)
            cells = [row["scores"].get(p) for p in peers]
            shown = ["failed" if c is None else tag("b", number(c)) if c == best else number(c) for c in cells]
            rows.append([row["set"], row["metric"], number(row["floor"]), *shown])
    return table(["set", "metric", "no model", *peers], rows, numbers=range(2, 3 + len(peers)))


def bars(rows: list[Mapping[str, Any]]) -> Figure:
    """A point and its interval for each system."""
    values = [row["normalised"] for row in rows]
    ends = {
        "array": [row["interval"][1] - v for row, v in zip(rows, values, strict=True)],
        "arrayminus": [v - row["interval"][0] for row, v in zip(rows, values, strict=True)],
    }
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": values,
        "y": [label(row["peer"]) for row in rows],
        "error_x": {"type": "data", "symmetric": False, **ends},
        "marker": {"size": 10, "color": COLOURS[0]},
    }
    axes = {"xaxis": {"title": {"text": "normalised score"}}, "yaxis": {"autorange": "reversed", "automargin": True}}
    return {"data": [trace], "layout": {"height": 120 + 34 * len(rows), "showlegend": False, **axes}}
