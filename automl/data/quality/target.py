"""Faults of the target: missing, of one class, rare, unbalanced, misspelt, far out; and columns that give it
away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from automl.data.cells.reading import to_number
from automl.data.quality.findings import MAX_ROWS, Step
from automl.data.quality.parse import counts_of, floats, fold, is_numeric
from automl.data.quality.view import Proposal, View, finding, share
from automl.task.others import joined_tags
from automl.types import Kind

RARE = 5
"""A class with fewer rows can hardly be split into five folds, let alone learned."""

MOST_CLASSES = 10
"""Classes, the most frequent, that a column's order is measured on."""

LEAK = 0.99
"""Share of the target that one column alone explains, from which it is under suspicion. By judgement: with less, what
honestly tells nearly all is named too."""


def missing_target(view: View) -> Iterator[Proposal]:
    """Rows without an answer (those of the test split are not looked at)."""
    missing = view.target().isna().to_numpy()
    if is_numeric(view.target()):
        missing = missing | np.isinf(floats(view.target()))
    count = int(missing.sum())
    if count:
        positions = view.seen[missing]
        text = f"{count:,} rows ({share(count, len(view.seen))}) have no target: nothing can be learned from them."
        yield Proposal(
            finding(
                "missing_target",
                "warning",
                count,
                "target",
                text,
                repair="drop them from training",
                rows=view.row_numbers(positions),
            ),
            drop=positions,
        )


def classes(view: View) -> Iterator[Proposal]:
    """One class only, rare classes, imbalance, one class written in two ways."""
    if view.kind == "regression":
        return
    counts = counts_of(view.target())
    if len(counts) <= 1:
        value = str(counts[0][0]) if counts else "missing"
        text = f"the target is {value!r} in every row: there is nothing to tell apart."
        yield Proposal(finding("one_class", "error", len(view.seen), "target", text, [value]))
        return
    if tags := joined_tags([str(value) for value, _ in counts]):
        text = (
            f"the target's {len(counts)} classes join {len(tags[1])} tags by {tags[0]!r}: several tags per row "
            "(multi-label) are no task here, each combination is a class of its own."
        )
        repair = "give a column per tag, and learn one at a time"
        yield Proposal(finding("joined_tags", "warning", len(view.seen), "target", text, tags[1], repair))
    listed = [{"class": str(value), "rows": count} for value, count in counts]
    rare = [c for c in reversed(listed) if c["rows"] < RARE]
    if rare:
        text = (
            f"{len(rare)} of {len(counts)} classes have fewer than {RARE} rows, "
            f"the rarest is {rare[0]['class']!r} with {rare[0]['rows']}."
        )
        total = sum(c["rows"] for c in rare)
        yield Proposal(finding("rare_classes", "warning", total, "target", text, rare, "collect more, or merge them"))
    (largest, most), (smallest, fewest) = counts[0], counts[-1]
    if most >= 3 * fewest:
        text = (
            f"the largest class ({str(largest)!r}, {most:,} rows) has {most / fewest:.3g} times as many rows "
            f"as the smallest ({str(smallest)!r}, {fewest:,})."
        )
        grave = most >= 10 * fewest
        repair = "a metric that weighs classes alike, and a stratified split" if grave else ""
        severity = "warning" if grave else "info"
        yield Proposal(finding("imbalance", severity, fewest, "target", text, listed, repair))
    groups: dict[str, list[str]] = {}
    for value, _ in counts:
        groups.setdefault(fold(value), []).append(str(value))
    alike = [" = ".join(repr(v) for v in g) for g in groups.values() if len(g) > 1]
    if alike:
        text = f"the target seems to write one class in several ways: {alike[0]}."
        yield Proposal(finding("class_variants", "warning", len(alike), "target", text, alike, "write them alike"))


