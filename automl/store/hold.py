"""A search belongs to one process at a time: who has it, since when, and how to tell that the holder is gone.

::

    with store.hold(search.id, budget, workers) as hold:   # UserError when a living process has it
        hold.clock = lambda: session.seconds_spent
        store.append(search.id, trial, hold)               # UserError when another one took it over
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa

from automl.errors import UserError
from automl.processes import born, here
from automl.serial import from_json, to_json
from automl.store import schema
from automl.types import Attempt, Budget

if TYPE_CHECKING:
    from automl.store.store import Store

BEAT = 10.0  # seconds between two signs of life
SILENT = 60.0  # after so many without one a process on another machine counts as gone


class Hold:
    """An attempt of this process at a search, which nobody else may take up before the block ends or the process does.

    ``attempts``: earlier ones, oldest first. ``spent``: seconds of the search's clock when the last one stopped, None
    when none has told it. ``clock``: tells these seconds now; written down with each trial and each sign of life.
    Raises UserError when a living process has the search.
    """

    def __init__(self, store: Store, search: int, budget: Budget, workers: int) -> None:
        self.store, self.search = store, search
        self.clock: Callable[[], float] = lambda: self.spent or 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name="store-hold", daemon=True)
        a, t = schema.attempts.c, schema.trials.c
        with store._write() as c:
            # Locked, so that of two processes that ask together one waits here and then sees the other; not the key,
            # which a trial that is being written refers to.
            known = sa.select(schema.searches.c.id).where(schema.searches.c.id == search)
            c.execute(known.with_for_update(key_share=True))
            rows = attempts_at(c, search)
            if (holder := next((r for r in rows if r.held and not gone(r)), None)) is not None:
                raise UserError(
                    f"search {search} is at work in process {holder.pid} on {holder.host.split(' ')[0]} "
                    f"(last sign of life {max(holder.age, 0):.0f} s ago). Wait for it or stop it; or set resume=false"
                )
            self.attempts = tuple(Attempt(r.first, from_json(Budget, r.budget), r.workers) for r in rows)
            # 0: killed before it could tell, perhaps with trials of a time when no attempt was written down.
            self.spent = max((r.spent for r in rows), default=0.0) or None
            last = c.execute(sa.select(sa.func.max(t.number)).where(t.search_id == search)).scalar_one()
            c.execute(schema.attempts.update().where(a.search_id == search).values(held=False))
            new = schema.attempts.insert().values(
                search_id=search,
                first=0 if last is None else last + 1,
                budget=to_json(budget),
                workers=workers,
                spent=self.spent or 0.0,
                host=here(),
                pid=os.getpid(),
                born=born(os.getpid()),
                beat=_seconds(c),
                held=True,
            )
            self.id: int = c.execute(new.returning(a.id)).scalar_one()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(UserError), self.store._write() as c:
            self.beat(c, held=False)

    def beat(self, c: sa.Connection, held: bool = True) -> None:
        """A sign of life, in a transaction of the store. Raises UserError when another process has the search now."""
        a = schema.attempts
        mine = a.update().where(a.c.id == self.id, a.c.held)
        if c.execute(mine.values(beat=_seconds(c), spent=self.clock(), held=held)).rowcount != 1:
            raise UserError(
                f"search {self.search} was taken over by another process, since this one gave no sign of life for "
                f"{SILENT:.0f} s. What it had finished is kept"
            )

    def _live(self) -> None:
        while not self._ended.wait(BEAT):
            # A store that is busy or lost, or a search that is: the next trial meets it and says so.
            with contextlib.suppress(UserError), self.store._write() as c:
                self.beat(c)


def attempts_at(c: sa.Connection, search: int) -> Sequence[Any]:
    """The rows of ``attempts`` of a search, oldest first, each with ``age``: seconds since its last sign of life."""
    a = schema.attempts.c
    age = (_seconds(c) - a.beat).label("age")
    return c.execute(sa.select(schema.attempts, age).where(a.search_id == search).order_by(a.id)).all()


def gone(holder: Any) -> bool:
    """Whether the process of a row of ``attempts`` (with its ``age``, seconds since its last sign) lives no more."""
    if holder.host != here():
        return holder.age > SILENT
    return born(holder.pid) != holder.born


def _seconds(c: sa.Connection) -> sa.ColumnElement[float]:
    """Seconds since 1970 by the database's clock, which is one for all machines."""
    if c.dialect.name == "postgresql":
        return sa.literal_column("extract(epoch from clock_timestamp())::double precision", sa.Double())
    return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Double())
