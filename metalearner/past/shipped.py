"""The runs that ship with the program, joined with the user's own.

runs = with_shipped(store.runs())        # a fresh machine knows where to start
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from automl.types import Runs, Task
from metalearner.past.file import read_tasks_and_runs
from metalearner.past.kinds import carried

FILE = Path(str(resources.files("metalearner"))) / "knowledge" / "knowledge.parquet"


def with_shipped(
    own: Runs, *, like: Task | None = None, without_groups: Collection[str] = (), file: Path = FILE
) -> Runs:
    """The user's own runs, then the shipped ones, but those of the groups named.

    ``like``: of the shipped tasks only those with inputs of the same modalities. A family that takes any
    input would else look good on pictures because nothing made for pictures was ever run. Where few runs are on tasks
    of its kind, all are told as such (``metalearner.past.kinds.carried``).
    A shipped task that the store holds too, by name and group, counts once: the user's own. Without a
    shipped file the runs are the user's alone.
    """
    runs = own
    if file.is_file():
        tasks, shipped = _read(file)
        known = set(zip(own.tasks, own.groups, strict=True))
        wanted = [
            i
            for i, task in enumerate(tasks)
            if (task.name, task.group) not in known
            and task.group not in without_groups
            and (like is None or modalities(task) == modalities(like))
        ]
        runs = joined(own, only(shipped, wanted))
    return runs if like is None else carried(runs, like.kind)


@functools.lru_cache(maxsize=2)
def _read(file: Path) -> tuple[list[Task], Runs]:
    return read_tasks_and_runs(file)


def modalities(task: Task) -> set[str]:
    return {i.modality for i in task.inputs}


def only(runs: Runs, tasks: Sequence[int]) -> Runs:
    """The runs of the tasks at these positions. Indices are renumbered."""
    rows = np.isin(runs.task, tasks)
    used, candidate = np.unique(runs.candidate[rows], return_inverse=True)
    place = np.full(len(runs.tasks), -1)
    place[np.asarray(tasks, dtype=np.int64)] = np.arange(len(tasks))
    return Runs(
        tasks=tuple(runs.tasks[i] for i in tasks),
        groups=tuple(runs.groups[i] for i in tasks),
        profiles=tuple(runs.profiles[i] for i in tasks),
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
