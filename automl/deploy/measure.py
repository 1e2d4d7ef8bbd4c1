"""What the exported model costs whoever uses it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.dataset import Dataset
from automl.deploy.bundle import Bundle
from automl.errors import UserError

CALLS, WARM_UP, SECONDS = 25, 3, 1.0
BATCH = 32


def measured(folder: Path, dataset: Dataset) -> dict[str, float | None]:
    """``parameters`` (all numbers that the model holds), ``megabytes`` of its files, ``latency_ms`` of one raw row.

    ``batch_ms``: of each of ``BATCH`` rows asked at once. Both are medians of ``Bundle.predict`` on one CPU thread, so
    reading and encoding the rows counts: for tables that is most of it. ``graph_ms``: of one row without that.
    ``dataset``: as it was loaded; its first row is asked. None where that row is no example.
    """
    bundle = Bundle.load(folder, threads=1)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and f.suffix != ".whl") / 1e6
    known: dict[str, float | None] = {"parameters": bundle.meta["parameters"], "megabytes": round(size, 4)}
    try:
        row, rows = repeated(dataset, 1), repeated(dataset, BATCH)
        encoded = bundle.encoding.transform(bundle.encoding.dataset(row))
    except UserError:
        return known | {"latency_ms": None, "batch_ms": None, "graph_ms": None}
    times = {
        "latency_ms": median_ms(lambda: bundle.predict(row)),
        "batch_ms": median_ms(lambda: bundle.predict(rows)) / BATCH,
        "graph_ms": median_ms(lambda: bundle.predict_encoded(encoded)),
    }
    return known | {name: round(took, 4) for name, took in times.items()}


def repeated(dataset: Dataset, rows: int) -> Any:
    """The first row as it came, so many times: a DataFrame, or input name -> array (rows, ...)."""
    if not dataset.arrays:
        return dataset.table.iloc[[0] * rows]
    columns = {str(c): dataset.table[c].iloc[[0] * rows] for c in dataset.table}
    return columns | {n: np.repeat(a[:1], rows, axis=0) for n, a in dataset.arrays.items()}


def median_ms(answer: Callable[[], Any]) -> float:
    """Median milliseconds of one call."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < CALLS + WARM_UP and (len(times) < 2 or time.perf_counter() - began < SECONDS):
        start = time.perf_counter()
        answer()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[WARM_UP:] or times[1:])
