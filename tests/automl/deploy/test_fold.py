"""raw.onnx answers what the bundle answers, or is not written."""

from __future__ import annotations

import dataclasses
import json
import string
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from automl.data.dataset import Dataset
from automl.data.encode.encoding import Encoding
from automl.data.encode.target import TargetEncoder
from automl.data.step import Step
from automl.deploy import operators
from automl.deploy.bundle import Bundle
from automl.deploy.export import export, write_meta
from automl.deploy.fold import RAW, fold, folded, obstacle, raw_inputs, tolerance
from automl.types import Kind, Task
from tests.automl.deploy.test_bundle import made

ROWS = 200


def trained(columns: int, outputs: int, values: bool) -> onnx.ModelProto:
    """A graph like that of a bundle: encoded columns -> probabilities or values, with weights drawn at random."""
    weights = np.random.default_rng(1).normal(size=(columns, outputs)).astype(np.float32)
    last = helper.make_node("Squeeze", ["linear", "axes"], ["output"]) if values else None
    nodes = [
        helper.make_node("MatMul", ["input_0", "weights"], ["linear"]),
        last or helper.make_node("Softmax", ["linear"], ["output"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "trained",
        [helper.make_tensor_value_info("input_0", TensorProto.FLOAT, ["rows", columns])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["rows"] if values else ["rows", outputs])],
        [numpy_helper.from_array(weights, "weights"), *([numpy_helper.from_array(np.array([1]), "axes")] * values)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def bundle_of(
    folder: Path, table: pd.DataFrame, kind: Kind = "multiclass", steps: tuple[Step, ...] = (), read=None, shift=0.0
) -> Bundle:
    """A bundle for a table. ``read``: the table after the steps, which the encoding learns from."""
    values = np.arange(len(table))
    target = pd.Series(shift + values % 7 if kind == "regression" else values % 3, name="goal")
    dataset = Dataset("toy", table if read is None else read, target)
    encoding = Encoding.fit(dataset, values, kind=kind, steps=steps, columns=list(table))
    classes = encoding.target.classes
    task = Task("toy", kind, encoding.inputs, len(classes) or 1, "r2" if not classes else "accuracy", classes=classes)
    onnx.save(trained(encoding.inputs[0].shape[0], len(classes) or 1, not classes), folder / "model.onnx")
    encoding.save(folder)
    write_meta(folder, task, {})
    return Bundle.load(folder)


def mixed(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """A column of every kind that an encoding knows."""
    rng = np.random.default_rng(seed)
    gaps = rng.random(rows) < 0.2
    return pd.DataFrame(
        {
            "plain": rng.normal(5, 2, rows),
            "with gaps": np.where(gaps, np.nan, rng.normal(size=rows)),
            "heavy": np.exp(rng.normal(0, 3, rows)),
            "heavier": np.exp(rng.normal(0, 5, rows)).round(1),
            "few": rng.integers(0, 5, rows),
            "constant with gaps": np.where(gaps, np.nan, 1.0),
            "two": rng.choice(["x", "y"], rows),
            "many": rng.choice(list(string.ascii_lowercase), rows),
            "words with gaps": np.where(gaps, None, rng.choice(["north", "süd"], rows)),
            "day": pd.Timestamp("2020-02-27") + pd.to_timedelta(rng.integers(0, 10**8, rows), unit="s"),
            "day with gaps": pd.Series(pd.to_datetime(rng.integers(0, 10**5, rows), unit="s")).mask(gaps),
        }
    )


def run(folder: Path, bundle: Bundle, rows: pd.DataFrame) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(folder / RAW, providers=["CPUExecutionProvider"])
    return [np.asarray(out) for out in session.run(None, raw_inputs(bundle.encoding, rows))]


def test_classes_of_a_table_of_all_kinds(tmp_path):
    bundle = bundle_of(tmp_path, mixed())
    assert fold(tmp_path, bundle.encoding, bundle.task) == ""
    new = mixed(300, seed=1)
    probabilities, label = run(tmp_path, bundle, new)
    np.testing.assert_allclose(probabilities, bundle.predict_proba(new), atol=1e-6)
    np.testing.assert_array_equal(label, bundle.predict(new))
    model = onnx.load(tmp_path / RAW)
    onnx.checker.check_model(model, full_check=True)
    facts = {p.key: json.loads(p.value) for p in model.metadata_props}
    assert [i.name for i in model.graph.input] == [c["name"] for c in facts["columns"]] == list(new)
    assert [o.name for o in model.graph.output] == facts["outputs"] == ["probabilities", "label"]
    assert facts["classes"] == ["0", "1", "2"]
    said = {i.name: i.doc_string for i in model.graph.input}
    assert said["two"].endswith("one of: y, x")
    assert said["day"].startswith("seconds since 1970")
    assert {o.domain for o in model.opset_import} == {"", "ai.onnx.ml"}


@pytest.mark.parametrize("shift", [0.0, 1.7e12])
def test_values_and_their_center(tmp_path, shift):
    bundle = bundle_of(tmp_path, mixed(), "regression", shift=shift)
    assert bool(bundle.encoding.target.center) == bool(shift)
    assert fold(tmp_path, bundle.encoding, bundle.task) == ""
    new = mixed(50, seed=1)
    (values,) = run(tmp_path, bundle, new)
    assert values.shape == (50,)
    np.testing.assert_allclose(values, bundle.predict(new), atol=1e-5)


def test_what_torch_exports_is_folded(tmp_path):
    task, encoding, predictor, inputs, dataset = made("binary")
    folder = export(tmp_path / "bundle", predictor, task, encoding, inputs)
    assert fold(folder, encoding, task) == ""
    bundle = Bundle.load(folder)
    probabilities, label = run(folder, bundle, dataset.table)
    np.testing.assert_allclose(probabilities, bundle.predict_proba(dataset.table), atol=1e-6)
    np.testing.assert_array_equal(label, bundle.predict(dataset.table))
    assert b"site-packages" not in (folder / RAW).read_bytes(), "it tells where it was made"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """raw.onnx of a graph that answers the encoded columns themselves, and its encoding."""
    encoding = bundle_of(tmp_path_factory.mktemp("mirror"), mixed()).encoding
    columns = encoding.inputs[0].shape[0]
    classes = tuple(f"class {i}" for i in range(columns))
    encoding = dataclasses.replace(encoding, target=TargetEncoder("goal", "multiclass", classes))
    shape = ["rows", columns]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input_0"], ["output"])],
        "mirror",
        [helper.make_tensor_value_info("input_0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    task = Task("mirror", "multiclass", encoding.inputs, columns, "accuracy", classes=classes)
    raw = folded(model, encoding, task).SerializeToString()
    return encoding, onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])


numbers = st.floats(width=64) | st.sampled_from([0.0, -0.0, 1.0, 4.0, 1e-320])
words = st.sampled_from(["x", "y", "m", "north", "süd", ""]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4
)
moments = st.none() | st.datetimes()
CELLS = {"two": words, "many": words, "words with gaps": words, "day": moments, "day with gaps": moments}


@given(st.lists(st.fixed_dictionaries({n: CELLS.get(n, numbers) for n in mixed(1)}), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_any_cells_are_encoded_alike(mirror, rows):
    encoding, session = mirror
    frame = pd.DataFrame(rows)
    for name, cells in CELLS.items():
        if cells is moments:
            frame[name] = np.array([r[name] for r in rows], dtype="datetime64[s]")
        else:
            frame[name] = pd.Series([r[name].strip() or None for r in rows], dtype=object)
    expected = encoding.transform(encoding.dataset(frame))[0]
    (got, _) = session.run(None, raw_inputs(encoding, frame))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "a[0].b/c",
        "größe",
        "数",
        "label",
        "probabilities",
        "input_0",
        "output",
        "level4/",
        "level4/value_1",
        "'\"\\",
    ],
)
def test_any_name_of_a_column_is_its_inputs(tmp_path, name):
    table = mixed()[["plain", "two"]].rename(columns={"plain": name, "two": f"{name}_"})
    bundle = bundle_of(tmp_path, table)
    assert fold(tmp_path, bundle.encoding, bundle.task) == ""
    session = onnxruntime.InferenceSession(tmp_path / RAW)
    assert [i.name for i in session.get_inputs()] == [name, f"{name}_"]
    outputs = [o.name for o in session.get_outputs()]
    assert len({name, f"{name}_", *outputs}) == 4
    assert json.loads(session.get_modelmeta().custom_metadata_map["outputs"]) == outputs
    np.testing.assert_allclose(run(tmp_path, bundle, table)[0], bundle.predict_proba(table), atol=1e-6)


def test_steps_on_numbers_and_words(tmp_path):
    raw = mixed()[["plain", "heavy", "with gaps", "two", "words with gaps"]]
    raw["yes"] = np.random.default_rng(2).choice(["true", "False"], ROWS)
    raw["price"] = [f"{v:.2f} €" for v in raw["plain"]]
    raw.loc[:9, "plain"], raw.loc[:9, "two"] = -999.0, "N/a"
    steps = (
        Step("blank", "plain", (-999, "none")),
        Step("clip", "heavy", (0.5, 20.0)),
        Step("finite", "with gaps"),
        Step("placeholder", "two"),
        Step("blank", "words with gaps", ("north",)),
        Step("bool", "yes"),
        Step("number", "price", (".", "€")),
        Step("drop", "unused"),
    )
    read = raw.assign(
        plain=raw["plain"].mask(raw["plain"] == -999),
        heavy=raw["heavy"].clip(0.5, 20.0),
        two=raw["two"].mask(raw["two"] == "N/a"),
        **{"words with gaps": raw["words with gaps"].mask(raw["words with gaps"] == "north")},
        yes=(raw["yes"] == "true").astype(float),
        price=raw["plain"].round(2),
    )
    bundle = bundle_of(tmp_path, raw, steps=steps, read=read)
    assert fold(tmp_path, bundle.encoding, bundle.task) == ""
    np.testing.assert_allclose(run(tmp_path, bundle, raw)[0], bundle.predict_proba(raw), atol=1e-6)
    odd = pd.DataFrame(
        {
            "plain": [-999.0, np.nan, 5.0],
            "heavy": [np.inf, 0.1, 1e9],
            "with gaps": [-np.inf, 0.0, 1e300],
            "two": ["#REF!", "x", "nAn"],
            "words with gaps": ["north", "süd", None],
            "yes": [1.0, 0.5, 0.0],
            "price": [3.0, np.nan, 1e9],
        }
    )
    probabilities = run(tmp_path, bundle, odd)[0]
    np.testing.assert_allclose(probabilities, bundle.predict_proba(odd), atol=1e-6)
    docs = {i.name: i.doc_string for i in onnx.load(tmp_path / RAW).graph.input}
    assert docs["yes"].startswith("1 for true") and docs["price"].startswith("number in €")


def test_what_cannot_be_folded_is_told(tmp_path):
    table = mixed()[["plain", "two"]]
    bundle = bundle_of(tmp_path, table)
    (tmp_path / RAW).write_text("from before")
    spelt = dataclasses.replace(bundle.encoding, steps=(Step("fold", "two", ("x",)),))
    assert fold(tmp_path, spelt, bundle.task) == "column 'two' undergoes 'fold', which has no standard operator"
    assert not (tmp_path / RAW).exists()
    story = table.assign(story=[f"a story of words {i} and {i % 7} more" for i in range(ROWS)])
    texts = Encoding.fit(Dataset("t", story, pd.Series(np.arange(ROWS) % 2, name="t")), np.arange(ROWS), kind="binary")
    assert obstacle(texts) == "story is text, and only columns of a table can be folded"
    empty = bundle_of(tmp_path, pd.DataFrame({"a": ["", None, "x", "y"] * 10})).encoding
    assert "empty texts" in obstacle(empty)


def test_a_graph_that_differs_is_not_kept(tmp_path, monkeypatch):
    bundle = bundle_of(tmp_path, mixed())
    (tmp_path / RAW).write_text("from before")
    monkeypatch.setattr(operators, "FIRST_OF_MARCH", operators.FIRST_OF_MARCH + 1)
    assert "differs from the bundle by" in fold(tmp_path, bundle.encoding, bundle.task)
    assert not (tmp_path / RAW).exists()
    monkeypatch.setattr(operators, "ML", "no.such.domain")
    assert "onnxruntime does not run" in fold(tmp_path, bundle.encoding, bundle.task)


def test_large_values_may_differ_by_what_float32_cannot_hold():
    assert tolerance(np.array([0.0, 1.0], dtype=np.float32)) == 1e-5
    assert tolerance(np.array([1e9, 1e9 + 1])) > 100
    assert tolerance(np.array([[0.5, 0.5]])) == 1e-5
