"""A server as processes: uvicorn, with workers that are replaced when they die, and an end within a bounded time."""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from automl.errors import UserError
from automl.serve.connections import Protocol
from automl.serve.life import REPLACED
from automl.serve.metrics import metrics_folder
from automl.serve.settings import VARIABLE, Settings, private_folder

IDLE = 75  # seconds that a connection may be idle: proxies keep theirs for 60
CONNECTIONS = 4096  # per worker, beyond which uvicorn itself says 503
HEALTHY = 60.0  # seconds in which a worker must answer its supervisor: loading a large model may hold it for long
AGAIN = 5.0  # seconds until a worker that could not start is tried once more
SWITCH = 5e-4  # seconds after which a thread that counts rows gives way to the loop; Python's own 5 ms are many answers
GARBAGE = (50_000, 20, 100)
"""How seldom cycles are looked for. Rows that wait to be counted make each look long: as Python does it, one request in
a hundred took 50 ms, and takes 14 (bench/serve)."""
FAILED = 2  # exit status when the models cannot be loaded, as of any mistake of a user
APP = "automl.serve.run:app"
log = logging.getLogger(__name__)


def serve(settings: Settings, factory: str = APP) -> None:
    """Serve until told to end. ``factory``: MODULE:NAME of what makes the application of a worker.

    Raises UserError for what cannot be served, and SystemExit when workers do not start.
    """
    if settings.bundle is not None and not (Path(settings.bundle).expanduser() / "meta.json").is_file():
        raise UserError(f"bundle={settings.bundle} holds no readable bundle; export the model again")
    made = None if settings.state else tempfile.mkdtemp(prefix="level4-serve-")
    state = private_folder(settings.state or str(made))
    try:
        with bound(settings) as listening, alone(state):
            port = listening.getsockname()[1]
            settings = replace(settings, state=str(state.resolve()), port=port)
            metrics_folder(state)
            os.environ[VARIABLE] = settings.to_env()
            _tell(settings)
            code = _run(settings, listening, factory)
    finally:
        if made:
            shutil.rmtree(made, ignore_errors=True)
    if code:
        raise SystemExit(code)


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Two servers in one folder would remove each other's numbers. Raises UserError."""
    try:
        opened = (state / "lock").open("ab")
    except OSError as error:  # as of another user
        fix = "Mend its rights, or set state=FOLDER"
        raise UserError(f"{state / 'lock'} cannot be written: {error.strerror}. {fix}") from error
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"state={state} is that of another server, which runs. Set state=FOLDER") from None
        except OSError:  # a disk that knows no locks
            pass
        yield


def bound(settings: Settings) -> socket.socket:
    """The socket that all workers listen on. Raises UserError when it cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host.strip("[]"), settings.port))
    except OSError as error:
        listening.close()
        reason = error.strerror or str(error)
        raise UserError(f"{settings.host}:{settings.port} cannot be had: {reason}. Set port=... or host=...") from error
    listening.set_inheritable(True)
    return listening


def app(mount: Callable[[Any], None] = lambda made: None) -> Any:
    """What a worker runs: the server that ``Settings.from_env`` describes. ``mount``: adds to it."""
    from automl.serve.app import create_app

    sys.setswitchinterval(SWITCH)
    settings = Settings.from_env()
    try:
        made = create_app(settings)
        mount(made)
    except UserError as error:
        if settings.workers == 1:
            raise  # whoever started it tells it
        return quiet(_refusing(error))
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    made.replaceable = made.settings.workers > 1
    return quiet(made)


def quiet(made: Any) -> Any:
    """The same application, which tells in one line why it cannot start."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await made(scope, receive, send)
            return
        try:
            await made(scope, receive, _without_text(send))
        except UserError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})

    return run


def _refusing(error: UserError) -> Any:
    """An application that cannot start: its worker says why in a line, and ends as one whose models do not load."""

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        raise error

    return refuse


def _without_text(send: Any) -> Any:
    async def sent(message: Any) -> None:
        if message["type"] != "lifespan.startup.failed":
            await send(message)

    return sent


def _run(settings: Settings, listening: socket.socket, factory: str) -> int:
    config = uvicorn.Config(
        factory,
        factory=True,
        workers=settings.workers,
        loop="auto",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=_LOGGING,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=int(settings.grace),
    )
    if settings.workers > 1:
        supervisor = Supervisor(config, [listening], settings.drain + settings.grace + 5)
        supervisor.run()
        return supervisor.failed
    server = uvicorn.Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them once more when all is done
        signal.signal(number, lambda number, frame: None)
    try:
        server.run(sockets=[listening])
    except SystemExit:
        return FAILED
    return 0


class Supervisor(Multiprocess):
    """Uvicorn's, but it never waits for a worker: one that died while it was asked held uvicorn's, and its signals, for
    as long as a healthy one may take. A worker that cannot start ends the server only where none ever could: a folder
    that is broken now does not take the old version from those that answer. And the end is bounded by ``seconds``.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], seconds: float) -> None:
        super().__init__(config, sockets)
        self.seconds, self.failed = seconds, 0
        self._asked: dict[int | None, float] = {}  # worker -> since when it owes an answer
        self._served = False
        self._again = 0.0

    def keep_subprocess_alive(self) -> None:
        now = time.monotonic()
        for at, process in enumerate(self.processes):
            lives = process.process.is_alive()
            if lives and self._answers(process, now):
                continue
            if not lives and now < self._again:
                continue
            process.kill()
            process.process.join()
            self._asked.pop(process.pid, None)
            if process.exitcode is not None and process.exitcode > 0 and process.exitcode != REPLACED:
                if not self._served:
                    self.failed = FAILED
                    self.should_exit.set()
                    return
                self._again = now + AGAIN
            why = f"ended with status {process.exitcode}" if lives is False else "does not move"
            log.error("worker %s %s: another one is started", process.pid, why)
            self.processes[at] = Process(self.config, self.sockets)
            self.processes[at].start()

    def _answers(self, process: Process, now: float) -> bool:
        """Whether a worker has answered within ``HEALTHY`` seconds; asks it once more where it has."""
        try:
            if process.pid not in self._asked:
                process.parent_conn.send(b"ping")
                self._asked[process.pid] = now
            elif process.parent_conn.poll(0):
                self._served |= process.parent_conn.recv()
                del self._asked[process.pid]
        except (OSError, EOFError):
            return False
        return now - self._asked.get(process.pid, now) < HEALTHY

    def join_all(self) -> None:
        until = time.monotonic() + self.seconds
        for process in self.processes:
            process.process.join(max(until - time.monotonic(), 0))
            if process.exitcode is None:
                log.error("worker %s did not end in time: it is killed", process.pid)
                process.process.kill()
                process.process.join()


def _tell(settings: Settings) -> None:
    what = f"bundle {settings.bundle}" if settings.bundle else f"registry {settings.registry}"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"serving {what} at http://{host}:{settings.port}", file=sys.stderr, flush=True)


_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(process)d %(message)s"}},
    "handlers": {"line": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
    "loggers": {
        "uvicorn": {"handlers": ["line"], "level": "ERROR", "propagate": False},
        "automl": {"handlers": ["line"], "level": "WARNING", "propagate": False},
        "automl.data": {"level": "ERROR"},  # what it warns of are cells: values, which belong in no log
    },
}
