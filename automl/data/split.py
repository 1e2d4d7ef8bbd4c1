"""Which rows train, which choose, which judge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from automl.data.columns import as_number
from automl.data.dataset import TEST, TRAIN, VALID, Dataset
from automl.errors import UserError
from automl.types import Kind

# Validation rows beyond this choose no better and are missed in training.
MAX_VALID_ROWS = 10_000
# A class with fewer training rows than this makes one validation split a lottery: folds are advised.
FEW_ROWS = 8


@dataclass(frozen=True)
class Split:
    """Positions of the rows, each ascending. ``why``: a line per decision. ``folds``: advised number, 0 for none."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    why: tuple[str, ...] = ()
    folds: int = 0


def split(
    dataset: Dataset, kind: Kind, *, seed: int = 0, test_share: float = 0.25, valid_share: float | None = None
) -> Split:
    """Official splits where given, else drawn: along time, by whole groups, or stratified by class or quantile.

    ``valid_share``: share of the training rows; None fits it to their number. Same data and seed, same split.
    Raises UserError for shares out of range and for groups or rows too few to split.
    """
    for name, share in (("test_share", test_share), ("valid_share", valid_share)):
        if share is not None and not 0 < share < 1:
            raise UserError(f"{name}={share} must lie between 0 and 1, such as 0.25")
    rng = np.random.default_rng(seed)
    why: list[str] = []
    rows = np.arange(len(dataset))
    given = dataset.split
    if given is not None and (given == TEST).any():
        test, rest = rows[given == TEST], rows[given != TEST]
        why.append(f"test: the {len(test):,} rows that are given as test")
    else:
        test, rest, how = _draw(dataset, rows, test_share, kind, rng, 2)
        why.append(f"test: {len(test):,} rows ({test_share:.0%}), {how}")
    if given is not None and (given[rest] == VALID).any():
        valid, train = rest[given[rest] == VALID], rest[given[rest] != VALID]
        why.append(f"validation: the {len(valid):,} rows that are given as valid")
    else:
        share = valid_share or default_valid_share(dataset, rest, kind)
        valid, train, how = _draw(dataset, rest, share, kind, rng, 1)
        why.append(f"validation: {len(valid):,} of {len(rest):,} training rows ({share:.0%}), {how}")
    for part, found in ((TRAIN, train), (VALID, valid), (TEST, test)):
        if len(found) == 0:
            raise UserError(f"{dataset.origin or dataset.name} leaves no {part} rows of {len(dataset)}; give more rows")
    advised = _advised_folds(dataset, rest, kind)
    if advised:
        why.append(f"few rows per class: {advised} folds judge candidates better than one validation split")
    return Split(np.sort(train), np.sort(valid), np.sort(test), tuple(why), advised)


