"""What is told of weights that came from elsewhere: where from, under which licence, and whether they helped."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.prepare import Prepared
from automl.data.sketch import Sketch, row_hashes
from automl.models.known.origins import Origin
from automl.store.trunks import keep
from automl.types import Candidate, Family, Prior, Task, Trial
from experiments.report.words import as_metric, number
from experiments.solve.artifacts import Artifacts
from nas.families.earlier import Earlier, may_help
from nas.family import NAMED
from nas.given import Trained

Begun = Mapping[int, Origin]
"""By the number of a trial: the weights that its network began with."""


def unseen(families: Mapping[str, Family], prepared: Prepared, began: Prior | None = None) -> dict[str, Family]:
    """The families; networks of earlier runs are those among them that know none of the rows that judge here.

    ``began``: with which a search began that is resumed: it goes on with the same networks.
    """

    @functools.cache
    def judging() -> np.ndarray:
        parts, folds = prepared.parts, prepared.folds
        of = [parts.valid, parts.test, *filter(None, [parts.held]), *([] if folds is None else [folds.valid])]
        return hashes_of(prepared, np.concatenate([part.rows for part in of]))

    def checked(family: Family) -> Family:
        if isinstance(family, Trained):
            return replace(family, family=checked(family.family))
        if not isinstance(family, Earlier):
            return family
        axes = None if began is None else began.axes.get(family.name, ())
        names = None if axes is None else [str(o) for axis in axes if axis.name == NAMED for o in axis.options]
        return family.admitting(prepared.task, judging, names)

    return {name: checked(family) for name, family in families.items()}


def hashes_of(prepared: Prepared, rows: np.ndarray) -> np.ndarray:
    """Of rows (positions, some more than once): what the networks read of each, see ``automl.data.sketch``."""
    once = np.flatnonzero(np.bincount(rows))
    return row_hashes(prepared.dataset, [of.name for of in prepared.task.inputs], once)


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

    @functools.cache
    def sketch() -> Sketch:  # the validation rows chose it
        return Sketch.of(hashes_of(prepared, np.concatenate([prepared.learned.rows, prepared.parts.valid.rows])))

    for trial in artifacts.best(trials):
        best.setdefault(trial.candidate.family, trial)
    for trial in best.values():
        if trial.score is not None and may_help(task, trial.candidate):
            weights = {name: tensor.numpy() for name, tensor in artifacts.weights(trial).items()}
            with contextlib.suppress(OSError):
                rows = prepared.learned.distinct
                keep(folder, task, trial.candidate, weights, sketch(), rows=rows, score=trial.score)


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
