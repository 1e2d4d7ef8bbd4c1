"""Cells written as text, and content hashes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from automl.data.cells.numbers import number_of
from automl.data.cells.reading import to_date, to_number, to_text, without_missing_words
from automl.data.cells.words import is_missing_word
from automl.data.quality.parse import counts_of, fold, is_texty
from automl.data.quality.rowhash import combine, hash_array, hash_column


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        (" 12 ", 12),
        ("-1.5e3", -1500),
        ("1,234", 1234),
        ("1,234,567.25", 1234567.25),
        ("3,14", 3.14),
        (",5", 0.5),
        ("$3", 3),
        ("€ 1,000", 1000),
        ("12 %", 12),
        (7, 7),
        (2.5, 2.5),
        (np.int64(3), 3),
    ],
)
def test_what_reads_as_a_number(text: object, number: float) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize("text", ["", "?", "abc", "1,23,4", "12 apples", "1-2", "--3", "1.2.3", None])
def test_what_does_not(text: object) -> None:
    assert np.isnan(number_of(text))


@settings(max_examples=60)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=30))
def test_numbers_survive_being_written(values: list[float]) -> None:
    column = pd.Series([repr(v) for v in values])
    assert to_number(column).tolist() == values
    grouped = pd.Series([f"{v:,.3f}" for v in values])
    np.testing.assert_allclose(to_number(grouped), values, atol=0.0005, rtol=1e-9)


def test_columns_keep_their_index_and_name() -> None:
    column = pd.Series(["1", None, "x", "2"], index=[5, 7, 9, 11], name="n")
    for function in (to_number, to_date, to_text, without_missing_words):
        out = function(column)
        assert out.index.tolist() == [5, 7, 9, 11]
        assert out.name == "n"
    assert to_number(column).tolist()[::3] == [1, 2]
    assert to_number(column).isna().tolist() == [False, True, True, False]


def test_dates_of_all_zones_become_utc() -> None:
    column = pd.Series(["2020-01-02", "2020-01-02T03:00+02:00", "never", None, "3 Jan 2021"])
    expected = ["2020-01-02 00:00", "2020-01-02 01:00", None, None, "2021-01-03 00:00"]
    assert to_date(column).tolist() == [pd.Timestamp(e) if e else pd.NaT for e in expected]
    assert to_date(pd.Series(["02.01.2020"]), True).iloc[0] == pd.Timestamp("2020-01-02")
    assert to_date(pd.Series(["02.01.2020"])).iloc[0] == pd.Timestamp("2020-02-01")


def test_texts_of_one_thing_are_one() -> None:
    assert to_text(pd.Series([3, 3.0, "3", " 3 ", None], dtype=object)).tolist()[:4] == ["3"] * 4
    assert fold("New  York ") == fold("new-york") == fold("NEW_YORK")
    assert fold("3+") != fold("3") and fold("-1") != fold("1")


def test_placeholders_go_and_answers_stay() -> None:
    column = pd.Series(["?", "N/A", " na ", "none", "unknown", "-", "5", None])
    assert without_missing_words(column).isna().tolist() == [True, True, True, False, False, False, False, True]
    assert not is_missing_word(0)
    numbers = pd.Series([1.0, np.nan])
    assert without_missing_words(numbers) is numbers


def test_kinds_and_counts_of_columns() -> None:
    assert is_texty(pd.Series(["a"])) and is_texty(pd.Series(["a"], dtype="category")) and is_texty(pd.Series([1, "a"]))
    assert not is_texty(pd.Series([1])) and not is_texty(pd.Series([1], dtype="category"))
    assert not is_texty(pd.to_datetime(pd.Series(["2020-01-01"])))
    assert counts_of(pd.Series(["b", "a", "b", None])) == [("b", 2), ("a", 1)]


@settings(max_examples=40)
@given(
    arrays.arrays(
        np.float64, st.tuples(st.integers(2, 20), st.integers(1, 5)), elements=st.sampled_from([0.0, -0.0, 1.0, np.nan])
    )
)
def test_equal_rows_have_equal_hashes_and_others_do_not(array: np.ndarray) -> None:
    hashes = hash_array(array)
    plain = [tuple("nan" if np.isnan(v) else abs(v) if v == 0 else v for v in row) for row in array]
    for i in range(len(array)):
        for j in range(i):
            assert (hashes[i] == hashes[j]) == (plain[i] == plain[j])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, bool, "datetime64[s]"])
def test_hashes_do_not_depend_on_where_a_row_stands(dtype) -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 50, (3000, 3, 7)).astype(dtype)
    order = rng.permutation(3000)
    np.testing.assert_array_equal(hash_array(array)[order], hash_array(array[order]))
    assert len(np.unique(hash_array(array))) == len(np.unique(array.reshape(3000, -1), axis=0))


def test_hashes_are_the_same_on_every_machine() -> None:
    """Written down once: profiles would silently change with them."""
    array = hash_array(np.arange(6, dtype=np.float32).reshape(2, 3))
    texts = hash_column(pd.Series(["a", None, "b"]))
    assert combine([array, array]).tolist() == [13055057496527932188, 14277420065505976008]
    assert texts.tolist() == [2407506119494225146, 16294208416658607535, 9010609241859596463]


def test_order_and_number_of_columns_count() -> None:
    a, b = hash_array(np.array([[1.0], [2.0]])), hash_array(np.array([[2.0], [1.0]]))
    assert combine([a, b])[0] != combine([b, a])[0]
    assert combine([a])[0] != combine([a, a])[0]
    with pytest.raises(ValueError, match="nothing to hash"):
        combine([])
