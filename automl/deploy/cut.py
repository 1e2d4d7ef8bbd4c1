"""An ensemble of fewer members, cut out of the graph of all of them: no network and no export is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.utils import Extractor

from automl.deploy.names import MEMBER
from automl.metrics import SMALLEST
from automl.training.ensemble import blend
from automl.uncertainty.calibrate import tempered


def cut(
    model: onnx.ModelProto, weights: Sequence[float], temperature: float, *, values: bool, told: bool = False
) -> onnx.ModelProto:
    """The graph of the first ``len(weights)`` members of ``model``, which answers what their ``Deployed`` does.

    ``model``: of ``automl.deploy.onnx``, which is left as it is. ``weights``: of the members that are kept.
    ``values``: whether they answer values, and not probabilities. ``told``: whether what each of several says stays an
    output, so that fewer can be cut out of this one. All inputs stay, also one that no member reads.
    Raises ValueError for more members than there are.
    """
    outputs = {o.name: o for o in model.graph.output}
    kept = [f"{MEMBER}{i}" for i in range(len(weights))]
    if len(weights) == 1 and kept[0] not in outputs:
        return model
    if not weights or not set(kept) <= outputs.keys():
        raise ValueError(f"the graph has no {len(weights)} members")
    part = Extractor(model).extract_model([i.name for i in model.graph.input], kept)
    nodes = _Nodes(part.graph)
    total = sum(weights)
    shares = [w / total for w in weights]
    mean = nodes.mean(kept, shares)
    names = [nodes.named("output", mean if values or temperature == 1 else nodes.tempered(mean, temperature))]
    if values and len(kept) > 1:
        # In double: squares of values are too large or too small for float32 where their unit is.
        gaps = [nodes.add("Cast", nodes.add("Sub", one, mean), to=TensorProto.DOUBLE) for one in kept]
        squares = [nodes.add("Mul", gap, gap) for gap in gaps]
        spread = nodes.add("Sqrt", nodes.mean(squares, shares, np.float64))
        names.append(nodes.named("spread", nodes.add("Cast", spread, to=TensorProto.FLOAT)))
    like = part.graph.output[0]
    del part.graph.output[:]
    for name in [*names, *(kept if told and len(kept) > 1 else ())]:
        info = onnx.ValueInfoProto()
        info.CopyFrom(like)
        info.name = name
        part.graph.output.append(info)
    return part


def together(
    said: Sequence[np.ndarray], weights: Sequence[float], temperature: float, *, values: bool
) -> list[np.ndarray]:
    """The same of what each member said: the output, and of several members of values their spread; float64."""
    mean = blend(said, weights)
    if not values:
        return [tempered(mean, temperature)]
    if len(said) == 1:
        return [mean]
    return [mean, np.sqrt(blend([(one - mean) ** 2 for one in said], weights))]


class _Nodes:
    """Adds nodes and constants to a graph, under names of their own."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph, self.count = graph, 0

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        return self.named(self._name(), *inputs, op=op, **attributes)

    def named(self, output: str, *inputs: str, op: str = "Identity", **attributes: Any) -> str:
        self.graph.node.append(helper.make_node(op, inputs, [output], name=f"node_{output}", **attributes))
        return output

    def constant(self, value: float, dtype: Any = np.float32) -> str:
        name = self._name()
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def mean(self, each: Sequence[str], shares: Sequence[float], dtype: Any = np.float32) -> str:
        if len(each) == 1:
            return each[0]
        parts = [self.add("Mul", one, self.constant(w, dtype)) for one, w in zip(each, shares, strict=True)]
        total = parts[0]
        for part in parts[1:]:
            total = self.add("Add", total, part)
        return total

    def tempered(self, p: str, temperature: float) -> str:
        logs = self.add("Log", self.add("Clip", p, self.constant(SMALLEST)))
        return self.add("Softmax", self.add("Div", logs, self.constant(temperature)), axis=-1)

    def _name(self) -> str:
        self.count += 1
        return f"cut_{self.count}"
