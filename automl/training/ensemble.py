"""Which trained networks to average: those level with the best, then greedy selection from there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from automl import metrics
from automl.types import Task

ROUNDS = 40
PATIENCE = 10
"""At most so many rounds, and so many without a better ensemble. By judgement, as they bound the time; with ``BEGUN`` a
weight may be as fine as a fiftieth."""
ERRORS = 2.0
RESAMPLES = 50
ASKED = 3
"""Scores no more than so many standard errors apart are level (the usual 95 %; what it is worth on small sets stands in
docs/benchmarks.md); so many bootstrap samples tell the error, to a tenth; and so many times the ensemble's size of the
best networks are asked, by judgement."""
BEGUN = 10
"""Greedy selection begins with an average that counts as so many rounds: ``+experiment=bench/ensemble``."""
SURE = 10, 2 * ERRORS
"""After so many samples a gap of so many standard errors needs no further ones: it is more than ``ERRORS``, as ten tell
the error to a quarter."""
NUMBERS = {"roc_auc": (2**17, 300)}
PLENTY = 2**20, 1000
"""Of one network's predictions so many numbers, but at least so many rows, are looked at; fewer where a score has to
sort them. With 20 networks a choice takes some seconds then, whatever the rows and classes (``test_ensemble``)."""

Allowed = Callable[[tuple[int, ...]], bool]


def select(
    predictions: Sequence[np.ndarray],
    y: np.ndarray,
    task: Task,
    *,
    families: Sequence[Hashable] | None = None,
    size: int = 5,
    allowed: Allowed | None = None,
    effective: int | None = None,
) -> list[float]:
    """Weights (summing to 1) of the networks to average, as the validation rows advise; most are 0.

    The average that scores best on these rows is the luckiest of very many: what tells such averages apart is how sure
    their networks are of themselves, and weak ones join to move a threshold. So the choice begins with an average of up
    to ``size`` networks that are level with the best (see ``level``), of many families where scores are equal. Greedy
    selection goes on from there (see ``greedy``), without those that know less than half of what the best does, and is
    followed where it is better by more than ``ERRORS`` standard errors.

    Of very many rows or classes some rows are looked at (``PLENTY``), evenly spread over the classes or values: more
    would say the same, for minutes.

    ``predictions``: one per network, probabilities (rows, classes) or values (rows,). ``families``: what kind each
    network is; None: each is its own. ``size``: largest number of different networks. ``allowed``: whether networks
    (indices, ascending) may be deployed together (hard limits); asked before a network joins, a single network
    included. ``effective``: how many rows of equal weight these tell as much as (``automl.data.weights``), None: all.
    Raises ValueError for no predictions, or when not one network is allowed.
    """
    if not predictions or size < 1:
        raise ValueError(f"an ensemble needs networks and a size, got {len(predictions)} and {size}")
    if len(some := _enough(task, y, predictions[0].shape[1:])) < len(y):
        predictions, y = [p[some] for p in predictions], y[some]
    draws = min(effective or len(y), len(y))
    allowed = allowed or (lambda members: True)
    keys = {i: _key(task, y, p) for i, p in enumerate(predictions) if allowed((i,))}
    if not keys:
        raise ValueError("no network is allowed in the ensemble")
    ranked = sorted(keys, key=lambda i: (keys[i], -i), reverse=True)
    kinds = list(families) if families is not None else list(range(len(predictions)))
    pool = _in_turns(ranked, {i: key[0] for i, key in keys.items()}, kinds)[: ASKED * size]
    base = level(predictions, y, task, pool, size=size, allowed=allowed, draws=draws)
    worth = _worth(task, y, [keys[i][0] for i in ranked])
    found = greedy(predictions, y, task, ranked[:worth], base, size=size, allowed=allowed)
    behind = _errors_behind(task, y, blend(predictions, found), blend(predictions, base), draws)
    return found if behind > ERRORS else base


def greedy(
    predictions: Sequence[np.ndarray],
    y: np.ndarray,
    task: Task,
    pool: Sequence[int],
    base: Sequence[float],
    *,
    size: int,
    allowed: Allowed,
) -> list[float]:
    """Selection with replacement (Caruana et al. 2004, "Ensemble Selection from Libraries of Models").

    It begins with the average ``base``, which counts as ``BEGUN`` rounds. In each round the network of ``pool`` (best
    first) that helps the average most joins, again if need be. The best round counts, not the last. Equal scores are
    told apart by log-loss or squared error.
    """
    counts = BEGUN * np.asarray(base, dtype=np.float64)
    total = blend(predictions, base) * BEGUN
    rounds, since = BEGUN, 0
    best, chosen = _key(task, y, total / rounds), counts.copy()
    for _ in range(ROUNDS):
        members = {int(i) for i in np.flatnonzero(counts)}
        may = [i for i in pool if i in members or (len(members) < size and allowed(tuple(sorted({*members, i}))))]
        averages = {i: _score(task, y, (total + predictions[i]) / (rounds + 1)) for i in may}
        top = [i for i in may if averages[i] == max(averages.values())]
        key, joins = max((_key(task, y, (total + predictions[i]) / (rounds + 1)), -i) for i in top)
        counts[-joins] += 1
        total, rounds, since = total + predictions[-joins], rounds + 1, since + 1
        if key > best:
            best, chosen, since = key, counts.copy(), 0
        elif since >= PATIENCE:
            break
    return (chosen / chosen.sum()).tolist()


def level(
    predictions: Sequence[np.ndarray],
    y: np.ndarray,
    task: Task,
    pool: Sequence[int],
    *,
    size: int,
    allowed: Allowed,
    draws: int | None = None,
) -> list[float]:
    """Weights for the first ``size`` networks of ``pool`` that the rows cannot tell from its first, the best.

    Who is z standard errors behind weighs exp(-z² / 2): how likely it is to be as good. ``draws``: see
    ``_errors_behind``.
    """
    weights = np.zeros(len(predictions))
    weights[pool[0]] = 1.0
    for i in pool[1:]:
        members = np.flatnonzero(weights).tolist()
        if len(members) == size:
            break
        if allowed(tuple(sorted({*members, i}))):
            behind = _errors_behind(task, y, predictions[pool[0]], predictions[i], draws)
            weights[i] = math.exp(-(behind**2) / 2) if behind <= ERRORS else 0.0
    return (weights / weights.sum()).tolist()


def blend(predictions: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Weighted mean of predictions; the weights need not sum to 1."""
    total = sum(w * np.asarray(p, dtype=np.float64) for p, w in zip(predictions, weights, strict=True) if w > 0)
    return np.asarray(total) / sum(weights)


