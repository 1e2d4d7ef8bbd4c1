"""The simple model that a search's model is compared with: linear in the inputs as they are, fitted at once."""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from automl.data.dataset import Part, Parts
from automl.machine import cores
from automl.metrics import decision
from automl.models.closed_form.linear_head import linear_head
from automl.models.layers.tabular import columns
from automl.types import Input, Task
from metalearner.profile.flat import pooled
from nas.engines.base import Engine
from nas.job import Job

log = logging.getLogger(__name__)

# By judgement: a person's first linear model, in the seconds of ``nas.time.simple_seconds``. With more it is slower.
LEVELS, WORDS = 32, 1_000  # most frequent categories of a column, most frequent tokens of a text
STEPS = 128  # of a series, averaged in time; fewer where its channels are many
NUMBERS = 10_000_000  # rows x features that are learned from, at most: 80 MB
ANSWERED = 4_096  # rows at once


@dataclass(frozen=True)
class Simple:
    """``name``: of the model, for people. ``rows``: of training that it learned from, ``features`` of each, in about
    so many ``seconds``.

    ``valid``, ``test``: what it answers, probabilities (rows, classes) or values (rows,). ``weights``: of its decision
    (classes,), found on the validation rows as the model's own are; None for the likeliest class.
    """

    name: str
    rows: int
    features: int
    seconds: float
    valid: np.ndarray
    test: np.ndarray
    weights: np.ndarray | None


@dataclass(frozen=True)
class Fitted:
    """Output = (features - middle) @ weight + bias: (features,), (features, outputs), (outputs,). ``rows``: see
    ``Simple``.
    """

    middle: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    rows: int

    def answers(self, task: Task, part: Part) -> np.ndarray:
        """See ``Simple``."""
        starts = range(0, max(len(part), 1), ANSWERED)
        blocks = (features(task.inputs, [a[i : i + ANSWERED] for a in part.inputs]) for i in starts)
        told = np.concatenate([(block - self.middle) @ self.weight + self.bias for block in blocks])
        return told[:, 0] if task.kind == "regression" else softmax(told, axis=1)


def simple_model(engine: Engine, task: Task, parts: Parts, seconds: float) -> Callable[[], Simple | None]:
    """Logistic regression of classes, ridge regression of values, learned from the training rows in about ``seconds``;
    None where it cannot be: what there is to compare with never costs a search.

    Its inputs are those of the networks, as numbers side by side: nothing is fitted to other rows than those. A worker
    of the engine fits it if one is free, while this process goes on; what is returned waits for it. ``engine``: of the
    search for this task, from these rows.
    """
    threads = cores() - engine.aside  # what goes on here takes one
    fit = engine.beside(functools.partial(fitted, seconds=seconds, threads=threads))

    @functools.cache
    def made() -> Simple | None:
        try:
            return _answered(fit(), task, parts, seconds)
        except Exception as error:  # solvers raise whatever they meet
            log.warning("there is no simple model to compare with: %s: %s", type(error).__name__, error)
            return None

    return made


def fitted(job: Job, seconds: float, threads: int) -> Fitted:
    task, train, until = job.task, job.train, time.monotonic() + seconds
    width = features(task.inputs, [a[:1] for a in train.inputs]).shape[1]
    rows = np.random.default_rng(0).permutation(len(train))[: max(NUMBERS // width, 1)]
    if train.distinct < len(train):
        rows.sort()  # copies of a row stay beside one another
    x = features(task.inputs, [a[rows] for a in train.inputs])
    middle = x.mean(axis=0)
    classes = 0 if task.kind == "regression" else task.num_outputs
    weight, bias = linear_head(x - middle, train.y[rows], classes, threads=threads, until=until)
    return Fitted(middle, weight, bias, len(np.unique(train.rows[rows])))


def _answered(of: Fitted, task: Task, parts: Parts, seconds: float) -> Simple:
    valid, regression = of.answers(task, parts.valid), task.kind == "regression"
    moved = None if regression else decision(task.metric, parts.valid.y, valid)
    return Simple(
        name="ridge regression" if regression else "logistic regression",
        rows=of.rows,
        features=len(of.middle),
        seconds=seconds,
        valid=valid,
        test=of.answers(task, parts.test),
        weights=None if moved is None or (moved == 1).all() else moved,
    )


def features(inputs: Sequence[Input], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Float64 (rows, features): numbers of a table and 0 or 1 for its categories, pixels, steps, shares of words."""
    return np.hstack([_OF[of.modality](of, a) for of, a in zip(inputs, arrays, strict=True)])


def _table(of: Input, array: np.ndarray) -> np.ndarray:
    numbers, codes = columns(of)
    x = array.astype(np.float64)
    parts = [x[:, numbers]]
    parts += [x[:, [i]] == np.arange(min(of.cardinalities[i], LEVELS + 1)) for i in codes]  # 0 is what is unknown
    return np.hstack(parts).astype(np.float64)


def _picture(_: Input, array: np.ndarray) -> np.ndarray:
    unit = 255.0 if array.dtype == np.uint8 else 1.0
    return _flat(pooled(array)) / unit


def _series(_: Input, array: np.ndarray) -> np.ndarray:
    steps = max(4, min(STEPS, WORDS // array.shape[1]))
    return _flat(pooled(array[:, :, None, :], steps))


def _flat(block: np.ndarray) -> np.ndarray:
    return np.nan_to_num(block.reshape(len(block), math.prod(block.shape[1:])))


def _text(of: Input, array: np.ndarray) -> np.ndarray:
    """Tokens have numbers in order of frequency; 0 pads, 1 is an empty text."""
    size = min(of.vocabulary, WORDS)
    rows, places = np.nonzero((array[:, : of.tokens] > 1) & (array[:, : of.tokens] < size))
    counts = np.zeros((len(array), size))
    np.add.at(counts, (rows, array[rows, places]), 1)
    counts = np.log1p(counts)
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12)


_OF = {"tabular": _table, "image": _picture, "audio": _picture, "series": _series, "text": _text}
