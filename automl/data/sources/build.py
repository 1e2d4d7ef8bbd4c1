"""From a raw table or arrays to a Dataset: which column is the target, which one the split, group or time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from automl.data.cells.reading import reading_of, to_date, to_number
from automl.data.cells.words import plain_text
from automl.data.dataset import TEST, TRAIN, VALID, Dataset
from automl.data.quality.parse import column_of, floats, is_texty
from automl.data.read.files import short
from automl.data.read.media import Loaded
from automl.data.read.plain import plain, plain_names
from automl.data.read.typed import typed
from automl.data.read.words import SPLITS, TARGET_NAMES, splits_of
from automl.errors import UserError
from automl.types import Modality

SPLIT_NAME = "split"


def refuse_given(source: Any, options: Sequence[str], why: str) -> None:
    """Raises UserError for the first of these options of a source that was set: here it would do nothing."""
    for field in dataclasses.fields(source):
        value = getattr(source, field.name)
        if field.name in options and value != field.default:
            raise UserError(f"data.{field.name}={value} {why}")


def asked_of(modality: str | Mapping[str, str] | None, table: pd.DataFrame, origin: str) -> dict[str, Modality]:
    """What the user says columns are. Raises UserError for an unknown column or word."""
    if not modality:
        return {}
    if isinstance(modality, str):
        raise UserError(f"data.modality={modality!r} is for arrays; {origin} is a table: give {{COLUMN: {modality}}}")
    for column, word in modality.items():
        if column not in table.columns:
            names = short(", ".join(map(str, table.columns)), 120)
            raise UserError(
                f"column {column!r} not in {origin}; columns are: {names}. Set data.modality={{COLUMN: text}}"
            )
        if word not in ("text", "tabular"):
            raise UserError(f"data.modality of column {column!r} is {word!r}; use text or tabular")
    return {plain_text(str(c)): cast(Modality, w) for c, w in modality.items()}


def from_table(
    table: pd.DataFrame,
    *,
    name: str,
    origin: str,
    target: str | None = None,
    group: str | None = None,
    time: str | None = None,
    split: np.ndarray | None = None,
    media: Mapping[str, Loaded] | None = None,
    modalities: Mapping[str, Modality] | None = None,
    notes: Sequence[str] = (),
    decimal: str | None = None,
) -> Dataset:
    """Split a table into features, target and the columns that say how to split. ``media``: read from files.

    ``target`` None: the column named target, label, class or y, else the last one. ``group`` and ``time`` name
    columns that are no features. ``split``: train / valid / test per row; None: as a column named split says.
    ``decimal``: when all cells are texts, the sign that begins decimals (see ``automl.data.read.table.Read``); the
    target's texts stay as they are.
    Raises UserError when a named column is absent or no feature is left.
    """
    media = media or {}
    target, group, time = (_one(o, c, origin) for o, c in (("target", target), ("group", group), ("time", time)))
    table = plain_names(table, origin)
    notes = list(notes)
    marked = None if split is not None else _split_column(table, target, origin, notes)
    if target is None:
        target = _find_target(table, notes, without=[c for c in (group, time, marked and marked[0]) if c])
    taken = {"data.target": target, "data.group": group, "data.time": time}
    for option, column in taken.items():
        if column is not None and column not in table.columns:
            raise _absent(option, column, table, origin)
    named = [c for c in taken.values() if c is not None]
    if len(set(named)) < len(named):
        raise UserError(f"data.target, data.group and data.time must be different columns, got {', '.join(named)}")
    answers = answers_of(column_of(table, target), origin)
    table = table.drop(columns=[target, *([marked[0]] if marked else [])])
    table, done = plain(table, origin) if decimal is None else typed(table, decimal)
    features = table.drop(columns=[c for c in (group, time) if c])
    if odd := next((c for c in modalities or {} if c not in features.columns and c not in media), None):
        raise UserError(f"data.modality of column {odd!r} does nothing: it is no input of {origin}; leave it out")
    if features.shape[1] == 0 and not media and time:
        raise UserError(
            f"{origin} has no column beside the target {target!r} and the time {time!r}; to forecast, add columns of "
            f"what was known before, such as {target}_lag1 with the value of the row before"
        )
    if features.shape[1] == 0 and not media:
        raise UserError(
            f"{origin} has no column beside the target {target!r}; add columns to learn from "
            "(or is the delimiter of the file another? Set data.delimiter=...)"
        )
    return Dataset(
        name=name,
        table=features,
        target=answers,
        arrays={c: loaded.array for c, loaded in media.items()},
        split=marked[1] if marked else split,
        group=column_of(table, group).to_numpy() if group else None,
        time=_times(column_of(table, time), origin, decimal or "") if time else None,
        modalities=dict(modalities or {}),
        decoded=frozenset(media),
        white={c: loaded.white for c, loaded in media.items() if loaded.white is not None},
        origin=origin,
        notes=tuple(notes),
        steps=tuple(s for s in done if s.column in features.columns),
        decimal=decimal or "",
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


def answers_of(column: pd.Series, origin: str) -> pd.Series:
    """A target of any type as numbers, dates and texts; true and false keep their names."""
    table, steps = plain(column.to_frame(), origin)
    if any(step.do == "bool" for step in steps):
        return column.astype(object).where(column.notna(), None)
    return column_of(table, str(column.name))


def _one(option: str, column: object, origin: str) -> str | None:
    """The name of one column."""
    if column is None or isinstance(column, str):
        return column
    if isinstance(column, Sequence) or not np.isscalar(column):
        names = ", ".join(map(str, column)) if isinstance(column, Sequence) else type(column).__name__
        raise UserError(f"data.{option} names several columns of {origin} ({short(names)}); one is learned: name one")
    return str(column)


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
    known = raw.astype("string").str.strip().str.lower().isin(SPLITS)
    if known.mean() < 0.5:
        notes.append(f"column {names[0]!r} holds no train / valid / test: kept as a feature")
        return None
    split = splits_of(raw, f"column {names[0]!r} in {origin}")
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


def _times(column: pd.Series, origin: str, decimal: str) -> np.ndarray:
    """Times as numbers that only their order matters of."""
    reading = reading_of(column, decimal) if is_texty(column) else None
    if reading and reading.what == "number":
        column = to_number(column, *reading.values)
    if pd.api.types.is_numeric_dtype(column):
        values = floats(column)
    else:
        notation = reading.values if reading and reading.what == "date" else ()
        dates = to_date(column, *notation).to_numpy(dtype="datetime64[us]")
        values = np.where(np.isnat(dates), np.nan, dates.astype(np.int64))
    if np.isnan(values).any():
        row = int(np.flatnonzero(np.isnan(values))[0])
        raise UserError(
            f"time column {column.name!r} in {origin} holds {short(column.iloc[row])!r} in row {row + 1}; "
            "give a date or a number in each row"
        )
    return values
