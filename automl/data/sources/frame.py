"""Data that is already in memory: pandas, numpy, or what has ``to_pandas`` (polars, pyarrow), from Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.read.arrays import as_modality
from automl.data.read.files import short
from automl.data.read.plain import as_pandas, plain_array, plain_names
from automl.data.read.words import splits_of
from automl.data.sources.build import asked_of, from_arrays, from_table
from automl.errors import UserError


@dataclass
class FrameSource:
    """A DataFrame that holds the target (``target`` names the column), or inputs ``data`` and a target array ``y``.

    ``data``: DataFrame, or array (rows, ...) of columns, images or series; None raises UserError, as a frame can only
    come from Python. ``split``: train / valid / test per row, or None. ``modality``: what an array holds (tabular,
    image, audio, series), or a mapping of columns as of ``FileSource``; None: found. ``weight``: above 0 per row, how
    much it counts in training and in choosing the model; None: all alike.
    """

    data: Any = None
    y: Any = None
    target: str | None = None
    group: str | None = None
    time: str | None = None
    split: Any = None
    name: str | None = None
    modality: str | Mapping[str, str] | None = None
    weight: Any = None

    def load(self) -> Dataset:
        dataset = self._load()
        return dataset if self.weight is None else replace(dataset, weight=self._weight(len(dataset)))

    def _load(self) -> Dataset:
        if self.data is None:
            raise UserError(
                "data=frame needs a DataFrame from Python: FrameSource(df, target='y'); for a file use data=file"
            )
        name = self.name or "frame"
        data = plain_array(self.data) if isinstance(self.data, np.ndarray) else as_pandas(self.data)
        if isinstance(data, np.ndarray) and (data.ndim > 2 or (isinstance(self.modality, str) and data.ndim == 2)):
            if self.modality is not None and not isinstance(self.modality, str):
                raise UserError(f"data.modality={dict(self.modality)} is for columns; this array has none: give a word")
            if self.y is None:
                raise UserError("data=frame with an array needs y: FrameSource(x, y)")
            for option in ("target", "group", "time"):
                if getattr(self, option) is not None:
                    raise UserError(f"data.{option}={getattr(self, option)} names a column; this array has none")
            y = self._answers(len(data))
            x, modality, why = as_modality(data, self.modality)
            split = None if self.split is None else self._split(len(y))
            return from_arrays(x, y, modality, name=name, origin=name, split=split, notes=(why,))
        table = data if isinstance(data, pd.DataFrame) else _as_frame(data)
        table, notes = self._without_index(table)
        table = plain_names(table, name)  # one level of names, before one is added
        asked = asked_of(self.modality, table, name)
        target = self.target
        if self.y is not None:
            target = target or "target"
            names = [str(v) for v in np.ravel(np.asarray(self.y, dtype=object))] if len(self.y) < len(table) else []
            if names and set(names) <= set(table.columns):
                told = short(", ".join(names))
                raise UserError(f"y names columns of data ({told}); one target is learned: target={names[0]!r}")
            answers = self._answers(len(table))
            if target in table.columns:
                raise UserError(f"data already has a column {target!r}; drop y or name it with target=")
            table[target] = answers
        split = None if self.split is None else self._split(len(table))
        if len(table) == 0:
            raise UserError("the DataFrame has no rows; give at least one row per class")
        return from_table(
            table,
            name=name,
            origin=name,
            target=target,
            group=self.group,
            time=self.time,
            split=split,
            modalities=asked,
            notes=notes,
        )

    def _answers(self, rows: int) -> np.ndarray:
        """y, (rows,). Raises UserError unless that is one value per row."""
        shape = np.shape(self.y)
        if len(shape) > 1 and shape[1:] != (1,):
            raise UserError(f"y has shape {shape}; one target is learned: give one value per row, ({rows},)")
        if len(self.y) != rows:
            raise UserError(f"y has {len(self.y)} values for {rows} rows of data; give one per row")
        return plain_array(np.asanyarray(self.y)).reshape(-1)

    def _without_index(self, table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        """The frame with the levels of its index that the user names as columns, and a note of those left out."""
        wanted = (self.target, self.group, self.time)
        named = [n for n in table.index.names if n is not None and n in wanted and n not in table.columns]
        if named:
            table = table.reset_index(level=named)
        rest = [str(n) for n in table.index.names if n is not None]
        return table, [f"the index ({', '.join(rest)}) is no feature; reset_index() makes it one"] if rest else []

    def _weight(self, rows: int) -> np.ndarray | None:
        """None where all weigh the same."""
        try:
            weight = plain_array(np.asanyarray(self.weight)).astype(np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"weight holds what is no number ({short(str(error), 80)}); give one per row") from error
        if weight.shape != (rows,):
            raise UserError(f"weight has shape {weight.shape} for {rows} rows of data; give one per row")
        if wrong := np.flatnonzero(~(np.isfinite(weight) & (weight > 0))).tolist():
            raise UserError(
                f"weight holds {weight[wrong[0]]:g} in row {wrong[0] + 1}; give numbers above 0, or leave the row out"
            )
        return None if (weight == weight[0]).all() else weight

    def _split(self, rows: int) -> np.ndarray:
        if len(self.split) != rows:
            raise UserError(f"split has {len(self.split)} words for {rows} rows of data; give one per row")
        return splits_of(self.split, "split")


def _as_frame(data: Any) -> pd.DataFrame:
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise UserError(
            f"data is no table: its rows differ in length ({short(str(error), 80)}); give equal rows"
        ) from error
    if array.ndim != 2:
        raise UserError(f"data has shape {array.shape}; give a DataFrame or an array with at least two axes")
    return pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])
