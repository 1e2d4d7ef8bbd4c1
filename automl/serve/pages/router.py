"""The server's pages: files that a browser reads, and what it may do with them.

    app.router.routes.extend(routes())

``/`` asks a model, ``/watch`` shows how it fares; both read the JSON of the server's other routes. They hold no data,
so they are given to anybody who reaches the server; the routes that they call ask for the token.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

PAGES = {"/": "predict.html", "/watch": "watch.html"}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",  # blob: what the user chose, before it is sent
    "media-src": "blob:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",  # the browser itself refuses text as HTML
    "trusted-types": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{what} {where}" for what, where in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked each time, sent when it was changed: no page of an older server
}


def page(path: str, name: str) -> BaseRoute:
    """A page of whoever mounts more on a server: its file, among the assets."""
    return Route(path, _File((_assets() / name).read_bytes(), name).answer)


def routes() -> list[BaseRoute]:
    """``/``, ``/watch`` and ``/static/NAME``; the files are read once, here."""
    files = {f.name: _File(f.read_bytes(), f.name) for f in _assets().iterdir()}

    async def static(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        return await file.answer(request) if file else JSONResponse({"error": "there is no such file"}, 404)

    return [*(Route(path, files[name].answer) for path, name in PAGES.items()), Route("/static/{name}", static)]


def _assets() -> Traversable:
    return resources.files("automl.serve.pages") / "assets"


class _File:
    def __init__(self, content: bytes, name: str) -> None:
        self.content, self.type = content, TYPES["." + name.rpartition(".")[2]]
        self.headers = HEADERS | {"ETag": f'"{hashlib.sha256(content).hexdigest()[:16]}"'}

    async def answer(self, request: Request) -> Response:
        if self.headers["ETag"] in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=self.headers)
        return Response(self.content, headers=self.headers, media_type=self.type)
