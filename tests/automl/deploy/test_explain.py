"""Explanations: functions whose effects are known, and parts of every input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.dataset import Dataset
from automl.data.encode.encoding import Encoding
from automl.deploy import explain as module
from automl.deploy.explain import BYTES, Effect, explain, read_background, shapley, write_background
from automl.deploy.regions import COLUMNS, mapped
from automl.deploy.rows import FastRows
from automl.errors import UserError


def effects_of(f: Callable[[np.ndarray], np.ndarray], row: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Shapley values by ``shapley`` of a function of plain columns."""
    fixed, numbers = np.zeros(len(row), bool), np.arange(len(others))
    changes, base, level = shapley(
        lambda kept, rows: f(np.where(kept, row, others[rows])), others == row, fixed, numbers
    )
    assert base == pytest.approx(f(others).mean()) and level == pytest.approx(f(row[None])[0])
    assert base + changes.mean(0).sum() == pytest.approx(level)
    return changes.mean(0)


OTHERS = np.random.default_rng(0).normal(size=(32, 6))
ROW = np.array([1.0, 2.0, -1.0, 0.5, 3.0, 3.0])


def test_what_is_added_up_is_told_exactly():
    weights = np.array([2.0, -1.0, 0.0, 4.0, 0.5, 1.0])
    found = effects_of(lambda x: x @ weights + 7, ROW, OTHERS)
    np.testing.assert_allclose(found, weights * (ROW - OTHERS.mean(0)), atol=1e-9)


def test_what_two_fields_do_together_is_halved():
    """Of x0 x1 each has half of what it does alone and half of what it does beside the other."""
    found = effects_of(lambda x: x[:, 0] * x[:, 1], ROW, OTHERS)
    (a, b), (x, y) = OTHERS[:, :2].T, ROW[:2]
    np.testing.assert_allclose(found[0], ((x - a) * (y + b) / 2).mean())
    np.testing.assert_allclose(found[1], ((y - b) * (x + a) / 2).mean())
    np.testing.assert_allclose(found[2:], 0, atol=1e-12)


def test_fields_that_stand_in_for_each_other_are_both_told():
    """Replaced one at a time neither would move the answer."""
    found = effects_of(lambda x: np.maximum(x[:, 4], x[:, 5]), ROW, np.minimum(OTHERS, 2.0))
    assert found[4] > 0.5 and found[5] > 0.5 and np.abs(found[:4]).max() < 1e-12


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(2, 8), st.integers(0, 10_000))
def test_effects_add_up_whatever_the_function(fields, count, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(fields, 5)), rng.normal(size=5)
    others = rng.integers(0, 3, (count, fields)).astype(float)  # many are equal to the row's
    row = rng.integers(0, 3, fields).astype(float)
    found = effects_of(lambda x: np.tanh(x @ first) @ second, row, others)
    assert (found[(others == row).all(0)] == 0).all()


def bundle_of(dataset: Dataset, answer: Callable[..., np.ndarray], folder, kind: str = "regression") -> Any:
    """Something like a bundle: ``answer`` takes the encoded inputs."""
    encoding = Encoding.fit(dataset, np.arange(len(dataset)), kind=kind)  # type: ignore[arg-type]
    write_background(folder, encoding.transform(dataset))
    task = SimpleNamespace(kind=kind, classes=encoding.target.classes)
    asked: Any = {"fast": FastRows(encoding), "predict_encoded": lambda inputs: answer(*inputs)}
    return SimpleNamespace(decision=None, encoding=encoding, task=task, folder=folder, **asked)


def told(bundle: Any, row: Any, top: int | None = None):
    found = explain(bundle, row, against=read_background(bundle.folder), top=top)
    assert found.base + sum(e.change for e in found.effects) + found.rest == pytest.approx(found.level, abs=1e-5)
    return found


RNG = np.random.default_rng(1)
CITIES = RNG.choice(["Rome", "Oslo", "Bonn"], 80)
TABLE = pd.DataFrame({"age": RNG.normal(40, 10, 80), "city": CITIES, "noise": RNG.normal(size=80)})
TABLE["when"] = pd.date_range("2020-01-01", periods=80, freq="37D")
TABLE.loc[::9, "age"] = np.nan


