"""From start to end of a worker: models first, then requests; at the end no request is lost.

start   load all models, warm them up; only then the server listens
while   look at the models each second; write the log; end when the loop or a thread is stuck, to be replaced, and when
        nobody is there to replace it
SIGTERM, Ctrl-C    /readyz says 503 and all that comes is answered, for ``drain`` seconds; then uvicorn stops listening
        and waits for what was accepted, ``grace`` seconds at most
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.serve.app import Server
    from automl.serve.limits import Limits

STUCK = 60.0
"""Seconds after which nobody waits any more for a loop or a thread that has not moved (limits.seconds are fewer)."""
REPLACED = 70
"""Exit status of a worker that was stuck; uvicorn starts another."""
TICK = 1.0  # seconds between looks
log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    await asyncio.to_thread(app.models.start)
    for part in app.parts:
        part.start()
    stop = threading.Event()
    for task in (app.models.watch, lambda stop: _keep(app, stop)):
        threading.Thread(target=task, args=(stop,), daemon=True).start()
    beating = asyncio.create_task(_beat(app))
    _drain_first(app, asyncio.get_running_loop())
    try:
        yield
    finally:
        stop.set()
        beating.cancel()
        app.queue.threads.close()
        app.log.flush()
        for part in app.parts:
            await asyncio.to_thread(part.close)
        await asyncio.to_thread(app.models.close)


async def _beat(app: Server) -> None:
    while True:
        app.beat = time.monotonic()
        app.metrics.now(len(app.queue), app.queue.busy)
        await asyncio.sleep(TICK)


def patience(limits: Limits) -> float:
    """Seconds after which what has not moved is stuck."""
    return max(STUCK, 2 * limits.seconds)


def _keep(app: Server, stop: threading.Event) -> None:
    limit = patience(app.limits)
    parent = os.getppid()
    while not stop.wait(TICK):
        try:
            app.log.flush()
        except Exception:  # a fault over one line must not end the looks at what is stuck
            log.exception("requests are not logged, but answered")
        if app.replaceable and os.getppid() != parent and not app.draining:
            log.error("the process that started this worker is gone: it ends")
            os.kill(os.getpid(), signal.SIGTERM)
        if app.replaceable and max(time.monotonic() - app.beat, app.queue.threads.longest()) > limit:
            log.error("this worker is stuck since %.0f s: it ends, and another one is started", limit)
            os._exit(REPLACED)


def _drain_first(app: Server, loop: asyncio.AbstractEventLoop) -> None:
    """Put ``drain`` seconds before what uvicorn does when it is told to end; told twice the same, it ends at once.

    Ctrl-C reaches a worker of several by the terminal, and as SIGTERM by its supervisor: that is once.
    """
    told: set[int] = set()
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        if not callable(before) or before is signal.default_int_handler:
            continue

        def handle(number: int, frame: Any, before: Any = before) -> None:
            again, first = number in told, not told
            told.add(number)
            app.draining = True
            if again or not app.settings.drain:
                before(number, frame)
            elif first:  # as SIGTERM: to uvicorn a second SIGINT means to drop what it answers
                loop.call_soon_threadsafe(loop.call_later, app.settings.drain, before, signal.SIGTERM, None)

        signal.signal(number, handle)
