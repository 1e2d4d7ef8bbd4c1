"""What a worker answered, counted beside its requests: nothing here delays an answer, or fails one.

recorder = Recorder(folder, bundle)
recorder.add(request_id, rows, outputs)     # by any thread, as an answer leaves; some microseconds
recorder.close()                            # the last window is written

A thread of its own keeps the answers for feedback each second, counts them, counts the rows' fields as far as ``BUSY``
allows, writes a window each ``seconds`` and has it judged. What cannot be written is held and written later; the line
in the log says what to do. A process that is killed loses what it has not written.
"""

from __future__ import annotations

import contextlib
import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from automl.clock import Evenly
from automl.deploy.bundle import Bundle
from automl.monitor import windows
from automl.monitor.alerts import checked_webhook
from automl.monitor.answers import Answers, fix_of
from automl.monitor.counter import HEAD, Counter
from automl.monitor.judge import judge
from automl.monitor.windows import Window

MOST_ROWS = 20_000
"""Rows that wait to be counted, some seconds of the fastest traffic; more are answered and not recorded."""
MOST_BYTES = 64 << 20
"""Of pictures, sounds, series and texts among them."""
CHUNK = 1_000  # rows whose fields are counted together
BUSY = 0.05
"""Share of a core that may go into the fields: of fast traffic an even part of the rows is counted, which is enough. By
judgement; what watching costs of the requests a second is in ``+experiment=bench/serve``."""
PAUSE = 1.0  # seconds between batches
_LARGE = ("image", "audio", "series", "text")
log = logging.getLogger(__name__)


class _Answered(NamedTuple):
    request: str
    at: float
    rows: Sequence[Mapping[str, Any]]
    outputs: Sequence[np.ndarray]
    seconds: float | None


