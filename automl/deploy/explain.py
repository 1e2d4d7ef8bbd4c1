"""Why one row got its answer: which of its fields moved it away from the answers for other rows, and how far.

    write_background(folder, parts.train.inputs)                            # at export
    explain(bundle, row, against=read_background(bundle.folder)).effects    # the fields that moved it most

The method is the sampled Shapley value of Štrumbelj and Kononenko (2014, Knowl. Inf. Syst. 41:647-665, algorithm 1): a
reference row becomes the row that is asked about, field by field in a random order, and each field has what the answer
moves by when it is its turn. The mean over many reference rows and orders is its effect. The effects of all fields add
up to what the answer is away from the mean answer of the reference rows. Each order is walked in both directions, which
removes much of the noise (antithetic permutations: Mitchell et al. 2022, JMLR 23(43), section 4.1).

To replace one field at a time (ablation) costs half as much, but tells nothing of fields that stand in for each other,
and twice what fields do only together.

Fields are changed one without the other (interventional, as of Janzing et al. 2020, arXiv:1910.13413), so the model is
also asked about rows that cannot be. What is told is how this model answers, not what causes what in the world.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import safetensors.numpy

from automl.data.dataset import Dataset
from automl.data.encode.encoding import Encoder
from automl.data.encode.rows import rows_to_dataset
from automl.data.encode.table import TableEncoder
from automl.data.encode.text import TextEncoder
from automl.deploy.regions import mapped
from automl.errors import UserError
from automl.files import write_atomically
from automl.uncertainty.sets import decide

if TYPE_CHECKING:
    from automl.deploy.bundle import Bundle

BACKGROUND = "background.safetensors"
# By judgement: with more the sampling error falls by their root, and an explanation takes as much longer.
ROWS, BYTES = 32, 1_000_000  # of the reference rows, at most
WORDS = 16  # parts of a text
STEPS, NUMBERS = 1536, 2**21  # rows, and encoded numbers, that one explanation sends through the graph, about
WIDE = 4  # times as dear as a table's is a number of a picture, sound or series
LEAST = 4  # reference rows that are walked from, whatever it costs


@dataclass(frozen=True)
class Effect:
    """What one field did to the answer.

    ``value``: as it was read; the words themselves of a part of a text; None where it is missing, and of a part of a
    picture, sound or series. ``change``: of the probability of the class that is answered, or of the value in the
    target's own unit. ``error``: the standard error of that, from sampling.
    """

    field: str
    value: str | float | None
    change: float
    error: float

    def __str__(self) -> str:
        value = "" if self.value is None else f" = {self.value}"
        return f"{self.field}{value}: {self.change:+.3g} (± {self.error:.1g})"


@dataclass(frozen=True)
class Explanation:
    """``answer``: the class or the value. ``level``: its probability, or the value itself.

    ``base``: the mean of the same over the reference rows. ``effects``: of the fields that moved it most, those first.
    ``rest``: of all others together; base + changes + rest = level.
    """

    answer: str | float
    level: float
    base: float
    effects: tuple[Effect, ...]
    rest: float

    def __str__(self) -> str:
        of = f"{self.answer}: {self.level:.3g}" if isinstance(self.answer, str) else f"{self.level:.6g}"
        return "\n".join([f"{of}, from {self.base:.6g}", *map(str, self.effects), f"all else: {self.rest:+.3g}"])


def write_background(folder: Path, inputs: Sequence[np.ndarray]) -> None:
    """Keep encoded reference rows, evenly chosen: ``ROWS`` of them, fewer where they are large (``BYTES``).

    ``inputs``: training rows, one array per input. Texts are not kept: their words are taken out, not replaced.
    """
    kept = {f"input_{i}": a for i, a in enumerate(inputs) if not _is_text(a)}
    size = sum(a[:1].nbytes for a in kept.values())
    count = int(np.clip(BYTES // max(size, 1), LEAST, ROWS))
    some = np.unique(np.linspace(0, len(inputs[0]) - 1, count).astype(np.int64))
    arrays = {name: np.ascontiguousarray(a[some]) for name, a in kept.items()}
    write_atomically(folder / BACKGROUND, safetensors.numpy.save(arrays | {"rows": some}))


def read_background(folder: Path) -> dict[int, np.ndarray]:
    """Number of the input -> its encoded reference rows. Raises UserError where there are none."""
    try:
        arrays = safetensors.numpy.load((folder / BACKGROUND).read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{folder} holds no reference rows to explain by ({error}); export the model again") from error
    return {int(n.removeprefix("input_")): a for n, a in arrays.items() if n != "rows"}


def explain(bundle: Bundle, row: Any, *, against: dict[int, np.ndarray], top: int | None = 5) -> Explanation:
    """The inputs that moved the answer for one raw row most; the same row gets the same explanation.

    ``row``: in any form that ``Bundle.predict`` takes. ``against``: of ``read_background``. ``top``: how many fields to
    tell, None for all. Raises UserError for more than one row, or one that does not fit.
    """
    encoding = bundle.encoding
    encoded, cells = _read(bundle, row)
    inputs: list[_Input] = [
        _words(encoder, cells) if isinstance(encoder, TextEncoder) else _parts(encoder, here, against[i])
        for i, (encoder, here) in enumerate(zip(encoding.encoders, encoded, strict=True))
    ]
    first = bundle.predict_encoded(encoded)
    best = int(decide(first, bundle.decision)[0]) if first.ndim == 2 else None

    def answers(kept: np.ndarray, rows: np.ndarray) -> np.ndarray:
        at = np.cumsum([len(i.names) for i in inputs])[:-1]
        by_input = zip(inputs, np.split(kept, at, axis=1), strict=True)
        out = bundle.predict_encoded([i.mixed(k, rows) for i, k in by_input])
        return out.astype(np.float64) if best is None else out[:, best].astype(np.float64)

    same = np.concatenate([np.broadcast_to(i.same, (_count(inputs), len(i.names))) for i in inputs], axis=1)
    fixed = np.concatenate([np.full(len(i.names), isinstance(i, _Words)) for i in inputs])
    rows = _taken(inputs, [a.size * (WIDE if a.ndim > 2 else 1) for a in encoded])
    changes, base, level = shapley(answers, same[rows], fixed, rows)
    mean, error = changes.mean(0), changes.std(0, ddof=1) / np.sqrt(len(changes))
    names, values = [n for i in inputs for n in i.names], [v for i in inputs for v in i.values]
    order = np.argsort(-np.abs(mean), kind="stable")[:top].tolist()
    known = {f["name"] for e in encoding.encoders if isinstance(e, TableEncoder) for f in e.fields}
    read = cells([names[i] for i in order if values[i] is None and names[i] in known])
    told = [read.get(names[i]) if values[i] is None else values[i] for i in order]
    effects = tuple(Effect(names[i], v, float(mean[i]), float(error[i])) for i, v in zip(order, told, strict=True))
    if best is None:  # the center is added to values alone: a change has none
        base, level = (float(encoding.decode(np.asarray([v]))[0]) for v in (base, level))
    answer = level if best is None else bundle.task.classes[best]
    return Explanation(answer, level, base, effects, level - base - sum(e.change for e in effects))


Cells = Callable[[Sequence[str]], dict[str, str | float | None]]
"""Columns of the row -> what was read in them."""


def _read(bundle: Bundle, row: Any) -> tuple[Sequence[np.ndarray], Cells]:
    """The encoded row, and its cells. A plain one without pandas; of its cells those alone that are asked for are read
    so, as most of the time would go there. Raises UserError for what is not one row.
    """
    encoding, whole = bundle.encoding, None
    encoded = bundle.fast.encode(row)
    if encoded is None:
        whole = encoding.dataset(row)
        encoded = encoding.transform(whole)
    if (count := len(encoded[0])) != 1:
        raise UserError(f"{count} rows were given; one row at a time can be explained")

    def cells(names: Sequence[str]) -> dict[str, str | float | None]:
        fields = [f for f in encoding.fields if f["name"] in names]
        steps = [s for s in encoding.steps if s.column in names]
        of = whole if whole is not None or not fields else rows_to_dataset(fields, row, steps, tell=False)
        return {} if of is None else {n: _plain(of.table[n].iloc[0]) for n in names}

    return encoded, cells


Answers = Callable[[np.ndarray, np.ndarray], np.ndarray]


def shapley(answers: Answers, same: np.ndarray, fixed: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Effects by reference row (references, fields), the mean answer of these, and the answer of the row itself.

    ``answers``: which fields are kept, bool (n, fields), and the reference row that the others are of, int (n,) ->
    answers (n,). ``same``: bool (references, fields), what is no change, as the reference row holds the same.
    ``fixed``: bool (fields,), whose replacement is the same for all reference rows. ``rows``: their numbers.
    """
    count, fields = same.shape
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(fields), (count, 1)), axis=1)
    turn = np.stack([orders, fields - 1 - orders], axis=1).reshape(2 * count, fields)  # of each field in each walk
    kept = turn[:, None, :] < np.arange(fields + 1)[:, None]
    kept |= np.repeat(same, 2, axis=0)[:, None, :]
    of = np.repeat(np.arange(count), 2)[:, None] * (~kept & ~fixed).any(axis=2)  # 0 where no field is of a reference
    # Many steps lead to the same row: the ends of all walks, what is no change, and all there are of few fields.
    keys = np.concatenate([of[:, :, None].astype(np.uint8), np.packbits(kept, axis=2)], axis=2)
    _, first, back = np.unique(keys.reshape(of.size, -1), axis=0, return_index=True, return_inverse=True)
    walks = answers(kept.reshape(of.size, fields)[first], rows[of.reshape(-1)[first]])[back].reshape(of.shape)
    changes = np.take_along_axis(np.diff(walks, axis=1), turn, axis=1)
    return changes.reshape(count, 2, fields).mean(1), float(walks[:, 0].mean()), float(walks[0, -1])


