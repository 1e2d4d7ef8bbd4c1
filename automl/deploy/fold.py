"""raw.onnx: a table's raw columns -> answers, so that Java, C#, JavaScript and all else need onnxruntime and no code of
ours.

    why_not = fold(folder, encoding, task)     # "" when it was written beside model.onnx

Inputs are the columns the model reads, each (rows, 1) under its own name: numbers float64, NaN where missing;
categories string, "" where missing, without blanks at their ends; dates float64 seconds since 1970-01-01 UTC, NaN where
missing.
Outputs are ``probabilities`` (rows, classes) and ``label`` (rows,), or ``value`` (rows,); a column of that name gives
the output a "_" at its end. The model's metadata say all this as JSON: ``name``, ``columns``, ``outputs``,
``classes``, ``task``, ``target``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from onnx import ModelProto, TensorProto, ValueInfoProto, compose, helper

from automl.data.cells.words import text_of
from automl.data.columns import as_date, as_number
from automl.data.encode.category import MISSING, CategoryColumn
from automl.data.encode.dates import DateColumn
from automl.data.encode.encoding import Encoding
from automl.data.encode.number import NumberColumn
from automl.data.encode.rows import rows_to_dataset
from automl.data.encode.table import Column, TableEncoder
from automl.data.quality.parse import column_of, floats, is_numeric
from automl.data.step import Step
from automl.deploy.bundle import MODEL
from automl.deploy.graph import answers
from automl.deploy.nodes import ML, Graph, Value
from automl.deploy.operators import blanks, encode
from automl.files import write_atomically
from automl.types import Task

RAW = "raw.onnx"
TOLERANCE = 1e-5  # of probabilities, or of the span of values: by judgement, as both are answers of one graph
ROWS = 256
"""Made-up rows that are compared."""
ML_OPSET = 3  # strings to whole numbers are known since 2; what runs elsewhere need not be the newest
# By kind: the steps that change nothing for what raw.onnx is given (numbers, not their texts), or have operators.
_FOLDED = {
    NumberColumn: ("number", "seconds", "text", "placeholder", "finite", "bool", "blank", "clip"),
    CategoryColumn: ("text", "placeholder", "blank"),
    DateColumn: ("date", "text", "placeholder"),
}


def fold(
    folder: Path,
    encoding: Encoding,
    task: Task,
    decision: Sequence[float] | None = None,
    inner: onnxruntime.InferenceSession | None = None,
) -> str:
    """Write raw.onnx beside model.onnx, checked against it, and return ""; else say why there is none.

    ``decision``: weights of the classes (``Bundle.decision``). ``inner``: model.onnx, where it is loaded already. An
    older raw.onnx is removed in any case. Answers may differ by ``TOLERANCE`` (of values: of their span).
    """
    (folder / RAW).unlink(missing_ok=True)
    if reason := obstacle(encoding):
        return reason
    model = folded(onnx.load(folder / MODEL), encoding, task, decision).SerializeToString()
    if reason := _difference(inner or session_of((folder / MODEL).read_bytes()), model, encoding):
        return reason
    write_atomically(folder / RAW, model)
    return ""


def obstacle(encoding: Encoding) -> str:
    """Why an encoding cannot be told in standard operators; "" when it can."""
    for encoder in encoding.encoders:
        if not isinstance(encoder, TableEncoder):
            return f"{encoder.input.name} is {encoder.input.modality}, and only columns of a table can be folded"
    for column in columns_of(encoding):
        odd = [s.do for s in encoding.steps if s.column == column.name and s.do not in _FOLDED[type(column)]]
        if odd:
            return f"column {column.name!r} undergoes {odd[0]!r}, which has no standard operator"
        if isinstance(column, CategoryColumn) and {"", MISSING} <= set(column.categories):
            return f"column {column.name!r} holds empty texts beside missing ones, and a string tensor has one of them"
    return "" if all(c.name for c in columns_of(encoding)) else "a column has no name"


def folded(model: ModelProto, encoding: Encoding, task: Task, decision: Sequence[float] | None = None) -> ModelProto:
    """The graph of encoded columns with the encoding before it and the answers behind it."""
    columns = columns_of(encoding)
    names = {c.name for c in columns}
    stem = _free("level4/", lambda stem: any(name.startswith(stem) for name in names))
    inner = compose.add_prefix(model, stem)
    for node in inner.graph.node:  # where in which Python file it was made concerns nobody
        del node.metadata_props[:]
    before, behind = Graph(stem), Graph(f"{stem}answer/")
    encode(before, columns, encoding.steps, output=inner.graph.input[0].name)
    outputs = _answers(behind.value(inner.graph.output[0].name), encoding, names, decision)
    whole = helper.make_graph(
        [*before.nodes, *inner.graph.node, *behind.nodes],
        "level4",
        [_input(c, encoding.steps) for c in columns],
        outputs,
        [*before.constants, *inner.graph.initializer, *behind.constants],
        doc_string=f"{task.name}: raw columns to {encoding.target.name}",
    )
    opsets = [*(o for o in inner.opset_import if o.domain != ML), helper.make_opsetid(ML, ML_OPSET)]
    made = helper.make_model(
        whole, opset_imports=opsets, ir_version=inner.ir_version, functions=inner.functions, producer_name="level4"
    )
    facts = {
        "name": task.name,
        "columns": [c.field for c in columns],
        "outputs": [o.name for o in outputs],
        "classes": list(encoding.target.classes),
        "task": task.kind,
        "target": encoding.target.name,
    }
    helper.set_model_props(made, {k: json.dumps(v, ensure_ascii=False) for k, v in facts.items()})
    return made


def raw_inputs(encoding: Encoding, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """What raw.onnx takes for raw rows, by column: float64, or texts as objects, (rows, 1).

    Numbers and dates that stand as texts in ``rows`` are read as the bundle reads them.
    """
    read = rows_to_dataset(encoding.fields, rows, encoding.steps, encoding.columns, tell=False).table
    return _tensors(encoding, rows, read)


def _tensors(encoding: Encoding, rows: pd.DataFrame, read: pd.DataFrame) -> dict[str, np.ndarray]:
    """``read``: the rows as the bundle reads them."""
    return {c.name: _tensor(c, column_of(rows, c.name), column_of(read, c.name)) for c in columns_of(encoding)}


def _tensor(column: Column, given: pd.Series, read: pd.Series) -> np.ndarray:
    if isinstance(column, CategoryColumn):
        values = np.array(["" if pd.isna(v) else text_of(v) for v in given], dtype=object)
    elif isinstance(column, NumberColumn):
        values = floats(given) if is_numeric(given) else as_number(read)
    else:
        dates = as_date(read)
        values = np.where(np.isnat(dates), np.nan, dates.astype(np.float64))
    return values[:, None]


def columns_of(encoding: Encoding) -> Sequence[Column]:
    return [c for e in encoding.encoders if isinstance(e, TableEncoder) for c in e.columns]


def _free(name: str, taken: Callable[[str], bool]) -> str:
    while taken(name):
        name += "_"
    return name


def _input(column: Column, steps: Sequence[Step]) -> ValueInfoProto:
    said = {s.do: s.values for s in steps if s.column == column.name}
    if isinstance(column, CategoryColumn):
        names = [c for c in column.categories if c != MISSING]
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        text = f"text without blanks at its ends, empty where missing; one of: {shown}"
    elif isinstance(column, DateColumn):
        text = "seconds since 1970-01-01 UTC, NaN where missing"
    else:
        unit = "".join(map(str, said.get("number", ())[1:]))
        what = "1 for true, 0 for false" if "bool" in said else "seconds" if "seconds" in said else "number"
        text = f"{what}{f' in {unit}' if unit else ''}, NaN where missing"
    kind = TensorProto.STRING if isinstance(column, CategoryColumn) else TensorProto.DOUBLE
    return helper.make_tensor_value_info(column.name, kind, ["rows", 1], doc_string=text)


def _answers(
    out: Value, encoding: Encoding, taken: Collection[str], decision: Sequence[float] | None
) -> list[ValueInfoProto]:
    """Nodes behind the trained graph: the class's name; a value with the center that float32 cannot hold."""
    target, add = encoding.target, out.graph.add
    names = {n: _free(n, taken.__contains__) for n in ("probabilities", "label", "value")}
    if target.kind == "regression":
        if target.center:
            add("Add", out.cast(TensorProto.DOUBLE), target.center, output=names["value"])
        else:
            add("Identity", out, output=names["value"])
        kind = TensorProto.DOUBLE if target.center else TensorProto.FLOAT
        return [helper.make_tensor_value_info(names["value"], kind, ["rows"])]
    add("Identity", out, output=names["probabilities"])
    classes = np.array(target.classes, dtype=object)
    weighed = out if decision is None else add("Mul", out, np.array(decision, dtype=np.float32))
    add("Gather", classes, add("ArgMax", weighed, axis=1, keepdims=0), output=names["label"])
    shape = ["rows", len(target.classes)]
    return [
        helper.make_tensor_value_info(names["probabilities"], TensorProto.FLOAT, shape, doc_string="in order: classes"),
        helper.make_tensor_value_info(names["label"], TensorProto.STRING, ["rows"]),
    ]


