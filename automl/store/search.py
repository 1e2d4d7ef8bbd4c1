"""Searches as the store knows them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from automl.store import schema
from automl.store.rows import storable
from automl.types import Prior, Task


@dataclass(frozen=True)
class Search:
    """A search as the store knows it. ``resumed``: it had begun before; ``prior`` is the one it began
    with. ``token``: no other search has it, in whatever store ("": it began when searches had none).
    """

    id: int
    key: str
    task: Task
    prior: Prior | None
    resumed: bool
    token: str = ""


@dataclass(frozen=True)
class SearchSummary:
    """One line of a list of searches. ``best``: highest score; times are ISO 8601 in UTC; not finished:
    None. ``token``: see ``Search``.
    """

    id: int
    key: str
    task: str
    seed: int
    started_at: str
    finished_at: str | None
    code_version: str
    trials: int
    ok: int
    best: float | None
    config: dict[str, Any]
    result: dict[str, Any] | None
    token: str
    last_trial_at: str | None


def folder_name(key: str, search_id: int, token: str) -> str:
    """Of the files of a search. The token, since another store may have given the same number to another search."""
    return "-".join(filter(None, [key[:12], str(search_id), token]))


def summaries(c: sa.Connection, key: str | None, task: str | None) -> list[SearchSummary]:
    """See ``Store.searches``."""
    s, t, k = schema.searches.c, schema.trials.c, schema.tasks.c
    count = (
        sa.select(
            t.search_id,
            sa.func.count().label("trials"),
            sa.func.count(sa.case((t.status == "ok", 1))).label("ok"),
            sa.func.max(sa.case((t.status == "ok", t.score))).label("best"),
            sa.func.max(t.finished_at).label("last"),
        )
        .where(t.search_id.is_not(None))
        .group_by(t.search_id)
        .subquery()
    )
    query = (
        sa.select(schema.searches, k.name.label("task"), count.c.trials, count.c.ok, count.c.best, count.c.last)
        .join(schema.tasks)
        .outerjoin(count, count.c.search_id == s.id)
        .order_by(s.id)
    )
    if key is not None:
        query = query.where(s.key == storable(key))
    if task is not None:
        query = query.where(k.name == task)
    return [
        SearchSummary(
            id=r.id,
            key=r.key,
            task=r.task,
            seed=r.seed,
            started_at=r.started_at,
            finished_at=r.finished_at,
            code_version=r.code_version,
            trials=r.trials or 0,
            ok=r.ok or 0,
            best=r.best,
            config=json.loads(r.config),
            result=None if r.result is None else json.loads(r.result),
            token=r.token,
            last_trial_at=r.last,
        )
        for r in c.execute(query)
    ]
