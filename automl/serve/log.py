"""The log of requests: one line of JSON each, without the values of rows unless their columns are named.

requests-DAY.jsonl    {"at", "id", "path", "code", "ms", "model", "rows"}; of named columns also "cells"

Lines are gathered and appended once a second, of each worker in one write, so that lines of two never mix. A day's file
ends at ``MEGABYTES``, and goes after the days that were asked for, once the clock has run evenly for an hour.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import re
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.clock import Evenly

MEGABYTES = 256  # of a day
HOUR = 3600.0  # seconds between looks for files that are too old
WAITING = 10_000  # lines that are gathered at most, some seconds' worth
LONGEST = 200  # letters of a value
ROWS = 100  # of a request whose cells are kept
_ID = re.compile(rb"[A-Za-z0-9_.-]{8,64}")
log = logging.getLogger(__name__)


def request_id(given: bytes | None) -> str:
    """The client's own, where it is one that a line and a file can hold; else a new one of 16 hex digits."""
    if given is not None and _ID.fullmatch(given):
        return given.decode()
    return secrets.token_hex(8)


class RequestLog:
    """``folder``: None writes nothing. ``days``: that a file is kept. ``columns``: whose values it may hold."""

    def __init__(self, folder: Path | None, days: int, columns: Sequence[str] = ()) -> None:
        self.folder = folder if days else None
        self.days, self.columns, self.dropped = days, tuple(columns), 0
        self._lines: list[tuple[Any, ...]] = []
        self._lock = threading.Lock()
        self._evenly, self._due = Evenly(), 0.0
        self._silent = self._torn = False  # torn: the last line that was written has no end

    def add(
        self, request: str, path: str, code: int, seconds: float, model: str, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Of any thread, in some hundred nanoseconds."""
        if self.folder is None:
            return
        if len(self._lines) >= WAITING:
            self.dropped += 1
            return
        cells = [{c: _short(r[c]) for c in self.columns if c in r} for r in rows[:ROWS]] if self.columns else None
        self._lines.append((time.time(), request, path, code, seconds, model, len(rows), cells))

    def flush(self) -> None:
        """Write what was gathered. Says once when it cannot, and goes on."""
        if self.folder is None or not self._lines:
            return
        with self._lock:
            lines, self._lines = self._lines, []
            day = time.strftime("%Y-%m-%d", time.gmtime(lines[0][0]))
            try:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                path = self.folder / f"requests-{day}.jsonl"
                if self._evenly.runs() and time.monotonic() > self._due:
                    self._due = time.monotonic() + HOUR
                    self._clear()
                if path.exists() and path.stat().st_size > MEGABYTES << 20:
                    raise OSError(0, f"today's file has {MEGABYTES} MB")
                text = b"\n" * self._torn + b"".join(map(_line, lines))
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb", 0) as file:
                    written = file.write(text)
                self._torn = written < len(text) and text[written - 1 : written] != b"\n"
                lines = lines[text[:written].count(b"\n") :]
                if lines:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self._silent = False
            except OSError as error:
                self.dropped += len(lines)
                if not self._silent:
                    log.error("requests are not logged, but answered: %s", error.strerror)
                self._silent = True

    def _clear(self) -> None:
        """Remove files of days that are over."""
        if self.folder is None:
            return
        for path in self.folder.glob("requests-*.jsonl"):
            if time.time() - path.stat().st_mtime > self.days * 86_400:
                path.unlink(missing_ok=True)


def _line(of: tuple[Any, ...]) -> bytes:
    at, request, path, code, seconds, model, rows, cells = of
    said = {"at": round(at, 3), "id": request, "path": path, "code": code, "ms": round(1000 * seconds, 3)}
    said |= {"model": model, "rows": rows} | ({} if cells is None else {"cells": cells})
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def _short(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):  # JSON has none
        return str(value)
    return value if isinstance(value, int | float | bool | None) else str(value)[:LONGEST]
