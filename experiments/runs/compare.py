"""Finished runs beside one another: as text, and as a page with their curves over one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from automl.metrics import higher_is_better
from experiments.report import plots
from experiments.report.page import Html, figure, page, section, table, tag
from experiments.report.words import NAMES, number
from experiments.runs.differences import differing
from experiments.runs.found import Run, megabytes
from experiments.runs.text import aligned

Rows = list[tuple[str, list[str]]]
"""What a row tells, and that of each run."""


def said(runs: Sequence[Run]) -> str:
    """One column a run."""
    names = [f"run {i}" for i in range(1, len(runs) + 1)]
    rows = [(name, *values) for name, values in [*facts(runs), *differing([run.config for run in runs]).items()]]
    where = "\n".join(f"{name}  {run.folder}" for name, run in zip(names, runs, strict=True))
    return f"{where}\n\n{aligned(['', *names], rows)}"


def facts(runs: Sequence[Run]) -> Rows:
    """Scores, families and cost; what no run tells is left out."""
    metrics = dict.fromkeys([run.metric for run in runs] + [name for run in runs for name in run.result["test"]])
    rows: list[tuple[str, Callable[[Run], str | None]]] = [
        ("data", lambda run: run.name),
        ("rows", lambda run: whole(run.of_data("rows"))),
        ("judged by", lambda run: run.result.get("judged_by")),
    ]
    for metric in dict.fromkeys(run.metric for run in runs):
        rows += [
            (f"validation {metric}", lambda run, m=metric: value(run.result["val"], m)),
            (f"test {metric}", lambda run, m=metric: value(run.result["test"], m)),
            (f"95 % of {metric}", lambda run, m=metric: band(run.result.get("interval")) if run.metric == m else None),
            (f"no model {metric}", lambda run, m=metric: value(run.result.get("baseline") or {}, m)),
        ]
    others = [m for m in metrics if m in NAMES and all(m != run.metric for run in runs)]
    rows += [(f"test {metric}", lambda run, m=metric: value(run.result["test"], m)) for metric in others]
    rows += [
        ("model", lambda run: members(run.result)),
        ("trials", lambda run: whole((run.result.get("trials") or {}).get("ok"))),
        ("families tried", lambda run: families(run.result)),
        ("seconds", lambda run: None if run.seconds is None else f"{run.seconds:,.1f}"),
        ("search seconds", lambda run: value(run.result.get("seconds") or {}, "search", 1)),
        ("ms a raw row", lambda run: value(run.result.get("deployed") or {}, "latency_ms", 2)),
        ("MB of the model", lambda run: value(run.result.get("deployed") or {}, "megabytes", 2)),
        ("MB on disk", lambda run: f"{megabytes(run.folder):,.1f}"),
        ("level", lambda run: whole(run.result.get("level"))),
        ("code", lambda run: run.result.get("version")),
    ]
    found = [(name, [tell(run) or "–" for run in runs]) for name, tell in rows]
    return [(name, values) for name, values in found if set(values) != {"–"}]


def value(of: Mapping[str, Any], name: str, digits: int | None = None) -> str | None:
    at = of.get(name)
    return None if at is None else number(at) if digits is None else f"{at:,.{digits}f}"


def whole(n: int | None) -> str | None:
    return None if n is None else f"{n:,}"


def band(ends: Sequence[float] | None) -> str | None:
    return None if not ends else f"{number(ends[0])} to {number(ends[1])}"


def members(result: Mapping[str, Any]) -> str:
    """``mlp 3, convnet 2``: the networks of the model."""
    return ", ".join(f"{name} {n}" for name, n in Counter(m["family"] for m in result.get("ensemble") or []).items())


def families(result: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {n}" for name, n in Counter(t["family"] for t in result.get("tried") or []).most_common())


def page_of(runs: Sequence[Run]) -> str:
    """The same as one HTML document, with the searches' curves over one another."""
    names = [f"run {i}" for i in range(1, len(runs) + 1)]
    differ = differing([run.config for run in runs])
    body = [
        tag("h1", "Runs beside one another"),
        table(["", "folder"], [(n, tag("code", str(r.folder))) for n, r in zip(names, runs, strict=True)], narrow=True),
        section("What came out", table(["", *names], [(name, *values) for name, values in facts(runs)])),
        section("Options that differ", table(["", *names], [(tag("code", n), *v) for n, v in differ.items()]))
        if differ
        else "",
        section("The searches", *searches(runs, names)),
    ]
    return page("Runs beside one another", body)


def searches(runs: Sequence[Run], names: Sequence[str]) -> list[Html]:
    """The best score so far of each run, over trials and over time: a figure each for runs on other data or by another
    metric.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for i, run in enumerate(runs):
        groups.setdefault((run.name, run.metric), []).append(i)
    drawn = []
    for (data, metric), which in groups.items():
        series = [(names[i], runs[i].result.get("tried") or []) for i in which]
        for over in ("trials", "seconds"):
            drawn.append(figure(curves(series, metric, over), f"{data}: best of the search so far, over {over}."))
    return drawn


def curves(series: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], metric: str, over: str) -> plots.Figure | None:
    """Best so far of each search, in the metric's own unit; over: ``trials``, or ``seconds`` of training."""
    data = []
    best_of = np.fmax if metric not in NAMES or higher_is_better(metric) else np.fmin
    for i, (name, tried) in enumerate(series):
        scores = np.array([np.nan if t.get("score") is None else t["score"] for t in tried], dtype=float)
        spent = np.cumsum([t.get("seconds") or 0.0 for t in tried]) if over == "seconds" else np.arange(len(tried)) + 1
        best = best_of.accumulate(scores) if len(scores) else scores
        known = np.isfinite(best)
        data.append(plots.stairs(name, spent[known].tolist(), best[known].tolist(), i))
    if not any(line["x"] for line in data):
        return None
    return plots.over("trials" if over == "trials" else "seconds of training, all workers together", metric, data)
