"""One raw row is encoded without pandas as with it: bit for bit, or not at all."""

from __future__ import annotations

import datetime
import decimal
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automl.data.dataset import Dataset
from automl.data.encode import Encoding
from automl.data.quality.check import check as check_data
from automl.data.quality.clean import _STEPS
from automl.data.sources.file import FileSource
from automl.deploy.rows import FastRows
from automl.errors import UserError

ROWS = 240
CITIES = ["Rome", "rome", "ROME ", "Berlin", "Oslo", "New York", "new-york", "Zürich"]
WORDS = ["the", "cat", "sat", "on", "a", "red", "mat", "while", "rain", "fell", "over", "old", "stones"]


def english(rng: np.random.Generator) -> dict[str, list[Any]]:
    """Columns as people write them, by what is to be found in them."""
    day = [datetime.datetime(2019, 1, 1) + datetime.timedelta(hours=int(h)) for h in rng.integers(0, 20_000, ROWS)]
    x = rng.normal(50, 10, ROWS).round(2)
    some = rng.random(ROWS) < 0.1
    return {
        "plain": [None if s else v for s, v in zip(some, x, strict=True)],
        "whole": rng.integers(0, 5000, ROWS).tolist(),
        "codes": rng.integers(1, 6, ROWS).tolist(),
        "tail": np.exp(3 * rng.normal(size=ROWS)).round(4).tolist(),
        "unit": [f"{v} kg" for v in rng.integers(40, 120, ROWS)],
        "percent": [f"{v}%" for v in rng.random(ROWS).round(3)],
        "price": [f"${v:,.2f}" for v in rng.uniform(500, 50_000, ROWS)],
        "sentinel": [-999 if s else int(v) for s, v in zip(some, x, strict=True)],
        "outlier": [1e7 if i < 2 else v for i, v in enumerate(rng.normal(10, 1, ROWS).round(3))],
        "infinite": ["inf" if i < 3 else f"{v:.3f}" for i, v in enumerate(x)],
        "gaps": ["N/A" if s else f"{v:.1f}" for s, v in zip(some, x, strict=True)],
        "flag": rng.choice(["true", "false"], ROWS).tolist(),
        "maybe": rng.choice(["True", "False", "unknown"], ROWS).tolist(),
        "sure": rng.choice(["true", "unknown"], ROWS).tolist(),
        "clock": [f"{h:02}:{m:02}" for h, m in rng.integers(0, 24, (ROWS, 2))],
        "iso": [d.isoformat() for d in day],
        "days": [None if s else d.strftime("%d.%m.%Y") for s, d in zip(some, day, strict=True)],
        "short": [d.strftime("%d/%m/%y") for d in day],
        "city": rng.choice(CITIES, ROWS).tolist(),
        "group": [f"g{v}" for v in rng.integers(0, 12, ROWS)],
        "blank": ["?" if s else c for s, c in zip(some, rng.choice(["a", "b", "c"], ROWS), strict=True)],
        "mixed": rng.choice(["3", "4", "five", "six"], ROWS).tolist(),
        "prose": [" ".join(rng.choice(WORDS, 6)) + f" {i}" for i in range(ROWS)],
    }


def german(rng: np.random.Generator) -> dict[str, list[Any]]:
    number = [f"{v:.2f}".replace(".", ",") for v in rng.normal(5, 3, ROWS)]
    grouped = [f"{v:,.2f}".translate(str.maketrans(",.", ".,")) for v in rng.uniform(500, 90_000, ROWS)]
    return {"zahl": number, "preis": grouped, "euro": [f"{v} €" for v in grouped], "ort": rng.choice(CITIES, ROWS)}


