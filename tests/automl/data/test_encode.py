"""Encoding: fitted on training rows, the same at training and serving, kept without pickle."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from automl.data.columns import column_kinds
from automl.data.dataset import Dataset
from automl.data.encode import Encoding
from automl.data.encode.scale import LIMIT
from automl.data.sources.audio_folder import AudioFolderSource
from automl.data.sources.file import FileSource
from automl.data.sources.sklearn import SklearnSource
from automl.errors import UserError

from .files import picture, sound
from .frames import fit_table

RNG = np.random.default_rng(0)
ROWS = 200


def mixed() -> Dataset:
    """One of everything that a row can hold."""
    words = np.array(["red", "blue", "small", "large", "round", "soft", "warm", "cold"])
    table = pd.DataFrame(
        {
            "size": RNG.normal(50, 10, ROWS),
            "income": RNG.lognormal(8, 2, ROWS),
            "rooms": RNG.integers(1, 6, ROWS),
            "gap": np.where(RNG.random(ROWS) < 0.2, np.nan, RNG.normal(size=ROWS)),
            "old": RNG.random(ROWS) < 0.5,
            "city": RNG.choice(["Rome", "Oslo", "Lima"], ROWS),
            "shop": [f"shop {i % 30}" for i in range(ROWS)],
            "seen": pd.date_range("2019-01-01", periods=ROWS, freq="37h"),
            "story": [" ".join(RNG.choice(words, 6)) + f" {i}" for i in range(ROWS)],
        }
    )
    table.loc[5, ["city", "seen", "story"]] = None
    arrays: dict[str, Any] = {
        "photo": RNG.integers(0, 256, (ROWS, 9, 7, 3)).astype(np.uint8),
        "pulse": RNG.normal(size=(ROWS, 2, 30)).astype(np.float32),
        "voice": RNG.normal(-30, 10, (ROWS, 64, 20)).astype(np.float32),
    }
    arrays["pulse"][3, :, 20:] = np.nan
    target = pd.Series(RNG.choice(["no", "yes"], ROWS), name="target")
    modalities: dict[str, Any] = {"photo": "image", "pulse": "series", "voice": "audio"}
    return Dataset("mixed", table, target, arrays, modalities=modalities)


MIXED = mixed()
TRAIN = np.arange(0, 150)
ENCODING = Encoding.fit(MIXED, TRAIN, kind="binary")


def equal(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


class TestContract:
    """What ``automl.types.Input`` promises to the networks."""

    def test_shapes_and_types(self) -> None:
        types = {"tabular": np.float32, "image": np.uint8, "series": np.float32, "audio": np.float32, "text": np.int32}
        arrays = ENCODING.transform(MIXED)
        assert {i.modality for i in ENCODING.inputs} == set(types)
        for one, array in zip(ENCODING.inputs, arrays, strict=True):
            assert array.shape == (ROWS, *one.shape) and array.dtype == types[one.modality]
            assert np.isfinite(array).all() and array.flags.c_contiguous

    def test_table(self) -> None:
        (table,) = (i for i in ENCODING.inputs if i.modality == "tabular")
        array = ENCODING.transform(MIXED)[ENCODING.inputs.index(table)]
        cards = np.array(table.cardinalities)
        assert len(cards) == table.shape[0] and (np.diff((cards > 0).astype(int)) >= 0).all()
        assert np.abs(array[:, cards == 0]).max() < 10
        codes = array[:, cards > 0]
        assert (codes == np.round(codes)).all() and (codes >= 0).all() and (codes < cards[cards > 0]).all()

    def test_text_and_mask(self) -> None:
        for one, array in zip(ENCODING.inputs, ENCODING.transform(MIXED), strict=True):
            if one.modality == "text":
                assert array.min() >= 0 and array[:, : one.tokens].max() < one.vocabulary
                assert array[5, 0] == 1 and (array[5, 1:] == 0).all()  # the missing one is "unknown"
            if one.modality == "series":
                assert one.masked and one.shape == (3, 30)
                assert array[3, -1].tolist() == [1.0] * 20 + [0.0] * 10
                assert (array[3, :2, 20:] == 0).all()

    def test_images_are_bytes_with_their_moments(self) -> None:
        (image,) = (i for i in ENCODING.inputs if i.modality == "image")
        array = ENCODING.transform(MIXED)[ENCODING.inputs.index(image)]
        np.testing.assert_array_equal(array, np.moveaxis(MIXED.arrays["photo"], -1, 1))
        np.testing.assert_allclose(image.mean, array[TRAIN].mean(axis=(0, 2, 3)) / 255, rtol=1e-5)
        np.testing.assert_allclose(image.std, array[TRAIN].std(axis=(0, 2, 3)) / 255, rtol=1e-4)


class TestTrainingAndServingAgree:
    def rows(self, positions: range) -> list[dict[str, Any]]:
        """Rows as a client sends them: plain JSON."""
        made = []
        for i in positions:
            row = json.loads(MIXED.table.iloc[[i]].to_json(orient="records", date_format="iso", double_precision=15))[0]
            made.append(row | {name: MIXED.arrays[name][i].tolist() for name in ("pulse", "voice")})
            made[-1]["size"] = float(MIXED.table["size"].iloc[i])
            made[-1]["income"] = float(MIXED.table["income"].iloc[i])
            if not np.isnan(MIXED.table["gap"].iloc[i]):
                made[-1]["gap"] = float(MIXED.table["gap"].iloc[i])
            buffer = io.BytesIO()
            Image.fromarray(MIXED.arrays["photo"][i]).save(buffer, "PNG")
            made[-1]["photo"] = base64.b64encode(buffer.getvalue()).decode()
        return made

    def test_json_rows(self) -> None:
        raw = json.loads(json.dumps(self.rows(range(8))))
        equal(ENCODING.transform(ENCODING.dataset(raw)), ENCODING.transform(MIXED, range(8)))

    def test_one_row_is_as_many(self) -> None:
        for i, row in enumerate(self.rows(range(6))):
            equal(ENCODING.transform(ENCODING.dataset([row])), ENCODING.transform(MIXED, [i]))

    def test_columns_and_arrays(self) -> None:
        columns = {**{c: MIXED.table[c] for c in MIXED.table}, **MIXED.arrays}
        equal(ENCODING.transform(ENCODING.dataset(columns)), ENCODING.transform(MIXED))

    def test_nested_pictures_and_unknown_columns(self) -> None:
        rows = self.rows(range(2))
        for i, row in enumerate(rows):
            row.update(photo=MIXED.arrays["photo"][i].tolist(), comment="not asked for")
        equal(ENCODING.transform(ENCODING.dataset(rows)), ENCODING.transform(MIXED, range(2)))

    def test_row_order_is_kept(self) -> None:
        order = RNG.permutation(ROWS)
        equal(ENCODING.transform(MIXED, order), tuple(a[order] for a in ENCODING.transform(MIXED)))

    @pytest.mark.parametrize("name", ["iris", "digits", "diabetes"])
    def test_bundled_sets(self, name: str) -> None:
        dataset = SklearnSource(name).load()
        encoding = Encoding.fit(dataset, np.arange(100), kind="regression" if name == "diabetes" else "multiclass")
        raw = {**{c: dataset.table[c] for c in dataset.table}, **dataset.arrays}
        equal(encoding.transform(encoding.dataset(raw)), encoding.transform(dataset))

    REFUSED: ClassVar[dict[str, tuple[Any, str]]] = {
        "no rows": ([], "no rows"),
        "not an object": ([3], "row 1"),
        "absent column": ([{"size": 1}], "'income'"),
        "nested cell": ([{"size": [1, 2]}], "'size'"),
        "unequal columns": ({"size": [1], "income": [1, 2]}, "length"),
    }

    @pytest.mark.parametrize("name", REFUSED)
    def test_refused(self, name: str) -> None:
        rows, word = self.REFUSED[name]
        with pytest.raises(UserError, match=word) as caught:
            ENCODING.dataset(rows)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("photo", "not base64!"),
            ("photo", base64.b64encode(b"no picture").decode()),
            ("pulse", "loud"),
            ("pulse", [[1, 2], [3]]),
            ("pulse", [[1, 2, 3]]),
            ("voice", None),
        ],
    )
    def test_wrong_cells_are_named(self, column: str, value: Any) -> None:
        row = self.rows(range(1))[0] | {column: value}
        with pytest.raises(UserError, match=f"{column}.*row 1"):
            ENCODING.transform(ENCODING.dataset([row]))

    def test_other_values_than_in_training_do_no_harm(self) -> None:
        row = self.rows(range(1))[0]
        row.update(
            size=1e300, income="?", rooms=-4, gap=float("inf"), city="Atlantis", shop=None, seen="never", story=""
        )
        row.update(pulse=[[1.0] * 99, [2.0] * 99], photo=np.zeros((40, 30), int).tolist(), old="maybe")
        for array in ENCODING.transform(ENCODING.dataset([row])):
            assert np.isfinite(array).all()


class TestSaved:
    def test_round_trip(self, tmp_path: Path) -> None:
        ENCODING.save(tmp_path)
        loaded = Encoding.load(tmp_path)
        assert loaded == ENCODING and loaded.inputs == ENCODING.inputs
        equal(loaded.transform(MIXED), ENCODING.transform(MIXED))
        assert sorted(p.name for p in tmp_path.iterdir()) == ["encoding.json", "encoding.safetensors"]

    def test_json_alone_holds_all(self) -> None:
        assert Encoding.from_json(json.loads(json.dumps(ENCODING.to_json()))) == ENCODING

    def test_broken_files_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no readable encoding"):
            Encoding.load(tmp_path)
        ENCODING.save(tmp_path)
        (tmp_path / "encoding.json").write_text("{}")
        with pytest.raises(UserError, match="version"):
            Encoding.load(tmp_path)


class TestFittedOnTrainingRowsOnly:
    def test_other_rows_change_nothing(self) -> None:
        table = MIXED.table.copy()
        table.loc[150:, "size"] = 1e9
        table.loc[150:, "city"] = "Quito"
        arrays = {name: array.copy() for name, array in MIXED.arrays.items()}
        arrays["pulse"][150:] = 1e6
        arrays["photo"][150:] = 0
        other = Dataset("other", table, MIXED.target, arrays, modalities=MIXED.modalities)
        assert Encoding.fit(other, TRAIN, kind="binary") == ENCODING

    def test_row_order_changes_nothing_but_ties(self) -> None:
        assert Encoding.fit(MIXED, TRAIN[::-1], kind="binary").inputs == ENCODING.inputs


class TestTable:
    def test_unknown_and_missing_categories(self) -> None:
        encoding, _ = fit_table(c=["a", "b", "a", "c", None] * 9)
        codes = encoding.transform(encoding.dataset({"c": ["a", "zzz", None, " a "]}))[0][:, 0]
        assert codes[1] == 0 and codes[0] == codes[3] > 0 and codes[2] > 0 and codes[2] != codes[0]

    def test_high_cardinality_is_capped(self) -> None:
        encoding, dataset = fit_table(c=[f"id{i // 2}" for i in range(4000)], x=np.arange(4000.0))
        cards = encoding.inputs[0].cardinalities
        assert cards[:2] == (0, 0) and 2 < cards[2] <= 513
        assert encoding.transform(dataset)[0][-1, 2] == 0  # past the cap: unknown

    def test_missing_flag(self) -> None:
        encoding, dataset = fit_table(x=[1.0, 2.0, np.nan, 4.0] * 10)
        array = encoding.transform(dataset)[0]
        assert array[:4, 1].tolist() == [0, 0, 1, 0]

    def test_heavy_tails_are_brought_in(self) -> None:
        encoding, dataset = fit_table(
            x=RNG.lognormal(0, 4, 1000), y=np.where(RNG.random(1000) < 0.8, 0, RNG.random(1000))
        )
        array = encoding.transform(dataset)[0]
        assert np.abs(array).max() < 4 and array[:, 0].std() > 0.5 and array[:, 1].std() > 0.4

    def test_mixed_words_and_numbers(self) -> None:
        encoding, dataset = fit_table(x=["1", "2", "3.5", "1,200", "$7"] * 10)
        assert encoding.fields[0]["kind"] == "numeric" and encoding.fields[0]["high"] == 1200
        array = encoding.transform(dataset)[0]
        assert array[3, 0] == array[:, 0].max()

    @given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=4, max_size=60))
    @example([0.0, 0.0, 0.0, 5e-324])
    @example([-1.7e308, -1.7e308, 1.7e308, 1.7e308])
    @settings(deadline=None)
    def test_any_numbers(self, values: list[float]) -> None:
        try:
            encoding, dataset = fit_table(x=values)
        except UserError:
            assert len({v for v in values if np.isfinite(v)}) < 2
            return
        array = encoding.transform(dataset)[0]
        assert (
            np.isfinite(array).all()
            and np.abs(array[:, : np.count_nonzero(np.equal(encoding.inputs[0].cardinalities, 0))]).max() <= 3
        )

    def test_far_values_stop_at_three(self) -> None:
        encoding, _ = fit_table(x=RNG.normal(size=100))
        array = encoding.transform(encoding.dataset({"x": [1e300, -1e300, 1.7e308]}))[0]
        np.testing.assert_allclose(array[:, 0], [3, -3, 3])

    def test_scaling_keeps_order(self) -> None:
        encoding, dataset = fit_table(x=np.sort(RNG.normal(size=300)), y=np.sort(RNG.lognormal(0, 3, 300)))
        assert (np.diff(encoding.transform(dataset)[0], axis=0) >= 0).all()

    def test_dates(self) -> None:
        dates = pd.date_range("2020-01-01", periods=800, freq="D")
        encoding, dataset = fit_table(d=dates)
        array = encoding.transform(dataset)[0]
        assert array.shape[1] == 7  # trend; sine and cosine of year, month and week; no time of day
        np.testing.assert_allclose(array[0, 1:3], array[731, 1:3], atol=0.03)  # the same day two years on
        words, _ = fit_table(d=[f"{d:%d %b %Y}" for d in dates])
        np.testing.assert_array_equal(words.transform(words.dataset({"d": [f"{d:%d %b %Y}" for d in dates]}))[0], array)

    def test_dates_that_mean_for_ever_leave_the_others_apart(self) -> None:
        dates = pd.Series(pd.date_range("2020-01-01", periods=800, freq="D", unit="s"))
        ever = dates.where(np.arange(800) % 3 > 0, pd.Timestamp("9999-12-31"))
        encoding, dataset = fit_table(d=ever)
        trend = encoding.transform(dataset)[0][:, 0]
        assert trend[np.arange(800) % 3 > 0].std() > 0.5 and trend.max() <= 3

    def test_kinds(self) -> None:
        table = pd.DataFrame(
            {
                "n": ["1", "2"] * 20,
                "c": ["a", "b"] * 20,
                "d": ["2020-01-02", "2020-03-04"] * 20,
                "t": [f"some longer words number {i}" for i in range(40)],
                "e": [None] * 40,
                "zip": ["90210", "10001"] * 20,
            }
        )
        assert column_kinds(table) == {
            "n": "numeric",
            "c": "categorical",
            "d": "datetime",
            "t": "text",
            "e": "empty",
            "zip": "numeric",
        }
        names = pd.DataFrame({"name": [f"name{'abcdefgh'[i % 8]}{i}" for i in range(40)]})
        assert column_kinds(names) == {"name": "text"}


def fit_array(array: np.ndarray, modality: Any) -> tuple[Encoding, Dataset]:
    table, target = pd.DataFrame(index=range(len(array))), pd.Series(np.arange(len(array)) % 2, name="target")
    dataset = Dataset("a", table, target, {"x": array}, modalities={"x": modality})
    return Encoding.fit(dataset, np.arange(len(array)), kind="binary"), dataset


class TestArrays:
    def test_image_layouts_agree(self) -> None:
        last = RNG.integers(0, 256, (8, 6, 5, 3)).astype(np.uint8)
        one, a = fit_array(last, "image")
        two, b = fit_array(np.moveaxis(last, -1, 1), "image")
        equal(one.transform(a), two.transform(b))

    def test_images_in_the_unit_interval_and_of_few_levels(self) -> None:
        levels = RNG.integers(0, 2, (9, 8, 8)).astype(np.uint8)
        deep = RNG.integers(0, 65_536, (9, 8, 8)).astype(np.uint16)
        for array in (RNG.random((9, 8, 8, 1)), levels, RNG.uniform(-1, 1, (9, 8, 8, 3)), deep, levels * 255.0):
            encoding, dataset = fit_array(array, "image")
            encoded = encoding.transform(dataset)[0]
            assert encoded.dtype == np.uint8 and encoded.min() <= 5 and encoded.max() >= 250

    def test_other_sizes_and_colours_at_serving(self) -> None:
        encoding, _ = fit_array(RNG.integers(0, 256, (8, 6, 5, 3)).astype(np.uint8), "image")
        grey = encoding.dataset({"x": RNG.integers(0, 256, (2, 12, 10)).astype(np.uint8)})
        assert encoding.transform(grey)[0].shape == (2, 3, 6, 5)

    def test_series_gaps_are_bridged(self) -> None:
        array = np.tile(np.arange(10.0), (6, 1, 1)) + RNG.normal(size=(6, 1, 1))
        array[0, 0, 4] = np.nan
        encoding, dataset = fit_array(array, "series")
        encoded = encoding.transform(dataset)[0]
        np.testing.assert_allclose(encoded[0, 0, 4], (encoded[0, 0, 3] + encoded[0, 0, 5]) / 2, rtol=1e-5)
        assert encoded[0, 1, 4] == 0 and encoded[1, 1, 4] == 1

    def test_series_of_unequal_scale_keep_level_and_scale(self) -> None:
        array = RNG.normal(size=(50, 1, 20)) * np.logspace(-3, 3, 50)[:, None, None]
        encoding, dataset = fit_array(array, "series")
        encoded = encoding.transform(dataset)[0]
        assert encoding.inputs[0].shape == (3, 20)
        np.testing.assert_allclose(encoded[:, 0].std(axis=1), 1, rtol=1e-3)
        assert (np.diff(encoded[:, 2, 0]) >= -0.1).mean() > 0.7  # the scale channel grows with the scale

    def test_long_series_are_averaged(self) -> None:
        encoding, dataset = fit_array(RNG.normal(size=(4, 1, 10_001)), "series")
        assert encoding.inputs[0].shape == (1, 3334) == encoding.transform(dataset)[0].shape[1:]

    def test_shorter_and_longer_series_at_serving(self) -> None:
        encoding, _ = fit_array(RNG.normal(size=(9, 2, 12)), "series")
        rows = [{"x": np.ones((2, 5)).tolist()}, {"x": np.ones((2, 30)).tolist()}]
        assert encoding.transform(encoding.dataset(rows))[0].shape == (2, 2, 12)

    def test_audio_is_standardised(self) -> None:
        encoding, dataset = fit_array(RNG.normal(-40, 12, (30, 64, 25)), "audio")
        encoded = encoding.transform(dataset)[0]
        assert encoded.shape == (30, 1, 64, 25) and abs(encoded.mean()) < 0.01 and abs(encoded.std() - 1) < 0.01


NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, 5e-324, 1e-300, 1e300, -1e30, 3.0])
CELLS = (
    st.none()
    | NUMBERS
    | st.integers(-(10**30), 10**30)
    | st.booleans()
    | st.text(max_size=50)
    | st.dates()
    | st.datetimes()
    | st.sampled_from(
        ["shop 1", "Rome", "9999-12-31", "0001-01-01", "1e999", "-inf", "?", "x" * 50_000, "1,5", "\ud83d"]
    )
)


def filled(*shape: int) -> st.SearchStrategy[Any]:
    """Arrays of a few numbers, one after the other."""
    return st.lists(NUMBERS, min_size=1, max_size=12).map(lambda values: np.resize(values, shape).tolist())


ROW = st.fixed_dictionaries(
    {
        **dict.fromkeys([*MIXED.table.columns, "even", "dust", "unit"], CELLS),
        "photo": st.none() | filled(9, 7, 3) | filled(2, 5),
        "pulse": filled(2, 30) | filled(2, 3) | filled(2, 50),
        "scaled": filled(30) | filled(1, 1),
        "voice": filled(64, 20) | filled(64, 1),
    }
)


def equal_and_tiny() -> tuple[Encoding, Dataset]:
    """What standardisations with a small floor fall over: equal frequencies, centred rows, hardly any spread."""
    even = [f"store {i % 20}" for i in range(ROWS)]
    more = {"even": even, "dust": 1e9 + RNG.normal(0, 1e-6, ROWS), "unit": RNG.normal(0, 1e-300, ROWS)}
    table = pd.concat([MIXED.table, pd.DataFrame(more)], axis=1)
    scaled = RNG.normal(size=(ROWS, 1, 30)) * np.logspace(-9, 9, ROWS)[:, None, None]
    arrays = {**MIXED.arrays, "scaled": scaled - scaled.mean(axis=2, keepdims=True)}
    modalities: dict[str, Any] = {**MIXED.modalities, "scaled": "series"}
    dataset = Dataset("tiny", table, MIXED.target, arrays, modalities=modalities)
    return Encoding.fit(dataset, np.arange(ROWS), kind="binary"), dataset


TINY = equal_and_tiny()


class TestNothingExplodes:
    """Whatever a row holds, what a network sees is finite and in the range that training had."""

    @given(ROW)
    @settings(deadline=None, max_examples=60)
    def test_any_row(self, row: dict[str, Any]) -> None:
        for one, array in zip(TINY[0].inputs, TINY[0].transform(TINY[0].dataset([row])), strict=True):
            numbers = array if one.modality != "tabular" else array[:, np.equal(one.cardinalities, 0)]
            if array.dtype == np.float32:
                assert np.isfinite(array).all() and np.abs(numbers).max() <= LIMIT
            if one.modality == "image":  # the network standardises them
                assert max((1 - m) / s for m, s in zip(one.mean, one.std, strict=True)) <= LIMIT

    @pytest.mark.parametrize("rows", [100, 60])
    def test_a_category_that_training_lacked(self, rows: int) -> None:
        encoding, dataset = fit_table(store=[f"store {i % 20}" for i in range(20 * rows)])
        known = encoding.transform(dataset)[0][:, 0]
        new = encoding.transform(encoding.dataset({"store": ["store 99", None]}))[0][:, 0]
        assert np.abs(known).max() < 0.1 and (np.abs(new) <= 3).all() and (new < -2).all()

    def test_categories_beyond_those_kept(self) -> None:
        encoding, dataset = fit_table(c=[f"c{i % 600}" for i in range(30_000)])
        assert np.abs(encoding.transform(dataset)[0][:, 0]).max() <= 3

    def test_the_scale_means_something(self) -> None:
        """What is three spreads away stays apart from what is one, at any magnitude."""
        for unit in (1e-12, 1.0, 1e12):
            series = RNG.normal(size=(100, 1, 20)) * unit
            encoding, dataset = fit_array(series, "series")
            assert 0.9 < encoding.transform(dataset)[0].std() < 1.1
            encoding, dataset = fit_array(series * np.logspace(-2, 2, 100)[:, None, None], "series")
            scale = encoding.transform(dataset)[0][:, 2, 0]
            assert encoding.inputs[0].shape[0] == 3 and scale[-1] - scale[0] > 1.5
            encoding, dataset = fit_table(x=RNG.normal(size=100) * unit)
            far = encoding.transform(encoding.dataset({"x": [unit, 3 * unit]}))[0]
            assert far[1, 0] - far[0, 0] > 0.5

    def test_the_level_of_a_row_where_none_had_one(self) -> None:
        series = RNG.normal(size=(50, 1, 20)) * np.logspace(-3, 3, 50)[:, None, None]
        encoding, dataset = fit_array(series - series.mean(axis=2, keepdims=True), "series")
        assert np.abs(encoding.transform(dataset)[0][:, 1]).max() < 0.1
        new = encoding.transform(encoding.dataset({"x": series[:1] + 0.07}))[0][0, 1]
        assert 0 < new[0] <= 3

    def test_an_encoding_from_before_answers_as_before(self) -> None:
        encoding, dataset = TINY
        state = json.loads(json.dumps(encoding.to_json()))
        del state["columns"]
        even = next(c for c in state["inputs"][0]["columns"] if c["name"] == "even")
        del even["frequency"]
        logs = np.log1p([10.0 + i for i in range(20)])
        even["log_counts"] = logs.tolist()
        scaled = next(i for i in state["inputs"] if i["name"] == "scaled")
        del scaled["unit"]
        old = Encoding.from_json(json.loads(json.dumps(state)))
        place = old.encoders[0].names.index("even frequency")  # type: ignore[attr-defined]
        codes = [even["categories"].index(v) for v in dataset.table["even"]]
        np.testing.assert_allclose(
            old.transform(dataset)[0][:, place], ((logs - logs.mean()) / logs.std())[codes], rtol=1e-5
        )
        raw = dataset.arrays["scaled"][:, 0]
        plane = old.transform(dataset)[[i.name for i in old.inputs].index("scaled")][:, 2, 0]
        mean, std = scaled["row_stats"][2:]
        np.testing.assert_allclose(plane, ((np.log1p(raw.std(axis=1)) - mean) / std).clip(-20, 20), rtol=1e-4)


class TestTarget:
    def test_classes(self) -> None:
        encoding = Encoding.fit(MIXED, TRAIN, kind="binary")
        y = encoding.encode_target(MIXED.target)
        assert y.dtype == np.int64 and encoding.target.classes == ("no", "yes")
        assert (encoding.decode(y) == MIXED.target.to_numpy()).all()
        with pytest.raises(UserError, match="'maybe' in row 2"):
            encoding.encode_target(pd.Series(["yes", "maybe"]))

    def test_values(self) -> None:
        dataset = Dataset("v", MIXED.table[["size"]], pd.Series(RNG.normal(size=ROWS), name="y"))
        encoding = Encoding.fit(dataset, TRAIN, kind="regression")
        y = encoding.encode_target(dataset.target)
        assert y.dtype == np.float32 and encoding.decode(y) is y
        np.testing.assert_allclose(y, dataset.target, rtol=1e-6)


def test_serving_needs_no_training_libraries() -> None:
    """A bundle is loaded where every second counts: what only finds faults or trains is not imported."""
    heavy = ("sklearn", "cleanlab", "scipy", "torch", "lightning")
    code = f"import sys, automl.deploy.bundle; print([m for m in {heavy} if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_a_sound_is_sent_as_the_file_it_is(tmp_path: Path) -> None:
    for name, hertz in (("low", 300), ("high", 900)):
        for i in range(3):
            sound(tmp_path / name / f"{i}.wav", hertz=hertz + 20 * i, seconds=0.3 + 0.1 * i)
    dataset = AudioFolderSource(str(tmp_path)).load()
    encoding = Encoding.fit(dataset, np.arange(6), kind="binary")
    files = sorted(tmp_path.glob("*/*.wav"))
    sent = [{"audio": base64.b64encode(f.read_bytes()).decode()} for f in files]
    got = encoding.transform(encoding.dataset(json.loads(json.dumps(sent))))
    np.testing.assert_array_equal(got[0], encoding.transform(dataset)[0])
    assert np.isfinite(encoding.transform(encoding.dataset([{"audio": None}, sent[0]]))[0]).all()
    with pytest.raises(UserError, match="row 1 is no base64 text of a wav"):
        encoding.dataset([{"audio": "?"}])


def test_a_row_may_lack_its_picture_as_in_training(tmp_path: Path) -> None:
    for i in range(6):
        picture(tmp_path / f"{i}.png", level=30 * i)
    lines = [f"{i}.png,{i},{'xy'[i % 2]}" for i in range(6)] + [",7,x"]
    (tmp_path / "t.csv").write_text("\n".join(["photo,size,target", *lines]))
    dataset = FileSource(str(tmp_path / "t.csv")).load()
    encoding = Encoding.fit(dataset, np.arange(7), kind="binary")
    first = base64.b64encode((tmp_path / "0.png").read_bytes()).decode()
    rows = [{"photo": first, "size": 0}, {"photo": None, "size": 7}]
    for got, wanted in zip(
        encoding.transform(encoding.dataset(rows)), encoding.transform(dataset, [0, 6]), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)