def _difference(inner: onnxruntime.InferenceSession, model: bytes, encoding: Encoding) -> str:
    """What is wrong with the folded graph, on made-up rows; "" when it answers as the bundle does."""
    rows = made_up(encoding)
    dataset = rows_to_dataset(encoding.fields, rows, encoding.steps, tell=False)
    expected = answers(inner, {inner.get_inputs()[0].name: encoding.transform(dataset)[0]})[0]
    if encoding.target.kind == "regression":
        expected = encoding.decode(expected)
    try:
        got = np.asarray(session_of(model).run(None, _tensors(encoding, rows, dataset.table))[0])
    except Exception as error:  # whatever the runtime cannot do with it must not cost the bundle
        return f"onnxruntime does not run the folded graph: {error}"
    gap, allowed = float(np.abs(got - expected).max()), tolerance(expected)
    return "" if gap <= allowed else f"the folded graph differs from the bundle by {gap:.3g}, {allowed:.3g} is allowed"


def session_of(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def tolerance(expected: np.ndarray) -> float:
    """How far answers may differ: probabilities (rows, classes) by 1e-5, values (rows,) by that share of their span,
    or by four steps of float32 where they are that large.
    """
    if expected.ndim == 2:
        return TOLERANCE
    rounding = 4 * float(np.finfo(np.float32).eps) * float(np.abs(expected).max())
    return max(TOLERANCE * float(np.ptp(expected)), rounding)


def made_up(encoding: Encoding) -> pd.DataFrame:
    """``ROWS`` raw rows of all that a column may hold, and of what it never did."""
    rng = np.random.default_rng(0)
    return pd.DataFrame({c.name: _cells(c, encoding.steps, rng) for c in columns_of(encoding)})


def _cells(column: Column, steps: Sequence[Step], rng: np.random.Generator) -> pd.Series:
    if isinstance(column, CategoryColumn):
        words = [c for c in column.categories if c != MISSING]
        odd = [None, "never seen", *itertools.islice(sorted(blanks(column, steps)), 20)]
        return pd.Series(rng.choice(np.array([*words, *odd, *odd], dtype=object), ROWS), dtype=object)
    share = rng.random(ROWS)
    if isinstance(column, DateColumn):
        seconds = column.center + 8 * (share - 0.5) * column.scale
        odd = [-9e9, 9e9, 0.0, np.nan]
    else:
        seconds = share * column.low + (1 - share) * column.high
        said = [v for s in steps if s.column == column.name for v in s.values if isinstance(v, (int, float))]
        odd = [np.nan, np.inf, -np.inf, 1e300, -1e300, column.low, column.high, 0.0, 1.0]
        odd += [*column.codes, *column.knots[::16], *map(float, said)]
    values = np.where(rng.random(ROWS) < 0.5, seconds, rng.choice(odd, ROWS))
    if isinstance(column, NumberColumn):
        return pd.Series(values)
    return pd.Series(pd.to_datetime(np.where(np.isnan(values), np.nan, np.floor(values)), unit="s"))
