"""Vocabulary <-> the columns of the store's tables."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, TypeGuard

from automl.serial import to_plain
from automl.types import Candidate, Task, Trial


def task_digest(task: Task) -> str:
    """16 hex digits of what makes two tasks comparable: trials of the same digest may be ranked together.

    Name, group, kind, metric, outputs, each input's name, modality and shape, and the data themselves: a file
    whose rows changed is another task. Not what depends on the seed's split (means, vocabularies, groups of
    letters, pieces of words), nor what was asked of the deployed model.
    """
    inputs = [[i.name, i.modality, [i.tokens] if i.letters or i.pieces else list(i.shape)] for i in task.inputs]
    parts = [task.name, task.group, task.kind, task.metric, task.num_outputs, inputs]
    if task.data:  # runs from before keep their digest
        parts.append(task.data)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def trial_row(trial: Trial) -> dict[str, Any]:
    """The trial's own columns.

    Brings a number that is none to what the vocabulary allows, so that no trial is lost and none ends a
    search: ok without a finite score becomes diverged, a score that is not ok's is dropped.
    """
    status, score, error = trial.status, trial.score, trial.error
    if status == "ok" and not _is_number(score):
        status, error = "diverged", f"{error}; score is {score}".lstrip("; ")
    return {
        "number": int(trial.number),
        "fidelity": int(trial.fidelity),
        "seed": int(trial.seed),
        "status": status,
        "score": None if status != "ok" or score is None else float(score),
        "seconds": float(trial.seconds) if _is_number(trial.seconds) else 0.0,
        "parameters": None if trial.parameters is None else int(trial.parameters),
        "latency_ms": float(trial.latency_ms) if _is_number(trial.latency_ms) else None,
        "error": storable(error),
        "curve": json.dumps([_curve_point(v) for v in trial.curve], separators=(",", ":")),
    }


def trial_of(row: Any) -> Trial:
    """The Trial of a row of ``trials`` joined with its task's name and its candidate."""
    return Trial(
        task=row.task,
        candidate=Candidate(row.family, json.loads(row.choices)),
        fidelity=row.fidelity,
        seed=row.seed,
        status=row.status,
        score=row.score,
        curve=tuple(map(float, json.loads(row.curve))),
        seconds=row.seconds,
        parameters=row.parameters,
        latency_ms=row.latency_ms,
        error=row.error,
        number=row.number,
    )


def choices_text(candidate: Candidate) -> str:
    """The choices as JSON, in the order of the axes. Raises ValueError for an option that is no Option."""
    return json.dumps(to_plain(candidate)["choices"], separators=(",", ":"))


def storable(text: str) -> str:
    r"""Text that a database can hold: a NUL or half a surrogate pair is written as its escape (``\x00``)."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def _is_number(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _curve_point(value: float) -> float | str:
    """JSON has no NaN: written as text, which ``float`` reads."""
    return float(value) if math.isfinite(value) else str(float(value))
