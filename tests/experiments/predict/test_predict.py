"""Answers for tables: those of the bundle for all rows at once, whatever the file and the chunks."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from automl.data.cells.reading import to_number
from automl.data.progress import Progress
from automl.data.sources.file import FileSource
from automl.data.sources.frame import FrameSource
from automl.deploy.bundle import Bundle
from automl.errors import UserError
from experiments.configuration import CONF
from experiments.predict import answers, csv_rows, judged
from experiments.predict.csv_rows import bare_numbers
from experiments.predict.inputs import opened
from experiments.predict.predict import predict, rows_at_once, summary
from experiments.predict.run import Options, options_of
from tests.experiments.predict.bundles import bundle_of, calibrated, people

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Of classes, learned from a csv file."""
    folder = tmp_path_factory.mktemp("model")
    people(200).to_csv(folder / "train.csv", index=False)
    return bundle_of(folder / "bundle", FileSource(str(folder / "train.csv"), target="size").load(), "multiclass")


@pytest.fixture(scope="module")
def values(tmp_path_factory) -> Path:
    """Of numbers, learned from a DataFrame."""
    frame = people(200).drop(columns="size").assign(price=np.arange(200.0))
    return bundle_of(
        tmp_path_factory.mktemp("values") / "bundle", FrameSource(frame, target="price").load(), "regression"
    )


def asked(bundle: Path, path: Path, **more: Any) -> Options:
    return Options(bundle, path, path.with_name(more.pop("out", "out.parquet")), progress=False, **more)


def agrees(found: pd.DataFrame, bundle: Path, frame: pd.DataFrame) -> None:
    """With the bundle's own answers for all rows."""
    loaded = Bundle.load(bundle)
    assert found["row"].tolist() == list(range(len(frame)))
    if loaded.task.kind == "regression":
        np.testing.assert_allclose(found["prediction"], loaded.predict(frame), rtol=1e-5)
        return
    np.testing.assert_array_equal(found["prediction"], loaded.predict(frame))
    shares = found[[f"p_{name}" for name in loaded.task.classes]]
    np.testing.assert_allclose(shares, loaded.predict_proba(frame), rtol=1e-5)


def written(frame: pd.DataFrame, path: Path) -> Path:
    kind = path.suffixes[0]
    if kind == ".parquet":
        frame.to_parquet(path, row_group_size=10)
    elif kind == ".arrow":
        frame.to_feather(path)
    else:
        text = frame.to_csv(index=False, sep={".tsv": "\t", ".semicolon": ";"}.get(kind, ","))
        packed = {".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)
        path.write_bytes(packed(text.encode("utf-16" if kind == ".wide" else "utf-8")))
    return path


NAMES = ["a.csv", "a.csv.gz", "a.csv.bz2", "a.tsv", "a.semicolon", "a.wide", "a.parquet", "a.arrow"]


@pytest.mark.parametrize(("name", "chunk"), [*((name, 7) for name in NAMES), ("a.csv", None), ("a.parquet", None)])
def test_every_kind_of_table_is_answered_as_the_bundle_answers(model, tmp_path, name, chunk):
    frame = people(60, seed=1).drop(columns="size")
    done = predict(asked(model, written(frame, tmp_path / name), chunk=chunk))
    assert (done.rows, done.answered, done.unreadable, done.notes) == (60, 60, 0, ())
    found = pd.read_parquet(done.out)
    agrees(found, model, frame)
    assert list(found) == ["row", "prediction", "p_large", "p_middle", "p_small"]
    sizes = pq.ParquetFile(done.out).metadata
    assert [sizes.row_group(i).num_rows for i in range(sizes.num_row_groups)] == ([7] * 8 + [4] if chunk else [60])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "out.parquet"])


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_values_and_a_csv_of_answers(values, tmp_path, name):
    frame = people(30, seed=2)
    done = predict(asked(values, written(frame, tmp_path / name), chunk=11, out="deep.csv"))
    found = pd.read_csv(done.out)
    assert list(found) == ["row", "prediction"]
    agrees(found, values, frame)


def test_columns_in_another_order_more_of_them_and_the_target(model, tmp_path):
    frame = people(20, seed=3)
    other = frame.assign(note="x", more=1)[["more", "size", "joined", "city", "note", "children", "height"]]
    for name in ("a.csv", "a.parquet"):
        agrees(
            pd.read_parquet(predict(asked(model, written(other, tmp_path / name), overwrite=True)).out), model, frame
        )


