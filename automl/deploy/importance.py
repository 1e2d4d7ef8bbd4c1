"""What the model looks at: permutation importance (Breiman 2001; Fisher, Rudin and Dominici 2019, arXiv:1801.01489).

A field is shuffled among the rows, so that it says nothing of a row any more, and the model is asked again; its
importance is how far the score falls.

What that cannot tell: how much of it is in other fields. Of two columns that say the same, each hides the other: one is
shuffled and the model still reads the other, so both look less important than what they say, and a model trained
without one may lose nothing. Shuffled rows may also be such as never occur (Hooker et al. 2021, arXiv:1905.03151): the
model is asked there too. It tells what this model uses, not what matters in the world.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl.data.encode.encoding import Encoding
from automl.data.encode.table import TableEncoder
from automl.data.encode.text import TextEncoder
from automl.deploy.regions import mapped

# By judgement: fewer rows and repeats tell fields apart less surely, and more take longer than the time that is given.
ROWS = (1000, 300, 100)  # that are asked at once: as many as there is time for
PROBE = 32  # rows by which that is judged
REDRAWN = 20  # times that the rows are, for the error
FIRST = 0.5  # of the time is for the first repeat; where it is short, the next ones are for what fell most


@dataclass(frozen=True)
class Importance:
    """``mean``: how far the score falls when the field is shuffled. ``error``: standard error, of shuffles and rows."""

    field: str
    mean: float
    error: float


@dataclass(frozen=True)
class Importances:
    """``found``: the fields by how far the score falls, the furthest first. ``rows``: that were asked.

    ``fields``: how many there are; ``found`` holds fewer where there was no time for all.
    """

    found: tuple[Importance, ...]
    rows: int
    fields: int


@dataclass(frozen=True)
class Field:
    """``places``: in the flat encoded rows of the input of this number."""

    name: str
    number: int
    places: np.ndarray


def importance(
    predict_encoded: Callable[[Sequence[np.ndarray]], np.ndarray],
    encoding: Encoding,
    inputs: Sequence[np.ndarray],
    y: np.ndarray,
    score: Callable[[np.ndarray, np.ndarray], float],
    seconds: float,
    repeats: int = 5,
) -> Importances:
    """Importance of each field in ``repeats`` shuffles, in at least two for what is told, within about ``seconds``.

    ``inputs``, ``y``: encoded rows that may judge, at most 1,000 are asked. ``score``: truth (rows,) and predictions ->
    higher is better. A shuffle is the same whenever it is made, so a longer time changes a result by more shuffles
    alone. The first shuffle of all fields tells in which order the others are made.
    """
    fields, end = fields_of(encoding), time.perf_counter() + seconds
    order = np.random.default_rng(0).permutation(len(y))
    asked = [a[order[:PROBE]] for a in inputs]
    start = time.perf_counter()
    predict_encoded(asked)
    per_row = (time.perf_counter() - start) / max(len(asked[0]), 1)
    rows = next((n for n in ROWS if per_row * n * 2 * len(fields) <= FIRST * seconds), ROWS[-1])
    inputs, y = [a[order[:rows]] for a in inputs], y[order[:rows]]
    draws = [np.arange(len(y)), *np.random.default_rng(1).integers(0, len(y), (REDRAWN, len(y)))]

    def scored(changed: Sequence[np.ndarray]) -> np.ndarray:
        """Of the rows, and of the same redrawn."""
        predictions = predict_encoded(changed)
        return np.array([score(y[d], predictions[d]) for d in draws])

    whole = scored(inputs)
    falls: list[list[np.ndarray]] = [[] for _ in fields]
    for repeat in range(repeats):
        shuffle = np.random.default_rng(2 + repeat).permutation(len(y))
        until = end - (1 - FIRST) * seconds if repeat == 0 else end
        for i in sorted(range(len(fields)), key=lambda i: -falls[i][0][0] if repeat and falls[i] else 0.0):
            if time.perf_counter() > until:
                break
            if len(falls[i]) == repeat:
                falls[i].append(whole - scored(shuffled(inputs, fields[i], shuffle)))
    found = [_told(f.name, np.stack(of)) for f, of in zip(fields, falls, strict=True) if len(of) > 1]
    return Importances(tuple(sorted(found, key=lambda f: -f.mean)), len(y), len(fields))


def fields_of(encoding: Encoding) -> list[Field]:
    """Columns and whole inputs; parts of a picture, sound or series where that is all there is.

    Of a table beside other inputs all columns together are a field too.
    """
    if len(encoding.encoders) == 1 and not isinstance(encoding.encoders[0], (TableEncoder, TextEncoder)):
        names, owner = mapped(encoding.encoders[0])
        return [Field(name, 0, np.flatnonzero(owner == i)) for i, name in enumerate(names)]
    fields: list[Field] = []
    for number, encoder in enumerate(encoding.encoders):
        everything = np.arange(np.prod(encoder.input.shape))
        if isinstance(encoder, TableEncoder):
            places = encoder.places()
            fields += [Field(name, number, at) for name, at in places.items()]
            if len(encoding.encoders) > 1 and len(places) > 1:
                fields.append(Field(f"the {len(places)} columns together", number, everything))
        else:
            fields.append(Field(encoder.input.name, number, everything))
    return fields


def shuffled(inputs: Sequence[np.ndarray], field: Field, order: np.ndarray) -> list[np.ndarray]:
    """The inputs with the field's places of each row from another row, all of one row together."""
    changed = inputs[field.number].copy()
    flat = changed.reshape(len(changed), -1)
    flat[:, field.places] = flat[np.ix_(order, field.places)]
    return [changed if i == field.number else a for i, a in enumerate(inputs)]


def _told(name: str, falls: np.ndarray) -> Importance:
    """``falls``: (shuffles, 1 + REDRAWN), of the rows as they are and redrawn.

    The variance is that of the mean over shuffles, and that over other rows: the bootstrap's (Efron 1979).
    """
    variance = falls[:, 0].var(ddof=1) / len(falls) + falls[:, 1:].mean(0).var(ddof=1)
    return Importance(name, float(falls[:, 0].mean()), float(np.sqrt(variance)))


def to_json(found: Importances) -> list[dict[str, Any]]:
    """As result.json lists them."""
    return [{"field": f.field, "mean": f.mean, "error": f.error} for f in found.found]