def test_a_table_s_columns_are_told_by_their_raw_values(tmp_path):
    data = Dataset("t", TABLE, pd.Series(RNG.normal(size=80) + 1e9, name="y"))
    places = Encoding.fit(data, np.arange(80), kind="regression").encoders[0].places()  # type: ignore[attr-defined]
    assert list(places) == list(TABLE) and len(places["age"]) == 2, "the number and whether it is missing"
    bundle = bundle_of(data, lambda x: 3 * x[:, places["age"][0]] + (x[:, places["city"][0]] == 1), tmp_path)
    row = {"age": 70, "city": "Rome", "noise": 1, "when": "2024-02-03"}
    found = told(bundle, row)
    by_name = {e.field: e for e in found.effects}
    assert found.effects[0] == by_name["age"] and by_name["age"].value == 70 and by_name["age"].change > 3
    assert by_name["city"].value == "Rome" and by_name["when"].value == "2024-02-03 00:00:00"
    assert by_name["noise"].change == by_name["noise"].error == 0
    assert found.level > 9e8, "the target's center is added"
    assert told(bundle, {"age": None, "city": "Rome", "noise": 1, "when": None}).effects[0].value != 70
    assert found == told(bundle, TABLE.iloc[:1].assign(**row)), "the same again"
    one = told(bundle, row, top=1)
    assert one.effects == found.effects[:1]
    assert one.rest == pytest.approx(found.level - one.base - one.effects[0].change)
    for rows in (TABLE.iloc[:2], [row, row]):
        with pytest.raises(UserError, match=r"^2 rows were given; one row at a time"):
            told(bundle, rows)


def test_of_a_plain_row_only_the_cells_that_are_told_are_read_with_pandas(tmp_path, monkeypatch):
    bundle, read = (
        bundle_of(Dataset("t", TABLE, pd.Series(RNG.normal(size=80), name="y")), lambda x: x[:, 0], tmp_path),
        [],
    )
    real = module.rows_to_dataset
    monkeypatch.setattr(module, "rows_to_dataset", lambda fields, *a, **k: read.append(fields) or real(fields, *a, **k))
    found = told(bundle, {"age": 70, "city": "Rome", "noise": 1, "when": "2024-02-03"}, top=1)
    assert [[f["name"] for f in fields] for fields in read] == [["age"]] and found.effects[0].value == 70


def test_of_classes_the_probability_of_the_answer_is_told(tmp_path):
    data = Dataset("t", TABLE, pd.Series(np.where(TABLE["noise"] > 0, "yes", "no"), name="y"))

    def answer(x):
        p = 1 / (1 + np.exp(-4 * x[:, 2]))
        return np.stack([1 - p, p], axis=1)

    bundle = bundle_of(data, answer, tmp_path, "binary")
    at = bundle.encoding.encoders[0].places()["noise"].tolist()
    assert at == [2]
    for noise, expected in ((2, "yes"), (-2, "no")):
        found = told(bundle, {"age": 40, "city": "Oslo", "noise": noise, "when": "2021-01-01"})
        assert (found.answer, found.effects[0].field) == (expected, "noise") and found.level > 0.99
        assert 0.2 < found.effects[0].change < 0.8
        assert f"{expected}: " in str(found) and f"noise = {noise}" in str(found)


def test_a_picture_is_told_by_its_patches(tmp_path):
    pictures = RNG.integers(0, 256, (40, 10, 12)).astype(np.uint8)
    data = Dataset("p", pd.DataFrame(index=range(40)), pd.Series(RNG.normal(size=40), name="y"),
                   arrays={"scan": pictures}, modalities={"scan": "image"})  # fmt: skip
    bundle = bundle_of(data, lambda x: x[:, 0, 9, 0].astype(np.float32), tmp_path)
    found = told(bundle, {"scan": np.full((1, 10, 12), 255, np.uint8)})
    assert len(found.effects) == 16 and found.effects[0].field == "scan, rows 9 to 10, columns 1 to 3"
    assert found.effects[0].value is None and found.effects[0].change > 50
    assert {e.change for e in found.effects[1:]} == {0.0}


def test_a_series_is_told_by_its_channels_and_times(tmp_path):
    series = RNG.normal(size=(40, 2, 24)).cumsum(2)
    series[:, :, 20:][RNG.random(40) < 0.5] = np.nan
    data = Dataset("s", pd.DataFrame(index=range(40)), pd.Series(RNG.normal(size=40), name="y"),
                   arrays={"wave": series}, modalities={"wave": "series"})  # fmt: skip
    bundle = bundle_of(data, lambda x: x[:, 1, 4], tmp_path)
    found = told(bundle, {"wave": np.full((1, 2, 24), 9.0)})
    assert found.effects[0].field == "wave, channel 2, steps 4 to 6"
    names, owner = mapped(bundle.encoding.encoders[0])
    assert names[-1] == "wave, where values are missing" and len(names) == 17
    assert sorted(np.unique(owner)) == list(range(17))


