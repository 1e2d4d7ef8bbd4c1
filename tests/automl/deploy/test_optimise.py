"""Variants of a bundle: fewer members, 8 bits; each answers what it should, and the best that is as good is taken."""

from __future__ import annotations

import json
import math
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from torch import nn

from automl.data.dataset import Dataset, Part
from automl.data.encode.encoding import Encoding
from automl.deploy import bundle as bundles
from automl.deploy import optimise as optimising
from automl.deploy import reference, variants
from automl.deploy.bundle import Bundle, checksum_of, digest_of
from automl.deploy.card import card
from automl.deploy.cut import cut, together
from automl.deploy.examples import raw_row, write_examples
from automl.deploy.export import export
from automl.deploy.judge import Ensemble, Judge, Rows, shifted
from automl.deploy.optimise import FP32, Variant, best, make, optimise, order
from automl.deploy.processor import VNNI, features
from automl.deploy.quantise import DYNAMIC, STATIC
from automl.deploy.variants import Kept, keep
from automl.errors import UserError
from automl.training.predictor import Deployed, Predictor, outputs
from automl.types import Task
from automl.uncertainty.calibrate import Answers, calibrate

WEIGHTS = (0.5, 0.3, 0.2)
ROWS = 200


class Made:
    """A bundle of three untrained networks, and what it was made of."""

    def __init__(self, kind: str, folder: Path) -> None:
        rng = np.random.default_rng(0)
        table = pd.DataFrame({"a": rng.normal(size=ROWS), "b": rng.normal(5, 2, ROWS)})
        target = table["a"] * 1e6 + 5e7 if kind == "regression" else pd.Series(rng.choice(["no", "yes"], ROWS))
        self.dataset = Dataset("toy", table, target.rename("goal"))
        self.encoding = Encoding.fit(self.dataset, np.arange(ROWS), kind=kind)  # type: ignore[arg-type]
        values = kind == "regression"
        self.task = Task("toy", kind, self.encoding.inputs, 1 if values else 2, "r2" if values else "accuracy",  # type: ignore[arg-type]
                         classes=() if values else ("no", "yes"))  # fmt: skip
        torch.manual_seed(0)
        self.members = [
            Predictor(self.network(1 if values else 2), self.task, *((5e7, 1e6) if values else ())) for _ in WEIGHTS
        ]
        self.heat = 1.0 if values else 0.7
        self.inputs = self.encoding.transform(self.dataset)
        told = outputs(self.whole(3), self.inputs)
        y = self.encoding.encode_target(self.dataset.target) if values else told[0].argmax(1)
        if not values:  # a model that is right nine times in ten
            y[::10] = 1 - y[::10]
        self.y, answers = y, Answers(told[0], y, told[1] if values else None)
        calibration = calibrate(self.task, answers, None, source="valid", alike=True, temperature=self.heat)
        more = {"weights": list(WEIGHTS), "temperature": self.heat}

        def fill(draft: Path) -> None:
            (draft / "calibration.json").write_text(calibration.to_json())

        self.folder = export(folder / kind, self.whole(3), self.task, self.encoding, self.inputs, more, fill)

    def network(self, out: int) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, out))

    def whole(self, count: int) -> nn.Module:
        return Deployed(self.members[:count], WEIGHTS[:count], self.task, self.heat).eval()

    def rows(self, **more) -> Rows:
        return Rows(self.inputs, self.y, self.inputs, "valid", **more)

    def raw(self, rows: int):
        return self.dataset.table.iloc[[0] * rows]


@pytest.fixture(scope="module")
def classes(tmp_path_factory) -> Made:
    return Made("binary", tmp_path_factory.mktemp("optimise"))


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> Made:
    return Made("regression", tmp_path_factory.mktemp("optimise"))


@pytest.fixture(params=["binary", "regression"])
def made(request) -> Made:
    return request.getfixturevalue("classes" if request.param == "binary" else "numbers")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_members_answer_what_their_networks_answer(made, count):
    values = made.task.kind == "regression"
    part = cut(onnx.load(made.folder / "model.onnx"), WEIGHTS[:count], made.heat, values=values)
    onnx.checker.check_model(part)
    session = onnxruntime.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    told = session.run(None, {"input_0": made.inputs[0]})
    expected = outputs(made.whole(count), made.inputs)
    names = [o.name for o in session.get_outputs()]
    assert names == ["output", "spread"][: 1 + (values and count > 1)]
    unit = 1e6 if values else 1.0
    for one, other in zip(told, expected, strict=False):
        np.testing.assert_allclose(one / unit, other / unit, atol=1e-5)
    numpy_told = together([outputs(m, made.inputs)[0] for m in made.members[:count]], WEIGHTS[:count], made.heat,
                          values=values)  # fmt: skip
    assert len(numpy_told) == len(names)
    for one, other in zip(told, numpy_told, strict=True):
        np.testing.assert_allclose(one / unit, other / unit, atol=1e-5)


