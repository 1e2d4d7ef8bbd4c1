"""What the graph says of rows, as the JSON of an answer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from automl.serve.models import Loaded
from automl.serve.question import Question

Told = Sequence[np.ndarray]


def reply(loaded: Loaded, question: Question, told: Told, request: str) -> bytes:
    """The body of the answer. ``told``: as ``Bundle.outputs_encoded`` gives it for the rows. Raises UserError."""
    said: dict[str, Any] = {
        "model": loaded.reference,
        "id": request,
        "answers": answers_of(loaded, told, question.level),
        "warnings": loaded.notes.of(question.rows),
    }
    if question.explain:
        said["explanation"] = explained(loaded, question.rows[0], question.explain)
    return encoded(said)


def answers_of(loaded: Loaded, told: Told, level: float | None) -> list[dict[str, Any]]:
    """One object per row: value, or class and p; of a level also interval, or set, and credibility."""
    bundle = loaded.bundle
    answer = bundle.answer_of(told, level)
    if answer.probabilities is None:
        found: list[dict[str, Any]] = [{"value": v} for v in np.asarray(answer.prediction).tolist()]
        if answer.interval is not None:
            for one, ends in zip(found, answer.interval.tolist(), strict=True):
                one["interval"] = ends
    else:
        classes = bundle.task.classes
        shares = answer.probabilities.tolist()
        decided = np.asarray(answer.prediction).tolist()
        found = [{"class": c, "p": dict(zip(classes, p, strict=True))} for c, p in zip(decided, shares, strict=True)]
        if answer.sets is not None:
            for one, fits in zip(found, answer.sets.tolist(), strict=True):
                one["set"] = [c for c, fit in zip(classes, fits, strict=True) if fit]
    if answer.credibility is not None:
        for one, usual in zip(found, answer.credibility.tolist(), strict=True):
            one["credibility"] = usual
    return found


def explained(loaded: Loaded, row: Mapping[str, Any], top: int) -> list[dict[str, Any]]:
    """The fields that moved the answer most, and how far: in the target's unit, or of the class's probability."""
    told = loaded.bundle.explain([dict(row)], top)
    return [{"field": e.field, "value": e.value, "effect": e.change} for e in told.effects]


def encoded(said: Any) -> bytes:
    """JSON, which knows no NaN."""
    try:
        return _JSON.encode(said).encode("utf-8", "replace")
    except ValueError:
        return _JSON.encode(_finite(said)).encode("utf-8", "replace")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
