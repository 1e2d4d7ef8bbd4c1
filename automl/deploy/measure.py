"""What the exported model costs whoever uses it."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from automl.data.dataset import Dataset
from automl.deploy.bundle import CALIBRATION, MODEL, Bundle
from automl.deploy.examples import ARRAYS_NAME, ROWS_NAME, raw_row
from automl.deploy.explain import BACKGROUND
from automl.errors import UserError

# To answer; pictures among examples and background would be more than the model.
NOT_NEEDED = {"raw.onnx", "Dockerfile", "requirements.txt", "reference.json", "schema.json"}
NOT_NEEDED |= {BACKGROUND, ROWS_NAME, ARRAYS_NAME}
CALLS, WARM_UP, SECONDS = 25, 3, 0.4  # calls that are timed, those before them, and after which time it is enough
BATCH = 32  # rows asked at once, as ``batch_ms`` has it


def measured(folder: Path, dataset: Dataset) -> dict[str, float | None]:
    """``parameters``: all numbers that the model holds; ``megabytes`` of what it answers by; ``latency_ms`` of a row.

    The row is a dict, name -> cell, as a client sends it: numbers, texts, None, dates as text, arrays of numbers for
    pictures, sounds and series. To parse the request, or to decode a picture's file, is not counted. ``batch_ms``: of
    each of ``BATCH`` such rows asked at once. Both are medians of ``Bundle.predict`` on one CPU thread, so reading and
    encoding the rows counts. ``graph_ms``: of one row without that. ``dataset``: as it was loaded; its first rows are
    asked in turn. None where they are no examples.
    """
    bundle = Bundle.load(folder, threads=1)
    size = sum((folder / name).stat().st_size for name in needed(bundle)) / 1e6
    known: dict[str, float | None] = {"parameters": bundle.meta["parameters"], "megabytes": round(size, 4)}
    rows = [raw_row(dataset, at % len(dataset)) for at in range(BATCH)]
    turns = itertools.cycle(rows)
    try:
        encoded = bundle.encoding.transform(bundle.encoding.dataset(rows))
    except UserError:
        return known | {"latency_ms": None, "batch_ms": None, "graph_ms": None}
    first = [a[:1] for a in encoded]
    times = {
        "latency_ms": median_ms(lambda: bundle.predict([next(turns)])),
        "batch_ms": median_ms(lambda: bundle.predict(rows)) / BATCH,
        "graph_ms": median_ms(lambda: bundle.predict_encoded(first)),
    }
    return known | {name: round(took, 4) for name, took in times.items()}


def needed(bundle: Bundle) -> set[str]:
    """Files that it answers by: of its graphs, and what each knows of how sure it is, those of the one that does."""
    graphs = [{"file": MODEL, "calibration": CALIBRATION}, *bundle.meta.get("variants", ())]
    answers = bundle.variant or graphs[0]
    others = {graph[name] for graph in graphs for name in ("file", "calibration")} - {
        answers["file"],
        answers["calibration"],
    }
    return set(bundle.meta["files"]) - NOT_NEEDED - others


def median_ms(answer: Callable[[], Any]) -> float:
    """Median milliseconds of one call."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < CALLS + WARM_UP and (len(times) < 2 or time.perf_counter() - began < SECONDS):
        start = time.perf_counter()
        answer()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[WARM_UP:] or times[1:])
