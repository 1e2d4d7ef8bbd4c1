"""From a raw table or arrays to a Dataset: which column is the target, which one the split, group or time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from automl.data.dataset import TEST, TRAIN, VALID, Dataset
from automl.data.quality.parse import column_of, to_date
from automl.data.read.files import short
from automl.errors import UserError
from automl.types import Modality

TARGET_NAMES = ("target", "label", "class", "y")
SPLIT_NAME = "split"
_SPLITS = {
    **dict.fromkeys(("train", "training", "tr"), TRAIN),
    **dict.fromkeys(("valid", "validation", "val", "dev"), VALID),
    **dict.fromkeys(("test", "testing", "te"), TEST),
}

_NESTED = (list, dict, set, tuple, np.ndarray, pd.Series)


def from_table(
    table: pd.DataFrame,
    *,
    name: str,
    origin: str,
    target: str | None = None,
    group: str | None = None,
    time: str | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    modalities: Mapping[str, Modality] | None = None,
    notes: Sequence[str] = (),
) -> Dataset:
    """Split a table into features, target and the columns that say how to split. ``arrays``: decoded from files.

    ``target`` None: the column named target, label, class or y, else the last one. ``group`` and ``time`` name
    columns that are no features. Raises UserError when a named column is absent or no feature is left.
    """
    table = _plain_cells(_plain_names(table, origin), origin)
    notes = list(notes)
    split = _split_column(table, target, origin, notes)
    if target is None:
        target = _find_target(table, notes, without=[c for c in (group, time, split and split[0]) if c])
    taken = {"data.target": target, "data.group": group, "data.time": time}
    for option, column in taken.items():
        if column is not None and column not in table.columns:
            raise _absent(option, column, table, origin)
    named = [c for c in taken.values() if c is not None]
    if len(set(named)) < len(named):
        raise UserError(f"data.target, data.group and data.time must be different columns, got {', '.join(named)}")
    features = table.drop(columns=[*named, *([split[0]] if split else [])])
    if features.shape[1] == 0 and not arrays:
        raise UserError(
            f"{origin} has no column beside the target {target!r}; add columns to learn from "
            "(or is the delimiter of the file another? Set data.delimiter=...)"
        )
    return Dataset(
        name=name,
        table=features,
        target=column_of(table, target),
        arrays=dict(arrays or {}),
        split=split[1] if split else None,
        group=column_of(table, group).to_numpy() if group else None,
        time=_times(column_of(table, time), origin) if time else None,
        modalities=dict(modalities or {}),
        decoded=frozenset(arrays or ()),
        origin=origin,
        notes=tuple(notes),
    )


def from_arrays(
    x: np.ndarray,
    y: np.ndarray,
    modality: Modality,
    *,
    name: str,
    origin: str,
    split: np.ndarray | None = None,
    notes: Sequence[str] = (),
) -> Dataset:
    """A Dataset of one array input, or of columns x0, x1, ... when the modality is tabular."""
    target = pd.Series(y.reshape(-1), name="target")
    if target.dtype.kind == "S":
        target = target.str.decode("utf-8", errors="replace")
    if modality == "tabular":
        table, arrays = pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]), {}
    else:
        table, arrays = pd.DataFrame(index=range(len(y))), {modality: x}
    return Dataset(
        name=name,
        table=table,
        target=target,
        arrays=arrays,
        split=split,
        modalities={modality: modality} if arrays else {},
        origin=origin,
        notes=tuple(notes),
    )


def _plain_names(table: pd.DataFrame, origin: str) -> pd.DataFrame:
    if isinstance(table.columns, pd.MultiIndex):
        table = table.set_axis(["_".join(map(str, c)) for c in table.columns], axis=1)
    names = [str(c) for c in table.columns]
    repeated = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise UserError(f"column name {repeated[0]!r} stands twice in {origin}; rename one of them")
    return table.set_axis(pd.Index(names, dtype=object), axis=1).reset_index(drop=True)


def _plain_cells(table: pd.DataFrame, origin: str) -> pd.DataFrame:
    """Durations as seconds and periods as dates; lists, objects and complex numbers are refused by name."""
    changed: dict[str, pd.Series] = {}
    for name in map(str, table.columns):
        column = column_of(table, name)
        kind = column.dtype
        nested = pd.api.types.is_object_dtype(kind)
        at = next((i for i, v in enumerate(column) if isinstance(v, _NESTED)), None) if nested else None
        if at is not None:
            what = type(column.iloc[at]).__name__
            raise UserError(
                f"column {name!r} in {origin} holds a {what} in row {at + 1}; keep one number or text per cell, "
                "or give an array for images and series"
            )
        if kind.kind == "c":
            raise UserError(f"column {name!r} in {origin} holds complex numbers; give their parts as two columns")
        if kind.kind == "m":
            changed[name] = column.dt.total_seconds()
        elif isinstance(kind, pd.PeriodDtype):
            changed[name] = column.dt.to_timestamp()
    return table.assign(**changed) if changed else table


def _find_target(table: pd.DataFrame, notes: list[str], without: list[str]) -> str:
    by_lower = {str(c).lower(): str(c) for c in reversed(list(table.columns)) if c not in without}
    for name in TARGET_NAMES:
        if name in by_lower:
            notes.append(f"target: column {by_lower[name]!r}, by its name")
            return by_lower[name]
    rest = [str(c) for c in table.columns if c not in without]
    if not rest:
        raise UserError("the table has no column left for the target; set data.target=COLUMN")
    notes.append(f"target: column {rest[-1]!r}, the last one; set data.target=COLUMN for another")
    return rest[-1]


def _split_column(
    table: pd.DataFrame, target: str | None, origin: str, notes: list[str]
) -> tuple[str, np.ndarray | None] | None:
    """The column named split and its values as train / valid / test, unless its values say it is something else."""
    names = [c for c in table.columns if str(c).lower() == SPLIT_NAME and c != target]
    if not names:
        return None
    raw = column_of(table, names[0])
    words = raw.astype("string").str.strip().str.lower()
    known = words.isin(_SPLITS).to_numpy(dtype=bool)
    if not known.all():
        if known.mean() < 0.5:
            notes.append(f"column {names[0]!r} holds no train / valid / test: kept as a feature")
            return None
        row = int(np.flatnonzero(~known)[0])
        raise UserError(
            f"column {names[0]!r} in {origin} holds {short(str(raw.iloc[row]))!r} in row {row + 1}; "
            "use train, valid or test"
        )
    split = words.map(_SPLITS).to_numpy(dtype="<U5")
    missing = [s for s in (TRAIN, TEST) if s not in split]
    if TRAIN in missing:
        raise UserError(f"column {names[0]!r} in {origin} marks no row as train; mark some, or drop the column")
    if missing and VALID not in split:
        notes.append(f"column {names[0]!r} marks every row as train: a test split is drawn")
        return str(names[0]), None
    notes.append(f"split: as column {names[0]!r} says")
    return str(names[0]), split


def _absent(option: str, column: str, table: pd.DataFrame, origin: str) -> UserError:
    names = [str(c) for c in table.columns]
    close = [n for n in names if n.lower() == column.lower()] or names
    return UserError(
        f"column {column!r} not in {origin}; columns are: {short(', '.join(close), 120)}. Set {option}=..."
    )


def _times(column: pd.Series, origin: str) -> np.ndarray:
    """Times as numbers that only their order matters of."""
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=np.float64)
    else:
        dates = to_date(column).to_numpy(dtype="datetime64[us]")
        values = np.where(np.isnat(dates), np.nan, dates.astype(np.int64))
    if np.isnan(values).any():
        row = int(np.flatnonzero(np.isnan(values))[0])
        raise UserError(
            f"time column {column.name!r} in {origin} holds {short(column.iloc[row])!r} in row {row + 1}; "
            "give a date or a number in each row"
        )
    return values
