"""Whether whole numbers are a quantity or names of classes: what the inputs say where the form of the numbers does not.

Of a quantity, rows with neighbouring values look alike; names of classes could be shuffled. Two questions:

1. Is a row's nearest neighbour among rows of *other* values nearer in value than it is under shuffled names? The share
   of shuffles that come as near is a permutation test; how often values stand is part of both sides.
2. Names are often in an order that means something (by family, by alphabet), so that 1. alone is not enough. Of a
   quantity, a neighbour of the next value is about as likely as one of the same value, against chance; or, where the
   inputs are exact, the nearest other value is the next one nearly everywhere, on both sides. Of classes, a neighbour
   of the same class is far likelier than any other.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from automl.data.dataset import TEST, Dataset
from automl.data.quality.features import quick_features
from automl.data.quality.parse import column_of, floats, is_numeric

# By judgement, checked on 128 real sets with the rules of ``automl.task.kind`` (``+experiment=bench/data``): none of
# them is told wrong. Other numbers were not compared.
MOST_ROWS = 1_500
FEWEST = 30  # rows
NEIGHBOURS = 3
DRAWS = 199  # shuffles: the smallest chance that they can tell is 1 in 200
SURE, DOUBT = 0.01, 0.1  # chances up to which an order is believed, and above which it is not
FEW = 20  # values
SMOOTH = 3.0  # of a quantity, the same value is at most so many times as likely as the next
CHAIN, LINKS = 0.8, 0.9  # of the nearest other values that are the next ones, and of the steps between values met so


@dataclass(frozen=True)
class Told:
    """What the inputs say of the target's values. ``chance``: of shuffled names that are as much in order."""

    what: Literal["quantity", "classes", "nothing"]
    chance: float


def told_by_inputs(dataset: Dataset, *, seed: int = 0) -> Told:
    """Asks at most ``MOST_ROWS`` rows that are not test (half a second); the same seed gives the same answer."""
    known = dataset.target.notna().to_numpy()
    if dataset.split is not None:
        known = known & (dataset.split != TEST)
    rows = np.flatnonzero(known)
    rng = np.random.default_rng(seed)
    if len(rows) > MOST_ROWS:
        rows = np.sort(rng.choice(rows, MOST_ROWS, replace=False))
    codes = np.unique(dataset.target.iloc[rows].to_numpy(), return_inverse=True)[1].reshape(-1)
    count = int(codes.max()) + 1 if len(codes) else 0
    if len(rows) < FEWEST or count < 3:
        return Told("nothing", 1.0)
    x = quick_features(_without_row_numbers(dataset), rows, seed).astype(np.float32)
    if not x.any():
        return Told("nothing", 1.0)
    square = (x**2).sum(axis=1)
    distance = square[:, None] + square - 2 * x @ x.T
    np.fill_diagonal(distance, np.inf)
    near = codes[np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]]
    other = codes[np.where(codes[:, None] == codes, np.inf, distance).argmin(axis=1)]

    steps = np.abs(near - codes[:, None])
    sizes, met = np.bincount(codes, minlength=count), np.bincount(near.ravel(), minlength=count)
    pairs = len(rows) * near.size
    by_chance = near.size * float((sizes * met).sum()) / pairs
    next_by_chance = near.size * float((sizes[1:] * met[:-1]).sum() + (sizes[:-1] * met[1:]).sum()) / pairs
    same = (steps == 0).sum() / max(by_chance, 1e-9)
    following = (steps == 1).sum() / max(next_by_chance, 1e-9)

    chance = _chance_of_order(codes, other, rng)
    gaps = np.abs(other - codes)
    links = np.unique(np.minimum(other, codes)[gaps == 1])
    chain = (gaps == 1).mean() >= CHAIN and len(links) >= LINKS * (count - 1)
    if chance <= SURE and (same <= SMOOTH * following or chain):
        return Told("quantity", chance)
    alike = (steps == 0).sum() - by_chance > 5 * np.sqrt(by_chance) and same > SMOOTH * max(following, 1.0)
    # Many names may be sorted by family; of few, some order is a sign of a quantity whose shuffles are few as well.
    return Told("classes" if alike and (chance > DOUBT or count > FEW) else "nothing", chance)


def _chance_of_order(codes: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> float:
    """How many shuffles of the values' names bring the pairs (codes, other) as near as their order does.

    Frequent values meet often by chance: what counts is how much nearer pairs are than the same ones drawn at random.
    """
    left = np.tile(codes, 5)
    right = np.concatenate([rng.permutation(other) for _ in range(5)])
    left, right = left[left != right], right[left != right]
    names = np.arange(codes.max() + 1)
    apart = [
        np.abs(place[codes] - place[other]).mean() / max(np.abs(place[left] - place[right]).mean(), 1e-9)
        for place in (names, *(rng.permutation(names) for _ in range(DRAWS)))
    ]
    return float(np.mean(np.asarray(apart) <= apart[0] + 1e-12))


def _without_row_numbers(dataset: Dataset) -> Dataset:
    """Numbers that only go up, or only down, along the rows left out: they tell how the file is sorted."""
    table = dataset.table
    steady = [str(name) for name in table.columns if _goes_one_way(column_of(table, name))]
    return dataclasses.replace(dataset, table=table.drop(columns=steady)) if steady else dataset


def _goes_one_way(column: pd.Series) -> bool:
    if not (is_numeric(column) or pd.api.types.is_datetime64_any_dtype(column.dtype)):
        return False
    values = column.astype("int64").to_numpy() if not is_numeric(column) else floats(column)
    steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all())
