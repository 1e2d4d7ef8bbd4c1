"""Warnings of rows: what training did not see, told of raw cells by what the encoding knows of its fields.

A note is no refusal: the row is answered, by what the model makes of such a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from automl.data.cells.words import BOOLS, text_of
from automl.data.encode.category import CategoryColumn
from automl.data.encode.dates import DateColumn
from automl.data.encode.encoding import Encoding
from automl.data.encode.number import NumberColumn
from automl.data.encode.rows import serving_steps
from automl.data.encode.table import TableEncoder
from automl.deploy.cells import changed, date_reader, number_reader, value_of

MOST = 100  # of one request
ABOVE, BELOW = "above all that training saw", "below all that training saw"
MISSING = "missing, which it never was in training"
UNKNOWN = "a category that the model does not know"
NO_NUMBER, NO_DATE = "not read as a number: taken as missing", "not read as a date: taken as missing"

Look = Callable[[Any], str | None]


class _Number(NamedTuple):
    name: str
    low: float
    high: float
    look: Look


class Notes:
    """Of one encoding. Most cells are numbers within bounds or known texts, and take one comparison."""

    def __init__(self, encoding: Encoding) -> None:
        steps = serving_steps(encoding.fields, encoding.steps)
        self.numbers: list[_Number] = []
        self.others: list[tuple[str, frozenset[Any], Look]] = []
        for encoder in encoding.encoders:
            for column in encoder.columns if isinstance(encoder, TableEncoder) else ():
                own = [s for s in steps if s.column == column.name]
                if isinstance(column, NumberColumn):
                    self.numbers.append(_Number(column.name, column.low, column.high, _number(column, own)))
                elif isinstance(column, CategoryColumn):
                    known = frozenset(column.field["categories"])
                    self.others.append((column.name, known, _category(column, known, own)))
                else:
                    self.others.append((column.name, frozenset(), _date(column, own)))

    def of(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """``{"row", "field", "what"}`` of each cell that is told, of the first ``MOST``."""
        found: list[dict[str, Any]] = []
        for at, row in enumerate(rows):
            for name, low, high, look in self.numbers:
                cell: Any = row.get(name)
                if type(cell) in _NUMBERS and low <= cell <= high:
                    continue
                if what := look(cell):
                    found.append({"row": at, "field": name, "what": what})
            for name, known, look in self.others:
                cell = row.get(name)
                if type(cell) is str and cell in known:
                    continue
                if what := look(cell):
                    found.append({"row": at, "field": name, "what": what})
            if len(found) >= MOST:
                return found[:MOST]
        return found


_NUMBERS = frozenset({int, float})


def _number(column: NumberColumn, steps: Sequence[Any]) -> Look:
    if changed(steps) is None:
        return _nothing
    read = number_reader(steps)

    def look(cell: Any) -> str | None:
        value = read(cell)
        if value is None:
            return NO_NUMBER
        if value != value:
            return None if column.flag else MISSING
        return BELOW if value < column.low else ABOVE if value > column.high else None

    return look


def _category(column: CategoryColumn, known: frozenset[str], steps: Sequence[Any]) -> Look:
    change = changed(steps)
    if change is None:
        return _nothing
    gaps, words = column.field["missing"], {k.lower() for k in known if k.lower() in BOOLS}

    def look(cell: Any) -> str | None:
        if isinstance(cell, bool) and str(cell).lower() in words:
            return None
        value = value_of(cell)
        if value is None:
            return UNKNOWN
        value = change(value)
        if value != value:
            return None if gaps else MISSING
        return None if text_of(value) in known else UNKNOWN

    return look


def _date(column: DateColumn, steps: Sequence[Any]) -> Look:
    read = date_reader(column, steps)

    def look(cell: Any) -> str | None:
        moment = read(cell)
        if moment is None:
            return NO_DATE if isinstance(cell, str) and len(cell) <= 64 else None
        return MISSING if moment[0] != moment[0] and not column.flag else None

    return look


def _nothing(cell: Any) -> None:
    return None
