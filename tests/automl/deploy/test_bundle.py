"""Bundles answer what the networks answer, or are not made."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from automl.data.dataset import Dataset
from automl.data.encode.encoding import Encoding
from automl.deploy import onnx as graph
from automl.deploy.bundle import Bundle, digest_of
from automl.deploy.explain import write_background
from automl.deploy.export import export, write_meta
from automl.deploy.onnx import ExportMismatch, compare, write_onnx
from automl.errors import UserError
from automl.training.predictor import Deployed, EnsemblePredictor, Predictor, outputs, predict
from automl.types import Input, Task
from automl.uncertainty.calibrate import Answers, calibrate, sure_of
from automl.version import package_version

RUNTIME = f"level4_runtime-{package_version()}-py3-none-any.whl"


def table(kind: str, rows: int = 60) -> Dataset:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(5, 2, rows), "c": rng.choice(["x", "y"], rows)})
    target = pd.Series(frame["a"] * 100 + 5000 if kind == "regression" else np.where(frame["a"] > 0, "yes", "no"))
    return Dataset("toy", frame, target.rename("goal"))


def made(kind: str) -> tuple[Task, Encoding, nn.Module, tuple[np.ndarray, ...], Dataset]:
    """Task, encoding, an ensemble of two untrained networks, encoded rows and the raw data."""
    dataset = table(kind)
    encoding = Encoding.fit(dataset, np.arange(len(dataset)), kind=kind)  # type: ignore[arg-type]
    outputs = 1 if kind == "regression" else 2
    classes = () if kind == "regression" else ("no", "yes")
    metric = "r2" if kind == "regression" else "accuracy"
    task = Task("toy", kind, encoding.inputs, outputs, metric, classes=classes)  # type: ignore[arg-type]
    columns = encoding.inputs[0].shape[0]
    torch.manual_seed(0)
    members = [
        Predictor(nn.Sequential(nn.Linear(columns, 8), nn.ReLU(), nn.Linear(8, outputs)), task, 5000.0, 100.0)
        if kind == "regression"
        else Predictor(nn.Sequential(nn.Linear(columns, 8), nn.ReLU(), nn.Linear(8, outputs)), task)
        for _ in range(2)
    ]
    return task, encoding, EnsemblePredictor(members, [2, 1]), encoding.transform(dataset), dataset


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    task, encoding, predictor, inputs, dataset = made("binary")
    folder = export(tmp_path_factory.mktemp("b") / "bundle", predictor, task, encoding, inputs, {"note": "toy"})
    return folder, task, predictor, inputs, dataset


def test_it_answers_what_torch_answers(binary):
    folder, task, predictor, inputs, _ = binary
    bundle = Bundle.load(folder)
    assert bundle.task == task
    answers = bundle.predict_encoded(inputs)
    np.testing.assert_allclose(answers, predict(predictor, inputs), atol=1e-5)
    np.testing.assert_allclose(bundle.predict_encoded([a[:1] for a in inputs]), answers[:1], atol=1e-5)
    assert bundle.predict_encoded([a[:0] for a in inputs]).shape == (0, 2)


def test_raw_rows_in_every_form(binary):
    folder, _, predictor, inputs, dataset = binary
    bundle = Bundle.load(folder)
    expected = np.array(["no", "yes"], dtype=object)[predict(predictor, inputs).argmax(1)]
    np.testing.assert_array_equal(bundle.predict(dataset.table), expected)
    np.testing.assert_array_equal(bundle.predict(dataset.table.to_dict("records")), expected)
    fields = [f["name"] for f in bundle.encoding.fields]
    np.testing.assert_array_equal(bundle.predict(dataset.table[fields].to_numpy()), expected)
    np.testing.assert_allclose(bundle.predict_proba(dataset.table).sum(1), 1, rtol=1e-5)
    with pytest.raises(UserError, match="does not fit"):
        bundle.predict(np.zeros((4, 9)))


def test_what_meta_says(binary):
    folder, _, predictor, inputs, _ = binary
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["task"]["classes"] == ["no", "yes"]
    assert meta["agreement"]["rows"] == len(inputs[0]) + 3, "and rows of extremes"
    assert 0 <= meta["agreement"]["max_difference"] <= meta["agreement"]["tolerance"] == 1e-4
    assert meta["parameters"] == sum(t.numel() for t in predictor.state_dict().values())
    assert meta["note"] == "toy"
    assert set(meta["files"]) == {p.name for p in folder.iterdir() if p.suffix != ".whl"} - {"meta.json"}
    assert meta["versions"]["torch"] == torch.__version__.split("+")[0]


def test_predicting_needs_no_torch(binary):
    folder, _, predictor, inputs, dataset = binary
    code = (
        "import sys, json, numpy as np; from automl.deploy.bundle import Bundle\n"
        "p = Bundle.load(sys.argv[1]).predict_proba(json.loads(sys.argv[2]))\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        "print(json.dumps(p.tolist()))"
    )
    rows = dataset.table.iloc[:3].to_json(orient="records")
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(rows)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), predict(predictor, [a[:3] for a in inputs]), atol=1e-5)


def test_values_in_their_own_unit_and_an_old_bundle_replaced(tmp_path, capfd):
    task, encoding, predictor, inputs, dataset = made("regression")
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    capfd.readouterr()
    export(folder, predictor, task, encoding, inputs)
    assert capfd.readouterr() == ("", ""), "the exporter talks"
    assert not (folder / "old.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
    bundle = Bundle.load(folder)
    values = bundle.predict(dataset.table)
    assert values.shape == (60,)
    np.testing.assert_allclose(values, predict(predictor, inputs), rtol=1e-6)
    with pytest.raises(UserError, match="regression"):
        bundle.predict_proba(dataset.table)


@pytest.mark.parametrize("name", ["table", "output"])
def test_the_users_names_are_not_the_graphs(tmp_path, name):
    """A text column of any name beside plain ones."""
    words = np.random.default_rng(0).choice(["red", "blue", "small", "large", "round"], (40, 5))
    frame = pd.DataFrame({"size": np.arange(40.0), name: [" ".join(w) + f" {i}" for i, w in enumerate(words)]})
    dataset = Dataset("toy", frame, pd.Series(["no", "yes"] * 20, name="goal"))
    encoding = Encoding.fit(dataset, np.arange(40), kind="binary")
    task = Task("toy", "binary", encoding.inputs, 2, "accuracy", classes=("no", "yes"))
    assert [i.name for i in task.inputs] == ["table", name]
    predictor, inputs = Predictor(Bag(task.inputs[1]), task), encoding.transform(dataset)
    folder = export(tmp_path / "bundle", predictor, task, encoding, inputs)
    bundle = Bundle.load(folder)
    assert [i.name for i in bundle.session.get_inputs()] == ["input_0", "input_1"]
    assert [o.name for o in bundle.session.get_outputs()] == ["output"]
    np.testing.assert_allclose(bundle.predict_proba(frame), predict(predictor, inputs), atol=1e-5)


class Bag(nn.Module):
    """Words, and what else there is before them."""

    def __init__(self, of: Input) -> None:
        super().__init__()
        self.tokens = of.tokens
        self.words = nn.Embedding(of.vocabulary, 2, padding_idx=0)

    def forward(self, *inputs):
        words = self.words(inputs[-1][:, : self.tokens]).mean(1)
        return words + inputs[0][:, :1] if len(inputs) > 1 else words


def test_a_bundle_from_before_answers(tmp_path):
    """Its graph has the user's names and reads texts as int64."""
    frame = pd.DataFrame({"story": [f"some words of a story {i % 7} and {i}" for i in range(40)]})
    dataset = Dataset("toy", frame, pd.Series(["no", "yes"] * 20, name="goal"))
    encoding = Encoding.fit(dataset, np.arange(40), kind="binary")
    task = Task("toy", "binary", encoding.inputs, 2, "accuracy", classes=("no", "yes"))

    predictor, (ids,) = Predictor(Bag(task.inputs[0]), task), encoding.transform(dataset)
    assert ids.dtype == np.int32
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_onnx(folder / "model.onnx", predictor, ["story"], [ids.astype(np.int64)])
    encoding.save(folder)
    write_meta(folder, task, {})
    meta = json.loads((folder / "meta.json").read_text())
    meta["format"] = 1
    del meta["digest"]
    (folder / "meta.json").write_text(json.dumps(meta))
    bundle = Bundle.load(folder)
    with pytest.raises(UserError, match="no calibration"):
        bundle.predict_set(frame)
    assert bundle.session.get_inputs()[0].type == "tensor(int64)"
    np.testing.assert_allclose(bundle.predict_proba(frame), predict(predictor, [ids]), atol=1e-5)


