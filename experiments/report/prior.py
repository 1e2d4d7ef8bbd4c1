"""The report's part on the prior: what past runs advised, what that was worth, and what was found instead."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from automl.types import Candidate, Prior, Task, Trial
from experiments.report.page import Html, columns, details, join, lines, meter, table, tag
from experiments.report.search import differences, option_text, ranked
from experiments.report.words import as_metric, count, number

SHOWN = 20  # of the candidates that were wanted first
OWN, DRAWN = "wanted first by the meta-learner", "drawn by the search"


def prior_part(prior: Prior | None, trials: Sequence[Trial], task: Task) -> Html:
    if prior is None:
        return Html("")
    parts = [
        columns(lines(prior.why), _worth(prior, trials, task)),
        details("What it expected of each family", _families(prior, trials, task)),
    ]
    best = ranked(trials)
    if best and best[0].candidate.family in prior.axes and (rows := _axes(prior, best[0].candidate)):
        head = ["choice", "expected most", "its share", "found", "expected before"]
        parts.append(
            details(
                f"The best trial ({best[0].number}, {best[0].candidate.family}) against what was expected",
                table(head, rows, narrow=True),
            )
        )
    if prior.portfolio:
        rank = {t.candidate.id: i for i, t in enumerate(best, 1)}
        wanted = prior.portfolio[:SHOWN]
        rows = [
            (place, c.family, rank.get(c.id, "–"), choices)
            for place, (c, choices) in enumerate(zip(wanted, differences(wanted), strict=True), 1)
        ]
        shown = table(["place", "family", "rank reached", "choices"], rows, numbers=[0, 2])
        first = f"The first {SHOWN} of {len(prior.portfolio)}" if len(prior.portfolio) > SHOWN else f"The {len(rows)}"
        parts.append(details(f"{first} candidates that the meta-learner wanted tried first", shown))
    return join(parts)


def worth(prior: Prior, trials: Sequence[Trial], metric: str) -> list[dict[str, Any]]:
    """What the meta-learner's own candidates reached beside those that the search drew: of each candidate its best
    trial, in the metric's own unit and sign. Nothing where none of its own has a score.
    """
    best: dict[str, Trial] = {}
    for trial in reversed(ranked(trials)):
        best[trial.candidate.id] = trial
    own = {c.id for c in prior.portfolio}
    groups = {
        OWN: [t.score or 0.0 for t in best.values() if t.candidate.id in own],
        DRAWN: [t.score or 0.0 for t in best.values() if t.candidate.id not in own],
    }
    return [
        {
            "candidates": name,
            "tried": len(scores),
            "best": as_metric(metric, max(scores)),
            "median": as_metric(metric, statistics.median(scores)),
        }
        for name, scores in groups.items()
        if scores and groups[OWN]
    ]


def _worth(prior: Prior, trials: Sequence[Trial], task: Task) -> Html:
    told = worth(prior, trials, task.metric)
    if not told:
        return Html("")
    winner = ranked(trials)[0]
    place = next(i for i, t in enumerate(trials, 1) if t.number == winner.number)
    own = winner.candidate.id in {c.id for c in prior.portfolio}
    whose = "the meta-learner's own" if own else "one that the search drew"
    rows = [(of["candidates"], of["tried"], number(of["best"]), number(of["median"])) for of in told]
    return join(
        [
            tag("p", f"The best candidate was {whose}. It was there after {count(place, 'trial')} of {len(trials):,}."),
            table(["candidates", "tried", f"best {task.metric}", "median"], rows, numbers=[1, 2, 3], narrow=True),
        ]
    )


def _families(prior: Prior, trials: Sequence[Trial], task: Task) -> Html:
    tried = Counter(t.candidate.family for t in trials)
    first = {t.candidate.family: t.score for t in reversed(ranked(trials))}  # a family's best comes last, and stays
    rows = [
        (
            family,
            meter(p, f"{100 * p:.0f} %"),
            meter(tried[family] / max(1, len(trials)), tried[family]),
            number(as_metric(task.metric, first.get(family))),
        )
        for family, p in sorted(prior.families.items(), key=lambda pair: -pair[1])
    ]
    return table(["family", "expected before", "trials", f"best {task.metric}"], rows, numbers=[3], narrow=True)


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
