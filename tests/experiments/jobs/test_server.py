"""The addresses of jobs, with processes that hold no torch."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from automl.errors import UserError
from automl.serve.app import Server
from experiments.jobs import keeper
from experiments.jobs.service import WAITING, Service
from experiments.jobs.settings import RUN, SEARCHES
from experiments.jobs.table import ENDED, TRIES
from tests.automl.serve.made import asked, client
from tests.experiments.jobs.conftest import Made
from tests.experiments.jobs.processes import FIELDS

JOB = {"data": "iris", "layers": [{"Linear": {"out_features": "auto"}}], "seconds": 0.02}


def sent(app: Server, what: str = "train", **more: Any) -> Any:
    return asked(app, "POST", f"/{what}", json={**JOB, **more})


def ended(app: Server, service: Service, id: str) -> dict[str, Any]:
    """The job when it has ended; the keeper is asked to look meanwhile."""
    until = time.monotonic() + 30
    while (job := asked(app, "GET", f"/jobs/{id}").json())["state"] not in ENDED:
        assert time.monotonic() < until, job
        service.keeper.look()
        time.sleep(0.05)
    return job


def test_a_job_from_its_dictionary_to_its_bundle(made: Made) -> None:
    app, service = made()
    assert asked(app, "GET", "/readyz").status_code == 200  # without a model
    reply = sent(app, name="mine")
    assert reply.status_code == 202 and reply.json()["state"] == "waiting"
    id = reply.json()["id"]
    assert asked(app, "GET", f"/jobs/{id}/result").status_code == 404
    events = asked(app, "GET", f"/jobs/{'0' * 12}/events")
    assert events.status_code == 404
    job = ended(app, service, id)
    assert job["state"] == "done" and job["result"] == FIELDS and job["attempts"] == 1 and job["name"] == "mine"
    events = asked(app, "GET", f"/jobs/{id}/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    last = json.loads(events.text.split("data: ")[-1])
    assert last["state"] == "done" and events.text.startswith(f"id: {last['version']}\nevent: job\n")
    assert asked(app, "GET", f"/jobs/{id}/result").json() == {"test": {"accuracy": 0.8}}
    packed = asked(app, "GET", f"/jobs/{id}/bundle")
    assert zipfile.ZipFile(io.BytesIO(packed.content)).namelist() == ["bundle/meta.json"]
    assert not list(service.folder.glob(".zip-*"))
    assert asked(app, "POST", "/test", json={"job": id, "rows": [{"a": 1}], "truth": ["x"]}).json()["what"] == "test"
    assert asked(app, "GET", "/leaderboard?data=iris").json()["what"] == "leaderboard"
    assert asked(app, "DELETE", f"/jobs/{id}").json() == {"deleted": True}
    assert asked(app, "GET", f"/jobs/{id}").status_code == 404 and not (service.folder / id).exists()


def test_what_is_wrong_is_told_at_once_and_not_queued(made: Made) -> None:
    app, service = made()
    for what in ("train", "check"):
        reply = sent(app, what, data="wrong")
        assert reply.status_code == 422
        fault = {"at": "/layers/0/Linear/out_features", "problem": "too large", "fix": "Make it smaller"}
        assert reply.json() == {"error": f"{fault['at']}: too large. Make it smaller", "errors": [fault]}
    assert service.table.all() == []
    for body, code in (("[1]", 422), ("{", 400), ("[" * 40 + "]" * 40, 400), ("NaN", 400), ("x" * 11_000_000, 413)):
        reply = asked(app, "POST", "/train", content=body, headers={"content-type": "application/json"})
        assert reply.status_code == code, body[:20]
    assert asked(app, "POST", "/train", content="{}").status_code == 415


def test_a_stop_a_failure_and_bounds(made: Made) -> None:
    app, service = made(waiting=2)
    first, second = (sent(app, seconds=0.5).json()["id"] for _ in range(2))
    full = sent(app)
    assert full.status_code == 429 and "Retry-After" in full.headers
    service.keeper.look()
    assert asked(app, "DELETE", f"/jobs/{second}").json()["state"] == "cancelled"
    assert asked(app, "DELETE", f"/jobs/{first}").json()["state"] in ("running", "cancelled")
    failing = sent(app, name="fails").json()["id"]
    assert ended(app, service, first)["state"] == "cancelled"
    job = ended(app, service, failing)
    assert job["state"] == "failed" and job["error"] == "/data: it is empty. Write rows"
    assert asked(app, "GET", f"/jobs/{failing}/bundle").status_code == 404


def test_a_request_that_is_sent_twice_is_one_job(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    app, service = made()

    def train(**more: Any) -> Any:
        return asked(app, "POST", "/train", json={**JOB, **more}, headers={"Idempotency-Key": "abc"})

    first = train(seed=1)

    def never(*what: Any, **question: Any) -> Any:
        raise AssertionError("what is known is not checked again")

    monkeypatch.setattr(service.clerk, "ask", never)
    again, other, alike = train(seed=1), train(seed=2), train(seed=True)
    assert [r.status_code for r in (first, again, other, alike)] == [202, 202, 422, 422]
    assert again.json()["id"] == first.json()["id"] and len(service.table.all()) == 1
    assert other.json()["error"].startswith("Idempotency-Key: ") and "\n" not in other.json()["error"]


def test_slow_checks_hold_up_nothing_else(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do more of them wait than may."""
    app, service = made()
    go, begun = threading.Event(), threading.Semaphore(0)

    def slow(*what: Any, **question: Any) -> Any:
        begun.release()
        assert go.wait(60)
        return {"ok": {"data": "iris"}}

    monkeypatch.setattr(service.clerk, "ask", slow)

    async def run() -> None:
        async with client(app) as session:
            checks = [asyncio.create_task(session.post("/check", json=JOB)) for _ in range(WAITING)]
            try:
                for _ in range(WAITING):
                    until = time.monotonic() + 30
                    while not begun.acquire(blocking=False):
                        assert time.monotonic() < until
                        await asyncio.sleep(0.01)
                for method, path in (("POST", "/check"), ("POST", "/train"), ("GET", "/leaderboard?data=iris")):
                    full = await session.request(method, path, json=JOB if method == "POST" else None)
                    assert full.status_code == 429 and "Retry-After" in full.headers
                loops = [asyncio.to_thread(lambda: 1) for _ in range(2)]
                assert await asyncio.wait_for(asyncio.gather(*loops), 30) == [1, 1]
                assert (await session.get("/jobs")).status_code == 200
            finally:
                go.set()
            assert {(await check).status_code for check in checks} == {200}
            assert (await session.post("/check", json=JOB)).status_code == 200  # there is room again

    asyncio.run(run())


