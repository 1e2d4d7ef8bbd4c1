"""Searches replayed on a table: which candidates a method would run, in which order."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np

from automl.types import Candidate, Prior
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
    prior: Prior,
    candidates: Sequence[Candidate],
    evaluations: int,
    rng: np.random.Generator,
    elsewhere: Container[str] = (),
) -> np.ndarray:
    """The order in which a search that is told nothing follows a prior, (evaluations,): its list, then draws from it.

    Of what is not among the ``candidates`` the most alike of the family stands in, the likeliest of equals; unless it
    was run ``elsewhere`` (identifiers): that is left out.
    """
    place = {c.id: i for i, c in enumerate(candidates)}
    likely = np.array([prior.log_prob(c) for c in candidates])
    first: dict[int, None] = {}
    for wanted in prior.portfolio:
        if len(first) >= evaluations:
            break
        found = place.get(wanted.id)
        if found is None and wanted.id not in elsewhere:
            alike = [
                (len(wanted.choices.items() & c.choices.items()), likely[i], -i)
                for i, c in enumerate(candidates)
                if c.family == wanted.family and i not in first
            ]
            found = -max(alike)[2] if alike else None
        if found is not None:
            first[found] = None
    drawn = np.argsort(-(np.maximum(likely, -1e6) + rng.gumbel(size=len(candidates))), kind="stable")  # without return
    return np.array([*first, *(i for i in drawn.tolist() if i not in first)], dtype=np.int64)[:evaluations]


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
    place = np.random.default_rng(0).integers(1, 2**62, len(base))  # a hash: there may be more points than integers
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


def adaptive(
    session: Session, seen: np.ndarray, seconds: np.ndarray, evaluations: int, opening: Sequence[int] = ()
) -> np.ndarray:
    """The order of a meta-learner that is told each result, (evaluations,); ``opening``: what it tries first."""
    order: list[int] = []
    while len(order) < evaluations:
        j = opening[len(order)] if len(order) < len(opening) else session.next()
        if j is None:
            break
        order.append(j)
        session.observe(j, None if np.isnan(seen[j]) else float(seen[j]), float(seconds[j]))
    return np.array(order, dtype=np.int64)
