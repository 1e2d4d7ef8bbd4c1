"""What the model's own rows look like, as counts in fixed bins: reference.json.

seen = [*measured(encoding, dataset, inputs), *answered(task, predictions)]    # numbers per field and output
counts = counts_of(reference, [m.values for m in seen])                        # one vector of int64

The vector of a batch of rows is as long as that of the reference, so that windows of any size, also of several
workers, are sums of vectors. It holds no row, and its size is that of the reference. Numpy, and pandas for cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from automl.data.columns import as_date, as_number
from automl.data.dataset import Dataset, Part, take, taken
from automl.data.encode.audio import AudioEncoder
from automl.data.encode.category import CategoryColumn
from automl.data.encode.dates import DAY, DateColumn
from automl.data.encode.encoding import Encoding
from automl.data.encode.image import ImageEncoder
from automl.data.encode.number import NumberColumn
from automl.data.encode.series import HUGE, SeriesEncoder
from automl.data.encode.table import TableEncoder
from automl.data.encode.text import FIRST, UNKNOWN, TextEncoder
from automl.data.quality.parse import column_of
from automl.types import Task

VERSION = 1
BINS = 32  # of a number, as ``monitor.tests.CUTS`` ask for, and values of a category that are counted alone
SHOWN = 40  # characters of a value
ROWS = 10_000  # more rows tell hardly more about a share, and pictures take memory
CHUNK = 1_000  # rows looked at together
ENOUGH = 100  # rows: with a reference of so many the tests were measured, ``+experiment=bench/drift``
UNKNOWN_SHARE = "unknown share"


class Measure(NamedTuple):
    """One number per row about a field, or about the answers (``field`` is empty then).

    ``values``: float64 (rows,), NaN where it is missing. With ``names`` they are positions in it: beyond its end are
    known ones that are not counted alone, and -1 is unknown.
    """

    field: str
    what: str
    values: np.ndarray
    names: tuple[str, ...] | None = None


def reference_of(
    encoding: Encoding,
    dataset: Dataset,
    learned: Part,
    predictions: np.ndarray,
    task: Task,
    unseen: Sequence[Part] = (),
) -> dict[str, Any]:
    """The reference as plain JSON: ``version``, ``rows`` and ``measures``, which ``counts_of`` reads.

    ``dataset``: after its steps, as the encoding was fitted on it. ``learned``: rows of it, encoded, of which ``ROWS``
    are looked at, evenly spread and each once: requests weigh the same, and a copy is no further row to be sure by.
    ``predictions``: probabilities (n, classes) or values (n,) of the very model that will answer, of rows that it has
    not learned from, as it is surer of those that it has. ``unseen``: encoded rows that the encoding was not fitted on.
    Where there are ``ENOUGH`` these tell how often categories and words are unknown: of those that it was fitted on it
    knows more, so that every later stream would seem to have moved.

    Each measure has ``field``, ``what`` and ``counts``. With ``edges`` it is a number: bin i holds the values above
    edge i up to edge i + 1, the first its lower edge too; behind the bins are counted: missing, below, above. With
    ``values`` it is a category: behind its values are counted: missing, other known ones, unknown ones.
    """
    fields = _of_rows(encoding, dataset, [learned])
    if sum(part.distinct for part in unseen) >= ENOUGH and any(map(_knows, fields)):
        others = _of_rows(encoding, dataset, unseen)
        fields = [other if _knows(one) else one for one, other in zip(fields, others, strict=True)]
    measures = [binned(m) for m in (*fields, *answered(task, predictions))]
    looked_at = min(learned.distinct, ROWS)
    return {"version": VERSION, "rows": looked_at, "predictions": len(predictions), "measures": measures}


def _of_rows(encoding: Encoding, dataset: Dataset, parts: Sequence[Part]) -> list[Measure]:
    """What is counted of the fields of these rows, each once."""
    seen: list[list[Measure]] = []
    share = min(ROWS / max(sum(part.distinct for part in parts), 1), 1.0)
    for part in parts:
        places = part.once
        places = places[np.linspace(0, len(places) - 1, round(len(places) * share)).astype(np.int64)]
        for at in range(0, len(places), CHUNK):
            some = taken(part, places[at : at + CHUNK])
            seen.append(list(measured(encoding, take(dataset, some.rows), some.inputs)))
    return [m._replace(values=np.concatenate([of[i].values for of in seen])) for i, m in enumerate(seen[0])]


def _knows(measure: Measure) -> bool:
    """Whether it tells what the encoding knows: of a category, or of words."""
    return measure.names is not None or measure.what == UNKNOWN_SHARE


def counts_of(reference: Mapping[str, Any], values: Sequence[np.ndarray]) -> np.ndarray:
    """Count rows: int64 (counts of the reference,), the measures' counts one behind the other.

    ``values``: of each measure of the reference, in its order, float64 (rows,); see ``Measure``.
    """
    return np.concatenate([_counts(m, v) for m, v in zip(reference["measures"], values, strict=True)])


def measured(encoding: Encoding, dataset: Dataset, inputs: Sequence[np.ndarray]) -> Iterator[Measure]:
    """What is counted of the rows' fields. ``inputs``: the rows encoded. The order is that of the encoders."""
    for encoder, encoded in zip(encoding.encoders, inputs, strict=True):
        yield from _MEASURES[type(encoder)](encoder, dataset, encoded)