@dataclass(frozen=True)
class _Parts:
    """Columns or regions of one input, replaced by those of ``others``: encoded rows like ``here``, (references, ...).

    ``values``: none yet, as those of the fields that are told alone are read. ``owner``: see ``regions``. ``same``: as
    of ``shapley``. ``mixed``: encoded rows (n, ...) that keep some parts.
    """

    names: list[str]
    values: list[str | float | None]
    owner: np.ndarray
    here: np.ndarray
    others: np.ndarray

    @property
    def same(self) -> np.ndarray:
        owner, differs = self.owner.reshape(-1), (self.others != self.here).reshape(len(self.others), -1)
        return np.stack([np.bincount(owner, row, len(self.names)) == 0 for row in differs])

    def mixed(self, kept: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.where(kept[:, self.owner], self.here, self.others[rows])


@dataclass(frozen=True)
class _Words:
    """Runs of words of a text, or of its letters; those that are not kept are taken out."""

    names: list[str]
    values: list[str | float | None]
    between: str
    encoder: TextEncoder
    same: ClassVar[np.ndarray] = np.zeros((1, 1), dtype=bool)

    def mixed(self, kept: np.ndarray, rows: np.ndarray) -> np.ndarray:
        texts = [self.between.join(str(v) for v, k in zip(self.values, row, strict=True) if k) for row in kept]
        table = pd.DataFrame({self.encoder.name: texts})
        return self.encoder.transform(Dataset("", table, pd.Series(texts)), np.arange(len(texts)))


_Input = _Parts | _Words


def _parts(encoder: Encoder, here: np.ndarray, others: np.ndarray) -> _Parts:
    names, owner = mapped(encoder)
    return _Parts(names, [None] * len(names), owner, here, others)


def _words(encoder: TextEncoder, cells: Cells) -> _Words:
    text = cells([encoder.name])[encoder.name]
    cell = "" if text is None else str(text)
    words, between = cell.split(), " "
    if len(words) < 2:  # a name, or a language without blanks
        words, between = list(cell), ""
    ends = np.linspace(0, len(words), min(WORDS, len(words)) + 1).astype(int).tolist()
    runs: list[str | float | None] = [between.join(words[a:b]) for a, b in itertools.pairwise(ends)]
    return _Words([encoder.name] * len(runs), runs, between, encoder)


def _plain(cell: Any) -> str | float | None:
    if pd.isna(cell):
        return None
    cell = cell.item() if isinstance(cell, np.generic) else cell
    return cell if isinstance(cell, (int, float)) and not isinstance(cell, bool) else str(cell)


def _is_text(array: np.ndarray) -> bool:
    return array.ndim == 2 and array.dtype.kind == "i"


def _count(inputs: Sequence[_Input]) -> int:
    """Reference rows that there are; texts alone need none, and have as many walks."""
    return next((len(i.others) for i in inputs if isinstance(i, _Parts)), ROWS)


def _taken(inputs: Sequence[_Input], sizes: Sequence[int]) -> np.ndarray:
    """Numbers of the reference rows that are walked from, evenly chosen: as many as ``STEPS`` and ``NUMBERS`` allow."""
    count, steps = _count(inputs), max(2 * sum(len(i.names) for i in inputs), 1)
    most = int(np.clip(min(STEPS, NUMBERS // sum(sizes)) // steps, min(LEAST, count), count))
    return np.unique(np.linspace(0, count - 1, most).astype(np.int64))
