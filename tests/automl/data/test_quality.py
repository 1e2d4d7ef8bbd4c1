"""The quality check: planted faults are found, clean data gives no alarm, repairs keep off the test split."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import datasets

from automl.data.dataset import TEST, TRAIN, VALID, Dataset
from automl.data.prepare import prepare
from automl.data.quality import REPAIRS, Quality, check, clean, steps_from_json, steps_to_json
from automl.data.quality.check import MOST_PER_NAME
from automl.data.quality.target import told_in_order
from automl.errors import UserError
from automl.types import Kind

ROWS = 300


def clean_table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "height": rng.normal(170, 10, rows),
            "weight": rng.normal(70, 12, rows),
            "age": rng.integers(18, 90, rows),
            "city": rng.choice(["Berlin", "Paris", "Rome"], rows),
            "joined": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), unit="D"),
        }
    )


def clean_dataset(rows: int = ROWS, seed: int = 0, split: bool = False) -> Dataset:
    table = clean_table(rows, seed)
    rng = np.random.default_rng(seed + 1)
    score = (table["height"] - 170) / 10 + (table["weight"] - 70) / 12 + rng.normal(0, 0.7, rows)
    target = pd.Series(np.where(score > 0, "yes", "no"), name="answer")
    marks = np.array([TRAIN, TRAIN, VALID, TEST, TRAIN])[np.arange(rows) % 5] if split else None
    return Dataset("people", table, target, split=marks)


def with_column(dataset: Dataset, name: str, values: object) -> Dataset:
    return dataclasses.replace(dataset, table=dataset.table.assign(**{name: values}))


def changed(dataset: Dataset, column: str, rows: slice | list[int], value: object) -> Dataset:
    table = dataset.table.copy()
    if table[column].dtype != object:
        table[column] = table[column].astype(object)
    table.iloc[rows, table.columns.get_loc(column)] = value
    return dataclasses.replace(dataset, table=table)


def quick(dataset: Dataset, **options) -> tuple[Dataset, Quality]:
    return check(dataset, label_errors=False, **options)


def repeated(dataset: Dataset, rows: int) -> Dataset:
    places = np.concatenate([np.arange(len(dataset)), np.arange(rows)])
    return dataclasses.replace(
        dataset,
        table=dataset.table.iloc[places].reset_index(drop=True),
        target=dataset.target.iloc[places].reset_index(drop=True),
    )


def contradicted(dataset: Dataset) -> Dataset:
    out = repeated(dataset, 20)
    target = out.target.copy()
    target.iloc[-20:] = np.where(target.iloc[-20:] == "yes", "no", "yes")
    return dataclasses.replace(out, target=target)


def overlapped(dataset: Dataset) -> Dataset:
    split = np.array([TRAIN] * (len(dataset) - 60) + [TEST] * 60)
    table = dataset.table.copy()
    table.iloc[-10:] = table.iloc[:10].to_numpy()
    return dataclasses.replace(dataset, table=table.infer_objects(), split=split)


def retarget(dataset: Dataset, target: object) -> Dataset:
    return dataclasses.replace(dataset, target=pd.Series(target, name="answer"))


def as_text(dataset: Dataset, form: str) -> Dataset:
    return with_column(dataset, "joined", dataset.table["joined"].dt.strftime(form))


def set_at(dataset: Dataset, column: str, rows: list[int], value: float) -> Dataset:
    """Some cells of a numeric column, which stays numeric."""
    values = dataset.table[column].astype(float)
    values.iloc[rows] = value
    return with_column(dataset, column, values)


def id_text(n: int) -> list[str]:
    return [f"cust-{k:05d}" for k in np.random.default_rng(3).permutation(n)]


def yes(dataset: Dataset) -> pd.Series:
    return dataset.target == "yes"


def mixed(n: int) -> pd.Series:
    return pd.Series([1, "a", 2.5] * (n // 3), dtype=object)


Plant = Callable[[Dataset], Dataset]
# finding, where, how to plant it, rows or values concerned (None: not checked), severity
PLANTED: list[tuple[str, str, Plant, int | None, str]] = [
    ("missing_values", "weight", lambda d: changed(d, "weight", slice(0, 30), np.nan), 30, "info"),
    ("missing_values", "city", lambda d: changed(d, "city", slice(0, 200), None), 200, "warning"),
    ("empty_column", "note", lambda d: with_column(d, "note", np.nan), ROWS, "warning"),
    ("constant_column", "unit", lambda d: with_column(d, "unit", "kg"), ROWS, "warning"),
    ("constant_column", "one", lambda d: with_column(d, "one", 1), ROWS, "warning"),
    ("id_like_column", "row", lambda d: with_column(d, "row", np.arange(ROWS)), ROWS, "warning"),
    ("id_like_column", "row", lambda d: with_column(d, "row", np.arange(ROWS) * 1.0), ROWS, "warning"),
    ("id_like_column", "customer", lambda d: with_column(d, "customer", id_text(ROWS)), ROWS, "warning"),
    (
        "id_like_column",
        "key",
        lambda d: with_column(d, "key", [f"{k:08x}-1f2e-4d3c-9b8a-{k:012x}" for k in range(ROWS)]),
        ROWS,
        "warning",
    ),
    (
        "id_like_column",
        "account_id",
        lambda d: with_column(d, "account_id", np.random.default_rng(0).choice(10**9, ROWS, replace=False)),
        ROWS,
        "warning",
    ),
    ("duplicate_columns", "size", lambda d: with_column(d, "size", d.table["height"]), ROWS, "info"),
    ("duplicate_rows", "rows", lambda d: repeated(d, 15), 15, "warning"),
    ("contradicting_labels", "rows", contradicted, 40, "warning"),
    ("train_test_overlap", "rows", overlapped, 10, "error"),
    ("missing_target", "target", lambda d: retarget(d, [None] * 7 + list(d.target[7:])), 7, "warning"),
    ("numeric_text", "income", lambda d: with_column(d, "income", [f"{k:,}" for k in range(900, 1200)]), ROWS, "info"),
    ("mixed_types", "age", lambda d: changed(d, "age", [3, 9], "old"), 2, "warning"),
    ("mixed_types", "code", lambda d: with_column(d, "code", mixed(ROWS)), 200, "warning"),
    ("placeholder_values", "city", lambda d: changed(d, "city", slice(0, 12), "?"), 12, "info"),
    ("placeholder_values", "city", lambda d: changed(d, "city", slice(0, 12), " N/A "), 12, "info"),
    ("date_text", "joined", lambda d: as_text(d, "%d.%m.%Y"), ROWS, "info"),
    ("unparsable_dates", "joined", lambda d: changed(as_text(d, "%Y-%m-%d"), "joined", [4, 5], "soon"), 2, "warning"),
    ("infinite_values", "height", lambda d: set_at(d, "height", [0, 1, 7], np.inf), 3, "warning"),
    ("sentinel_values", "weight", lambda d: set_at(d, "weight", list(range(10)), -999.0), 10, "warning"),
    ("outliers", "height", lambda d: set_at(d, "height", [5], 17e6), 1, "warning"),
    ("outliers", "height", lambda d: set_at(d, "height", [5, 6], 400.0), 2, "info"),
    ("category_variants", "city", lambda d: changed(d, "city", slice(0, 20), "PARIS"), None, "warning"),
    ("target_leakage", "code", lambda d: with_column(d, "code", np.where(d.target == "yes", "A", "B")), None, "error"),
    ("target_leakage", "code", lambda d: with_column(d, "code", yes(d) * 3 + d.table["age"] / 100), None, "error"),
    ("target_leakage", "death", lambda d: with_column(d, "death", d.table["height"].where(yes(d))), None, "error"),
    ("one_class", "target", lambda d: retarget(d, ["yes"] * ROWS), ROWS, "error"),
    ("rare_classes", "target", lambda d: retarget(d, ["maybe"] * 3 + list(d.target[3:])), 3, "warning"),
    ("imbalance", "target", lambda d: retarget(d, ["no"] * 20 + ["yes"] * (ROWS - 20)), 20, "warning"),
    ("imbalance", "target", lambda d: retarget(d, ["no"] * 60 + ["yes"] * (ROWS - 60)), 60, "info"),
    ("class_variants", "target", lambda d: retarget(d, ["Yes "] * 40 + list(d.target[40:])), 1, "warning"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "where", "plant", "count", "severity"), PLANTED, ids=[f"{p[0]}-{p[1]}-{i}" for i, p in enumerate(PLANTED)]
)
def test_a_planted_fault_is_found(name: str, where: str, plant: Plant, count: int | None, severity: str) -> None:
    before = {(f.name, f.where) for f in quick(clean_dataset())[1].findings}
    assert (name, where) not in before
    _, quality = quick(plant(clean_dataset()))
    found = [f for f in quality.findings if (f.name, f.where) == (name, where)]
    assert len(found) == 1, [(f.name, f.where) for f in quality.findings]
    assert found[0].severity == severity
    assert count is None or found[0].count == count
    assert found[0].text[-1] in ".?"


@pytest.mark.parametrize(
    ("plant", "gone"),
    [
        (lambda d: with_column(d, "unit", "kg"), "unit"),
        (lambda d: with_column(d, "row", np.arange(ROWS)), "row"),
        (lambda d: with_column(d, "note", np.nan), "note"),
        (lambda d: with_column(d, "size", d.table["height"]), "size"),
    ],
)
def test_columns_that_teach_nothing_are_dropped(plant: Plant, gone: str) -> None:
    repaired, quality = quick(plant(clean_dataset()))
    assert gone not in repaired.table
    assert len(repaired.table.columns) == 5
    assert all(f.repaired for f in quality.findings if f.where == gone)


def shaped(form: str) -> list[str]:
    """Texts of one shape, all different, that are no names of rows."""
    rng = np.random.default_rng(5)
    values = rng.choice(86_400, ROWS, replace=False)
    forms: dict[str, Callable[[int], str]] = {
        "clock": lambda v: f"{v // 3600:02d}:{v // 60 % 60:02d}:{v % 60:02d}",
        "unit": lambda v: f"{v / 100:.2f}kg",
        "currency": lambda v: f"₹{v:,}",
        "point and comma": lambda v: f"{v:,}.57".translate(str.maketrans(",.", ".,")),
        "pair": lambda v: f"{v / 1000:.3f},{v / 999:.3f}",
        "date": lambda v: f"{v % 28 + 1:02d}{v // 28 % 12 + 1:02d}{1900 + v // 336}",
    }
    return [forms[form](int(v)) for v in values]


STEADY = 2 * np.arange(ROWS) + np.random.default_rng(1).normal(0, 30, ROWS)
CHANCE = np.random.default_rng(2).normal(size=ROWS)
HALVES = np.repeat(["no", "yes"], ROWS // 2)


class TestIdLike:
    """A column goes for its name or as a random key; for its form only where it tells nothing of the target."""

    @pytest.mark.parametrize(
        ("name", "values", "answers", "kept"),
        [
            ("day", np.arange(ROWS), STEADY, True),
            ("year", np.arange(1720, 1720 + ROWS), -STEADY, True),
            ("rank", np.arange(ROWS)[::-1], STEADY, True),
            ("cycle", np.arange(ROWS), np.sin(np.arange(ROWS) / 12) + CHANCE / 4, True),
            ("elapsed", np.arange(ROWS) * 2, np.where(np.arange(ROWS) % 100 < 50, "on", "off"), True),
            ("depth", np.arange(ROWS), CHANCE, False),
            ("n", np.arange(ROWS), np.random.default_rng(3).permutation(HALVES), False),
            ("order", [f"{'DE' if h == 'no' else 'FR'}-{i:04d}" for i, h in enumerate(HALVES)], HALVES, True),
            ("order", id_text(ROWS), HALVES, False),
            # Kaggle's iris: the file is sorted by the class, and so is its Id.
            ("Id", np.arange(1, ROWS + 1), HALVES, False),
            ("Unnamed: 0", np.arange(ROWS), STEADY, False),
            ("heat_index", np.random.default_rng(4).permutation(ROWS), CHANCE, False),
            ("heat_index", np.arange(ROWS), STEADY, True),
        ],
    )
    def test_what_is_dropped(self, name: str, values: list, answers: np.ndarray, kept: bool) -> None:
        dataset = retarget(with_column(clean_dataset(), name, values), answers)
        kind = "regression" if dataset.target.dtype == float else "binary"
        repaired, quality = quick(dataset, kind=kind)
        assert (name in repaired.table) == kept
        (found,) = quality.named("id_like_column")
        assert found.repaired != kept and ("it is kept" in found.text) == kept
        assert any(name in line and found.text in line for line in quality.dropped) != kept

    def test_the_index_that_pandas_wrote_goes_from_a_small_file_too(self) -> None:
        few = with_column(clean_dataset(30), "Unnamed: 0", np.arange(30))
        assert "Unnamed: 0" not in quick(few)[0].table
        assert "row" in quick(with_column(clean_dataset(30), "row", np.arange(30)))[0].table

    @pytest.mark.parametrize("form", ["clock", "unit", "currency", "point and comma", "pair"])
    @pytest.mark.parametrize("answers", [CHANCE, HALVES])
    def test_times_units_and_currencies_never_go_for_their_shape(self, form: str, answers: np.ndarray) -> None:
        repaired, quality = quick(retarget(with_column(clean_dataset(), "told", shaped(form)), answers))
        assert "told" in repaired.table and not quality.named("id_like_column")

    def test_long_words_without_a_digit_are_looked_at_once(self) -> None:
        genes = ["".join(np.random.default_rng(i).choice(list("ACGT"), 60)) for i in range(ROWS)]
        repaired, quality = quick(with_column(clean_dataset(), "gene", genes))
        assert "gene" in repaired.table and not quality.named("id_like_column")

    @pytest.mark.parametrize("before", ["", "x-"])
    def test_names_of_very_many_digits(self, before: str) -> None:
        names = [f"{before}{'1' * 6_000}{i:03d}" for i in range(ROWS)]
        repaired, quality = quick(retarget(with_column(clean_dataset(), "n", names), HALVES))
        assert quality.named("id_like_column") and "n" in repaired.table  # their order tells the target

    def test_digits_are_no_random_key(self) -> None:
        dates = shaped("date")
        late = np.where([int(d[4:]) > 2020 for d in dates], "late", "early")
        _, quality = quick(retarget(with_column(clean_dataset(), "when", dates), late))
        assert not any("random key" in f.text for f in quality.findings)

    def test_no_label_of_the_test_split_decides(self) -> None:
        marks = np.where(np.arange(ROWS) % 2 == 0, TRAIN, TEST)
        dataset = with_column(dataclasses.replace(clean_dataset(), split=marks), "day", np.arange(ROWS))
        answers = np.where(marks == TEST, HALVES, np.random.default_rng(3).permutation(HALVES))
        assert "day" not in quick(retarget(dataset, answers))[0].table

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 10_000), st.sampled_from(["regression", "multiclass"]))
    def test_chance_tells_nothing(self, seed: int, kind: Kind) -> None:
        rng = np.random.default_rng(seed)
        target = pd.Series(rng.normal(size=200) if kind == "regression" else rng.integers(0, 5, 200))
        part, chance = told_in_order(pd.Series(np.arange(200)), target, kind, seed=seed)
        assert part < 0.4 and 0.01 <= chance <= 1
        assert told_in_order(pd.Series(np.arange(200)), target.sort_values(), kind)[1] == 0.01


def test_a_column_left_out_is_said_with_its_reason() -> None:
    dataset = with_column(with_column(clean_dataset(), "unit", "kg"), "told", shaped("pair"))
    why = prepare(with_column(dataset, "row", np.arange(ROWS))).task.why
    assert any("'unit' is 'kg' in every row" in line for line in why)
    assert any("'row' differs from row to row" in line for line in why)
    assert any("told (hardly a value stands in two rows)" in line for line in why)


def test_notation_is_repaired() -> None:
    dataset = with_column(clean_dataset(), "income", [f"{1000 + k % 70:,}" for k in range(ROWS)])
    dataset = changed(dataset, "age", [3], "old")
    dataset = with_column(dataset, "joined", dataset.table["joined"].dt.strftime("%d.%m.%Y"))
    dataset = with_column(dataset, "height", dataset.table["height"].where(dataset.table.index != 2, np.inf))
    dataset = changed(dataset, "city", [0], "?")
    repaired, _ = quick(dataset)
    table = repaired.table
    assert table["income"].tolist() == [1000 + k % 70 for k in range(ROWS)]
    assert np.isnan(table["age"].iloc[3])
    assert pd.api.types.is_float_dtype(table["age"])
    pd.testing.assert_series_equal(
        table["joined"].astype("datetime64[ns]"), clean_table()["joined"].astype("datetime64[ns]")
    )
    assert np.isnan(table["height"].iloc[2])
    assert pd.isna(table["city"].iloc[0])


def test_postcodes_stay_text() -> None:
    codes = [f"{k:05d}" for k in np.random.default_rng(0).integers(1000, 1080, ROWS)]
    repaired, quality = quick(with_column(clean_dataset(), "postcode", codes))
    assert repaired.table["postcode"].tolist() == codes
    assert not quality.named("numeric_text")


@functools.cache
def all_columns_at_once() -> Dataset:
    """Every planted fault of a column in one table, each in a column of its own, and repeated rows."""
    dataset = clean_dataset()
    columns = dict(dataset.table)
    for i, (_, _, plant, _, _) in enumerate(PLANTED):
        planted = plant(clean_dataset())
        if len(planted) == len(dataset) and planted.split is None:
            new = [c for c in planted.table.columns if not planted.table[c].equals(dataset.table.get(c))]
            columns |= {f"{c}{i}": planted.table[c] for c in new}
    return repeated(dataclasses.replace(dataset, table=pd.DataFrame(columns)), 15)


@pytest.mark.parametrize("name", [*sorted(REPAIRS), "none of them"])
def test_every_repair_can_be_switched_by_itself(name: str) -> None:
    dataset = all_columns_at_once()
    switches = {**dict.fromkeys(REPAIRS, False), **({name: True} if name in REPAIRS else {})}
    repaired, quality = quick(dataset, repairs=switches)
    assert {f.name for f in quality.findings if f.repaired} <= {name}
    if not any(f.repaired for f in quality.findings):
        pd.testing.assert_frame_equal(repaired.table, dataset.table)
        assert len(repaired) == len(dataset)


def test_an_unknown_repair_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="unknown repair 'duplicates'; the repairs are: missing_target, ") as caught:
        check(clean_dataset(), repairs={"duplicates": True})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "load", [datasets.load_iris, datasets.load_wine, datasets.load_breast_cancer, datasets.load_diabetes]
)
def test_clean_data_gives_no_alarm(load: Callable) -> None:
    bunch = load(as_frame=True)
    repaired, quality = check(Dataset("clean", bunch.data, bunch.target))
    assert quality.worst() in (None, "info"), [f.text for f in quality.findings]
    assert len(repaired) == len(bunch.data)
    assert list(repaired.table.columns) == list(bunch.data.columns)


def test_clean_mixed_table_gives_no_finding() -> None:
    _, quality = check(clean_dataset())
    assert [f for f in quality.findings if f.name != "label_errors"] == []
    assert quality.worst() in (None, "info")


def test_repeats_in_a_table_of_few_values_are_no_fault() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.integers(0, 3, (500, 4)), columns=list("abcd")).astype(str)
    target = pd.Series(rng.choice(["x", "y"], 500))
    repaired, quality = quick(Dataset("coarse", table, target))
    assert len(repaired) == 500
    assert {f.severity for f in (*quality.named("duplicate_rows"), *quality.named("contradicting_labels"))} == {"info"}


def test_repeated_rows_keep_their_first() -> None:
    dataset = repeated(clean_dataset(), 15)
    repaired, quality = quick(dataset)
    assert len(repaired) == ROWS
    assert quality.kept == tuple(range(ROWS))
    assert quality.named("duplicate_rows")[0].rows == tuple(range(ROWS, ROWS + 15))
    assert quality.named("duplicate_rows")[0].examples[0] == {"row": ROWS, "same as row": 0}


def test_what_was_measured_again_later_is_no_repeat() -> None:
    dataset = repeated(clean_dataset(), 15)
    times = np.arange(float(ROWS + 15))
    assert not quick(dataclasses.replace(dataset, time=times))[1].named("duplicate_rows")
    times[ROWS] = times[0]
    kept, quality = quick(dataclasses.replace(dataset, time=times))
    assert quality.named("duplicate_rows")[0].rows == (ROWS,) and len(kept) == ROWS + 14


def test_the_only_input_is_never_dropped() -> None:
    table = pd.DataFrame({"name": id_text(ROWS)})
    repaired, quality = quick(Dataset("names", table, clean_dataset().target))
    assert list(repaired.table.columns) == ["name"]
    assert not quality.named("id_like_column")[0].repaired


def everything_wrong() -> Dataset:
    """A split data set with faults on both sides of the split."""
    dataset = overlapped(clean_dataset())
    dataset = changed(dataset, "weight", [0, 299], np.nan)
    dataset = with_column(dataset, "income", [f"{1000 + k % 29:,}" for k in range(ROWS)])
    target = dataset.target.copy()
    target.iloc[[1, 2, 298]] = None
    return dataclasses.replace(dataset, target=target)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1000))
def test_no_label_of_the_test_split_is_read(seed: int) -> None:
    """Whatever the test labels say, report and repairs are the same."""
    dataset = everything_wrong()
    on = dict.fromkeys(REPAIRS, True)
    first, report = quick(dataset, repairs=on)
    test = np.flatnonzero(dataset.split == TEST)
    target = dataset.target.copy()
    target.iloc[test] = np.random.default_rng(seed).choice(["yes", "no", "other", None], len(test))
    second, again = quick(dataclasses.replace(dataset, target=target), repairs=on)
    assert again.findings == report.findings
    assert again.kept == report.kept
    pd.testing.assert_frame_equal(first.table, second.table)
    kept = second.split == TEST
    assert second.target[kept].tolist() == target.iloc[test].tolist()


def test_rows_are_dropped_from_train_only() -> None:
    dataset = everything_wrong()
    repaired, quality = quick(dataset, repairs=dict.fromkeys(REPAIRS, True))
    assert (repaired.split == TEST).sum() == (dataset.split == TEST).sum() == 60
    dropped = np.setdiff1d(np.arange(ROWS), quality.kept)
    assert dropped.tolist() == list(range(1, 9))  # rows 0 and 9 differ from their twins in the test split by a gap
    assert set(dataset.split[dropped]) == {TRAIN}
    assert repaired.target[repaired.split == TEST].isna().sum() == 1


def test_repairs_of_new_rows_are_those_of_training() -> None:
    dataset = everything_wrong()
    repaired, quality = quick(dataset)
    steps = steps_from_json(json.loads(json.dumps(steps_to_json(quality.steps))))
    assert steps == quality.steps
    raw = dataset.table.iloc[list(quality.kept)].reset_index(drop=True)
    pd.testing.assert_frame_equal(clean(raw, steps), repaired.table)
    # One row at a time, as a server gets them, and without a column that is not needed.
    one = clean(raw.iloc[[7]], steps)
    assert one["income"].tolist() == repaired.table["income"].iloc[[7]].tolist()
    assert "income" not in clean(raw.drop(columns="income"), steps)


def test_cleaning_leaves_its_table_alone_and_knows_its_steps() -> None:
    dataset = everything_wrong()
    before = dataset.table.copy()
    _, quality = quick(dataset)
    clean(dataset.table, quality.steps)
    pd.testing.assert_frame_equal(dataset.table, before)
    with pytest.raises(ValueError, match="unknown repair step 'melt'"):
        clean(before, steps_from_json([{"do": "melt", "column": "age"}]))


def test_the_same_seed_gives_the_same_report() -> None:
    dataset = clean_dataset(200)
    first, second = check(dataset, seed=3)[1], check(dataset, seed=3)[1]
    assert first.findings == second.findings


def test_the_report_is_plain_json() -> None:
    dataset = with_column(everything_wrong(), "height", clean_table()["height"].where(clean_table().index > 2, np.inf))
    _, quality = check(dataset)
    text = json.dumps(quality.to_json(), allow_nan=False)
    back = json.loads(text)
    assert back["rows"] == ROWS
    assert back["rows_kept"] == len(quality.kept)
    assert len(back["findings"]) == len(quality.findings) > 3
    assert [f["severity"] for f in back["findings"]] == sorted(
        [f["severity"] for f in back["findings"]], key=["error", "warning", "info"].index
    )


def test_many_alike_findings_are_summed_up() -> None:
    dataset = dataclasses.replace(
        clean_dataset(), table=pd.DataFrame({**{f"c{i}": 1 for i in range(50)}, "x": clean_table()["height"]})
    )
    repaired, quality = quick(dataset)
    found = quality.named("constant_column")
    assert len(found) == MOST_PER_NAME + 1
    assert found[-1].count == (50 - MOST_PER_NAME) * ROWS
    assert found[-1].repaired
    assert list(repaired.table.columns) == ["x"]


def images(rows: int = 80, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (rows, 12, 12), dtype=np.uint8)
    return Dataset(
        "pictures",
        pd.DataFrame(index=range(rows)),
        pd.Series(rng.choice(["a", "b"], rows)),
        arrays={"image": pixels},
        modalities={"image": "image"},
    )


def test_broken_images_are_found() -> None:
    dataset = images()
    pixels = dataset.arrays["image"].copy()
    pixels[4] = 200
    pixels[9, 5:] = 128
    pixels[20] = pixels[21]
    target = dataset.target.copy()
    target.iloc[20] = target.iloc[21]
    dataset = dataclasses.replace(dataset, arrays={"image": pixels}, target=target)
    repaired, quality = quick(dataset)
    cut, blank = sorted(quality.named("corrupt_images"), key=lambda f: f.text)
    assert blank.rows == (4,)
    assert cut.rows == (9,)
    assert not blank.repaired
    assert quality.named("duplicate_rows")[0].rows == (21,)
    assert repaired.arrays["image"].shape == (79, 12, 12)
    assert len(repaired.target) == 79
    repaired, _ = quick(dataset, repairs={"corrupt_images": True})
    assert len(repaired) == 77


def test_notes_of_files_that_could_not_be_read_are_findings() -> None:
    dataset = dataclasses.replace(
        images(), notes=("classes are folders", "3 files could not be read: a.png, b.png, ...")
    )
    (found,) = quick(dataset)[1].named("unreadable_files")
    assert (found.count, found.severity) == (3, "warning")


@pytest.mark.parametrize(("modality", "name"), [("audio", "corrupt_audio"), ("series", "constant_rows")])
def test_silence_and_holes_and_infinity_are_found(modality, name: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 2, 40)).astype(np.float32)
    values[3] = 0.5
    values[5, 0, 3:6] = np.nan
    values[6, :, 30:] = np.nan  # shorter than the others: no hole
    values[7, 1, 2] = np.inf
    target = pd.Series(rng.choice(["a", "b"], 60))
    dataset = Dataset("sounds", pd.DataFrame(index=range(60)), target, {"x": values}, modalities={"x": modality})
    repaired, quality = quick(dataset)
    assert quality.named(name)[0].rows == (3,)
    assert quality.named("missing_values")[0].rows == (5,)
    assert quality.named("infinite_values")[0].rows == (7,)
    assert np.isnan(repaired.arrays["x"][7, 1, 2])
    assert np.isinf(values[7, 1, 2])


def test_regression_targets() -> None:
    dataset = clean_dataset()
    values = dataset.table["height"] * 2 + np.random.default_rng(0).normal(0, 8, ROWS)
    values.iloc[8] *= 1e6
    _, quality = quick(retarget(dataset, values))
    (found,) = quality.named("target_outliers")
    assert (found.rows, found.severity) == ((8,), "warning")
    _, quality = quick(with_column(retarget(dataset, dataset.table["weight"] * 3.1), "w", dataset.table["weight"] + 1))
    assert {f.where for f in quality.named("target_leakage")} == {"weight", "w"}
    _, quality = quick(retarget(dataset, np.full(ROWS, 2.5)), kind="regression")
    assert quality.named("one_value")[0].severity == "error"


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_tiny_and_empty_data_do_not_crash(rows: int) -> None:
    for dataset in (
        Dataset("tiny", clean_table(rows), pd.Series(["yes"] * rows)),
        Dataset("bare", pd.DataFrame(index=range(rows)), pd.Series(np.arange(rows) * 1.5)),
        Dataset("void", pd.DataFrame({"a": [None] * rows, "b": [np.nan] * rows}), pd.Series([None] * rows)),
    ):
        repaired, quality = check(dataset)
        assert len(repaired) == len(quality.kept)


def test_a_large_table_costs_seconds() -> None:
    """50 columns of 100,000 rows, a tenth of the size that the check is made for, in less than a tenth of a minute."""
    import time

    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(100_000, 45)), columns=[f"x{i}" for i in range(45)])
    for i in range(5):
        table[f"c{i}"] = pd.Series(rng.integers(0, 20, 100_000)).map("cat{}".format).astype("str")
    dataset = Dataset("large", table, pd.Series(rng.integers(0, 2, 100_000)))
    began = time.process_time()
    quick(dataset)
    assert time.process_time() - began < 6


@pytest.mark.parametrize("name", ["patient_id", "PatientId", "id"])
def test_a_key_that_rows_share_may_be_a_group(name: str) -> None:
    patients = np.random.default_rng(0).integers(0, 60, ROWS)
    dataset = with_column(clean_dataset(), name, patients)
    (told,) = quick(dataset)[1].named("grouped_rows")
    assert told.where == name and told.repair == f"set data.group={name}" and not told.repaired
    quiet = [
        dataclasses.replace(dataset, group=patients),
        with_column(clean_dataset(), name, patients % 4),
        with_column(clean_dataset(), name, np.arange(ROWS)),
        with_column(clean_dataset(), "visits", patients),
    ]
    assert not any(quick(one)[1].named("grouped_rows") for one in quiet)
