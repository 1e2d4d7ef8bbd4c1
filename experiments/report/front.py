"""The report's part on speed: what a better score costs in latency. There only when latencies were measured."""

from __future__ import annotations

from collections.abc import Sequence

from automl.types import Task, Trial
from experiments.report import plots
from experiments.report.page import Html, details, figure, join, lines, table
from experiments.report.search import differences
from experiments.report.words import as_metric, metric_name, number
from nas.pareto import pareto_front


def front_part(trials: Sequence[Trial], task: Task) -> Html:
    """Plot and table of the trials that no other beats in both score and latency."""
    front = pareto_front(trials)
    if not front:
        return Html("")
    limit = task.limits.latency_ms
    said = [
        "Each point of the line is the best network as fast. Measured for one row on one CPU thread, before the export."
    ]
    if limit is not None:
        said.append(f"The limit is {limit:g} ms. Networks above it were not trained.")
    rows = [
        (
            number(as_metric(task.metric, t.score)),
            f"{t.latency_ms:.2f}",
            f"{t.parameters:,}" if t.parameters is not None else "–",
            t.number,
            t.candidate.family,
            choices,
        )
        for t, choices in zip(front, differences([t.candidate for t in front]), strict=True)
    ]
    head = [metric_name(task.metric), "ms a row", "parameters", "trial", "family", "differs by"]
    drawn = plots.front(trials, front, task.metric)
    shown = details("The networks of the front", table(head, rows, numbers=[0, 1, 2, 3]))
    return join([lines(said), figure(drawn, "The line joins the front."), shown])
