"""A raw column of texts: the notation that is decided for it, and the values it then holds."""

from __future__ import annotations

import datetime
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.cells.moments import dates_of, day_first, is_date, seconds_of
from automl.data.cells.numbers import Notation, decimal_sign, find_notation, number_of
from automl.data.cells.reading import READERS, read_as, reading_of, to_bool, to_number
from automl.data.cells.words import bool_of, is_missing_word

NAN = float("nan")

# name -> (cells, sign that begins decimals in the file, decided sign and unit, values)
NUMBERS: dict[str, tuple[list[str], str, tuple[str, str], list[float]]] = {
    "one cell decides": (["0,5", "1,25", "0,125", "2,750"], "", (",", ""), [0.5, 1.25, 0.125, 2.75]),
    "the file decides": (["17.027", "915"], ",", (",", ""), [17027, 915]),
    "nothing decides, point": (["17.027", "915"], "", (".", ""), [17.027, 915]),
    "nothing decides, comma": (["1,234", "5"], "", (".", ""), [1234, 5]),
    "the column beats the file": (["1,234.5", "2,750"], ",", (".", ""), [1234.5, 2750]),
    "both signs": (["64.058,57", "1.000"], "", (",", ""), [64058.57, 1000]),
    "groups only": (["1.234.567", "2.345"], "", (",", ""), [1234567, 2345]),
    "spaces": (["1 234,5", "12", "1\u00a0000"], "", (",", ""), [1234.5, 12, 1000]),
    "apostrophes": (["1'234.5", "3"], "", (".", ""), [1234.5, 3]),
    "India": (["1,00,000.50", "12,34,567"], "", (".", ""), [100000.5, 1234567]),
    "euros": (["98.385,61 €", "-1,00 €"], "", (",", "€"), [98385.61, -1]),
    "dollars before and after the sign": (["$1,234.50", "-$5", "$-3"], "", (".", "$"), [1234.5, -5, -3]),
    "percent": (["12 %", "3.5%"], "", (".", "%"), [12, 3.5]),
    "a unit": (["59.61kg", "1 200 kg", "7"], "", (".", "kg"), [59.61, 1200, 7]),
    "speed and area": (["12 km/h", "3 km/h"], "", (".", "km/h"), [12, 3]),
    "another unit": (["59kg", "60kg", "5lb"], "", (".", "kg"), [59, 60, NAN]),
    "minus sign of print": (["\u22125", "5"], "", (".", ""), [-5, 5]),
    "ledgers": (["(1,234.50)", "$5"], "", (".", "$"), [-1234.5, 5]),
    "exponents": (["1.5e3", "2E-3", "1,5e3"], "", (".", ""), [1500, 0.002, 1500]),
    "bare signs": (["1.", ".5", ",5"], "", (".", ""), [1, 0.5, 0.5]),
    "decimals before an exponent": (["1,260e-01", "-6,620E+02"], "", (",", ""), [0.126, -662]),
    "thousands": (["5k", "7k", "300"], "", (".", "k"), [5, 7, NAN]),
    "bounds": (["<0.1", "> 100", "\u2264 -2", "<=1,5", "3.5"], "", (".", ""), [0.1, 100, -2, 1.5, 3.5]),
    "bounds with a unit": (["<5 mg", "7 mg", ">1.000,5mg"], ",", (",", "mg"), [5, 7, 1000.5]),
    "codes": (["1_2", "12_3.5"], "", (".", ""), [NAN] * 2),
    "no numbers": (["1.2.3.4", "192.168.1.1", "1/2", "16:9", "1-2", "--3", "1,23,4"], "", (".", ""), [NAN] * 7),
    "no bounds": (["<", "<>3", "x<3", "(<3)"], "", (".", ""), [NAN] * 4),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_a_column_has_one_notation(name: str) -> None:
    cells, hint, decided, values = NUMBERS[name]
    found = find_notation(cells, np.ones(len(cells)), hint)
    assert found.notation == Notation(*decided)
    np.testing.assert_array_equal([number_of(c, found.notation) for c in cells], values)
    assert found.readable.tolist() == [not np.isnan(v) for v in values]


@pytest.mark.parametrize("cell", [f"-{' ' * 20_000}x", f"1{' ' * 20_000}x?", f"{'1 ' * 10_000}?"])
def test_blanks_are_read_once(cell: str) -> None:
    began = time.process_time()
    assert np.isnan(number_of(cell))
    assert time.process_time() - began < 1


def test_an_open_notation_is_known() -> None:
    assert find_notation(["1,234", "5"], np.ones(2)).example == "1,234"
    assert find_notation(["1,234", "0.5"], np.ones(2)).example == ""
    assert find_notation(["1,234", "5"], np.ones(2), ",").example == ""
    assert decimal_sign(["64.058,57", "x"]) == "," and decimal_sign(["0.5"]) == "." and decimal_sign(["1.234"]) == ""


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ([f"{i * 1.5}" for i in range(30)], "number"),
        ([f"{i * 1.5}" for i in range(30)] + ["-"], "number"),  # one word among many numbers says "no value"
        (["3", "4", "5+", "unknown"], "words"),
        (["<18", "18-65", ">65"], "words"),
        (["<=50K", ">50K"], "words"),
        (["0", "1", "2", ">2"], "words"),  # answers to choose from
        ([f"{i * 0.3:.1f}" for i in range(40)] + ["<0.1", "<0.2", ">11.7"], "number"),
        ([f"{i * 0.3:.1f}" for i in range(40)] + [f"<{i}" for i in range(9)], "words"),
        ([f"{i * 1.7:.1f}" for i in range(60)] + ["007"], "number"),
        ([str(100 + i) for i in range(60)] + ["007"], "words"),
        (["01234", "12345", "20000"], "words"),
        (["1,3", "2,3,4", "2"], "words"),
        ([str(2**60 + i) for i in range(9)], "words"),
        ([f"{i}{'kg' if i % 2 else 'lb'}" for i in range(30)], "units"),
        (["1st", "2nd", "3rd", "4th"], "words"),
        (["18:44:54", "07:05:00"], "seconds"),
        (["6:30 pm", "12:05 am"], "seconds"),
        (["1 days 02:03:04", "0 days 00:00:01"], "seconds"),
        (["2h 50m", "7h 25m", "19h", "45m"], "seconds"),
        (["PT2H30M", "PT45M", "P1DT2H"], "seconds"),
        (["1d", "2h", "3m"], "words"),  # no time stands in two units
        (["P1M", "P2Y"], "words"),  # months and years have no length
        (["31/01/2020", "01/02/2020"], "date"),
        (["2020Q1", "2020Q2"], "date"),
        (["01/2020", "12/2020"], "date"),
        (["1-", "2", "3+"], "words"),  # marks at school
        (["Mon, 3 Feb 2020", "Tue, 4 Feb 2020"], "date"),
        (["now", "today"], "words"),
        ([1, "a", 2.5], "text"),
        ([], "words"),
    ],
)
def test_what_a_column_holds(cells: list, what: str) -> None:
    assert read_as(cells, np.ones(len(cells))).what == what


