"""Data that is already in memory: pandas or numpy, from Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.read.arrays import as_modality
from automl.data.read.files import short
from automl.data.sources.build import from_arrays, from_table
from automl.errors import UserError


@dataclass
class FrameSource:
    """A DataFrame that holds the target (``target`` names the column), or inputs ``data`` and a target array ``y``.

    ``data``: DataFrame, or array (rows, ...) of columns, images or series; None raises UserError, as a frame can only
    come from Python. ``split``: train / valid / test per row, or None. ``modality``: what an
    array holds (tabular, image, audio, series), None: found.
    """

    data: Any = None
    y: Any = None
    target: str | None = None
    group: str | None = None
    time: str | None = None
    split: Any = None
    name: str | None = None
    modality: str | None = None

    def load(self) -> Dataset:
        if self.data is None:
            raise UserError(
                "data=frame needs a DataFrame from Python: FrameSource(df, target='y'); for a file use data=file"
            )
        name = self.name or "frame"
        if isinstance(self.data, np.ndarray) and (self.data.ndim > 2 or (self.modality and self.data.ndim == 2)):
            if self.y is None:
                raise UserError("data=frame with an array needs y: FrameSource(x, y)")
            for option in ("target", "group", "time"):
                if getattr(self, option) is not None:
                    raise UserError(f"data.{option}={getattr(self, option)} names a column; this array has none")
            y = np.asarray(self.y)
            if len(y) != len(self.data):
                raise UserError(f"y has {len(y)} values for {len(self.data)} rows of data; give one per row")
            x, modality, why = as_modality(self.data, self.modality)
            split = None if self.split is None else np.asarray(self.split, dtype="<U5")
            return from_arrays(x, y, modality, name=name, origin=name, split=split, notes=(why,))
        table = self.data.copy() if isinstance(self.data, pd.DataFrame) else _as_frame(self.data)
        target = self.target
        if self.y is not None:
            target = target or "target"
            shape = np.shape(self.y)
            if len(shape) > 1 and shape[1:] != (1,):
                raise UserError(f"y has shape {shape}; give one value per row, shape ({len(table)},)")
            if len(self.y) != len(table):
                raise UserError(f"y has {len(self.y)} values for {len(table)} rows of data; give one per row")
            if target in table.columns:
                raise UserError(f"data already has a column {target!r}; drop y or name it with target=")
            table[target] = np.asarray(self.y).reshape(-1)
        if self.split is not None:
            table["split"] = np.asarray(self.split)
        if len(table) == 0:
            raise UserError("the DataFrame has no rows; give at least one row per class")
        return from_table(table, name=name, origin=name, target=target, group=self.group, time=self.time)


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
