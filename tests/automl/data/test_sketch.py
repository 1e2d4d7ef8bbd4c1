"""Which rows a network knows: the same row is found again however the data set around it changed, and no other is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from automl.data import sketch as module
from automl.data.dataset import Dataset
from automl.data.read.image import resize
from automl.data.sketch import BITS, Sketch, row_hashes

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (60, 3, 12, 10)).astype(np.uint8)
SOUNDS = RNG.normal(-40, 9, (60, 16, 21)).astype(np.float32)
SERIES = RNG.normal(0, 1, (60, 2, 30))
TABLE = pd.DataFrame(
    {
        "age": RNG.integers(18, 90, 60),
        "height": RNG.normal(1.7, 0.1, 60),
        "town": RNG.choice(["Ulm", "Bonn", "Kiel"], 60),
        "when": pd.date_range("2024-01-01", periods=60).astype(str),
        "said": [f"text {i} of {i * i} words" for i in range(60)],
    }
)


def of_arrays(modality: str, array: np.ndarray, name: str = "x") -> Dataset:
    target = pd.Series(np.arange(len(array)) % 2, name="y")
    table = pd.DataFrame(index=range(len(array)))
    return Dataset("data", table, target, {name: array}, modalities={name: modality})  # type: ignore[dict-item]


def of_table(table: pd.DataFrame) -> Dataset:
    return Dataset("data", table, pd.Series(np.arange(len(table)) % 2, name="y"))


def hashes(dataset: Dataset) -> np.ndarray:
    names = [*dataset.table.columns, *dataset.arrays]
    return row_hashes(dataset, names, np.arange(len(dataset)))


KINDS = {
    "image": of_arrays("image", PICTURES),
    "grey": of_arrays("image", PICTURES[:, 0]),
    "audio": of_arrays("audio", SOUNDS),
    "series": of_arrays("series", SERIES),
    "text": of_table(TABLE[["said"]]),
    "tabular": of_table(TABLE),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_told_apart_and_found_in_any_order(kind):
    found = hashes(KINDS[kind])
    assert len(np.unique(found)) == 60 and found.dtype == np.uint64
    order = RNG.permutation(60)
    some = KINDS[kind]
    shuffled = dataclasses.replace(
        some, table=some.table.iloc[order].reset_index(drop=True), arrays={n: a[order] for n, a in some.arrays.items()}
    )
    np.testing.assert_array_equal(hashes(shuffled), found[order])
    names = [*some.table.columns, *some.arrays]
    np.testing.assert_array_equal(row_hashes(some, names, np.array([7, 3, 3])), found[[7, 3, 3]])


@pytest.mark.parametrize("kind", KINDS)
def test_a_grown_set_holds_them_and_no_more(kind):
    known = Sketch.of(hashes(KINDS[kind])[:40])
    assert known.held(hashes(KINDS[kind])) == (40, 60)
    assert known.held(hashes(KINDS[kind])[40:]) == (0, 20)


def test_the_target_is_not_looked_at():
    some = KINDS["series"]
    other = dataclasses.replace(some, target=1 - some.target)
    np.testing.assert_array_equal(hashes(other), hashes(some))


SAME = {
    "other names": (KINDS["tabular"], of_table(TABLE.rename(columns=lambda name: f"my {name}"))),
    "another array's name": (KINDS["audio"], of_arrays("audio", SOUNDS, "sound")),
    "whole numbers as floats": (KINDS["tabular"], of_table(TABLE.astype({"age": float}))),
    "numbers as texts": (KINDS["tabular"], of_table(TABLE.astype({"age": str, "town": "category"}))),
    "numbers that may be missing": (KINDS["tabular"], of_table(TABLE.astype({"age": "Int64", "height": "Float64"}))),
    "bytes as floats": (KINDS["image"], of_arrays("image", PICTURES.astype(np.float64))),
    "bytes divided": (KINDS["image"], of_arrays("image", PICTURES / 255)),
    "bytes brought to -1..1": (KINDS["grey"], of_arrays("image", (PICTURES[:, 0] / 127.5 - 1).astype(np.float32))),
    "colours last": (KINDS["image"], of_arrays("image", np.moveaxis(PICTURES, 1, -1))),
    "an axis for grey": (KINDS["grey"], of_arrays("image", PICTURES[:, 0, :, :, None])),
    "more digits": (KINDS["audio"], of_arrays("audio", SOUNDS.astype(np.float64))),
    "without an axis": (of_arrays("series", SERIES[:, :1]), of_arrays("series", SERIES[:, 0])),
    "minus zero": (of_arrays("series", np.zeros((3, 4))), of_arrays("series", -np.zeros((3, 4)))),
}


@pytest.mark.parametrize("case", SAME)
def test_what_is_the_same_row(case):
    one, other = SAME[case]
    np.testing.assert_array_equal(hashes(one), hashes(other))


@pytest.mark.parametrize("more", [1, 2, 9])
@pytest.mark.parametrize("kind", ["audio", "series"])
def test_padding_to_longer_rows_changes_nothing(kind, more):
    (array,) = KINDS[kind].arrays.values()
    longer = np.pad(array, ((0, 0), (0, 0), (0, more)), constant_values=np.nan)
    longer = np.concatenate([longer, np.ones_like(longer[:5])])
    np.testing.assert_array_equal(hashes(of_arrays(kind, longer))[:60], hashes(KINDS[kind]))
    begun = np.pad(array, ((0, 0), (0, 0), (more, 0)), constant_values=np.nan)
    assert not np.isin(hashes(of_arrays(kind, begun)), hashes(KINDS[kind])).any(), "what begins later is another row"


def test_a_cell_that_is_missing_elsewhere_leaves_the_other_rows():
    grown = pd.concat([TABLE, TABLE.iloc[:2].assign(age=["?", None])], ignore_index=True)
    np.testing.assert_array_equal(hashes(of_table(grown))[:60], hashes(KINDS["tabular"]))


OTHER = {
    "resized": of_arrays("image", resize(PICTURES, 24, 20)),
    "mirrored": of_arrays("image", PICTURES[:, :, :, ::-1]),
    "overexposed": of_arrays("image", np.clip(PICTURES.astype(int) + 60, 0, 255)),
    "cut": of_arrays("audio", SOUNDS[:, :, :-1]),
    "turned": of_arrays("series", SERIES[:, ::-1]),
}


@pytest.mark.parametrize("case", OTHER)
def test_a_changed_copy_is_not_covered(case):
    """docs/pretrained.md says so, and so does what is told of a network that is taken."""
    (modality,) = OTHER[case].modalities.values()
    assert Sketch.of(hashes(KINDS[modality])).held(hashes(OTHER[case])) == (0, 60)


def test_a_sketch_comes_back_as_it_was_and_holds_no_values():
    known = Sketch.of(hashes(KINDS["image"]))
    packed = known.to_bytes()
    back = Sketch.from_bytes(packed)
    np.testing.assert_array_equal(back.starts, known.starts)
    assert back.reach == known.reach and len(packed) < 60 * 8
    for damaged in (packed[:-1], packed[:8], packed[:8] + b"x" * 50, b""):
        with pytest.raises(ValueError):
            Sketch.from_bytes(damaged)


def test_it_stays_small():
    many = RNG.integers(0, 2**64, 1_000_000, dtype=np.uint64)
    assert len(Sketch.of(many).to_bytes()) < 4_100_000
    assert Sketch.of(np.repeat(many[:10], 1000)).starts.size == 10


def test_of_very_many_rows_the_lowest_stand_for_all(monkeypatch):
    monkeypatch.setattr(module, "MOST", 1000)
    many = RNG.integers(0, 2**64, 4000, dtype=np.uint64)
    known = Sketch.from_bytes(Sketch.of(many).to_bytes())
    assert len(known.starts) == 1000
    held, asked = known.held(np.concatenate([many[:500], RNG.integers(0, 2**64, 500, dtype=np.uint64)]))
    assert held == np.isin(many[:500] >> np.uint64(64 - BITS), known.starts).sum() and 150 < asked < 350
    assert 75 < held < 175


def test_what_chance_explains():
    few, many = Sketch(np.zeros(100, np.uint64)), Sketch(np.zeros(10_000_000, np.uint64))
    assert few.by_chance(10_000) == 0 and many.by_chance(0) == 0
    assert many.by_chance(10_000) == 0 and many.by_chance(1_000_000) == 1
    dense = Sketch(np.arange(0, 2**20, 2, dtype=np.uint64), reach=2**20 - 1)  # every second start
    wrong = [dense.held(RNG.integers(0, 2**20, 50, dtype=np.uint64) << np.uint64(16)) for _ in range(400)]
    assert np.mean([held > dense.by_chance(asked) for held, asked in wrong]) < 0.02
