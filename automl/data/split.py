"""Which rows train, which choose, which judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from automl.data.columns import as_number
from automl.data.dataset import TEST, TRAIN, VALID, Dataset
from automl.errors import UserError
from automl.types import Kind

TEST_SHARE = 0.25  # of the rows that it is drawn from, as scikit-learn has it
# Validation rows beyond this choose no better and are missed in training: they tell 90 % of accuracy to +- .4 points.
MAX_VALID_ROWS = 5_000
# With fewer rows to learn from than this, or a class of fewer than that, one validation split is a lottery: folds are
# advised. Beyond MAX_FOLD_ROWS a training per fold costs more candidates than better judgement is worth. By judgement.
FEW_ROWS = 200
FEW_OF_CLASS = 8
MAX_FOLD_ROWS = 500
FOLDS, TIME_FOLDS = 5, 3  # along time the first of many folds would have next to nothing to learn from
# Rows that are held out to calibrate on: a tenth of what is left beside the test split, but so many at least (90 % of
# cover are 90 +- 3 points with 100) and at most (90 +- .7). By themselves only where the rest is plenty: by judgement;
# ``+experiment=bench/uncertainty`` suggests that far fewer would do (docs/benchmarks.md), on 23 of 64 sets so far.
HELD_SHARE, LEAST_HELD, MOST_HELD = 0.1, 100, 2_000
PLENTY_ROWS, MOST_HELD_UNASKED = 5_000, 0.15

Pairs = tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class Split:
    """Positions of the rows, each ascending. ``why``: a line per decision.

    ``folds``: pairs (train, valid) out of the rows of ``train`` and ``valid`` together, to judge candidates by instead
    of by ``valid``; empty for none. ``held``: rows that no training and no choice sees, to calibrate on.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    why: tuple[str, ...] = ()
    folds: Pairs = ()
    held: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def split(
    dataset: Dataset,
    kind: Kind,
    *,
    seed: int = 0,
    test_share: float | None = None,
    valid_share: float | None = None,
    fold_count: int | None = 0,
    drop: np.ndarray | Sequence[int] = (),
    hold: bool | None = False,
) -> Split:
    """Official splits where given, else drawn: along time, by whole groups, or stratified by class or quantile.

    What is given stays: a test split is drawn from the rows that are given as train alone. Rows of one time stay in
    one split, so do rows of one group; where both are set, whole groups go by their last time.
    ``test_share``: share of the rows that it is drawn from, 0 for no test rows; None: ``TEST_SHARE``. ``valid_share``:
    share of the training rows; None fits it to their number. ``fold_count``: 0 for no folds, None for as many as
    ``advised_folds`` says. ``drop``: rows that are kept out of ``train`` and of the folds. ``hold``: whether rows are
    held out to calibrate on; None: where there are ``PLENTY_ROWS``, no folds, no order in time, and groups that are
    small enough.
    Same data and seed, same split. Raises UserError for shares and folds out of range, for a share of what is given,
    and for groups or rows too few to split.
    """
    check_shares(test_share, valid_share, fold_count)
    rng = np.random.default_rng(seed)
    why: list[str] = []
    rows = np.arange(len(dataset))
    given = dataset.split
    share = TEST_SHARE if test_share is None else test_share
    if given is not None and (given == TEST).any():
        test, rest = rows[given == TEST], rows[given != TEST]
        _refuse_share("test_share", test_share, dataset, test)
        why.append(f"test: the {len(test):,} rows that are given as test{_unkept(dataset, test, rest)}")
    elif not share:
        test, rest = rows[:0], rows
        why.append("test: no rows are held out, as asked")
    else:
        free, kept = _free(dataset, rows)
        test, rest, how = _draw(dataset, free, share, kind, rng, 2 if len(kept) == 0 else 1)
        rest = np.union1d(rest, kept)
        why.append(f"test: {len(test):,} rows ({share:.0%}), {how}")
    held = _hold(dataset, rest, kind, seed) if hold else rest[:0]
    if hold is None and not fold_count:
        held = _hold_of_plenty(dataset, rest, kind, seed)
    if len(held):
        why.append(f"calibration: {len(held):,} rows are held out, {_how(dataset, rest, kind)}")
    rest = np.setdiff1d(rest, held)
    if given is not None and (given[rest] == VALID).any():
        valid, train = rest[given[rest] == VALID], rest[given[rest] != VALID]
        _refuse_share("valid_share", valid_share, dataset, valid)
        why.append(f"validation: the {len(valid):,} rows that are given as valid")
    else:
        part = valid_share or default_valid_share(len(rest))
        valid, train, how = _draw(dataset, rest, part, kind, rng, 1)
        why.append(f"validation: {len(valid):,} of {len(rest):,} training rows ({part:.0%}), {how}")
    for name, found in ((TRAIN, train), (VALID, valid), (TEST, test)):
        if len(found) == 0 and (name != TEST or share):
            raise UserError(f"{dataset.origin or dataset.name} leaves no {name} rows of {len(dataset)}; give more rows")
    learn = np.setdiff1d(rest, drop)
    if fold_count is None:
        fold_count = advised_folds(dataset, learn, kind)
    pairs = tuple(folds(dataset, learn, kind, fold_count, seed=seed)) if fold_count else ()
    if pairs:
        how = (
            _how(dataset, learn, kind) if _times(dataset, learn) is None else "each fold later than what it learns from"
        )
        why[-1] = f"validation: {fold_count}-fold cross-validation of the {len(learn):,} training rows, {how}"
    return Split(np.setdiff1d(train, drop), np.sort(valid), np.sort(test), tuple(why), pairs, np.sort(held))