def test_day_or_month_first_is_found_once_for_all() -> None:
    assert day_first(["01/02/2020", "31/01/2020"]) and not day_first(["01/02/2020", "01/31/2020"])
    assert day_first(["01.02.2020"]) and not day_first(["01/02/2020"]) and not day_first(["2020-01-31"])
    column = pd.Series(["05/01/2020", "31/01/2020"])
    reading = reading_of(column)
    read = READERS[reading.what](column, *reading.values)
    assert read.tolist() == [pd.Timestamp("2020-01-05"), pd.Timestamp("2020-01-31")]


@pytest.mark.parametrize(
    ("cells", "years"),
    [
        (["01/01/50", "12/28/77", "05/05/99"], [1950, 1977, 1999]),  # births
        (["01/01/84", "12/28/99", "05/05/05"], [1984, 1999, 2005]),
        (["01/31/24", "12/28/35"], [2024, 2035]),
        (["Jan-85", "Dec-99", "Apr-01", "Dec-11"], [1985, 1999, 2001, 2011]),
        (["31-Jan-50", "May 5, 76"], [1950, 1976]),
        (["31-Jan-1850", "5 May 2076"], [1850, 2076]),
        ([f"01/02/{y:02d}" for y in range(100)], [*range(2000, 2069), *range(1969, 2000)]),
    ],
)
def test_years_of_two_digits_lie_together(cells: list[str], years: list[int]) -> None:
    reading = reading_of(pd.Series(cells))
    assert reading.what == "date" and not reading.bad
    assert READERS["date"](pd.Series(cells), *reading.values).dt.year.tolist() == years
    alone = [READERS["date"](pd.Series([c]), *reading.values).dt.year.item() for c in cells[:5]]
    assert alone == years[:5]


