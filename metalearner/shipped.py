"""The runs that ship with the program, joined with the user's own.

runs = with_shipped(store.runs())        # a fresh machine knows where to start
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path

import numpy as np

from automl.types import Runs
from metalearner.knowledge_file import read_runs

FILE = Path(__file__).parent / "knowledge" / "knowledge.parquet"


def with_shipped(own: Runs, *, without_groups: Collection[str] = (), file: Path = FILE) -> Runs:
    """The user's own runs, then the shipped ones, but those of the groups named.

    A shipped task that the store holds too, by name and group, counts once: the user's own. Without a shipped file
    the runs are the user's alone.
    """
    if not file.is_file():
        return own
    known = set(zip(own.tasks, own.groups, strict=True))
    return joined(own, without(_read(file), known=known, groups=without_groups))


@functools.lru_cache(maxsize=2)
def _read(file: Path) -> Runs:
    return read_runs(file)


def without(runs: Runs, *, known: Collection[tuple[str, str]] = (), groups: Collection[str] = ()) -> Runs:
    """The runs but those of the tasks (name, group) and of the groups given. Indices are renumbered."""
    named = list(zip(runs.tasks, runs.groups, strict=True))
    kept = [i for i, (name, group) in enumerate(named) if (name, group) not in known and group not in groups]
    rows = np.isin(runs.task, kept)
    used, candidate = np.unique(runs.candidate[rows], return_inverse=True)
    place = np.full(len(named), -1)
    place[kept] = np.arange(len(kept))
    return Runs(
        tasks=tuple(runs.tasks[i] for i in kept),
        groups=tuple(runs.groups[i] for i in kept),
        profiles=tuple(runs.profiles[i] for i in kept),
        candidates=tuple(runs.candidates[i] for i in used.tolist()),
        task=place[runs.task[rows]],
        candidate=candidate,
        fidelity=runs.fidelity[rows],
        seed=runs.seed[rows],
        score=runs.score[rows],
        seconds=runs.seconds[rows],
    )


def joined(first: Runs, second: Runs) -> Runs:
    """The runs of both, first before second; a candidate of both stands once."""
    place = {candidate.id: i for i, candidate in enumerate(first.candidates)}
    new = [c for c in second.candidates if c.id not in place]
    place.update((c.id, len(first.candidates) + i) for i, c in enumerate(new))
    moved = np.array([place[c.id] for c in second.candidates], dtype=np.int64)
    both = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("fidelity", "seed", "score", "seconds")
    }
    return Runs(
        tasks=first.tasks + second.tasks,
        groups=first.groups + second.groups,
        profiles=first.profiles + second.profiles,
        candidates=first.candidates + tuple(new),
        task=np.concatenate([first.task, second.task + len(first.tasks)]).astype(np.int64),
        candidate=np.concatenate([first.candidate, moved[second.candidate]]).astype(np.int64),
        **both,
    )