def answered(task: Task, predictions: np.ndarray) -> Iterator[Measure]:
    """What is counted of answers: the class and its probability, or the value."""
    predictions = np.asarray(predictions, dtype=np.float64)
    if task.kind == "regression":
        yield Measure("", "value", predictions)
    else:
        yield Measure("", "class", predictions.argmax(1).astype(np.float64), task.classes)
        yield Measure("", "probability of the class", predictions.max(1))


def _table(encoder: TableEncoder, dataset: Dataset, encoded: np.ndarray) -> Iterator[Measure]:
    places = encoder.places()
    for column in encoder.columns:
        cells = column_of(dataset.table, column.name)
        if isinstance(column, NumberColumn):
            yield Measure(column.name, "value", as_number(cells))
        elif isinstance(column, DateColumn):
            dates = as_date(cells)
            yield Measure(column.name, "days", np.where(np.isnat(dates), np.nan, dates.astype(np.float64) / DAY))
        else:
            yield _category(column, encoded[:, places[column.name][-1]], cells.isna().to_numpy())


def _category(column: CategoryColumn, codes: np.ndarray, missing: np.ndarray) -> Measure:
    names = tuple(column.field["categories"])
    place = {name: i for i, name in enumerate(names)}
    places = np.array([-1.0, *(place.get(c, -1.0) for c in column.categories)])  # by code
    return Measure(column.name, "value", np.where(missing, np.nan, places[codes.astype(np.int64)]), names[:BINS])


def _text(encoder: TextEncoder, dataset: Dataset, encoded: np.ndarray) -> Iterator[Measure]:
    """Words, or characters where it is read so; and which share of the tokens has no id of its own."""
    texts = dataset.table[encoder.name].astype("string").fillna("")
    length = np.array([len(t) if encoder.characters else len(t.split()) for t in texts], dtype=np.float64)
    tokens = encoded[:, : encoder.length]
    unknown = (tokens >= FIRST + len(encoder.vocabulary)) | (tokens == UNKNOWN)
    yield Measure(encoder.name, "length", np.where(length == 0, np.nan, length))
    yield Measure(encoder.name, UNKNOWN_SHARE, unknown.sum(1) / np.maximum((tokens > 0).sum(1), 1))


def _image(encoder: ImageEncoder, dataset: Dataset, encoded: np.ndarray) -> Iterator[Measure]:
    """Mean and deviation of a picture's pixels, of [0, 1]; from sums of whole numbers, the same in any batch."""
    pixels = encoded.reshape(len(encoded), -1).astype(np.int64)
    mean, square = pixels.mean(1), (pixels**2).mean(1)
    yield Measure(encoder.name, "brightness", mean / 255)
    yield Measure(encoder.name, "contrast", np.sqrt((square - mean**2).clip(0)) / 255)


def _audio(encoder: AudioEncoder, dataset: Dataset, encoded: np.ndarray) -> Iterator[Measure]:
    """Mean level, in the spectrogram's unit, and frames until the end."""
    known = _finite(dataset.arrays[encoder.name][:, :, : encoder.frames])
    heard: np.ndarray = np.isfinite(known).max(axis=1)
    last = heard.shape[1] - heard[:, ::-1].argmax(axis=1)
    yield Measure(encoder.name, "level", _mean(known))
    yield Measure(encoder.name, "frames", np.where(heard.max(axis=1), last, np.nan).astype(np.float64))


