"""The addresses of jobs. What a request may hold is bounded before it is parsed (``automl.serve.limits``)."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, StreamingResponse

from automl.errors import UserError
from automl.serve.answers import encoded
from automl.serve.limits import STATUS, Refused, parsed
from experiments.jobs.data import Found
from experiments.jobs.service import Service, Wrong, brief, whole
from experiments.jobs.table import ENDED

if TYPE_CHECKING:
    from automl.serve.app import Server

STREAMS = 32  # that are open at once, per worker
LOOK = 0.5  # seconds between looks at a job that somebody listens to
COMMENT = 15.0  # seconds until a line is sent that says nothing, so that no proxy takes the stream for dead
LONGEST = 3600.0  # seconds of a stream; a client asks again
JSON = "application/json"
log = logging.getLogger(__name__)

_LIST = {"type": "array", "maxItems": 500}
_NAMED = {"type": ["string", "object", "array"], "description": "a name, or {NAME: {ARGUMENT: VALUE}}"}
ASKED: dict[str, Any] = {
    "type": "object",
    "required": ["data"],
    "additionalProperties": False,
    "properties": {
        "data": {"type": "string", "description": "a name of GET /data", "examples": ["iris"]},
        "target": {"type": ["string", "null"], "description": "the column to predict; null: found"},
        "layers": {**_LIST, "description": "a list of layers, see GET /layers; or model"},
        "model": {"type": "string", "description": "a family of networks, see GET /layers; or layers"},
        "criterion": _NAMED,
        "optimizer": _NAMED,
        "schedule": _NAMED,
        "learning_rate": {"type": ["number", "array"]},
        "batch_size": {"type": ["integer", "array"]},
        "transforms": {
            "type": ["string", "array", "object"],
            "description": "none, light, medium or strong, or a choice; or image operations in order, see GET /layers",
        },
        "epochs": {"type": "integer", "minimum": 1, "maximum": 1000},
        "trials": {"type": ["integer", "null"], "minimum": 1, "maximum": 100},
        "seconds": {"type": ["number", "null"], "exclusiveMinimum": 0},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
        "metric": {"type": ["string", "null"]},
        "labels": {
            "type": ["object", "array", "null"],
            "description": "names of the classes: {VALUE: NAME}, or in order",
        },
        "name": {"type": ["string", "null"], "maxLength": 80},
    },
    "examples": [{"data": "iris", "layers": [{"Linear": {"out_features": "auto"}}], "epochs": 1, "seconds": 20}],
}
_TEST = {
    "type": "object",
    "required": ["job", "rows", "truth"],
    "additionalProperties": False,
    "properties": {
        "job": {"type": "string"},
        "rows": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        "truth": {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "boolean"]}},
    },
}


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"description": STATUS[code]} for code in codes}


def body_of(schema: Any, kind: str = JSON) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


def json_of(said: Any, code: int = 200) -> Response:
    return Response(encoded(said), code, media_type=JSON)


def add_jobs(app: Server, service: Service) -> None:
    """All of them, and the answer for what cannot be done: 422 with the place of the fault and a fix."""

    async def wrong(request: Request, error: Exception) -> Response:
        assert isinstance(error, Wrong)
        return json_of({"error": error.text, "errors": error.errors}, 422)

    async def full(request: Request, error: Exception) -> Response:
        log.error("jobs cannot be kept: %s", error)
        return json_of({"error": "jobs cannot be kept now; come again later"}, 503)

    app.add_exception_handler(Wrong, wrong)
    app.add_exception_handler(sqlite3.Error, full)
    _asking(app, service)
    _jobs(app, service)
    _giving(app, service)
    _data(app, service)


async def _plain(app: Server, request: Request) -> dict[str, Any]:
    """The object of a body. Raises Refused, UserError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise Refused(415, f"send {JSON}, and say so in Content-Type")
    plain = parsed(await request.body(), app.limits)
    if not isinstance(plain, dict):
        raise UserError("send an object {NAME: VALUE, ...}")
    return plain


def _asking(app: Server, service: Service) -> None:
    faults = errors(400, 408, 413, 415, 422, 429, 503)

    @app.post(
        "/train", status_code=202, summary="Start a job", tags=["jobs"], responses=faults, openapi_extra=body_of(ASKED)
    )
    async def train(request: Request) -> Any:
        asked, key = await _plain(app, request), request.headers.get("idempotency-key")
        if key is not None and not (0 < len(key) <= 128 and key.isprintable()):
            raise UserError("Idempotency-Key must be 1 to 128 printable characters")
        return json_of(whole(await service.patiently(service.submit, asked, key)), 202)

    @app.post("/check", summary="What would be trained", tags=["jobs"], responses=faults, openapi_extra=body_of(ASKED))
    async def check(request: Request) -> Any:
        return json_of(await service.patiently(service.check, await _plain(app, request)))

    @app.get("/layers", summary="What a dictionary may name", tags=["jobs"], responses=errors(429, 503))
    async def layers() -> Any:
        return json_of(await service.patiently(service.layers))

    @app.get("/leaderboard", summary="All that was tried on data", tags=["jobs"], responses=errors(422, 429, 503))
    async def leaderboard(data: str) -> Any:
        return json_of(await service.patiently(service.leaderboard, data))


