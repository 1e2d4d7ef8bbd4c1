"""A predictor as an ONNX graph that answers what torch answers, for any number of rows."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from automl.deploy.examples import TOLERANCE
from automl.deploy.graph import answers
from automl.training.predictor import outputs
from automl.training.rows import as_tensor

if TYPE_CHECKING:
    import onnx_ir as ir  # it and onnxscript take most of a second: see ``load_exporter``

UNPACKS = "BitwiseAnd"
"""What weights that are kept as bits begin with: computed beforehand they would be floats in the file."""
ROWS = 96
"""Rows at most that are compared: a large network takes a second for so many long series, in torch and here again."""


class ExportMismatch(Exception):
    """The exported graph does not answer what the network answers: it must not be deployed."""


@dataclass(frozen=True)
class Agreement:
    """``max_difference`` between torch and ONNX over ``rows``; of values in units of the target's spread."""

    rows: int
    max_difference: float
    tolerance: float


class _Graph(nn.Module):
    """Any predictor as one that takes ``*inputs``, which is what the exporter has to be told the shapes of."""

    def __init__(self, predictor: nn.Module) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.predictor(*inputs)


def write_onnx(path: Path, predictor: nn.Module, names: Sequence[str], inputs: Sequence[np.ndarray]) -> Agreement:
    """Write the graph and check it. Every input's first axis is free; the outputs are named as the
    predictor says (``automl.training.predictor.Deployed``), or ``output``.

    ``inputs``: encoded rows, one array per name; they shape the graph and are what it is checked on (``ROWS`` of them,
    spread evenly). Weights lie inside the file. Raises ExportMismatch when the answers differ by more than
    ``TOLERANCE``, see ``compare``.
    """
    inputs = _spread(inputs)
    if not inputs or not len(inputs[0]):
        raise ValueError("an export needs rows to check the graph with")
    predictor.to("cpu").eval()
    # Two rows: a first axis of size 1 would be taken for a constant.
    example = tuple(as_tensor(np.concatenate([a[:1], a[-1:]])) for a in inputs)
    with _quiet():
        keep_operators()
        program = torch.onnx.export(
            _Graph(predictor).eval(),
            example,
            dynamo=True,
            input_names=list(names),
            output_names=list(getattr(predictor, "names", ("output",))),
            # One nested tuple, because the graph takes *inputs.
            dynamic_shapes=(tuple({0: "rows"} for _ in example),),
            verbose=False,
            optimize=False,
        )
        if program is None:
            raise ExportMismatch("the exporter returned no graph")
        _simplify(program.model)
    program.save(path, external_data=False)
    return compare(path, predictor, names, inputs)


def load_exporter() -> None:
    """Import what the first export imports: over a second, which a program can spend while it waits for something."""
    for name in (
        "torch._dynamo",
        "torch.onnx._internal.exporter._core",
        "torch.onnx._internal.exporter._compat",
        "torch.onnx._internal.exporter._torchlib.ops",
        "torch._functorch._aot_autograd.subclass_parametrization",
        "sympy.tensor.tensor",
        "torch.export._trace",
        "onnxscript.function_libs.torch_lib",
    ):
        with contextlib.suppress(ImportError):  # names inside of torch: another version may lack one
            importlib.import_module(name)
    keep_operators()


@functools.cache
def keep_operators() -> None:
    """Read the exporter's five hundred operators once: at every export it would parse their sources, half a second."""
    with contextlib.suppress(ImportError, AttributeError):  # names inside of torch, as above
        from torch.onnx._internal import _lazy_import

        apis: Any = _lazy_import.onnxscript_apis  # pyright: ignore[reportPrivateImportUsage]
        kept = tuple(apis.get_torchlib_ops())
        apis.get_torchlib_ops = lambda: kept


def compare(path: Path, predictor: nn.Module, names: Sequence[str], inputs: Sequence[np.ndarray]) -> Agreement:
    """Largest difference between the file's answers and the predictor's, for all rows at once and for a single one.

    Probabilities may differ by ``TOLERANCE``, and by less where a row's largest is below 0.1: among a thousand flat
    classes a ten-thousandth is another label. Values may differ by ``TOLERANCE`` spreads of the target
    (``predictor.unit``), or by four steps of float32 where they are that large. Raises ExportMismatch otherwise.
    """
    inputs = _spread(inputs)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    references = outputs(predictor, inputs)
    singles = session.run(None, {n: a[:1] for n, a in zip(names, inputs, strict=True)})
    wholes = answers(session, dict(zip(names, inputs, strict=True)), members=True)
    unit = float(getattr(predictor, "unit", 1.0))
    largest = float(np.abs(references[0]).max())
    difference, tolerance = 0.0, TOLERANCE
    for reference, whole, single in zip(references, wholes, singles, strict=True):
        answered = np.concatenate([whole, np.asarray(single)])
        expected = np.concatenate([reference, reference[:1]])
        if answered.shape != expected.shape:
            raise ExportMismatch(f"the graph answers with shape {answered.shape}, the network with {expected.shape}")
        gap = np.abs(answered - expected)
        if reference.ndim == 1:
            tolerance = max(TOLERANCE, 4 * float(np.finfo(np.float32).eps) * largest / unit)
        else:
            gap = gap / np.minimum(1.0, 10 * np.maximum(expected.max(axis=1, keepdims=True), 1e-12))
        difference = float(np.max([difference, gap.max() / unit]))  # NaN stays
    if not difference <= tolerance:  # NaN is a mismatch too
        raise ExportMismatch(
            f"the exported graph differs from the network by {difference:.3g} over {len(inputs[0])} rows, "
            f"{tolerance:.3g} is allowed; the model was not exported"
        )
    return Agreement(len(inputs[0]), difference, tolerance)


def check_rows(inputs: Sequence[np.ndarray], extremes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Rows to check a graph with: some of the inputs, and behind them all extremes, ``ROWS`` together."""
    some = _spread(inputs, ROWS - len(extremes[0]))
    return [np.concatenate(pair) for pair in zip(some, extremes, strict=True)]


def _simplify(model: ir.Model) -> None:
    """Constants computed and what is unused or said twice removed, in place.

    The exporter's own optimisation looks for some forty patterns at every node besides, which took half of the export
    of an ensemble; onnxruntime looks for the same when it loads the graph.
    """
    import onnx_ir as ir
    from onnx_ir.passes import common as common_passes
    from onnxscript import optimizer

    common_passes.InlinePass()(model)
    optimizer.fold_constants(model, should_fold=lambda node: False if node.op_type == UNPACKS else None)
    ir.passes.Sequential(
        common_passes.RemoveUnusedNodesPass(),
        common_passes.RemoveUnusedFunctionsPass(),
        common_passes.RemoveUnusedOpsetsPass(),
        common_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common_passes.DeduplicateInitializersPass(),
        common_passes.CommonSubexpressionEliminationPass(),
        common_passes.OutputFixPass(),
        common_passes.NameFixPass(),
        common_passes.ClearMetadataAndDocStringPass(),  # where in which file of this machine a node was made
    )(model)


def _spread(inputs: Sequence[np.ndarray], most: int = ROWS) -> list[np.ndarray]:
    rows = len(inputs[0]) if inputs else 0
    if rows <= most:
        return list(inputs)
    picked = np.linspace(0, rows - 1, most).astype(np.int64)
    return [a[picked] for a in inputs]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks from the user's terminal; its errors are raised anyway."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