def test_numbers_are_read_in_the_files_own_notation(model, tmp_path):
    """1.234 is 1234 in a German file, and 3,14 a number."""
    frame = people(40, seed=4).drop(columns="size")
    frame["height"] = frame["height"].round(2)
    german = frame.assign(height=[f"{v:.2f}".replace(".", ",") if v == v else "" for v in frame["height"]])
    german.loc[3, "height"], frame.loc[3, "height"] = "1.170", 1170.0
    german.to_csv(tmp_path / "german.csv", sep=";", index=False)
    done = predict(asked(model, tmp_path / "german.csv"))
    assert not done.notes
    agrees(pd.read_parquet(done.out), model, frame)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("0123456789.,+-eE x", max_size=9), max_size=3), st.sampled_from(".,"))
def test_numbers_are_those_of_the_cells_one_by_one(cells, decimal):
    found = bare_numbers(pa.chunked_array([cells], pa.string()), decimal)
    if found is not None:
        np.testing.assert_array_equal(found, to_number(pd.Series(cells, dtype="str"), decimal))


def test_a_later_cell_of_another_encoding(model, tmp_path):
    """Behind the head by which the encoding is found."""
    frame = people(9_000, seed=5).drop(columns="size").assign(city="New York, where the people of this table live")
    frame.loc[8_999, "city"] = "Köln"
    text = frame.to_csv(index=False)
    assert text.encode().index("Köln".encode()) > 1 << 18
    (tmp_path / "a.csv").write_bytes(text.encode("cp1252"))
    agrees(pd.read_parquet(predict(asked(model, tmp_path / "a.csv")).out), model, frame)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.sampled_from(["good", "short", "long", "blank"]), max_size=60), st.integers(1, 20))
def test_lines_of_another_width_have_no_answer(model, tmp_path_factory, kinds, chunk):
    folder = tmp_path_factory.mktemp("ragged")
    frame = people(len(kinds), seed=6).drop(columns="size").assign(city="Rome")
    head, *lines = frame.to_csv(index=False).splitlines()
    lines = [
        {"good": line, "short": "1,2", "long": f"{line},x,y", "blank": ""}[k]
        for k, line in zip(kinds, lines, strict=True)
    ]
    rows = [k for k in kinds if k != "blank"]  # which is no row, as at training
    (folder / "a.csv").write_text("\n".join([head, *[f"{line}" for line in lines], ""]))
    options = asked(model, folder / "a.csv", chunk=chunk, delimiter=",")
    good = np.array([k == "good" for k in rows], dtype=bool)
    if len(rows) and not good.any():
        with pytest.raises(UserError, match="none of the"):
            predict(options)
        assert [p.name for p in folder.iterdir()] == ["a.csv"]
        return
    done = predict(options)
    found = pd.read_parquet(done.out)
    assert (done.rows, done.unreadable) == (len(rows), int((~good).sum()))
    assert [row for row, _ in done.first] == np.flatnonzero(~good)[:5].tolist()
    assert found["prediction"].notna().tolist() == good.tolist()
    if good.any():
        kept = frame[[k == "good" for k in kinds]].reset_index(drop=True)
        agrees(found[good].assign(row=range(len(kept))), model, kept)


def test_what_is_unreadable_is_named(model, tmp_path):
    frame = people(30, seed=7).drop(columns="size").assign(city="Rome").astype({"height": object})
    frame.loc[12, "height"] = "tall"
    head, *lines = frame.to_csv(index=False).splitlines()
    lines[20] += ",and more"
    (tmp_path / "a.csv").write_text("\n".join([head, *lines]))
    told = summary(predict(asked(model, tmp_path / "a.csv", chunk=8)))
    assert "unreadable  1: their answers are missing" in told
    assert "row 20: 5 fields where the header has 4: " in told and lines[20][:30] in told
    assert "column 'height' holds 'tall' in row 12, which is no number: taken as missing" in told


def test_a_csv_is_read_no_further_than_is_asked_for(model, tmp_path, monkeypatch):
    """And who stops in the middle is not waited for."""
    monkeypatch.setattr(csv_rows, "BLOCK", 1 << 12)
    path = written(people(2_000, seed=5), tmp_path / "a.csv")
    reads = []

    class Bar(Progress):
        def advance(self, amount: float = 1) -> None:
            reads.append(amount)

    chunks = opened(path, Bundle.load(model).encoding).chunks(10, Bar("", None))
    assert next(chunks).count == 10
    assert 1 <= len(reads) <= csv_rows.AHEAD + 2 < path.stat().st_size >> 12
    chunks.close()