def _hold(dataset: Dataset, rows: np.ndarray, kind: Kind, seed: int) -> np.ndarray:
    """Rows that are held out, drawn as the other splits are; given validation rows stay what they are."""
    free, _ = _free(dataset, rows)
    count = min(max(HELD_SHARE * len(free), LEAST_HELD), MOST_HELD, len(free) / 3)
    return _draw(dataset, free, count / max(len(free), 1), kind, np.random.default_rng([seed, 1]), 2)[0]


def _hold_of_plenty(dataset: Dataset, rows: np.ndarray, kind: Kind, seed: int) -> np.ndarray:
    """The same unasked: none where rows are few, or where a group that stays whole would cost too many.

    None along time either: the latest rows are worth most to learn from, and guarantee nothing about those to come.
    """
    free, _ = _free(dataset, rows)
    if len(free) < PLENTY_ROWS or dataset.time is not None:
        return rows[:0]
    try:
        held = _hold(dataset, rows, kind, seed)
    except UserError:  # too few groups
        return rows[:0]
    return held if len(held) <= MOST_HELD_UNASKED * len(free) else rows[:0]


def check_shares(test_share: float | None, valid_share: float | None, fold_count: int | None) -> None:
    """Raises UserError for shares and folds that no data could be split by."""
    if isinstance(fold_count, bool) or not (fold_count is None or (isinstance(fold_count, int) and fold_count >= 0)):
        raise UserError(f"folds={fold_count} must be null (as advised), 0 (one validation split) or from 2 on")
    for name, share, none in (
        ("test_share", test_share, ", or be 0 for no test rows"),
        ("valid_share", valid_share, ""),
    ):
        if share is not None and not 0 < share < 1 and not (none and share == 0):
            raise UserError(f"{name}={share} must lie between 0 and 1, such as 0.25{none}")


def _refuse_share(option: str, share: float | None, dataset: Dataset, given: np.ndarray) -> None:
    """Raises UserError for a share of rows that are given, of which none are drawn."""
    if share is not None:
        part = option.partition("_")[0]
        raise UserError(
            f"{option}={share:g} does nothing: {dataset.origin or dataset.name} gives {len(given):,} rows as {part}; "
            "leave it out, or drop what marks them"
        )


def _unkept(dataset: Dataset, test: np.ndarray, rest: np.ndarray) -> str:
    """What given test rows do not keep of the group and the time that were named."""
    if dataset.group is not None:
        codes = group_codes(dataset.group)
        if shared := len(np.intersect1d(codes[test], codes[rest])):
            return f"; {shared:,} of their groups stand in other rows too, so that the test flatters"
    if dataset.time is not None and len(rest) and dataset.time[test].min() < dataset.time[rest].max():
        return "; some of them are earlier than other rows"
    return ""


