"""Past trials as columns, which a meta-learner learns from: a million of them in seconds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection

import numpy as np
import sqlalchemy as sa

from automl.serial import from_json
from automl.store import schema
from automl.types import Candidate, Profile, Runs, Task


def columns(
    c: sa.Connection,
    *,
    without_groups: Collection[str],
    without_tasks: Collection[str],
    modalities: Collection[str] | None,
    fidelity: int | None,
    before_search: int | None,
) -> Runs:
    """See ``Store.runs``."""
    t, k, d = schema.trials.c, schema.tasks.c, schema.candidates.c
    all_tasks = c.execute(sa.select(k.id, k.name, k.grp, k.profile, k.definition).order_by(k.id)).all()
    kept = [r for r in all_tasks if r.name not in without_tasks and r.grp not in without_groups]
    if modalities is not None:
        kept = [r for r in kept if _modalities(r.definition) == set(modalities)]
    score = sa.case((t.status == "ok", t.score))
    query = sa.select(t.task_id, t.candidate_id, t.fidelity, score, t.seconds, t.seed).order_by(t.id)
    if len(kept) < len(all_tasks):
        dropped = sorted({r.id for r in all_tasks} - {r.id for r in kept})
        query = query.where(t.task_id.not_in(dropped))
    if fidelity is not None:
        query = query.where(t.fidelity == int(fidelity))
    if before_search is not None:
        query = query.where(sa.or_(t.search_id.is_(None), t.search_id < before_search))
    floats, seeds = _columns(c, query)
    task_ids, task = np.unique(floats[:, 0].astype(np.int64), return_inverse=True)
    candidate_ids, candidate = np.unique(floats[:, 1].astype(np.int64), return_inverse=True)
    rows = c.execute(sa.select(d.id, d.family, d.choices).order_by(d.id)).all()
    used = set(candidate_ids.tolist())
    rows = [r for r in rows if r.id in used]
    all_choices = json.loads("[" + ",".join(r.choices for r in rows) + "]")  # one call: shares the axis names
    by_id = {r.id: r for r in kept}
    of = [by_id[i] for i in task_ids.tolist()]
    return Runs(
        tasks=tuple(r.name for r in of),
        groups=tuple(r.grp for r in of),
        profiles=tuple(None if r.profile is None else from_json(Profile, r.profile) for r in of),
        candidates=tuple(Candidate(r.family, x) for r, x in zip(rows, all_choices, strict=True)),
        task=task,
        candidate=candidate,
        fidelity=floats[:, 2].astype(np.int64),
        seed=seeds,
        score=floats[:, 3],
        seconds=floats[:, 4],
    )


def _modalities(definition: str) -> set[str]:
    return {of.modality for of in from_json(Task, definition).inputs}


def _columns(c: sa.Connection, query: sa.Select) -> tuple[np.ndarray, np.ndarray]:
    """All columns but the last as float (rows, columns), null as NaN; the last, a 64-bit seed, as int.

    Through the driver's own cursor: SQLAlchemy's row objects take three times as long for a million rows. The
    query's only parameters are whole numbers and constants of ours, so they may stand in its text.
    """
    floats, seeds = [np.empty((0, len(query.selected_columns) - 1))], [np.empty(0, np.int64)]
    text = str(query.compile(c, compile_kwargs={"literal_binds": True}))
    with contextlib.closing(c.connection.cursor()) as cursor:
        cursor.execute(text)
        while rows := cursor.fetchmany(50_000):
            floats.append(np.array(rows, dtype=float)[:, :-1])
            seeds.append(np.array([row[-1] for row in rows], dtype=np.int64))
    return np.concatenate(floats), np.concatenate(seeds)
