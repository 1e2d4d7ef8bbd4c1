"""A small bundle with a reference, in milliseconds, and rows like those that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.deploy.bundle import CALIBRATION, Bundle
from automl.deploy.export import write_meta
from automl.deploy.reference import reference_of
from automl.files import write_atomically
from automl.monitor.counter import REFERENCE
from automl.serial import dumps
from automl.uncertainty.calibrate import Answers, calibrate
from tests.automl.deploy.rows import part_of
from tests.experiments.predict.bundles import bundle_of

ROWS = 400


def people(rows: int, seed: int, *, older: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.normal(40 + older, 10, rows).round(2),
            "children": rng.integers(0, 5, rows),
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
        }
    )


def goal_of(frame: pd.DataFrame, kind: str) -> pd.Series:
    noise = np.random.default_rng(1).normal(0, 5, len(frame))
    value = frame["age"] + noise
    if kind == "regression":
        return value.rename("goal")
    names = np.array(["old", "young"] if kind == "binary" else ["b", "a", "c"])
    edges = [40] if kind == "binary" else [35, 45]
    return pd.Series(names[::-1][np.searchsorted(edges, value)], name="goal")


def made(folder: Path, kind: Any = "binary", *, calibrated: bool = True) -> Bundle:
    frame = people(ROWS, 0)
    dataset = Dataset("people", frame, goal_of(frame, kind))
    bundle = Bundle.load(bundle_of(folder / "bundle", dataset, kind))
    encoding, task = bundle.encoding, bundle.task
    p, y = bundle.outputs_encoded(encoding.transform(dataset))[0], encoding.encode_target(dataset.target)
    reference = reference_of(encoding, dataset, part_of(encoding, dataset), p, task)
    write_atomically(bundle.folder / REFERENCE, dumps(reference))
    if calibrated:
        of = calibrate(task, Answers(p, y), None, source="valid", alike=True)
        write_atomically(bundle.folder / CALIBRATION, of.to_json())
    write_meta(bundle.folder, task, {})
    return Bundle.load(bundle.folder)


def asked(bundle: Bundle, frame: pd.DataFrame) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Rows as a server gets them, and what the model says."""
    rows: Any = frame.to_dict("records")
    return rows, bundle.outputs_encoded(bundle.encoding.transform(bundle.encoding.dataset(rows)))
