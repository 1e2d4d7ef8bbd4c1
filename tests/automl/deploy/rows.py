"""Data sets of every kind that a row can hold, for tests of what a bundle tells of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset, Part
from automl.data.encode import Encoding
from automl.types import Task

ROWS = 60
WORDS = ["red", "blue", "small", "large", "round", "soft", "warm", "cold"]


def table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Columns of each kind; cells are missing in some."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "size": rng.normal(50, 10, rows),
            "rooms": rng.integers(1, 6, rows),
            "gap": np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows).astype(np.float32)),
            "old": rng.random(rows) < 0.5,
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
            "shop": [f"shop {i % 40}" for i in rng.integers(0, 60, rows)],
            "seen": pd.date_range("2019-01-01", periods=rows, freq="37h"),
            "story": [" ".join(rng.choice(WORDS, rng.integers(3, 9))) + f" {i}" for i in range(rows)],
        }
    )
    frame.loc[5, ["city", "seen", "story"]] = None
    return frame


def arrays(rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    """Inputs that are no table; some series and sounds end early."""
    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {
        "photo": rng.integers(0, 256, (rows, 9, 7, 3)).astype(np.uint8),
        "grey": rng.random((rows, 6, 5)).astype(np.float32),
        "pulse": rng.normal(size=(rows, 2, 30)).astype(np.float32),
        "line": rng.normal(size=(rows, 12)),
        "voice": rng.normal(-30, 10, (rows, 64, 20)).astype(np.float32),
    }
    made["pulse"][3, :, 20:] = np.nan
    made["voice"][4, :, 15:] = np.nan
    return made


def mixed(rows: int = ROWS, seed: int = 0) -> Dataset:
    """One of everything."""
    target = pd.Series(np.random.default_rng(seed).choice(["no", "yes"], rows), name="goal")
    kinds: dict[str, Any] = {"photo": "image", "grey": "image", "pulse": "series", "line": "series", "voice": "audio"}
    return Dataset("mixed", table(rows, seed), target, arrays(rows, seed), modalities=kinds)


def part_of(encoding: Encoding, dataset: Dataset) -> Part:
    """All rows, encoded."""
    return Part(encoding.transform(dataset), np.zeros(len(dataset)), np.arange(len(dataset)))


def task_of(encoding: Encoding) -> Task:
    """The task of an encoding that was fitted alone."""
    if encoding.target.kind == "regression":
        return Task("toy", "regression", encoding.inputs, 1, "r2")
    classes = encoding.target.classes
    return Task("toy", encoding.target.kind, encoding.inputs, len(classes), "accuracy", classes=classes)
