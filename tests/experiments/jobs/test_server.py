"""The addresses of jobs, with processes that hold no torch."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from automl.serve.app import Server
from experiments.jobs.service import Service
from experiments.jobs.table import ENDED
from tests.automl.serve.made import asked
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


def test_a_request_that_is_sent_twice_is_one_job(made: Made) -> None:
    app, service = made()
    replies = [
        asked(app, "POST", "/train", json={**JOB, "seed": seed}, headers={"Idempotency-Key": "abc"})
        for seed in (1, 1, 2)
    ]
    assert [r.status_code for r in replies] == [202, 202, 422]
    assert replies[0].json()["id"] == replies[1].json()["id"] and len(service.table.all()) == 1


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
