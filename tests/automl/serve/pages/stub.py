"""The server's JSON without a server: rows are read by a real encoding, answers are made up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from automl.data.dataset import Dataset
from automl.data.encode import Encoding
from automl.deploy.examples import raw_row
from automl.deploy.schema import schema_of
from automl.errors import UserError
from automl.serve.pages.router import routes
from automl.types import Task

DIGEST = "3f2a9c0d11e24b7a"
HOSTILE = ["<script>pwned=1</script>", "<img src=x onerror=pwned=1>", "\"'&amp;\\", "שלום 🙂", "constructor", "x" * 200]
"""Names that try to be something else."""


class Stub:
    """``models``: of /models/NAME. ``status``: of /monitor. ``asked``: bodies that came. ``token``: to be sent."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.encodings: dict[str, Encoding] = {}
        self.status: dict[str, Any] = {}
        self.asked: list[dict[str, Any]] = []
        self.token = ""
        paths = {"/models": self.list, "/models/{name}": self.model, "/monitor": self.monitor}
        posts = {"/predict": self.predict, "/feedback": self.feedback}
        self.app = Starlette(
            routes=[
                *routes(),
                *(Route(path, self.guarded(answer)) for path, answer in paths.items()),
                *(Route(path, self.guarded(answer), methods=["POST"]) for path, answer in posts.items()),
            ]
        )

    def add(self, name: str, dataset: Dataset, kind: str, row: int = 0) -> None:
        encoding = Encoding.fit(dataset, np.arange(len(dataset)), kind=kind)  # pyright: ignore[reportArgumentType]
        classes = encoding.target.classes
        task = Task(name, encoding.target.kind, encoding.inputs, len(classes) or 1, "accuracy", classes=classes)
        schema = schema_of(encoding, task, raw_row(dataset, row))
        self.encodings[name] = encoding
        self.models[name] = {
            "name": name,
            "kind": kind,
            "target": encoding.target.name,
            "classes": list(classes),
            "aliases": {"champion": DIGEST, "challenger": "77"},
            "digest": DIGEST,
            "levels": [0.8, 0.9],
            "schema": schema,
            "example": schema["examples"][0],
            "error": None,
        }

    def guarded(self, answer: Any) -> Any:
        async def asked(request: Request) -> Response:
            if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
                return JSONResponse({"error": "send the header Authorization: Bearer TOKEN"}, 401)
            try:
                return JSONResponse(await answer(request))
            except UserError as error:
                return JSONResponse({"error": str(error)}, 422)

        return asked

    async def list(self, request: Request) -> Any:
        return {"models": list(self.models.values())}

    async def model(self, request: Request) -> Any:
        return self.models[request.path_params["name"].partition("@")[0]]

    async def monitor(self, request: Request) -> Any:
        return self.status

    async def predict(self, request: Request) -> Any:
        body = await request.json()
        self.asked.append(body)
        name = body["model"].partition("@")[0]
        encoding, model = self.encodings[name], self.models[name]
        encoding.transform(encoding.dataset(body["rows"]))
        answer: dict[str, Any] = {"value": 1234.5678, "interval": [1000.25, 1500], "credibility": 0.01}
        if classes := model["classes"]:
            shares = [2.0**-i for i in range(1, len(classes))]
            p = dict(zip(classes, [*shares, shares[-1]], strict=True))
            answer = {"class": classes[0], "p": p, "set": classes[:2], "credibility": 0.42}
        cells = zip(body["rows"][0].items(), (0.2, -0.1), strict=False)
        effects = [{"field": field, "effect": effect, "value": value} for (field, value), effect in cells]
        warnings = [{"row": 0, "field": next(iter(body["rows"][0])), "what": "above all that training saw"}]
        told = {"model": f"{name}@{DIGEST}", "id": "r-1", "answers": [answer], "warnings": warnings}
        return told | {"explanation": effects if body.get("explain") else None}

    async def feedback(self, request: Request) -> Any:
        self.asked.append(await request.json())
        return {"known": 1, "unknown": 0, "repeated": 0}


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an app that runs in a thread."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
