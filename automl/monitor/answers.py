"""What was answered, by request, so that labels that come later can be judged: answers.db, SQLite.

store = Answers(folder, bundle)                     # or Answers.found(folder), of a version that is not loaded
store.add([(request_id, at, outputs), ...])         # by the recorder's thread, some hundred requests at a time
store.feedback(request_id, ["a", None, "b"])        # by who got the labels, in any process
store.labelled()                                    # what was said of the rows whose label came, and the labels

Of a row it keeps what the model said (probabilities, or value and spread) and the label, nothing of its fields. Rows
that are older than ``KEEP_DAYS``, and the oldest of what is more than ``KEEP_MB``, go. Of the model it keeps what a
label needs, so that one which comes after a restart, when another version answers, is still taken.
"""

from __future__ import annotations

import itertools
import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from automl.deploy.bundle import Bundle
from automl.errors import UserError

NAME = "answers.db"
KEEP_DAYS, KEEP_MB = 30, 256  # by judgement: labels seldom come later than a month, and the disk is others' too
AHEAD = 3600.0  # seconds by which no moment is later than now
WAIT = 5.0  # seconds for another process that writes
MOST = 100_000
"""Labelled rows that are judged, the newest: more tell no more, as a share of so many is met to .3 points."""
TOGETHER = 500  # rows that are written by one statement
TWICE = "several requests had this id, so nobody knows whose labels these are; send each an X-Request-Id of its own"
_ALIKE = 1e-3
"""How far what was said of a row may differ when it is asked once more, as among other rows: so far it is the same."""
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    request TEXT NOT NULL, row INTEGER NOT NULL, at REAL NOT NULL, said BLOB NOT NULL, label REAL, labelled INTEGER,
    PRIMARY KEY (request, row)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS model (one INTEGER PRIMARY KEY, kind TEXT, classes TEXT, center REAL);
