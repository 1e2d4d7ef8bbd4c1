"""Contract: the raw cells of training, served in any form, give the encoded inputs of training."""

from __future__ import annotations

import base64
import csv
import datetime
import decimal
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.io.wavfile
import torch
from PIL import Image
from torch import nn

from automl.data.dataset import Dataset
from automl.data.encode import Encoding
from automl.data.prepare import prepare
from automl.data.sources.audio_folder import AudioFolderSource
from automl.data.sources.file import FileSource
from automl.data.sources.frame import FrameSource
from automl.data.sources.image_folder import ImageFolderSource
from automl.deploy.bundle import Bundle
from automl.deploy.export import export
from automl.errors import UserError
from automl.training.predictor import Predictor

RNG = np.random.default_rng(0)
ROWS = 60


def fitted(dataset: Dataset) -> Encoding:
    return Encoding.fit(dataset, np.arange(len(dataset)), kind="binary", steps=dataset.steps)


def served(encoding: Encoding, rows: Any) -> tuple[np.ndarray, ...]:
    return encoding.transform(encoding.dataset(rows))


def same(got: tuple[np.ndarray, ...], expected: tuple[np.ndarray, ...], rows: Any = slice(None)) -> None:
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b[rows])


def forms(frame: pd.DataFrame) -> Iterator[tuple[str, Any]]:
    """All ways to send a table."""
    yield "frame", frame
    yield "another index", frame.set_axis(range(100, 100 + len(frame)))
    yield "columns reordered", frame[frame.columns[::-1]]
    yield "one more column", frame.assign(comment="not asked for")
    yield "objects", frame.to_dict("records")
    yield "lists", {c: frame[c].tolist() for c in frame}
    yield "columns", {c: frame[c].set_axis(range(7, 7 + len(frame))) for c in frame}
    yield "arrays", {c: frame[c].to_numpy() for c in frame}
    yield "one array", frame.to_numpy(dtype=object)


def check_forms(dataset: Dataset, frame: pd.DataFrame) -> None:
    prepared = prepare(dataset, check=False)
    encoding = prepared.encoding
    expected = encoding.transform(prepared.dataset)
    for form, rows in forms(frame):
        try:
            same(served(encoding, rows), expected)
        except AssertionError as error:
            raise AssertionError(form) from error
    for i in range(0, len(frame), 7):
        same(served(encoding, frame.to_dict("records")[i]), expected, [i])
        same(served(encoding, frame.iloc[i].astype(object)), expected, [i])
        same(served(encoding, frame.iloc[[i]]), expected, [i])