def target_outliers(view: View) -> Iterator[Proposal]:
    """Target values of a regression far beyond all others, or a target that never changes."""
    if view.kind != "regression" or not is_numeric(view.target()):
        return
    values = floats(view.target())
    finite = values[np.isfinite(values)]
    if len(finite) and np.ptp(finite) == 0:
        text = f"the target is {finite[0]:g} in every row: there is nothing to learn."
        yield Proposal(finding("one_value", "error", len(view.seen), "target", text, [finite[0]]))
        return
    if len(finite) < 20:
        return
    low, middle, high = np.quantile(finite, [0.25, 0.5, 0.75])
    spread = max(high - low, 1e-300)
    distance = np.abs(np.nan_to_num(values, nan=middle, posinf=middle, neginf=middle) - middle) / spread
    far = np.flatnonzero(distance > 3.5)
    if not len(far):
        return
    far = far[np.argsort(-distance[far], kind="stable")]
    near = np.delete(distance, far).max(initial=0)
    slip = distance[far[0]] > 20 and distance[far[0]] > 10 * near and len(far) <= max(5, 0.001 * len(values))
    rows = view.row_numbers(view.seen[far[:MAX_ROWS]])
    text = (
        f"the target lies far out in {len(far):,} rows ({share(len(far), len(values))}): half of its values are "
        f"between {low:.4g} and {high:.4g}, the farthest is {values[far[0]]:.4g}."
    )
    examples = [{"row": r, "target": float(values[i])} for r, i in zip(rows, far, strict=False)]
    severity = "warning" if slip else "info"
    yield Proposal(finding("target_outliers", severity, len(far), "target", text, examples, "check the farthest", rows))


def target_leakage(view: View) -> Iterator[Proposal]:
    """Columns that alone give the target away: made from it, or known only after it."""
    target = view.sampled_target()
    known = target.notna().to_numpy()
    if view.kind == "regression":
        if not is_numeric(target):
            return
        answers = floats(target)
        known = known & np.isfinite(answers)
    else:
        answers = pd.factorize(target)[0].astype(np.float64)
    if known.sum() < 20 or len(np.unique(answers[known])) < 2:
        return
    pick = np.flatnonzero(known)[:10_000]
    for name in view.columns:
        column = view.sampled(name).iloc[pick]
        if view.modality(name) not in (None, "tabular"):
            continue
        if view.kind == "regression":
            part = explained_value(column, answers[pick])
        else:
            part = explained_class(column, answers[pick].astype(np.int64))
        if part < LEAK:
            continue
        certain = part > 0.9999 and len(pick) >= 100
        text = (
            f"'{name}' alone tells the target ({share(part, 1)} of it): is it known before the answer is, "
            "or made from it?"
        )
        yield Proposal(
            finding(
                "target_leakage",
                "error" if certain else "warning",
                len(pick),
                name,
                text,
                [{"value": v, "target": t} for v, t in zip(column.head(5), target.iloc[pick].head(5), strict=True)],
                "drop the column, unless it is known in time",
            ),
            steps=(Step("drop", name),),
        )


def _order(column: pd.Series) -> tuple[np.ndarray, bool]:
    """Values to sort by, and whether nearness among them means anything (numbers) or not (categories)."""
    if is_numeric(column):
        return floats(column), True
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        stamps = column.astype("int64").to_numpy().astype(np.float64)
        return np.where(column.isna().to_numpy(), np.nan, stamps), True
    codes = pd.factorize(column)[0].astype(np.float64)
    return codes, False


def explained_class(column: pd.Series, classes_: np.ndarray) -> float:
    """Share of the majority rule's errors that one column mends, each row judged by the others (leave one
    out).

    A value that repeats votes with its other rows; a number that stands alone with its two neighbours in
    order. Missing is a value of its own. 1: the column tells the class; 0: no better than the majority.
    """
    base = np.bincount(classes_).max() / len(classes_)
    if base >= 1:
        return 0.0
    values, ordered = _order(column)
    groups, _ = pd.factorize(values, use_na_sentinel=False)
    votes = np.zeros((int(groups.max()) + 1, int(classes_.max()) + 1), dtype=np.int32)
    np.add.at(votes, (groups, classes_), 1)
    size = votes.sum(axis=1)[groups]
    best = votes.max(axis=1)[groups]
    own = votes[groups, classes_]
    # Without the row itself, its class must still have the most votes.
    right = (size > 1) & (own == best) & ((own - 1) * 2 >= (size - 1))
    if ordered:
        order = np.lexsort((groups, values))
        labels = classes_[order]
        near = np.zeros(len(labels), dtype=bool)
        near[1:-1] = (labels[1:-1] == labels[:-2]) & (labels[1:-1] == labels[2:])
        near[0], near[-1] = labels[0] == labels[1], labels[-1] == labels[-2]
        alone = size[order] == 1
        right[order[alone]] = near[alone]
        # A row at the border between two classes has one neighbour of each: that is no error of the column.
        borders = int((labels[1:] != labels[:-1]).sum())
        if borders <= classes_.max() + 1:
            right[order[alone & ~near]] = True
    return float((right.mean() - base) / (1 - base))


