"""Quick features: any data set as one matrix of numbers, good enough for a quick model. No labels are
used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from automl.data.dataset import Dataset
from automl.data.quality.parse import column_of, floats, is_prose
from automl.types import Modality

MAX_FEATURES = 100
"""A wider block is reduced to so many principal components. This and what follows bound the time of a check, by
judgement; less would hide what pictures and texts differ by."""

MAX_LEVELS = 20  # categories of a column, the most frequent
_SIDE, _LENGTH = 24, 128  # of a picture in pixels, of a series in steps
_BLOCK = 1024  # rows at once
_BASIS = 2000  # rows that principal components are found on
_LETTERS = 5_000_000  # of all texts together: longer ones are cut
_TERMS = 15_000  # words, the most frequent


def quick_features(dataset: Dataset, rows: np.ndarray, seed: int = 0) -> np.ndarray:
    """Features of some rows (positions): float64, shape (rows, features).

    One block for the plain columns, one for each text column and each array; each is centred and scaled to a
    mean squared norm of 1, so that no input drowns another. A constant data set gives a single column of
    zeros.
    """
    blocks = [_unit(block) for block in _blocks(dataset, rows, seed)]
    blocks = [b for b in blocks if b.shape[1]]
    return np.hstack(blocks) if blocks else np.zeros((len(rows), 1))


def _blocks(dataset: Dataset, rows: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    plain: list[np.ndarray] = []
    for name in dataset.table.columns:
        column = column_of(dataset.table, name).iloc[rows]
        if dataset.modalities.get(name) == "text" or is_prose(column, alone=dataset.table.shape[1] == 1):
            yield _text(column, seed)
        else:
            plain += _column(column)
    if plain:
        yield reduced(np.column_stack(plain), seed)
    for name, array in dataset.arrays.items():
        yield reduced(_array(array, rows, dataset.modalities.get(name)), seed)


def _unit(block: np.ndarray) -> np.ndarray:
    block = block - block.mean(axis=0)
    block = block[:, block.std(axis=0) > 1e-12]
    norm = np.sqrt((block**2).sum(axis=1).mean()) if block.size else 1.0
    return block / max(float(norm), 1e-12)


def _column(column: pd.Series) -> list[np.ndarray]:
    """A column as standardised numbers: itself and where it is missing, or one for each frequent category."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        values = column.astype("int64").to_numpy().astype(np.float64)
        values[column.isna().to_numpy()] = np.nan
    elif pd.api.types.is_numeric_dtype(column.dtype):
        values = floats(column)
    else:
        codes, distinct = pd.factorize(column, sort=False)
        frequent = np.argsort(-np.bincount(codes[codes >= 0], minlength=max(len(distinct), 1)), kind="stable")
        return [(codes == c).astype(np.float64) for c in frequent[:MAX_LEVELS]]
    missing = ~np.isfinite(values)
    if missing.all():
        return []
    low, middle, high = np.quantile(values[~missing], [0.25, 0.5, 0.75])
    with np.errstate(over="ignore", invalid="ignore"):  # numbers near the end of float64
        spread = float(np.std(values[~missing])) if high <= low else (high - low) / 1.35
        scaled = np.clip((np.where(missing, middle, values) - middle) / max(spread, 1e-300), -8, 8)
    scaled = np.nan_to_num(scaled)
    return [scaled, missing.astype(np.float64)] if missing.any() else [scaled]


def _text(column: pd.Series, seed: int) -> np.ndarray:
    """Principal directions of a tf-idf (latent semantic analysis) of words, or of letters where texts are short."""
    texts = ["" if missing else str(t) for t, missing in zip(column, column.isna(), strict=True)]
    words = float(np.mean([len(t.split()) for t in texts[:500]]))
    if words < 3:
        how: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (1, 3)}
    else:
        how = {"token_pattern": r"\b\w+\b|[!?]"}
    most = max(200, _LETTERS // len(texts))
    how |= {"sublinear_tf": True, "min_df": 2, "max_features": _TERMS, "dtype": np.float32}
    terms = TfidfVectorizer(**how)
    try:
        counts = terms.fit_transform([t[:most] for t in texts])
    except ValueError:  # no word stands in two texts
        return np.zeros((len(texts), 0))
    if counts.shape[1] <= 3:
        return counts.toarray()
    size = min(3 * MAX_FEATURES // 2, counts.shape[1] - 1, counts.shape[0] - 1)
    return _project(counts, counts, size, seed, rounds=2)  # words have no few main directions: one round blurs them


def _array(array: np.ndarray, rows: np.ndarray, modality: Modality | None) -> np.ndarray:
    """Images and spectrograms averaged down to 24 x 24, series to 128 steps and their spectrum; then flat."""
    parts = []
    for start in range(0, len(rows), _BLOCK):
        block = np.asarray(array[rows[start : start + _BLOCK]], dtype=np.float32)
        if modality == "series":
            block = _series(block)
        elif block.ndim >= 3:
            block = shrink(block)
        parts.append(block.reshape(len(block), -1))
    return np.nan_to_num(np.vstack(parts), copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def shrink(block: np.ndarray, side: int = _SIDE) -> np.ndarray:
    """Images averaged over whole blocks of pixels until no side is longer than 2 * ``side`` - 1.

    (n, h, w), (n, h, w, c) or (n, c, h, w): the two longest axes are taken for height and width.
    """
    if block.ndim == 4 and block.shape[1] > 4:
        block = np.moveaxis(block, 3, 1)
    for axis in (-2, -1):
        step = block.shape[axis] // side
        if step >= 2:
            length = block.shape[axis] // step
            block = np.moveaxis(block, axis, -1)[..., : length * step]
            block = block.reshape(*block.shape[:-1], length, step).mean(axis=-1)
            block = np.moveaxis(block, -1, axis)
    return block


def _series(block: np.ndarray) -> np.ndarray:
    """(n, channels, length) -> (n, features): values averaged in time, and the spectrum, which bears
    shifts.
    """
    block = block.reshape(len(block), -1, block.shape[-1])
    there = np.isfinite(block)
    sums = np.where(there, block, 0).sum(axis=-1, keepdims=True)
    block = np.where(there, block, sums / np.maximum(there.sum(axis=-1, keepdims=True), 1))
    step = max(1, block.shape[-1] // _LENGTH)
    length = block.shape[-1] // step
    values = block[..., : length * step].reshape(*block.shape[:2], length, step).mean(axis=-1)
    spectrum = np.abs(np.fft.rfft(values - values.mean(axis=-1, keepdims=True), axis=-1)) / np.sqrt(length)
    return np.concatenate([values.reshape(len(block), -1), spectrum.reshape(len(block), -1)], axis=1)


def reduced(block: np.ndarray, seed: int) -> np.ndarray:
    """A block with at most ``MAX_FEATURES`` columns: principal components, unscaled."""
    block = block - block.mean(axis=0)
    size = min(MAX_FEATURES, len(block) - 1)
    if block.shape[1] <= MAX_FEATURES or size < 2:
        return block
    few = block if len(block) <= _BASIS else block[np.random.default_rng(seed).choice(len(block), _BASIS, False)]
    return _project(block, few, size, seed)


def _project(block: Any, few: Any, size: int, seed: int, rounds: int = 1) -> np.ndarray:
    """A dense or sparse block on the first ``size`` right singular directions of some of its rows (Halko et al.)."""
    how: dict[str, Any] = {"n_iter": rounds, "power_iteration_normalizer": "QR", "random_state": seed}
    _, _, directions = randomized_svd(few, size, **how)
    return np.asarray(block @ directions.T, dtype=np.float64)
