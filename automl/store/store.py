"""Every trial that ever ran.

How a search uses it::

    store = Store("sqlite:///store.db")
    search = store.begin(key, task, profile, seed=0, config=config, prior=prior, resume=True)
    with store.hold(search.id, budget, workers) as hold:  # no other process may take it up meanwhile
        done = store.trials(search=search.id)     # after a kill: everything that had finished
        store.append(search.id, trial, hold)      # on disk when it returns
    store.finish(search.id, result)
    runs = store.runs(without_groups=[task.group])  # what a meta-learner learns from: columns

Several processes may use one store at once. Whatever ``append`` returned from survives a SIGKILL.

>>> import tempfile
>>> task = Task("flowers", "binary", (), 2, "accuracy")
>>> with tempfile.TemporaryDirectory() as folder, Store(f"sqlite:///{folder}/store.db") as store:
...     search = store.begin("key", task, None, seed=0, config={}, prior=None, resume=True)
...     with store.hold(search.id, Budget(trials=5), workers=1) as hold:
...         store.append(search.id, Trial("flowers", Candidate("mlp", {}), 10, 0, "ok", score=0.9), hold)
...     store.begin("key", task, None, seed=0, config={}, prior=None, resume=True).id == search.id
...     [trial.score for trial in store.trials(search=search.id)]
True
[0.9]
"""

from __future__ import annotations

import contextlib
import datetime
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite

from automl.errors import UserError
from automl.passwords import masked, without_passwords
from automl.serial import dumps, from_json, to_json
from automl.store import schema
from automl.store.columns import columns
from automl.store.hold import Hold, attempts_at, gone
from automl.store.rows import choices_text, storable, task_digest, trial_of, trial_row
from automl.store.search import Search, SearchSummary, summaries
from automl.types import Budget, Candidate, Prior, Profile, Runs, Task, Trial
from automl.version import code_version


