"""Inputs as odd as people's files are, each with the one right answer: read, said, or refused in one line."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl.data.columns import column_kinds
from automl.data.prepare import Prepared, prepare
from automl.data.sources.file import FileSource
from automl.data.sources.frame import FrameSource
from automl.errors import UserError

N = 120
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=N)
X = RNG.normal(size=N).round(3)
Y = np.where(X + 0.1 * NOISE > 0, "up", "down")


def file(folder: Path, lines: str | bytes, name: str = "t.csv", **options: Any) -> Prepared:
    (folder / name).write_bytes(lines if isinstance(lines, bytes) else lines.encode())
    return prepare(FileSource(str(folder / name), **options).load())


def csv(folder: Path, column: list[str], *, sep: str = ",", head: str = "x", **options: Any) -> Prepared:
    """A table of one odd column, a plain one, and a target that the plain one explains."""
    quoted = [f'"{c}"' if sep in c else c for c in column]
    rows = [sep.join((c, str(i % 7), y)) for i, (c, y) in enumerate(zip(quoted, Y, strict=True))]
    return file(folder, "\n".join([sep.join((head, "z", "y")), *rows]), target="y", **options)


def values(prepared: Prepared, name: str = "x") -> np.ndarray:
    """A column as it was read, which is to be numbers."""
    column = prepared.dataset.table[name]
    assert pd.api.types.is_numeric_dtype(column), column.head().tolist()
    return column.to_numpy(np.float64, na_value=np.nan)


def same_when_served(prepared: Prepared, raw: pd.DataFrame | list[dict[str, Any]]) -> None:
    """The raw cells of the first rows are encoded as in training."""
    served = prepared.encoding.transform(prepared.encoding.dataset(raw))
    kept = prepared.given < len(raw)
    trained = prepared.encoding.transform(prepared.dataset, np.flatnonzero(kept))
    for one, other in zip(served, trained, strict=True):
        np.testing.assert_allclose(one[prepared.given[kept]], other, atol=1e-5)


def refused(call: Callable[[], Any], *words: str) -> None:
    with pytest.raises(UserError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert all(w in text for w in words), text


class TestNumbers:
    @pytest.mark.parametrize(
        "write",
        [
            lambda v: f"{v:.3f}".replace("-", "\N{MINUS SIGN}"),
            lambda v: f"({abs(v):.3f})" if v < 0 else f"{v:.3f}",  # as accountants write
            lambda v: f"{abs(v):.3f}-" if v < 0 else f"{v:.3f}",  # as SAP writes
            lambda v: f"{v:+.3f}",
            lambda v: f"{v:.3e}",
            lambda v: f"{v:.3E}".replace("E+0", "E").replace("E-0", "E-"),
            lambda v: f"\N{NO-BREAK SPACE}{v:.3f}\N{NO-BREAK SPACE}",
            lambda v: f"{v:.3f} %",
            lambda v: f"EUR {v:.3f}",
            lambda v: f"{v:.3f} kg",
        ],
        ids=["minus sign", "parentheses", "trailing minus", "plus", "exponent", "short", "blanks", "%", "EUR", "kg"],
    )
    def test_one_notation(self, tmp_path: Path, write: Callable[[float], str]) -> None:
        cells = [write(v) for v in X]
        prepared = csv(tmp_path, cells)
        got = values(prepared)
        np.testing.assert_allclose(got / got[0], X / X[0], rtol=2e-3)
        same_when_served(prepared, [{"x": cells[i], "z": str(i % 7)} for i in range(5)])

    @pytest.mark.parametrize("group", [".", "\N{NARROW NO-BREAK SPACE}", "'", " "])
    def test_thousands(self, tmp_path: Path, group: str) -> None:
        numbers = (1000 * X + 5000).round(2)
        cells = [f"{v:,.2f}".translate(str.maketrans({",": group, ".": ","})) for v in numbers]
        prepared = csv(tmp_path, cells, sep=";")
        np.testing.assert_allclose(values(prepared), numbers)
        same_when_served(prepared, [{"x": cells[i], "z": i % 7} for i in range(5)])

    @pytest.mark.parametrize("sep", [",", ";"])
    def test_bounds_of_an_instrument_are_read_as_their_numbers(self, tmp_path: Path, sep: str) -> None:
        cells = [f"{v:.3f}" for v in X]
        cells[1], cells[5], cells[9] = "<-1.5", "> 2.5", "\u2264 -1.5"
        if sep == ";":
            cells = [c.replace(".", ",") for c in cells]
        prepared = csv(tmp_path, cells, sep=sep)
        assert values(prepared)[[1, 5, 9]].tolist() == [-1.5, 2.5, -1.5]
        assert prepared.quality is not None
        (told,) = prepared.quality.named("mixed_types")
        assert "3 rows give a bound" in told.text and told.repaired
        same_when_served(prepared, [{"x": cells[i], "z": str(i % 7)} for i in range(10)])

    def test_answers_to_choose_from_are_no_bounds(self, tmp_path: Path) -> None:
        table = csv(tmp_path, [("<18", "18-30", "31-65", ">65")[i % 4] for i in range(N)]).dataset.table
        assert column_kinds(table)["x"] == "categorical" and table["x"].nunique() == 4

    def test_numbers_after_a_long_empty_beginning(self, tmp_path: Path) -> None:
        # Arrow guesses types from its first block of 8 MiB: what comes later must not break the reading.
        filler = "a" * 90
        rows = [f",{filler},{i % 2}" for i in range(100_000)] + [f"x{i % 3},{filler},{i % 2}" for i in range(1000)]
        path = tmp_path / "t.csv"
        path.write_text("\n".join(["late,fill,y", *rows]))
        dataset = FileSource(str(path), target="y").load()
        assert dataset.table["late"].dropna().nunique() == 3

    def test_words_after_a_long_beginning_of_numbers(self, tmp_path: Path) -> None:
        filler = "a" * 90
        rows = [f"{i},{filler},{i % 2}" for i in range(100_000)] + [f"n/k,{filler},{i % 2}" for i in range(1000)]
        path = tmp_path / "t.csv"
        path.write_text("\n".join(["late,fill,y", *rows]))
        dataset = FileSource(str(path), target="y").load()
        assert len(dataset) == 101_000

    @pytest.mark.parametrize(
        "cells",
        [
            [f"+49 170 {1000000 + i}" for i in range(N)],
            [f"192.168.{i % 3}.{i}" for i in range(N)],
            [f"{i % 3}/{2 + i % 4}" for i in range(N)],
            [f"{10000 + i % 9:05d}-{i % 4:04d}" for i in range(N)],
            [f"1.{i % 12}.{i % 5}" for i in range(N)],
        ],
        ids=["telephone", "ip", "fraction", "zip+4", "version"],
    )
    def test_what_only_looks_like_a_number_stays_words(self, tmp_path: Path, cells: list[str]) -> None:
        table = csv(tmp_path, cells).dataset.table
        assert "x" not in table or column_kinds(table)["x"] in ("categorical", "text")


class TestFiles:
    def test_old_mac_line_ends(self, tmp_path: Path) -> None:
        text = "\r".join(["x,y", *(f"{v},{y}" for v, y in zip(X, Y, strict=True))])
        np.testing.assert_allclose(values(file(tmp_path, text)), X)

    def test_excel_says_its_separator(self, tmp_path: Path) -> None:
        text = "\r\n".join(["sep=;", "x;y", *(f"{v};{y}" for v, y in zip(X, Y, strict=True))])
        np.testing.assert_allclose(values(file(tmp_path, text)), X)

    def test_comments_before_the_header(self, tmp_path: Path) -> None:
        text = "\n".join(["# made by a logger", "# 2024", "x,y", *(f"{v},{y}" for v, y in zip(X, Y, strict=True))])
        np.testing.assert_allclose(values(file(tmp_path, text)), X)

    def test_gzip_that_was_cut(self, tmp_path: Path) -> None:
        whole = gzip.compress("\n".join(["x,y", *(f"{v},{y}" for v, y in zip(X, Y, strict=True))]).encode())
        refused(lambda: file(tmp_path, whole[: len(whole) // 2], "t.csv.gz"), "t.csv.gz")

    def test_utf16_without_a_mark(self, tmp_path: Path) -> None:
        text = "\n".join(["größe,y", *(f"{v},{y}" for v, y in zip(X, Y, strict=True))])
        try:
            prepared = file(tmp_path, text.encode("utf-16-le"))
        except UserError as error:
            assert "encoding" in str(error) or "text" in str(error)
        else:
            assert list(prepared.dataset.table.columns) == ["größe"]

    @pytest.mark.parametrize(("wrote", "asked"), [("utf-8-sig", "utf-8"), ("utf-16", "utf-16-le"), ("utf-8", "utf-8")])
    def test_a_mark_before_the_encoding_that_is_asked_for(self, tmp_path: Path, wrote: str, asked: str) -> None:
        text = "\n".join(["x,y", *(f"{v},{y}" for v, y in zip(X, Y, strict=True))])
        np.testing.assert_allclose(values(file(tmp_path, text.encode(wrote), encoding=asked)), X)

    def test_parquet_of_every_type(self, tmp_path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(
            {
                "half": pa.array(X.astype(np.float16)),
                "huge": pa.array(np.arange(N, dtype=np.uint64) + np.uint64(2**63)),
                "money": pa.array([decimal.Decimal(f"{v:.2f}") for v in X]),
                "zone": pa.array(pd.date_range("2024-01-01", periods=N, freq="h", tz="Europe/Berlin")),
                "took": pa.array([dt.timedelta(seconds=int(i)) for i in range(N)]),
                "dict": pa.array(["a", "b", "c"] * (N // 3)).dictionary_encode(),
                "nothing": pa.nulls(N),
                "y": pa.array(list(Y)),
            }
        )
        pq.write_table(table, tmp_path / "t.parquet")
        prepared = prepare(FileSource(str(tmp_path / "t.parquet"), target="y").load(), check=False)
        numbers = [i for i, c in enumerate(prepared.task.inputs[0].cardinalities) if c == 0]
        assert np.abs(prepared.parts.train.inputs[0][:, numbers]).max() <= 20  # NaN is not
        same_when_served(prepared, table.drop(["y"]).slice(0, 7).to_pandas())


class TestDates:
    @pytest.mark.parametrize(
        "form",
        ["%d.%m.%y", "%m/%d/%Y %I:%M %p", "%Y%m%dT%H%M%S", "%d-%b-%Y", "%Y-%m-%d %H:%M:%S.%f", "%B %d, %Y"],
    )
    def test_forms(self, tmp_path: Path, form: str) -> None:
        days = pd.date_range("1999-12-01 06:30", periods=N, freq="31h")
        cells = [d.strftime(form) for d in days]
        prepared = csv(tmp_path, cells)
        read = pd.Series(prepared.dataset.table["x"])
        assert pd.api.types.is_datetime64_any_dtype(read), read.head()
        assert read.is_monotonic_increasing
        same_when_served(prepared, [{"x": c, "z": i % 7} for i, c in enumerate(cells[:5])])

    def test_whole_numbers_that_are_dates_stay_where_they_tell(self, tmp_path: Path) -> None:
        days = pd.date_range("2024-01-01", periods=N)
        lines = [f"{d:%Y%m%d},{i % 7},{'late' if i > 60 else 'early'}" for i, d in enumerate(days)]
        assert "x" in file(tmp_path, "\n".join(["x,z,y", *lines])).dataset.table

    def test_spans_are_a_quantity(self, tmp_path: Path) -> None:
        cells = [f"{i}h" if i % 5 == 0 else f"{i % 24}h {(7 * i) % 60}m" for i in range(N)]
        prepared = csv(tmp_path, cells)
        assert values(prepared)[[1, 5]].tolist() == [3600 + 420, 5 * 3600]
        same_when_served(prepared, [{"x": cells[i], "z": i % 7} for i in range(6)])

    def test_time_of_day_is_a_quantity(self, tmp_path: Path) -> None:
        cells = [f"{i % 24}:{(7 * i) % 60:02d}" for i in range(N)]
        prepared = csv(tmp_path, cells)
        assert column_kinds(prepared.dataset.table)["x"] in ("numeric", "datetime")
        same_when_served(prepared, [{"x": cells[i], "z": i % 7} for i in range(5)])


class TestFrames:
    def test_objects_of_every_kind(self) -> None:
        frame = pd.DataFrame(
            {
                "decimal": [decimal.Decimal(f"{v:.2f}") for v in X],
                "fraction": [fractions.Fraction(int(i), 7) for i in range(N)],
                "date": [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(N)],
                "delta": pd.Series([dt.timedelta(hours=i) for i in range(N)], dtype=object),
                "mixed": [None if i % 10 == 0 else (np.float32(i) if i % 2 else i) for i in range(N)],
                "na": [pd.NA if i % 9 == 0 else float(i % 5) for i in range(N)],
                "y": Y,
            }
        )
        prepared = prepare(FrameSource(frame, target="y").load())
        kinds = column_kinds(prepared.dataset.table)
        assert {kinds[c] for c in ("decimal", "fraction", "delta", "mixed", "na")} == {"numeric"}
        assert kinds["date"] == "datetime"
        same_when_served(prepared, frame.drop(columns="y").head(12))

    def test_names_that_are_one_as_text(self) -> None:
        refused(lambda: FrameSource(pd.DataFrame({0: X, "0": X, "y": Y}), target="y").load(), "'0'", "twice")

    def test_intervals(self) -> None:
        frame = pd.DataFrame({"bin": pd.cut(pd.Series(X), 4), "x": X, "y": Y})
        prepared = prepare(FrameSource(frame, target="y").load())
        assert column_kinds(prepared.dataset.table)["bin"] == "categorical"
        same_when_served(prepared, frame.drop(columns="y").head(5))

    def test_rows_named_like_a_column(self) -> None:
        frame = pd.DataFrame({"x": X, "y": Y}, index=pd.Index(np.arange(N)[::-1], name="x"))
        np.testing.assert_allclose(values(prepare(FrameSource(frame, target="y").load())), X)

    def test_a_target_of_another_index_goes_by_position(self) -> None:
        target = pd.Series(Y, index=np.arange(N)[::-1])
        dataset = FrameSource(pd.DataFrame({"x": X}), y=target).load()
        assert dataset.target.tolist() == Y.tolist()

    def test_one_hot_target(self) -> None:
        refused(lambda: FrameSource(X[:, None], y=np.eye(3)[np.arange(N) % 3]).load(), "shape")


class TestArrays:
    @pytest.mark.parametrize("kind", [">f4", "<f2", "float64", "int8", "bool", object])
    def test_every_dtype(self, kind: Any) -> None:
        x = np.column_stack([10 * X, np.arange(N) % 5]).astype(np.int8 if kind == "int8" else np.float64).astype(kind)
        prepared = prepare(FrameSource(x, y=Y).load(), check=False)
        assert np.isfinite(prepared.parts.train.inputs[0]).all()
        same_when_served(prepared, pd.DataFrame(x[:5], columns=["x0", "x1"]))

    def test_masked_cells_are_missing(self) -> None:
        x = np.ma.masked_array(np.column_stack([X, X]), mask=np.column_stack([np.arange(N) % 2, np.zeros(N)]))
        x.data[1::2, 0] = 1e6
        dataset = FrameSource(x, y=Y).load()
        assert dataset.table["x0"].isna().sum() == N // 2

    def test_torch_tensors(self) -> None:
        import torch

        prepared = prepare(
            FrameSource(torch.tensor(np.column_stack([X, NOISE])), y=torch.tensor(np.arange(N) % 2)).load()
        )
        assert prepared.task.kind == "binary"

    def test_an_array_without_rows(self) -> None:
        refused(lambda: prepare(FrameSource(np.zeros((0, 3)), y=np.zeros(0)).load()))

    def test_series_of_one_step(self) -> None:
        prepared = prepare(FrameSource(NOISE[:, None, None], y=Y, modality="series").load())
        assert np.isfinite(prepared.parts.train.inputs[0]).all()

    def test_series_without_a_value_in_some_rows(self) -> None:
        x = RNG.normal(size=(N, 1, 20))
        x[::5] = np.nan
        prepared = prepare(FrameSource(x, y=Y, modality="series").load())
        for inputs in (prepared.parts.train.inputs, prepared.parts.test.inputs):
            assert np.abs(inputs[0]).max() <= 20


class TestTargets:
    def test_minus_one_and_one(self) -> None:
        prepared = prepare(FrameSource(X[:, None], y=np.where(X > 0, 1, -1)).load())
        assert prepared.task.classes == ("-1", "1")

    def test_true_and_one_are_one_label(self) -> None:
        target = pd.Series([(True, 1)[i % 2] if x > 0 else 0 for i, x in enumerate(X)], dtype=object)
        prepared = prepare(FrameSource(pd.DataFrame({"x": X}), y=target).load())
        assert prepared.task.kind == "binary" and len(prepared.task.classes) == 2

    def test_whole_floats_with_a_gap(self) -> None:
        target = pd.Series(np.where(X > 0, 2.0, 1.0)).where(np.arange(N) % 11 > 0)
        prepared = prepare(FrameSource(pd.DataFrame({"x": X}), y=target).load())
        assert prepared.task.classes == ("1", "2")

    def test_bounds_are_classes_where_they_are_few(self) -> None:
        target = np.where(X > 0, ">30", np.where(NOISE > 0, "<30", "30"))
        prepared = prepare(FrameSource(pd.DataFrame({"x": X, "y": target}), target="y").load())
        assert set(prepared.task.classes) == {"<30", "30", ">30"}

    def test_bounds_among_the_values_to_predict_are_told(self) -> None:
        target = [f"{v:.3f}" for v in X + NOISE]
        target[3] = "<-1.5"
        prepared = prepare(FrameSource(pd.DataFrame({"x": X, "y": target}), target="y").load())
        assert prepared.task.kind == "regression" and prepared.dataset.target[3] == -1.5
        assert any("1 rows give a bound, such as '<-1.5'" in line for line in prepared.task.why)

    def test_infinite(self) -> None:
        target = NOISE.copy()
        target[3] = np.inf
        refused(lambda: prepare(FrameSource(X[:, None], y=target).load()), "infin")

    def test_classes_that_differ_by_case_are_told(self) -> None:
        target = np.where(X > 0, "Yes", "no")
        target[:10] = np.char.lower(target[:10])
        prepared = prepare(FrameSource(pd.DataFrame({"x": X, "y": target}), target="y").load())
        assert prepared.quality is not None
        assert any("yes" in f.text.lower() and f.where == "target" for f in prepared.quality.findings)

    def test_emoji_and_right_to_left_labels(self, tmp_path: Path) -> None:
        labels = np.where(X > 0, "👍🏽", "לא")
        text = "\n".join(["x,y", *(f"{v},{y}" for v, y in zip(X, labels, strict=True))])
        assert set(file(tmp_path, text).task.classes) == {"👍🏽", "לא"}

    def test_labels_that_look_the_same_are_one(self, tmp_path: Path) -> None:
        """Accents as one sign or two, and signs that nobody sees: two classes that no person could tell apart."""
        twins = np.array(["caf\u00e9", "cafe\u0301", "caf\u00e9\u200b", "\ufeffcaf\u00e9"])
        labels = np.where(X > 0, twins[np.arange(N) % 4], "bar")
        prepared = file(tmp_path, "\n".join(["x,y", *(f"{v},{y}" for v, y in zip(X, labels, strict=True))]))
        assert prepared.task.classes == ("bar", "caf\u00e9")
        frame = pd.DataFrame({"place": labels, "x": X, "y": Y})
        for one in (frame, frame.astype({"place": object})):
            encoding = prepare(FrameSource(one, target="y").load()).encoding
            sent = [{"place": place, "x": 0.0} for place in (*twins, "bar")]
            alone = np.concatenate([encoding.transform(encoding.dataset(row))[0] for row in sent])
            assert (alone[:4] == alone[0]).all() and (alone[4] != alone[0]).any()
            np.testing.assert_array_equal(encoding.transform(encoding.dataset(sent))[0], alone)

    def test_errors_of_spreadsheets_and_gaps_of_databases_are_missing(self, tmp_path: Path) -> None:
        words = ("#DIV/0!", "#NAME?", "#NUM!", "\\N", "(null)", "a", "b", "c")
        table = csv(tmp_path, [words[i % 8] for i in range(N)]).dataset.table
        assert set(table["x"].dropna()) == {"a", "b", "c"}

    def test_a_label_that_is_nan_as_a_word(self, tmp_path: Path) -> None:
        # "None" is a class of garages, as people write it; it is no missing value.
        labels = np.where(X > 0, "None", "Attached")
        text = "\n".join(["x,y", *(f"{v},{y}" for v, y in zip(X, labels, strict=True))])
        assert set(file(tmp_path, text).task.classes) == {"None", "Attached"}


class TestNames:
    @pytest.mark.parametrize(
        "name", ["a=b", "[x]", "x.y", "  x  ", "p_up", "row", "split ", "{x}", "ünï", "x" * 300, "'", "None", "0"]
    )
    def test_columns(self, name: str) -> None:
        frame = pd.DataFrame({name: X, "z": NOISE, "y": Y})
        prepared = prepare(FrameSource(frame, target="y").load())
        same_when_served(prepared, frame.drop(columns="y").head(5))

    def test_a_column_that_has_to_be_read_may_be_called_self(self) -> None:
        frame = pd.DataFrame({"self": X > 0, "z": NOISE, "y": Y})
        prepared = prepare(FrameSource(frame, target="y").load())
        same_when_served(prepared, frame.drop(columns="y").head(5))


class TestServed:
    @pytest.mark.parametrize(
        "cell", [1.5, "1.5", " 1.5 ", decimal.Decimal("1.5"), np.float32(1.5), "+1.5", "1.50"], ids=repr
    )
    def test_one_number_in_many_guises(self, cell: Any) -> None:
        prepared = prepare(FrameSource(pd.DataFrame({"x": X, "z": NOISE, "y": Y}), target="y").load())
        encode = prepared.encoding
        one = encode.transform(encode.dataset([{"x": cell, "z": 0.0}]))[0]
        other = encode.transform(encode.dataset([{"x": 1.5, "z": 0.0}]))[0]
        np.testing.assert_array_equal(one, other)

    def test_a_date_in_many_guises(self) -> None:
        days = pd.date_range("2024-01-01", periods=N, freq="D")
        prepared = prepare(FrameSource(pd.DataFrame({"when": days, "x": X, "y": Y}), target="y").load())
        encode, when = prepared.encoding, pd.Timestamp("2024-02-03")
        guises = [when, when.to_pydatetime(), when.date(), "2024-02-03", np.datetime64("2024-02-03"), "03 Feb 2024"]
        rows = [encode.transform(encode.dataset([{"when": g, "x": 0.0}]))[0] for g in guises]
        for row in rows[1:]:
            np.testing.assert_array_equal(row, rows[0])
