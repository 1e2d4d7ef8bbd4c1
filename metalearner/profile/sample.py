"""The rows that a profile is measured on, chosen and ordered by their content."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from automl.data.dataset import Dataset, Part, taken
from automl.data.quality.rowhash import combine, hash_array
from automl.types import Input, Modality, Task

Measured = Mapping[str, float | str]
"""Feature name -> value, or the reason why there is none."""


class Unmeasurable(Exception):
    """A whole group of features does not apply; the message is the reason."""


@dataclass(frozen=True)
class Group:
    """Features that are measured together. ``features``: name -> what it is, with its unit."""

    features: Mapping[str, str]
    measure: Callable[[Sample], Measured]


@dataclass(frozen=True)
class Sample:
    """At most ``max_rows`` encoded rows, sorted by content hash, and plain counts over all of them.

    Hashes are as good as random, so the first rows are a fair sample, the same one whatever the order of the
    rows. ``inputs``: as in ``Part``, shape (sampled, ...). ``y``: (sampled,). ``total``: all training rows, each once.
    ``class_counts``: over all training rows, (classes,); empty for regression. ``dataset`` and ``rows``: the
    raw rows. ``duplicate_share``: of all training rows, those whose inputs repeat an earlier one's.
    """

    task: Task
    inputs: tuple[np.ndarray, ...]
    y: np.ndarray
    total: int
    class_counts: np.ndarray
    seed: int
    dataset: Dataset | None
    rows: np.ndarray
    duplicate_share: float

    @classmethod
    def draw(cls, task: Task, train: Part, dataset: Dataset | None, *, seed: int, max_rows: int) -> Sample:
        if len(train) == 0:
            raise ValueError("a profile needs at least one training row")
        if train.distinct < len(train):  # copies tell of each other (``automl.data.weights``): nothing would be unseen
            train = taken(train, np.unique(train.rows, return_index=True)[1])
        task, train = _only_tokens(task, train)
        inputs = combine([hash_array(np.asarray(a)) for a in train.inputs])
        hashes = combine([inputs, hash_array(np.asarray(train.y))])
        few = np.argpartition(hashes, max_rows)[:max_rows] if len(hashes) > max_rows else np.arange(len(hashes))
        chosen = few[np.argsort(hashes[few], kind="stable")]
        is_regression = task.kind == "regression"
        counts = np.zeros(0, int) if is_regression else np.bincount(train.y, minlength=task.num_outputs)
        return cls(
            task=task,
            inputs=tuple(np.asarray(a[chosen]) for a in train.inputs),
            y=np.asarray(train.y)[chosen],
            total=len(train),
            class_counts=counts,
            seed=seed,
            dataset=dataset,
            rows=train.rows,
            duplicate_share=1 - len(np.unique(inputs)) / len(inputs),
        )

    def __len__(self) -> int:
        return len(self.y)

    @property
    def is_regression(self) -> bool:
        return self.task.kind == "regression"

    def one(self, modality: Modality) -> tuple[Input, np.ndarray]:
        """The largest input of a modality and its rows. Raises Unmeasurable when there is none."""
        found = [
            (spec, array)
            for spec, array in zip(self.task.inputs, self.inputs, strict=True)
            if spec.modality == modality
        ]
        if not found:
            raise Unmeasurable(f"the task has no {modality} input")
        return max(found, key=lambda pair: int(np.prod(pair[0].shape)))

    @functools.cached_property
    def targets(self) -> np.ndarray:
        """What a linear model is to tell: one-hot classes less their mean, or the standardised value; (rows,
        outputs).
        """
        if self.is_regression:
            y = self.y.astype(np.float64)
            return ((y - y.mean()) / max(float(y.std()), 1e-12))[:, None]
        codes = np.eye(self.task.num_outputs)[self.y]
        return codes - codes.mean(axis=0)

    @functools.cached_property
    def flat(self) -> np.ndarray:
        """All inputs as one standardised matrix, float64 (rows, features): see ``flat``."""
        from metalearner.profile.flat import flatten

        return flatten(self.task.inputs, self.inputs)

    @functools.cached_property
    def square_distances(self) -> np.ndarray:
        """Between the rows of ``flat``: (rows, rows), infinite on the diagonal."""
        norms = (self.flat**2).sum(axis=1)
        squares = np.maximum(norms[:, None] + norms - 2 * self.flat @ self.flat.T, 0)
        np.fill_diagonal(squares, np.inf)
        return squares

    @functools.cached_property
    def folds(self) -> np.ndarray:
        """Fold 0, 1 or 2 of each row, each class spread evenly; (rows,)."""
        if self.is_regression:
            return np.arange(len(self)) % 3
        order = np.argsort(self.y, kind="stable")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        return place % 3


def _only_tokens(task: Task, train: Part) -> tuple[Task, Part]:
    """Groups of letters and pieces of words say nothing about a text that its tokens do not."""
    if not any(of.letters or of.pieces for of in task.inputs):
        return task, train
    texts = [of.modality == "text" for of in task.inputs]
    inputs = tuple(
        replace(of, shape=(of.tokens,), letters=0, pieces=0) if text else of
        for of, text in zip(task.inputs, texts, strict=True)
    )
    arrays = (
        a[:, : of.tokens] if of.modality == "text" else a for of, a in zip(task.inputs, train.inputs, strict=True)
    )
    return replace(task, inputs=inputs), replace(train, inputs=tuple(map(np.ascontiguousarray, arrays)))
