"""What every script does beside its fit: read the folder, take the time, write the answers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SINGLE, LONGEST = 20, 20.0  # rows that are asked alone, and seconds for all of them


@dataclass(frozen=True)
class Task:
    """``kind``: classification (truth is text) or regression. ``file``: the data with their split."""

    kind: str
    modality: str
    metric: str
    seconds: float
    seed: int
    group: str
    file: str
    options: dict[str, Any]
    folder: Path

    @property
    def classes(self) -> bool:
        return self.kind == "classification"


Predict = Callable[[Any], Any]


def answer(fit: Callable[[Task, Any, np.ndarray], Predict]) -> None:
    """Fit on the training rows, answer the test rows, and write predictions.npy and told.json.

    ``fit(task, rows, truth)`` returns what answers rows of the same form with (n,) classes or values. Imports are not
    the time of a fit: one that started a program of its own says in ``imports`` of what it returns how long those took.
    """
    folder = Path(sys.argv[1])
    task = Task(**json.loads((folder / "task.json").read_text()), folder=folder)
    rows, truth = _read(folder, "train"), np.load(folder / "y.npy", allow_pickle=False)
    began = time.monotonic()
    predict = fit(task, rows, truth)
    fitted = time.monotonic()
    test = _read(folder, "test")
    predictions = np.asarray(predict(test))
    answered = time.monotonic()
    took = []
    while len(took) < min(SINGLE, len(test)) and time.monotonic() - answered < LONGEST:
        one = test[len(took) : len(took) + 1]
        start = time.monotonic()
        predict(one)
        took.append(time.monotonic() - start)
    np.save(folder / "predictions.npy", predictions.astype(float if not task.classes else str))
    told = {
        "fit": fitted - began - getattr(predict, "imports", 0.0),
        "predict": answered - fitted,
        "row_ms": 1000 * float(np.median(took)),
    }
    (folder / "told.json").write_text(json.dumps(told))


def _read(folder: Path, name: str) -> Any:
    table = folder / f"{name}.parquet"
    return pd.read_parquet(table) if table.is_file() else np.load(folder / f"{name}.npy", allow_pickle=False)


def columns_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Texts as categories, for what reads those."""
    texts = {n: rows[n].astype("category") for n in rows.columns if not pd.api.types.is_numeric_dtype(rows[n])}
    return rows.assign(**texts)
