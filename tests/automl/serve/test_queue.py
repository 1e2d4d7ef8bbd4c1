"""Waiting is bounded, and a slot is free only when its thread has ended."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from automl.serve.app import Server
from automl.serve.limits import Limits
from automl.serve.queue import Job
from tests.automl.serve.made import ROW, base64_of, client, png, server
from tests.automl.serve.test_models import Counting

Bundles = Callable[[str], Path]


class Held:
    """A model whose answers wait until they are let go; it counts how many wait at once."""

    def __init__(self, app: Server) -> None:
        self.go, self.now, self.most, self._lock = threading.Event(), 0, 0, threading.Lock()
        loaded = app.models.find(None)
        object.__setattr__(loaded, "light", 0)
        self._run = loaded.bundle.outputs_encoded
        loaded.bundle.__dict__["outputs_encoded"] = self

    def __call__(self, inputs: object) -> object:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.go.wait(20)
        with self._lock:
            self.now -= 1
        return self._run(inputs)  # type: ignore[arg-type]


def ask(session: httpx.AsyncClient, **headers: str) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(session.post("/predict", json={"rows": [ROW], "explain": 1}, headers=headers))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_request_that_is_late_keeps_its_slot(bundle: Bundles, threads: int) -> None:
    """BentoML#5642: after the time-out the thread went on while its slot was given away."""
    app = server(bundle("values"), threads=threads, limits=Limits(seconds=0.3))
    held, recorder = Held(app), Counting()
    object.__setattr__(app.models.find(None), "recorder", recorder)

    async def run() -> None:
        async with client(app) as session:
            late = await asyncio.gather(*(ask(session) for _ in range(5)))
            assert [r.status_code for r in late] == [503] * 5 and late[0].headers["Retry-After"]
            assert held.most == threads and app.queue.threads.free == 0  # the threads still work
            more = await asyncio.gather(*(ask(session) for _ in range(3)))
            assert [r.status_code for r in more] == [503] * 3 and held.most == threads
            held.go.set()
            until = time.monotonic() + 5
            while app.queue.threads.free < threads and time.monotonic() < until:
                await asyncio.sleep(0.01)
            assert (await ask(session)).status_code == 200 and len(app.queue) == 0
            assert len(recorder.seen) == 1, "a late one is not counted as answered"

    asyncio.run(run())


def test_a_full_queue_says_so_at_once(bundle: Bundles) -> None:
    app = server(bundle("table"), limits=Limits(queue=4, seconds=5))
    held = Held(app)

    async def run() -> None:
        async with client(app) as session:
            first = ask(session)
            while not held.now:
                await asyncio.sleep(0.01)
            others = [ask(session) for _ in range(10)]
            began = time.monotonic()
            done, waiting = await asyncio.wait(others, timeout=0.5)
            codes = [t.result().status_code for t in done]
            assert codes == [429] * 6 and len(waiting) == 4 and time.monotonic() - began < 2
            assert next(iter(done)).result().headers["Retry-After"] == "1"
            assert (await session.get("/healthz")).status_code == 200  # the loop is free
            held.go.set()
            assert [r.status_code for r in await asyncio.gather(first, *waiting)] == [200] * 5

    asyncio.run(run())


def test_light_requests_are_bounded_too(bundle: Bundles) -> None:
    app = server(bundle("table"), limits=Limits(queue=8))

    async def run() -> list[int]:
        async with client(app) as session:
            questions = (session.post("/predict", json={"rows": [ROW]}) for _ in range(40))
            return [r.status_code for r in await asyncio.gather(*questions)]

    codes = asyncio.run(run())
    assert set(codes) == {200, 429} and codes.count(200) >= 8


def test_light_requests_do_not_wait_for_heavy_ones(bundle: Bundles) -> None:
    app = server(bundle("table"))
    loaded = app.models.find(None)
    go, explain = threading.Event(), loaded.bundle.explain
    loaded.bundle.__dict__["explain"] = lambda *given: (go.wait(20), explain(*given))[1]

    async def run() -> None:
        async with client(app) as session:
            heavy = ask(session)
            light = await asyncio.wait_for(session.post("/predict", json={"rows": [ROW]}), 5)
            assert light.status_code == 200 and not heavy.done()
            go.set()
            assert (await heavy).status_code == 200

    asyncio.run(run())


def test_a_fault_is_told_by_its_id_alone_and_ends_nothing(bundle: Bundles, caplog: pytest.LogCaptureFixture) -> None:
    app = server(bundle("table"))
    loaded = app.models.find(None)
    broken = {"on": True}
    run_model = loaded.bundle.outputs_encoded
    loaded.bundle.__dict__["outputs_encoded"] = lambda i: 1 / 0 if broken["on"] else run_model(i)

    async def run() -> None:
        async with client(app) as session:
            reply = await session.post("/predict", json={"rows": [ROW]})
            assert reply.status_code == 500 and "division" not in reply.text
            assert reply.headers["X-Request-Id"] in caplog.text
            broken["on"] = False
            assert (await session.post("/predict", json={"rows": [ROW]})).status_code == 200

    asyncio.run(run())


@pytest.mark.parametrize("rows", [[{"size": 1.0}], [{**ROW, "size": "large"}], [{**ROW, "city": []}], [ROW]])
def test_nothing_holds_a_request_that_was_answered(bundle: Bundles, rows: list[dict[str, object]]) -> None:
    """Circles of errors, frames and futures kept bodies of megabytes until Python looked for circles."""
    app = server(bundle("table"))

    async def run() -> None:
        async with client(app) as session:
            await session.post("/predict", json={"rows": rows})
            gc.collect()
            gc.disable()
            try:
                before = jobs()
                await session.post("/predict", json={"rows": rows})
                await asyncio.sleep(0.05)
                assert jobs() == before
            finally:
                gc.enable()

    def jobs() -> int:
        return sum(type(o) is Job for o in gc.get_objects())

    asyncio.run(run())


def test_a_request_that_is_refused_counts_none_of_its_batch_twice(bundle: Bundles) -> None:
    app = server(bundle("values"))
    loaded = app.models.find(None)
    recorder = Counting()
    object.__setattr__(loaded, "recorder", recorder)

    async def run() -> list[int]:
        async with client(app) as session:
            levels = [None, None, 0.9999, None]  # the calibration rows are too few for the third
            asked = (session.post("/predict", json={"rows": [ROW], "level": level}) for level in levels)
            return [r.status_code for r in await asyncio.gather(*asked)]

    assert asyncio.run(run()) == [200, 200, 422, 200] and len(recorder.seen) == 3


def test_limits_hold_for_a_shadow_too(bundle: Bundles) -> None:
    """The model that was asked may not look at the pictures that its challenger looks at."""
    app = server(bundle("image"), limits=Limits(pixels=1000))
    loaded = app.models.find(None)
    seen: list[int] = []

    async def run() -> None:
        for size in (100, 10, 100, 10):
            row = {"image": base64_of(png(size, size))}
            app.queue.shadow(loaded, [row], lambda told, size=size: seen.append(size))
        until = time.monotonic() + 5
        while (app.queue.shadows or app.queue.busy or not seen) and time.monotonic() < until:
            await asyncio.sleep(0.01)

    asyncio.run(run())
    assert seen == [10, 10]
