"""The clerk: a process beside the server that has torch, and looks at what is asked before anything is queued.

A question is a line of JSON, and so is its answer; an empty line says that it is up. A question that is not answered in
time costs the clerk its life; the next one starts another. One that is not up yet is left to come up.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from automl.serve.limits import Refused
from automl.serve.settings import TOKEN, VARIABLE
from experiments.jobs.settings import VARIABLE as JOBS

STORE = "LEVEL4_CLERKS_STORE"
MOST = 2**26  # bytes of an answer
SERVERS = (
    TOKEN,
    VARIABLE,
    JOBS,
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PROMETHEUS_MULTIPROC_DIR",
)
"""What a process that trains need not know of the server: its token, and that it has one thread."""


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in SERVERS}


class Clerk:
    """``command``: the words that start it. ``log``: the file that its standard error goes to. ``store``: of past runs;
    its URL may hold a password, and a command line is read by everybody.
    """

    def __init__(self, command: Sequence[str], log: Path, seconds: float, store: str | None = None) -> None:
        self.command, self.log, self.seconds, self.store = command, log, seconds, store
        self._process: subprocess.Popen[bytes] | None = None
        self._rest, self._up = b"", False
        self._turn, self._closed = threading.Lock(), False

    def start(self) -> None:
        """Let it import what takes seconds, before anybody asks."""
        with self._turn:
            self._living()

    def ask(self, what: str, /, **question: Any) -> Mapping[str, Any]:
        """The answer. Raises Refused where there is none in time."""
        if not self._turn.acquire(timeout=self.seconds):
            raise Refused(503, "others are checked before; ask again later", Retry_After="10")
        try:  # its time begins now: one that had little left would cost the clerk its life
            return self._asked({"what": what, **question}, time.monotonic() + self.seconds)
        finally:
            self._turn.release()

    def close(self) -> None:
        self._closed = True
        while not self._turn.acquire(timeout=0.1):  # whoever asks has its pipes, and hears of the end by them
            if (process := self._process) is not None:
                process.kill()
        self._end()
        self._turn.release()

    def _asked(self, question: Mapping[str, Any], until: float) -> Mapping[str, Any]:
        try:
            process = self._living()
            if not self._up:
                try:
                    self._line(process, until)
                except Refused:
                    raise Refused(503, "what checks jobs is starting up", Retry_After="10") from None
                self._up = True
        except (OSError, EOFError):
            self._end()
            raise Refused(503, "what checks jobs cannot start; see its log", Retry_After="30") from None
        try:
            self._write(process, json.dumps(question).encode() + b"\n", until)
            answer: Mapping[str, Any] = json.loads(self._line(process, until))
        except (OSError, ValueError, EOFError):
            self._end()
            raise Refused(503, "what checks jobs has ended over this; see its log", Retry_After="5") from None
        except BaseException:
            self._end()
            raise
        return answer

    def _write(self, process: subprocess.Popen[bytes], line: bytes, until: float) -> None:
        assert process.stdin is not None
        left = memoryview(line)
        while left:  # what a pipe that is ready always takes
            self._wait(process.stdin, select.POLLOUT, until)
            left = left[os.write(process.stdin.fileno(), left[: select.PIPE_BUF]) :]

    def _line(self, process: subprocess.Popen[bytes], until: float) -> bytes:
        assert process.stdout is not None
        while b"\n" not in self._rest:
            self._wait(process.stdout, select.POLLIN, until)
            read = os.read(process.stdout.fileno(), 2**20)
            if not read or len(self._rest) > MOST:
                raise EOFError
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _wait(self, pipe: IO[bytes], what: int, until: float) -> None:
        """Until it is ready, or has ended. Raises Refused where it is not in time."""
        ready = select.poll()  # select.select() knows 1,024 files, which a server's connections are
        ready.register(pipe, what)
        if not ready.poll(max(until - time.monotonic(), 0) * 1000):
            text = f"it could not be checked within {self.seconds:g} s: less data, or fewer layers"
            raise Refused(503, text, Retry_After="30")

    def _living(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise Refused(503, "draining: this server will end soon")
        if self._process is None or self._process.poll() is not None:
            self._end()
            self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environ() | ({} if self.store is None else {STORE: self.store}),
                    start_new_session=True,
                )
        return self._process

    def _end(self) -> None:
        process, self._process, self._rest, self._up = self._process, None, b"", False
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):  # what it was not given any more
                        pipe.close()