def folds(
    dataset: Dataset, rows: np.ndarray, kind: Kind, k: int, *, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give k pairs (train, valid) of positions out of ``rows``; each row is in one valid, groups stay whole.

    Along time, fold i trains on what comes before and validates on the next block (k + 1 blocks); rows of one time, or
    groups by their last time, are cut between only.
    Raises UserError when there are fewer rows, groups or times than folds.
    """
    rows = np.asarray(rows)
    times = _times(dataset, rows)
    most = len(rows) - (times is not None)
    if k < 2 or k > most:
        raise UserError(f"folds={k} of {len(rows)} rows are not possible; use 2 to {most}, or 0 for none")
    rng = np.random.default_rng(seed)
    if times is not None:
        units = _units(dataset, rows, times, rng)
        if units.max() < k:
            what = "groups" if dataset.group is not None else "different times"
            raise UserError(
                f"folds={k} need {k + 1} {what}, there are {units.max() + 1}; use fewer folds, or 0 for none"
            )
        block = _blocks(units, k + 1)
        for i in range(1, k + 1):
            yield rows[block < i], rows[block == i]
        return
    if dataset.group is not None:
        codes = group_codes(dataset.group[rows])
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


def default_valid_share(count: int) -> float:
    """Share of ``count`` rows: a fifth; less where that is more than needed, more where it is under 100 rows.

    By judgement: rows that judge are missed in training, and where few judge the luckiest candidate is chosen.
    """
    if count >= 500:
        return min(0.2, MAX_VALID_ROWS / count)
    return 1 / 3 if 60 <= count < 300 else 0.25


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
    times = _times(dataset, rows)
    if dataset.group is not None:
        most = min(most, int(group_codes(dataset.group[rows]).max()) + (times is None))
    elif times is not None:
        most = min(most, len(np.unique(times)) - 1)
    if times is not None:
        most = min(most, TIME_FOLDS)
    return min(FOLDS, most) if few and most >= 2 else 0


def _free(dataset: Dataset, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows that a test split may be drawn from, rows that it may not): no given validation rows, nor their groups."""
    if dataset.split is None:
        return rows, rows[:0]
    kept = dataset.split[rows] == VALID
    if dataset.group is not None and kept.any():
        codes = group_codes(dataset.group[rows])
        with_group = kept | np.isin(codes, codes[kept])
        kept = with_group if not with_group.all() else kept
    return rows[~kept], rows[kept]


def _draw(
    dataset: Dataset, rows: np.ndarray, share: float, kind: Kind, rng: np.random.Generator, leave: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """(drawn, left, how). ``leave``: groups, or times where there are as many, that must be left."""
    if len(rows) == 0:
        raise UserError(f"{dataset.origin or dataset.name} gives no row of {len(dataset)} as train; mark some as train")
    how = _how(dataset, rows, kind)
    times = _times(dataset, rows)
    if times is not None:
        units = _units(dataset, rows, times, rng)
        if dataset.group is not None:
            _check_groups(dataset, rows, leave)
        last = _latest(units, share, min(leave, int(units.max())))
        return rows[last], rows[~last], how
    if dataset.group is not None:
        return (*_draw_groups(dataset, rows, share, rng, leave), how)
    drawn = _draw_strata(_strata(dataset, rows, kind), share, rng)
    return rows[drawn], rows[~drawn], how


def _how(dataset: Dataset, rows: np.ndarray, kind: Kind) -> str:
    """How rows are drawn, for people."""
    timed = _times(dataset, rows) is not None
    if timed and dataset.group is not None:
        return "whole groups, those that end latest in time (rows of others may be as late)"
    if timed:
        return "the latest in time"
    if dataset.group is not None:
        return "whole groups"
    how = "stratified by target quantile" if kind == "regression" else "stratified by class"
    return how if dataset.time is None else f"{how}, as all are of one time"


def _times(dataset: Dataset, rows: np.ndarray) -> np.ndarray | None:
    """The rows' times; None where there are none, or one only, which gives no order."""
    if dataset.time is None:
        return None
    times = dataset.time[rows]
    return times if (times != times[:1]).any() else None


def _units(dataset: Dataset, rows: np.ndarray, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Per row the place, 0 is the earliest, of what may not be cut: its time, or its group by the last time of that."""
    if dataset.group is None:
        return np.unique(times, return_inverse=True)[1].reshape(-1)
    codes = group_codes(dataset.group[rows])
    order = rng.permutation(codes.max() + 1)
    last = np.full(len(order), -np.inf)
    np.maximum.at(last, codes, times)
    place = np.empty_like(order)
    place[order[np.argsort(last[order], kind="stable")]] = np.arange(len(order))
    return place[codes]


def _latest(units: np.ndarray, share: float, leave: int) -> np.ndarray:
    """Mask of the last units that come nearest to the share of the rows; at least one, ``leave`` are left."""
    left = np.cumsum(np.bincount(units))[:-1]  # rows before each place where may be cut
    possible = left[max(leave, 1) - 1 :]
    cut = max(leave, 1) - 1 + int(np.abs(possible - (1 - share) * len(units)).argmin())
    return units > cut


def _blocks(units: np.ndarray, count: int) -> np.ndarray:
    """Block of each row: so many, as equal as they can be without cutting a unit, each with one unit at least."""
    ends = np.cumsum(np.bincount(units))
    cuts: list[int] = []  # the last unit of each block
    for i in range(1, count):
        first, beyond = (cuts[-1] + 1 if cuts else 0), len(ends) - (count - i)
        cuts.append(first + int(np.abs(ends[first:beyond] - i * len(units) / count).argmin()))
    return np.searchsorted(cuts, units)


def _strata(dataset: Dataset, rows: np.ndarray, kind: Kind) -> np.ndarray:
    """A small number per row: its class, or the quantile of its target."""
    target = dataset.target.iloc[rows]
    if kind != "regression":
        return pd.factorize(target)[0]
    bins = int(np.clip(len(rows) // 20, 1, 10))
    ranks = pd.Series(as_number(target)).rank(method="first").to_numpy()
    return np.minimum((ranks - 1) * bins // len(rows), bins - 1).astype(np.int64)


def _draw_strata(strata: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Mask of the drawn: as many as the share says, each stratum giving its own, and keeping a row at least.

    A stratum of three rows or more whose share is under one row gives one, so that a rare class is judged too; the
    largest give the less. No stratum sets how many are drawn in all.
    """
    counts = np.bincount(strata)
    exact = counts * share
    most = np.maximum(counts - 1, 0)  # what was never trained on cannot be learned
    wanted = min(max(1, round(share * len(strata))), max(int(most.sum()), 1))
    if most.sum() == 0:
        most = counts.copy()
    chance = np.where(exact < 1, rng.spawn(1)[0].random(len(counts)), 0)  # among equals of less than a row
    take = np.minimum(np.floor(exact).astype(np.int64), most)
    rare = np.flatnonzero((counts >= 3) & (exact < 1))
    rare = rare[np.lexsort((chance[rare], -exact[rare]))][: wanted // 4]
    take[rare] = 1
    while take.sum() > wanted:
        take[int(take.argmax())] -= 1
    while (left := wanted - take.sum()) > 0:
        open_ = np.flatnonzero(take < most)
        take[open_[np.lexsort((chance[open_], take[open_] - exact[open_]))][:left]] += 1
    drawn = np.zeros(len(strata), dtype=bool)
    for i in np.flatnonzero(take):
        drawn[rng.choice(np.flatnonzero(strata == i), size=take[i], replace=False)] = True
    return drawn


def _draw_groups(
    dataset: Dataset, rows: np.ndarray, share: float, rng: np.random.Generator, leave: int
) -> tuple[np.ndarray, np.ndarray]:
    """Whole groups in random order, each when it brings the share nearer; at least ``leave`` groups are not drawn."""
    codes = _check_groups(dataset, rows, leave)
    count = int(codes.max()) + 1
    sizes = np.bincount(codes, minlength=count)
    wanted, got, left = share * len(rows), 0, count
    drawn = np.zeros(count, dtype=bool)
    for g in rng.permutation(count):
        if left > leave and abs(got + sizes[g] - wanted) < abs(got - wanted):
            drawn[g] = True
            got, left = got + sizes[g], left - 1
    if not drawn.any():
        drawn[int(sizes.argmin())] = True
    mask = drawn[codes]
    return rows[mask], rows[~mask]


def _check_groups(dataset: Dataset, rows: np.ndarray, leave: int) -> np.ndarray:
    """The rows' groups as ``group_codes``. Raises UserError unless one can be drawn and ``leave`` left."""
    assert dataset.group is not None
    codes = group_codes(dataset.group[rows])
    if codes.max() < leave:
        shown = ", ".join(repr(str(n)) for n in pd.unique(dataset.group[rows])[:3])
        raise UserError(
            f"the group column holds {codes.max() + 1} groups only ({shown}); it needs at least {leave + 1} to split"
        )
    return codes


def group_codes(group: np.ndarray) -> np.ndarray:
    """0, 1, ... per group; a row without a group is a group of its own."""
    codes = pd.factorize(group)[0]
    return np.where(codes < 0, codes.max(initial=-1) + np.cumsum(codes < 0), codes)


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