def _in_turns(ranked: Sequence[int], scores: Mapping[int, float], kinds: Sequence[Hashable]) -> list[int]:
    """By score; of equal scores the best of each kind, then the second best of each, and so on."""
    seen: Counter[Hashable] = Counter()
    turn = {}
    for i in ranked:
        turn[i] = seen[kinds[i]]
        seen[kinds[i]] += 1
    return sorted(ranked, key=lambda i: (-scores[i], turn[i]))


def _errors_behind(task: Task, y: np.ndarray, better: np.ndarray, other: np.ndarray, draws: int | None = None) -> float:
    """How many standard errors the score of ``other`` is below that of ``better``; 0 when it is not.

    Both are scored on the same bootstrap samples of the rows, so that what is hard for both does not count as error.
    ``draws``: rows of a sample, None: all.
    """
    gap = _score(task, y, better) - _score(task, y, other)
    if gap <= 0:
        return 0.0
    rng = np.random.default_rng(0)
    gaps: list[float] = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(y), draws or len(y))
        gaps.append(_score(task, y[rows], better[rows]) - _score(task, y[rows], other[rows]))
        if len(gaps) == SURE[0] and gap > SURE[1] * float(np.std(gaps)) > 0:
            break
    error = float(np.std(gaps))
    return gap / error if error > 0 else math.inf


def _worth(task: Task, y: np.ndarray, scores: Sequence[float]) -> int:
    """How many of the networks (scores, best first) are at least half as far above a constant answer as the best is."""
    if task.kind == "regression":
        constant = np.full(len(y), y.mean())
    else:
        constant = np.tile(np.bincount(y, minlength=task.num_outputs) / len(y), (len(y), 1))
    least = (_score(task, y, constant) + scores[0]) / 2
    return max(sum(score >= least for score in scores), 1)


def _score(task: Task, y: np.ndarray, prediction: np.ndarray) -> float:
    return metrics.score(task.metric, task.kind, y, prediction)


def _enough(task: Task, y: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Positions of the rows that are looked at, evenly spread over the targets: rare classes keep their share."""
    numbers, fewest = NUMBERS.get(task.metric, PLENTY)
    most = max(numbers // math.prod(shape), fewest)
    if len(y) <= most:
        return np.arange(len(y))
    return np.sort(np.argsort(y, kind="stable")[np.linspace(0, len(y) - 1, most).astype(np.int64)])


def _key(task: Task, y: np.ndarray, prediction: np.ndarray) -> tuple[float, float]:
    """What is compared: the task's score, then how good the probabilities or values are beyond it."""
    second = "rmse" if task.kind == "regression" else "log_loss"
    return _score(task, y, prediction), metrics.score(second, task.kind, y, prediction)