def test_the_only_channel_has_its_mask_and_a_level_of_its_own():
    series = RNG.normal(size=(60, 1, 30)) * np.logspace(-3, 3, 60)[:, None, None]
    series[::2, :, 25:] = np.nan
    data = Dataset("s", pd.DataFrame(index=range(60)), pd.Series(RNG.normal(size=60), name="y"),
                   arrays={"wave": series}, modalities={"wave": "series"})  # fmt: skip
    names, owner = mapped(Encoding.fit(data, np.arange(60), kind="regression").encoders[0])
    assert owner.shape == (4, 30) and names[16:] == ["wave, level and scale"]
    assert (owner[0] == owner[3]).all() and (owner[1:3] == 16).all()


def test_a_text_is_told_by_its_words_beside_columns(tmp_path):
    words = np.array(["good", "bad", "film", "plot", "actor", "long"])
    texts = [" ".join(RNG.choice(words, 6)) for _ in range(80)]
    frame = pd.DataFrame({"age": TABLE["noise"], "review": texts})
    data = Dataset("t", frame, pd.Series(RNG.normal(size=80), name="y"), modalities={"review": "text"})
    encoding = Encoding.fit(data, np.arange(80), kind="regression")
    good = encoding.encoders[1]._index["good"]  # type: ignore[attr-defined]
    bundle = bundle_of(data, lambda x, t: x[:, 0] + 5.0 * (t == good).any(1), tmp_path)
    found = told(bundle, {"age": 0.0, "review": "A  film\nso Good and long"})
    assert found.effects[0] == Effect("review", "Good", 5.0, 0.0)
    assert [e.value for e in found.effects if e.field == "review"].count("film") == 1 and len(found.effects) == 7
    assert "input_1" not in (tmp_path / "background.safetensors").read_bytes().decode("latin1"), "texts are not kept"
    assert told(bundle, {"age": 0.0, "review": None}).effects[0].field == "age"
    long = told(bundle, {"age": 0.0, "review": "film " * 100 + "good " * 3 + "plot " * 97})
    assert len(long.effects) == 17 and "good" in str(long.effects[0].value)


def test_texts_alone(tmp_path):
    names = ["".join(RNG.choice(list("abcde"), 5)) for _ in range(60)]
    data = Dataset("t", pd.DataFrame({"name": names}), pd.Series(RNG.normal(size=60), name="y"),
                   modalities={"name": "text"})  # fmt: skip
    bundle = bundle_of(data, lambda t: 1.0 * (t > 0).sum(1), tmp_path)
    assert len(told(bundle, {"name": "abcab"}).effects) == 5, "letters"
    assert told(bundle, {"name": None}).effects == ()


def test_many_columns_are_told_by_neighbours(tmp_path):
    wide = pd.DataFrame(RNG.normal(size=(30, 2 * COLUMNS)), columns=[f"c{i}" for i in range(2 * COLUMNS)])
    data = Dataset("w", wide, pd.Series(RNG.normal(size=30), name="y"))
    bundle = bundle_of(data, lambda x: x[:, 7], tmp_path)
    assert told(bundle, wide.iloc[:1], top=3).effects[0].field == "c6 to c7 (2 columns)"


def test_reference_rows_are_few_where_they_are_large(tmp_path):
    write_background(tmp_path, [np.zeros((500, 4), np.float32), np.zeros((500, 3, 200, 200), np.uint8)])
    kept = read_background(tmp_path)
    assert [len(a) for a in kept.values()] == [8, 8] and (tmp_path / "background.safetensors").stat().st_size < BYTES
    write_background(tmp_path, [np.arange(7.0)[:, None]])
    assert read_background(tmp_path)[0].ravel().tolist() == list(range(7))
    with pytest.raises(UserError, match="holds no reference rows to explain by"):
        read_background(tmp_path / "nowhere")


def test_it_needs_no_torch():
    code = "import sys, automl.deploy.explain; print({'torch', 'scipy', 'sklearn', 'onnxruntime'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
