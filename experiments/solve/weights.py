"""What is told of weights that came from elsewhere: where from, under which licence, and whether they helped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from automl.models.known.origins import Origin
from automl.types import Family, Task, Trial
from experiments.report.words import as_metric, number


def origins(families: Mapping[str, Family], task: Task, trials: Sequence[Trial]) -> dict[str, Origin]:
    """Of the families that were tried, those whose networks began with such weights."""
    asked = {t.candidate.family for t in trials}
    found = {name: getattr(families[name], "origin", _none)(task) for name in families if name in asked}
    return {name: origin for name, origin in found.items() if origin is not None}


def _none(task: Task) -> None:
    return None


def told_weights(of: Mapping[str, Origin], members: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For result.json: ``family``, ``deployed`` (whether the model holds them), and what ``Origin`` says."""
    deployed = {member["family"] for member in members}
    return [{"family": name, "deployed": name in deployed, **asdict(origin)} for name, origin in of.items()]


def whether_they_helped(of: Mapping[str, Origin], task: Task, trials: Sequence[Trial]) -> list[str]:
    """A line for people: the best candidate with such weights beside the best without, on the rows that judge."""
    scored = [t for t in trials if t.score is not None]
    best = {
        known: max(
            (t for t in scored if (t.candidate.family in of) == known), key=lambda t: t.score or 0.0, default=None
        )
        for known in (True, False)
    }
    if (one := best[True]) is None:
        return []
    with_them = f"{task.metric} {number(as_metric(task.metric, one.score))} ({one.candidate.family})"
    begun = f"with the weights of {of[one.candidate.family].name} the best candidate has {with_them}"
    other = best[False]
    if other is None:
        return [f"{begun}; none was tried without such weights"]
    return [f"{begun}, without such weights {number(as_metric(task.metric, other.score))} ({other.candidate.family})"]
