"""What a check may look at: never a label of the test split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import TEST, TRAIN, Dataset
from automl.data.quality.findings import MAX_EXAMPLES, MAX_ROWS, Finding, Severity, Step, plain
from automl.data.quality.parse import is_numeric, is_texty
from automl.types import Kind, Modality

_MOST_KEPT = 50_000_000
"""Cells of a table up to which the samples of its columns are kept."""


@dataclass(frozen=True)
class Proposal:
    """A finding, with the repair that would mend it: column steps, or rows to drop from train.

    ``repeats``: of each row to drop the earlier one that it repeats, and that weighs as much more then; None: none.
    """

    finding: Finding
    steps: tuple[Step, ...] = ()
    drop: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    after_split: bool = False  # the rows may go from train only: where there is no split yet, they wait
    repeats: np.ndarray | None = None


class View:
    """The rows of a data set that are not test, column by column, and a capped sample of them.

    ``seen``: positions of the rows whose labels may be read, shape (seen,). ``droppable``: bool over all
    rows: those a repair may drop (train, or all while there is no split). ``given``: for each row its
    position in the data set as the user gave it, so that findings name rows that the user can look up.
    ``sample``: at most ``max_rows`` of ``seen``, sorted.
    """

    def __init__(
        self,
        dataset: Dataset,
        given: np.ndarray,
        rng: np.random.Generator,
        kind: Kind,
        *,
        max_rows: int = 50_000,
        seed: int = 0,
    ) -> None:
        self.dataset = dataset
        self.given = given
        self.kind: Kind = kind
        self.seed = seed
        # Each column is made once: pandas takes long to look one up, and wide tables are looked up often.
        self._columns = {str(name): column for name, column in dataset.table.items()}
        self._sampled: dict[str, pd.Series] = {}
        n = len(dataset)
        split = dataset.split
        self.seen = np.arange(n) if split is None else np.flatnonzero(np.asarray(split) != TEST)
        self.droppable = np.ones(n, dtype=bool) if split is None else np.asarray(split) == TRAIN
        if len(self.seen) > max_rows:
            self.sample = np.sort(rng.choice(self.seen, max_rows, replace=False))
        else:
            self.sample = self.seen

    @property
    def has_split(self) -> bool:
        return self.dataset.split is not None

    @property
    def columns(self) -> list[str]:
        return list(self._columns)

    def column(self, name: str) -> pd.Series:
        """A column on the seen rows."""
        return self._take(name, self.seen)

    def sampled(self, name: str) -> pd.Series:
        """A column on the sample."""
        if name not in self._sampled:
            taken = self._take(name, self.sample)
            if self.dataset.table.size > _MOST_KEPT:
                return taken
            self._sampled[name] = taken
        return self._sampled[name]

    def _take(self, name: str, rows: np.ndarray) -> pd.Series:
        column = self._columns[name]
        return column if len(rows) == len(column) else column.iloc[rows]

    def target(self) -> pd.Series:
        """The target on the seen rows; the test rows' labels are not to be had."""
        return self.dataset.target.iloc[self.seen]

    def sampled_target(self) -> pd.Series:
        return self.dataset.target.iloc[self.sample]

    def modality(self, name: str) -> Modality | None:
        """What the source says of a column or array, or None."""
        return self.dataset.modalities.get(name)

    def numeric_columns(self) -> Iterator[str]:
        for name in self.columns:
            if is_numeric(self._columns[name]):
                yield name

    def texty_columns(self) -> Iterator[str]:
        """Columns of strings, but not those the source knows to be text, images or sounds."""
        for name in self.columns:
            if self.modality(name) in (None, "tabular") and is_texty(self._columns[name]):
                yield name

    def row_numbers(self, positions: np.ndarray) -> tuple[int, ...]:
        """Positions in this data set, as positions in the one the user gave."""
        return tuple(int(i) for i in self.given[np.asarray(positions[:MAX_ROWS], dtype=np.int64)])


def finding(
    name: str,
    severity: Severity,
    count: int,
    where: str,
    text: str,
    examples: Any = (),
    repair: str = "",
    rows: tuple[int, ...] = (),
    most: int = MAX_EXAMPLES,
) -> Finding:
    """A Finding with its examples made plain and cut to ``most``."""
    few = tuple(plain(e) for e in list(examples)[:most])
    return Finding(name, severity, int(count), where, text, few, repair, False, rows)


def share(part: float, whole: float) -> str:
    """A share as people read it: 5 %, 0.02 %."""
    percent = 100 * part / max(whole, 1)
    if percent >= 10 or percent == 0:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if percent >= 1 else f"{percent:.2g} %"
