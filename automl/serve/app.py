"""The server: what every request passes, and what answers it.

    request -> its id -> Host, Origin, token (access) -> bytes (limits) -> question -> model (models) -> queue -> answer

``/predict`` is answered here, before FastAPI's routing and validation, which take longer than a small model; FastAPI
has the other routes and describes all of them. Whatever goes wrong becomes a status of ``limits.STATUS`` in one place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from automl.deploy.bundle import Answer
from automl.errors import UserError
from automl.serve.access import Access
from automl.serve.answers import encoded, reply
from automl.serve.life import lifespan, patience
from automl.serve.limits import LONGEST_CELL, Bodies, Gone, Headers, Receive, Refused, check_cells
from automl.serve.log import RequestLog, request_id
from automl.serve.metrics import Metrics
from automl.serve.models import CHALLENGER, CHAMPION, Loaded, Models
from automl.serve.openapi import described
from automl.serve.question import of_form, of_json
from automl.serve.queue import Queue
from automl.serve.routes import ASKED, add_routes
from automl.serve.settings import Settings
from automl.version import package_version

PREDICT = "/predict"
ERRORS: tuple[Any, ...] = (UserError, Refused, HTTPException, RequestValidationError, Exception)
log = logging.getLogger(__name__)


class Part(Protocol):
    """What somebody mounts on a server, and that lives as long."""

    def start(self) -> None: ...
    def close(self) -> None: ...


class Asked:
    """What is known of a request while it is answered, for its log line and the metrics."""

    __slots__ = ("began", "code", "id", "loaded", "path", "rows")

    def __init__(self, request: str, path: str) -> None:
        self.id, self.path, self.began = request, path, time.perf_counter()
        self.code = 0
        self.loaded: Loaded | None = None
        self.rows: Sequence[Mapping[str, Any]] = ()


class Server(FastAPI):
    """``create_app`` makes it. ``draining``: it was told to end, and answers what still comes. ``replaceable``: whoever
    started the process starts another one when it ends. ``beat``: when the loop last moved. ``parts``: what else was
    mounted, which makes it ready without a model too; ``pages``: addresses of their pages.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            title="Level 4",
            version=package_version(),
            docs_url=None,  # they would load scripts from elsewhere
            redoc_url=None,
            lifespan=lifespan,
            exception_handlers=dict.fromkeys(ERRORS, _told),
        )
        self.settings, self.limits = settings, settings.limits
        self.access, self.bodies = Access(settings), Bodies(settings.limits)
        self.metrics = Metrics()
        folder = None if settings.state is None else Path(settings.state) / "log"
        self.log = RequestLog(folder, settings.log, settings.log_columns)
        self.models = Models.of(settings, told=self.metrics.loaded)
        self.queue = Queue(settings.limits, settings.threads)
        self.parts: list[Part] = []
        self.pages: list[str] = []
        self.draining, self.replaceable, self.beat = False, False, time.monotonic()

    def check_ready(self) -> None:
        """Raises Refused."""
        if self.draining:
            raise Refused(503, "draining: this server will end soon")
        if not self.queue.threads.free and self.queue.threads.longest() > patience(self.limits):
            raise Refused(503, "stuck: nothing that takes a thread has been answered for long; start it anew")
        if not self.parts and not any(entry.aliases for entry in self.models.table.values()):
            raise Refused(503, "no model is ready", Retry_After="1")

    def openapi(self) -> dict[str, Any]:
        """Anew each time: the columns are those of the models that answer now."""
        self.openapi_schema = None
        return described(super().openapi(), self.models.table)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        headers: Headers = dict(scope["headers"])
        asked = Asked(request_id(headers.get(b"x-request-id")), scope["path"])
        try:
            self.access.check(headers, asked.path)
            self.bodies.announced(headers)
            if asked.path == PREDICT:
                await self._predict(asked, scope, headers, receive, send)
            else:
                await self._routed(asked, scope, receive, send)
        except Gone:
            pass
        except Exception as error:
            if not asked.code:
                await _send(send, asked, *self.told(error, asked))
        finally:
            self._note(asked)

    async def _predict(self, asked: Asked, scope: Any, headers: Headers, receive: Receive, send: Any) -> None:
        if scope["method"] != "POST":
            raise Refused(405, "ask with POST", Allow="POST")
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind not in (b"application/json", b"multipart/form-data"):
            raise Refused(415, "send application/json or multipart/form-data, and say so in Content-Type")
        self.queue.admit()
        body = await self.bodies.read(receive)
        if kind == b"application/json":
            question = of_json(body, self.limits)
        else:
            whole, query = headers[b"content-type"].decode("latin-1"), scope.get("query_string", b"").decode("latin-1")
            question = await of_form(body, whole, self.limits, lambda name: self._fields(name, asked), query)
        loaded = asked.loaded = self._find(question.model, asked)
        rows = asked.rows = question.rows
        if len(body) > LONGEST_CELL:
            check_cells(loaded.bundle.encoding.fields, rows)

        def finish(said: Sequence[np.ndarray]) -> bytes:
            made = reply(loaded, question, said, asked.id)
            if loaded.recorder is not None:
                loaded.recorder.add(asked.id, rows, said, time.perf_counter() - asked.began)
            return made

        made = await self.queue.answer(loaded, rows, finish, alone=question.explain > 0)
        await _send(send, asked, 200, made)
        if self.settings.shadow:
            self._shadow(loaded, asked)

    async def answer(
        self,
        asked: Asked,
        reference: str,
        rows_of: Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]],
        level: float | None,
    ) -> tuple[Loaded, Answer]:
        """What a version says of rows, for other protocols. Raises UserError and Refused.

        ``rows_of``: the fields of the version that answers, which a canary and a swap decide -> the rows.
        """
        loaded = asked.loaded = self._find(reference, asked)
        rows = asked.rows = rows_of(loaded.bundle.encoding.fields)
        check_cells(loaded.bundle.encoding.fields, rows)

        def finish(said: Sequence[np.ndarray]) -> Answer:
            made = loaded.bundle.answer_of(said, level)
            if loaded.recorder is not None:
                loaded.recorder.add(asked.id, rows, said, time.perf_counter() - asked.began)
            return made

        made = await self.queue.answer(loaded, rows, finish)
        if self.settings.shadow:
            self._shadow(loaded, asked)
        return loaded, made

    def told(self, error: Exception, asked: Asked) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers for what went wrong: one line, without paths of this machine."""
        if isinstance(error, Refused):
            code, text, headers = error.code, error.text, error.headers
        elif isinstance(error, HTTPException):
            code, text, headers = error.status_code, str(error.detail), error.headers or {}
        elif isinstance(error, UserError):
            code, text, headers = 422, str(error), {}
        elif isinstance(error, RequestValidationError):
            code, text, headers = 422, "the address or its parameters do not fit", {}
        else:
            log.error("request %s failed", asked.id, exc_info=error)
            code, text, headers = 500, "this server failed; its log knows why, by the request id", {}
        for entry in self.models.table.values():
            for loaded in entry.aliases.values():
                text = text.replace(str(loaded.bundle.folder), loaded.name)
        return code, encoded({"error": text}), headers

    def _find(self, reference: str | None, asked: Asked) -> Loaded:
        return self.models.find(reference, asked.id, self.settings.canary)

    def _fields(self, reference: str | None, asked: Asked) -> Sequence[Mapping[str, Any]]:
        return self._find(reference, asked).bundle.encoding.fields

    def _shadow(self, loaded: Loaded, asked: Asked) -> None:
        """Let the challenger answer too; its recorder alone hears of it."""
        entry = self.models.table.get(loaded.name)
        if entry is None or loaded is not entry.aliases.get(CHAMPION):
            return
        other = entry.aliases.get(CHALLENGER)
        if other is None or other is loaded or (recorder := other.recorder) is None:
            return
        request, rows = asked.id, asked.rows
        self.queue.shadow(other, rows, lambda said: recorder.add(request, rows, said, None))

    async def _routed(self, asked: Asked, scope: Any, receive: Receive, send: Any) -> None:
        """By FastAPI, with a body that is whole and within its bounds."""
        if scope["method"] not in ("GET", "HEAD"):
            receive = _again(await self.bodies.read(receive), receive)
        scope["asked"] = asked
        ASKED.set(asked)

        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                asked.code = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", asked.id.encode())]
            await send(message)

        await super().__call__(scope, receive, noted)

    def _note(self, asked: Asked) -> None:
        seconds = time.perf_counter() - asked.began
        loaded = asked.loaded
        name, short = ("", "") if loaded is None else (loaded.name, loaded.short)
        if asked.code and (asked.path == PREDICT or loaded is not None):
            self.metrics.asked(name, short, asked.code, len(asked.rows), seconds)
        self.log.add(asked.id, asked.path, asked.code, seconds, f"{name}@{short}" if name else "", asked.rows)


def create_app(settings: Settings) -> Server:
    """The server as an ASGI application. Models are loaded when it starts."""
    app = Server(settings)
    add_routes(app)
    return app


async def _told(request: Request, error: Exception) -> Response:
    """The same as ``Server.told`` for what FastAPI's routes raise."""
    code, body, headers = request.app.told(error, request.scope["asked"])
    return Response(body, code, headers, "application/json")


async def _send(send: Any, asked: Asked, code: int, body: bytes, more: Mapping[str, str] = {}) -> None:
    asked.code = code
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", asked.id.encode()),
        *((name.lower().encode(), value.encode()) for name, value in more.items()),
    ]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _again(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives a body that was read, and then waits for the client to go."""
    given = False

    async def once() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once
