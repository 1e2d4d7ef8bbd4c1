"""Rows that a bundle carries encode to what training saw, and a model that answers otherwise is found."""

from __future__ import annotations

import datetime
import decimal
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.dataset import Dataset
from automl.data.encode import Encoding
from automl.data.prepare import prepare
from automl.data.sources.file import FileSource
from automl.data.sources.frame import FrameSource
from automl.deploy import examples
from automl.deploy.examples import check_examples, plain_cell, read_examples, write_examples
from automl.errors import UserError
from tests.automl.deploy.rows import ROWS, mixed, table

MIXED = mixed()
ENCODING = Encoding.fit(MIXED, np.arange(ROWS), kind="binary")
ANSWERS = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]], dtype=np.float32)


def encoded(encoding: Encoding, rows: Any) -> tuple[np.ndarray, ...]:
    return encoding.transform(encoding.dataset(rows))


def check_rows(encoding: Encoding, dataset: Dataset, folder: Any, positions: list[int]) -> None:
    """Written, read and encoded: the very same numbers as the raw cells give."""
    write_examples(folder, dataset, positions, np.zeros(len(positions)))
    rows = read_examples(folder).rows
    assert len(rows) == len(positions)
    raw = {**{c: dataset.table[c].iloc[positions] for c in dataset.table}}
    raw |= {n: a[positions] for n, a in dataset.arrays.items()}
    for got, expected in zip(encoded(encoding, rows), encoded(encoding, raw), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_rows_of_everything_come_back(tmp_path) -> None:
    check_rows(ENCODING, MIXED, tmp_path, [0, 3, 4, 5])
    written = write_examples(tmp_path, MIXED, [3, 4, 5], ANSWERS)
    assert {f.name for f in tmp_path.iterdir()} == {"examples.json", "examples.safetensors"}
    rows, answers, unit = read_examples(tmp_path)
    assert unit == 1.0
    np.testing.assert_array_equal(answers, ANSWERS)
    for row, before in zip(rows, written.rows, strict=True):
        assert row.keys() == before.keys()
        for name, value in row.items():
            assert type(value) is type(before[name])
            np.testing.assert_array_equal(value, before[name])
        assert row["photo"].dtype == np.uint8 and row["line"].shape == (12,)
    cells = json.loads((tmp_path / "examples.json").read_text())["rows"][2]
    assert cells["city"] is None and cells["seen"] is None and cells["story"] is None
    assert isinstance(cells["old"], bool) and isinstance(cells["rooms"], int)


@pytest.mark.parametrize(
    "column",
    [
        pd.date_range("2019-01-01 10:00", periods=ROWS, freq="5h").as_unit("us"),
        pd.date_range("2019-01-01", periods=ROWS, freq="5D", tz="Asia/Tokyo"),
        [datetime.date(2020, 1 + i % 12, 1 + i % 5) for i in range(ROWS)],
        pd.to_timedelta(np.arange(ROWS) % 11, unit="min"),
        pd.period_range("2020-01", periods=ROWS, freq="M"),
        [decimal.Decimal(i) / 4 for i in range(ROWS)],
        pd.Categorical(pd.date_range("2020-01-01", periods=5)[np.arange(ROWS) % 5]),
        pd.array([None if i % 9 == 0 else i % 7 for i in range(ROWS)], dtype="Int64"),
        [("Rome", 3, None, True, 2.5)[i % 5] for i in range(ROWS)],
        np.where(np.arange(ROWS) % 9 == 0, np.inf, np.arange(ROWS) / 3),
        10**17 + np.arange(ROWS) % 9,
    ],
    ids=[
        "dates",
        "zone",
        "days",
        "durations",
        "periods",
        "decimals",
        "date categories",
        "gaps",
        "mixed",
        "inf",
        "long",
    ],
)
def test_cells_of_a_frame_encode_to_the_same(tmp_path, column: Any) -> None:
    frame = pd.DataFrame({"cell": column, "other": np.arange(ROWS) % 7})
    dataset = FrameSource(frame, ["no", "yes"] * (ROWS // 2)).load()
    encoding = prepare(dataset, check=False).encoding
    check_rows(encoding, dataset, tmp_path, [0, 1, 2, 9, 20])
    check_rows(encoding, unloaded(frame, dataset), tmp_path, [0, 1, 2, 9, 20])


def unloaded(frame: pd.DataFrame, dataset: Dataset) -> Dataset:
    """The data set with cells as they were before loading."""
    return Dataset(dataset.name, frame, dataset.target)


@pytest.mark.parametrize(
    "cells",
    [
        [f"{1 + i % 28:02}/{1 + i % 12:02}/2021" for i in range(ROWS)],
        [f"{i / 8:.3f}".replace(".", ",") for i in range(ROWS)],
        [f"{i % 24:02}:{i % 60:02}:00" for i in range(ROWS)],
        ["NA" if i % 9 == 0 else f"{i} %" for i in range(ROWS)],
    ],
    ids=["days first", "decimal commas", "times", "percent"],
)
def test_cells_of_a_file_encode_to_the_same(tmp_path, cells: list[str]) -> None:
    frame = pd.DataFrame({"cell": cells, "other": np.arange(ROWS) % 7, "goal": ["no", "yes"] * (ROWS // 2)})
    frame.to_csv(tmp_path / "t.csv", index=False, sep=";")
    dataset = FileSource(str(tmp_path / "t.csv"), target="goal").load()
    encoding = prepare(dataset, check=False).encoding
    check_rows(encoding, dataset, tmp_path, [0, 1, 9, 20])
    check_rows(encoding, unloaded(frame.drop(columns="goal"), dataset), tmp_path, [0, 1, 9, 20])


@given(
    cell=st.one_of(
        st.floats(),
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
        st.none(),
        st.text(),
        st.floats(width=32).map(np.float32),
        st.integers(0, 255).map(np.uint8),
        st.booleans().map(np.bool_),
        st.datetimes().map(pd.Timestamp),
        st.sampled_from([pd.NA, pd.NaT, np.nan, b"bytes", np.datetime64("2020-01-01")]),
    )
)
@settings(max_examples=200, deadline=None)
def test_any_cell_is_json_and_stays_what_it_is(cell: Any) -> None:
    plain = plain_cell(cell)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    number = isinstance(cell, (int, float, np.number)) and np.isfinite(cell)
    assert plain == cell if number or isinstance(cell, (str, np.bool_)) else plain is None or isinstance(plain, str)


def test_only_what_the_model_reads(tmp_path) -> None:
    write_examples(tmp_path, MIXED, [0], ANSWERS[:1], names=["size", "line"])
    (row,) = read_examples(tmp_path).rows
    assert list(row) == ["size", "line"]


def test_large_rows_are_left_out(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(examples, "BYTES", 16_000)
    kept = write_examples(tmp_path, MIXED, [0, 1, 2], ANSWERS)
    row = sum(a[:1].nbytes for a in MIXED.arrays.values())
    assert 5_000 < row < 10_000 and len(kept.rows) == len(kept.answers) == 2
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 18_000
    long = Dataset("long", pd.DataFrame({"story": ["word " * 5_000, "word"]}), pd.Series([1.0, 2.0]))
    kept = write_examples(tmp_path, long, [0, 1], np.array([5.0, 7.0]))
    assert kept.rows == [{"story": "word"}] and kept.answers.tolist() == [7.0]
    monkeypatch.setattr(examples, "BYTES", 5)
    write_examples(tmp_path, long, [0, 1], np.array([5.0, 7.0]))
    nothing = read_examples(tmp_path)
    assert nothing.rows == []
    check_examples(lambda rows: pytest.fail("asked for no row"), *nothing)


def test_another_answer_is_one_clear_line(tmp_path) -> None:
    write_examples(tmp_path, MIXED, [0, 1, 2], ANSWERS)
    written = read_examples(tmp_path)
    check_examples(lambda rows: ANSWERS + 9e-5, *written)
    other = ANSWERS.copy()
    for wrong in (2e-4, np.nan):
        other[1, 1] = 0.5 + wrong
        with pytest.raises(UserError, match=r"row 2 of its examples, where it answered 0\.5") as caught:
            check_examples(lambda rows: other, *written)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="shape"):
        check_examples(lambda rows: ANSWERS[:, 0], *written)


@given(st.floats(0.01, 1e6), st.floats(-1e9, 1e9))
@settings(max_examples=50)
def test_values_are_compared_in_their_unit(unit: float, value: float) -> None:
    rows, answers = [{"a": 1}], np.array([value])
    allowed = max(1e-4 * unit, 4 * 2**-23 * abs(value))
    check_examples(lambda _: np.array([value + 0.9 * allowed]), rows, answers, unit)
    with pytest.raises(UserError):
        check_examples(lambda _: np.array([value - 1.1 * allowed]), rows, answers, unit)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"rows": [{}], "arrays": [], "answers": [], "unit": 1}'])
def test_broken_examples_are_one_clear_line(tmp_path, text) -> None:
    if text is not None:
        (tmp_path / "examples.json").write_text(text)
    with pytest.raises(UserError, match="export the model again") as caught:
        read_examples(tmp_path)
    assert "\n" not in str(caught.value)


def test_arrays_that_are_gone_are_told(tmp_path) -> None:
    write_examples(tmp_path, MIXED, [0], ANSWERS[:1])
    (tmp_path / "examples.safetensors").unlink()
    with pytest.raises(UserError, match="export the model again"):
        read_examples(tmp_path)
    write_examples(tmp_path, Dataset("t", table(), MIXED.target), [0], ANSWERS[:1])
    assert not (tmp_path / "examples.safetensors").exists()
