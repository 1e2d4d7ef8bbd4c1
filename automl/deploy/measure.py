"""What the exported model costs whoever uses it."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from automl.data.dataset import Dataset
from automl.deploy.bundle import Bundle
from automl.errors import UserError

CALLS, WARM_UP, SECONDS = 25, 3, 2.0


def deployed(folder: Path, dataset: Dataset) -> dict[str, float | None]:
    """``parameters`` (all numbers that the model holds), ``megabytes`` of its folder, ``latency_ms`` of one raw row.

    The latency is the median of ``Bundle.predict`` on one CPU thread, so reading and encoding the row counts: for
    tables that is most of it. ``dataset``: as it was loaded; its first row is asked. None where that row is no example.
    """
    bundle = Bundle.load(folder, threads=1)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6
    known: dict[str, float | None] = {"parameters": bundle.meta["parameters"], "megabytes": round(size, 4)}
    try:
        return known | {"latency_ms": round(latency_ms(bundle, first_row(dataset)), 4)}
    except UserError:
        return known | {"latency_ms": None}


def first_row(dataset: Dataset) -> Any:
    """The first row as it came: a DataFrame, or input name -> array (1, ...)."""
    if not dataset.arrays:
        return dataset.table.iloc[[0]]
    return {str(c): dataset.table[c].iloc[:1] for c in dataset.table} | {n: a[:1] for n, a in dataset.arrays.items()}


def latency_ms(bundle: Bundle, row: Any) -> float:
    """Median milliseconds of one answer."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < CALLS + WARM_UP and (len(times) < 2 or time.perf_counter() - began < SECONDS):
        start = time.perf_counter()
        bundle.predict(row)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[WARM_UP:] or times[1:])
