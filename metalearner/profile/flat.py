"""Encoded inputs of any modality as one matrix, for the measures that need one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl.types import Input

MAX_WIDTH = 128
"""A wider input is reduced to so many principal components."""

_LEVELS, _SIDE, _STEPS, _WORDS = 16, 16, 128, 1024


def flatten(specs: Sequence[Input], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Float64 (rows, features). Each input's block is centred and has a mean squared norm of 1."""
    blocks = [_unit(_BY_MODALITY[s.modality](s, a)) for s, a in zip(specs, arrays, strict=True)]
    blocks = [b for b in blocks if b.shape[1]]
    return np.hstack(blocks) if blocks else np.zeros((len(arrays[0]), 1))


def _unit(block: np.ndarray) -> np.ndarray:
    block = block - block.mean(axis=0)
    block = reduce_width(block[:, block.std(axis=0) > 1e-9])
    norm = np.sqrt((block**2).sum(axis=1).mean()) if block.size else 1.0
    return block / max(float(norm), 1e-12)


def reduce_width(block: np.ndarray) -> np.ndarray:
    """A centred block (rows, d) turned to its ``MAX_WIDTH`` main directions where it is wider."""
    n, d = block.shape
    if d <= MAX_WIDTH:
        return block
    if n <= d:
        values, vectors = np.linalg.eigh(block @ block.T)
        keep = slice(max(0, n - MAX_WIDTH), None)
        return vectors[:, keep] * np.sqrt(np.maximum(values[keep], 0))
    _, vectors = np.linalg.eigh(block.T @ block)
    return block @ vectors[:, -MAX_WIDTH:]


def _tabular(spec: Input, array: np.ndarray) -> np.ndarray:
    """Standardised numbers; each category's frequent values as 0 or 1."""
    x = np.nan_to_num(array.astype(np.float64), posinf=0, neginf=0)
    columns = []
    for i, size in enumerate(spec.cardinalities or (0,) * x.shape[1]):
        if size == 0:
            spread = x[:, i].std()
            columns.append(np.clip((x[:, i] - x[:, i].mean()) / max(spread, 1e-12), -6, 6)[:, None])
        else:
            codes = x[:, i].astype(np.int64)
            frequent = np.argsort(-np.bincount(codes, minlength=size), kind="stable")[:_LEVELS]
            columns.append((codes[:, None] == frequent).astype(np.float64))
    return np.hstack(columns) if columns else np.zeros((len(x), 0))


def pooled(images: np.ndarray, side: int = _SIDE) -> np.ndarray:
    """(rows, channels, height, width) averaged over whole blocks of pixels to sides below 2 * ``side``."""
    out = images.astype(np.float64)
    for axis in (2, 3):
        step = out.shape[axis] // side
        if step >= 2:
            length = out.shape[axis] // step
            out = np.moveaxis(out, axis, -1)[..., : length * step]
            out = np.moveaxis(out.reshape(*out.shape[:-1], length, step).mean(axis=-1), -1, axis)
    return out


def _image(_: Input, array: np.ndarray) -> np.ndarray:
    return pooled(array).reshape(len(array), -1)


def _series(spec: Input, array: np.ndarray) -> np.ndarray:
    values = array.astype(np.float64)
    step = max(1, values.shape[-1] // _STEPS)
    length = values.shape[-1] // step
    values = values[..., : length * step].reshape(*values.shape[:2], length, step).mean(axis=-1)
    return np.nan_to_num(values.reshape(len(values), -1))


def _text(_: Input, array: np.ndarray) -> np.ndarray:
    return word_counts(array)


def word_counts(tokens: np.ndarray, pairs: bool = False) -> np.ndarray:
    """Rows of token ids to square roots of word shares, (rows, words), most frequent words first.

    ``pairs``: neighbouring words count as words too. Padding (0) is left out.
    """
    rows, places = np.nonzero(tokens > 1)
    ids = tokens[rows, places].astype(np.int64)
    counts = _counts(rows, ids, len(tokens))
    if not pairs:
        return counts
    both = (tokens[:, :-1] > 1) & (tokens[:, 1:] > 1)
    rows, places = np.nonzero(both)
    ids = tokens[rows, places].astype(np.int64) * (int(tokens.max()) + 1) + tokens[rows, places + 1]
    return np.hstack([counts, _counts(rows, ids, len(tokens))])


def _counts(rows: np.ndarray, ids: np.ndarray, n: int) -> np.ndarray:
    if not len(ids):
        return np.zeros((n, 0))
    words, codes, frequency = np.unique(ids, return_inverse=True, return_counts=True)
    rank = np.empty(len(words), dtype=np.int64)
    rank[np.lexsort((words, -frequency))] = np.arange(len(words))
    kept = rank[codes] < _WORDS
    counts = np.zeros((n, min(len(words), _WORDS)))
    np.add.at(counts, (rows[kept], rank[codes][kept]), 1)
    rarity = np.log(n / np.maximum((counts > 0).sum(axis=0), 1)) + 1
    counts = np.log1p(counts) * rarity
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12)


_BY_MODALITY = {"tabular": _tabular, "image": _image, "audio": _image, "series": _series, "text": _text}
