"""Plain columns (numbers, categories, dates) to one float32 matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from automl.data.columns import ColumnKind
from automl.data.dataset import Dataset
from automl.data.encode.category import CategoryColumn
from automl.data.encode.dates import DateColumn
from automl.data.encode.number import NumberColumn
from automl.data.progress import track
from automl.data.quality.parse import column_of
from automl.types import Input

# Rows encoded at a time: bounds the float64 and text copies made on the way, whatever the number of rows.
CHUNK = 1 << 16
Column = NumberColumn | CategoryColumn | DateColumn
_COLUMNS: dict[str, Any] = {"numeric": NumberColumn, "categorical": CategoryColumn, "datetime": DateColumn}


@dataclass(frozen=True)
class TableEncoder:
    """Columns in their order, each as one or more encoded columns; numeric ones stand before categorical codes."""

    columns: tuple[Column, ...]
    name: str = "table"
    why: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def fit(cls, train: pd.DataFrame, kinds: Mapping[str, ColumnKind]) -> TableEncoder:
        """``train``: the training rows. Columns that cannot tell one row from another there are left out."""
        columns: list[Column] = []
        left_out: list[str] = []
        for name, kind in kinds.items():
            fitted = None if kind == "empty" else _COLUMNS[kind].fit(name, train[name])
            if fitted is None or len(fitted.cardinalities) == 0:
                left_out.append(f"{name} ({_nothing_in(column_of(train, name))})")
            else:
                columns.append(fitted)
        why = []
        if columns:
            count = {k: sum(isinstance(c, t) for c in columns) for k, t in _COLUMNS.items()}
            why.append("table: " + ", ".join(f"{n} {k}" for k, n in count.items() if n) + " columns")
        if left_out:
            shown = ", ".join(left_out[:5]) + (", ..." if len(left_out) > 5 else "")
            why.append(f"{len(left_out)} columns say nothing in the training rows and are left out: {shown}")
        return cls(tuple(columns), why=tuple(why))

    def order(self) -> np.ndarray:
        """Positions that bring numeric outputs to the front, each group in column order."""
        cards = np.array([c for column in self.columns for c in column.cardinalities], dtype=np.int64)
        return np.argsort(cards > 0, kind="stable")

    @property
    def input(self) -> Input:
        cards = [c for column in self.columns for c in column.cardinalities]
        ordered = tuple(cards[i] for i in self.order())
        return Input(self.name, "tabular", (len(cards),), cardinalities=ordered)

    @property
    def names(self) -> tuple[str, ...]:
        """A name per encoded column: ``age``, ``age is missing``, ``city``."""
        names = [n for column in self.columns for n in column.names]
        return tuple(names[i] for i in self.order())

    def places(self) -> dict[str, np.ndarray]:
        """Raw column -> the positions that it has in an encoded row, int (1 or more,)."""
        owner = np.repeat(np.arange(len(self.columns)), [len(c.cardinalities) for c in self.columns])[self.order()]
        return {column.name: np.flatnonzero(owner == i) for i, column in enumerate(self.columns)}

    @property
    def fields(self) -> tuple[dict[str, Any], ...]:
        return tuple(column.field for column in self.columns)

    def transform(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """float32 (rows, columns)."""
        order = self.order()
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        out = np.empty((len(rows), len(order)), dtype=np.float32)
        for start in track(range(0, len(rows), CHUNK), "encoding the table", -(-len(rows) // CHUNK)):
            chunk = rows[start : start + CHUNK]
            at = 0
            for column in self.columns:
                width = len(column.cardinalities)
                values = column.transform(dataset.table[column.name].iloc[chunk])
                out[start : start + len(chunk), place[at : at + width]] = values
                at += width
        return out

    def to_json(self) -> dict[str, Any]:
        kinds = {t: k for k, t in _COLUMNS.items()}
        return {"name": self.name, "columns": [{"kind": kinds[type(c)], **c.to_json()} for c in self.columns]}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> TableEncoder:
        columns = []
        for one in state["columns"]:
            fields = dict(one)
            columns.append(_COLUMNS[fields.pop("kind")].from_json(fields))
        return cls(tuple(columns), state["name"])


def _nothing_in(column: pd.Series) -> str:
    """Why a column cannot be encoded."""
    distinct = column.nunique()
    return "empty" if distinct == 0 else "constant" if distinct == 1 else "hardly a value stands in two rows"