def test_words_that_pandas_takes_for_the_current_time_are_no_dates() -> None:
    assert np.isnat(dates_of(["now", "today", "12:30", "5", None], False)).all()
    assert is_date("2020-01-01T10:00+02:00") and not is_date("10:00")


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("18:44:54", 67494),
        ("7:05", 25500),
        ("00:00:00.25", 0.25),
        ("6:30 pm", 66600),
        ("12:05AM", 300),
        ("1 days 02:03:04", 93784),
        ("3 days", 259200),
        ("-00:01:00", -60),
        ("-1 days +23:59:30", -30),  # as pandas writes it
        ("-1 day, 23:59:30", -30),  # as Python does
        ("1_2", NAN),
        ("26:00:00", 93600),
        (datetime.time(1, 2, 3), 3723),
        (datetime.timedelta(hours=1), 3600),
        (pd.Timedelta("1h"), 3600),
        (12.5, 12.5),
        ("12:99", NAN),
        ("x", NAN),
    ],
)
def test_seconds(cell: object, seconds: float) -> None:
    np.testing.assert_equal(seconds_of(cell), seconds)


@pytest.mark.parametrize("cell", ["2020-01-02 10", "2020-01-02T10", "2020-01-02 10:30", "2020-01-02 10:30:15.1"])
def test_dates_are_read_as_arrow_reads_those_of_a_file(cell: str) -> None:
    assert dates_of([cell], False)[0] == pa.array([cell]).cast(pa.timestamp("us")).to_numpy()[0]


def test_true_and_false_in_any_form() -> None:
    column = pd.Series(["true", "FALSE", True, False, 1, 0.0, "1", "?", None, "maybe", 2], dtype=object)
    np.testing.assert_array_equal(to_bool(column), [1, 0, 1, 0, 1, 0, 1, NAN, NAN, NAN, NAN])


def written(value: float, decimal: str, group: str) -> str:
    return f"{value:,.3f}".replace(",", "g").replace(".", decimal).replace("g", group)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20),
    st.sampled_from([(",", "."), (".", ","), (",", " "), (".", "'"), (",", "")]),
    st.sampled_from(["", " €", "$", " %", " kg"]),
)
def test_numbers_survive_each_way_of_writing(values: list[float], signs: tuple[str, str], unit: str) -> None:
    column = pd.Series([written(v, *signs) + unit for v in [*values, 0.5]])
    reading = reading_of(column)
    assert reading.what == "number" and not reading.bad
    np.testing.assert_allclose(to_number(column, *reading.values)[:-1], values, atol=0.0005, rtol=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=12) | st.floats() | st.booleans() | st.none() | st.integers(), max_size=8))
def test_any_cells_are_read_without_an_error(cells: list) -> None:
    column = pd.Series(cells, dtype=object)
    reading = reading_of(column)
    for name, read in READERS.items():
        assert len(read(column, *(reading.values if name == reading.what else ()))) == len(cells)


def test_a_date_that_begins_with_its_year_is_no_matter_of_days_first():
    """A file that writes 31.01.2020, and a client that sends ISO dates or date objects."""
    told = dates_of(["2020-02-01", "01.02.2020", datetime.date(2020, 2, 1), "2020-02-01T06:30:00", None, "x"], True)
    assert [str(t)[:10] for t in told[:4]] == ["2020-02-01"] * 4 and np.isnat(told[4:]).all()


@pytest.mark.parametrize("text", ["1" + " 111" * 1_000_000, "1" + " " * 4_000_000 + "x", "a" * 4_000_000])
def test_a_cell_of_megabytes_is_no_number_no_date_and_no_word_at_once(text):
    """A server reads it while others wait: its cost was that of the patterns, seconds."""
    began = time.process_time()
    assert np.isnan(number_of(text)) and np.isnan(seconds_of(text)) and not is_date(text)
    assert not is_missing_word(text) and np.isnan(bool_of(text)) and np.isnat(dates_of([text])).all()
    assert time.process_time() - began < 0.5
    assert number_of("0." + "1" * 1000) == pytest.approx(1 / 9)


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        *(("2h 50m", 10_200), ("2h50m", 10_200), ("19h", 68_400), ("1 d, 3 h", 97_200), ("1.5 hours", 5_400)),
        *(("5 min 30 sec", 330), ("PT1H30M", 5_400), ("P1DT2H", 93_600), ("PT0.5S", 0.5), ("2 days", 172_800)),
        *(("P1M", NAN), ("PT", NAN), ("h", NAN), ("2m 3h", NAN), ("3M", NAN), ("", NAN)),
    ],
)
def test_spans_of_time(cell: str, seconds: float) -> None:
    np.testing.assert_equal(seconds_of(cell), float(seconds))
