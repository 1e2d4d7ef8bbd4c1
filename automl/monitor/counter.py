"""What rows and their answers are counted as: the one vector of int64 that a window is.

counter = Counter(bundle)
window = counter.answers(outputs, seconds=.003) + counter.rows(rows) + ...     # add up over requests, workers, minutes

part of the vector     what it counts
requests, rows         answered; ``dropped``: rows answered while the recorder was full; ``unread``: that had no counts
latency                requests by how long they took, in ``LATENCY_MS`` and above
live                   sums of the model's own probabilities, in millionths, see ``automl.monitor.live``
counts                 of the fields and of the answers, in the cells of the bundle's reference

Everything is a whole number, so that a sum is the same in any order.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from automl.data.dataset import Dataset
from automl.data.encode.rows import rows_to_dataset
from automl.deploy.bundle import Bundle
from automl.deploy.reference import answered, counts_of, measured
from automl.errors import UserError
from automl.monitor.live import sums_of, sums_size

REFERENCE = "reference.json"
LATENCY_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
HEAD = ("requests", "rows", "dropped", "unread")


class Layout(NamedTuple):
    """Where the parts lie in the vector; ``fields`` and ``outputs`` are what ``counts`` is made of."""

    latency: slice
    live: slice
    fields: slice
    outputs: slice
    counts: slice
    size: int

    @classmethod
    def of(cls, live: int, fields: int, outputs: int) -> Layout:
        at = np.cumsum([len(HEAD), len(LATENCY_MS) + 1, live, fields, outputs]).tolist()
        latency, sums, of_fields, of_outputs = (slice(a, b) for a, b in itertools.pairwise(at))
        return cls(latency, sums, of_fields, of_outputs, slice(at[2], at[4]), at[4])


class Counter:
    """Counts for one bundle. ``reference``: its reference.json, without measures where it has none (format 1)."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises UserError for a reference that cannot be read."""
        self.bundle = bundle
        self.reference = reference_in(bundle)
        measures = self.reference["measures"]
        self._fields = {"measures": [m for m in measures if m["field"]]}
        self._outputs = {"measures": [m for m in measures if not m["field"]]}
        cells = [sum(len(m["counts"]) for m in of["measures"]) for of in (self._fields, self._outputs)]
        self.layout = Layout.of(sums_size(bundle.task), *cells)

    def answers(self, outputs: Sequence[np.ndarray], seconds: Sequence[float] = (), requests: int = 1) -> np.ndarray:
        """What ``Bundle.outputs_encoded`` said of rows. ``seconds``: that each request took, where known."""
        found, task = np.zeros(self.layout.size, dtype=np.int64), self.bundle.task
        found[:2] = requests, len(outputs[0])
        took = np.searchsorted(LATENCY_MS, np.asarray(seconds, dtype=np.float64) * 1000)
        found[self.layout.latency] = np.bincount(took, minlength=len(LATENCY_MS) + 1)
        found[self.layout.live] = sums_of(task, outputs[0], self.bundle.decision)
        if self._outputs["measures"]:
            found[self.layout.outputs] = counts_of(self._outputs, [m.values for m in answered(task, outputs[0])])
        return found

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Raw rows, name -> value. One that cannot be read is ``unread``, and spoils no other."""
        if len(groups := _alike(rows)) > 1:
            return np.sum([self.rows(some) for some in groups], axis=0)
        of = self.bundle.encoding
        try:
            dataset = rows_to_dataset(of.fields, rows, of.steps, of.columns, tell=False)  # who answered has told
            return self.encoded(dataset, of.transform(dataset))
        except UserError:
            if len(rows) > 1:
                return self.rows(rows[: len(rows) // 2]) + self.rows(rows[len(rows) // 2 :])
            found = np.zeros(self.layout.size, dtype=np.int64)
            found[HEAD.index("unread")] = 1
            return found

    def encoded(self, dataset: Dataset, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """The same for rows that were read: ``Encoding.dataset`` of them, and ``Encoding.transform`` of that."""
        found = np.zeros(self.layout.size, dtype=np.int64)
        if self._fields["measures"]:
            seen = measured(self.bundle.encoding, dataset, inputs)
            found[self.layout.fields] = counts_of(self._fields, [m.values for m in seen])
        return found


def _alike(rows: Sequence[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
    """The rows in groups in which no column holds true beside 1: each answer read its rows alone, and pandas reads
    booleans by what the others are.
    """
    kinds: dict[str, set[bool]] = {}
    for row in rows:
        for name, cell in row.items():
            if cell is not None:
                kinds.setdefault(name, set()).add(isinstance(cell, bool))
    mixed = [name for name, found in kinds.items() if len(found) > 1]
    if not mixed:
        return [rows]
    groups: dict[tuple[bool, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(isinstance(row.get(name), bool) for name in mixed), []).append(row)
    return list(groups.values())


def reference_in(bundle: Bundle) -> dict[str, Any]:
    """The bundle's reference, with the answers of its variant. Raises UserError for one that cannot be read."""
    if REFERENCE not in bundle.meta["files"]:
        return {"rows": 0, "predictions": 0, "measures": []}
    bundle.unchanged(REFERENCE)
    try:
        found = json.loads((bundle.folder / REFERENCE).read_text(encoding="utf-8"))
        if own := bundle.variant.get("outputs"):
            found["measures"] = [*(m for m in found["measures"] if m["field"]), *own]
        for measure in found["measures"]:
            cells = len(measure["values"]) if "values" in measure else max(len(measure["edges"]) - 1, 0)
            if len(measure["counts"]) != cells + 3 or not isinstance(measure["field"], str):
                raise ValueError(f"{measure['what']} of {measure['field']!r} has {len(measure['counts'])} counts")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{bundle.folder} holds no readable reference ({error}); export the model again") from error
    return found


def percentile_ms(latency: np.ndarray, share: float) -> float | None:
    """Below what a share of the requests took, in milliseconds; within a cell as if they were spread evenly."""
    total = int(latency.sum())
    if not total:
        return None
    edges = np.array([0, *LATENCY_MS, LATENCY_MS[-1] * 2], dtype=np.float64)
    return round(float(np.interp(share * total, [0, *latency.cumsum()], edges)), 2)