def explained_value(column: pd.Series, target: np.ndarray) -> float:
    """R2 of a number told from one column: by the mean of its equals, or of its two neighbours in order."""
    values, ordered = _order(column)
    target = target / max(float(np.abs(target).max()), 1e-300)  # squares of large numbers overflow
    total = float(np.var(target))
    if total <= 0 or len(target) < 20:
        return 0.0
    groups, _ = pd.factorize(values, use_na_sentinel=False)
    size = np.bincount(groups)
    if size.mean() >= 3 or not ordered:
        if size.mean() < 2:
            return 0.0
        sums = np.bincount(groups, target)
        many = size[groups] > 1
        told = (sums[groups] - target)[many] / (size[groups] - 1)[many]
        return float(1 - np.mean((target[many] - told) ** 2) / total) if many.mean() > 0.5 else 0.0
    known = ~np.isnan(values)
    order = np.argsort(values[known], kind="stable")
    y = target[known][order]
    if len(y) < 20:
        return 0.0
    residual = y[1:-1] - (y[:-2] + y[2:]) / 2
    return float(1 - np.mean(residual**2) / 1.5 / total)


def told_in_order(
    column: pd.Series, target: pd.Series, kind: Kind, *, seed: int = 0, most: int = 2_000, draws: int = 99
) -> tuple[float, float]:
    """How much of the target a column tells by its order alone, and how often chance gives as much.

    Rows in the column's order are cut into equal blocks, few and many; a block's mean tells its rows, each left out of
    its own. Returns the largest R2 (of the classes' indicators for classes; 0 at least) and the share of ``draws``
    shuffled targets that do as well (a permutation test; the smallest is 1 / (draws + 1)). Texts are in the order that
    people give them: a2 before a10.
    """
    rng = np.random.default_rng(seed)
    known = target.notna().to_numpy() & column.notna().to_numpy()
    rows = np.flatnonzero(known)
    if len(rows) > most:
        rows = np.sort(rng.choice(rows, most, replace=False))
    column, target = column.iloc[rows], target.iloc[rows]
    if kind == "regression":
        y = pd.Series(floats(to_number(target))).rank().to_numpy()[:, None]
        y = np.where(np.isfinite(y), y, np.nanmean(y)) if np.isfinite(y).any() else np.zeros_like(y)
    else:
        codes = pd.factorize(target)[0]
        frequent = np.argsort(-np.bincount(codes), kind="stable")[:MOST_CLASSES] if len(codes) else []
        y = (codes[:, None] == np.asarray(frequent)).astype(np.float64)
    n = len(y)
    total = float(((y - y.mean(axis=0)) ** 2).sum()) if n else 0.0
    if n < 20 or total <= 0:
        return 0.0, 1.0
    y = (y - y.mean(axis=0)) / np.sqrt(total)
    shuffled = np.stack(
        [y[np.argsort(_natural_order(column), kind="stable")], *(rng.permutation(y) for _ in range(draws))]
    )
    told, lift = [], []
    for blocks in (2, 5, 20, 80, 320):
        if n < 3 * blocks:
            break
        starts = np.arange(blocks) * n // blocks
        size = np.diff(np.append(starts, n))
        within = np.add.reduceat((shuffled**2).sum(axis=2), starts, axis=1)
        sums = np.add.reduceat(shuffled, starts, axis=1)
        within = within - (sums**2).sum(axis=2) / size
        r2 = 1 - (within * (size / (size - 1)) ** 2).sum(axis=1)
        told.append(r2[0])
        lift.append((r2 - r2.mean()) / max(float(r2.std()), 1e-12))
    best = np.max(lift, axis=0)
    return float(max(0.0, *told)), float((best >= best[0]).mean())


def _natural_order(column: pd.Series) -> np.ndarray:
    """Values to sort by: numbers and dates themselves, texts by the numbers and words in them."""
    values, ordered = _order(column)
    if ordered:
        return values
    parts = [[_part(p) for p in re.split(r"(\d+)", str(v))] for v in column]
    place = np.empty(len(parts))
    place[sorted(range(len(parts)), key=parts.__getitem__)] = np.arange(len(parts))
    return place


def _part(text: str) -> tuple[int, int, str]:
    """Sort key of a number, by its length first (Python makes no int of 5,000 digits), or of words behind them."""
    digits = text.lstrip("0")
    return (0, len(digits), digits) if text.isdecimal() else (1, 0, text)