def _series(encoder: SeriesEncoder, dataset: Dataset, encoded: np.ndarray) -> Iterator[Measure]:
    """Mean and deviation of a row, in deviations of the training rows, and its share of steps without a value."""
    raw = dataset.arrays[encoder.name]
    raw = raw[:, None] if raw.ndim == 2 else raw
    known = _finite(raw[:, :, : encoder.length])
    known = (known - np.array(encoder.mean)[:, None]) / np.array(encoder.std)[:, None]
    mean = _mean(known)
    yield Measure(encoder.name, "mean", mean)
    yield Measure(encoder.name, "deviation", np.sqrt(_mean((known - mean[:, None, None]) ** 2)))
    seen = (~np.isnan(known)).sum((1, 2))
    yield Measure(encoder.name, "missing share", 1 - seen / (encoder.channels * encoder.length))


_MEASURES: dict[type, Any] = {
    TableEncoder: _table,
    TextEncoder: _text,
    ImageEncoder: _image,
    AudioEncoder: _audio,
    SeriesEncoder: _series,
}


def _finite(array: np.ndarray) -> np.ndarray:
    """float64, NaN where there is no finite number, and nothing whose square is none."""
    numbers = np.asarray(array, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan).clip(-HUGE, HUGE)


def _mean(array: np.ndarray) -> np.ndarray:
    """Of each row over what is known, NaN where nothing is; as float32 has it, as padding changes the last digits."""
    flat = np.ascontiguousarray(array).reshape(len(array), -1)
    seen = (~np.isnan(flat)).sum(1)
    mean = np.where(seen > 0, np.nansum(flat, axis=1) / np.maximum(seen, 1), np.nan)
    return mean.astype(np.float32).astype(np.float64)


def binned(measure: Measure) -> dict[str, Any]:
    """What the reference holds of a measure of its rows, see ``reference_of``."""
    state: dict[str, Any] = {"field": measure.field, "what": measure.what}
    if measure.names is None:
        state["edges"] = _edges(measure.values[np.isfinite(measure.values)])
    else:
        state["values"] = [name[:SHOWN] for name in measure.names]
    return state | {"counts": _counts(state, measure.values).tolist()}


def _edges(known: np.ndarray) -> list[float]:
    """Edges of up to ``BINS`` bins of alike numbers of values; one bin for each where few are distinct.

    Inner edges lie between two values, at the shortest number there, so that no rounding moves a value.
    """
    if not len(known):
        return []
    distinct, counts = np.unique(known, return_counts=True)
    last = np.arange(len(distinct) - 1)  # by place in ``distinct``, the last value of each bin but the highest
    if len(distinct) > BINS:
        wanted = len(known) * np.arange(1, BINS) / BINS
        last = np.unique(np.searchsorted(np.cumsum(counts), wanted).clip(0, len(distinct) - 2))
    inner = [_between(float(distinct[i]), float(distinct[i + 1])) for i in last]
    return [float(distinct[0]), *inner, float(distinct[-1])]


def _between(low: float, high: float) -> float:
    """The number of fewest digits in [low, high) about its middle."""
    for digits in range(1, 18):
        number = float(f"{low / 2 + high / 2:.{digits}g}")
        if low <= number < high:
            return number
    return low


def _counts(measure: Mapping[str, Any], values: np.ndarray) -> np.ndarray:
    """int64: of each bin or value, then of the three that lie outside."""
    known = values[~np.isnan(values)]
    if "values" in measure:
        size = len(measure["values"])
        places = np.where(known < 0, size + 2, np.where(known < size, known, size + 1)).astype(np.int64)
    else:
        edges = np.asarray(measure["edges"], dtype=np.float64)
        size = max(len(edges) - 1, 0)
        low, high = (edges[0], edges[-1]) if size else (-np.inf, -np.inf)
        places = np.searchsorted(edges[1:-1], known)
        places = np.where(known < low, size + 1, np.where(known > high, size + 2, places))
    counts = np.bincount(places, minlength=size + 3)
    counts[size] = len(values) - len(known)
    return counts
