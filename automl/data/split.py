"""Which rows train, which choose, which judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from automl.data.columns import as_number
from automl.data.dataset import TEST, TRAIN, VALID, Dataset
from automl.errors import UserError
from automl.types import Kind

# Validation rows beyond this choose no better and are missed in training.
MAX_VALID_ROWS = 5_000
# With fewer rows to learn from than this, or a class of fewer than that, one validation split is a lottery: folds are
# advised. Beyond MAX_FOLD_ROWS a training per fold costs more candidates than better judgement is worth.
FEW_ROWS = 200
FEW_OF_CLASS = 8
MAX_FOLD_ROWS = 500
FOLDS, TIME_FOLDS = 5, 3  # along time the first of many folds would have next to nothing to learn from

Pairs = tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class Split:
    """Positions of the rows, each ascending. ``why``: a line per decision.

    ``folds``: pairs (train, valid) out of the rows of ``train`` and ``valid`` together, to judge candidates by instead
    of by ``valid``; empty for none.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    why: tuple[str, ...] = ()
    folds: Pairs = ()


def split(
    dataset: Dataset,
    kind: Kind,
    *,
    seed: int = 0,
    test_share: float = 0.25,
    valid_share: float | None = None,
    fold_count: int | None = 0,
    drop: np.ndarray | Sequence[int] = (),
) -> Split:
    """Official splits where given, else drawn: along time, by whole groups, or stratified by class or quantile.

    ``valid_share``: share of the training rows; None fits it to their number. ``fold_count``: 0 for no folds, None for
    as many as ``advised_folds`` says. ``drop``: rows that are kept out of ``train`` and of the folds.
    Same data and seed, same split. Raises UserError for shares and folds out of range and for groups or rows too few
    to split.
    """
    if isinstance(fold_count, bool) or not (fold_count is None or (isinstance(fold_count, int) and fold_count >= 0)):
        raise UserError(f"folds={fold_count} must be null (as advised), 0 (one validation split) or from 2 on")
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
    learn = np.setdiff1d(rest, drop)
    if fold_count is None:
        fold_count = advised_folds(dataset, learn, kind)
    pairs = tuple(folds(dataset, learn, kind, fold_count, seed=seed)) if fold_count else ()
    if pairs:
        how = _how(dataset, kind) if dataset.time is None else "each fold later than what it learns from"
        why[-1] = f"validation: {fold_count}-fold cross-validation of the {len(learn):,} training rows, {how}"
    return Split(np.setdiff1d(train, drop), np.sort(valid), np.sort(test), tuple(why), pairs)


def folds(
    dataset: Dataset, rows: np.ndarray, kind: Kind, k: int, *, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give k pairs (train, valid) of positions out of ``rows``; each row is in one valid, groups stay whole.

    With a time column, fold i trains on what comes before and validates on the next block (k + 1 blocks).
    Raises UserError when there are fewer rows or groups than folds.
    """
    rows = np.asarray(rows)
    most = len(rows) - (dataset.time is not None)
    if k < 2 or k > most:
        raise UserError(f"folds={k} of {len(rows)} rows are not possible; use 2 to {most}, or 0 for none")
    if dataset.time is not None:
        blocks = np.array_split(rows[np.argsort(dataset.time[rows], kind="stable")], k + 1)
        for i in range(1, k + 1):
            yield np.sort(np.concatenate(blocks[:i])), np.sort(blocks[i])
        return
    rng = np.random.default_rng(seed)
    if dataset.group is not None:
        codes = _group_codes(dataset.group[rows])
        if codes.max() + 1 < k:
            raise UserError(f"folds={k} need {k} groups, there are {codes.max() + 1}; use fewer folds, or 0 for none")
        fold = _balanced_groups(codes, k, rng)[codes]
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


def advised_folds(dataset: Dataset, rows: np.ndarray, kind: Kind) -> int:
    """How many folds of these rows judge candidates better than one validation split would; 0: none."""
    if len(rows) > MAX_FOLD_ROWS or (dataset.split is not None and (dataset.split[rows] == VALID).any()):
        return 0  # where validation rows are given, they are meant
    most = len(rows) - 1
    few = len(rows) < FEW_ROWS
    if kind != "regression":
        counts = dataset.target.iloc[rows].value_counts()
        counts = counts[counts > 0]
        few = few or int(counts.min()) < FEW_OF_CLASS
        most = min(most, max(2, int(counts.median())))
    if dataset.time is not None:
        most = min(most, TIME_FOLDS)
    elif dataset.group is not None:
        most = min(most, int(_group_codes(dataset.group[rows]).max()) + 1)
    return min(FOLDS, most) if few and most >= 2 else 0


def _draw(
    dataset: Dataset, rows: np.ndarray, share: float, kind: Kind, rng: np.random.Generator, leave: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """(drawn, left, how). ``leave``: groups that must be left."""
    if dataset.time is not None:
        ordered = rows[np.argsort(dataset.time[rows], kind="stable")]
        cut = len(ordered) - max(1, round(share * len(ordered)))
        return ordered[cut:], ordered[:cut], _how(dataset, kind)
    if dataset.group is not None:
        return (*_draw_groups(dataset, rows, share, rng, leave), _how(dataset, kind))
    drawn = _draw_strata(_strata(dataset, rows, kind), share, rng)
    return rows[drawn], rows[~drawn], _how(dataset, kind)


def _how(dataset: Dataset, kind: Kind) -> str:
    """How rows are drawn, for people."""
    if dataset.time is not None:
        return "the latest by the time column"
    if dataset.group is not None:
        return "whole groups"
    return "stratified by target quantile" if kind == "regression" else "stratified by class"


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
    codes = _group_codes(dataset.group[rows])
    count = int(codes.max()) + 1
    if count <= leave:
        shown = ", ".join(repr(str(n)) for n in pd.unique(dataset.group[rows])[:3])
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


def _group_codes(group: np.ndarray) -> np.ndarray:
    """0, 1, ... per group; a row without a group is a group of its own."""
    codes = pd.factorize(group)[0]
    return np.where(codes < 0, codes.max() + np.cumsum(codes < 0), codes)


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
