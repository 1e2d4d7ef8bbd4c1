"""Folds: rows that take turns in judging, where one validation split would be a lottery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from automl.data.dataset import Part, taken


@dataclass(frozen=True)
class Folds:
    """k-fold cross-validation of encoded rows.

    ``rows``: all rows to learn from. ``pairs``: for each fold the positions in ``rows`` that it trains on and those
    that it predicts, each ascending. A row is predicted by one fold at most; along time the earliest by none.
    Raises ValueError for pairs that are no such folds.
    """

    rows: Part
    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]

    def __post_init__(self) -> None:
        predicted = np.concatenate([valid for _, valid in self.pairs]) if self.pairs else np.zeros(0, np.int64)
        if len(self.pairs) < 2 or any(len(train) == 0 or len(valid) == 0 for train, valid in self.pairs):
            raise ValueError(f"cross-validation needs at least 2 folds with rows in each, got {len(self.pairs)}")
        if len(np.unique(predicted)) != len(predicted) or any(np.intersect1d(*pair).size for pair in self.pairs):
            raise ValueError("a row is predicted by two folds, or by one that trained on it")

    def __len__(self) -> int:
        return len(self.pairs)

    def __str__(self) -> str:
        count = f"{self.valid.distinct:,}"
        if len(self.judged) < len(self.rows):
            count = f"the latest {count} of {self.rows.distinct:,}"
        return f"{len(self)}-fold cross-validation, {count} rows"

    @cached_property
    def judged(self) -> np.ndarray:
        """Positions in ``rows`` of those that some fold predicts, ascending."""
        return np.sort(np.concatenate([valid for _, valid in self.pairs]))

    @cached_property
    def valid(self) -> Part:
        """The rows that some fold predicts: what ``pooled`` predictions are compared with."""
        return taken(self.rows, self.judged)

    def parts(self, fold: int) -> tuple[Part, Part]:
        """What a fold trains on and what it predicts."""
        train, valid = self.pairs[fold]
        return taken(self.rows, train), taken(self.rows, valid)

    def pooled(self, predictions: Sequence[np.ndarray]) -> np.ndarray:
        """One array (rows of the fold, ...) per fold -> all in the row order of ``valid``."""
        out = np.empty((len(self.judged), *predictions[0].shape[1:]), predictions[0].dtype)
        for (_, valid), predicted in zip(self.pairs, predictions, strict=True):
            out[np.searchsorted(self.judged, valid)] = predicted
        return out
