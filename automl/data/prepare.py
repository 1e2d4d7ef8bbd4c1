"""From a Dataset to a Task and its encoded splits: formulate, check, split, encode."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from automl.data.cells.numbers import is_bound
from automl.data.dataset import Dataset, Part, Parts, take, taken
from automl.data.encode import Encoding
from automl.data.folds import Folds
from automl.data.identity import identity
from automl.data.quality import Quality
from automl.data.quality import check as check_quality
from automl.data.quality.check import read_texts
from automl.data.quality.parse import counts_of
from automl.data.split import split
from automl.data.weights import copies_of, repeated
from automl.data.windows import in_order
from automl.errors import UserError
from automl.task.formulate import formulate
from automl.task.kind import check_kind, infer_kind, numeric_target, plain_target
from automl.types import Kind, Limits, Task


@dataclass(frozen=True)
class Prepared:
    """``dataset``: the raw rows after repairs; ``Part.rows`` are positions in it. ``quality``: the findings, or None.

    ``folds``: of the training and validation rows, by which trainings of full length are judged; None: by
    ``parts.valid`` alone. ``given``: int (rows of ``dataset``,), the position of each in the data as the
    user gave them.
    """

    task: Task
    parts: Parts
    encoding: Encoding
    dataset: Dataset
    quality: Quality | None = None
    folds: Folds | None = None
    given: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def learned(self) -> Part:
        """All rows that a candidate may learn from: of training, and of validation too where there are folds."""
        return self.parts.train if self.folds is None else self.folds.rows

    @property
    def judging(self) -> str:
        """How candidates are judged, for people."""
        return f"{self.parts.valid.distinct:,} rows" if self.folds is None else str(self.folds)


def prepare(
    dataset: Dataset,
    *,
    kind: Kind | None = None,
    metric: str | None = None,
    limits: Limits | None = None,
    goal: str = "",
    name: str | None = None,
    group: str = "",
    seed: int = 0,
    test_share: float | None = None,
    valid_share: float | None = None,
    folds: int | None = 0,
    hold: bool | None = False,
    check: bool = True,
    repairs: Mapping[str, bool | None] | None = None,
    wordpieces: Sequence[str] = (),
) -> Prepared:
    """Stages 1 and 2 of the pipeline. Raises UserError for data that cannot be learned from.

    ``folds``: number of folds, 0 for one validation split, None for what fits the data. ``hold``: whether rows are held
    out to calibrate on, None: where there are plenty.
    ``check`` False skips the quality report and its repairs; ``repairs`` switches single ones. ``wordpieces``: see
    ``Encoding.fit``.
    """
    check_repairs(check, repairs)
    why, columns, data = list(dataset.notes), list(dataset.table.columns), identity(dataset)
    raw, dataset = dataset.target, plain_target(dataset)
    if said := counts_of(cast(pd.Series, raw[dataset.target.isna()])):
        words = ", ".join(f"{str(v)!r} ({n:,} rows)" for v, n in said[:3])
        why.append(f"target: {words} says that the answer is missing")
    reason = "asked"
    if kind is None:
        kind, reason = infer_kind(dataset)
    else:
        check_kind(dataset, kind)
    if kind == "regression":
        if bounds := [v for v in dataset.target if is_bound(v)]:
            why.append(f"target: {len(bounds):,} rows give a bound, such as {bounds[0]!r}: its number is the value")
        dataset = numeric_target(dataset)
    quality, dropped, steps = None, np.zeros(0, dtype=np.int64), dataset.steps
    given = np.arange(len(dataset))
    if check:
        dataset, quality = check_quality(dataset, repairs=repairs, kind=kind, seed=seed)
        dropped, steps = np.asarray(quality.drop_if_train, dtype=np.int64), (*dataset.steps, *quality.steps)
        given = np.asarray(quality.kept, dtype=np.int64)
        why += quality.dropped
    else:
        dataset, read = read_texts(dataset, kind)
        steps = (*dataset.steps, *read)
    given = given[dataset.target.notna().to_numpy()]
    dataset, dropped = drop_unlabelled(dataset, dropped, why)
    dataset = in_order(dataset, kind, why)
    rows = split(
        *(dataset, kind),
        seed=seed,
        test_share=test_share,
        valid_share=valid_share,
        fold_count=folds,
        drop=dropped,
        hold=hold,
    )
    learn = np.union1d(rows.train, np.setdiff1d(rows.valid, dropped)) if rows.folds else rows.train
    encoding = Encoding.fit(dataset, learn, kind=kind, steps=steps, columns=columns, wordpieces=wordpieces)
    task = formulate(
        dataset,
        encoding.inputs,
        kind=kind,
        metric=metric,
        limits=limits,
        goal=goal,
        name=name,
        group=group or f"{name or dataset.name}-{data[:8]}",  # a name alone stands for many data sets: train, frame
        classes=encoding.target.classes,
        reason=reason,
    )
    task = dataclasses.replace(task, data=data, why=(*why, *task.why, *encoding.why, *rows.why))
    y = encoding.encode_target(dataset.target)

    weight, strata = dataset.weight, np.zeros(len(dataset)) if kind == "regression" else y
    copies = None if weight is None else copies_of(weight, seed)
    if copies is not None:
        said = f"weights: a row stands {copies.min()} to {copies.max()} times where it teaches or chooses"
        task = dataclasses.replace(task, why=(*task.why, said))

    def part(positions: np.ndarray) -> Part:
        if weight is not None and copies is not None:
            positions = repeated(positions, copies, weight, strata)
        return encoded(positions)

    def encoded(positions: np.ndarray) -> Part:
        return Part(encoding.transform(dataset, positions), y[positions], positions)

    held = part(rows.held) if len(rows.held) else None
    valid = part(rows.valid)
    # Nothing may be asked to encode no row.
    test = taken(valid, rows.test) if not len(rows.test) else encoded(rows.test)
    parts = Parts(part(rows.train), valid, test, dropped, held)
    crossed = None
    if rows.folds:
        learned = part(learn)
        places = [[np.flatnonzero(np.isin(learned.rows, of)) for of in pair] for pair in rows.folds]
        pairs = tuple((train, valid) for train, valid in places if len(train) and len(valid))
        crossed = Folds(learned, pairs) if len(pairs) > 1 else None
    return Prepared(task, parts, encoding, dataset, quality, crossed, given)


def check_repairs(check: bool, repairs: Mapping[str, bool | None] | None) -> None:
    """Raises UserError for the switch of a repair where nothing is looked for, and so nothing repaired."""
    if not check and (asked := [name for name, on in (repairs or {}).items() if on is not None]):
        raise UserError(f"repairs.{asked[0]} does nothing with check=false: nothing is repaired; leave out one of them")


def drop_unlabelled(dataset: Dataset, marked: np.ndarray, why: list[str]) -> tuple[Dataset, np.ndarray]:
    """Leave out rows without a target, also of the test split: there is nothing to learn from or to judge by.

    ``marked``: positions of some rows; they come back as positions in what is left.
    """
    known = dataset.target.notna().to_numpy()
    if known.all():
        return dataset, marked
    why.append(f"left out {int((~known).sum()):,} rows without a target")
    place = np.cumsum(known) - 1
    return take(dataset, np.flatnonzero(known)), place[marked[known[marked]]]
