"""The data of a bundle, for its card: what each input held among the rows of its reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from automl.deploy.markdown import percent
from automl.monitor.effects import missing, quantile
from automl.types import Task

VALUES = 4  # of a category that are named


def inputs_told(fields: Sequence[Mapping[str, Any]], reference: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Name, kind, values, and share that was missing of each. ``reference``: see ``automl.deploy.reference``."""
    measures: dict[str, dict[str, Any]] = {}
    for measure in reference["measures"]:
        measures.setdefault(measure["field"], {})[measure["what"]] = measure
    for field in fields:
        of = measures.get(field["name"], {})
        first = next(iter(of.values()), None)
        gaps = "" if first is None else percent(missing(np.asarray(first["counts"])))
        yield field["name"], field["kind"], _values(field, of), gaps


def classes_told(task: Task, learned: np.ndarray) -> str:
    """Shares of the classes, the largest first; empty for values. ``learned``: class numbers (rows,)."""
    if task.kind == "regression":
        return ""
    counts = np.bincount(learned, minlength=task.num_outputs)
    return _shares(list(task.classes), counts.tolist())


def _values(field: Mapping[str, Any], of: Mapping[str, Any]) -> str:
    if (value := of.get("value")) and "values" in value:
        return _shares(value["values"], value["counts"][: len(value["values"])], field["categories"])
    if value := of.get("value"):
        middle = quantile(value, np.asarray(value["counts"]), 0.5)
        half = "" if middle is None else f", half of them below {middle:.4g}"
        return f"{field['low']:.4g} to {field['high']:.4g}{half}"
    if (days := of.get("days")) and days["edges"]:
        first, last = (np.datetime64(int(days["edges"][at]), "D") for at in (0, -1))
        return f"{first} to {last}"
    if (length := of.get("length")) and length["edges"]:
        return f"{length['edges'][0]:.0f} to {length['edges'][-1]:.0f} words or characters"
    return " x ".join(map(str, field["shape"])) if "shape" in field else ""


def _shares(names: Sequence[str], counts: Sequence[int], known: Sequence[str] = ()) -> str:
    total = max(sum(counts), 1)
    order = sorted(range(len(names)), key=lambda i: -counts[i])
    more = max(len(known), len(names)) - VALUES
    shown = ", ".join(f"{names[i]} {percent(counts[i] / total)}" for i in order[:VALUES])
    return shown + (f" and {more:,} more" if more > 0 else "")