def folds(
    dataset: Dataset, rows: np.ndarray, kind: Kind, k: int, *, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give k pairs (train, valid) of positions out of ``rows``; each row is in one valid, groups stay whole.

    With a time column, fold i trains on what comes before and validates on the next block (k + 1 blocks).
    Raises UserError when there are fewer rows or groups than folds.
    """
    rows = np.asarray(rows)
    if k < 2 or k > len(rows):
        raise UserError(f"{k} folds of {len(rows)} rows are not possible; use 2 to {len(rows)}")
    if dataset.time is not None:
        blocks = np.array_split(rows[np.argsort(dataset.time[rows], kind="stable")], k + 1)
        for i in range(1, k + 1):
            yield np.sort(np.concatenate(blocks[:i])), np.sort(blocks[i])
        return
    rng = np.random.default_rng(seed)
    if dataset.group is not None:
        names = pd.factorize(dataset.group[rows])[0]
        if names.max() + 1 < k:
            raise UserError(f"{k} folds need {k} groups, there are {names.max() + 1}; use fewer folds")
        fold = _balanced_groups(names, k, rng)[names]
    else:
        strata = _strata(dataset, rows, kind)
        order = rng.permutation(len(rows))
        order = order[np.argsort(strata[order], kind="stable")]
        fold = np.empty(len(rows), dtype=np.int64)
        fold[order] = np.arange(len(rows)) % k  # dealt like cards, stratum by stratum
    for i in range(k):
        yield rows[fold != i], rows[fold == i]


def default_valid_share(dataset: Dataset, rows: np.ndarray, kind: Kind) -> float:
    """A fifth; less where that is more rows than needed, more (to a third) where it is under 100 rows."""
    count = len(rows)
    share = 0.2
    if count * share > MAX_VALID_ROWS:
        share = MAX_VALID_ROWS / count
    elif count < 500:
        share = min(1 / 3, 100 / count) if count < 300 else 0.25
        share = max(0.2, min(share, 1 / 3)) if count >= 60 else 0.25
    if kind != "regression":
        smallest = int(dataset.target.iloc[rows].value_counts().min())
        if smallest * share < 1 and smallest >= 2:
            share = min(1 / 3, 1.0 / smallest)
    return float(share)


def _advised_folds(dataset: Dataset, rows: np.ndarray, kind: Kind) -> int:
    if kind == "regression":
        return 5 if len(rows) < 200 else 0
    counts = dataset.target.iloc[rows].value_counts()
    counts = counts[counts > 0]
    if int(counts.min()) >= FEW_ROWS and len(rows) >= 200:
        return 0
    return int(np.clip(counts.median(), 2, 5)) if len(rows) < 5_000 else 0


def _draw(
    dataset: Dataset, rows: np.ndarray, share: float, kind: Kind, rng: np.random.Generator, leave: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """(drawn, left, how). ``leave``: groups that must be left."""
    if dataset.time is not None:
        ordered = rows[np.argsort(dataset.time[rows], kind="stable")]
        cut = len(ordered) - max(1, round(share * len(ordered)))
        return ordered[cut:], ordered[:cut], "the latest by the time column"
    if dataset.group is not None:
        return (*_draw_groups(dataset, rows, share, rng, leave), "whole groups")
    strata = _strata(dataset, rows, kind)
    drawn = _draw_strata(strata, share, rng)
    how = "stratified by target quantile" if kind == "regression" else "stratified by class"
    return rows[drawn], rows[~drawn], how


def _strata(dataset: Dataset, rows: np.ndarray, kind: Kind) -> np.ndarray:
    """A small number per row: its class, or the quantile of its target."""
    target = dataset.target.iloc[rows]
    if kind != "regression":
        return pd.factorize(target)[0]
    bins = int(np.clip(len(rows) // 20, 1, 10))
    ranks = pd.Series(as_number(target)).rank(method="first").to_numpy()
    return np.minimum((ranks - 1) * bins // len(rows), bins - 1).astype(np.int64)


def _draw_strata(strata: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Mask of the drawn: each stratum gives its share, the sum is right; a stratum of one gives none."""
    counts = np.bincount(strata)
    exact = counts * share
    take = np.floor(exact).astype(np.int64)
    left = max(1, round(share * len(strata))) - take.sum()
    for i in np.argsort(-(exact - take), kind="stable")[: max(0, left)]:
        take[i] += 1
    # A class of two or more keeps a row on each side: what was never trained on cannot be learned.
    take = np.where(counts >= 2, np.clip(take, (counts * share >= 0.5).astype(np.int64), counts - 1), 0)
    if take.sum() == 0 and len(strata) > 1:
        take[int(counts.argmax())] = min(1, counts.max() - 1) or 1
    drawn = np.zeros(len(strata), dtype=bool)
    for i in np.flatnonzero(take):
        drawn[rng.choice(np.flatnonzero(strata == i), size=take[i], replace=False)] = True
    return drawn


def _draw_groups(
    dataset: Dataset, rows: np.ndarray, share: float, rng: np.random.Generator, leave: int
) -> tuple[np.ndarray, np.ndarray]:
    """Whole groups in random order, each when it brings the share nearer; at least ``leave`` groups are not drawn."""
    assert dataset.group is not None
    codes, names = pd.factorize(dataset.group[rows])
    codes = np.where(codes < 0, codes.max() + np.cumsum(codes < 0), codes)  # no group: a group of its own
    count = int(codes.max()) + 1
    if count <= leave:
        shown = ", ".join(repr(str(n)) for n in names[:3])
        raise UserError(f"the group column holds {count} groups only ({shown}); it needs at least 3 to split")
    sizes = np.bincount(codes, minlength=count)
    wanted, got = share * len(rows), 0
    drawn = np.zeros(count, dtype=bool)
    for g in rng.permutation(count):
        if drawn.sum() < count - leave and abs(got + sizes[g] - wanted) < abs(got - wanted):
            drawn[g] = True
            got += sizes[g]
    if not drawn.any():
        drawn[int(sizes.argmin())] = True
    mask = drawn[codes]
    return rows[mask], rows[~mask]


def _balanced_groups(codes: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Fold per group: the largest first, each to the fold with the fewest rows."""
    sizes = np.bincount(codes)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold, load = np.zeros(len(sizes), dtype=np.int64), np.zeros(k)
    for g in order:
        fold[g] = int(load.argmin())
        load[fold[g]] += sizes[g]
    return fold