def calibrated(kind: str, folder: Path) -> tuple[Bundle, Dataset]:
    task, encoding, ensemble, inputs, dataset = made(kind)
    whole = Deployed(list(ensemble.members), [2, 1], task, 1.0 if kind == "regression" else 0.5).eval()  # type: ignore
    told = outputs(whole, inputs)
    y = encoding.encode_target(dataset.target)
    if kind == "binary":  # a model that is right nine times in ten
        y = (told[0] * [1.0, 0.2]).argmax(1)
        y[::10] = 1 - y[::10]
        target = pd.Series(np.array(["no", "yes"])[y], name="goal")
        dataset = dataclasses.replace(dataset, target=target)
    known = Answers(told[0], y, told[1] if len(told) > 1 else None)
    of = calibrate(task, known, known, source="holdout", alike=True, temperature=1.0 if kind == "regression" else 0.5)
    of = of if kind == "regression" else dataclasses.replace(of, sure=sure_of(told[0], y, np.array([1.0, 0.2])))
    weights = {} if kind == "regression" else {"decision": [1.0, 0.2]}
    fill = functools.partial(_write, of.to_json())
    return Bundle.load(export(folder / kind, whole, task, encoding, inputs, weights, fill)), dataset


def _write(text: str, folder: Path) -> None:
    (folder / "calibration.json").write_text(text)


