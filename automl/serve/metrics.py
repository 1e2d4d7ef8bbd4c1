"""What Prometheus reads at /metrics: the sums over all workers, also of those that are gone.

Each worker keeps its numbers in a file of its own (the multiprocess mode of prometheus_client), and whichever is asked
adds them up. That mode is chosen by a variable of the environment before the package is imported: ``metrics_folder``.
The files are mapped into memory and have holes, so a process that counts on a full disk is killed by SIGBUS: their room
is taken before. Where there is none, the answers go on and are not counted here.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from pathlib import Path

from automl.errors import UserError

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
FILES, FIRST, KEY = ("counter", "histogram", "gauge_livesum"), 2**16, 2**13
"""Of a worker, as prometheus_client names them; bytes that it gives them first, and that a model's numbers take."""
log = logging.getLogger(__name__)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def metrics_folder(state: Path) -> None:
    """Choose where the workers keep their numbers, emptied of those of the last run. Before workers are started.

    Raises UserError where these cannot be removed.
    """
    folder = state / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        fix = "Remove it, or set state=FOLDER"
        raise UserError(f"{folder} cannot be made anew: {error.strerror}. {fix}") from error
    if "prometheus_client" in sys.modules:
        raise RuntimeError("prometheus_client was imported before its mode was chosen: workers would count in vain")
    os.environ[VARIABLE] = str(folder)


class Metrics:
    """Of one worker. Without ``metrics_folder`` it tells of its own process alone."""

    def __init__(self) -> None:
        self._folder = os.environ.get(VARIABLE)
        self._full, self._size = False, 0
        shared = self._folder is not None and self._room(1)
        if not shared:  # what this worker counts then is told to nobody, where there are others
            os.environ.pop(VARIABLE, None)
        import prometheus_client as prom  # reads the variable

        self._prom, self._shared = prom, shared
        self._registry = None if shared else prom.CollectorRegistry()
        at = self._registry
        labels = ["model", "digest"]
        self._requests = prom.Counter("level4_requests", "Requests answered.", [*labels, "code"], registry=at)
        self._rows = prom.Counter("level4_rows", "Rows answered.", labels, registry=at)
        self._seconds = prom.Histogram(
            "level4_request_seconds", "Time of a request.", labels, registry=at, buckets=SECONDS
        )
        self._rejected = prom.Counter("level4_rejected", "Requests refused for want of room.", registry=at)
        self._loads = prom.Counter("level4_model_loads", "Versions loaded.", ["model", "result"], registry=at)
        live = {"registry": at, "multiprocess_mode": "livesum"}
        self._queue = prom.Gauge("level4_queue_length", "Requests that wait.", **live)
        self._flight = prom.Gauge("level4_in_flight", "Requests that are being worked on.", **live)
        self._known: dict[tuple[str, str, int], tuple[prom.Counter, prom.Counter, prom.Histogram]] = {}

    def asked(self, model: str, digest: str, code: int, rows: int, seconds: float) -> None:
        """Count a request. ``model``: empty where it reached none."""
        key = (model, digest, code)
        if (found := self._known.get(key)) is None:
            if self._shared and not self._room(len(self._known) + 2):
                return
            requests = self._requests.labels(model, digest, code)
            found = self._known[key] = (requests, self._rows.labels(model, digest), self._seconds.labels(model, digest))
        found[0].inc()
        if code == 200:
            found[1].inc(rows)
            found[2].observe(seconds)
        elif code == 429:
            self._rejected.inc()

    def _room(self, models: int) -> bool:
        """Take the files' room for the numbers of so many models; False where the disk is full, which is told once."""
        size = FIRST
        while size < KEY * models:
            size *= 2
        if size <= self._size:
            return True
        try:
            for kind in FILES:
                with Path(str(self._folder), f"{kind}_{os.getpid()}.db").open("ab") as file:
                    os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if not self._size:  # an empty file could not be read
                for path in Path(str(self._folder)).glob(f"*_{os.getpid()}.db"):
                    path.unlink()
            if not self._full:
                log.error("requests are answered, but not counted at /metrics: %s", error.strerror)
            self._full = True
            return False
        self._size, self._full = size, False
        return True

    def loaded(self, model: str, result: str) -> None:
        self._loads.labels(model, result).inc()

    def now(self, waiting: int, working: int) -> None:
        self._queue.set(waiting)
        self._flight.set(working)

    def text(self) -> bytes:
        """In Prometheus' own form."""
        if self._folder is None and self._registry is not None:
            return self._prom.generate_latest(self._registry)
        from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

        folder = str(self._folder)
        for path in Path(folder).glob("gauge_live*.db"):
            if (found := re.search(r"_(\d+)\.db", path.name)) and not _lives(int(found[1])):
                mark_process_dead(int(found[1]), folder)  # a worker that was killed told nobody
        registry = self._prom.CollectorRegistry()
        MultiProcessCollector(registry, folder)
        return self._prom.generate_latest(registry)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
