"""The page of jobs, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from automl.serve.pages.router import page, routes
from tests.automl.browser import Browser
from tests.automl.serve.pages.stub import HOSTILE, served

RESULT = {
    "metric": "accuracy", "val": 0.9, "test": 0.91, "interval": [0.88, 0.93], "baseline": 0.1, "family": "layers",
    "parameters": 4810, "latency_ms": 0.05, "seconds": 33.2, "trials": 3, "seed": 0,
}  # fmt: skip
PLAN = {
    "data": "digits",
    "task": {"kind": "multiclass", "metric": "accuracy", "rows": {"learn": 1078, "test": 449}},
    "layers": [{"at": "/layers/0/Conv2d", "shape": [16, 6, 6], "parameters": 160}],
    "parameters": 2970, "memory_mb": 0.5, "choices": [], "trials": 1, "epochs": 10,
}  # fmt: skip


def job(id: str, state: str, **more: Any) -> dict[str, Any]:
    trials = [
        {"number": i, "family": "layers", "score": 0.8 + i / 100, "curve": [0.5, 0.7, 0.8 + i / 100]} for i in range(3)
    ]
    progress = {"stage": "search", "metric": "accuracy", "trials": trials, "now": [], "best": 0.82}
    plain = {
        "id": id * 12, "state": state, "data": "digits", "attempts": 1, "made": 1796108400.0, "began": None,
        "ended": None, "version": 1, "result": None, "error": "", "name": None, "what": "layers", "stage": "search",
        "trials": 3, "metric": "accuracy", "best": 0.82, "cancel": False, "asked": {"layers": HOSTILE},
    }  # fmt: skip
    return {**plain, "progress": progress, **more}


class Server:
    """Its JSON, made up. ``jobs`` may be changed while it is looked at; ``asked``: what came."""

    def __init__(self) -> None:
        self.jobs = {
            "a" * 12: job("a", "running"),
            "b" * 12: job("b", "done", name=HOSTILE[0], result=RESULT),
            "c" * 12: job("c", "failed", error="/data: it is empty. Write rows", progress=None, trials=0, best=None),
        }
        self.asked: list[tuple[str, str, bytes]] = []
        row = {**RESULT, "kind": "job", "name": HOSTILE[1], "id": "b" * 12}
        other = {
            **RESULT,
            "kind": "model",
            "name": "mlp",
            "id": None,
            "test": None,
            "latency_ms": None,
            "family": "mlp",
        }
        board = {"data": "digits", "metric": "accuracy", "baseline": 0.1, "rows": [row, other]}
        names = {"data": [{"name": "digits"}, {"name": "iris"}]}
        paths = {"/data": names, "/leaderboard": board, "/models": {"models": [], "pages": ["training"]}}
        self.app = Starlette(
            routes=[
                *routes(),
                page("/training", "training.html"),
                *(Route(path, lambda _, said=said: JSONResponse(said)) for path, said in paths.items()),
                Route("/jobs", lambda _: JSONResponse({"jobs": list(self.jobs.values())})),
                Route("/jobs/{id}", self.job, methods=["GET", "DELETE"]),
                *(Route(path, self.posted, methods=["POST"]) for path in ("/check", "/train", "/data")),
            ]
        )

    async def job(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.asked.append(("DELETE", request.url.path, b""))
        return JSONResponse(self.jobs[request.path_params["id"]])

    async def posted(self, request: Request) -> Response:
        body = await request.body()
        self.asked.append(("POST", request.url.path, body))
        if b'"wrong"' in body:
            return JSONResponse({"error": "/layers/0/Linear: it is wrong. Mend it", "errors": []}, 422)
        return JSONResponse(PLAN if request.url.path == "/check" else {"id": "a" * 12, "name": "mine"})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def address(server: Server) -> Iterator[str]:
    with served(server.app) as address:
        yield address


def test_jobs_their_curves_and_the_leaderboard(browser: Browser, server: Server, address: str) -> None:
    browser.look()
    ready = "document.querySelector('#board tbody tr') && document.querySelector('#job svg path.stroke')"
    browser.open(f"{address}/training", ready)
    assert browser.run("document.querySelectorAll('button.job').length") == 3
    assert browser.run("document.querySelectorAll('#job figure > svg path.stroke').length") == 3
    grown = {**server.jobs["a" * 12], "version": 2}
    grown["progress"] = {**grown["progress"], "now": [0.4, 0.6]}
    server.jobs["a" * 12] = grown
    browser.wait("document.querySelector('#job .legend').textContent.includes('at work')")
    browser.click("[data-key=stop]")
    browser.wait("document.querySelector('#job')")
    browser.click("#check")
    browser.wait("document.querySelector('#checked table')")
    assert "2,970 parameters" in browser.text("#checked")
    browser.no_faults()
    browser.run("document.querySelectorAll('button.job')[1].click()")
    browser.wait("document.querySelector('#job .tiles')")
    assert "between 0.88 and 0.93" in browser.text("#job") and HOSTILE[0] in browser.text("#job h2")
    browser.no_faults()
    assert browser.run("typeof pwned") == "undefined" and browser.errors == []
    assert ("DELETE", f"/jobs/{'a' * 12}", b"") in server.asked


def test_what_is_wrong_is_told_beside_the_dictionary(browser: Browser, server: Server, address: str) -> None:
    browser.open(f"{address}/training", "document.querySelector('#board tbody tr')")
    browser.set("#asked", "{")
    browser.click("#train")
    browser.wait("document.querySelector('#wrong').textContent.startsWith('This is no JSON')")
    browser.set("#asked", '{"data": "wrong"}')
    browser.click("#train")
    browser.wait("document.querySelector('#wrong').textContent === '/layers/0/Linear: it is wrong. Mend it.'")
    assert [path for _, path, _ in server.asked] == ["/train"]
    browser.errors.clear()  # the browser tells of the 422


def test_other_pages_lead_to_it_where_it_is(browser: Browser, address: str) -> None:
    browser.open(f"{address}/watch", "document.querySelector('nav a[href=training]')")
