"""Rows of real data as a monitor sees them, as they are and after planted shifts, with a simple model's answers."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl.data.dataset import Dataset, Part, joined, take, taken
from automl.data.encode.category import CategoryColumn
from automl.data.encode.encoding import Encoding
from automl.data.encode.number import NumberColumn
from automl.data.encode.table import TableEncoder
from automl.data.encode.text import TextEncoder
from automl.data.prepare import Prepared, prepare
from automl.data.sources.file import FileSource
from automl.deploy.reference import Measure, answered, measured
from automl.types import Task
from automl.uncertainty.calibrate import temperature_of, tempered

LEARN, POOL = 3_000, 3_000
"""Rows to learn from, and rows that are the world that references and requests are drawn from, at most."""
STABLE, AGAIN = "stable", "trained again"


@dataclass(frozen=True)
class World:
    """Rows that can be asked, all equally likely but for ``weights``. ``right``: whether each answer is; ``sure``.

    ``values``: of each measure, float64 (rows,). ``names``: (field, what, names of a category or None).
    """

    names: tuple[tuple[str, str, tuple[str, ...] | None], ...]
    values: tuple[np.ndarray, ...]
    weights: np.ndarray
    right: np.ndarray
    sure: np.ndarray

    def measures(self, rows: np.ndarray) -> Iterator[Measure]:
        for (field, what, names), values in zip(self.names, self.values, strict=True):
            yield Measure(field, what, values[rows], names)


Change = Callable[[Dataset, np.ndarray], Dataset]
Model = Callable[[tuple[np.ndarray, ...]], np.ndarray]


def worlds(path: Path, metric: str, seed: int) -> dict[str, World]:
    """By the name of the shift: ``STABLE`` is none, ``AGAIN`` the same rows asked of the model learned once more."""
    prepared = prepare(FileSource(str(path)).load(), metric=metric, seed=seed)
    parts, rng = prepared.parts, np.random.default_rng(seed)
    train, valid = (_some(part, LEARN, rng) for part in (parts.train, parts.valid))
    pool = _some(parts.test, POOL, rng)
    task = prepared.task
    first = _learned(task, train)
    heat = 1.0 if task.kind == "regression" else temperature_of(first(valid.inputs), valid.y)

    def asked(learned: Model) -> Model:
        return lambda inputs: learned(inputs) if task.kind == "regression" else tempered(learned(inputs), heat)

    model = asked(first)
    dataset = take(prepared.dataset, pool.rows)
    found = {STABLE: _world(prepared, model, dataset, pool.y)}
    found[AGAIN] = _world(prepared, asked(_learned(task, joined(train, valid))), dataset, pool.y)
    for name, change in _changes(prepared.encoding, dataset).items():
        found[name] = _world(prepared, model, change(dataset, rng.random(len(dataset))), pool.y)
    for name, weights in _reweighted(found[STABLE], task, pool.y).items():
        found[name] = dataclasses.replace(found[STABLE], weights=weights)
    return found


def _some(part: Part, most: int, rng: np.random.Generator) -> Part:
    return taken(part, np.sort(rng.permutation(len(part))[:most]))


def _world(prepared: Prepared, model: Model, dataset: Dataset, y: np.ndarray) -> World:
    encoding, task = prepared.encoding, prepared.task
    inputs = encoding.transform(dataset)
    said = model(inputs)
    seen = [*measured(encoding, dataset, inputs), *answered(task, said)]
    right = np.zeros(len(y)) if said.ndim == 1 else (said.argmax(1) == y).astype(np.float64)
    sure = said if said.ndim == 1 else said.max(1)
    names = tuple((m.field, m.what, m.names) for m in seen)
    return World(names, tuple(m.values for m in seen), np.full(len(y), 1 / len(y)), right, sure.astype(np.float64))


def _learned(task: Task, train: Part) -> Model:
    """Encoded inputs -> probabilities or values."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    trees = all(i.modality == "tabular" for i in task.inputs)
    if task.kind == "regression":
        model: Any = (
            HistGradientBoostingRegressor(max_iter=60) if trees else make_pipeline(StandardScaler(), Ridge(100))
        )
        model.fit(_flat(task, train.inputs), train.y)
        return lambda inputs: model.predict(_flat(task, inputs))
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=60))
    model = HistGradientBoostingClassifier(max_iter=40) if trees else linear
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # good enough here
        model.fit(_flat(task, train.inputs), train.y)

    def raw(inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        p = np.full((len(inputs[0]), task.num_outputs), 1e-7)
        p[:, model.classes_] = model.predict_proba(_flat(task, inputs))
        return p / p.sum(1, keepdims=True)

    return raw


def _flat(task: Task, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
    """Features of a simple model: cells, a picture of few pixels, steps, how often each token stands."""
    found = []
    for of, array in zip(task.inputs, inputs, strict=True):
        if of.modality == "text":
            tokens = array[:, : of.tokens] % 512
            found.append(np.stack([np.bincount(row[row > 0], minlength=512) for row in tokens]))
        elif of.modality == "image":
            step = max(of.shape[-1] // 12, 1)
            found.append(array[..., ::step, ::step].reshape(len(array), -1) / 255)
        else:
            found.append(np.nan_to_num(array.reshape(len(array), -1)))
    return np.concatenate(found, axis=1)


def _changes(encoding: Encoding, dataset: Dataset) -> dict[str, Change]:
    """Shifts of the rows themselves, of those that can be planted here. A change has a random number per row."""
    found: dict[str, Change] = {}
    for encoder in encoding.encoders:
        name = encoder.fields[0]["name"]
        if isinstance(encoder, TableEncoder):
            numbers = [c.name for c in encoder.columns if isinstance(c, NumberColumn) and not c.codes]
            found["missing column"] = _cells(encoder.columns[0].name, 0.2, lambda cells: pd.NA)
            if wide := [n for n in numbers if len(set(dataset.table[n].tolist())) > 1]:
                found["unit change"] = _cells(wide[-1], 1.0, lambda cells: cells.astype(float) * 2.54)
                found["sensor gain"] = _cells(wide[0], 1.0, lambda cells: cells.astype(float) * 1.25)
            categories = [c.name for c in encoder.columns if isinstance(c, CategoryColumn)]
            if known := [n for n in categories if isinstance(dataset.table[n].iloc[0], str)]:
                found["new category"] = _cells(known[0], 0.1, lambda cells: "never seen")
        elif isinstance(encoder, TextEncoder):
            found["longer texts"] = _cells(name, 0.3, lambda cells: cells + " " + cells)
            found["other words"] = _cells(name, 0.3, lambda cells: cells.str.replace("e", "ë"))
        elif encoder.input.modality == "image":
            found["darker"] = _array(name, lambda a, u: (a * np.float64(0.85)).astype(a.dtype))
            found["blurred"] = _array(name, _blurred)
        elif encoder.input.modality == "series":
            found["sensor gain"] = _array(name, lambda a, u: a * 1.15)
            found["sensor offset"] = _array(name, lambda a, u: a + 0.2 * np.nanstd(a))
            found["gaps"] = _array(name, _gaps)
        elif encoder.input.modality == "audio":
            found["sensor gain"] = _array(name, lambda a, u: a + 2.0)
    return found


def _cells(name: str, share: float, change: Callable[[pd.Series], Any]) -> Change:
    def changed(dataset: Dataset, u: np.ndarray) -> Dataset:
        cells = dataset.table[name].astype(object).copy()
        rows = u < share
        places = np.flatnonzero(rows & cells.notna().to_numpy())
        cells.iloc[places] = change(pd.Series(cells.iloc[places]))
        plain = cells if any(isinstance(v, str) for v in cells) else cells.astype("Float64")
        return dataclasses.replace(dataset, table=dataset.table.assign(**{name: plain}))

    return changed


def _array(name: str, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Change:
    def changed(dataset: Dataset, u: np.ndarray) -> Dataset:
        return dataclasses.replace(dataset, arrays={**dataset.arrays, name: change(dataset.arrays[name], u)})

    return changed


def _blurred(pictures: np.ndarray, u: np.ndarray) -> np.ndarray:
    wide = pictures.astype(np.float64)
    return ((wide + np.roll(wide, 1, axis=1) + np.roll(wide, 1, axis=2)) / 3).astype(pictures.dtype)


def _gaps(series: np.ndarray, u: np.ndarray) -> np.ndarray:
    holed = series.astype(np.float64)
    holed[u < 0.2, ..., : series.shape[-1] // 4] = np.nan
    return holed


def _reweighted(stable: World, task: Task, y: np.ndarray) -> Mapping[str, np.ndarray]:
    """Shifts of which rows come: by a field, and by the truth."""
    fields = [v for (field, _, names), v in zip(stable.names, stable.values, strict=True) if field and names is None]
    found = {}
    if wide := [v for v in fields if len(np.unique(v)) > 20]:
        found["covariate"] = np.exp(0.5 * _scores(wide[0]))
    found["label"] = np.exp(0.5 * _scores(y)) if task.kind == "regression" else np.where(y == y.max(), 2.0, 1.0)
    return {name: w / w.sum() for name, w in found.items()}


def _scores(values: np.ndarray) -> np.ndarray:
    """Ranks as deviations."""
    ranks = np.argsort(np.argsort(np.nan_to_num(values), kind="stable"), kind="stable")
    return (ranks - ranks.mean()) / ranks.std()
