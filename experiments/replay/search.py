"""Searches replayed on a table: which candidates a method would run, in which order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl.types import Candidate
from metalearner.transfer.session import Session


def incumbent(orders: np.ndarray, seen: np.ndarray, regret: np.ndarray) -> np.ndarray:
    """Regret of the best seen so far after each evaluation, float (runs, evaluations).

    ``orders``: int (runs, evaluations). ``seen``: (runs, candidates), what each run is told; NaN is a failure.
    ``regret``: (candidates,). The first of equals is kept.
    """
    told = np.take_along_axis(np.nan_to_num(seen, nan=-np.inf), orders, axis=1)
    best = np.maximum.accumulate(told, axis=1)
    new = np.hstack([np.ones((len(told), 1), bool), best[:, 1:] > best[:, :-1]])
    place = np.maximum.accumulate(np.where(new, np.arange(told.shape[1]), 0), axis=1)
    return regret[np.take_along_axis(orders, place, axis=1)]


def listed(
    ranked: Sequence[Candidate], candidates: Sequence[Candidate], evaluations: int, rng: np.random.Generator
) -> np.ndarray:
    """The order of a list, (evaluations,); what it leaves out follows at random."""
    place = {c.id: i for i, c in enumerate(candidates)}
    first = [place[c.id] for c in ranked if c.id in place]
    rest = rng.permutation(np.setdiff1d(np.arange(len(candidates)), first))
    return np.r_[np.array(first, dtype=np.int64), rest][:evaluations]


def evolution(
    codes: np.ndarray, seen: np.ndarray, evaluations: int, rng: np.random.Generator, population: int, sample: int
) -> np.ndarray:
    """Regularized evolution over the rows of ``codes`` (candidates, axes), as NNI runs it, (evaluations,).

    Real et al., Regularized Evolution for Image Classifier Architecture Search (2019), algorithm 1: the first
    ``population`` are random; then the best of ``sample`` members has each axis drawn again with a probability of
    one in the number of axes, and the oldest member leaves. Nothing is run twice; what is no row is drawn again.
    """
    count = len(codes)
    base = codes.max(axis=0).astype(np.int64) + 1
    place = np.r_[1, np.cumprod(base[:-1])] if len(base) else np.ones(0, np.int64)
    keys = codes @ place
    sorted_keys = np.argsort(keys)
    score = np.nan_to_num(seen, nan=-np.inf)
    order = rng.permutation(count)[: min(population, evaluations)].tolist()
    done = np.zeros(count, bool)
    done[order] = True
    living = list(order)
    while len(order) < min(evaluations, count):
        members = rng.permutation(len(living))[:sample]
        parent = codes[living[max(members, key=lambda m: score[living[m]])]]
        again = rng.random((64, codes.shape[1])) < 1 / max(1, codes.shape[1])
        children = np.where(again, (rng.random((64, codes.shape[1])) * base).astype(np.int64), parent) @ place
        found = sorted_keys[np.minimum(np.searchsorted(keys, children, sorter=sorted_keys), count - 1)]
        usable = found[(keys[found] == children) & ~done[found]]
        child = int(usable[0]) if len(usable) else int(rng.choice(np.flatnonzero(~done)))
        order.append(child)
        done[child] = True
        living = [*living[1:], child] if len(living) >= population else [*living, child]
    return np.array(order, dtype=np.int64)


def adaptive(session: Session, seen: np.ndarray, seconds: np.ndarray, evaluations: int) -> np.ndarray:
    """The order of a meta-learner that is told each result, (evaluations,)."""
    order = []
    while len(order) < evaluations and (j := session.next()) is not None:
        order.append(j)
        session.observe(j, None if np.isnan(seen[j]) else float(seen[j]), float(seconds[j]))
    return np.array(order, dtype=np.int64)
