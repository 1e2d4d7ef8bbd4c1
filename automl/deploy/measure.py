"""What the exported model costs whoever uses it."""

from __future__ import annotations

import statistics
import time
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
    reading and encoding the rows counts: for tables that is most of it. ``dataset``: as it was loaded; its first row
    is asked. None where that row is no example.
    """
    bundle = Bundle.load(folder, threads=1)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and f.suffix != ".whl") / 1e6
    known: dict[str, float | None] = {"parameters": bundle.meta["parameters"], "megabytes": round(size, 4)}
    try:
        one, many = (latency_ms(bundle, repeated(dataset, rows)) for rows in (1, BATCH))
        return known | {"latency_ms": round(one, 4), "batch_ms": round(many / BATCH, 4)}
    except UserError:
        return known | {"latency_ms": None, "batch_ms": None}


def repeated(dataset: Dataset, rows: int) -> Any:
    """The first row as it came, so many times: a DataFrame, or input name -> array (rows, ...)."""
    if not dataset.arrays:
        return dataset.table.iloc[[0] * rows]
    columns = {str(c): dataset.table[c].iloc[[0] * rows] for c in dataset.table}
    return columns | {n: np.repeat(a[:1], rows, axis=0) for n, a in dataset.arrays.items()}


def latency_ms(bundle: Bundle, row: Any) -> float:
    """Median milliseconds of one answer."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < CALLS + WARM_UP and (len(times) < 2 or time.perf_counter() - began < SECONDS):
        start = time.perf_counter()
        bundle.predict(row)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[WARM_UP:] or times[1:])