def test_fewer_can_be_cut_out_of_what_was_cut(made):
    values = made.task.kind == "regression"
    two = cut(onnx.load(made.folder / "model.onnx"), WEIGHTS[:2], made.heat, values=values, told=True)
    assert [o.name for o in two.graph.output] == list(made.whole(2).names)
    one = cut(two, WEIGHTS[:1], made.heat, values=values, told=True)
    assert [o.name for o in one.graph.output] == ["output"]
    session = onnxruntime.InferenceSession(one.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(
        session.run(None, {"input_0": made.inputs[0]})[0], outputs(made.whole(1), made.inputs)[0], rtol=1e-5
    )


def test_no_more_members_than_there_are(classes):
    whole = onnx.load(classes.folder / "model.onnx")
    with pytest.raises(ValueError, match="no 4 members"):
        cut(whole, (1, 1, 1, 1), 1.0, values=False)
    one = cut(whole, (1.0,), 1.0, values=False)
    assert cut(one, (1.0,), 1.0, values=False) is one


@pytest.mark.parametrize("precision", [DYNAMIC, STATIC])
def test_eight_bits_answer_nearly_the_same(made, precision, tmp_path):
    of = Ensemble.of(Bundle.load(made.folder))
    variant = Variant(2, precision)
    make(variant, of, made.rows(), tmp_path)
    assert variant.path is not None
    found = Judge.of(of, made.rows()).verdict(2, variant.path)
    assert 0 < found.apart < 0.1 and found.flips < 0.1
    assert variant.needs == tuple(features())


def test_a_graph_without_products_is_told_not_fatal(classes, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no such\nkernel")

    monkeypatch.setattr(optimising, "quantise", broken)
    monkeypatch.setattr(optimising, "ROUNDS", 1)
    found = optimise(Ensemble.of(Bundle.load(classes.folder)), classes.rows(), classes.raw, tmp_path, 10)
    assert [(v.members, v.precision) for v in found] == list(order(3))
    assert {v.error for v in found if v.precision != FP32} == {"RuntimeError: no such kernel"}
    assert all(v.raw_ms[1, 1] > 0 and v.graph_ms[2, 32] > 0 for v in found if v.precision == FP32)
    assert found[0].verdict is not None and found[0].verdict.behind == 0 and found[0].verdict.flips == 0


def test_one_graph_is_open_at_a_time(classes, tmp_path, monkeypatch):
    real, made, most = optimising.with_session, list[weakref.ref[Bundle]](), 0

    def with_session(*of):
        nonlocal most
        most = max(most, sum(one() is not None for one in made))
        found = real(*of)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(optimising, "with_session", with_session)
    monkeypatch.setattr(optimising, "ROUNDS", 1)
    found = optimise(Ensemble.of(Bundle.load(classes.folder)), classes.rows(), classes.raw, tmp_path, 60)
    assert len(made) == 2 * sum(not v.error for v in found) > 6 and most == 0
    assert all(v.raw_ms[1, 1] > 0 and v.graph_ms[2, 32] > 0 for v in found if not v.error)


def test_what_there_is_no_time_for_is_not_made(classes, tmp_path, monkeypatch):
    monkeypatch.setattr(optimising, "ROUNDS", 1)
    found = optimise(Ensemble.of(Bundle.load(classes.folder)), classes.rows(), classes.raw, tmp_path, 1e-6)
    assert [v.error for v in found] == ["", *["no time"] * 8] and found[0].raw_ms[1, 1] > 0


def test_answers_of_networks_that_learned_from_the_rows_are_moved_by_the_change(made):
    of = Ensemble.of(Bundle.load(made.folder))
    said = of.said(made.inputs)
    before = [(p + p[::-1]) / 2 for p in said]
    rows = made.rows(before=before)
    now = of.of_members(said, 2)
    then = shifted(of, rows, said, 2, now)
    for one, other in zip(then, of.of_members(before, 2), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    change = 1e4 if of.values else np.array([1e-3, -1e-3])
    moved = shifted(of, rows, said, 2, [now[0] + change, *now[1:]])[0]
    np.testing.assert_allclose(moved, of.of_members(before, 2)[0] + change, rtol=1e-5, atol=1e-9)


def measured(members: int, latency: float, behind: float, **more) -> Variant:
    verdict = SimpleNamespace(score=0.5, behind=behind, apart=0.0, flips=0.0)
    times = {(threads, rows): latency / rows for threads in (1, 2) for rows in (1, 32)}
    return Variant(members, FP32, verdict=verdict, raw_ms=times, graph_ms=times, megabytes=members, **more)  # type: ignore[arg-type]


def test_the_fastest_that_is_as_good_is_taken():
    whole, slow, fast = measured(3, 1.0, 0.0), measured(2, 0.8, 0.4), measured(1, 0.5, 0.6)
    assert best([whole, slow, fast], "latency") is slow
    assert best([whole, slow, measured(1, 0.5, 0.5)], "throughput").members == 1
    assert best([whole, slow, fast], "size") is slow
    assert best([whole, measured(2, 0.96, 0.0)], "latency") is whole, "a gain that small is luck"
    assert best([whole, measured(1, 0.1, 0.0, error="no")], "size") is whole


def test_what_is_kept_answers_and_is_as_sure_as_its_rows_allow(made, tmp_path):
    folder = copied(made, tmp_path)
    bundle = Bundle.load(folder)
    of, held = Ensemble.of(bundle), Part(tuple(made.inputs), made.y, np.arange(ROWS))
    found = [measured(3, 1.0, 0.0), measured(1, 0.5, 0.0)]
    make(found[1], of, made.rows(), tmp_path)
    assert keep(of, made.rows(held=held), found, "latency") == "1-fp32"
    fast = Bundle.load(folder)
    expected = outputs(made.whole(1), made.inputs)[0]
    np.testing.assert_allclose(fast.outputs_encoded(made.inputs)[0], expected, rtol=1e-5)
    assert fast.variant["needs"] == [] and fast.calibration.source == "holdout"
    own = [reference.binned(m) for m in reference.answered(made.task, fast.outputs_encoded(made.inputs)[0])]
    assert [m["counts"] for m in fast.variant["outputs"]] == [m["counts"] for m in own]
    assert Bundle.load(folder, variant="model.onnx").calibration.source == "valid"
    assert Bundle.load(folder, variant="1-fp32").variant == Bundle.load(folder, variant="model.1-fp32.onnx").variant
    if made.task.kind == "regression":
        assert fast.predict_interval(made.raw(2), 0.8).shape == (2, 2)
    else:
        assert fast.predict_set(made.raw(2), 0.8).shape == (2, 2)
    with pytest.raises(UserError, match=r"variant=9 is not in the bundle; it has model.onnx, 1-fp32"):
        Bundle.load(folder, variant="9")
    # Rows that its networks have learned from do not tell how sure they are.
    assert keep(of, made.rows(honest=False), found, "latency") is None
    assert Bundle.load(folder, variant="1-fp32").variant["outputs"] == []
    assert Bundle.load(folder).variant == {} and Bundle.load(folder, variant="1-fp32").variant["calibration"] is None
    with pytest.raises(UserError, match="no calibration"):
        _ = Bundle.load(folder, variant="1-fp32").calibration
    assert keep(of, made.rows(), found[:1], "latency") is None
    assert {f.name for f in folder.iterdir()} == {f.name for f in made.folder.iterdir()}, "the old variants are gone"
    assert json.loads((folder / "meta.json").read_text())["digest"] == bundle.meta["digest"]


def sealed(folder: Path) -> None:
    """meta.json for the files as they are."""
    meta = json.loads((folder / "meta.json").read_text())
    meta["files"] = {f: checksum_of(folder / f) for f in (*meta["files"], "examples.json")}
    meta["digest"] = digest_of(meta)
    (folder / "meta.json").write_text(json.dumps(meta))


def test_a_variant_is_asked_its_examples_too(made, tmp_path):
    """They are its own: those of the whole ensemble are not what it answers."""
    folder = copied(made, tmp_path)
    bundle, rows = Bundle.load(folder), [raw_row(made.dataset, at) for at in range(3)]
    unit = 1e6 if made.task.kind == "regression" else 1.0
    write_examples(folder, made.dataset, range(3), bundle.answers_of_examples(rows), unit=unit)
    sealed(folder)
    variant = Variant(1, FP32)
    make(variant, Ensemble.of(bundle), made.rows(), tmp_path)
    assert variant.path is not None
    variants.write(Bundle.load(folder), [Kept(measured(1, 0.5, 0.0), variant.path.read_bytes(), None)], "1-fp32")
    fast = Bundle.load(folder)
    np.testing.assert_allclose(fast.answers_of_examples(rows), fast.variant["examples"], rtol=1e-5)
    (folder / "model.1-fp32.onnx").write_bytes((folder / "model.onnx").read_bytes())
    sealed(folder)
    with pytest.raises(UserError, match=r"the model answers .+ for row 1 of its examples"):
        Bundle.load(folder)
    assert Bundle.load(folder, variant="model.onnx").variant == {}


def test_the_card_is_that_of_the_bundle_as_it_is(classes, tmp_path):
    folder = copied(classes, tmp_path)
    first = json.loads((folder / "meta.json").read_text())["digest"]
    facts = {"task": {"name": "toy", "kind": "binary", "metric": "accuracy", "classes": ["no", "yes"]}}
    files = [*sorted(f.name for f in [*folder.iterdir(), folder / "README.md"] if f.name != "meta.json"), "meta.json"]
    text = card(facts | {"files": files, "digest": first})
    (folder / "README.md").write_text(text)
    variants.write(Bundle.load(folder), [kept(1, (folder / "model.onnx").read_bytes())], "1-fp32")
    told, digest = (folder / "README.md").read_text(), Bundle.load(folder).meta["digest"]
    assert f"Digest: `{digest}`." in told and f"when the digest was `{first}`" in told and digest != first
    assert "| `model.1-fp32.onnx` |" in told and "`model.1-fp32.onnx` (1 of its members, fp32) answers now" in told
    variants.write(Bundle.load(folder), [], None)
    assert (folder / "README.md").read_text() == text


def copied(made: Made, folder: Path) -> Path:
    (folder / "bundle").mkdir()
    for file in made.folder.iterdir():
        (folder / "bundle" / file.name).write_bytes(file.read_bytes())
    return folder / "bundle"


def kept(members: int, graph: bytes, needs: tuple[str, ...] = ()) -> Kept:
    return Kept(measured(members, 0.5, 0.0, needs=needs), graph, None)


def test_whoever_is_killed_while_writing_leaves_a_bundle_that_loads(classes, tmp_path, monkeypatch):
    folder = copied(classes, tmp_path)
    graph = (folder / "model.onnx").read_bytes()
    write = variants.write_atomically
    for last in range(4):  # calls that still happen
        monkeypatch.setattr(variants, "write_atomically", write)
        variants.write(Bundle.load(folder), [kept(1, graph), kept(2, graph)], "1-fp32")
        left = iter(range(last))

        def killed(path, content, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            write(path, content)

        monkeypatch.setattr(variants, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            variants.write(Bundle.load(folder), [kept(1, graph), kept(2, graph)], "2-fp32")
        assert Bundle.load(folder).variant.get("name") == ("1-fp32" if last == 0 else None)
    monkeypatch.setattr(variants, "write_atomically", write)
    variants.write(Bundle.load(folder), [kept(2, graph)], "2-fp32")
    assert Bundle.load(folder).variant["members"] == 2


def test_what_the_processor_lacks_is_not_taken(classes, tmp_path, monkeypatch):
    folder = copied(classes, tmp_path)
    graph = (folder / "model.onnx").read_bytes()
    variants.write(Bundle.load(folder), [kept(1, graph, (VNNI,))], "1-fp32")
    monkeypatch.setattr(bundles, "features", lambda: frozenset({VNNI}))
    assert Bundle.load(folder).variant["name"] == "1-fp32"
    monkeypatch.setattr(bundles, "features", lambda: frozenset())
    assert Bundle.load(folder).variant == {}
    with pytest.raises(UserError, match=r"variant=1-fp32 needs a processor with vnni; load model\.onnx"):
        Bundle.load(folder, variant="1-fp32")
    meta = json.loads((folder / "meta.json").read_text())
    meta["variants"][0]["needs"] = []
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(UserError, match="digest"):
        Bundle.load(folder)


def test_a_variant_is_a_file_that_meta_json_describes(classes, tmp_path):
    folder = copied(classes, tmp_path)
    variants.write(Bundle.load(folder), [kept(1, (folder / "model.onnx").read_bytes())], "1-fp32")
    meta = json.loads((folder / "meta.json").read_text())
    del meta["files"]["model.1-fp32.onnx"]
    meta["digest"] = digest_of(meta)
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(UserError, match="no checksum"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("text", "found"),
    [("flags\t: fpu avx512_vnni\n", {VNNI}), ("flags : avx_vnni\n", {VNNI}), ("flags : avx2\n", set()), ("", set())],
)
def test_flags_are_read_where_the_system_tells_them(tmp_path, text, found):
    (tmp_path / "cpuinfo").write_text(f"model name : some\n{text}")
    assert features(tmp_path / "cpuinfo") == found and features(tmp_path / "absent") == set()


def test_a_bundle_from_before_says_so(classes, tmp_path):
    bundle = Bundle.load(classes.folder)
    old = {name: value for name, value in bundle.meta.items() if name != "weights"}
    with pytest.raises(UserError, match="earlier version; export the model again"):
        Ensemble.of(SimpleNamespace(meta=old, folder="b"))  # type: ignore[arg-type]
    assert math.isclose(sum(Ensemble.of(bundle).weights), 1)
