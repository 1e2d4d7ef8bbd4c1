"""From files and frames to a Dataset: dialects, labels as they are written, and steps that serving can repeat."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automl.data.dataset import Dataset
from automl.data.prepare import Prepared, prepare
from automl.data.quality import clean, steps_from_json, steps_to_json
from automl.data.sources.file import FileSource
from automl.data.sources.frame import FrameSource
from automl.errors import UserError

RNG = np.random.default_rng(0)


def load(folder: Path, content: str, coding: str = "utf-8", **options: Any) -> Dataset:
    (folder / "t.csv").write_bytes(content.encode(coding))
    return FileSource(str(folder / "t.csv"), **options).load()


def column(folder: Path, cells: list[str], labels: list[str] | None = None) -> Prepared:
    """A csv of one odd column ``c``, one plain one and labels, prepared."""
    rows = len(cells)
    labels = labels or [("u", "v", "v", "u", "v")[i % 5] for i in range(rows)]
    lines = [f'"{c}",{i * 37 % 11 / 10},{t}' for i, (c, t) in enumerate(zip(cells, labels, strict=True))]
    return prepare(load(folder, "c,plain,target\n" + "\n".join(lines) + "\n"))


class TestDialect:
    @pytest.mark.parametrize(
        ("content", "columns"),
        [
            ("id,a,b\n1,10,1,\n2,20,2,\n", ["id", "b"]),  # each line ends in a delimiter
            ("id,a,b,\n1,10,1,\n2,20,2,\n", ["id", "b"]),
            ("id,a,b,\n1,10,1\n2,20,2\n", ["id", "b"]),
            ("id,a,b\n1,10,1,\n2,20,2,x\n", ["id", "a"]),  # names of rows are not, so the header lacks the first
        ],
    )
    def test_an_empty_last_field_moves_no_column(self, tmp_path: Path, content: str, columns: list[str]) -> None:
        if content.endswith("x\n"):
            with pytest.raises(UserError, match=r"nameless|no name"):
                load(tmp_path, content.replace("1,10", "1,10.5").replace("2,20", "1,20"), target="a")
            return
        dataset = load(tmp_path, content, target="a")
        assert list(dataset.table.columns) == columns and list(dataset.target) == ["10", "20"]

    def test_a_header_longer_than_the_first_block(self, tmp_path: Path) -> None:
        names = [f"a_long_name_{i:05d}_{'x' * 1000}" for i in range(280)]
        row = ",".join(["1.5"] * len(names))
        dataset = load(tmp_path, f"{','.join(names)},y\n{row},u\n{row},v\n", target="y")
        assert list(dataset.table.columns) == names and list(dataset.target) == ["u", "v"]

    def test_rows_named_by_r(self, tmp_path: Path) -> None:
        assert list(load(tmp_path, '"a","b"\n"1",10,1\n"2",20,2\n').table.columns) == ["a"]

    @pytest.mark.parametrize(
        ("content", "target", "header"),
        [
            ("10,20,y\n1,2,3\n4,5,6\n", None, True),
            ("10,20,y\n1,2,u\n4,5,v\n", None, True),
            ("10,20,x\n1,2,u\n4,5,v\n", "20", True),
            ("1,2,3\n7,8,9\n4,5,6\n", None, True),  # they count the columns
            ("10,20,u\n1,2,u\n4,5,v\n", None, False),
            ("10,20,?\n1,2,3\n4,5,6\n", None, False),
            ("10,20,30.5\n1,2,3\n4,5,6\n", None, False),
        ],
    )
    def test_header_of_numbers(self, tmp_path: Path, content: str, target: str | None, header: bool) -> None:
        assert len(load(tmp_path, content, target=target)) == (2 if header else 3)

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
    def test_encodings_that_are_found(self, tmp_path: Path, encoding: str) -> None:
        dataset = load(tmp_path, "ort,target\n" + "Köln,ja\nWien,nein\n" * 9, encoding)
        assert set(dataset.table["ort"]) == {"Köln", "Wien"}

    @pytest.mark.parametrize(
        ("encoding", "word"), [("cp1251", "Москва"), ("gb18030", "北京市"), ("shift_jis", "東京都")]
    )
    def test_encodings_that_are_asked_for(self, tmp_path: Path, encoding: str, word: str) -> None:
        content = "a,target\n" + f"{word},u\nx,v\n" * 9
        with pytest.raises(UserError, match=r"set data\.encoding, such as cp1251"):
            load(tmp_path, content, encoding)
        assert word in set(load(tmp_path, content, encoding, encoding=encoding).table["a"])

    @pytest.mark.parametrize(("encoding", "said"), [("klingon", "unknown"), ("hex", "unknown"), ("utf-8", "not utf-8")])
    def test_a_wrong_encoding_is_one_line(self, tmp_path: Path, encoding: str, said: str) -> None:
        with pytest.raises(UserError, match=said):
            load(tmp_path, "a,target\né,x\n", "latin-1", encoding=encoding)


class TestNotation:
    def test_decimal_commas_and_points_between_groups(self, tmp_path: Path) -> None:
        prices = RNG.uniform(900, 90_000, 60).round(2)
        german = [f"{p:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".") for p in prices]
        lines = [f"{g};{i * 37 % 61 + 1}.{i % 900 + 100};{g}" for i, g in enumerate(german)]
        prepared = prepare(
            load(tmp_path, "preis;menge;y\n" + "\n".join(lines) + "\n"), repairs={"id_like_column": False}
        )
        np.testing.assert_allclose(prepared.dataset.table["preis"], prices)
        assert prepared.dataset.table["menge"].iloc[0] == 1100
        assert prepared.task.kind == "regression"
        np.testing.assert_allclose(prepared.dataset.target, prices)

    def test_target_and_feature_are_read_alike(self, tmp_path: Path) -> None:
        lines = [f'"{i},5","{i},5"' for i in RNG.permutation(60)]
        prepared = prepare(load(tmp_path, "a,y\n" + "\n".join(lines) + "\n"))
        np.testing.assert_array_equal(prepared.dataset.table["a"], prepared.dataset.target)
        assert prepared.dataset.target.max() == 59.5

    def test_a_number_with_gaps_is_a_number(self, tmp_path: Path) -> None:
        cells = ["-" if i % 8 == 0 else f"{i * 37 % 101 / 7:.3f}" for i in range(120)]
        prepared = column(tmp_path, cells)
        assert int(prepared.dataset.table["c"].isna().sum()) == 15
        assert any("'-'" in f.text for f in prepared.quality.named("mixed_types"))  # type: ignore[union-attr]

    def test_what_stays_words_is_said(self, tmp_path: Path) -> None:
        prepared = column(tmp_path, [f"{i * 37 % 101}{'kg' if i % 2 else 'lb'}" for i in range(120)])
        assert any("'lb', 'kg'" in f.text for f in prepared.quality.findings)  # type: ignore[union-attr]
        junk = [f"{i * 37 % 101 / 7:.3f}" if i % 3 else f"no {i % 5}" for i in range(120)]
        prepared = column(tmp_path, junk)
        assert any("40 rows say something else: 'no " in f.text for f in prepared.quality.findings)  # type: ignore[union-attr]

    def test_an_open_notation_is_said(self, tmp_path: Path) -> None:
        cells = [f"{i % 9 + 1}.{i * 37 % 900 + 100}" for i in range(60)]
        text = "c;target\n" + "".join(f"{c};{'uv'[i % 2]}\n" for i, c in enumerate(cells))
        frame = pd.DataFrame({"c": [c.replace(".", ",") for c in cells], "target": ["u", "v"] * 30})
        for dataset, first in ((load(tmp_path, text), 1.1), (FrameSource(frame).load(), 1100)):
            prepared = prepare(dataset)
            assert "two readings" in prepared.quality.named("numeric_text")[0].text  # type: ignore[union-attr]
            assert prepared.dataset.table["c"].iloc[0] == first

    def test_times_of_day_are_quantities(self, tmp_path: Path) -> None:
        prepared = column(tmp_path, [f"{i * 7 % 24:02d}:{i * 11 % 60:02d}:30" for i in range(60)])
        assert prepared.dataset.table["c"].iloc[1] == 7 * 3600 + 11 * 60 + 30

    @pytest.mark.parametrize(
        "cells", [["01234", "12345"], [str(2**60), str(2**60 + 1)], [str(10**25), str(10**25 + 1)]]
    )
    def test_names_of_digits_stay_words(self, tmp_path: Path, cells: list[str]) -> None:
        prepared = column(tmp_path, cells * 30)
        assert set(prepared.dataset.table["c"]) == set(cells)

    def test_check_off_reads_the_same(self, tmp_path: Path) -> None:
        text = "a;b;target\n" + "".join(f"{i * 37 % 91}.500;{i % 28 + 1:02d}/01/2020;{i % 2}\n" for i in range(60))
        dataset = load(tmp_path, text)
        off, on = prepare(dataset, check=False), prepare(dataset, repairs={"id_like_column": False})
        pd.testing.assert_frame_equal(off.dataset.table, on.dataset.table)
        assert off.dataset.table["b"].iloc[27] == pd.Timestamp("2020-01-28")
        assert off.encoding.steps == on.encoding.steps


class TestTime:
    @pytest.mark.parametrize("form", ["%d/%m/%Y", "%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d", "%d.%m.%y"])
    def test_the_test_rows_are_the_latest(self, tmp_path: Path, form: str) -> None:
        days = pd.date_range("2020-01-01", periods=400)
        for shown in (days.strftime(form), days):
            frame = pd.DataFrame({"when": shown, "a": RNG.normal(size=400), "y": np.arange(400) % 2})
            frame.to_csv(tmp_path / "t.csv", index=False)
            for source in (
                FrameSource(frame, target="y", time="when"),
                FileSource(str(tmp_path / "t.csv"), "y", time="when"),
            ):
                assert (np.diff(source.load().time) > 0).all()  # type: ignore[call-overload]

    def test_a_date_and_a_value_alone_need_lags(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="y_lag1"):
            load(tmp_path, "date,y\n2020-01-01,3\n2020-01-02,4\n", target="y", time="date")


LABELS = {
    "padded": (["01", "02", "10"], ("01", "02", "10")),
    "booleans": (["true", "false"], ("false", "true")),
    "whole numbers": (["10", "9", "-1"], ("-1", "9", "10")),
    "fractions": (["3.0", "1.5"], ("1.5", "3.0")),
    "one number, two spellings": (["1", "1", "1.0", "2"], ("1", "2")),
    "blanks": (["x", "x ", " y"], ("x", "y")),
    "continents": (["EU", "NA", "AS", "AF"], ("AF", "AS", "EU", "NA")),
    "no answer": (["yes", "NA", "no", "no"], ("no", "yes")),
    "question mark": (["u", "?", "v", "v"], ("u", "v")),
    "lists of codes": (["2,3,4", "1,3", "2"], ("1,3", "2", "2,3,4")),
    "superscript": (["5²", "x"], ("5²", "x")),
}


class TestLabels:
    @pytest.mark.parametrize("name", LABELS)
    def test_as_the_file_writes_them(self, tmp_path: Path, name: str) -> None:
        cells, classes = LABELS[name]
        lines = [f'{i * 37 % 101},"{cells[i % len(cells)]}"' for i in range(120)]
        from_file = prepare(load(tmp_path, "a,target\n" + "\n".join(lines) + "\n"))
        frame = pd.DataFrame({"a": np.arange(120) * 37 % 101, "target": [cells[i % len(cells)] for i in range(120)]})
        from_frame = prepare(FrameSource(frame).load())
        assert from_file.task.classes == from_frame.task.classes == classes
        assert set(from_file.encoding.decode(from_file.parts.train.y)) <= set(classes)

    @pytest.mark.parametrize(
        ("values", "classes"),
        [
            (pd.Series([True, False, None, True] * 10, dtype=object), ("False", "True")),
            (pd.array([True, False, None, True] * 10, dtype="boolean"), ("False", "True")),
            (pd.Series([b"u", b"v"] * 20, dtype=object), ("u", "v")),
            (pd.Categorical([1, 2, None, 1] * 10, categories=[1, 2, 3]), ("1", "2")),
            (pd.array([1, 2, None, 1] * 10, dtype="Int64"), ("1", "2")),
            (pd.Series([1, 2.0, "2", " 1"] * 10, dtype=object), ("1", "2")),
        ],
    )
    def test_of_any_type(self, values: Any, classes: tuple[str, ...]) -> None:
        frame = pd.DataFrame({"a": np.arange(40) * 37 % 7, "y": values})
        assert prepare(FrameSource(frame, target="y").load()).task.classes == classes

    def test_times_and_dates_as_target(self, tmp_path: Path) -> None:
        head, rows = "a,y\n", range(60)
        times = head + "".join(f"{i * 37 % 41},{i * 7 % 24:02d}:{i * 11 % 60:02d}:00\n" for i in rows)
        assert prepare(load(tmp_path, times), check=False).task.kind == "regression"
        shifts = head + "".join(f"{i * 37 % 41},{['06:00', '14:00', '22:00'][i % 3]}\n" for i in rows)
        assert prepare(load(tmp_path, shifts), check=False).task.classes == ("06:00", "14:00", "22:00")
        with pytest.raises(UserError, match="holds dates"):
            prepare(load(tmp_path, head + "".join(f"{i},2020-01-{i % 28 + 1:02d}\n" for i in rows)))

    def test_rows_without_an_answer_are_said(self, tmp_path: Path) -> None:
        text = "a,target\n" + "".join(f"{i * 37 % 101},{['yes', 'NA', 'no', 'no'][i % 4]}\n" for i in range(80))
        assert any("'NA' (20 rows)" in line for line in prepare(load(tmp_path, text)).task.why)

    def test_a_level_that_no_row_has_is_no_class(self) -> None:
        labels = pd.Categorical(["u", "v"] * 20, categories=["u", "v", "w"])
        task = prepare(FrameSource(pd.DataFrame({"a": np.arange(40) % 7, "y": labels}), target="y").load()).task
        assert (task.kind, task.metric) == ("binary", "accuracy")
        with pytest.raises(UserError, match="nothing to tell apart"):
            frame = pd.DataFrame({"a": np.arange(40) % 7, "y": pd.Categorical(["u"] * 40, categories=["u", "v"])})
            prepare(FrameSource(frame, target="y").load())

    def test_whole_numbers_in_a_csv_follow_the_rules_of_numbers(self, tmp_path: Path) -> None:
        grades = np.repeat([3, 4, 5, 6, 7, 8, 9], [30, 216, 2138, 2836, 1079, 193, 5])
        text = "a,quality\n" + "".join(f"{i * 37 % 101},{g}\n" for i, g in enumerate(grades))
        assert prepare(load(tmp_path, text, target="quality"), check=False).task.kind == "regression"

    def test_far_from_zero_no_value_is_lost(self) -> None:
        y = 1_700_000_000 + RNG.permutation(600)
        prepared = prepare(FrameSource(pd.DataFrame({"a": RNG.normal(size=600), "y": y}), target="y").load())
        for part in (prepared.parts.train, prepared.parts.valid, prepared.parts.test):
            np.testing.assert_array_equal(prepared.encoding.decode(part.y), y[prepared.given[part.rows]])
            assert np.abs(part.y).max() < 1000
        state = prepared.encoding.to_json()
        assert type(prepared.encoding).from_json(state).target.center == prepared.encoding.target.center != 0

    def test_several_targets_are_refused_in_one_line(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": [1] * 9, "y1": [1] * 9, "y2": [1] * 9})
        for make in (
            lambda: FrameSource(frame, target=["y1", "y2"]).load(),  # type: ignore[arg-type]
            lambda: FrameSource(frame, y=["y1", "y2"]).load(),
            lambda: FrameSource(frame, y=np.ones((9, 2))).load(),
            lambda: load(tmp_path, "a,y1,y2\n1,2,3\n", target=["y1", "y2"]),
        ):
            with pytest.raises(UserError, match=r"one (target )?is learned"):
                make()


class TestFrames:
    def test_arrow_types_are_those_of_a_parquet_file(self, tmp_path: Path) -> None:
        frame = pd.DataFrame(
            {
                "day": pd.date_range("2020", periods=40).astype(pd.ArrowDtype(pa.date32())),
                "whole": pd.array(range(40), dtype=pd.ArrowDtype(pa.int64())),
                "price": pd.Series([decimal.Decimal("1.5")] * 40).astype(pd.ArrowDtype(pa.decimal128(10, 2))),
                "word": pd.array(["a", "b"] * 20, dtype=pd.ArrowDtype(pa.string())),
                "clock": pd.array([datetime.time(1, 2, i) for i in range(40)], dtype=pd.ArrowDtype(pa.time64("us"))),
                "kind": pd.Series(["a", "b"] * 20).astype(pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
                "flag": pd.array([True, None] * 20, dtype=pd.ArrowDtype(pa.bool_())),
                "empty": pd.array([None] * 40, dtype=pd.ArrowDtype(pa.null())),
                "y": ["u", "v"] * 20,
            }
        )
        frame.to_parquet(tmp_path / "t.parquet")
        one, other = FrameSource(frame).load(), FileSource(str(tmp_path / "t.parquet")).load()
        pd.testing.assert_frame_equal(one.table, other.table)
        assert one.steps == other.steps
        assert one.table["day"].iloc[1] == pd.Timestamp("2020-01-02") and one.table["price"].iloc[0] == 1.5
        assert one.table["flag"].iloc[0] == 1.0
        assert prepare(one, repairs={"id_like_column": False}).dataset.table["clock"].iloc[3] == 3723
        lists = pd.DataFrame({"a": pd.array([[1]] * 9, dtype=pd.ArrowDtype(pa.list_(pa.int64()))), "y": [0] * 9})
        with pytest.raises(UserError, match="'a' in frame holds lists or bytes"):
            FrameSource(lists).load()

    def test_true_and_false_are_labels_in_every_file(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": np.arange(40.0), "y": np.arange(40) % 3 > 0})
        frame.to_parquet(tmp_path / "t.parquet")
        frame.to_csv(tmp_path / "t.csv", index=False)
        files = [FileSource(str(tmp_path / name)) for name in ("t.parquet", "t.csv")]
        for source in (FrameSource(frame), *files):
            assert prepare(source.load(), check=False).task.classes == ("False", "True")

    def test_sparse_numbers_and_bytes(self) -> None:
        sparse = pd.arrays.SparseArray(np.arange(40) % 5)
        frame = pd.DataFrame({"a": sparse, "b": pd.Series([b"x", b"\xff"] * 20, dtype=object), "y": ["u", "v"] * 20})
        table = FrameSource(frame, target="y").load().table
        assert table["a"].tolist() == list(np.arange(40) % 5) and set(table["b"]) == {"x", "\ufffd"}

    def test_the_index_of_a_saved_frame_is_no_column(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": np.arange(90.0), "y": np.arange(90) % 2}).sample(60, random_state=0)
        frame.to_parquet(tmp_path / "t.parquet")
        dataset = FileSource(str(tmp_path / "t.parquet")).load()
        assert list(dataset.table.columns) == ["a"] and dataset.target.name == "y"
        assert any("__index_level_0__" in note for note in dataset.notes)

    def test_an_index_that_is_named_as_time_is_a_column(self) -> None:
        frame = pd.DataFrame({"a": range(9), "y": range(9)}, index=pd.date_range("2020", periods=9, name="when"))
        assert FrameSource(frame, target="y", time="when").load().time is not None
        assert any("when" in note for note in FrameSource(frame, target="y").load().notes)

    def test_split_words_of_an_array(self) -> None:
        x, y = np.zeros((4, 5, 5), np.uint8), [0, 1] * 2
        split = FrameSource(x, y, split=["Train", "training", "testing", "VAL"]).load().split
        assert split is not None and split.tolist() == ["train", "train", "test", "valid"]
        with pytest.raises(UserError, match="'later' in row 2; use train, valid or test"):
            FrameSource(x, y, split=["train", "later", "test", "test"]).load()
        with pytest.raises(UserError, match="2 words for 4 rows"):
            FrameSource(x, y, split=["train", "test"]).load()

    @pytest.mark.parametrize("name", ["split", "Split"])
    def test_a_column_called_split_beside_a_given_split(self, name: str) -> None:
        words = ["train"] * 30 + ["test"] * 10
        frame = pd.DataFrame({name: np.arange(40.0) % 3, "a": np.arange(40.0), "y": ["u", "v"] * 20})
        dataset = FrameSource(frame, target="y", split=words).load()
        assert list(dataset.table.columns) == [name, "a"] and dataset.split is not None
        assert dataset.split.tolist() == words and dataset.table[name].tolist() == frame[name].tolist()
        dataset = FrameSource(frame, target=name, split=words).load()
        assert list(dataset.table.columns) == ["a", "y"] and dataset.target.tolist() == frame[name].tolist()

    def test_columns_of_another_machine(self) -> None:
        cells = {"a": RNG.normal(size=40).astype(">f8"), "b": np.arange(40).astype(">i2"), "g": np.arange(40) // 4}
        frame = pd.DataFrame(cells | {"y": (np.arange(40) % 2).astype(">i8")})
        frame["g"] = frame["g"].to_numpy().astype(">i4")
        prepared = prepare(FrameSource(frame, target="y", group="g").load())
        assert prepared.task.classes == ("0", "1")
        trained = prepared.encoding.transform(prepared.dataset)[0][:5]
        np.testing.assert_array_equal(prepared.encoding.transform(prepared.encoding.dataset(frame[:5]))[0], trained)

    @pytest.mark.parametrize("axes", [(40, 2), (40, 1, 9)])
    @pytest.mark.parametrize("kind", [np.int64, ">i4", np.float32, "<U1"])
    def test_a_target_that_is_masked_or_of_another_machine(self, axes: tuple[int, ...], kind: Any) -> None:
        target = np.ma.masked_array((np.arange(40) % 2).astype(kind), np.arange(40) < 10)
        for y, known in ((target, 30), (np.asarray(target), 40)):
            dataset = FrameSource(RNG.normal(size=axes), y=y).load()
            assert dataset.target.notna().sum() == known
            assert prepare(dataset, check=False).task.classes == ("0", "1")

    def test_half_a_sign_is_replaced_in_cells_labels_and_names(self) -> None:
        cells = {"a\ud83d": ["a\ud83d", "b", "c", "b"] * 20, "y": ["u\ud83d", "v"] * 40}
        frame = pd.DataFrame({i: pd.Series(c, dtype=object) for i, c in enumerate(cells.values())})
        frame.columns = pd.Index(list(cells), dtype=object)
        prepared = prepare(FrameSource(frame.assign(n=np.arange(80) % 7), target="y").load())
        assert prepared.task.classes == ("u?", "v") and "a?" in set(prepared.dataset.table["a?"])


# kind of column -> how a cell is written
CELLS = {
    "whole": st.integers(-(10**6), 10**6).map(str),
    "fraction": st.floats(-1e6, 1e6).map(lambda v: f"{v:.4f}"),
    "exponent": st.floats(-1e6, 1e6).map(lambda v: f"{v:.4e}"),
    "comma": st.floats(-1e6, 1e6).map(lambda v: f"{v:.2f}".replace(".", ",")),
    "german": st.floats(-1e6, 1e6).map(lambda v: f"{v:,.2f}".translate(str.maketrans(",.", ".,"))),
    "money": st.floats(0, 1e6).map(lambda v: f"${v:,.2f}"),
    "weight": st.floats(0, 500).map(lambda v: f"{v:.1f} kg"),
    "flag": st.sampled_from(["true", "false"]),
    "Flag": st.sampled_from(["TRUE", "False"]),
    "word": st.sampled_from(["red", " green", "blue ", "none", "Zoë", "1st"]),
    "padded": st.integers(0, 99999).map(lambda v: f"{v:05d}"),
    "id": st.integers(2**60, 2**62).map(str),
    "day": st.dates().map(str),
    "moment": st.datetimes(datetime.datetime(1900, 1, 1)).map(lambda v: f"{v:%Y-%m-%d %H:%M:%S}"),
    "german day": st.dates(datetime.date(1900, 1, 1)).map(lambda v: f"{v:%d.%m.%Y}"),
    "slash day": st.dates(datetime.date(1900, 1, 1)).map(lambda v: f"{v:%d/%m/%Y}"),
    "zone": st.datetimes(datetime.datetime(1900, 1, 1)).map(lambda v: f"{v:%Y-%m-%dT%H:%M:%S}+02:00"),
    "time": st.times().map(lambda v: f"{v:%H:%M:%S}"),
}
GAPS = st.sampled_from(["", "NA", "?", "nan", "NULL", "n/a"])


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data(), delimiter=st.sampled_from([",", ";", "\t"]), gaps=st.booleans())
def test_the_cells_of_the_file_read_as_in_training(
    tmp_path: Path, data: st.DataObject, delimiter: str, gaps: bool
) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4, unique=True))
    rows = data.draw(st.integers(8, 40))
    cell = {k: CELLS[k] if not gaps else st.one_of(CELLS[k], CELLS[k], CELLS[k], GAPS) for k in kinds}
    raw = pd.DataFrame({k: [data.draw(cell[k]) for _ in range(rows)] for k in kinds}, dtype=object)
    raw["steady"] = [str(i * 37 % 11) for i in range(rows)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter)
    writer.writerow([*raw.columns, "target"])
    writer.writerows([*r, "uv"[i % 2]] for i, r in enumerate(raw.itertuples(index=False)))
    dataset = load(tmp_path, buffer.getvalue())
    off = {"duplicate_rows": False, "id_like_column": False}
    for prepared in (prepare(dataset, check=False), prepare(dataset, repairs=off)):
        steps = steps_from_json(steps_to_json(prepared.encoding.steps))
        again = clean(raw, steps)
        pd.testing.assert_frame_equal(again, prepared.dataset.table, check_dtype=False)
        served = prepared.encoding.transform(prepared.encoding.dataset(raw.to_dict("records")))
        for one, other in zip(served, prepared.encoding.transform(prepared.dataset), strict=True):
            np.testing.assert_array_equal(one, other)
        first = prepared.encoding.transform(prepared.encoding.dataset(raw.iloc[:1].to_dict("records")))
        for one, other in zip(first, served, strict=True):
            np.testing.assert_array_equal(one, other[:1])


@pytest.mark.parametrize(
    "values",
    [
        pd.to_timedelta(np.arange(60) * 37 % 53, unit="min"),
        pd.period_range("2020-01", periods=60, freq="M"),
        pd.Series([True, False, True] * 20),
        pd.array([True, None, False] * 20, dtype="boolean"),
        pd.date_range("2020-01-01", periods=60, tz="Europe/Berlin"),
        pd.Series([datetime.time(i % 24, i * 7 % 60) for i in range(60)]),
        pd.Series([2**60 + i % 5 for i in range(60)]),
        pd.array([1, 2, None] * 20, dtype="Int64"),
    ],
    ids=["durations", "periods", "bools", "bools with gaps", "zone", "times", "names", "whole with gaps"],
)
def test_the_cells_of_a_frame_are_served_as_they_are_and_as_text(values: Any) -> None:
    frame = pd.DataFrame({"c": values, "b": np.arange(60) * 37 % 11, "y": ["u", "v", "v"] * 20})
    prepared = prepare(
        FrameSource(frame, target="y").load(), repairs={"id_like_column": False, "duplicate_rows": False}
    )
    trained = prepared.encoding.transform(prepared.dataset)[0]
    assert "c" in {f["name"] for f in prepared.encoding.fields}
    text = frame.assign(c=frame["c"].astype(object).map(str, na_action="ignore"))
    for rows in (frame, text, frame.to_dict("records")):
        np.testing.assert_array_equal(prepared.encoding.transform(prepared.encoding.dataset(rows))[0], trained)