CREATE INDEX IF NOT EXISTS by_time ON answers (at);
CREATE INDEX IF NOT EXISTS by_label ON answers (labelled) WHERE labelled IS NOT NULL;
"""


class Feedback(NamedTuple):
    """Labels that were taken; that belong to no answer that is kept; and that had come before, which counts once."""

    known: int
    unknown: int
    repeated: int


class Labelled(NamedTuple):
    """In the order in which labels came. ``said``: float32 (rows, classes) or (rows, 1 or 2: value and spread).

    ``y``: class numbers or values (rows,).
    """

    said: np.ndarray
    y: np.ndarray


class Answers:
    """The file in a folder. Every call opens it anew, so that one that was removed or is full harms no later one."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self._is(folder, bundle.task.kind, bundle.task.classes, bundle.encoding.target.center)

    @classmethod
    def found(cls, folder: Path) -> Answers | None:
        """Of a version by its folder alone; None where nothing is kept. Raises sqlite3.Error for a broken file."""
        self = cls.__new__(cls)
        self._is(folder, "", (), 0.0)
        if not self.path.is_file():
            return None
        with self._open(make=False) as base:
            if not base.execute("SELECT count(*) FROM sqlite_master WHERE name = 'model'").fetchone()[0]:
                return None  # of an earlier version
            kind, classes, center = base.execute("SELECT kind, classes, center FROM model").fetchone()
        self._is(folder, kind, json.loads(classes), center)
        return self

    def _is(self, folder: Path, kind: str, classes: Sequence[str], center: float) -> None:
        self.path, self._kind, self._classes, self._center = folder / NAME, kind, tuple(classes), center

    def add(self, answered: Sequence[tuple[str, float, Sequence[np.ndarray]]]) -> None:
        """Keep answers: request, unix seconds, what ``Bundle.outputs_encoded`` said. A request is kept once.

        Where one of the same id was told otherwise, it takes no labels any more: they might be the other's.

        Raises OSError or sqlite3.Error where they cannot be written.
        """
        rows = [
            (request, row, at, said.tobytes())
            for request, at, outputs in answered
            for row, said in enumerate(self._said(outputs))
        ]
        model = (self._kind, json.dumps(self._classes), self._center)
        with self._open(make=True) as base:
            base.create_function("differs", 2, _differs)
            base.execute("INSERT OR IGNORE INTO model VALUES (1, ?, ?, ?)", model)
            # Many at a time: each statement takes the interpreter anew from the thread that answers requests.
            for some in (rows[at : at + TOGETHER] for at in range(0, len(rows), TOGETHER)):
                base.execute(
                    f"INSERT INTO answers (request, row, at, said) VALUES {', '.join(['(?, ?, ?, ?)'] * len(some))} "
                    "ON CONFLICT (request, row) DO UPDATE SET said = x'' WHERE differs(said, excluded.said)",
                    [*itertools.chain.from_iterable(some)],
                )

    def feedback(self, request: str, labels: Sequence[Any]) -> Feedback:
        """Labels of a request's rows in their order, None where there is none. See ``Feedback``.

        Raises UserError for a label that is no class or no finite number, and where several requests had this id, and
        OSError or sqlite3.Error where it cannot be kept; then none of them is.
        """
        given = [(row, self._label(label)) for row, label in enumerate(labels) if label is not None]
        if not self.path.is_file():
            return Feedback(0, len(given), 0)
        known = repeated = 0
        with self._open(make=False) as base:
            base.execute("BEGIN IMMEDIATE")
            kept = base.execute("SELECT row, labelled, said FROM answers WHERE request = ?", (request,)).fetchall()
            there = {row: labelled for row, labelled, _ in kept}
            if {row for row, _, said in kept if not said} & {row for row, _ in given}:
                raise UserError(TWICE)
            number = base.execute("SELECT coalesce(max(labelled), 0) FROM answers WHERE labelled IS NOT NULL")
            (last,) = number.fetchone()
            for row, label in given:
                if row not in there:
                    continue
                if there[row] is not None:
                    repeated += 1
                    continue
                known += 1
                base.execute(
                    "UPDATE answers SET label = ?, labelled = ? WHERE request = ? AND row = ?",
                    (label, last + known, request, row),
                )
        return Feedback(known, len(given) - known - repeated, repeated)

    def answered(self, request: str) -> float | None:
        """Unix seconds at which a request was, None where it is not kept. Raises sqlite3.Error for a broken file."""
        if not self.path.is_file():
            return None
        with self._open(make=False) as base:
            return base.execute("SELECT max(at) FROM answers WHERE request = ?", (request,)).fetchone()[0]

    def last_label(self) -> int:
        """How many labels came so far. Raises sqlite3.Error where the file cannot be read."""
        if not self.path.is_file():
            return 0
        with self._open(make=False) as base:
            return int(base.execute("SELECT max(labelled) FROM answers WHERE labelled IS NOT NULL").fetchone()[0] or 0)

    def labelled(self) -> Labelled:
        """Rows whose label came, ``MOST`` at most. Raises sqlite3.Error where the file cannot be read."""
        width = max(len(self._classes), 1)
        rows: list[tuple[bytes, float]] = []
        if self.path.is_file():
            with self._open(make=False) as base:
                rows = base.execute(
                    "SELECT said, label FROM answers WHERE labelled IS NOT NULL ORDER BY labelled DESC LIMIT ?", (MOST,)
                ).fetchall()[::-1]
        width = max((len(said) // 4 for said, _ in rows if said), default=width)
        rows = [(said, label) for said, label in rows if len(said) == 4 * width]
        said = np.frombuffer(b"".join(s for s, _ in rows), dtype=np.float32).reshape(-1, width)
        y = np.array([label for _, label in rows], dtype=np.float64)
        return Labelled(said, y if self._kind == "regression" else y.astype(np.int64))

    def clear(self, now: float) -> None:
        """Remove what is kept no longer. ``now``: unix seconds. Raises OSError or sqlite3.Error where that fails."""
        if not self.path.is_file():
            return
        with self._open(make=False) as base:
            # Of a clock that was ahead: they would outlive all others, which go first where there is too much.
            base.execute("UPDATE answers SET at = ? WHERE at > ?", (now, now + AHEAD))
            base.execute("DELETE FROM answers WHERE at < ?", (now - KEEP_DAYS * 86400,))
            pages, free, size = (
                base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
            )
            if (pages - free) * size > KEEP_MB << 20:
                base.execute(
                    "DELETE FROM answers WHERE at <= (SELECT at FROM answers ORDER BY at "
                    "LIMIT 1 OFFSET (SELECT count(*) / 5 FROM answers))"
                )

    def _said(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        if self._kind != "regression":
            return np.ascontiguousarray(outputs[0], dtype=np.float32)
        return np.stack([np.asarray(o, dtype=np.float32) for o in outputs[:2]], axis=1)

    def _label(self, label: Any) -> float:
        """The class's number, or the value as the graph has it, without the center."""
        if self._kind == "regression":
            try:
                number = float(label) if isinstance(label, int | float) and not isinstance(label, bool) else math.nan
            except OverflowError:
                number = math.inf
            if not math.isfinite(number):
                raise UserError(f"label {str(label)[:40]!r} is no finite number; send the true value")
            return number - self._center
        if isinstance(label, str) and label in self._classes:
            return float(self._classes.index(label))
        known = ", ".join(self._classes[:8])
        raise UserError(f"label {str(label)[:40]!r} is no class of the model; classes are: {known}")

    @contextmanager
    def _open(self, *, make: bool) -> Iterator[sqlite3.Connection]:
        """One transaction, in a file that outlives a killed process (write-ahead log)."""
        if make:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = "rwc" if make else "rw"
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        with closing(sqlite3.connect(uri, uri=True, timeout=WAIT)) as base, base:
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = NORMAL")
            if make:
                base.executescript(_TABLES)
            yield base


def fix_of(error: Exception) -> str:
    """What a person does about a file that cannot be read or written."""
    if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.OperationalError):
        return f"remove {NAME}, and it begins anew"
    return "free some space there, or mend its rights"  # the disk is full, or another process writes


def _differs(a: bytes, b: bytes) -> bool:
    """Whether a row was told otherwise than before; both float32."""
    before, now = (np.frombuffer(said, dtype=np.float32) for said in (a, b))
    return before.shape != now.shape or not np.allclose(before, now, rtol=_ALIKE, atol=_ALIKE, equal_nan=True)
