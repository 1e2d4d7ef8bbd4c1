"""Graphs are run over any number of rows."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from automl.deploy.graph import answers


@pytest.fixture
def session() -> onnxruntime.InferenceSession:
    """(rows, 4) -> (rows, 2, 2), by a node that cannot tell how many there are of none."""
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
        helper.make_node("Concat", ["rows", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "halves",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["rows", 2, 2])],
        [numpy_helper.from_array(np.array([2, -1]), "rest")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("rows", [0, 1, 1024, 3000])
def test_as_many_answers_as_rows(session: onnxruntime.InferenceSession, rows: int) -> None:
    x = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
    (told,) = answers(session, {"x": x})
    np.testing.assert_array_equal(told, x.reshape(rows, 2, 2))
