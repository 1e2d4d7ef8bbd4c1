"""The report's parts on the search: curve, leaderboard, and the prior against what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from automl.types import Candidate, Prior, Task, Trial
from experiments.progress import one_line
from experiments.report import plots
from experiments.report.page import Html, columns, details, figure, join, lines, meter, table, tag
from experiments.report.words import as_metric, count, metric_name, number

LEADERS = 15


def search_part(trials: Sequence[Trial], task: Task) -> Html:
    if not trials:
        return tag("p", "No trial was run.")
    best = ranked(trials)
    by_status = Counter(t.status for t in trials)
    words = ", ".join(f"{n} {status}" for status, n in by_status.most_common())
    parts = [tag("p", f"{count(len(trials), 'trial')}: {words}.")]
    over_trials = figure(
        plots.search_curve(trials, task.metric), "Each point is a trained network, judged on the validation rows."
    )
    over_time = figure(
        plots.search_curve(trials, task.metric, over="seconds"), "The same, over the time spent on training."
    )
    parts.append(columns(over_trials, over_time))
    curves = plots.learning_curves(best[:6], task.metric)
    parts.append(
        figure(curves, "How the best networks learned. Still getting better at the end: more epochs would help.")
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


def choices_text(choices: Mapping[str, Any]) -> Html:
    return tag("span", join([tag("code", f"{k}={option_text(v)}") for k, v in choices.items()], " "), class_="wide")


def option_text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def leaderboard_part(trials: Sequence[Trial], task: Task) -> Html:
    best = ranked(trials)
    if not best:
        return Html("")
    rows = [
        (
            place,
            t.number,
            number(as_metric(task.metric, t.score)),
            t.candidate.family,
            t.fidelity,
            f"{t.parameters:,}" if t.parameters is not None else "–",
            f"{t.latency_ms:.2f}" if t.latency_ms is not None else "–",
            f"{t.seconds:.1f}",
            choices_text(t.candidate.choices),
        )
        for place, t in enumerate(best[:LEADERS], 1)
    ]
    head = [
        "place",
        "trial",
        metric_name(task.metric),
        "family",
        "epochs",
        "parameters",
        "ms a row",
        "seconds",
        "choices",
    ]
    if all(t.latency_ms is None for t in best[:LEADERS]):
        head, rows = _without(head.index("ms a row"), head, rows)
    numbers = [i for i, name in enumerate(head) if name not in ("family", "choices")]
    shown = table(head, rows, numbers=numbers)
    note = f"The first {LEADERS} of {len(best)}." if len(best) > LEADERS else ""
    return join([shown, tag("p", note, class_="note") if note else ""])


def _without(position: int, head: list[str], rows: list[Any]) -> tuple[list[str], list[Any]]:
    return head[:position] + head[position + 1 :], [r[:position] + r[position + 1 :] for r in rows]


def prior_part(prior: Prior | None, trials: Sequence[Trial], task: Task) -> Html:
    if prior is None:
        return Html("")
    parts = [lines(prior.why)]
    best = ranked(trials)
    tried = Counter(t.candidate.family for t in trials)
    first = {t.candidate.family: t.score for t in reversed(best)}  # the best of each family comes last, and stays
    rows = [
        (
            family,
            meter(p, f"{100 * p:.0f} %"),
            meter(tried[family] / max(1, len(trials)), tried[family]),
            number(as_metric(task.metric, first.get(family))),
        )
        for family, p in sorted(prior.families.items(), key=lambda pair: -pair[1])
    ]
    head = ["family", "expected before", "trials", f"best {task.metric}"]
    parts.append(table(head, rows, numbers=[3], narrow=True))
    if best and best[0].candidate.family in prior.axes:
        winner = best[0].candidate
        parts += [
            tag("h3", f"The best trial ({winner.family}) against what was expected"),
            table(
                ["choice", "expected most", "its share", "found", "expected before"], _axes(prior, winner), narrow=True
            ),
        ]
    if prior.portfolio:
        rank = {t.candidate.id: i for i, t in enumerate(best, 1)}
        rows = [
            (place, c.family, rank.get(c.id, "–"), choices_text(c.choices))
            for place, c in enumerate(prior.portfolio[:20], 1)
        ]
        shown = table(["place", "family", "rank reached", "choices"], rows, numbers=[0, 2])
        parts.append(details(f"The {len(prior.portfolio)} candidates that the meta-learner wanted tried first", shown))
    return join(parts)


def _axes(prior: Prior, winner: Candidate) -> list[tuple[object, ...]]:
    rows = []
    for axis in prior.axes[winner.family]:
        if axis.name not in winner.choices:
            continue
        weights = prior.weights[winner.family][axis.name]
        top = int(np.argmax(weights))
        found = winner.choices[axis.name]
        p = weights[axis.options.index(found)] if found in axis.options else 0.0
        even = len(set(weights)) == 1
        rows.append(
            (
                tag("code", axis.name),
                "any" if even else option_text(axis.options[top]),
                meter(weights[top], f"{100 * weights[top]:.0f} %"),
                option_text(found),
                meter(p, f"{100 * p:.0f} %"),
            )
        )
    return rows
