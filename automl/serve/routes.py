"""The other addresses: health, what is served, numbers; and those of monitoring, the Open Inference Protocol, pages."""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response

from automl.deploy.bundle import Answer
from automl.errors import UserError
from automl.serve.about import about, shown
from automl.serve.answers import encoded
from automl.serve.limits import STATUS, Refused, parsed
from automl.serve.metrics import MEDIA_TYPE
from automl.serve.models import Loaded
from automl.serve.pages.router import routes
from automl.serve.protocol import RowsOf, router
from automl.serve.watching import Watching

if TYPE_CHECKING:
    from automl.serve.app import Asked, Server

ASKED: ContextVar[Asked] = ContextVar("asked")
"""The request that is answered, for code that gets no request."""


def add_routes(app: Server) -> None:
    """All but /predict, which the server answers itself."""
    _health(app)
    _models(app)
    if app.settings.monitor and app.settings.state is not None:
        _monitoring(app, Path(app.settings.state))
    _protocol(app)
    app.router.routes.extend(routes())


def json_of(said: Any) -> Response:
    return Response(encoded(said), media_type="application/json")


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Statuses that a route may answer, for its description."""
    return {code: {"description": STATUS[code]} for code in codes}


def _health(app: Server) -> None:
    @app.get("/healthz", summary="Whether the process lives", tags=["health"])
    async def live() -> Any:
        return {"live": True}

    @app.get(
        "/readyz", summary="Whether models are loaded, and it will not end soon", tags=["health"], responses=errors(503)
    )
    async def ready() -> Any:
        app.check_ready()
        return {"ready": True}

    @app.get("/metrics", summary="Numbers of all workers, for Prometheus", tags=["monitoring"], response_class=Response)
    def metrics() -> Response:
        app.metrics.now(len(app.queue), app.queue.busy)
        return Response(app.metrics.text(), media_type=MEDIA_TYPE)


def _models(app: Server) -> None:
    @app.get("/models", summary="What is served", tags=["models"])
    async def models() -> Any:
        models = [shown(name, entry) for name, entry in sorted(app.models.table.items())]
        return json_of({"models": models, "pages": app.pages})

    @app.get(
        "/models/{name}", summary="One model: columns, an example, levels", tags=["models"], responses=errors(404, 503)
    )
    async def model(name: str) -> Any:
        loaded = app.models.find(name)
        return json_of({**shown(loaded.name, app.models.table[loaded.name], loaded), **about(loaded)})


def _monitoring(app: Server, state: Path) -> None:
    watching = Watching(state, app.settings.webhook)
    app.models.recorder = watching.recorder
    labels = {
        "type": "array",
        "items": {"type": ["string", "number", "null"]},
        "description": "one per row, null: unknown",
    }
    names = {"type": "string", "description": "as the answer told it; of it the name counts"}
    fields = {"id": {"type": "string"}, "labels": labels, "model": names}
    body = {"type": "object", "required": ["id", "labels"], "properties": fields}

    @app.post(
        "/feedback",
        summary="What was true of a request's rows",
        tags=["monitoring"],
        responses=errors(400, 404, 408, 415, 422, 503),
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}},
    )
    async def feedback(request: Request) -> Any:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "send application/json, and say so in Content-Type")
        given = parsed(await request.body(), app.limits)
        if not isinstance(given, dict) or not isinstance(given.get("id"), str):
            raise UserError('send an object {"id": "...", "labels": [...]}')
        known = given.get("labels")
        if not isinstance(known, list) or len(known) > app.limits.rows:
            raise UserError("labels must be a list, one label per row, null where it is not known")
        model = given.get("model")
        if not isinstance(model, str | None):
            raise UserError("model must be a text: NAME, or NAME@DIGEST as the answer told it")
        name = model and model.partition("@")[0]
        return json_of((await watching.feedback(given["id"], known, name))._asdict())

    @app.get("/monitor", summary="How a model fares", tags=["monitoring"], responses=errors(404, 422, 503))
    def monitor(model: str | None = None) -> Any:
        return json_of(watching.status(app.models.find(model)))


def _protocol(app: Server) -> None:
    async def predict(reference: str, rows_of: RowsOf, level: float | None) -> tuple[Loaded, str, Answer]:
        asked = ASKED.get()
        loaded, answer = await app.answer(asked, reference, rows_of, level)
        return loaded, asked.id, answer

    app.include_router(
        router(
            find=app.models.find,
            predict=predict,
            ready=app.check_ready,
            read=Request.body,
            parse=lambda body: parsed(body, app.limits),
            most_rows=app.limits.rows,
        ),
        responses=errors(400, 404, 408, 413, 422, 429, 503),
    )