WORDS = ["red", "blue", "small", "large", "round", "soft", "warm", "cold"]
DAYS = [f"2021-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(ROWS)]
PROSE = [" ".join(RNG.choice(WORDS, 6)) + f" {i}" for i in range(ROWS)]

# Cells as they stand in a csv file.
CELLS: dict[str, list[str]] = {
    "numbers": [str(v) for v in RNG.normal(size=ROWS)],
    "numbers with gaps": ["" if i % 9 == 0 else str(i * 0.5) for i in range(ROWS)],
    "whole numbers": [str(i % 7) for i in range(ROWS)],
    "categories": [("Rome", "Oslo", "Lima")[i % 3] for i in range(ROWS)],
    "many categories": [f"shop {i % 15}" for i in range(ROWS)],
    "dates": DAYS,
    "text": PROSE,
    "categories with gaps": ["" if i % 9 == 0 else "ab"[i % 2] for i in range(ROWS)],
    "words for missing": ["NA" if i % 9 == 0 else "?" if i % 10 == 0 else "ab"[i % 2] for i in range(ROWS)],
    "true and false": [("true", "false")[i % 3 > 0] for i in range(ROWS)],
    "True and False": [("True", "False")[i % 3 > 0] for i in range(ROWS)],
    "times": [f"{i % 24:02}:{i % 60:02}:00" for i in range(ROWS)],
    "days first": [f"{1 + i % 28:02}/{1 + i % 12:02}/2021" for i in range(ROWS)],
    "times of a zone": [f"{d}T10:00:00+09:00" for d in DAYS],
    "decimal commas": [f"{i / 8:.3f}".replace(".", ",") for i in range(ROWS)],
    "grouped": [f"{i * 997.5:,.1f}" for i in range(ROWS)],
    "a unit": [f"{i / 8} kg" for i in range(ROWS)],
    "percent": [f"{i} %" for i in range(ROWS)],
    "hexadecimal": [f"0x{'ABC'[i % 3]}F" for i in range(ROWS)],
    "hours": [f"{d} {i % 24:02}" for i, d in enumerate(DAYS)],
    "durations": [str(pd.Timedelta(minutes=i - 20)) for i in range(ROWS)],
    "numbers and underscores": [f"{i % 3}_{i % 2}" for i in range(ROWS)],
    "leading zeros": [f"0{i % 9}100" for i in range(ROWS)],
    "long whole numbers": [str(10**17 + i % 9) for i in range(ROWS)],
    "spaces": [(" Rome", "Rome ", "Oslo")[i % 3] for i in range(ROWS)],
    "commas and quotes": [('a, "b"', "c;d", "e\tf")[i % 3] for i in range(ROWS)],
}


@pytest.mark.parametrize("kind", CELLS)
def test_cells_of_a_csv_file(tmp_path: Path, kind: str) -> None:
    """The texts of the file, as a form or another reader sends them."""
    path = tmp_path / "t.csv"
    table = {"cell": CELLS[kind], "other": [str(i) for i in RNG.permutation(ROWS)]}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*table, "goal"])
        writer.writerows(zip(*table.values(), ["no", "yes"] * (ROWS // 2), strict=True))
    dataset = FileSource(str(path), target="goal").load()
    check_forms(dataset, pd.DataFrame(table, dtype="str"))
    if kind != "leading zeros":  # which pandas takes off
        check_forms(dataset, pd.read_csv(path).drop(columns="goal"))


# Columns as they are in memory.
COLUMNS: dict[str, Any] = {
    "floats": RNG.normal(size=ROWS),
    "floats with gaps": np.where(np.arange(ROWS) % 9 == 0, np.nan, RNG.normal(size=ROWS)),
    "infinite": np.where(np.arange(ROWS) % 9 == 0, np.inf, RNG.normal(size=ROWS)),
    "float32": RNG.normal(size=ROWS).astype(np.float32),
    "integers": np.arange(ROWS) % 7,
    "bytes": (np.arange(ROWS) % 7).astype(np.uint8),
    "nullable integers": pd.array([None if i % 9 == 0 else i % 7 for i in range(ROWS)], dtype="Int64"),
    "bools": np.arange(ROWS) % 3 > 0,
    "nullable bools": pd.array([None if i % 9 == 0 else i % 2 > 0 for i in range(ROWS)], dtype="boolean"),
    "strings": pd.array([("Rome", "Oslo", None)[i % 3] for i in range(ROWS)], dtype="string"),
    "objects": np.array([("Rome", 3, None)[i % 3] for i in range(ROWS)], dtype=object),
    "categorical": pd.Categorical([("Rome", "Oslo", None)[i % 3] for i in range(ROWS)], ["Rome", "Oslo", "Lima"]),
    "categories of numbers": pd.Categorical([i % 3 for i in range(ROWS)]),
    "dates": pd.to_datetime(DAYS),
    "dates with gaps": pd.Series(pd.to_datetime(DAYS)).where(np.arange(ROWS) % 9 > 0),
    "dates of a zone": pd.to_datetime(DAYS).tz_localize("Asia/Tokyo"),
    "date objects": np.array([datetime.date.fromisoformat(d) for d in DAYS], dtype=object),
    "durations": pd.to_timedelta(np.arange(ROWS) % 11, unit="min"),
    "durations with gaps": pd.Series(pd.to_timedelta(np.arange(ROWS) % 11, unit="min")).where(np.arange(ROWS) % 9 > 0),
    "periods": pd.period_range("2020-01", periods=ROWS, freq="M"),
    "decimals": np.array([decimal.Decimal(i) / 4 for i in range(ROWS)], dtype=object),
    "truths and 0 and 1": np.array([(True, 1, 0, False, None)[i % 5] for i in range(ROWS)], dtype=object),
    "truths and numbers": np.array([(True, 2, 0.5, False)[i % 4] for i in range(ROWS)], dtype=object),
    "truths, numbers and words": np.array([(True, 1, "x", False, 0)[i % 5] for i in range(ROWS)], dtype=object),
    "numbers, truths and words": np.array([(1, True, "x", 0)[i % 4] for i in range(ROWS)], dtype=object),
    "text": PROSE,
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_of_a_frame(kind: str) -> None:
    frame = pd.DataFrame({"other": RNG.permutation(ROWS), "cell": COLUMNS[kind], "constant": 1.0})
    dataset = FrameSource(frame, ["no", "yes"] * (ROWS // 2)).load()
    check_forms(dataset, frame)


def test_a_number_is_no_text_of_the_notation_of_the_file(tmp_path: Path) -> None:
    written = [f"{i * 997.5:,.2f}".translate(str.maketrans(",.", ".,")) for i in range(ROWS)]
    lines = [f"{w};{i % 5};{'ab'[i % 2]}" for i, w in enumerate(written)]
    (tmp_path / "t.csv").write_text("\n".join(["price;other;y", *lines]))
    encoding = prepare(FileSource(str(tmp_path / "t.csv"), target="y").load()).encoding
    rows = [{"price": v, "other": 1} for v in (17.027, "17,027", "17.027,00", 17027)]
    near, text, far, number = (served(encoding, [row])[0] for row in rows)
    np.testing.assert_array_equal(near, text)
    np.testing.assert_array_equal(far, number)
    assert (near != far).any()


@pytest.mark.parametrize("form", [lambda v: v, lambda v: str(v).lower()], ids=["frame", "csv"])
def test_true_and_false_beside_other_words(tmp_path: Path, form: Any) -> None:
    cells = [(True, False, "unknown")[i % 3] for i in range(ROWS)]
    frame = pd.DataFrame({"cell": [form(c) for c in cells], "other": np.arange(ROWS) % 7, "y": ["a", "b"] * 30})
    encoding = prepare(FrameSource(frame, target="y").load()).encoding
    for i in range(3):  # alone, a cell makes a column of truth values
        raw = {"cell": cells[i], "other": i}
        np.testing.assert_array_equal(served(encoding, [raw])[0], served(encoding, frame.iloc[:3])[0][[i]])
    several = [{"cell": c, "other": i} for i, c in enumerate(cells[:3])]
    same(served(encoding, several), served(encoding, frame.iloc[:3]))


def test_what_repairs_did_is_done_again() -> None:
    """A placeholder, a spelling, a number among words, an infinite value; and columns that were dropped."""
    rows = 200
    frame = pd.DataFrame(
        {
            "constant": ["same"] * rows,
            "size": [("12", "7.5", "?", "30")[i % 4] for i in range(rows)],
            "city": [("Rome", "rome", "Oslo", "N/A")[(i * 7) % 4] for i in range(rows)],
            "far": [np.inf if i % 50 == 0 else float(RNG.normal()) for i in range(rows)],
            "copy": [("12", "7.5", "?", "30")[i % 4] for i in range(rows)],
        }
    )
    frame["noise"] = RNG.normal(size=rows)
    y = np.where(frame["noise"] + RNG.normal(size=rows) > 0, "yes", "no")
    prepared = prepare(FrameSource(frame, y).load())
    assert prepared.encoding.columns == tuple(frame.columns) and len(prepared.encoding.fields) < len(frame.columns)
    for part in (prepared.parts.train, prepared.parts.test):
        raw = frame.iloc[prepared.given[part.rows]]
        for _, rows_sent in forms(raw):
            same(served(prepared.encoding, rows_sent), part.inputs)


def test_an_array_as_it_was_at_training() -> None:
    """Constant columns are not used, and are sent all the same; so is a flat picture's shape."""
    x = RNG.normal(size=(ROWS, 4))
    x[:, 1] = 3.0
    dataset = FrameSource(x, np.arange(ROWS) % 2).load()
    encoding = fitted(dataset)
    same(served(encoding, x), encoding.transform(dataset))
    cube = RNG.normal(size=(ROWS, 2, 3))
    dataset = FrameSource(cube, np.arange(ROWS) % 2, modality="tabular").load()
    same(served(fitted(dataset), cube), fitted(dataset).transform(dataset))
    words = np.array([[PROSE[i], i % 5] for i in range(ROWS)], dtype=object)
    dataset = FrameSource(words, np.arange(ROWS) % 2).load()
    assert [f["kind"] for f in fitted(dataset).fields] == ["numeric", "text"], "not in the order of the columns"
    same(served(fitted(dataset), words), fitted(dataset).transform(dataset))


PICTURES: dict[str, np.ndarray] = {
    "bytes": RNG.integers(0, 256, (9, 8, 10)),
    "colour": RNG.integers(0, 256, (9, 8, 10, 3)),
    "colours first": RNG.integers(0, 256, (9, 3, 8, 10)),
    "one colour": RNG.integers(0, 256, (9, 8, 10, 1)),
    "with alpha": RNG.integers(0, 256, (9, 8, 10, 4)),
    "a mask": RNG.integers(0, 2, (9, 8, 10)),
    "few levels": RNG.integers(0, 17, (9, 8, 10)),
    "16 bits": RNG.integers(0, 65_536, (9, 8, 10)).astype(np.uint16),
    "12 bits": RNG.integers(100, 4096, (9, 8, 10)).astype(np.uint16),
    "shares": RNG.random((9, 8, 10, 3)),
    "shares in float32": RNG.random((9, 8, 10)).astype(np.float32),
    "small shares": RNG.random((9, 8, 10)) * 1e-3,
    "float bytes": RNG.random((9, 8, 10)) * 255,
    "float levels": RNG.random((9, 8, 10)) * 16,
    "signed": RNG.uniform(-1, 1, (9, 8, 10, 3)),
    "far away": 1e9 + RNG.random((9, 8, 10)),
    "with gaps": np.where(RNG.random((9, 8, 10)) < 0.1, np.nan, RNG.random((9, 8, 10))),
    "infinite": np.where(RNG.random((9, 8, 10)) < 0.1, np.inf, RNG.random((9, 8, 10))),
}


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def check_array(dataset: Dataset, name: str, array: np.ndarray) -> np.ndarray:
    """Every form of an input that is an array; returns what it is encoded as."""
    encoding = fitted(dataset)
    expected = encoding.transform(dataset)
    sent = [
        array,
        {name: array},
        {name: list(array)},
        {name: array.tolist()},
        [{name: row} for row in array],
        [{name: row.tolist()} for row in array],
        pd.DataFrame({name: pd.Series(list(array))}),
    ]
    for rows in sent:
        same(served(encoding, rows), expected)
    for i in (0, len(array) - 1):
        same(served(encoding, array[[i]]), expected, [i])
        same(served(encoding, [{name: array[i].tolist()}]), expected, [i])
    return expected[0]


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures(kind: str) -> None:
    array = PICTURES[kind]
    if array.dtype == np.int64:
        array = array.astype(np.uint8)
    dataset = FrameSource(array, np.arange(9) % 2, modality="image").load()
    pixels = check_array(dataset, "image", array)
    assert pixels.min() < 30 and pixels.max() > 220, "they fill the range"
    encoding = fitted(dataset)
    files = [png(np.ascontiguousarray(np.moveaxis(p, 0, -1)).squeeze()) for p in pixels]
    texts = [base64.b64encode(f).decode() for f in files]
    for rows in (
        {"image": files},
        [{"image": t} for t in texts],
        {"image": [f"data:image/png;base64,{texts[0]}", *files[1:]]},
    ):
        same(served(encoding, rows), (pixels,))
    larger = [np.kron(array[0], np.ones((2, 2))) if array.ndim == 3 else array[0].repeat(2, -2).repeat(2, -3), array[1]]
    if kind not in ("colours first", "with gaps", "infinite"):
        alone = [served(encoding, [{"image": row}])[0] for row in larger]
        same(served(encoding, {"image": larger}), (np.concatenate(alone),))


@pytest.mark.parametrize(
    ("trained", "sent", "told"),
    [
        ("shares", "colour", "from 0 to 255 where training had 0 to 1"),
        ("colour", "shares", "where training had 0 to 255"),
        ("bytes", "12 bits", "where training had 0 to 255"),
        ("few levels", "float bytes", "where training had 0 to 16"),
        ("shares", "shares", ""),
        ("colour", "float bytes", ""),
        ("few levels", "a mask", ""),
    ],
)
def test_pictures_of_another_range_are_told(
    trained: str, sent: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    array = PICTURES[trained].astype(np.uint8) if PICTURES[trained].dtype == np.int64 else PICTURES[trained]
    encoding = fitted(FrameSource(array, np.arange(9) % 2, modality="image").load())
    served(encoding, {"image": PICTURES[sent]})
    assert len(caplog.messages) == bool(told) and told in "".join(caplog.messages)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "I;16", "12 bits", "CMYK", "dark"])
def test_picture_files(tmp_path: Path, mode: str) -> None:
    """A file that is sent is read as those of training were."""
    for i in range(6):
        pixels = RNG.integers(0, 14 if mode == "dark" else 256, (8, 10, 3)).astype(np.uint8)
        if mode in ("I;16", "12 bits"):
            top = 65_536 if mode == "I;16" else 4_096
            image = Image.fromarray(RNG.integers(0, top, (8, 10)).astype(np.uint16))
        else:
            image = Image.fromarray(pixels).convert("L" if mode == "dark" else mode)
        path = tmp_path / "ab"[i % 2] / f"{i}.{'tif' if mode == 'CMYK' else 'png'}"
        path.parent.mkdir(exist_ok=True)
        image.save(path)
    dataset = ImageFolderSource(str(tmp_path)).load()
    encoding = fitted(dataset)
    files = [f.read_bytes() for f in sorted(tmp_path.glob("*/*.*"))]
    expected = encoding.transform(dataset)
    same(served(encoding, {"image": files}), expected)
    same(served(encoding, [{"image": base64.b64encode(files[0]).decode()}]), expected, [0])
    check_array(dataset, "image", dataset.arrays["image"])


SERIES: dict[str, np.ndarray] = {
    "one channel": RNG.normal(size=(ROWS, 20)),
    "three axes": RNG.normal(size=(ROWS, 1, 20)),
    "two channels": RNG.normal(size=(ROWS, 2, 20)),
    "float32": RNG.normal(size=(ROWS, 2, 20)).astype(np.float32),
    "integers": RNG.integers(0, 1000, (ROWS, 20)),
    "with gaps": np.where(RNG.random((ROWS, 2, 20)) < 0.1, np.nan, RNG.normal(size=(ROWS, 2, 20))),
    "of unequal scale": RNG.normal(size=(ROWS, 1, 20)) * np.logspace(-4, 4, ROWS)[:, None, None],
    "infinite": np.where(RNG.random((ROWS, 20)) < 0.1, np.inf, RNG.normal(size=(ROWS, 20))),
}


@pytest.mark.parametrize("kind", SERIES)
def test_series(kind: str) -> None:
    dataset = FrameSource(SERIES[kind], np.arange(ROWS) % 2, modality="series").load()
    check_array(dataset, "series", SERIES[kind])
    array, encoding = SERIES[kind], fitted(dataset)
    if array.ndim == 3 and array.shape[1] == 2:  # steps before channels
        same(served(encoding, np.swapaxes(array, 1, 2)), encoding.transform(dataset))
        same(served(encoding, {"series": [row.T.tolist() for row in array]}), encoding.transform(dataset))
    if np.isfinite(array).all():  # a short row is one whose end was not observed
        cut = [row[..., : 20 - i % 5] for i, row in enumerate(array)]
        padded = np.full(array.shape, np.nan)
        for row, short in zip(padded, cut, strict=True):
            row[..., : short.shape[-1]] = short
        same(served(encoding, {"series": cut}), served(encoding, padded))


def test_sounds_of_any_length(tmp_path: Path) -> None:
    """Also those that are loudest behind what is kept of them."""
    for i in range(6):
        wave = RNG.normal(size=8_000 + 1_000 * i) * np.linspace(0.01, 1, 8_000 + 1_000 * i)
        path = tmp_path / "ab"[i % 2] / f"{i}.wav"
        path.parent.mkdir(exist_ok=True)
        scipy.io.wavfile.write(path, 16_000, (wave * 8_000).astype(np.int16))
    dataset = AudioFolderSource(str(tmp_path), seconds=0.3).load()
    encoding = fitted(dataset)
    files = [f.read_bytes() for f in sorted(tmp_path.glob("*/*.wav"))]
    expected = encoding.transform(dataset)
    same(served(encoding, {"audio": files}), expected)
    same(served(encoding, [{"audio": base64.b64encode(files[3]).decode()}]), expected, [3])
    check_array(dataset, "audio", dataset.arrays["audio"])


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "size": RNG.normal(50, 10, ROWS),
            "gap": np.where(np.arange(ROWS) % 9 == 0, np.nan, RNG.normal(size=ROWS)),
            "constant": 1.0,
            "city": [("Rome", "Oslo", "Lima")[i % 3] for i in range(ROWS)],
            "seen": pd.to_datetime(DAYS),
            "open": np.arange(ROWS) % 4 > 0,
        }
    )


class Network(nn.Module):
    """A number per class from every column."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.linear = nn.Linear(columns, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


@pytest.fixture(scope="module")
def served_table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, pd.DataFrame]:
    frame = table()
    prepared = prepare(FrameSource(frame, np.where(frame["size"] > 50, "yes", "no")).load(), check=False)
    torch.manual_seed(0)
    network = Predictor(Network(prepared.task.inputs[0].shape[0]), prepared.task).eval()
    folder = tmp_path_factory.mktemp("serving") / "bundle"
    export(folder, network, prepared.task, prepared.encoding, prepared.parts.valid.inputs)
    return Bundle.load(folder), frame


def test_a_bundle_answers_every_form_alike(served_table: tuple[Bundle, pd.DataFrame]) -> None:
    bundle, frame = served_table
    expected = bundle.predict_proba(frame)
    assert len(np.unique(expected[:, 0])) > ROWS / 2
    for _, rows in forms(frame):
        np.testing.assert_array_equal(bundle.predict_proba(rows), expected)
    texts = frame.astype("str").where(frame.notna(), "").to_dict("records")
    np.testing.assert_allclose(bundle.predict_proba(json.loads(json.dumps(texts))), expected, atol=1e-6)


ROW = {"size": 51.0, "gap": 0.5, "constant": 1.0, "city": "Rome", "seen": "2021-03-04", "open": True}
BAD: dict[str, tuple[Any, str]] = {
    "nothing": (None, "rows are a NoneType"),
    "a number": (3, "rows are a int"),
    "a text": ("Rome", "rows are a str"),
    "no rows": ([], "no rows"),
    "an empty object": ({}, "no rows"),
    "an empty frame": (pd.DataFrame([ROW]).iloc[:0], "no rows"),
    "a column less": ([{k: v for k, v in ROW.items() if k != "size"}], "column 'size' is absent"),
    "another case": ([{k.upper(): v for k, v in ROW.items()}], "column 'size' is absent"),
    "a column twice": (pd.concat([pd.DataFrame([ROW]), pd.DataFrame([ROW])[["gap"]]], axis=1), "'gap' stands twice"),
    "one name as two": ([{1: 2, "1": 3, **ROW}], "'1' stands twice"),
    "columns of two lengths": ({k: [v] * (1 + (k == "gap")) for k, v in ROW.items()}, "differ in length"),
    "an object as column": ({**{k: [v] for k, v in ROW.items()}, "gap": {0: 0.5}}, "'gap' is a dict"),
    "a set as column": ({**{k: [v] for k, v in ROW.items()}, "gap": {0.5}}, "'gap' is a set"),
    "a list as cell": ([{**ROW, "gap": [1.0]}], "'gap' holds a list in row 1"),
    "a list in one row": ({**ROW, "gap": [1.0]}, "'gap' holds a list in row 1"),
    "an object as cell": ([ROW, {**ROW, "city": object()}], "'city' holds a object in row 2"),
    "a complex number": ([{**ROW, "size": 1 + 2j}], "'size'.*complex"),
    "complex numbers among others": ([ROW, {**ROW, "size": 1 + 2j}], "'size'.*complex"),
    "bytes": ([{**ROW, "city": b"Rome"}], "'city' holds a bytes in row 1"),
    "rows as lists": ([list(ROW.values())], "row 1 is list"),
    "too few columns": (np.zeros((3, 4)), r"shape \(3, 4\) does not fit.*6 columns"),
    "one row without its axis": (np.array(list(ROW.values()), dtype=object), "does not fit"),
    "a column of rows": (pd.Series([1.0, 2.0]), "does not fit"),
    "401 digits": ([{**ROW, "size": 10**400}], "'size' holds a number beyond float64 in row 1"),
    "a signalling NaN": ([{**ROW, "size": decimal.Decimal("sNaN")}], "'size' holds a number beyond float64"),
    "records": (pd.DataFrame([ROW]).to_records(), "does not fit"),
    "a generator": (({**ROW} for _ in ()), "no rows"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_are_one_clear_line(served_table: tuple[Bundle, pd.DataFrame], name: str) -> None:
    rows, word = BAD[name]
    with pytest.raises(UserError, match=word) as caught:
        served_table[0].predict(rows)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


UNREAD: dict[str, tuple[dict[str, Any], str]] = {
    "a word": ({"size": "large"}, "column 'size' holds 'large' in row 2, which is no number"),
    "a truth": ({"size": "truth"}, "column 'size' holds 'truth'"),
    "infinite": ({"gap": float("inf")}, "column 'gap' holds inf"),
    "a date for a number": ({"size": datetime.date(2020, 1, 2)}, "column 'size' holds datetime.date"),
    "a time for a number": ({"size": datetime.time(10, 30)}, "column 'size' holds datetime.time"),
    "neither true nor false": ({"open": 7}, "column 'open' holds 7 in row 2"),
    "yes": ({"open": "yes"}, "column 'open' holds 'yes'"),
    "no date": ({"seen": "some day"}, "column 'seen' holds 'some day' in row 2, which is no date"),
    "the 30th of February": ({"seen": "2021-02-30"}, "column 'seen' holds '2021-02-30'"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_value_that_reads_as_none_is_told(
    served_table: tuple[Bundle, pd.DataFrame], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    cells, told = UNREAD[name]
    missing = served_table[0].predict_proba([ROW, {**ROW, **dict.fromkeys(cells)}])
    assert caplog.messages == []
    np.testing.assert_array_equal(served_table[0].predict_proba([ROW, {**ROW, **cells}]), missing)
    assert len(caplog.messages) == 1 and told in caplog.messages[0]


def test_extremes_are_no_news(served_table: tuple[Bundle, pd.DataFrame], caplog: pytest.LogCaptureFixture) -> None:
    (encoded,) = served_table[0].encoding.extremes()
    assert caplog.messages == [] and np.isfinite(encoded).all() and np.abs(encoded[:, 0]).tolist() == [0, 3, 3]


FINE: dict[str, Any] = {
    "all missing": dict.fromkeys(ROW),
    "words for missing": dict.fromkeys(ROW, "?"),
    "unseen": {**ROW, "city": "Quito"},
    "half a surrogate": {**ROW, "city": "\ud83d"},
    "huge": {**ROW, "size": 1e308, "gap": -1e308},
    "far": {**ROW, "seen": "9999-12-31"},
    "numbers as texts": {**ROW, "size": "51", "gap": " 0.5 "},
    "numpy": {**ROW, "size": np.float32(51), "gap": np.float64(0.5)},
    "one row of two columns more": {**ROW, "a": 1, "b": [2]},
}


def test_a_text_is_read_one_way_whatever_is_sent_along(served_table: tuple[Bundle, pd.DataFrame]) -> None:
    """Not in the notation of the rows beside it."""
    bundle = served_table[0]
    for column, cell, beside in (("size", "1,234", "1,5"), ("seen", "05/01/2021", "31/01/2021")):
        alone = bundle.predict_proba({**ROW, column: cell})
        among = bundle.predict_proba([{**ROW, column: cell}, *[{**ROW, column: beside}] * 3])
        np.testing.assert_array_equal(among[:1], alone)


@pytest.mark.parametrize("name", FINE)
def test_odd_rows_are_answered(
    served_table: tuple[Bundle, pd.DataFrame], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = served_table[0].predict_proba(FINE[name])
    assert answer.shape == (1, 2) and np.isfinite(answer).all() and caplog.messages == []


BAD_ARRAYS: dict[str, tuple[str, Any, str]] = {
    "texts": ("image", np.array([["a"] * 4] * 4), "row 1 is no array"),
    "complex": ("image", np.zeros((2, 8, 10, 3), complex), "type complex"),
    "a lone picture": ("image", np.zeros((8, 10, 3)), "first axis the row"),
    "two axes": ("image", np.zeros((8, 10)), "first axis the row"),
    "five axes": ("image", np.zeros((1, 1, 8, 10, 3)), "first axis the row"),
    "two colours": ("image", np.zeros((2, 8, 10, 2)), "colours"),
    "no pixel": ("image", np.zeros((2, 0, 10, 3)), "without a value"),
    "an empty list": ("image", [{"image": []}], "row 1 holds no value"),
    "unequal lists": ("image", [{"image": [[1, 2], [3]]}], "row 1 is no array"),
    "a huge whole number": ("image", [{"image": [[10**400]]}], "row 1 is no array"),
    "an object": ("image", [{"image": object()}], "row 1 is no array"),
    "a flat list": ("image", [{"image": [1, 2, 3]}], "row 1 has shape"),
    "grey among colour": ("image", [{"image": np.ones((8, 10, 3))}, {"image": np.ones((4, 4))}], "differ in colours"),
    "no file": ("image", [{"image": b"no picture"}], "row 1 is no readable picture: it is none of PNG, JPEG"),
    "an empty file": ("image", [{"image": b""}], "row 1 is empty"),
    "an empty text": ("image", [{"image": ""}], "row 1 is empty"),
    "no base64": ("image", [{"image": "a b c"}], "row 1 is no base64"),
    "one channel of two": ("series", np.zeros((2, 1, 20)), "takes"),
    "no channel axis": ("series", np.zeros((2, 20)), "first axis the row"),
    "a channel more": ("series", [{"series": np.zeros((3, 20)).tolist()}], r"row 1 has shape \(3, 20\)"),
    "missing": ("series", [{"series": None}], "row 1 is no array"),
    "of objects": ("series", [{"series": [[{}], [{}]]}], "row 1 is no array"),
    "complex series": ("series", [{"series": np.zeros((2, 20), complex)}], "row 1 is no array"),
    "empty": ("series", [{"series": [[], []]}], "row 1 holds no value"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_are_one_clear_line(name: str) -> None:
    modality, rows, word = BAD_ARRAYS[name]
    array = RNG.random((9, 8, 10, 3)) if modality == "image" else SERIES["two channels"]
    encoding = fitted(FrameSource(array, np.arange(len(array)) % 2, modality=modality).load())
    with pytest.raises(UserError, match=word) as caught:
        served(encoding, rows)
    assert "\n" not in str(caught.value)


def test_arrays_that_are_masked_or_of_another_machine() -> None:
    x = RNG.normal(size=(ROWS, 2, 12)).astype(np.float32)
    mask = RNG.random(x.shape) < 0.1
    gaps = np.where(mask, np.nan, x)
    encoding = prepare(FrameSource(gaps, np.arange(ROWS) % 2, modality="series").load(), check=False).encoding
    expected = served(encoding, gaps)
    same(served(encoding, np.ma.masked_array(x, mask)), expected)
    same(served(encoding, gaps.astype(">f4")), expected)


def test_whole_numbers_where_training_had_infinite_ones() -> None:
    x = RNG.integers(0, 9, (ROWS, 1, 12)).astype(np.float32)
    x[3, 0, 3] = np.inf
    prepared = prepare(FrameSource(x, np.arange(ROWS) % 2, modality="series").load())
    assert any(s.do == "finite" for s in prepared.encoding.steps)
    whole = x[10:20].astype(np.int64)
    same(served(prepared.encoding, whole), served(prepared.encoding, whole.astype(np.float32)))


def test_one_long_row_makes_not_all_long() -> None:
    x = RNG.normal(size=(ROWS, 1, 12)).astype(np.float32)
    encoding = prepare(FrameSource(x, np.arange(ROWS) % 2, modality="series").load(), check=False).encoding
    rows = [[0.5] * 5, [0.5] * 1_000_000]
    field = encoding.fields[0]["name"]
    assert encoding.dataset([{field: r} for r in rows]).arrays[field].shape == (2, 1, 12)


@pytest.mark.parametrize("top", [255, 1.0, 37.5])
@pytest.mark.parametrize("colours", [(), (3,)])
def test_a_large_picture_is_what_its_values_are(top: float, colours: tuple[int, ...]) -> None:
    """A file is made small as bytes; its values as an array go the long way."""
    x = (RNG.integers(0, 256, (ROWS, 8, 10, *colours)) * (top / 255)).astype(np.uint8 if top == 255 else np.float64)
    encoding = fitted(FrameSource(x, np.arange(ROWS) % 2, modality="image").load())
    (field,) = encoding.fields
    large = RNG.integers(0, 256, (31, 47, *colours)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(large).save(file, "PNG")
    values = field["low"] + large[None] / field["gain"]
    same(served(encoding, [{"image": file.getvalue()}]), served(encoding, values if top != 255 else large[None]))