@pytest.fixture(scope="module")
def sure(tmp_path_factory) -> tuple[Bundle, Dataset]:
    return calibrated("binary", tmp_path_factory.mktemp("sure"))


def copy_of(bundle: Bundle, folder: Path) -> Bundle:
    return Bundle.load(shutil.copytree(bundle.folder, folder / "copy"))


def test_it_tells_how_sure_it_is_of_classes(sure):
    bundle, dataset = sure
    _, _, ensemble, inputs, _ = made("binary")
    p = bundle.predict_proba(dataset.table)
    sharp = predict(ensemble, inputs) ** 2
    np.testing.assert_allclose(p, sharp / sharp.sum(1, keepdims=True), atol=1e-5)
    decided = np.array(["no", "yes"], dtype=object)[(p * [1.0, 0.2]).argmax(1)]
    np.testing.assert_array_equal(bundle.predict(dataset.table), decided)
    sets = bundle.predict_set(dataset.table, 0.9)
    assert sets.shape == (60, 2) and sets[np.arange(60), (dataset.target == "yes").astype(int)].mean() >= 0.9
    assert (np.diff(bundle.predict_interval(dataset.table)) >= 0).all()
    assert bundle.answerable(dataset.table, 0.3).any() and not bundle.answerable(dataset.table, 0.001).any()
    told = bundle.answer(dataset.table, 0.9)
    np.testing.assert_array_equal(told.sets, sets)
    np.testing.assert_array_equal(told.prediction, decided)
    np.testing.assert_array_equal(told.credibility, bundle.credibility(dataset.table))
    assert bundle.answer(dataset.table).sets is None


