"""The queue of jobs: a table in a file, whose running jobs are held by leases.

::

    id = table.submit(asked, data, most=20)       # waiting
    lease = table.take(at_once=1)                 # running: whoever has the lease works on it
    lease.beat({"stage": "search"})               # a sign of life; says what to do: go on, stop, or it is lost
    lease.end("done", result)                     # once: a lease that was lost ends nothing

A job whose process is gone, or gives no sign for long, is taken up again; after ``TRIES`` such losses it
has failed. The file survives whatever is killed; several processes may use it at once. Who lives is told by no clock
that can be set.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from automl.errors import UserError
from automl.processes import born, here
from automl.serial import dumps

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Word = Literal["go", "stop", "lost"]
ID = re.compile(r"[0-9a-f]{12}")
ENDED = ("done", "failed", "cancelled")
SILENT = 30.0  # seconds without a sign of life after which a process that cannot be seen from here is gone
HANGS = 300.0  # the same of one that is seen to live
TRIES = 3  # attempts whose process was lost
GAP = 5.0  # seconds between two looks that count at most
BUSY = 30.0  # seconds that a writer waits for another one

_MADE = """
create table if not exists jobs (
  number integer primary key autoincrement, id text not null unique, key text unique,
  asked text not null, data text not null, state text not null, attempts integer not null default 0,
  made real not null, began real, ended real,
  lease text, host text, pid integer, born integer, beat integer, cancel integer not null default 0,
  progress text, version integer not null default 0, result text, error text not null default ''
)
"""
_MINE = "id = ? and lease = ? and state = 'running'"
# Of the progress what a list shows: the curves of two hundred jobs are megabytes, and Python would parse them alone.
_BRIEF = """
id, number, key, asked, data, state, attempts, made, began, ended, cancel, version, result, error, lease,
case when json_valid(progress) then json_extract(progress, '$.stage', '$.metric', '$.best') end as told,
case when json_valid(progress) then json_array_length(progress, '$.trials') end as trials,
case when not json_valid(progress) then progress end as progress
"""


class Full(Exception):
    """No further job is taken. The text says why, and what to do."""


@dataclass(frozen=True)
class Job:
    """``asked``: the dictionary that it was started with. ``made``, ``began``, ``ended``: seconds since 1970.

    ``version`` grows with each change of state or progress. ``result``: in brief, once done. ``lease``: who has it.
    """

    id: str
    number: int
    key: str | None
    asked: dict[str, Any]
    data: str
    state: State
    attempts: int
    made: float
    began: float | None
    ended: float | None
    cancel: bool
    progress: dict[str, Any] | None
    version: int
    result: dict[str, Any] | None
    error: str
    lease: str | None = None


class Table:
    """``file``: is made where it is not there."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._seen: dict[str, tuple[int, float]] = {}  # lease -> its last sign of life, and seconds without another one
        self._looked = time.monotonic()
        with self._write() as db:
            db.execute(_MADE)

    @classmethod
    def checked(cls, file: Path) -> Table:
        """The same for who begins with it: raises UserError where it is damaged, another's, or cannot be written."""
        try:
            self = cls(file)
            with self._read() as db, closing(sqlite3.connect(":memory:")) as empty:
                empty.execute(_MADE)
                if lacking := {*_columns(empty)} - {*_columns(db)}:
                    raise sqlite3.DatabaseError(f"its jobs have no {', '.join(sorted(lacking))}")
                if (found := db.execute("pragma quick_check(1)").fetchone()[0]) != "ok":
                    raise sqlite3.DatabaseError(" ".join(found.split()))
        except sqlite3.Error as error:
            fix = "Mend its rights, or free some space there"
            if not isinstance(error, sqlite3.OperationalError):
                fix = "Move it away, and a new one is made; what jobs left lies in the folders beside it"
            raise UserError(f"{file} holds no jobs that can be read ({error}). {fix}") from error
        return self

    # -- those who ask --

    def submit(
        self,
        asked: Mapping[str, Any],
        data: str,
        *,
        most: int,
        kept: int = 10**9,
        key: str | None = None,
        sure: Callable[[], object] = lambda: None,
    ) -> tuple[Job, bool]:
        """A new job, waiting; or the one that was made with the same ``key``, and False.

        ``most``: that may wait; ``kept``: that may be there at all. ``sure``: raises where ``data`` are there no more;
        none are taken away meanwhile. Raises Full.
        """
        with self._write() as db:
            if key is not None and (row := db.execute("select * from jobs where key = ?", (key,)).fetchone()):
                return _job(row), False
            waiting, there = db.execute(
                "select count(*) filter (where state = 'waiting'), count(*) from jobs"
            ).fetchone()
            if waiting >= most:
                raise Full(f"{waiting} jobs wait already; come again when one has begun")
            if there >= kept:
                raise Full(f"{there} jobs are kept; DELETE /jobs/ID gives the place of one back")
            sure()
            values = secrets.token_hex(6), key, json.dumps(asked), data, time.time()
            db.execute("insert into jobs (id, key, asked, data, state, made) values (?, ?, ?, ?, 'waiting', ?)", values)
            return _job(db.execute("select * from jobs where id = ?", values[:1]).fetchone()), True

    @contextmanager
    def needing(self, data: str) -> Iterator[str | None]:
        """A job that waits or runs on these data, by its id; None: there is none, and none is made while this lasts."""
        with self._write() as db:
            needs = "select id from jobs where data = ? and state in ('waiting', 'running') order by number limit 1"
            row = db.execute(needs, (data,)).fetchone()
            yield None if row is None else row["id"]

    def get(self, id: str) -> Job | None:
        return self._find("id", id) if ID.fullmatch(id) else None

    def told(self, id: str, what: Literal["version", "cancel"]) -> int | None:
        """One number of a job, None where it is gone: whoever asks again and again need not read all of it."""
        with self._read() as db:
            row = db.execute(f"select {what} from jobs where id = ?", (id,)).fetchone()
        return None if row is None else int(row[what])

    def keyed(self, key: str) -> Job | None:
        """The job that was made with this key."""
        return self._find("key", key)

    def all(self, *, data: str | None = None, last: int = 200) -> list[Job]:
        """Newest first, in brief: of the progress no curves, and of its trials how many they are."""
        where, values = ("where data = ?", (data,)) if data is not None else ("", ())
        brief = f"select {_BRIEF} from jobs {where} order by number desc limit ?"
        with self._read() as db:
            return [_listed(row) for row in db.execute(brief, (*values, last))]

    def cancel(self, id: str) -> Job | None:
        """One that waits has ended; one that runs hears of it with its next sign of life."""
        with self._write() as db:
            now = time.time()
            db.execute(
                "update jobs set state = 'cancelled', ended = ?, version = version + 1 "
                "where id = ? and state = 'waiting'", (now, id),
            )  # fmt: skip
            db.execute("update jobs set cancel = 1, version = version + 1 where id = ? and state = 'running'", (id,))
            row = db.execute("select * from jobs where id = ?", (id,)).fetchone()
        return None if row is None else _job(row)

    def forget(self, id: str) -> bool:
        """Take away one that has ended."""
        with self._write() as db:
            return db.execute(f"delete from jobs where id = ? and state in {ENDED}", (id,)).rowcount == 1

    # -- those who work --

    def take(self, at_once: int) -> Lease | None:
        """The next that waits, where fewer than ``at_once`` run. What was lost waits again before."""
        try:
            with self._write() as db:
                running = db.execute("select * from jobs where state = 'running'").fetchall()
                self._listen(running)
                lost = [row for row in running if self._lost(row)]
                for row in lost:
                    _lose(db, row)
                lease = self._taken(db) if len(running) - len(lost) < at_once else None
        except sqlite3.Error:  # nobody could give a sign then, so nobody was silent
            self._seen.clear()
            raise
        for row in lost:  # of these one may live, and would go on some day; not before it is written that it is lost
            if _lives(row):
                with suppress(ProcessLookupError):
                    os.kill(row["pid"], signal.SIGKILL)
        return lease

    def at_work(self) -> list[tuple[Lease, int]]:
        """The leases of jobs whose processes live here, whoever started them, and the numbers of these."""
        with self._read() as db:
            rows = db.execute("select * from jobs where state = 'running'").fetchall()
        return [(Lease(self, row["id"], row["lease"]), row["pid"]) for row in rows if _lives(row)]

    def _taken(self, db: sqlite3.Connection) -> Lease | None:
        row = db.execute("select id from jobs where state = 'waiting' order by number limit 1").fetchone()
        if row is None:
            return None
        lease = Lease(self, row["id"], secrets.token_hex(8))
        db.execute(
            "update jobs set state = 'running', lease = ?, attempts = attempts + 1, began = coalesce(began, ?), "
            "beat = 0, host = ?, pid = null, born = null, version = version + 1 where id = ?",
            (lease.token, time.time(), here(), lease.id),
        )
        return lease

    def _listen(self, running: Sequence[sqlite3.Row]) -> None:
        """Count the silence of those who work as it is seen from here: by no clock of theirs, which may be set or begin
        anew, and without the time in which this process was stopped itself, perhaps with all others.
        """
        now, before = time.monotonic(), self._seen
        passed, self._looked, self._seen = min(now - self._looked, GAP), now, {}
        for row in running:
            beat, silent = before.get(row["lease"], (None, 0.0))
            self._seen[row["lease"]] = row["beat"], silent + passed if beat == row["beat"] else 0.0

    def _lost(self, row: sqlite3.Row) -> bool:
        """Whether nobody works on a running job any more."""
        _, silent = self._seen[row["lease"]]
        if row["host"] != here() or row["pid"] is None:
            return silent >= SILENT
        return not _lives(row) or silent >= HANGS

    # -- inside --

    def _find(self, column: str, value: str) -> Job | None:
        with self._read() as db:
            row = db.execute(f"select * from jobs where {column} = ?", (value,)).fetchone()
        return None if row is None else _job(row)

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._open() as db:
            db.execute("begin immediate")  # else two that read first could both go on
            try:
                yield db
            except BaseException:
                if db.in_transaction:  # a full disk has ended it
                    db.execute("rollback")
                raise
            db.execute("commit")

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._open() as db:
            yield db

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # One a use: connections are bound to threads, and these are many.
        with closing(sqlite3.connect(self.file, timeout=BUSY, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            db.execute("pragma journal_mode=wal")
            yield db


@dataclass(frozen=True)
class Lease:
    """Work on one job. The process that does it says so first by ``begin``."""

    table: Table
    id: str
    token: str

    def begin(self, pid: int | None = None) -> bool:
        """Say that this process, or that of ``pid``, does the work. False: another one does, or the job is no more."""
        pid = os.getpid() if pid is None else pid
        began = born(pid)  # None: it has ended already, and is found to have
        return began is not None and self._change("pid = ?, born = ?, host = ?, beat = beat + 1", pid, began, here())

    def beat(self, progress: Mapping[str, Any] | None = None) -> Word:
        """A sign of life. ``progress``: what is new of it."""
        if progress is None:
            mine = self._change("beat = beat + 1")
        else:
            mine = self._change("beat = beat + 1, progress = ?, version = version + 1", _plain(progress))
        if not mine:
            return "lost"
        return "stop" if self.table.told(self.id, "cancel") else "go"

    def vanished(self) -> None:
        """The process that was to work on it has ended; where it has not said how, it was lost."""
        with self.table._write() as db:
            row = db.execute(f"select * from jobs where {_MINE}", (self.id, self.token)).fetchone()
            if row is not None:
                _lose(db, row)

    def end(self, state: State, result: Mapping[str, Any] | None = None, error: str = "") -> bool:
        """The job has ended. False: it was another's by now, and nothing is changed."""
        told = None if result is None else json.dumps(result)
        change = "state = ?, result = ?, error = ?, ended = ?, lease = null, version = version + 1"
        return self._change(change, state, told, error, time.time())

    def give_back(self) -> bool:
        """The job waits again: it was stopped, and nothing was wrong with it."""
        return self._change(
            "state = case cancel when 0 then 'waiting' else 'cancelled' end, "
            "ended = case cancel when 0 then null else ? end, "
            "attempts = attempts - 1, lease = null, version = version + 1",
            time.time(),
        )

    def _change(self, change: str, *values: Any) -> bool:
        with self.table._write() as db:
            return db.execute(f"update jobs set {change} where {_MINE}", (*values, self.id, self.token)).rowcount == 1


def _lose(db: sqlite3.Connection, row: sqlite3.Row) -> None:
    """A running job that nobody works on waits again, or has ended."""
    state: State = "cancelled" if row["cancel"] else "failed" if row["attempts"] >= TRIES else "waiting"
    error = f"its process was lost {row['attempts']} times: out of memory?" if state == "failed" else ""
    db.execute(
        "update jobs set state = ?, error = ?, lease = null, ended = ?, version = version + 1 where id = ?",
        (state, error, time.time() if state != "waiting" else None, row["id"]),
    )


def _lives(row: sqlite3.Row) -> bool:
    """Whether the process that works on a running job can be seen from here, and lives."""
    return row["host"] == here() and row["pid"] is not None and born(row["pid"]) == row["born"]


def _columns(db: sqlite3.Connection) -> list[str]:
    return [row[1] for row in db.execute("pragma table_info(jobs)")]


def _plain(progress: Mapping[str, Any]) -> str:
    """JSON, which knows no NaN: SQLite reads it."""
    try:
        return json.dumps(progress, allow_nan=False)
    except (ValueError, TypeError):  # a score that is no number, or one of numpy's
        return dumps(progress)


def _listed(row: sqlite3.Row) -> Job:
    job = _job(row)
    if row["told"] is None:
        return job
    told = dict(zip(("stage", "metric", "best"), json.loads(row["told"]), strict=True))
    return replace(job, progress={**told, "trials": row["trials"] or 0})


def _job(row: sqlite3.Row) -> Job:
    plain = {name: row[name] for name in Job.__dataclass_fields__}
    for name in ("asked", "progress", "result"):
        plain[name] = None if plain[name] is None else json.loads(plain[name])
    return Job(**{**plain, "cancel": bool(row["cancel"])})
