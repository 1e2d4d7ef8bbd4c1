"""What a peer is given: a folder with the training rows, the test rows without their truth, and task.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl.task.labels import label
from experiments.bench.level3 import group_of, kind_of

TARGET, SPLIT = "target", "split"


@dataclass(frozen=True)
class Split:
    """One data set. ``train``, ``test``: frames, or arrays (n, ...). Truths (n,): classes as texts, or values."""

    said: Mapping[str, Any]
    train: pd.DataFrame | np.ndarray
    test: pd.DataFrame | np.ndarray
    truth_train: np.ndarray
    truth: np.ndarray

    @property
    def metric(self) -> str:
        return self.said["baseline_best"]["metric"]

    @property
    def floor(self) -> float:
        """What no model reaches: the commonest class, or the mean."""
        if self.metric == "r2":
            return 0.0
        names, counts = np.unique(self.truth_train, return_counts=True)
        return float(np.mean(self.truth == names[counts.argmax()]))

    def losses(self, predictions: np.ndarray) -> np.ndarray:
        """(n,) per test row, such that 1 - mean is accuracy, or r2."""
        if self.metric == "r2":
            return (predictions.astype(float) - self.truth) ** 2 / np.var(self.truth)
        return (predictions.astype(str) != self.truth).astype(float)


def split_of(root: Path, said: Mapping[str, Any]) -> Split:
    """The set as its file divides it."""
    path = root / said["file"]
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as of:
            train, test, y, truth = of["X_train"], of["X_test"], of["y_train"], of["y_test"]
    else:
        table = pd.read_csv(path, low_memory=False)  # else a column may be numbers in one block and texts in the next
        held = table[SPLIT].eq("test").to_numpy()
        y, truth = (table.loc[rows, TARGET].to_numpy() for rows in (~held, held))
        table = table.drop(columns=[TARGET, SPLIT])
        train, test = (pd.DataFrame(table[rows]).reset_index(drop=True) for rows in (~held, held))
    # Classes as this program names them: others learn from these texts, whatever they are.
    as_truth = np.asarray if said["task"] == "regression" else lambda v: np.array([label(x) for x in v.tolist()])
    return Split(said, train, test, as_truth(y), as_truth(truth))


def write(split: Split, folder: Path, root: Path, seconds: float, seed: int, options: Mapping[str, Any]) -> None:
    """The folder that a script reads (``experiments/compare/peers/exchange.py``)."""
    np.save(folder / "y.npy", split.truth_train)
    for name, rows in (("train", split.train), ("test", split.test)):
        if isinstance(rows, pd.DataFrame):
            rows.to_parquet(folder / f"{name}.parquet")
        else:
            np.save(folder / f"{name}.npy", rows)
    said = split.said
    task = {
        "kind": "regression" if said["task"] == "regression" else "classification",
        "modality": kind_of(dict(said)),
        "metric": split.metric,
        "seconds": seconds,
        "seed": seed,
        "group": group_of(said),
        "file": str((root / said["file"]).resolve()),  # for the program itself: the same rows, with the split
        "options": dict(options),
    }
    (folder / "task.json").write_text(json.dumps(task))