def test_an_interval_holds_the_center_that_float32_cannot(tmp_path):
    dataset = table("regression")
    target = dataset.target / 5000 + 1e9
    encoding = Encoding.fit(dataclasses.replace(dataset, target=target), np.arange(60), kind="regression")
    assert encoding.target.center
    task = Task("toy", "regression", encoding.inputs, 1, "r2")
    named = SimpleNamespace(name="output", type="tensor(float)")
    session = SimpleNamespace(
        get_inputs=lambda: [named], get_outputs=lambda: [named], run=lambda _, rows: [rows["output"][:, 0]]
    )
    bundle = Bundle(tmp_path, task, {"files": ["calibration.json"]}, session)  # type: ignore[arg-type]
    known = Answers(np.zeros(60), np.linspace(-1, 1, 60))
    text = calibrate(task, known, known, source="holdout", alike=True).to_json()
    (tmp_path / "calibration.json").write_text(text)
    bundle.__dict__["encoding"] = encoding
    values, ends = bundle.predict(dataset.table), bundle.predict_interval(dataset.table, 0.5)
    np.testing.assert_allclose(ends.mean(1), values)
    np.testing.assert_array_equal(bundle.answer(dataset.table, 0.5).interval, ends)


def test_it_tells_how_sure_it_is_of_values(tmp_path):
    bundle, dataset = calibrated("regression", tmp_path)
    values, ends = bundle.predict(dataset.table), bundle.predict_interval(dataset.table, 0.8)
    assert ends.shape == (60, 2) and (ends[:, 0] <= values).all() and (values <= ends[:, 1]).all()
    y = dataset.target.to_numpy(float)
    assert ((ends[:, 0] <= y) & (y <= ends[:, 1])).mean() >= 0.8
    assert [o.name for o in bundle.session.get_outputs()] == ["output", "spread", "member_0", "member_1"]
    names = {i.name: x for i, x in zip(bundle.session.get_inputs(), made("regression")[3], strict=True)}
    members = bundle.session.run(["member_0", "member_1"], names)
    np.testing.assert_allclose(values, (2 * members[0] + members[1]) / 3, rtol=1e-5)
    spread = np.sqrt((2 * (members[0] - values) ** 2 + (members[1] - values) ** 2) / 3)
    np.testing.assert_allclose(bundle.outputs_encoded(list(names.values()))[1], spread, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(bundle.answer(dataset.table, 0.8).interval, ends)
    with pytest.raises(UserError, match="predict_interval"):
        bundle.predict_set(dataset.table)
    with pytest.raises(UserError, match="probabilities"):
        bundle.answerable(dataset.table)


def test_a_digest_names_a_model_and_nothing_else(sure, tmp_path):
    one, (other, _) = copy_of(sure[0], tmp_path), calibrated("binary", tmp_path)
    assert one.meta["digest"] == other.meta["digest"] and len(one.meta["digest"]) == 64
    meta = json.loads((one.folder / "meta.json").read_text())
    meta["decision"] = [1.0, 1.0]
    (one.folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(UserError, match="digest"):
        Bundle.load(one.folder)
    (other.folder / "calibration.json").write_text("{}")
    with pytest.raises(UserError, match=r"calibration\.json"):
        Bundle.load(other.folder)


def test_a_decision_is_a_number_for_each_class(sure, tmp_path):
    bundle = copy_of(sure[0], tmp_path)
    meta = json.loads((bundle.folder / "meta.json").read_text())
    for decision in ([1.0], [1.0, 2.0, 3.0], [1.0, None], [1.0, math.inf], [1.0, 10**400], "ab", 3):
        meta["decision"] = decision
        meta["digest"] = digest_of(meta)
        (bundle.folder / "meta.json").write_text(json.dumps(meta))
        with pytest.raises(UserError, match="export the model again"):
            Bundle.load(bundle.folder)


def test_rows_of_extremes_are_checked(tmp_path):
    """A graph that differs only where a category is unknown, or a number is at its end, is not exported."""
    task, encoding, predictor, inputs, _ = made("binary")

    class Trap(Weird):
        def forward(self, *inputs):
            far = (inputs[0].abs() > 2.99).any(dim=1, keepdim=True)
            out = self.inner(*inputs)
            return out + self.off * far if torch.compiler.is_exporting() else out

    assert np.abs(inputs[0][:, :2]).max() < 2.99
    with pytest.raises(ExportMismatch, match="not exported"):
        export(tmp_path / "bundle", Trap(predictor, 0.1), task, encoding, inputs)
    unknown = encoding.extremes()[0][:, encoding.inputs[0].cardinalities.index(3)]
    assert unknown.tolist() == [0, 0, 0], "no row lacks a category here, so a missing one is unknown too"


def test_files_can_be_read_as_the_users_mask_says(tmp_path):
    task, encoding, predictor, inputs, _ = made("binary")
    before = os.umask(0o027)
    try:
        folder = export(tmp_path / "bundle", predictor, task, encoding, inputs)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o750
    assert {p.name: oct(p.stat().st_mode & 0o777) for p in folder.iterdir()} == dict.fromkeys(
        ["encoding.json", "encoding.safetensors", "meta.json", "model.onnx", RUNTIME], "0o640"
    )


def test_the_old_bundle_comes_back_when_the_new_one_cannot_be_put_there(tmp_path, monkeypatch):
    task, encoding, predictor, inputs, _ = made("binary")
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "meta.json").write_text("the bundle from before")
    rename = Path.rename

    def refuse(self, target):
        if (self / "model.onnx").exists():
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="no"):
        export(folder, predictor, task, encoding, inputs)
    assert (folder / "meta.json").read_text() == "the bundle from before"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