def _jobs(app: Server, service: Service) -> None:
    streams = 0

    @app.get("/jobs", summary="The newest jobs", tags=["jobs"], responses=errors(422, 503))
    def jobs(data: str | None = None) -> Any:
        found = service.table.all(data=data)
        return json_of({"jobs": [brief(job) for job in found], "at_once": service.settings.at_once})

    @app.get("/jobs/{id}", summary="One job, and how far it is", tags=["jobs"], responses=errors(404, 503))
    def job(id: str) -> Any:
        return json_of(whole(service.job(id)))

    @app.delete(
        "/jobs/{id}", summary="Stop a job; or take it away when it has ended", tags=["jobs"], responses=errors(404)
    )
    def delete(id: str) -> Any:
        left = service.delete(service.job(id))
        return json_of({"deleted": True} if left is None else whole(left))

    @app.get(
        "/jobs/{id}/events",
        summary="The same as server-sent events, while it runs",
        tags=["jobs"],
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}, **errors(404, 429, 503)},
    )
    async def events(id: str) -> Response:
        nonlocal streams
        await asyncio.to_thread(service.job, id)
        if streams >= STREAMS:
            raise Refused(429, f"{STREAMS} listen already", Retry_After="5")

        async def told() -> AsyncIterator[bytes]:
            nonlocal streams
            streams += 1
            try:
                async for event in changes(service, id, lambda: app.draining):
                    yield event
            finally:
                streams -= 1

        return StreamingResponse(told(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def changes(service: Service, id: str, ends: Callable[[], bool]) -> AsyncIterator[bytes]:
    """An event ``job`` for each change, until it has ended; its id is the version."""
    seen, waited, loop = -1, 0.0, asyncio.get_running_loop()
    until = loop.time() + LONGEST
    while not ends() and loop.time() < until:
        if await asyncio.to_thread(service.table.told, id, "version") != seen:
            if (job := await asyncio.to_thread(service.table.get, id)) is None:
                return
            seen, waited = job.version, 0.0
            yield b"id: %d\nevent: job\ndata: %s\n\n" % (seen, encoded(whole(job)))
            if job.state in ENDED:
                return
        await asyncio.sleep(LOOK)
        waited += LOOK
        if waited >= COMMENT:
            waited = 0.0
            yield b": waiting\n\n"


def _giving(app: Server, service: Service) -> None:
    @app.get(
        "/jobs/{id}/result", summary="result.json of a job that is done", tags=["jobs"], responses=errors(404, 503)
    )
    def result(id: str) -> Any:
        return Response(service.result(service.job(id)), media_type=JSON)

    @app.get(
        "/jobs/{id}/bundle",
        summary="Its model, as a zip file",
        tags=["jobs"],
        response_class=FileResponse,
        responses={200: {"content": {"application/zip": {}}}, **errors(404, 503)},
    )
    def bundle(id: str) -> Any:
        job = service.job(id)
        packed = service.packed(job)
        return FileResponse(
            f"/proc/self/fd/{packed.fileno()}",
            media_type="application/zip",
            filename=f"{job.id}.zip",
            background=BackgroundTask(packed.close),
        )

    @app.post(
        "/test",
        summary="How good a finished job is on rows whose answers are known",
        tags=["jobs"],
        responses=errors(400, 404, 408, 413, 415, 422, 429, 503),
        openapi_extra=body_of(_TEST),
    )
    async def test(request: Request) -> Any:
        plain = await _plain(app, request)
        rows, truth = plain.get("rows"), plain.get("truth")
        if plain.keys() != {"job", "rows", "truth"} or not isinstance(plain["job"], str):
            raise UserError('send {"job": ID, "rows": [{NAME: VALUE, ...}, ...], "truth": [ANSWER, ...]}')
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise UserError("rows must be a list of at least one object: [{NAME: VALUE, ...}, ...]")
        if len(rows) > app.limits.rows:
            raise Refused(413, f"a request has {app.limits.rows:,} rows at most, this one has {len(rows):,}")
        if not isinstance(truth, list) or len(truth) != len(rows):
            raise UserError(f"truth must be a list of {len(rows)} answers, one per row")
        if not all(isinstance(one, str | int | float) for one in truth):
            raise UserError("truth must hold texts or numbers, one per row")
        return json_of(await service.patiently(service.test, plain["job"], rows, truth))


def _data(app: Server, service: Service) -> None:
    def said(found: Found) -> dict[str, Any]:
        return {"name": found.name, "kind": found.kind, "bytes": found.bytes}

    @app.get("/data", summary="Data that a job may name", tags=["jobs"])
    def data() -> Any:
        return json_of({"data": [said(found) for _, found in sorted(service.data.all().items())]})

    @app.post(
        "/data",
        status_code=201,
        summary="Upload data: the file is the body",
        tags=["jobs"],
        responses=errors(408, 413, 415, 422, 429, 503),
        openapi_extra=body_of({"type": "string", "format": "binary"}, "application/octet-stream"),
    )
    async def upload(request: Request, name: str) -> Any:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/octet-stream":
            raise Refused(415, "send the file as application/octet-stream, and say so in Content-Type")
        content, most = await request.body(), service.settings.kept
        try:
            return json_of(said(await service.patiently(service.data.add, name, content, most)), 201)
        except OSError as error:
            log.error("data cannot be kept: %s", error)
            raise Refused(503, "data cannot be kept now; send them again later") from None

    @app.delete("/data/{name}", summary="Take away what was uploaded", tags=["jobs"], responses=errors(409, 422, 503))
    def remove(name: str) -> Any:
        service.remove(name)
        return json_of({"deleted": True})
