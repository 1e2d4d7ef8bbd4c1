"""Bundles in milliseconds: real encodings, and a graph of random weights that was not exported from torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper

from automl.data.dataset import Dataset
from automl.data.encode import Encoding
from automl.deploy.bundle import CALIBRATION, MODEL, Bundle
from automl.deploy.export import write_meta
from automl.types import Input, Task
from automl.uncertainty.calibrate import Answers, calibrate

_TYPES = {"image": TensorProto.UINT8, "text": TensorProto.INT32}


def bundle_of(folder: Path, dataset: Dataset, kind: Any) -> Path:
    """A bundle whose answers depend on all inputs."""
    encoding = Encoding.fit(dataset, np.arange(len(dataset)), kind=kind, steps=dataset.steps)
    classes = encoding.target.classes
    task = Task("toy", kind, encoding.inputs, len(classes) or 1, "r2" if not classes else "accuracy", classes=classes)
    folder.mkdir(parents=True)
    (folder / MODEL).write_bytes(graph(task.inputs, len(classes)).SerializeToString())
    encoding.save(folder)
    write_meta(folder, task, {})
    return folder


def calibrated(folder: Path, frame: pd.DataFrame, kind: Any, target: str) -> Path:
    """One that knows how sure it is, and that decides for the rare class sooner."""
    dataset = Dataset("toy", frame.drop(columns=target), frame[target].rename("y"))
    rows = dataset.target.notna().to_numpy()
    dataset = Dataset("toy", dataset.table[rows].reset_index(drop=True), dataset.target[rows].reset_index(drop=True))
    bundle = Bundle.load(bundle_of(folder, dataset, kind))
    p, y = bundle.answer(dataset.table), bundle.encoding.encode_target(dataset.target)
    known = Answers(p.prediction if p.probabilities is None else p.probabilities, y)
    of = calibrate(bundle.task, known, None, source="valid", alike=True)
    (folder / CALIBRATION).write_text(of.to_json())
    write_meta(folder, bundle.task, {} if p.probabilities is None else {"decision": [0.2, 1.0, 1.0]})
    return folder


def graph(inputs: tuple[Input, ...], classes: int) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    nodes, sums, weights = [], [], []
    for i, one in enumerate(inputs):
        width = int(np.prod(one.shape))
        scale = {"image": 255.0, "text": 1e6}.get(one.modality, 1.0) * np.sqrt(width) / 3
        values = rng.normal(size=(width, classes or 1)) / scale
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{i}"))
        nodes += [
            helper.make_node("Cast", [f"input_{i}"], [f"f{i}"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", [f"f{i}"], [f"r{i}"]),
            helper.make_node("MatMul", [f"r{i}", f"w{i}"], [f"s{i}"]),
        ]
        sums.append(f"s{i}")
    nodes.append(helper.make_node("Sum", sums, ["total"]))
    if classes:
        nodes.append(helper.make_node("Softmax", ["total"], ["output"], axis=1))
    else:
        weights.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
        nodes.append(helper.make_node("Squeeze", ["total", "axis"], ["output"]))
    given = [
        helper.make_tensor_value_info(f"input_{i}", _TYPES.get(one.modality, TensorProto.FLOAT), ["rows", *one.shape])
        for i, one in enumerate(inputs)
    ]
    shape = ["rows", classes] if classes else ["rows"]
    out = helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)
    model = helper.make_model(
        helper.make_graph(nodes, "toy", given, [out], weights), opset_imports=[helper.make_opsetid("", 18)]
    )
    model.ir_version = 10
    return model


def people(rows: int, seed: int = 0) -> pd.DataFrame:
    """Numbers with gaps, whole numbers, words (some with commas and line ends), dates, and a class."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "height": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(170, 10, rows).round(3)),
            "children": rng.integers(0, 5, rows),
            "city": rng.choice(["Rome", "Köln", 'New York, "NY"', "line\nend"], rows),
            "joined": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), unit="D"),
            "size": rng.choice(["small", "large", "middle"], rows),
        }
    )
