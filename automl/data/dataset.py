"""Data before and after encoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from automl.data.step import Step
from automl.types import Modality

TRAIN, VALID, TEST = "train", "valid", "test"


@dataclass(frozen=True)
class Dataset:
    """Raw rows, before anything was fitted on them.

    ``table``: the plain columns (numbers, categories, dates, text), possibly none.
    ``arrays``: inputs that are no table, name -> array whose first axis is the row (images, series, spectrograms).
    ``target``: one value per row. ``split``: "train" / "valid" / "test" per row when the origin gives one, else None.
    ``group``, ``time``: per row, when rows belong together or have an order; never features.
    ``weight``: above 0 per row, how much it counts in training and in choosing; None: all alike. Test rows count alike.
    ``modalities``: what the source knows of its inputs (array name or table column -> modality).
    ``decoded``: the arrays that were read from picture or sound files, so that a model can be sent such a file.
    ``white``: of decoded pictures of more than 8 bits the number that is white in their files.
    ``origin``: for people: the path or name it came from. ``notes``: what the source did, a line each.
    ``steps``: what loading did to the cells of ``table``, in order; a model repeats it on raw rows (``quality.clean``).
    ``decimal``: the sign that begins decimals in the file, empty when it is not known.
    """

    name: str
    table: pd.DataFrame
    target: pd.Series
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    split: np.ndarray | None = None
    group: np.ndarray | None = None
    time: np.ndarray | None = None
    weight: np.ndarray | None = None
    modalities: Mapping[str, Modality] = field(default_factory=dict)
    decoded: frozenset[str] = frozenset()
    white: Mapping[str, float] = field(default_factory=dict)
    origin: str = ""
    notes: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    decimal: str = ""

    def __len__(self) -> int:
        return len(self.target)

    @property
    def alike(self) -> bool:
        """Whether each row stands for itself alone, as guarantees need: in no order, no group, of one weight. Known
        once the data are prepared: an order in time may be found in them (``automl.data.windows.in_order``).
        """
        return self.time is None and self.group is None and self.weight is None


@dataclass(frozen=True)
class Part:
    """Encoded rows of one split.

    ``inputs``: one array per input of the task, first axis the row (see ``automl.types.Input``).
    ``y``: int64 class index, or float32 value in the target's own unit, shape (rows,).
    ``rows``: positions in the Dataset, shape (rows,).
    """

    inputs: tuple[np.ndarray, ...]
    y: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    @property
    def once(self) -> np.ndarray:
        """Where each row of the Dataset stands first: one that weighs more stands again (``automl.data.weights``)."""
        return np.unique(self.rows, return_index=True)[1]

    @property
    def distinct(self) -> int:
        """Rows of the Dataset in it."""
        return len(self.once)


@dataclass(frozen=True)
class Parts:
    """The splits. ``test`` is touched once, at the end. ``held``: rows to calibrate on, which nothing else sees.

    ``barred``: positions in the Dataset of rows that a repair keeps out of every training; they may judge.
    """

    train: Part
    valid: Part
    test: Part
    barred: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    held: Part | None = None

    @property
    def teaching(self) -> Part:
        """See ``teaching``."""
        return teaching(self.train, self.valid, self.barred)


def teaching(train: Part, valid: Part, barred: np.ndarray) -> Part:
    """The rows of training and validation, in this order, that a last training may learn from."""
    return joined(train, taken(valid, np.flatnonzero(~np.isin(valid.rows, barred))))


def taken(part: Part, positions: np.ndarray) -> Part:
    """The rows at these positions, in this order."""
    return Part(tuple(x[positions] for x in part.inputs), part.y[positions], part.rows[positions])


def joined(first: Part, second: Part) -> Part:
    """The rows of both parts, in order."""
    return Part(
        inputs=tuple(np.concatenate(pair) for pair in zip(first.inputs, second.inputs, strict=True)),
        y=np.concatenate([first.y, second.y]),
        rows=np.concatenate([first.rows, second.rows]),
    )


def take(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """The data set with these rows only, in this order."""
    return replace(
        dataset,
        table=dataset.table.iloc[rows].reset_index(drop=True),
        target=dataset.target.iloc[rows].reset_index(drop=True),
        arrays={name: array[rows] for name, array in dataset.arrays.items()},
        split=None if dataset.split is None else dataset.split[rows],
        group=None if dataset.group is None else dataset.group[rows],
        time=None if dataset.time is None else dataset.time[rows],
        weight=None if dataset.weight is None else dataset.weight[rows],
    )