WRONG = [
    ("a.csv", b"", "a.csv is empty"),
    ("a.csv", b"height,children,city\n1,2,Rome\n", "column 'joined' is not in"),
    ("a.csv", b"height,children,city,joined,city\n1,2,a,2020-01-01,b\n", "column name 'city' stands twice"),
    (
        "a.csv",
        b"height,children,city,joined\n" + b'1,2,"a"\n' * 3000,
        "is ragged: 3 fields in line 2 where the header has 4",
    ),
    ("a.parquet", b"PAR1 and no more", "is not a readable parquet file"),
    ("a.arrow", b"no arrow", "is not a readable arrow file"),
    ("a.json", b"{}", "is of a kind that is not read"),
    ("a.csv.gz", gzip.compress(b"height,children,city,joined\n1,2,Rome,2020-01-01\n" * 99)[:-20], "broken archive"),
]


@pytest.mark.parametrize(("name", "content", "says"), WRONG, ids=[f"{i}-{w[0]}" for i, w in enumerate(WRONG)])
def test_a_wrong_file_is_one_line_and_leaves_nothing(model, tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        predict(asked(model, tmp_path / name))
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_no_rows_give_no_answers(model, tmp_path, name):
    done = predict(asked(model, written(people(5)[:0], tmp_path / name)))
    assert done.rows == 0 and pd.read_parquet(done.out).shape == (0, 5)
    assert "rows        0 in" in summary(done)


def test_a_column_of_lists_fits_no_row(model, tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "HOPELESS", 20)
    frame = people(50).assign(height=[[1.0]] * 50)
    with pytest.raises(
        UserError, match=r"none of the first 20 rows can be read; row 19: column 'height'.* holds lists"
    ):
        predict(asked(model, written(frame, tmp_path / "a.parquet")))


def test_intervals_and_sets(tmp_path):
    frame = people(25, seed=8)
    path = written(frame, tmp_path / "a.csv")
    values = calibrated(tmp_path / "values", people(60), "regression", "height")
    loaded = Bundle.load(values)
    found = pd.read_parquet(predict(asked(values, path, level=0.5)).out)
    assert list(found) == ["row", "prediction", "low", "high"]
    np.testing.assert_allclose(found[["low", "high"]], loaded.predict_interval(pd.read_csv(path), 0.5), rtol=1e-6)
    model = calibrated(tmp_path / "classes", people(60), "multiclass", "size")
    path.write_text(path.read_text() + "1,2\n")
    options = asked(model, path, level=0.66, chunk=4, overwrite=True)
    found = pd.read_parquet(predict(options).out)
    assert list(found)[-2:] == ["set", "credibility"] and found.iloc[25, 1:].isna().all()
    inside = Bundle.load(model).predict_set(frame, 0.66)
    expected = [[c for c, i in zip(("large", "middle", "small"), row, strict=True) if i] for row in inside]
    assert [list(s) for s in found["set"][:25]] == expected and len(set(map(len, expected))) > 1
    np.testing.assert_array_equal(found["prediction"][:25], Bundle.load(model).predict(frame))
    text = pd.read_csv(predict(dataclasses.replace(options, out=tmp_path / "o.csv")).out)
    assert text["set"][:25].fillna("").tolist() == ["|".join(s) for s in expected]


def test_a_bundle_without_calibration_says_so_before_anything_is_written(model, tmp_path):
    with pytest.raises(UserError, match="no calibration"):
        predict(asked(model, written(people(5), tmp_path / "a.csv"), level=0.9))
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_a_chunk_is_small_where_a_row_is_wide(model):
    loaded = Bundle.load(model)
    assert rows_at_once(loaded) == 1 << 16
    wide = dataclasses.replace(loaded.task.inputs[0], shape=(3, 64, 64))
    assert 100 < rows_at_once(dataclasses.replace(loaded, task=dataclasses.replace(loaded.task, inputs=(wide,)))) < 200
    assert rows_at_once(dataclasses.replace(loaded, task=dataclasses.replace(loaded.task, num_outputs=10_000))) < 210


@pytest.fixture(scope="module")
def recipe() -> Any:
    """By itself: to compose the whole configuration takes a moment."""
    mine = OmegaConf.load(CONF / "experiment/predict.yaml")
    return OmegaConf.merge({"data": {"path": None, "delimiter": None, "encoding": None}, "progress": True}, mine)


OPTIONS = [
    ({"out": "p.json"}, "must end in .parquet or .csv"),
    ({"out": 3}, "out=3 must be a path"),
    ({"out": "there.csv"}, "there.csv exists. Set out=ANOTHER_FILE, or overwrite=true"),
    ({"out": "./new.csv", "overwrite": True}, "is the file that is read"),
    ({"out": "new.csv/p.csv"}, "cannot be written: File exists"),
    ({"level": 1}, "level=1.0 must be below 1"),
    ({"level": "high"}, "level=high must be a number above 0"),
    ({"chunk": 0}, "chunk=0 must be a whole number of at least 1"),
    ({"overwrite": "yes please"}, "overwrite=yes please must be true or false"),
    ({"bundle": "nowhere"}, "nowhere does not exist"),
    ({"data.path": "old.csv"}, "old.csv does not exist"),
    ({"data.target": "size"}, "data.target=size does nothing here: of data, path, delimiter, encoding are read"),
    ({"data.delimiter": 3}, "data.delimiter=3 must be text or null"),
]


@pytest.mark.parametrize(("options", "says"), OPTIONS, ids=lambda v: str(v)[:40])
def test_a_wrong_option_is_one_line(recipe, model, tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.csv").write_text("a\n1\n")
    (tmp_path / "there.csv").write_text("")
    given = {"bundle": str(model), "data.path": "new.csv", "out": "p.csv", **options}
    cfg = recipe.copy()
    for name, value in given.items():
        OmegaConf.update(cfg, name, value)
    with pytest.raises(UserError) as caught:
        options_of(cfg, [f"{name}={value}" for name, value in given.items()])
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_the_folder_of_the_output_is_made(recipe, model, tmp_path):
    (tmp_path / "new.csv").write_text("a\n1\n")
    more = {"bundle": str(model), "data": {"path": f"{tmp_path}/new.csv"}, "out": f"{tmp_path}/deep/er/p.csv"}
    options = options_of(OmegaConf.merge(recipe, more, {"level": 0.9}))
    assert options.level == 0.9 and (tmp_path / "deep/er").is_dir()


def test_the_command_needs_no_torch(model, tmp_path):
    path = written(people(20, seed=9), tmp_path / "a.csv")
    code = (
        "import sys, json; from experiments.cli import main\n"
        "main(); print(json.dumps([m for m in ('torch', 'scipy', 'sklearn', 'ray', 'nni') if m in sys.modules]))"
    )
    typed = ["+experiment=predict", f"bundle={model}", f"data.path={path}", f"out={tmp_path}/p.parquet"]
    done = subprocess.run(
        [sys.executable, "-c", code, *typed, f"hydra.run.dir={tmp_path}/run"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *said, modules = done.stdout.splitlines()
    assert json.loads(modules) == []
    assert said[0].startswith("rows        20 in ") and said[-1] == f"answers     {tmp_path}/p.parquet"
    agrees(pd.read_parquet(tmp_path / "p.parquet"), model, people(20, seed=9))
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.semicolon"])
@pytest.mark.parametrize("out", ["out.parquet", "out.csv"])
def test_where_the_table_tells_the_truth_the_score_is_told(model, tmp_path, name, out):
    frame = people(60, seed=4)
    frame.loc[3, "size"] = None
    done = predict(asked(model, written(frame, tmp_path / name), out=out))
    right = Bundle.load(model).predict(frame) == frame["size"]
    expected = f"accuracy {right.sum() / 59:.4f} on the 59 rows whose size the table tells"
    assert done.score == expected and f"score       {expected}" in summary(done)


def test_the_score_of_values_and_why_there_is_none(values, model, tmp_path, monkeypatch):
    frame = people(30, seed=2).assign(price=np.linspace(0, 200, 30))
    told = Bundle.load(values).predict(frame)
    rest = 1 - ((frame["price"] - told) ** 2).sum() / ((frame["price"] - frame["price"].mean()) ** 2).sum()
    done = predict(asked(values, written(frame, tmp_path / "a.parquet"), out="v.csv"))
    assert done.score == f"r2 {rest:.4f} on the 30 rows whose price the table tells"
    for change, why in (
        ({"size": "huge"}, "'huge' in row 1, not one of the classes"),
        ({"size": None}, "holds no value"),
    ):
        done = predict(asked(model, written(people(9, seed=4).assign(**change), tmp_path / "b.csv"), overwrite=True))
        assert done.score.startswith("not told") and why in done.score, done.score
    monkeypatch.setattr(judged, "LARGEST", 10)
    done = predict(asked(model, written(people(9, seed=4), tmp_path / "c.csv"), overwrite=True))
    assert done.score == "not told of tables above 0 MB, though column 'size' is there"
    done = predict(asked(model, written(people(9, seed=4).drop(columns="size"), tmp_path / "d.csv"), overwrite=True))
    assert done.score == "" and "\nscore" not in summary(done)
