"""Past runs as columns: one normalised score per task and candidate.

Scores of different tasks have different units, so everything here compares ranks *within* a task. A sparse
store (every task tried its own candidates) stays sparse: nothing grows with tasks x candidates unless asked
for by ``dense``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl.types import Candidate, Profile, Runs


@dataclass(frozen=True)
class History:
    """Past runs, one row per (task, candidate), sorted by task, then candidate.

    ``task``, ``candidate``: int (n,) indices into ``tasks`` and ``candidates``. ``score``: float (n,), the
    mean over seeds at the highest fidelity at which that pair was scored, as if it had gone on for the most epochs of
    its task (see ``gain``); NaN where every trial failed: a longer one that failed undoes no score. ``rank``:
    float (n,), share of the task's other candidates that this one beats: 1 best, 0 worst, failures 0, ties
    share their mean.
    ``seconds``: float (n,), mean wall seconds of those trials, as if each had gone on for the most epochs that any
    trial of its task had, so that what was trained for longer does not look dearer; NaN when unknown.
    """

    tasks: tuple[str, ...]
    groups: tuple[str, ...]
    profiles: tuple[Profile | None, ...]
    candidates: tuple[Candidate, ...]
    task: np.ndarray
    candidate: np.ndarray
    score: np.ndarray
    rank: np.ndarray
    seconds: np.ndarray

    @classmethod
    def empty(cls) -> History:
        """No past runs."""
        none, numbers = np.zeros(0, np.int64), np.zeros(0)
        return cls((), (), (), (), none, none, numbers, numbers, numbers)

    @classmethod
    def of(cls, runs: Runs) -> History:
        """Columns of trials -> one row per pair, in O(n log n)."""
        pair = runs.task.astype(np.int64) * max(1, len(runs.candidates)) + runs.candidate
        pairs, inverse = np.unique(pair, return_inverse=True)
        longest = np.zeros(len(runs.tasks), np.int64)
        np.maximum.at(longest, runs.task, runs.fidelity.astype(np.int64))
        lengths = int(longest.max(initial=0)) + 1
        told = runs.fidelity.astype(np.int64) + lengths * np.isfinite(runs.score)  # a score before every failure
        top = np.zeros(len(pairs), np.int64)
        np.maximum.at(top, inverse, told)
        full = told == top[inverse]
        score = _group_mean(runs.score[full], inverse[full], len(pairs))
        longer = longest[runs.task] / np.maximum(runs.fidelity, 1)
        seconds = _group_mean((runs.seconds * longer)[full], inverse[full], len(pairs))
        task, candidate = np.divmod(pairs, max(1, len(runs.candidates)))
        score = score + gain(runs, inverse, task, candidate, score, top % lengths, longest)
        return cls(
            tasks=runs.tasks,
            groups=runs.groups,
            profiles=runs.profiles,
            candidates=runs.candidates,
            task=task,
            candidate=candidate,
            score=score,
            rank=rank_within(score, task),
            seconds=seconds,
        )

    def dense(self, of: np.ndarray, column: np.ndarray) -> np.ndarray:
        """``column`` as a matrix (tasks, len(of)) over the candidates ``of``; NaN where never run."""
        place = np.full(len(self.candidates), -1)
        place[of] = np.arange(len(of))
        keep = place[self.candidate] >= 0
        matrix = np.full((len(self.tasks), len(of)), np.nan)
        matrix[self.task[keep], place[self.candidate[keep]]] = column[keep]
        return matrix


def gain(
    runs: Runs,
    pair: np.ndarray,
    task: np.ndarray,
    candidate: np.ndarray,
    score: np.ndarray,
    length: np.ndarray,
    longest: np.ndarray,
) -> np.ndarray:
    """What each pair would gain from its ``length`` to the ``longest`` of its task, (pairs,).

    A search that stops the worse candidates early would else have them compared with what was trained to the end: the
    mean gain of those that were trained to both lengths, of the same family if there are any. 0 where there are none.
    ``pair``: of each trial, (trials,); ``task``, ``candidate``, ``score`` and ``length``: of each pair.
    """
    out = np.zeros(len(task))
    if not len(task):
        return out
    families = np.unique([c.family for c in runs.candidates], return_inverse=True)[1][candidate]
    lengths = int(longest.max()) + 1
    steps, of = np.unique(pair * lengths + runs.fidelity, return_inverse=True)
    reached = _group_mean(runs.score, of, len(steps))
    p, at = np.divmod(steps, lengths)
    both = (at < length[p]) & (length[p] == longest[task[p]]) & np.isfinite(reached) & np.isfinite(score[p])
    grown = score[p[both]] - reached[both]
    short = length < longest[task]
    for kind in (np.zeros_like(families), families + 1):  # of any family, then of its own
        key = (task * (len(runs.candidates) + 2) + kind) * lengths
        known, group = np.unique(key[p[both]] + at[both], return_inverse=True)
        mean = np.bincount(group, weights=grown) / np.maximum(1, np.bincount(group))
        if len(known):
            place = np.minimum(np.searchsorted(known, key + length), len(known) - 1)
            found = short & (known[place] == key + length)
            out[found] = mean[place[found]]
    return out


def rank_within(score: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Rank of each score (n,) among those with the same integer ``group`` (n,), in [0, 1]; 1 is best.

    NaN counts as worse than every number; ties share their mean rank; a group of one gets 0.5.
    """
    value = np.where(np.isnan(score), -np.inf, score)
    order = np.lexsort((value, group))
    g, v = group[order], value[order]
    position = np.arange(len(v))
    new_group = np.r_[True, g[1:] != g[:-1]][: len(g)]
    new_value = new_group | np.r_[True, v[1:] != v[:-1]][: len(g)]
    of_group, of_value = np.cumsum(new_group) - 1, np.cumsum(new_value) - 1
    start = position[new_group]
    size = np.bincount(of_group)
    tied = np.bincount(of_value, weights=position) / np.maximum(1, np.bincount(of_value)) if len(v) else position
    out = np.empty(len(v))
    alone = size[of_group] == 1 if len(v) else np.zeros(0, bool)
    out[order] = np.where(alone, 0.5, (tied[of_value] - start[of_group]) / np.maximum(1, size[of_group] - 1))
    return out


def _group_mean(values: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Mean of the known values per group, (groups,); NaN where none is known."""
    known = np.isfinite(values)
    total = np.bincount(group[known], weights=values[known], minlength=groups)
    count = np.bincount(group[known], minlength=groups)
    return np.where(count > 0, total / np.maximum(1, count), np.nan)
