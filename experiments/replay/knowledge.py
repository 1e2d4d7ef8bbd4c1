"""A knowledge file as a table: what ships with the program, or what ``knowledge.export`` wrote.

Its tasks have search spaces of their own. A task learns from those of its modality, told as runs of its kind, as in a
real search (``metalearner.past``); what may be tried on it is what was run on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from automl.types import Family
from experiments.replay.table import Table
from metalearner.past.file import SCHEMA, read_tasks_and_runs
from metalearner.past.history import History
from metalearner.prior import fits
from nas.family import search_axes
from nas.recipe import training_axes


def is_knowledge(path: Path) -> bool:
    """Whether the columns are those of a knowledge file."""
    try:
        return path.is_file() and pq.read_schema(path).names == SCHEMA.names
    except (pa.ArrowException, OSError):
        return False  # whoever reads it as a table says what it is


def knowledge_table(path: Path, families: Mapping[str, Family]) -> Table:
    """One row per task of the file; the spaces are those of today's ``families``.

    Scores are as if every training had gone on for the task's most epochs (``History``). So are the seconds of those
    that went well; one that failed took what it took.
    """
    tasks, runs = read_tasks_and_runs(path)
    history = History.of(runs)
    spaces = tuple(search_axes(families, task, training_axes(task)) for task in tasks)
    every = np.arange(len(runs.candidates))
    scored = history.dense(every, history.score)
    there = ~np.isnan(history.dense(every, history.rank))
    for i, space in enumerate(spaces):
        ran = np.flatnonzero(there[i])
        there[i, ran] = [fits(runs.candidates[j], space) for j in ran.tolist()]
    failed = np.zeros(scored.shape)
    np.add.at(failed, (runs.task, runs.candidate), runs.seconds)
    left = int((there & ~np.isnan(scored)).sum())
    return Table(
        name=path.stem,
        tasks=tuple(f"{task.name} ({task.kind})" for task in tasks),
        groups=np.array([task.group or task.name for task in tasks]),
        candidates=runs.candidates,
        spaces=spaces,
        profiles=runs.profiles,
        seen=np.where(there, scored, np.nan)[None],
        scored=np.where(there, scored, np.nan),
        seconds=np.where(np.isnan(scored), failed, history.dense(every, history.seconds)),
        there=there,
        cohorts=tuple("+".join(sorted({i.modality for i in task.inputs})) for task in tasks),
        kinds=tuple(task.kind for task in tasks),
        notes=(f"{left:,} of the pairs of task and candidate were run and went well",),
    )