def loaded(folder, columns: Mapping[str, Sequence[Any]], delimiter: str) -> Encoding:
    path = folder / "rows.csv"
    frame = pd.DataFrame({**columns, "target": ["yes", "no", "no"] * (ROWS // 3)})
    frame.to_csv(path, sep=delimiter, index=False)
    dataset = FileSource(str(path), target="target").load()
    repairs = dict.fromkeys(("sentinel_values", "outliers", "category_variants"), True)
    repaired, quality = check_data(dataset, repairs=repairs, label_errors=False)
    return Encoding.fit(repaired, np.arange(ROWS), kind="binary", steps=(*dataset.steps, *quality.steps))


@pytest.fixture(scope="module")
def encodings(tmp_path_factory) -> dict[str, Encoding]:
    rng = np.random.default_rng(0)
    made = {
        "english": loaded(tmp_path_factory.mktemp("en"), english(rng), ","),
        "german": loaded(tmp_path_factory.mktemp("de"), german(rng), ";"),
    }
    # As a frame has them that was never a file: no step says how to read a text.
    typed = pd.DataFrame(
        {
            "number": rng.normal(size=ROWS),
            "answer": rng.random(ROWS) < 0.5,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 10**8, ROWS), unit="s"),
            "kind": pd.Categorical(rng.choice(["u", "v"], ROWS)),
        }
    )
    target = pd.Series(["yes", "no"] * (ROWS // 2), name="target")
    made["typed"] = Encoding.fit(Dataset("typed", typed, target), np.arange(ROWS), kind="binary")
    return made


# Cells that are plain in a column of a kind. Bools are one where training does not spell only one of both.
NUMBERS = st.one_of(
    st.floats(allow_infinity=False), st.integers(-(2**53) + 1, 2**53 - 1), st.none(), st.just(pd.NA), st.booleans()
)
MOMENTS = st.one_of(
    st.datetimes().map(lambda d: d.isoformat()[:26]),
    st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)).map(lambda d: f"{d:%Y-%m-%d %H:%M}"),
    st.dates().map(str),
    st.datetimes(datetime.datetime(1, 1, 2), timezones=st.timezones()).map(
        lambda d: d.replace(microsecond=0).isoformat() if d.utcoffset().seconds % 60 == 0 else None  # type: ignore
    ),
    st.just("2021-03-04T05:06:07Z"),
    *(st.datetimes(), st.dates(), st.none(), st.just(pd.NaT), st.just(float("nan"))),
)
WORD = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = st.one_of(WORD, st.none(), st.floats(), st.integers(-(2**53) + 1, 2**53 - 1), st.sampled_from(CITIES))
OWN = {
    "unit": ["81 kg", "81", "1,234 kg", 90],
    "percent": ["0.5%", "0.5", "12 %"],
    "price": ["$1,234.50", "1,234.50", "17.027", "$5"],
    "preis": ["1.234,50", "17.027", "3,5", "(2,5)"],
    "euro": ["1.234,50 €", "17.027 €", "3,5"],
    "zahl": ["3,5", "-0,25", "1e3"],
    "gaps": ["N/A", "", " nan ", "3.5"],
    "flag": ["true", "FALSE", "1", True],
    "maybe": [True, False, "TRUE", "unknown"],
    "clock": ["12:30", "1:05 pm", "2 days", 45.5],
    "days": ["31.01.2020", "1.2.2021", "2020-02-01", "N/A"],
    "short": ["31/01/20", "1/2/19"],
    "city": [*CITIES, "berlin", "ZÜRICH"],
    "blank": ["?", "a", "n/a"],
    "sentinel": [-999, -999.0, 3],
    "outlier": [1e9, -1e9, 10, "12.5"],
    "codes": [1, 2.0, "3", 99],
}
UNSURE = {"flag": st.sampled_from(OWN["flag"]), "clock": st.sampled_from(OWN["clock"]), "prose": WORD}


def plain_cells(field: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    name = field["name"]
    kinds = {"numeric": NUMBERS, "datetime": MOMENTS, "categorical": NAMES, "text": WORD}
    every = UNSURE.get(name, kinds[field["kind"]])
    return st.one_of(every, st.sampled_from(OWN[name])) if name in OWN else every


WILD = st.one_of(
    *(NUMBERS, MOMENTS, NAMES, WORD, st.floats(), st.integers(), st.binary(max_size=4)),
    st.sampled_from([word for words in OWN.values() for word in words]),
    st.sampled_from([np.float32(0.1), np.float64(0.1), np.int8(3), np.int64(2**60), np.bool_(True), np.str_("a")]),
    st.sampled_from([2**53, -(2**1030), 10**400, decimal.Decimal("1.5"), 1e300, -1e300, 5e-324, -0.0, True, 1j]),
    st.sampled_from(
        ["\ud800", "\0missing", "e\u0301", "①", "\u2212" + "5", "1e999", "inf", "١٢", "now", "12:30", "1_2"]
    ),
    st.sampled_from([pd.NaT, pd.Timestamp("2020-01-01", tz="Asia/Tokyo"), pd.Timestamp(5), pd.Period("2020-01")]),
    st.sampled_from([np.datetime64("2020"), datetime.time(1, 2), datetime.timedelta(1), [1], (), {"a": 1}, object()]),
    st.sampled_from(["0001-01-01", "9999-12-31T23:59:59-11:00", "2020-02-30", "2020-01-01T24:00:00", "0000-01-01"]),
)


class Warned(logging.Handler):
    def __enter__(self) -> list[str]:
        self.said: list[str] = []
        logging.getLogger("automl").addHandler(self)
        return self.said

    def __exit__(self, *_: object) -> None:
        logging.getLogger("automl").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def check(encoding: Encoding, fast: FastRows, rows: Any, *, plain: bool = False) -> None:
    """The arrays are those of pandas, or none; none where pandas refuses or warns. ``plain``: there must be some."""
    got = fast.encode(rows)
    assert got is not None or not plain, rows
    if got is None and not plain:
        return
    assert got is not None
    with Warned() as said:
        wanted = encoding.transform(encoding.dataset(rows))
    assert not said
    for a, b, of in zip(got, wanted, encoding.inputs, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.tobytes() != b.tobytes():
            names = [getattr(e, "names", None) for e in encoding.encoders if e.input == of]
            where = {int(i) for i in np.nonzero((a != b) | (np.signbit(a) != np.signbit(b)))[1]}
            raise AssertionError([(names[0][i] if names[0] else i, a[:, i], b[:, i]) for i in where])


KINDS = ["english", "german", "typed"]
shared = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=30)


def test_the_files_hold_every_kind_of_field_and_step(encodings):
    """Else the rest proves little."""
    steps = [s for e in encodings.values() for s in e.steps]
    names = {f["name"] for e in encodings.values() for f in e.fields}
    assert {s.do for s in steps if s.column in names} == set(_STEPS)
    fields = {f["name"]: f for e in encodings.values() for f in e.fields}
    assert {f["kind"] for f in fields.values()} == {"numeric", "categorical", "datetime", "text"}
    assert fields["days"]["kind"] == "datetime" and fields["maybe"]["kind"] == "categorical"
    columns = {c.name: c for e in encodings.values() for c in e.encoders[0].columns}  # type: ignore[attr-defined]
    assert columns["tail"].knots and columns["codes"].codes and columns["gaps"].flag and columns["group"].frequency
    assert columns["iso"].parts and columns["days"].flag


@pytest.mark.parametrize("kind", KINDS)
@shared
@given(data=st.data())
def test_plain_rows(encodings, kind, data):
    encoding = encodings[kind]
    cells = {f["name"]: plain_cells(f) for f in encoding.fields}
    row = data.draw(st.fixed_dictionaries(cells, optional={"unknown": st.just(1)}))
    check(encoding, FastRows(encoding), row, plain=True)


@pytest.mark.parametrize("kind", KINDS)
@shared
@given(data=st.data())
def test_any_cell_in_a_row(encodings, kind, data):
    """Two columns at most, so that the rest is not what makes it None."""
    encoding, row = encodings[kind], dict.fromkeys(f["name"] for f in encodings[kind].fields)
    names = st.sampled_from(list(row))
    row |= data.draw(st.dictionaries(names, WILD, min_size=1, max_size=2))  # type: ignore[arg-type]
    check(encoding, FastRows(encoding), row)


@pytest.mark.parametrize("kind", KINDS)
@shared
@given(data=st.data())
def test_some_rows(encodings, kind, data):
    """What stands in other rows may change what pandas makes of a cell: then none."""
    encoding = encodings[kind]
    several = {f["name"]: st.one_of(WILD, plain_cells(f)) for f in encoding.fields}
    names = data.draw(st.sets(st.sampled_from(list(several)), min_size=1, max_size=2))
    row = st.fixed_dictionaries({n: several[n] if n in names else st.none() for n in several})
    check(encoding, FastRows(encoding), data.draw(st.lists(row, min_size=2, max_size=4)))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_the_file_are_taken_together(encodings, kind):
    encoding, rng = encodings[kind], np.random.default_rng(0)
    columns = {"english": english, "german": german}.get(kind)
    made = columns(rng) if columns else {"number": [0.5] * 70, "answer": [True] * 70, "since": ["2020-01-01"] * 70}
    made = {f["name"]: made.get(f["name"], ["u"] * ROWS) for f in encoding.fields}
    rows = [{n: v[i] for n, v in made.items()} for i in range(70)]  # categories are read otherwise by pandas from 65 on
    rows = [{n: v.item() if isinstance(v, np.generic) else v for n, v in row.items()} for row in rows]
    rows = [{**row, "infinite": "1.5"} if "infinite" in row else row for row in rows]
    fast = FastRows(encoding)
    check(encoding, fast, rows, plain=True)
    check(encoding, fast, tuple(rows[:3]), plain=True)
    assert FastRows(encoding, most=69).encode(rows) is None


def test_what_only_pandas_may_answer(encodings):
    encoding = encodings["typed"]
    row = {"number": 0.5, "answer": True, "since": "2020-01-01", "kind": "u"}
    fast = FastRows(encoding)
    assert fast.encode(row) is not None
    missing = {k: v for k, v in row.items() if k != "answer"}
    twice = {**row, 1: 2, "1": 3}
    frame, columns = pd.DataFrame([row]), {k: [v] for k, v in row.items()}
    for rows in (missing, twice, frame, columns, [], [row, 5], [row, None], "row", None, [row, missing], iter([row])):
        assert fast.encode(rows) is None


@pytest.mark.parametrize(
    ("column", "cell"), [("plain", "abc"), ("price", "3 kg"), ("iso", "soon"), ("plain", float("inf")), ("flag", 7)]
)
def test_a_cell_that_is_not_read_is_still_told(encodings, column, cell):
    encoding = encodings["english"]
    row = {**dict.fromkeys(f["name"] for f in encoding.fields), column: cell}
    assert FastRows(encoding).encode(row) is None
    with Warned() as said:
        encoding.transform(encoding.dataset(row))
    assert len(said) == 1 and repr(column) in said[0]


def media(rng: np.random.Generator, with_table: bool) -> tuple[Encoding, Dataset]:
    arrays = {
        "picture": rng.integers(0, 256, (30, 8, 8)).astype(np.uint8),
        "signal": np.where(rng.random((30, 2, 20)) < 0.05, np.nan, rng.normal(size=(30, 2, 20))),
        "sound": rng.normal(size=(30, 5, 7)),
    }
    table = pd.DataFrame({"age": rng.normal(size=30)} if with_table else {}, index=range(30))
    target = pd.Series(["a", "b"] * 15, name="target")
    modalities: Any = {"picture": "image", "signal": "series", "sound": "audio"}
    dataset = Dataset("media", table, target, arrays=arrays, modalities=modalities)
    return Encoding.fit(dataset, np.arange(30), kind="binary"), dataset


@pytest.mark.parametrize("with_table", [True, False])
def test_arrays(with_table):
    encoding, dataset = media(np.random.default_rng(0), with_table)
    fast = FastRows(encoding)
    rows = [
        {n: a[i].tolist() if i % 2 else a[i] for n, a in dataset.arrays.items()} | ({"age": 0.5} if with_table else {})
        for i in range(4)
    ]
    rows[1]["picture"] = None
    rows[2]["signal"] = [[1, 2, 3], [float("inf"), 5, 6]]
    check(encoding, fast, rows, plain=True)
    check(encoding, fast, rows[:1], plain=True)
    if with_table:
        check(encoding, fast, rows[2], plain=True)
    else:
        assert fast.encode(rows[0]) is None, "columns of arrays, as pandas reads it"
    with pytest.raises(UserError, match="'sound' in row 1"):
        fast.encode([{**rows[0], "sound": "noise"}])
