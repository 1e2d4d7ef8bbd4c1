"""The report's part on the search: its curve, and the best trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from automl.types import Candidate, Task, Trial
from experiments.progress import one_line
from experiments.report import plots
from experiments.report.page import Html, columns, details, figure, join, table, tag
from experiments.report.words import as_metric, count, metric_name, number

LEADERS, SHOWN = 15, 6  # of the best trials: that are told, and that stand there


def search_part(trials: Sequence[Trial], task: Task) -> Html:
    if not trials:
        return tag("p", "No trial was run.")
    best = ranked(trials)
    by_status = Counter(t.status for t in trials)
    words = ", ".join(f"{n} {status}" for status, n in by_status.most_common())
    curve = plots.search_curve(trials, task.metric)
    parts = [
        tag("p", f"{count(len(trials), 'trial')}: {words}."),
        columns(
            figure(curve, "Each point is a trained network, judged on the validation rows."), leaders_part(best, task)
        ),
    ]
    if best:
        parts.append(details("The best trials and their choices", leaderboard_part(trials, task)))
    learned = plots.learning_curves(best[:6], task.metric)
    over_time = plots.search_curve(trials, task.metric, over="seconds")
    parts.append(
        details(
            "The search over time, and how the best networks learned",
            figure(over_time, "The same, over the time spent on training."),
            figure(learned, "Epoch by epoch. Still getting better at the end: more epochs would help."),
        )
    )
    failures = [t for t in trials if t.status != "ok"]
    if failures:
        said = Counter((t.status, t.candidate.family, one_line(t.error, 200)) for t in failures)
        rows = [(n, status, family, text) for (status, family, text), n in said.most_common(20)]
        parts.append(
            details(
                f"Trials without a score: {len(failures)}",
                table(["trials", "status", "family", "said"], rows, numbers=[0]),
            )
        )
    return join(parts)


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Trials with a score, best first."""
    return sorted((t for t in trials if t.score is not None), key=lambda t: -(t.score or 0.0))


def differences(candidates: Sequence[Candidate]) -> list[Html]:
    """Of each candidate the choices in which it differs from the first of its family; of that one all, folded."""
    first: dict[str, Mapping[str, Any]] = {}
    told = []
    for candidate in candidates:
        choices = candidate.choices
        if candidate.family not in first:
            first[candidate.family] = choices
            told.append(details(f"its {count(len(choices), 'choice')}", choices_text(choices)) if choices else Html(""))
            continue
        other = first[candidate.family]
        differ = {k: v for k, v in choices.items() if k not in other or other[k] != v}
        told.append(choices_text(differ) if differ else Html("the same"))
    return told


def choices_text(choices: Mapping[str, Any]) -> Html:
    return tag("span", join([tag("code", f"{k}={option_text(v)}") for k, v in choices.items()], " "), class_="wide")


def option_text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def leaders_part(best: Sequence[Trial], task: Task) -> Html:
    """The first few, in short."""
    rows = [
        (t.number, number(as_metric(task.metric, t.score)), t.candidate.family, t.fidelity, f"{t.seconds:.1f}")
        for t in best[:SHOWN]
    ]
    head = ["trial", metric_name(task.metric), "family", "epochs", "seconds"]
    return table(head, rows, numbers=[0, 1, 3, 4], narrow=True) if rows else Html("")


def leaderboard_part(trials: Sequence[Trial], task: Task) -> Html:
    best = ranked(trials)
    if not best:
        return Html("")
    told = best[:LEADERS]
    rows = [
        (
            t.number,
            number(as_metric(task.metric, t.score)),
            t.candidate.family,
            t.fidelity,
            f"{t.parameters:,}" if t.parameters is not None else "–",
            f"{t.latency_ms:.2f}" if t.latency_ms is not None else "–",
            f"{t.seconds:.1f}",
            choices,
        )
        for t, choices in zip(told, differences([t.candidate for t in told]), strict=True)
    ]
    head = ["trial", metric_name(task.metric), "family", "epochs", "parameters", "ms a row", "seconds", "differs by"]
    if all(t.latency_ms is None for t in told):
        head, rows = _without(head.index("ms a row"), head, rows)
    numbers = [i for i, name in enumerate(head) if name not in ("family", "differs by")]
    note = "Best first. Of the first trial of a family all choices are told, of the next ones those that differ."
    more = f" The first {LEADERS} of {len(best):,}." if len(best) > LEADERS else ""
    return join([table(head, rows, numbers=numbers), tag("p", f"{note}{more}", class_="note")])


def _without(position: int, head: list[str], rows: list[Any]) -> tuple[list[str], list[Any]]:
    return head[:position] + head[position + 1 :], [r[:position] + r[position + 1 :] for r in rows]