class Store:
    """Trials in a database: ``sqlite:///PATH`` or ``postgresql://USER@HOST/NAME``; missing tables are made.

    Raises UserError, one line, when the database cannot be opened, read or written.
    """

    def __init__(self, url: str):
        self._engine = schema.open_engine(url)
        self.name = without_passwords(self._engine.url.render_as_string(hide_password=True))
        """The URL without the password: for results and reports."""
        self._insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back; nothing is lost when this is never called."""
        self._engine.dispose()

    # -- one search --

    def begin(
        self,
        key: str,
        task: Task,
        profile: Profile | None,
        *,
        seed: int,
        config: Mapping[str, Any],
        prior: Prior | None,
        resume: bool,
    ) -> Search:
        """Begin a search, or go on with the newest one of this key (``resume``; a new one when there is
        none).

        ``key`` names what would give the same search again. Raises UserError when the search to go on
        with was on another task.
        """
        with self._write() as c:
            s = schema.searches.c
            if resume:
                newest = sa.select(s.id, s.prior, s.token, schema.tasks.c.definition).join(schema.tasks)
                if row := c.execute(newest.where(s.key == storable(key)).order_by(s.id.desc()).limit(1)).first():
                    before = from_json(Task, row.definition)
                    if task_digest(before) != task_digest(task):
                        raise UserError(
                            f"resume=true: search {row.id} was on task {before.name!r} ({before.kind}, "
                            f"{before.metric}), the data now give another task {task.name!r} ({task.kind}, "
                            f"{task.metric}). Set resume=false."
                        )
                    stored = None if row.prior is None else from_json(Prior, row.prior)
                    return Search(row.id, key, task, stored, resumed=True, token=row.token)
            token = secrets.token_hex(4)
            new = schema.searches.insert().values(
                key=storable(key),
                task_id=self._task_id(c, task, profile),
                seed=seed,
                config=dumps(masked(config)),
                prior=None if prior is None else to_json(prior),
                code_version=code_version(),
                started_at=_now(),
                token=token,
            )
            return Search(c.execute(new.returning(s.id)).scalar_one(), key, task, prior, resumed=False, token=token)

    def prior(self, search_id: int) -> Prior | None:
        """With which a search began."""
        s = schema.searches.c
        with self._read() as c:
            stored = c.execute(sa.select(s.prior).where(s.id == search_id)).scalar_one()
        return None if stored is None else from_json(Prior, stored)

    def hold(self, search_id: int, budget: Budget, workers: int) -> Hold:
        """Take the search up for this process: see ``Hold``. Raises UserError when a living process has it."""
        return Hold(self, search_id, budget, workers)

    def append(self, search_id: int, trial: Trial, hold: Hold | None = None) -> None:
        """Keep a finished trial: committed when this returns.

        A score that is not finite is no score: the trial is kept as diverged. Raises ValueError when the
        search is unknown, is on another task, or already holds this number; UserError when ``hold`` is lost.
        """
        t, s = schema.trials, schema.searches
        with self._write() as c:
            if hold is not None:
                hold.beat(c)
            known = sa.select(s.c.task_id, schema.tasks.c.name).join(schema.tasks).where(s.c.id == search_id)
            row = c.execute(known).first()
            if row is None:
                raise ValueError(f"the store has no search {search_id}")
            if row.name != storable(trial.task):
                raise ValueError(f"search {search_id} is on task {row.name!r}, the trial on {trial.task!r}")
            (candidate_id,) = self._candidate_ids(c, [trial.candidate])
            values = trial_row(trial) | {
                "search_id": search_id,
                "task_id": row.task_id,
                "candidate_id": candidate_id,
                "finished_at": _now(),
                "code_version": code_version(),
            }
            kept = self._insert(t).values(values).on_conflict_do_nothing(index_elements=["search_id", "number"])
            if c.execute(kept.returning(t.c.id)).first() is None:
                raise ValueError(f"search {search_id} already holds trial number {trial.number}")

    def finish(self, search_id: int, result: Mapping[str, Any] | None) -> None:
        """Mark a search as done and keep its result. Raises ValueError when the search is unknown."""
        s = schema.searches
        text = None if result is None else without_passwords(dumps(result))
        with self._write() as c:
            done = s.update().where(s.c.id == search_id).values(result=text, finished_at=_now())
            if c.execute(done).rowcount != 1:
                raise ValueError(f"the store has no search {search_id}")

    # -- reading --

    def trials(
        self,
        *,
        search: int | None = None,
        task: str | None = None,
        status: str | None = None,
        family: str | None = None,
        digest: str | None = None,
    ) -> list[Trial]:
        """The trials that match everything given, in the order in which they finished.

        ``digest``: of ``task_digest``; tells tasks of one name apart.
        """
        t, k, d = schema.trials.c, schema.tasks.c, schema.candidates.c
        query = (
            sa.select(schema.trials, k.name.label("task"), d.family, d.choices)
            .join(schema.tasks)
            .join(schema.candidates)
            .order_by(t.id)
        )
        for column, wanted in (
            (t.search_id, search), (k.name, task), (t.status, status), (d.family, family), (k.digest, digest)
        ):  # fmt: skip
            if wanted is not None:
                query = query.where(column == wanted)
        with self._read() as c:
            return [trial_of(row) for row in c.execute(query)]

    def runs(
        self,
        *,
        without_groups: Collection[str] = (),
        without_tasks: Collection[str] = (),
        modalities: Collection[str] | None = None,
        fidelity: int | None = None,
        before_search: int | None = None,
    ) -> Runs:
        """Past trials as columns, in the order in which they finished, but those of the groups and tasks
        named.

        ``modalities`` keeps the tasks whose inputs are of exactly these: a family that takes any input would else look
        good on pictures because nothing made for pictures ran on the tables. ``fidelity`` keeps the trials of that
        length alone; ``before_search`` those of earlier searches and
        imports, which is what that search could learn from when it began. Tasks and candidates without a trial are left
        out. A name may stand twice in ``tasks``, when two data sets of that name differ in inputs, kind
        or metric.
        """
        with self._read() as c:
            return columns(
                c,
                without_groups=without_groups,
                without_tasks=without_tasks,
                modalities=modalities,
                fidelity=fidelity,
                before_search=before_search,
            )

    def searches(self, *, key: str | None = None, task: str | None = None) -> list[SearchSummary]:
        """The searches that match everything given, oldest first."""
        with self._read() as c:
            return summaries(c, key, task)

    def finished_by_task(self) -> dict[str, int]:
        """``task_digest`` -> how many of its trials succeeded."""
        t, k = schema.trials.c, schema.tasks.c
        query = sa.select(k.digest, sa.func.count().label("ok")).join_from(schema.trials, schema.tasks)
        with self._read() as c:
            return {row.digest: row.ok for row in c.execute(query.where(t.status == "ok").group_by(k.digest))}

    def at_work(self, search_id: int) -> bool:
        """Whether a living process has the search."""
        with self._read() as c:
            return any(r.held and not gone(r) for r in attempts_at(c, search_id))

    def tasks(self) -> list[tuple[Task, Profile | None]]:
        """Every task with its newest profile, oldest task first."""
        k = schema.tasks.c
        with self._read() as c:
            rows = c.execute(sa.select(k.definition, k.profile).order_by(k.id)).all()
        return [(from_json(Task, d), None if p is None else from_json(Profile, p)) for d, p in rows]

    # -- past runs from elsewhere --

    def add(self, task: Task, profile: Profile | None, trials: Sequence[Trial]) -> int:
        """Take in past runs of a task, which belong to no search. Returns how many were new.

        A trial that the store holds already (same candidate, fidelity, seed, status, score and seconds)
        is not added again, so importing twice does no harm. Raises ValueError when a trial is of another
        task.
        """
        if other := next((t for t in trials if t.task != task.name), None):
            raise ValueError(f"the trial is of task {other.task!r}, not of {task.name!r}")
        t = schema.trials.c
        with self._write() as c:
            task_id = self._task_id(c, task, profile, newest=False)
            ids = self._candidate_ids(c, [trial.candidate for trial in trials])
            columns = (t.candidate_id, t.fidelity, t.seed, t.status, t.score, t.seconds)
            held = {tuple(r) for r in c.execute(sa.select(*columns).where(t.task_id == task_id))}
            fixed = {"search_id": None, "task_id": task_id, "finished_at": _now(), "code_version": "import"}
            new = []
            for trial, candidate_id in zip(trials, ids, strict=True):
                row = trial_row(trial) | fixed | {"candidate_id": candidate_id}
                mark = tuple(row[column.name] for column in columns)
                if mark not in held:
                    held.add(mark)
                    new.append(row)
            if new:
                c.execute(schema.trials.insert(), new)
        return len(new)

    # -- inside --

    @contextlib.contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with self._faults(), schema.write(self._engine) as connection:
            yield connection

    @contextlib.contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._faults(), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """A full disk, a lost server, a damaged file: one line for the user."""
        try:
            yield
        except exc.DatabaseError as error:
            if isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
                raise  # a fault of this program
            raise UserError(f"store {self.name}: {schema.reason(error)}. Mend it, or set store.url=...") from error

    def _task_id(self, c: sa.Connection, task: Task, profile: Profile | None, *, newest: bool = True) -> int:
        """The row of the task, made when missing; locked until the transaction ends.

        ``newest``: this definition and profile replace the stored ones; else they only fill what is missing.
        """
        k = schema.tasks.c
        digest = task_digest(task)
        values = {"definition": to_json(task), "profile": None if profile is None else to_json(profile)}
        named = {"digest": digest, "name": storable(task.name), "grp": storable(task.group)}
        c.execute(self._insert(schema.tasks).values(named | values).on_conflict_do_nothing())
        row = c.execute(sa.select(k.id, k.profile).where(k.digest == digest).with_for_update()).one()
        if profile is None or (row.profile is not None and not newest):
            del values["profile"]
        if newest or "profile" in values:
            c.execute(schema.tasks.update().where(k.id == row.id).values(values))
        return row.id

    def _candidate_ids(self, c: sa.Connection, candidates: Sequence[Candidate]) -> list[int]:
        """The row of each candidate, in order; those missing are made."""
        d = schema.candidates.c
        wanted = {candidate.id: candidate for candidate in candidates}
        found: dict[str, int] = {}

        def look(digests: Sequence[str]) -> None:
            for start in range(0, len(digests), 500):  # SQLite bounds the variables of a statement
                part = sa.select(d.digest, d.id).where(d.digest.in_(digests[start : start + 500]))
                found.update((digest, row_id) for digest, row_id in c.execute(part))

        look(list(wanted))
        # Sorted: two processes that add the same candidates take PostgreSQL's locks in the same order.
        if missing := sorted(wanted.keys() - found.keys()):
            rows = [{"digest": x, "family": wanted[x].family, "choices": choices_text(wanted[x])} for x in missing]
            c.execute(self._insert(schema.candidates).on_conflict_do_nothing(), rows)
            look(missing)
        return [found[candidate.id] for candidate in candidates]


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