class Weird(nn.Module):
    """Answers something else while it is exported than afterwards."""

    def __init__(self, inner: nn.Module, off: float) -> None:
        super().__init__()
        self.inner, self.off = inner, off

    def forward(self, *inputs):
        out = self.inner(*inputs)
        return out + self.off if torch.compiler.is_exporting() else out


def test_a_graph_that_differs_is_not_exported(tmp_path):
    task, encoding, predictor, inputs, _ = made("binary")
    good = tmp_path / "bundle"
    good.mkdir()
    (good / "meta.json").write_text("the bundle from before")
    with pytest.raises(ExportMismatch, match="not exported"):
        export(good, Weird(predictor, 2e-4), task, encoding, inputs)
    assert [p.name for p in good.iterdir()] == ["meta.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_ten_thousandth_is_too_much_among_a_thousand_flat_classes(tmp_path):
    class Shifted(nn.Module):
        """Flat probabilities, with an error below ``TOLERANCE`` in the graph that changes nearly half of the labels."""

        def __init__(self, off: float) -> None:
            super().__init__()
            self.register_buffer("off", off * torch.rand(1000))

        def forward(self, x):
            p = torch.softmax(0.05 * x, dim=1)
            return p + self.off if torch.compiler.is_exporting() else p

    rows = np.random.default_rng(0).normal(size=(40, 1000)).astype(np.float32)
    with pytest.raises(ExportMismatch, match="not exported"):
        write_onnx(tmp_path / "model.onnx", Shifted(9e-5), ["x"], [rows])
    assert write_onnx(tmp_path / "model.onnx", Shifted(0.0), ["x"], [rows]).max_difference < 1e-4


@pytest.mark.parametrize("change", [0.01, float("nan")])
def test_a_tampered_graph_is_found(binary, tmp_path, change):
    folder, _, predictor, inputs, _ = binary
    names = ["input_0"]
    path = tmp_path / "model.onnx"
    path.write_bytes((folder / "model.onnx").read_bytes())
    assert compare(path, predictor, names, inputs).max_difference < 1e-4
    model = onnx.load(path)
    weight = next(t for t in model.graph.initializer if len(t.dims) == 2)
    changed = numpy_helper.to_array(weight) + np.float32(change)
    weight.CopyFrom(numpy_helper.from_array(changed, weight.name))
    onnx.save(model, path)
    with pytest.raises(ExportMismatch, match="differs"):
        compare(path, predictor, names, inputs)


def test_a_changed_file_is_not_loaded(binary, tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    for file in binary[0].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    Bundle.load(folder)
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b"x")
    with pytest.raises(UserError, match=r"model\.onnx is not the file"):
        Bundle.load(folder)


@pytest.mark.parametrize("meta", [None, "", "{}", "[]", '{"format": 99}', '{"format": 1, "files": {"../x": "0"}}'])
def test_no_bundle_is_one_clear_line(tmp_path, meta):
    if meta is not None:
        (tmp_path / "meta.json").write_text(meta)
    with pytest.raises(UserError, match="export the model again") as caught:
        Bundle.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_extra_must_not_hide_what_is_ours(tmp_path):
    task, encoding, predictor, inputs, _ = made("binary")
    with pytest.raises(ValueError, match="task"):
        export(tmp_path / "bundle", predictor, task, encoding, inputs, {"task": "mine"})
    assert list(tmp_path.iterdir()) == []


def test_large_values_are_compared_as_float32_can(tmp_path):
    """A target of 10 million with a spread of 1: float32 itself is only exact to 1 there. One row must do."""
    inputs = (Input("t", "tabular", (3,), cardinalities=(0, 0, 0)),)
    task = Task("t", "regression", inputs, 1, "r2")
    predictor = Predictor(nn.Linear(3, 1), task, 1e7, 1.0)
    rows = np.random.default_rng(0).normal(size=(1, 3)).astype(np.float32)
    agreement = write_onnx(tmp_path / "m.onnx", predictor, ["t"], [rows])
    assert agreement.rows == 1
    assert agreement.tolerance > graph.TOLERANCE
    with pytest.raises(ValueError, match="rows"):
        write_onnx(tmp_path / "m.onnx", predictor, ["t"], [rows[:0]])


class Net(nn.Module):
    """A picture, a signal and words."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.words = nn.Embedding(20, 4, padding_idx=0)
        self.head = nn.Linear(10, 3)

    def forward(self, image, series, text):
        return self.head(torch.cat([self.image(image), series.mean(2), self.words(text).mean(1)], 1))


def test_images_series_and_text_in_one_graph(tmp_path):
    inputs = (
        Input("picture", "image", (1, 8, 8), mean=(0.5,), std=(0.2,)),
        Input("signal", "series", (2, 11)),
        Input("words", "text", (7,), vocabulary=20),
    )
    task = Task("t", "multiclass", inputs, 3, "accuracy")
    rng = np.random.default_rng(0)
    rows = (
        rng.integers(0, 256, (300, 1, 8, 8)).astype(np.uint8),
        rng.normal(size=(300, 2, 11)).astype(np.float32),
        rng.integers(0, 20, (300, 7)),
    )
    agreement = write_onnx(tmp_path / "m.onnx", Predictor(Net(), task), [i.name for i in inputs], rows)
    assert agreement.rows == graph.ROWS
    session = graph.onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    assert {i.name: (i.shape[1:], i.type) for i in session.get_inputs()} == {
        "picture": ([1, 8, 8], "tensor(uint8)"),
        "signal": ([2, 11], "tensor(float)"),
        "words": ([7], "tensor(int64)"),
    }
    assert list(tmp_path.iterdir()) == [tmp_path / "m.onnx"], "weights lie outside the file"


def test_it_explains_what_it_decided(sure, tmp_path):
    bundle, dataset = copy_of(sure[0], tmp_path), sure[1]
    with pytest.raises(UserError, match="reference rows"):
        bundle.explain(dataset.table.iloc[[0]])
    write_background(bundle.folder, made("binary")[3])
    for at in range(5):
        found = bundle.explain(dataset.table.iloc[[at]], top=2)
        assert found.answer == bundle.predict(dataset.table.iloc[[at]])[0] and len(found.effects) == 2
        assert found.base + sum(e.change for e in found.effects) + found.rest == pytest.approx(found.level)


def test_a_graph_tells_nothing_of_the_machine_it_was_made_on(binary):
    folder, *_ = binary
    written = (folder / "model.onnx").read_bytes()
    assert b".py" not in written and os.sep.encode() + b"automl" not in written
