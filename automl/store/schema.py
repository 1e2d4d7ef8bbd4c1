"""The store's tables, and how a database is opened: SQLite by default, PostgreSQL by URL.

::

    tasks  <-  searches  <-  trials  ->  candidates
    tasks  <---------------  trials            (search is null for imported past runs)
               searches  <-  attempts          (each time a process took the search up)
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text, event, exc

from automl.errors import UserError
from automl.passwords import without_passwords

SCHEMA_VERSION = 2
BUSY_SECONDS = 60.0
"""How long a writer waits for another process before it gives up."""

_Long = sa.BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in an INTEGER column
_Real = sa.Double()

metadata = sa.MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

tasks = Table(
    "tasks",
    metadata,
    Column("id", _Long, primary_key=True),
    Column("digest", String(16), nullable=False, unique=True),  # of what tells two tasks apart: see task_digest
    Column("name", Text, nullable=False, index=True),
    Column("grp", Text, nullable=False),
    Column("definition", Text, nullable=False),  # Task as JSON
    Column("profile", Text),  # Profile as JSON
)

candidates = Table(
    "candidates",
    metadata,
    Column("id", _Long, primary_key=True),
    Column("digest", String(16), nullable=False, unique=True),  # Candidate.id
    Column("family", Text, nullable=False),
    Column("choices", Text, nullable=False),  # JSON object, in the order of the axes
)

searches = Table(
    "searches",
    metadata,
    Column("id", _Long, primary_key=True),
    Column("key", Text, nullable=False, index=True),
    Column("task_id", _Long, ForeignKey(tasks.c.id), nullable=False),
    Column("seed", sa.BigInteger, nullable=False),
    Column("config", Text, nullable=False),
    Column("prior", Text),  # Prior as JSON
    Column("result", Text),
    Column("code_version", Text, nullable=False),
    Column("started_at", String(32), nullable=False),  # ISO 8601, UTC
    Column("finished_at", String(32)),
    Column("token", String(16), nullable=False, server_default=""),  # names its files; no other search has it
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", _Long, primary_key=True),
    Column("search_id", _Long, ForeignKey(searches.c.id), nullable=False, index=True),
    Column("first", Integer, nullable=False),  # number of the first proposal that it decided
    Column("budget", Text, nullable=False),  # Budget as JSON
    Column("workers", Integer, nullable=False),
    Column("spent", _Real, nullable=False),  # seconds of the search's clock, with those of earlier attempts
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("born", _Real, nullable=False),  # when that process began, as of automl.processes
    Column("beat", _Real, nullable=False),  # its last sign of life, seconds since 1970 by the database's clock
    Column("held", sa.Boolean, nullable=False),  # whether the search is its own
)

trials = Table(
    "trials",
    metadata,
    Column("id", _Long, primary_key=True),  # grows in the order in which trials finish
    Column("task_id", _Long, ForeignKey(tasks.c.id), nullable=False),
    Column("candidate_id", _Long, ForeignKey(candidates.c.id), nullable=False),
    Column("search_id", _Long, ForeignKey(searches.c.id)),
    Column("number", Integer, nullable=False),
    Column("fidelity", Integer, nullable=False),
    Column("seed", sa.BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("score", _Real),  # higher is better; null unless ok, never NaN
    Column("seconds", _Real, nullable=False),
    Column("parameters", sa.BigInteger),
    Column("latency_ms", _Real),
    Column("finished_at", String(32), nullable=False),
    Column("code_version", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("curve", Text, nullable=False),  # JSON list
    sa.UniqueConstraint("search_id", "number", name="one_trial_per_number"),
    Index("trials_by_task", "task_id"),
)


def open_engine(url: str) -> sa.Engine:
    """An engine on a database whose tables exist and have this program's version.

    Raises UserError, one line, when the URL is none, the server does not answer, the file is no database,
    or the tables are of another version.
    """
    parsed = _parse(url)
    shown = without_passwords(parsed.render_as_string(hide_password=True))
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite(parsed)
    else:
        try:
            engine = sa.create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": 10})
        except ImportError:
            raise UserError(f"store {shown} needs psycopg. Run: pip install 'psycopg[binary]'") from None
    try:
        with write(engine) as connection:
            _create(connection, shown)
    except exc.DBAPIError as error:
        engine.dispose()
        raise UserError(f"store {shown}: {reason(error)}. Check that it can be reached, or set store.url=...") from None
    except BaseException:
        engine.dispose()
        raise
    return engine


def write(engine: sa.Engine) -> Any:
    """A transaction that may write: committed at the end of the block, rolled back when it raises.

    SQLite takes its write lock at once (BEGIN IMMEDIATE): a transaction that reads first and asks for the
    lock later fails when another process wrote in between, however long the busy time-out.
    """
    return engine.execution_options(level4_write=True).begin()


def reason(error: exc.DBAPIError) -> str:
    """The database's own words, in one line."""
    return without_passwords(" ".join(str(error.orig).split()))


def _parse(url: str) -> sa.URL:
    known = "sqlite:///PATH or postgresql://USER@HOST/NAME"
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError:
        raise UserError(f"store.url={without_passwords(url)!r} is no database URL. Write {known}.") from None
    backend = parsed.drivername.split("+")[0]
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise UserError(f"store.url: {backend!r} is not supported. Write {known}.")
    if parsed.database in (None, "", ":memory:"):
        raise UserError(f"store.url={without_passwords(url)!r} names no file. Write sqlite:///PATH.")
    return parsed


def _sqlite(url: sa.URL) -> sa.Engine:
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"store.url: cannot make the folder {path.parent}: {error.strerror}. Set store.url=..."
        ) from None
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        connection.execute("PRAGMA foreign_keys=ON")
        _write_ahead(connection)

    @event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("level4_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Readers beside a writer. Every commit reaches the disk (synchronous=FULL, SQLite's default)."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # Two processes that open a new file together: SQLite does not wait here, so we do.
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.02)


def _create(connection: sa.Connection, shown: str) -> None:
    if connection.dialect.name == "postgresql":  # two processes that open an empty database together
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(4004001)"))
    if not sa.inspect(connection).has_table(schema_version.name):
        metadata.create_all(connection)
        connection.execute(schema_version.insert().values(version=SCHEMA_VERSION))
    found = connection.execute(sa.select(schema_version.c.version)).scalar_one_or_none()
    if found == 1:
        _second(connection)
        found = 2
    if found != SCHEMA_VERSION:
        raise UserError(
            f"store {shown} has tables of version {found}, this program writes version {SCHEMA_VERSION}. "
            f"Set store.url to a new database."
        )


def _second(connection: sa.Connection) -> None:
    """From version 1: searches get a token (none: their files are named as before), attempts are written down.

    Rows stay as they are, and a program of version 1 that has the store open may go on writing.
    """
    connection.execute(sa.text("ALTER TABLE searches ADD COLUMN token VARCHAR(16) NOT NULL DEFAULT ''"))
    attempts.create(connection)
    connection.execute(schema_version.update().values(version=2))
