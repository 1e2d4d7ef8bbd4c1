"""The encoding of a table's columns in standard ONNX operators: ``automl.data.encode``, and the steps before it.

Every raw column is a tensor (rows, 1): numbers and seconds since 1970 float64 with NaN for a missing one, texts string
with "" for a missing one. The arithmetic is float64 as it is there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto

from automl.data.cells.words import MISSING as MISSING_WORDS
from automl.data.encode.category import MISSING, CategoryColumn
from automl.data.encode.dates import DAY, DateColumn
from automl.data.encode.number import NumberColumn
from automl.data.encode.table import Column
from automl.data.step import Step
from automl.deploy.nodes import ML, Graph, Value

MOST_SECONDS = 9.2e12  # of datetime64[us]; below it whole seconds are exact as float64
FIRST_OF_MARCH, NEW_YEAR = 719_468, 719_162  # days from 0000-03-01, and from 0001-01-01, to 1970-01-01


def repaired(x: Value, column: NumberColumn, steps: Sequence[Step]) -> Value:
    """The steps that concern numbers, as ``automl.data.quality.clean`` makes them; words have ``blanks``."""
    for step in (s for s in steps if s.column == column.name):
        if step.do == "finite":
            x = x.where(x.missing(), np.nan)
        elif step.do == "bool":
            x = x.where(x.graph.add("Not", x.equals(0.0) | x.equals(1.0)), np.nan)
        elif step.do == "blank":
            for value in step.values:
                if isinstance(value, (int, float)):
                    x = x.where(x.equals(float(value)), np.nan)
        elif step.do == "clip":
            low, high = map(float, step.values)
            x = x.where(x < low, low)
            x = x.where(x > high, high)
    return x


def blanks(column: CategoryColumn, steps: Sequence[Step]) -> set[str]:
    """The words that mean "no value" in a column, in any case of their letters."""
    own = [s for s in steps if s.column == column.name]
    words = {v for s in own if s.do == "blank" for v in s.values if isinstance(v, str)}
    if any(s.do == "placeholder" for s in own):
        cases = (itertools.product(*({c.lower(), c.upper()} for c in word)) for word in MISSING_WORDS)
        words |= {"".join(letters) for case in cases for letters in case}
    return words


@dataclass
class _Blocks:
    """Encoded columns (rows, n) and, for each, the place (raw column, which of its encoded ones) that it has."""

    values: list[Value] = field(default_factory=list)
    places: list[tuple[str, int]] = field(default_factory=list)

    def put(self, value: Value, places: Sequence[tuple[str, int]]) -> None:
        self.values.append(value.cast(TensorProto.FLOAT))
        self.places += places


def encode(graph: Graph, columns: Sequence[Column], steps: Sequence[Step], output: str) -> Value:
    """Return float32 (rows, encoded) named ``output``, as ``TableEncoder.transform``: numbers stand before codes.

    The graph has an input (rows, 1) of each column's name.
    """
    blocks = _Blocks()
    if numbers := [c for c in columns if isinstance(c, NumberColumn)]:
        _numbers(numbers, _side_by_side([repaired(graph.value(c.name), c, steps) for c in numbers]), blocks)
    if dates := [c for c in columns if isinstance(c, DateColumn)]:
        _dates(dates, _side_by_side([graph.value(c.name) for c in dates]), blocks)
    for column in columns:
        if isinstance(column, CategoryColumn):
            _category(column, graph.value(column.name), blanks(column, steps), blocks)
    cards = [((c.name, i), card) for c in columns for i, card in enumerate(c.cardinalities)]
    order = [place for place, card in cards if not card] + [place for place, card in cards if card]
    at = {place: i for i, place in enumerate(blocks.places)}
    whole = _side_by_side(blocks.values)
    return graph.add("Gather", whole, np.array([at[p] for p in order]), axis=1, output=output)


def _side_by_side(columns: Sequence[Value]) -> Value:
    return columns[0].graph.add("Concat", *columns, axis=1)


def _numbers(columns: Sequence[NumberColumn], x: Value, blocks: _Blocks) -> None:
    """See ``automl.data.encode.number``. ``x``: (rows, columns)."""
    missing = x.missing()
    center = np.array([c.center for c in columns])
    filled = x.where(missing, center)
    plain = [i for i, c in enumerate(columns) if not c.knots]
    bent = [i for i, c in enumerate(columns) if c.knots]
    coded = [i for i, c in enumerate(columns) if c.codes]
    if plain:
        scale = np.array([columns[i].scale for i in plain])
        blocks.put(_soft_clip((filled.pick(plain) - center[plain]) / scale), [(columns[i].name, 0) for i in plain])
    if bent:
        blocks.put(_interpolated(filled.pick(bent), [columns[i] for i in bent]), [(columns[i].name, 0) for i in bent])
    if any(c.flag for c in columns):
        blocks.put(missing, [(c.name, 1 if c.flag else -1) for c in columns])
    if coded:
        width = max(len(columns[i].codes) for i in coded)
        codes = _padded([columns[i].codes for i in coded], width, np.nan)
        equal = x.graph.add("Unsqueeze", x.pick(coded), np.array([2])).equals(codes)
        place = equal.cast(TensorProto.FLOAT) * np.arange(1, width + 1, dtype=np.float32)
        code = x.graph.add("ReduceSum", place, np.array([2]), keepdims=0)
        blocks.put(code, [(columns[i].name, len(columns[i].cardinalities) - 1) for i in coded])


def _soft_clip(z: Value) -> Value:
    z = z.between(-1e12, 1e12)
    third = z / 3.0
    return z / z.graph.add("Sqrt", third * third + 1.0)


def _interpolated(x: Value, columns: Sequence[NumberColumn]) -> Value:
    """numpy.interp of each column, shape (rows, columns), at its own knots.

    The knot below is found by halving, for all columns at once: comparing with every knot would take 257 times the
    memory of the rows.
    """
    graph, width = x.graph, max(len(c.knots) for c in columns)
    knots = _padded([c.knots for c in columns], width, np.inf)
    heights = _padded([c.heights for c in columns], width, 0.0)
    slopes = _padded([np.diff(c.heights) / np.diff(c.knots) for c in columns], width, 0.0)
    all_knots, all_heights, all_slopes = (graph.constant(a.ravel()) for a in (knots, heights, slopes))
    last = np.array([len(c.knots) - 1 for c in columns])
    rows = np.arange(len(columns))
    x = graph.add("Max", x, knots[:, 0])
    x = graph.add("Min", x, knots[rows, last])
    below = graph.constant(rows * width)
    for power in reversed(range((width - 1).bit_length())):
        next_ = graph.add("Min", below + np.array(2**power), rows * width + last)
        below = below.where(x >= graph.add("Gather", all_knots, next_), next_)
    height, slope, knot = (graph.add("Gather", a, below) for a in (all_heights, all_slopes, all_knots))
    return height + slope * (x - knot)


def _padded(rows: Sequence[object], width: int, with_: float) -> np.ndarray:
    out = np.full((len(rows), width), with_)
    for i, row in enumerate(rows):
        values = np.asarray(row, dtype=np.float64)
        out[i, : len(values)] = values
    return out


def _dates(columns: Sequence[DateColumn], x: Value, blocks: _Blocks) -> None:
    """See ``automl.data.encode.dates``. ``x``: (rows, columns)."""
    missing = x.missing()
    filled = x.where(missing, np.array([float(int(c.center)) for c in columns])).floor()
    seconds = filled.between(-MOST_SECONDS, MOST_SECONDS)
    center, scale = np.array([c.center for c in columns]), np.array([c.scale for c in columns])
    blocks.put(_soft_clip((seconds - center) / scale), [(c.name, 0) for c in columns])
    if any(c.flag for c in columns):
        blocks.put(missing, [(c.name, 1 if c.flag else -1) for c in columns])
    for part, phase in _phases(seconds).items():
        # Cosine as a shifted sine: onnxruntime has that of float32 alone.
        for quarter in (0, 1):
            wave = x.graph.add("Sin", phase * (2 * np.pi) + quarter * np.pi / 2).where(missing, 0.0)
            places = [(1 + c.flag + 2 * c.parts.index(part) + quarter if part in c.parts else -1) for c in columns]
            blocks.put(wave, [(c.name, place) for c, place in zip(columns, places, strict=True)])


def _phases(seconds: Value) -> dict[str, Value]:
    """Position in each cycle, 0 to 1; the calendar is counted in years from 1 March, so that leap days come last."""
    days = (seconds / DAY).floor()
    shifted = days + float(FIRST_OF_MARCH)
    era = (shifted / 146_097.0).floor()  # of 400 years
    day = shifted - era * 146_097.0
    leaps = (day / 1460.0).floor() - (day / 36_524.0).floor() + (day / 146_096.0).floor()
    year = ((day - leaps) / 365.0).floor()
    of_year = day - (year * 365.0 + (year / 4.0).floor() - (year / 100.0).floor())
    month = ((of_year * 5.0 + 2.0) / 153.0).floor()  # five months have 153 days
    of_month = of_year - ((month * 153.0 + 2.0) / 5.0).floor()
    before = era * 400.0 + year + (month >= 10.0).cast(TensorProto.DOUBLE) - 1.0  # whole years since the year 1
    fours, hundreds, eras = ((before / n).floor() for n in (4.0, 100.0, 400.0))
    new_year = before * 365.0 + fours - hundreds + eras - float(NEW_YEAR)
    weeks = (seconds / DAY + 3.0) / 7.0  # 1970-01-01 was a Thursday
    return {
        "year": (seconds - new_year * DAY) / (365.25 * DAY),
        "month": (seconds - (days - of_month) * DAY) / (31 * DAY),
        "week": weeks - weeks.floor(),
        "day": (seconds - days * DAY) / DAY,
    }


def _category(column: CategoryColumn, words: Value, missing: Iterable[str], blocks: _Blocks) -> None:
    """See ``automl.data.encode.category``."""
    codes = {"" if name == MISSING else name: i + 1 for i, name in enumerate(column.categories)}
    codes |= dict.fromkeys(missing, codes.get("", 0))
    found = {"keys_strings": list(codes), "values_int64s": list(codes.values()), "default_int64": 0}
    code = words.graph.add("LabelEncoder", words, domain=ML, **found)
    if column.frequency:
        frequency = np.array(column.frequency, dtype=np.float32)
        blocks.put(words.graph.add("Gather", frequency, code), [(column.name, 0)])
    blocks.put(code, [(column.name, len(column.cardinalities) - 1)])
