"""A graph whose layers are computed in 8 bits: smaller, and on some processors and layers faster.

Only layers with weights are: matrix products and, with ranges that are known before, convolutions (for those of ranges
found anew onnxruntime has no fast kernel). All else stays as it is, so that a temperature or an average is exact.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

DYNAMIC, STATIC = "int8-dynamic", "int8-static"
"""Ranges of what comes into a layer: found anew for the rows that are asked together, so that what is answered for one
depends a little on the others; or fixed, from some rows."""
ROWS, AT_ONCE = 256, 32  # by judgement: a range of too few rows cuts what comes later, more take memory and time
_PRODUCTS = ["MatMul", "Gemm"]


def quantise(source: Path, target: Path, precision: str, rows: Mapping[str, np.ndarray], *, reduce_range: bool) -> None:
    """Write the graph ``source`` in 8 bits to ``target``.

    ``rows``: encoded ones by the graph's input, which give the ranges of ``STATIC``; ``ROWS`` of them are taken.
    ``reduce_range``: weights of 7 bits, where sums of products of 8 would overflow. Raises ValueError for a graph
    without such layers, and whatever onnxruntime does.
    """
    with tempfile.TemporaryDirectory() as drafts, _quiet():
        plain, ready = Path(drafts) / "plain.onnx", Path(drafts) / "ready.onnx"
        graph = onnx.load(source)
        del graph.graph.value_info[:]  # the exporter tells shapes of weights, which are transposed on the way
        onnx.save(graph, plain)
        # Symbolic inference reads the exporter's Shape nodes wrongly.
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        if precision == DYNAMIC:
            quantize_dynamic(
                *(ready, target, _PRODUCTS),
                per_channel=True,
                reduce_range=reduce_range,
                weight_type=QuantType.QInt8,
            )
        else:
            quantize_static(
                *(ready, target, _Some(rows)),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv", *_PRODUCTS],
                per_channel=True,
                reduce_range=reduce_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},  # products of two inputs, as in attention, have no weights
            )
    if not any(node.op_type.endswith("QuantizeLinear") for node in onnx.load(target).graph.node):
        raise ValueError("no layer of it can be computed in 8 bits")


class _Some(CalibrationDataReader):
    """Rows, some at a time, evenly spread."""

    def __init__(self, rows: Mapping[str, np.ndarray]) -> None:
        count = len(next(iter(rows.values())))
        picked = np.linspace(0, count - 1, min(count, ROWS)).astype(np.int64)
        self.parts = iter([picked[at : at + AT_ONCE] for at in range(0, len(picked), AT_ONCE)])
        self.rows = rows

    def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        part = next(self.parts, None)
        return None if part is None else {name: array[part] for name, array in self.rows.items()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime's advice from the user's terminal; its errors are raised anyway."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
