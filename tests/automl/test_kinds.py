"""Whole numbers as targets: a quantity or names of classes? A table of cases of which the answer is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from automl.data.dataset import Dataset
from automl.data.quality.order import told_by_inputs
from automl.task.kind import infer_kind

CLASSES, VALUES = "multiclass", "regression"
Rng = np.random.Generator


def of(table, target, **more) -> Dataset:
    """A data set whose rows stand in random order."""
    target = np.asarray(target)
    order = np.random.default_rng(9).permutation(len(target))
    table = pd.DataFrame(np.asarray(table)).add_prefix("x")
    arrays = {name: array[order] for name, array in more.pop("arrays", {}).items()}
    return Dataset("d", table.iloc[order].reset_index(drop=True), pd.Series(target[order], name="y"), arrays, **more)


def sensors(rng: Rng, y, noise: float = 1.0, columns: int = 4) -> np.ndarray:
    """Columns that follow a quantity, each with its own noise (in standard deviations of the quantity)."""
    y = np.asarray(y, float)
    z = (y - y.mean()) / y.std()
    return np.column_stack([np.sin(z + i) + (i + 1) * z + noise * rng.normal(size=len(y)) for i in range(columns)])


def clusters(rng: Rng, y, spread: float = 0.5, columns: int = 6) -> np.ndarray:
    """Each value its own place, in no order."""
    _, codes = np.unique(y, return_inverse=True)
    return rng.normal(size=(codes.max() + 1, columns))[codes] + spread * rng.normal(size=(len(codes), columns))


def bundled(load: Callable, **more) -> tuple[np.ndarray, np.ndarray]:
    return load(return_X_y=True, **more)


def digits(rename: Callable[[np.ndarray], np.ndarray] = lambda y: y) -> Dataset:
    x, y = bundled(datasets.load_digits)
    return of(x[:1000], rename(y[:1000]))


def machines(rng: Rng, cycles: int = 100, noise: float = 0.1) -> Dataset:
    """Remaining life of ten machines, and what their sensors say."""
    rul = np.tile(np.arange(cycles)[::-1], 10)
    return of(sensors(rng, rul, noise), rul)


def exact(rng: Rng) -> Dataset:
    rul = np.tile(np.arange(1, 101)[::-1], 10)
    return of(np.column_stack([100 - rul, np.log(rul)]), rul)


def unequal(rng: Rng, count: int, rows: int) -> np.ndarray:
    """Class codes of which some are rare and some frequent, in no order."""
    return rng.choice(count, rows, p=rng.permutation(rng.dirichlet(np.full(count, 1.5))))


def waves(rng: Rng, y: np.ndarray, length: int = 60) -> dict[str, np.ndarray]:
    """A series per row with a frequency and phase of its class."""
    _, codes = np.unique(y, return_inverse=True)
    kinds = rng.uniform(1, 9, size=(codes.max() + 1, 2))
    time = np.linspace(0, 2 * np.pi, length)
    out = np.sin(kinds[codes, :1] * time + kinds[codes, 1:]) + 0.3 * rng.normal(size=(len(y), length))
    return {"series": out[:, None, :]}


def genus(rng: Rng) -> Dataset:
    """60 species, sorted by genus: species of a genus have neighbouring codes and look alike."""
    y = rng.integers(0, 60, 1500)
    genera = rng.normal(size=(12, 6)) * 3
    species = genera[np.arange(60) // 5] + rng.normal(size=(60, 6))
    return of(species[y] + 0.4 * rng.normal(size=(1500, 6)), y)


def left_and_right(rng: Rng) -> Dataset:
    """40 gestures, each of the left and the right hand: codes come in pairs that look alike."""
    y = rng.integers(0, 40, 1200)
    return of(clusters(rng, y // 2, 0.0) + 0.5 * clusters(rng, y, 0.3), y)


def texts(rng: Rng, ordered: bool) -> Dataset:
    """30 values: of intents with words of their own, or of how often "good" is said."""
    y = np.repeat(np.arange(30), 20)
    own = [[f"w{rng.integers(10**6)}" for _ in range(4)] for _ in range(30)]
    filler = [f"f{i}" for i in range(40)]
    words = [
        [*rng.choice(filler, 6), *(["good"] * int(v) + ["bad"] * int(30 - v) if ordered else rng.choice(own[v], 3))]
        for v in y
    ]
    data = of(np.zeros(len(y)), y)
    order = np.random.default_rng(9).permutation(len(y))
    return dataclasses.replace(data, table=pd.DataFrame({"text": [" ".join(words[i]) for i in order]}))


def pictures(rng: Rng) -> Dataset:
    """The turn of a bar in degrees, 0 to 59."""
    y = rng.integers(0, 60, 900)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 16), np.linspace(-1, 1, 16)))
    angle = np.deg2rad(y)[:, None, None]
    bar = np.exp(-30 * (grid[0] * np.sin(angle) - grid[1] * np.cos(angle)) ** 2)
    shown = (255 * bar + 20 * rng.normal(size=bar.shape))[:, None].clip(0, 255).astype(np.uint8)
    return of(np.zeros((900, 0)), y, arrays={"image": shown}, modalities={"image": "image"})


def made(values: Callable[[Rng], np.ndarray], inputs: Callable, **how) -> Callable[[Rng], Dataset]:
    def make(rng: Rng) -> Dataset:
        y = np.asarray(values(rng))
        return of(inputs(rng, y, **how), y)

    return make


ZIPS = np.sort(np.random.default_rng(5).choice(np.arange(10_000, 99_999), 40, replace=False))
PHONE = np.random.default_rng(6).permutation(np.r_[20:60, 220:260])

GAPS = np.array([3, 5, 6, 11, 12, 20, 21, 30, 41, 50])


def of_series(rng: Rng) -> Dataset:
    y = unequal(rng, 30, 905)
    return of(np.zeros((905, 0)), y, arrays=waves(rng, y), modalities={"series": "series"})


def around(rng: Rng, y: np.ndarray, period: int) -> np.ndarray:
    """Light and warmth over the day or the year."""
    angle = 2 * np.pi * y / period
    return np.column_stack([np.sin(angle), np.cos(angle)]) + 0.15 * rng.normal(size=(len(y), 2))


def beside_noise(rng: Rng, y: np.ndarray) -> np.ndarray:
    return np.column_stack([sensors(rng, y), rng.normal(size=(len(y), 8))])


def in_rows(data: Dataset) -> Dataset:
    """Sorted by its first column."""
    order = np.argsort(data.table["x0"].to_numpy())
    table, target = (part.iloc[order].reset_index(drop=True) for part in (data.table, data.target))
    return dataclasses.replace(data, table=table, target=target)


def bell(rng: Rng) -> np.ndarray:
    """Names of classes of which those in the middle happen to be frequent."""
    return np.clip(rng.binomial(8, 0.5, 900), 0, 8) + 3


def stars(rng: Rng) -> np.ndarray:
    return rng.choice([1, 2, 3, 4, 5], 800, p=[0.1, 0.05, 0.1, 0.25, 0.5])


def grades(rng: Rng) -> np.ndarray:
    return np.clip(rng.normal(6, 0.9, 1500).round().astype(int), 3, 9)


NAMES: dict[str, Callable[[Rng], Dataset]] = {
    "digits": lambda _: digits(),
    "digits under other names": lambda r: digits(lambda y: r.permutation(10)[y]),
    "digits with gaps between names": lambda _: digits(lambda y: GAPS[y]),
    "iris": lambda _: of(*bundled(datasets.load_iris)),
    "wine": lambda _: of(*bundled(datasets.load_wine)),
    "wine under other names": lambda _: of(bundled(datasets.load_wine)[0], bundled(datasets.load_wine)[1] * 7 + 3),
    "26 letters": made(lambda r: r.integers(0, 26, 1300), clusters),
    "50 codes of equal frequency": made(lambda r: np.repeat(np.arange(50), 20), clusters),
    "100 codes from 1": made(lambda r: np.repeat(np.arange(1, 101), 12), clusters),
    "900 codes of four rows": made(lambda r: np.repeat(np.arange(900), 4), clusters, spread=0.1),
    "50 unequal codes": made(lambda r: unequal(r, 50, 1500), clusters),
    "50 unequal codes, blurred": made(lambda r: unequal(r, 50, 1500), clusters, spread=1.0),
    "30 unequal codes of series": of_series,
    "40 postal codes": made(lambda r: r.choice(ZIPS, 1200), clusters),
    "15 unequal postal codes": made(lambda r: ZIPS[unequal(r, 15, 900)], clusters),
    "80 dialling codes": made(lambda r: r.choice(PHONE, 1600), clusters),
    "species sorted by genus": genus,
    "left and right hands": left_and_right,
    "30 intents": lambda r: texts(r, False),
    "months by their weather": made(lambda r: np.tile(np.arange(1, 13), 60), around, period=12),
    "days of the week": made(lambda r: r.integers(0, 7, 700), clusters),
    "stars 1 to 5": made(lambda r: r.integers(1, 6, 600), sensors),
    "stars, most of them 5": made(stars, sensors),
    "ratings 1 to 10": made(lambda r: r.integers(1, 11, 800), sensors),
    "clusters 0 to 7 of unequal size": made(lambda r: unequal(r, 8, 700), clusters),
    "names with a bell's frequencies": made(bell, clusters, spread=0.3),
}
QUANTITIES: dict[str, Callable[[Rng], Dataset]] = {
    "remaining life": machines,
    "remaining life, noisy": lambda r: machines(r, 100, 1.0),
    "remaining life, exact": exact,
    "remaining life of 30 cycles": lambda r: machines(r, 30),
    "remaining life, sorted": lambda r: in_rows(machines(r, 60)),
    "percent": made(lambda r: r.integers(0, 101, 5000), sensors),
    "percent, hardly told": made(lambda r: r.integers(0, 101, 3000), sensors, noise=3.0),
    "percent beside eight columns of noise": made(lambda r: r.integers(0, 101, 3000), beside_noise),
    "hours of the day by light": made(lambda r: r.integers(0, 24, 2000), around, period=24),
    "minutes": made(lambda r: r.integers(0, 60, 2000), sensors, noise=0.3),
    "ages": made(lambda r: r.integers(18, 80, 1500), sensors),
    "ages in a bell": made(lambda r: r.normal(40, 12, 1500).astype(int), sensors),
    "years": made(lambda r: r.integers(1960, 2020, 1500), sensors),
    "years, each as often": made(lambda r: np.repeat(np.arange(1, 61), 20), sensors),
    "counts of mean 30": made(lambda r: r.poisson(30, 1500), sensors),
    "counts of mean 6": made(lambda r: r.poisson(6, 1500), sensors),
    "counts that fall off": made(lambda r: r.geometric(0.15, 1500) - 1, sensors, noise=0.4),
    "wine tasters' grades": made(grades, sensors),
    "exam points 0 to 40": made(lambda r: r.integers(0, 41, 1200), sensors),
    "exam points of 100 pupils": made(lambda r: r.integers(0, 21, 100), sensors),
    "differences": made(lambda r: r.integers(-20, 21, 1000), sensors),
    "prices in tens": made(lambda r: 10 * r.integers(1, 90, 2000), sensors),
    "diabetes": lambda _: of(*bundled(datasets.load_diabetes)),
    "turn of a bar in pictures": pictures,
    "how often good is said": lambda r: texts(r, True),
}
TABLE = {name: (make, CLASSES) for name, make in NAMES.items()}
TABLE |= {name: (make, VALUES) for name, make in QUANTITIES.items()}


@pytest.mark.parametrize("name", TABLE)
def test_table(name: str) -> None:
    make, kind = TABLE[name]
    found, reason = infer_kind(make(np.random.default_rng(0)))
    assert found == kind, reason
    assert "\n" not in reason


def test_the_reason_is_said() -> None:
    assert "their order carries meaning" in infer_kind(machines(np.random.default_rng(0)))[1]
    codes = TABLE["50 unequal codes"][0](np.random.default_rng(0))
    assert "names of classes" in infer_kind(codes)[1]
    stars = infer_kind(TABLE["ratings 1 to 10"][0](np.random.default_rng(0)))[1]
    assert "order carries meaning" in stars and "task.kind=regression" in stars


def test_chance_is_seldom_taken_for_order() -> None:
    """Not even where frequent values stand side by side."""
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = np.clip(rng.normal(15, 5, 300).round(), 0, 30).astype(int)
        found += told_by_inputs(of(rng.normal(size=(300, 3)), y)).what != "nothing"
    assert found <= 3


def test_a_sorted_file_is_no_evidence() -> None:
    """A column that counts through tells of the file's order, not of the values'."""
    y = np.repeat(np.arange(40), 10)
    table = pd.DataFrame({"row": np.arange(400), "when": pd.date_range("2020-01-01", periods=400)})
    assert told_by_inputs(Dataset("d", table, pd.Series(y))).what == "nothing"


def test_no_label_of_the_test_split_is_read() -> None:
    data = machines(np.random.default_rng(0))
    split = np.where(np.arange(len(data)) % 3 == 0, "test", "train")
    other = data.target.where(split == "train", np.random.default_rng(1).permutation(data.target))
    first = told_by_inputs(dataclasses.replace(data, split=split))
    assert first == told_by_inputs(dataclasses.replace(data, split=split, target=other))
