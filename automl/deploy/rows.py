"""One or a few raw rows to encoded inputs without pandas, whose fixed cost per column is milliseconds for a row.

    row -> cells -> numbers of all columns at once, codes and dates by the cell -> arrays

What rows mean is decided in ``automl.data.encode.rows``. This repeats it for plain cells only and gives the very same
arrays; where a row holds any other it answers None, and pandas is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset
from automl.data.encode.category import CategoryColumn
from automl.data.encode.dates import DateColumn
from automl.data.encode.encoding import Encoding
from automl.data.encode.media import array_of
from automl.data.encode.number import NumberColumn, soft_clip
from automl.data.encode.rows import serving_steps
from automl.data.encode.table import TableEncoder
from automl.data.encode.text import TextEncoder
from automl.data.quality.clean import clean_arrays
from automl.data.step import Step
from automl.deploy.cells import NOTHING, NUMBERS, category_reader, changed, date_reader, number_reader, value_of

Row = Mapping[str, Any]
MOST_ROWS = 512
"""From some two thousand rows on pandas is faster: ``level4 +experiment=bench/row``."""
_NO_TABLE = Dataset("rows", pd.DataFrame(), pd.Series(dtype=object))


class FastRows:
    """An encoding made ready for plain rows. Many threads may use it at once."""

    def __init__(self, encoding: Encoding, *, most: int = MOST_ROWS) -> None:
        self._most = most
        steps = serving_steps(encoding.fields, encoding.steps)
        self._names = frozenset(f["name"] for f in encoding.fields)
        self._columns: list[str] = []  # of cells, not of arrays
        self._parts: list[Callable[[Sequence[Row]], np.ndarray | None]] = []
        for encoder in encoding.encoders:
            if isinstance(encoder, TableEncoder):
                part = _Table(encoder, steps).encode
            else:
                part = _text(encoder, steps) if isinstance(encoder, TextEncoder) else _array(encoder, steps)
            self._parts.append(part)
            if isinstance(encoder, (TableEncoder, TextEncoder)):
                self._columns += [f["name"] for f in encoder.fields]

    def encode(self, rows: Any) -> tuple[np.ndarray, ...] | None:
        """What ``encoding.transform(encoding.dataset(rows))`` gives, bit for bit; None where only that can tell.

        ``rows``: a dict (name -> cell), or a list or tuple of up to ``most``; None for all else. Raises UserError
        for a picture, sound or series that is none, as the encoding does.
        """
        if isinstance(rows, dict):
            if not self._columns:
                return None  # columns of arrays, as likely as one row of them
            rows = (rows,)
        if not isinstance(rows, (list, tuple)) or not 0 < len(rows) <= self._most:
            return None
        for row in rows:
            if not isinstance(row, dict) or not row.keys() >= self._names or set(map(type, row)) != {str}:
                return None
        if len(rows) > 1 and not all(_alike([row[name] for row in rows]) for name in self._columns):
            return None
        encoded = []
        for part in self._parts:
            array = part(rows)
            if array is None:
                return None
            encoded.append(array)
        return tuple(encoded)


def _alike(cells: list[Any]) -> bool:
    """Whether the cells of a column are of one type, so that pandas reads none of them by what the others are."""
    kinds = set(map(type, cells)) - NOTHING
    return len(kinds) < 2 or kinds <= NUMBERS


class _Table:
    """A call of numpy costs as much as a dozen cells, so few are made, each for all columns at once."""

    def __init__(self, encoder: TableEncoder, steps: Sequence[Step]) -> None:
        own = {c.name: [s for s in steps if s.column == c.name] for c in encoder.columns}
        numbers = [c for c in encoder.columns if isinstance(c, NumberColumn)]
        dates = [c for c in encoder.columns if isinstance(c, DateColumn)]
        categories = [c for c in encoder.columns if isinstance(c, CategoryColumn)]
        scaled = [*numbers, *dates]
        self._numbers = [(c.name, number_reader(own[c.name])) for c in numbers]
        self._dates = [(c.name, date_reader(c, own[c.name])) for c in dates]
        self._categories = [(c.name, category_reader(c, own[c.name])) for c in categories]
        fills = [*(c.center for c in numbers), *(float(int(c.center)) for c in dates)]  # dates are whole seconds
        self._scales = [(fill, c.center, c.scale) for fill, c in zip(fills, scaled, strict=True)]
        self._curves = [(i, np.asarray(c.knots), np.asarray(c.heights)) for i, c in enumerate(numbers) if c.knots]
        self._codes = [(i, {v: n + 1 for n, v in enumerate(c.codes)}) for i, c in enumerate(numbers) if c.codes]
        self._flags = [i for i, c in enumerate(scaled) if c.flag]
        # Where the encoder puts what ``encode`` makes in the order below.
        place = iter(np.argsort(encoder.order()).tolist())
        places = {c.name: [next(place) for _ in c.names] for c in encoder.columns}
        cycles = [places[c.name][-2 * len(c.parts) :] for c in dates if c.parts]
        made = [
            *(places[c.name][0] for c in scaled),
            *(at for cycle in cycles for at in cycle[::2]),
            *(at for cycle in cycles for at in cycle[1::2]),
            *(at for c in categories for at in places[c.name]),
            *(places[c.name][1] for c in scaled if c.flag),
            *(places[c.name][-1] for c in numbers if c.codes),
        ]
        self._order = np.argsort(made)

    def encode(self, rows: Sequence[Row]) -> np.ndarray | None:
        """float32 (rows, columns)."""
        numbers: list[list[float]] = []
        angles: list[list[float]] = []
        others: list[list[float]] = []
        for row in rows:
            values: list[float] = []
            turned: list[float] = []
            other: list[float] = []
            for name, read in self._numbers:
                if (value := read(row[name])) is None:
                    return None
                values.append(value)
            for name, read in self._dates:
                if (moment := read(row[name])) is None:
                    return None
                values.append(moment[0])
                turned += moment[1:]
            for name, read in self._categories:
                if (code := read(row[name])) is None:
                    return None
                other += code
            other += [values[at] != values[at] for at in self._flags]
            other += [codes.get(values[at], 0) for at, codes in self._codes]
            numbers.append(values)
            angles.append(turned)
            others.append(other)
        scaled = soft_clip(np.array([self._scaled(values) for values in numbers], dtype=np.float64))
        for at, knots, heights in self._curves:
            fill = self._scales[at][0]
            scaled[:, at] = np.interp([fill if v[at] != v[at] else v[at] for v in numbers], knots, heights)
        turns = np.array(angles, dtype=np.float64)
        made = [scaled, np.sin(turns), np.cos(turns), np.array(others, dtype=np.float64)]
        out = np.concatenate(made, axis=1).take(self._order, axis=1)
        if any(v != v for turned in angles for v in turned):
            out[np.isnan(out)] = 0.0  # sine and cosine of no date
        return out.astype(np.float32)

    def _scaled(self, values: list[float]) -> list[float]:
        """One row as ``transform`` of each column scales it, missing values filled."""
        pairs = zip(values, self._scales, strict=True)
        return [((fill if v != v else v) - center) / scale for v, (fill, center, scale) in pairs]


def _text(encoder: TextEncoder, steps: Sequence[Step]) -> Callable[[Sequence[Row]], np.ndarray | None]:
    change = changed([s for s in steps if s.column == encoder.name])

    def encode(rows: Sequence[Row]) -> np.ndarray | None:
        texts: list[str] = []
        for row in rows:
            value = value_of(row[encoder.name])
            if value is None or change is None:
                return None
            value = change(value)
            if value == value and not isinstance(value, str):
                return None
            texts.append(value if isinstance(value, str) else "")
        return encoder.encode(texts)

    return encode


def _array(encoder: Any, steps: Sequence[Step]) -> Callable[[Sequence[Row]], np.ndarray]:
    (field,) = encoder.fields
    name = field["name"]

    def encode(rows: Sequence[Row]) -> np.ndarray:
        arrays = clean_arrays({name: array_of(field, [row[name] for row in rows])}, steps)
        return encoder.transform(replace(_NO_TABLE, arrays=arrays), np.arange(len(rows)))

    return encode
