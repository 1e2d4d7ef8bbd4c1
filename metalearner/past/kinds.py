"""Past runs on classes told as runs on values, and the other way round.

What was found about architectures carries over, but a candidate names its loss, so none of one kind is a point of the
other's space. Where few tasks of the kind asked for were run, runs with the plain loss of their kind are read as runs
with the plain loss of the other; those with another loss say nothing.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from automl.training.losses import CLASSES, VALUES
from automl.types import Candidate, Kind, Runs

ENOUGH = 5  # tasks of the kind asked for: beside ten tables of values, those of classes added nothing
PLAIN = {True: "mse", False: "cross_entropy"}  # for values; for classes


def carried(runs: Runs, kind: Kind) -> Runs:
    """The runs as if all of them had been on tasks of this kind, where fewer than ENOUGH were.

    Trials that cannot be told like that are left out.
    """
    values = kind == "regression"
    told = [carry(candidate, values) for candidate in runs.candidates]
    own = np.array([new is old for new, old in zip(told, runs.candidates, strict=True)], dtype=bool)
    if own.all() or len(np.unique(runs.task[own[runs.candidate]])) >= ENOUGH:
        return runs
    place: dict[str, int] = {}
    candidates: list[Candidate] = []
    for new in told:
        if new is not None and place.setdefault(new.id, len(candidates)) == len(candidates):
            candidates.append(new)
    moved = np.array([-1 if new is None else place[new.id] for new in told], dtype=np.int64)[runs.candidate]
    kept = moved >= 0
    columns = {name: getattr(runs, name)[kept] for name in ("task", "fidelity", "seed", "score", "seconds")}
    return dataclasses.replace(runs, candidates=tuple(candidates), candidate=moved[kept], **columns)


def carry(candidate: Candidate, values: bool) -> Candidate | None:
    """The same candidate with the loss of the other kind; itself where it has one of this kind or none at all."""
    loss = candidate.choices.get("loss")
    if loss is None or loss in (VALUES if values else CLASSES):
        return candidate
    if loss != PLAIN[not values]:
        return None
    choices = {name: choice for name, choice in candidate.choices.items() if name != "label_smoothing"}
    choices["loss"] = PLAIN[values]
    return Candidate(candidate.family, choices if values else {**choices, "label_smoothing": 0.0})
