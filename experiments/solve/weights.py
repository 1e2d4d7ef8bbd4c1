"""What is told of weights that came from elsewhere: where from, under which licence, and whether they helped."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from automl.data.prepare import Prepared
from automl.models.known.origins import Origin
from automl.store.trunks import keep
from automl.types import Candidate, Family, Task, Trial
from experiments.report.words import as_metric, number
from experiments.solve.artifacts import Artifacts
from nas.families.earlier import may_help

Begun = Mapping[int, Origin]
"""By the number of a trial: the weights that its network began with."""


def origins(families: Mapping[str, Family], task: Task, trials: Sequence[Trial]) -> Begun:
    """Of the trials, those whose networks began with such weights."""
    found = {t.number: getattr(families.get(t.candidate.family), "origin", _none)(task, t.candidate) for t in trials}
    return {number: origin for number, origin in found.items() if origin is not None}


def _none(task: Task, candidate: Candidate) -> None:
    return None


def told_weights(of: Begun, trials: Sequence[Trial], members: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For result.json: ``family``, ``deployed`` (whether the model holds them), and what ``Origin`` says."""
    family = {t.number: t.candidate.family for t in trials}
    deployed = {(family[m["number"]], of[m["number"]]) for m in members if m["number"] in of}
    each = dict.fromkeys((family[number], origin) for number, origin in of.items())
    return [{"family": name, "deployed": (name, one) in deployed, **asdict(one)} for name, one in each]


def keep_networks(folder: Path, prepared: Prepared, trials: Sequence[Trial], artifacts: Artifacts) -> None:
    """The best of each family, for later runs on other data of the same sort to start from. It is no fault where that
    cannot be written.
    """
    task, best = prepared.task, dict[str, Trial]()
    for trial in artifacts.best(trials):
        best.setdefault(trial.candidate.family, trial)
    for trial in best.values():
        if trial.score is not None and may_help(task, trial.candidate):
            weights = {name: tensor.numpy() for name, tensor in artifacts.weights(trial).items()}
            with contextlib.suppress(OSError):
                keep(folder, task, trial.candidate, weights, rows=prepared.learned.distinct, score=trial.score)


def whether_they_helped(of: Begun, task: Task, trials: Sequence[Trial]) -> list[str]:
    """A line for people: the best candidate with such weights beside the best without, on the rows that judge."""
    scored = [t for t in trials if t.score is not None]
    best = {
        known: max((t for t in scored if (t.number in of) == known), key=lambda t: t.score or 0.0, default=None)
        for known in (True, False)
    }
    if (one := best[True]) is None:
        return []
    with_them = f"{task.metric} {number(as_metric(task.metric, one.score))} ({one.candidate.family})"
    begun = f"with the weights of {of[one.number].name} the best candidate has {with_them}"
    other = best[False]
    if other is None:
        return [f"{begun}; none was tried without such weights"]
    return [f"{begun}, without such weights {number(as_metric(task.metric, other.score))} ({other.candidate.family})"]