def test_the_store_s_absence_is_no_fault_of_who_asks(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    app, service = made()
    monkeypatch.setattr(service.clerk, "ask", lambda *_, **__: {"unready": "the store cannot be read now"})
    reply = asked(app, "GET", "/leaderboard?data=iris")
    assert reply.status_code == 503 and "store" in reply.json()["error"] and "Retry-After" in reply.headers
    assert asked(app, "GET", "/leaderboard?data=nothing").status_code == 422


def test_data_that_a_job_needs_stay(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    app, service = made()
    head = {"content-type": "application/octet-stream"}
    assert asked(app, "POST", "/data?name=mine.csv", content=b"a,y\n1,2\n", headers=head).status_code == 201
    id = sent(app, data="mine").json()["id"]

    def refused() -> bool:
        kept = asked(app, "DELETE", "/data/mine")
        return kept.status_code == 409 and id in kept.json()["error"] and service.data.find("mine").path is not None

    assert refused()
    lease = service.table.take(1)
    assert lease is not None and refused()
    service.table.cancel(id)
    assert refused()  # it has not stopped yet
    assert lease.end("cancelled")
    assert asked(app, "DELETE", "/data/digits").status_code == 422
    ask = service.clerk.ask

    def taken_away(*what: Any, **question: Any) -> Any:
        told = ask(*what, **question)
        assert asked(app, "DELETE", "/data/mine").json() == {"deleted": True}
        return told

    monkeypatch.setattr(service.clerk, "ask", taken_away)
    gone = sent(app, data="mine")
    assert gone.status_code == 422 and "'mine'" in gone.json()["error"] and len(service.table.all()) == 1


def test_networks_go_when_a_job_has_ended_however(made: Made) -> None:
    app, service = made()
    ids = [sent(app, seed=seed).json()["id"] for seed in range(5)]
    folders = [service.folder / id / SEARCHES for id in (*ids, "0" * 12)] + [service.folder / "data" / SEARCHES]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "0.safetensors").write_bytes(b"x")
    done, lost = service.table.take(5), service.table.take(5)
    assert done is not None and lost is not None
    done.end("done", FIELDS)
    for _ in range(TRIES):
        assert lost is not None
        lost.vanished()
        lost = service.table.take(2)  # the oldest that waits, until it has failed: the next one then
    service.table.cancel(ids[3])
    assert [service.job(id).state for id in ids] == ["done", "failed", "running", "cancelled", "waiting"]
    service.keeper.start()
    until = time.monotonic() + 30
    while any(folders[n].exists() for n in (0, 1, 3)):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert [folder.exists() for folder in folders] == [False, False, True, False, True, True, True]


def test_what_is_deleted_is_listed_until_its_files_are_gone(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is killed in between leaves nothing that nobody knows of."""
    app, service = made()
    id = sent(app).json()["id"]
    ended(app, service, id)

    def full(id: str) -> bool:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(service.table, "forget", full)
        assert asked(app, "DELETE", f"/jobs/{id}").status_code == 503
    assert not (service.folder / id).exists() and asked(app, "GET", f"/jobs/{id}/bundle").status_code == 404
    assert asked(app, "DELETE", f"/jobs/{id}").json() == {"deleted": True} and service.table.all() == []


def test_a_bundle_that_cannot_be_packed(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    app, service = made()
    id = sent(app).json()["id"]
    ended(app, service, id)
    os.utime(service.folder / id / RUN / "bundle" / "meta.json", (0, 0))  # written by a machine without a clock
    packed = asked(app, "GET", f"/jobs/{id}/bundle")
    assert packed.status_code == 200 and zipfile.ZipFile(io.BytesIO(packed.content)).testzip() is None
    for error, code in ((OSError(errno.ENOSPC, "no space"), 503), (FileNotFoundError(), 404)):

        def fails(*_: Any, error: OSError = error) -> None:
            raise error

        monkeypatch.setattr(zipfile.ZipFile, "write", fails)
        assert asked(app, "GET", f"/jobs/{id}/bundle").status_code == code
    assert {p.name.partition(".")[0] for p in service.folder.iterdir()} <= {"clerk", "data", "jobs", id}


def test_a_clerk_that_hangs_or_dies_is_replaced(made: Made) -> None:
    app, _ = made(check_seconds=10)
    assert sent(app, "check").status_code == 200
    assert sent(app, "check", data="dies").status_code == 503
    assert sent(app, "check").status_code == 200
    app, _ = made(check_seconds=1.5)
    sent(app, "check")
    slow = sent(app, "check", data="slow")
    assert slow.status_code == 503 and "Retry-After" in slow.headers
    until = time.monotonic() + 20
    while sent(app, "check").status_code != 200:  # it starts up within a second and a half, where nothing else runs
        assert time.monotonic() < until


def test_uploads_are_bounded_and_named(made: Made) -> None:
    app, _ = made(kept=1)
    head = {"content-type": "application/octet-stream"}
    up = asked(app, "POST", "/data?name=mine.csv", content=b"a,y\n1,2\n", headers=head)
    assert up.status_code == 201 and up.json() == {"name": "mine", "kind": "upload", "bytes": 8}
    assert asked(app, "POST", "/data?name=mine.csv", content=b"1", headers=head).status_code == 422
    assert asked(app, "POST", "/data?name=..%2Fx.csv", content=b"1", headers=head).status_code == 422
    assert asked(app, "POST", "/data?name=more.csv", content=b"1", headers=head).status_code == 422
    assert asked(app, "POST", "/data?name=x.csv", content=b"1").status_code == 415
    names = [d["name"] for d in asked(app, "GET", "/data").json()["data"]]
    assert "mine" in names and "digits" in names
    assert asked(app, "DELETE", "/data/mine").json() == {"deleted": True}
    assert asked(app, "DELETE", "/data/digits").status_code == 422


def test_a_token_is_asked_of_all_but_the_page(made: Made) -> None:
    app, _ = made(token="0123456789abcdef")
    page = asked(app, "GET", "/training")
    assert page.status_code == 200 and "script-src 'self'" in page.headers["content-security-policy"]
    for method, path in (("POST", "/train"), ("GET", "/jobs"), ("GET", "/layers"), ("DELETE", f"/jobs/{'0' * 12}")):
        assert asked(app, method, path).status_code == 401
    other = asked(app, "POST", "/train", json=JOB, headers={"origin": "https://elsewhere.example"})
    assert other.status_code == 403


def test_what_it_starts_does_not_learn_the_token(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.jobs.desk import environ

    monkeypatch.setenv("LEVEL4_TOKEN", "0123456789abcdef")
    monkeypatch.setenv("LEVEL4_SERVE", '{"token": "0123456789abcdef"}')
    assert "0123456789abcdef" not in json.dumps(environ())


def test_it_holds_no_torch(made: Made, tmp_path: Path) -> None:
    made()  # sets the variable of the environment
    code = (
        "import sys; from automl.serve.app import create_app; from automl.serve.settings import Settings; "
        "from experiments.jobs.server import mount; "
        "app = create_app(Settings(registry=sys.argv[1], state=sys.argv[1])); mount(app); app.models.start(); "
        "print(sorted({'torch', 'scipy', 'sklearn', 'ray', 'hydra', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_no_request_is_a_fault(made: Made) -> None:
    """Schemathesis makes requests from the description of the jobs' addresses."""
    app, _ = made(waiting=10**6)
    api = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "127.0.0.1"})
    paths = ("/train", "/check", "/test", "/jobs", "/layers", "/leaderboard", "/data")
    looked = 0
    for found in api.get_all_operations():
        operation = found.ok()
        if not operation.path.startswith(paths):
            continue
        looked += 1

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(
            max_examples=6,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        def check(case: schemathesis.Case) -> None:
            reply = case.call(headers={"Host": "127.0.0.1"})
            case.validate_response(reply, checks=[not_a_server_error, status_code_conformance])
            assert "Traceback" not in reply.text

        check()
    assert looked == 14


@pytest.mark.parametrize("spoil", ["table", "folder"])
def test_what_jobs_write_to_is_broken_in_one_line(made: Made, tmp_path: Path, spoil: str) -> None:
    jobs = tmp_path / "state" / "jobs"
    (jobs if spoil == "table" else jobs.parent).mkdir(parents=True)
    (jobs / "jobs.db" if spoil == "table" else jobs).write_bytes(b"no database" * 1000)
    with pytest.raises(UserError) as caught:
        made()
    told = "Move it away, and a new one is made" if spoil == "table" else "Set state=FOLDER"
    assert str(jobs) in str(caught.value) and told in str(caught.value) and "\n" not in str(caught.value)


def test_a_fault_over_one_job_does_not_end_the_starting_of_others(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    _, service = made()
    looks, again = [], threading.Event()

    def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise ValueError("what it was asked is no JSON")
        again.set()

    monkeypatch.setattr(keeper, "LOOK", 0.01)
    monkeypatch.setattr(service.keeper, "look", look)
    service.keeper.start()
    assert again.wait(30)
