"""ONNX nodes written like arithmetic.

graph = Graph("level4/")
z = (graph.value("age") - 40.0) / 12.0     # the nodes and constants are in graph.nodes, graph.constants
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"


@dataclass
class Graph:
    """Nodes and constants so far; the names of all values inside begin with ``stem``."""

    stem: str
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def value(self, name: str) -> Value:
        return Value(self, name)

    def constant(self, array: object) -> Value:
        """Floats as float64, whole numbers as int64, texts as strings; arrays of other types as they are."""
        name = f"{self.stem}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return Value(self, name)

    def add(self, op: str, *inputs: object, output: str = "", domain: str = "", **attributes: Any) -> Value:
        """One node. ``inputs``: values, or what becomes a constant."""
        name = output or f"{self.stem}value_{len(self.nodes)}"
        inward = [(i if isinstance(i, Value) else self.constant(i)).name for i in inputs]
        self.nodes.append(helper.make_node(op, inward, [name], name, domain=domain, **attributes))
        return Value(self, name)


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor in a graph. The other operand may be a number or an array, of the same type."""

    graph: Graph
    name: str

    def __add__(self, other: object) -> Value:
        return self.graph.add("Add", self, other)

    def __sub__(self, other: object) -> Value:
        return self.graph.add("Sub", self, other)

    def __mul__(self, other: object) -> Value:
        return self.graph.add("Mul", self, other)

    def __truediv__(self, other: object) -> Value:
        return self.graph.add("Div", self, other)

    def __ge__(self, other: object) -> Value:
        return self.graph.add("GreaterOrEqual", self, other)

    def __gt__(self, other: object) -> Value:
        return self.graph.add("Greater", self, other)

    def __lt__(self, other: object) -> Value:
        return self.graph.add("Less", self, other)

    def __or__(self, other: object) -> Value:
        return self.graph.add("Or", self, other)

    def floor(self) -> Value:
        return self.graph.add("Floor", self)

    def cast(self, to: int) -> Value:
        return self.graph.add("Cast", self, to=to)

    def equals(self, other: object) -> Value:
        return self.graph.add("Equal", self, other)

    def where(self, condition: Value, other: object) -> Value:
        """``other`` where the condition holds, else this."""
        return self.graph.add("Where", condition, other, self)

    def between(self, low: float, high: float) -> Value:
        return self.graph.add("Clip", self, low, high)

    def pick(self, columns: object) -> Value:
        """Columns by position."""
        return self.graph.add("Gather", self, np.asarray(columns, dtype=np.int64), axis=1)

    def missing(self) -> Value:
        """Where a number is none; infinity is none either."""
        return self.graph.add("IsNaN", self) | self.graph.add("IsInf", self)