class Recorder:
    """Of one process and one version of a model. ``folder``: of the version, shared by all processes.

    ``seconds``: of a window. ``webhook``: where alerts go, beside alerts.jsonl. ``clock``: unix seconds.
    """

    def __init__(
        self,
        folder: Path | str,
        bundle: Bundle,
        *,
        seconds: float = 60.0,
        webhook: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises UserError for a reference that cannot be read, and a webhook that is no address."""
        self.folder, self._seconds, self._clock = Path(folder), seconds, clock
        self._webhook = checked_webhook(webhook)
        self._counter = Counter(bundle)
        self._answers = Answers(self.folder, bundle)
        self._worker = windows.worker_name()
        self._large = [str(f["name"]) for f in bundle.encoding.fields if f["kind"] in _LARGE]
        self._lock = threading.Lock()
        self._pending: list[_Answered] = []
        self._rows = self._bytes = 0  # of what is pending
        self._dropped = 0
        self._unkept: list[_Answered] = []  # answers that could not be kept yet
        self._window = Window(clock(), clock(), np.zeros(self._counter.layout.size, dtype=np.int64))
        self._free = 0.0  # when fields may be counted again
        self._evenly = Evenly(clock)
        self._said: set[str] = set()  # problems that are in the log
        self._wake, self._ends = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def add(
        self,
        request_id: str,
        rows: Sequence[Mapping[str, Any]],
        outputs: Sequence[np.ndarray],
        seconds: float | None = None,
    ) -> None:
        """Take a request that was answered. Neither waits nor raises; what there is no room for is counted as dropped.

        ``rows``: as they came, which nobody changes afterwards. ``outputs``: of ``Bundle.outputs_encoded`` for them.
        ``seconds``: that the answer took.
        """
        size = sum(_bytes(row.get(name)) for name in self._large for row in rows)
        with self._lock:
            if self._rows + len(rows) > MOST_ROWS or self._bytes + size > MOST_BYTES or self._ends:
                self._dropped += len(rows)
                return
            self._rows += len(rows)
            self._bytes += size
            self._pending.append(_Answered(request_id, self._clock(), rows, outputs, seconds))
            full = self._rows >= MOST_ROWS // 4
        if full:
            self._wake.set()

    def close(self, timeout: float = 10.0) -> None:
        """Count and write what is left; at most ``timeout`` seconds."""
        with self._lock:
            self._ends = True
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        due = time.monotonic() + self._seconds  # not by the clock, which may jump
        while not self._ends:
            self._wake.wait(min(PAUSE, self._seconds))
            self._wake.clear()
            self._try("counted", self._take)
            if time.monotonic() >= due:
                due = time.monotonic() + self._seconds
                self._flush()
        self._try("counted", self._take)
        self._flush()

    def _take(self) -> None:
        """Count, and keep, what is pending."""
        with self._lock:
            answered, self._pending, self._rows, self._bytes = self._pending, [], 0, 0
            dropped, self._dropped = self._dropped, 0
        found = np.zeros(self._counter.layout.size, dtype=np.int64)
        found[HEAD.index("dropped")] = dropped
        self._window = Window(self._window.start, self._window.end, self._window.counts + found)
        self._unkept = _newest([*self._unkept, *(a._replace(rows=()) for a in answered)])
        if self._unkept:
            self._try("kept for feedback", self._keep)
        if answered:
            self._count(answered)

    def _count(self, answered: Sequence[_Answered]) -> None:
        outputs = [np.concatenate(parts) for parts in zip(*(a.outputs for a in answered), strict=True)]
        seconds = [a.seconds for a in answered if a.seconds is not None]
        self._add(self._counter.answers(outputs, seconds, requests=len(answered)))
        began = time.monotonic()
        if began >= self._free:
            rows = [row for a in answered for row in a.rows]
            try:
                # At random: of requests that are all alike in their order each n-th row would be the same one of each.
                self._add(self._counter.rows(random.sample(rows, min(len(rows), CHUNK))))
            finally:
                self._free = began + (time.monotonic() - began) / BUSY

    def _add(self, counts: np.ndarray) -> None:
        self._window = Window(self._window.start, self._window.end, self._window.counts + counts)

    def _keep(self) -> None:
        self._answers.add([(a.request, a.at, a.outputs) for a in self._unkept])
        self._unkept = []

    def _flush(self) -> None:
        """Write the window and begin another; one that cannot be written goes on."""
        window = Window(self._window.start, self._clock(), self._window.counts)
        if window.counts.any() and self._try("written", lambda: windows.append(self.folder, self._worker, window)):
            self._window = Window(window.end, window.end, np.zeros_like(window.counts))
        self._try("judged", self._judge)

    def _judge(self) -> None:
        state, now = judge(self.folder, self._counter, self._clock(), self._webhook), self._clock()
        if self._evenly.runs():
            windows.clear(self.folder, state.places, now)
            self._answers.clear(now)
            for folder in self.folder.parent.iterdir():  # of versions that are served no more
                with contextlib.suppress(sqlite3.Error):
                    if folder != self.folder and (found := Answers.found(folder)) is not None:
                        found.clear(now)

    def _try(self, what: str, work: Callable[[], Any]) -> bool:
        """Whether it was done. Why not is told once, until it is done again."""
        try:
            work()
        except (OSError, sqlite3.Error) as error:
            fix = f"{fix_of(error)}; counting goes on, and it is written then"
            self._tell(what, f"{self.folder}: requests cannot be {what} ({error}); {fix}")
        except Exception as error:  # whatever it is, the server answers on
            self._tell(what, f"{self.folder}: requests cannot be {what} ({type(error).__name__}: {error})")
        else:
            self._said.discard(what)
            return True
        return False

    def _tell(self, what: str, line: str) -> None:
        if what not in self._said:
            self._said.add(what)
            with contextlib.suppress(Exception):
                log.warning("%s", line)


def _newest(answered: Sequence[_Answered]) -> list[_Answered]:
    """Those of the last ``MOST_ROWS`` rows: what cannot be kept must not fill the memory."""
    kept, rows = len(answered), 0
    while kept and (rows := rows + len(answered[kept - 1].outputs[0])) <= MOST_ROWS:
        kept -= 1
    return list(answered[kept:])


def _bytes(value: Any) -> int:
    size = getattr(value, "nbytes", None)
    return size if isinstance(size, int) else len(value) if hasattr(value, "__len__") else 0
