"""The answers of a bundle for a chunk of rows, as columns; rows that it cannot read have none, and a reason."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from automl.data.encode.rows import extreme
from automl.deploy.bundle import Bundle
from automl.errors import UserError
from automl.uncertainty.sets import decide
from experiments.predict.rows import Chunk

HOPELESS = 1000
"""Rows: when none of so many can be read it is the file that does not fit the model."""

_WARNINGS = "automl.data.encode"  # the logger
_ROW = re.compile(r"\bin row (\d+)")


@dataclass(frozen=True)
class Answered:
    """``table``: one row per row of the chunk. ``bad``: row of the input -> why it has none. ``notes``: warnings."""

    table: pa.Table
    bad: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Answers:
    """Of one bundle. ``level``: of intervals or sets, None for none. ``any``: whether a row was answered yet."""

    def __init__(self, bundle: Bundle, level: float | None = None) -> None:
        """Raises UserError where the bundle has no intervals or sets."""
        self.bundle, self.level, self.any, self.failed = bundle, level, False, 0
        self.classes = pa.array(bundle.task.classes, pa.string())
        self.value = pa.float64() if bundle.encoding.target.center else pa.float32()
        if level is not None:
            with heard():
                self._columns([{f["name"]: extreme(f, 0) for f in bundle.encoding.fields}])

    def schema(self, files: bool) -> pa.Schema:
        """row, file (where each row is a file), prediction, p_CLASS, and what ``level`` asks for."""
        first = [("row", pa.int64()), *([("file", pa.string())] if files else [])]
        if self.bundle.task.kind == "regression":
            ends = [("low", pa.float64()), ("high", pa.float64())]
            return pa.schema([*first, ("prediction", self.value), *(ends if self.level else [])])
        shares = [(f"p_{name}", pa.float32()) for name in self.bundle.task.classes]
        sets = [("set", pa.list_(pa.string())), ("credibility", pa.float64())]
        return pa.schema([*first, ("prediction", pa.string()), *shares, *(sets if self.level else [])])

    def of(self, chunk: Chunk) -> Answered:
        """The answers for a chunk. Raises UserError when no row could be read, of ``HOPELESS`` and more."""
        bad = dict(chunk.bad)
        notes: list[str] = []
        parts = list(self._answered(chunk, 0, len(chunk.places), bad, notes))
        table = self._table(chunk, parts)
        return Answered(table, {chunk.start + place: why for place, why in sorted(bad.items())}, tuple(notes))

    def _answered(
        self, chunk: Chunk, a: int, b: int, bad: dict[int, str], notes: list[str]
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """(places, columns) of the rows a to b; when one cannot be read, of both halves."""
        if a == b:
            return
        try:
            with heard() as warned:
                columns = self._columns(chunk.load(a, b))
        except UserError as error:
            if b - a > 1:
                middle = (a + b) // 2
                yield from self._answered(chunk, a, middle, bad, notes)
                yield from self._answered(chunk, middle, b, bad, notes)
                return
            place = int(chunk.places[a])
            bad[place] = _ROW.sub("", str(error)).replace("  ", " ")
            self.failed += 1
            if not self.any and self.failed >= HOPELESS:
                raise UserError(
                    f"none of the first {HOPELESS:,} rows can be read; row {chunk.start + place}: {bad[place]}"
                ) from error
            return
        self.any = True
        rows = chunk.start + chunk.places[a:b]
        notes += [_ROW.sub(lambda found: f"in row {rows[int(found[1]) - 1]}", text) for text in warned]
        yield chunk.places[a:b], columns

    def _columns(self, rows: Any) -> dict[str, np.ndarray]:
        """Name -> one value per row; of classes their index, of sets (rows, classes) of bool."""
        told = self.bundle.answer(rows, self.level)
        if told.probabilities is None:
            ends = {} if told.interval is None else {"low": told.interval[:, 0], "high": told.interval[:, 1]}
            return {"prediction": told.prediction, **ends}
        shares = {f"p_{name}": told.probabilities[:, i] for i, name in enumerate(self.bundle.task.classes)}
        sure = (
            {} if told.sets is None or told.credibility is None else {"set": told.sets, "credibility": told.credibility}
        )
        return {"prediction": decide(told.probabilities, self.bundle.decision), **shares, **sure}

    def _table(self, chunk: Chunk, parts: list[tuple[np.ndarray, dict[str, np.ndarray]]]) -> pa.Table:
        schema = self.schema(chunk.files is not None)
        missing = np.ones(chunk.count, dtype=bool)
        for places, _ in parts:
            missing[places] = False
        columns: dict[str, Any] = {"row": pa.array(np.arange(chunk.start, chunk.start + chunk.count))}
        if chunk.files is not None:
            columns["file"] = pa.array(chunk.files, pa.string())
        for name in schema.names[len(columns) :]:
            columns[name] = self._column(schema.field(name).type, name, parts, missing)
        return pa.table(columns, schema=schema)

    def _column(self, kind: pa.DataType, name: str, parts: Any, missing: np.ndarray) -> pa.Array:
        """The parts at their places, missing elsewhere."""
        shape = (len(missing), len(self.classes)) if name == "set" else (len(missing),)
        whole = np.zeros(shape, dtype=bool if name == "set" else np.int64 if kind == pa.string() else np.float64)
        for places, columns in parts:
            whole[places] = columns[name]
        if name == "set":
            ends = np.concatenate([[0], np.cumsum(whole.sum(1))]).astype(np.int32)
            return pa.ListArray.from_arrays(ends, self.classes.take(np.nonzero(whole)[1]), mask=pa.array(missing))
        if kind == pa.string():
            return self.classes.take(pa.array(whole, mask=missing))
        return pa.array(whole.astype(kind.to_pandas_dtype()), mask=missing)


@contextmanager
def heard() -> Iterator[list[str]]:
    """What is logged of the rows meanwhile is kept, not printed: a file of many chunks would tell it many times."""
    found: list[str] = []
    handler, logger = logging.Handler(), logging.getLogger(_WARNINGS)
    handler.emit = lambda record: found.append(record.getMessage())
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield found
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
