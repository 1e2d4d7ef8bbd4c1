"""kill -9 of the server and of jobs: all jobs end, none twice, with the trials of an uninterrupted run."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from automl.processes import born
from automl.serve.settings import VARIABLE, Settings
from automl.store.store import Store
from experiments.jobs.settings import VARIABLE as JOBS
from experiments.jobs.settings import Jobs
from experiments.jobs.table import ENDED, Table
from tests.experiments.jobs.conftest import HERE, ROOT
from tests.experiments.jobs.processes import TRIALS

pytestmark = pytest.mark.whole

LAYERS = [{"Linear": {"out_features": [4, 8]}}, ["ReLU", "Tanh"], {"Linear": {"out_features": "auto"}}]
REAL = {"data": "iris", "layers": LAYERS, "optimizer": {"AdamW": {"lr": 0.01}}, "epochs": 4, "seconds": 3000}


@contextmanager
def serving(folder: Path, work: Sequence[str], clerk: Sequence[str], at_once: int) -> Iterator[Any]:
    """The process of a server, and a client of it."""
    (folder / "registry").mkdir(exist_ok=True)
    settings = Settings(registry=str(folder / "registry"), state=str(folder / "state"), port=0, drain=0)
    jobs = Jobs(tuple(work), tuple(clerk), at_once=at_once, check_seconds=300)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environ = {
        **os.environ,
        VARIABLE: settings.to_env(),
        JOBS: json.dumps(dataclasses.asdict(jobs)),
        "PYTHONPATH": path,
    }
    command = [sys.executable, "-m", "experiments.jobs.server"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ, start_new_session=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        with httpx.Client(base_url=found[0], timeout=300) as client:
            until = time.monotonic() + 60
            while True:
                with suppress(httpx.TransportError):
                    if client.get("/readyz").status_code == 200:
                        break
                assert time.monotonic() < until and process.poll() is None, process.stderr.read()
                time.sleep(0.05)
            yield process, client
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def at_work(client: httpx.Client, folder: Path, seconds: float = 60) -> psutil.Process:
    """The process of a job that has a trial behind it, and some before it."""
    table, until = Table(folder / "state" / "jobs" / "jobs.db"), time.monotonic() + seconds
    while True:
        with table._read() as db:
            rows = db.execute("select pid, born, progress from jobs where state = 'running'").fetchall()
        for row in rows:
            done = json.loads(row["progress"] or "{}").get("trials")
            if row["pid"] and done and done[-1]["number"] < 3 and born(row["pid"]) == row["born"]:
                return psutil.Process(row["pid"])
        assert time.monotonic() < until, client.get("/jobs").text
        time.sleep(0.02)


def all_ended(client: httpx.Client, seconds: float = 60) -> list[dict[str, Any]]:
    until = time.monotonic() + seconds
    while True:
        found = client.get("/jobs").json()["jobs"]
        if all(job["state"] in ENDED for job in found):
            return found
        assert time.monotonic() < until, found
        time.sleep(0.1)


def test_three_jobs_and_kills_of_server_and_jobs(tmp_path: Path) -> None:
    words = [[sys.executable, HERE, name] for name in ("work", "clerk")]
    asked = {"data": "iris", "layers": ["ReLU"], "seconds": 0.25}
    with serving(tmp_path, *words, at_once=2) as (server, client):
        ids = {client.post("/train", json=asked).json()["id"] for _ in range(3)}
        at_work(client, tmp_path).kill()
        at_work(client, tmp_path)
        server.kill()  # what it has started goes on
    with serving(tmp_path, *words, at_once=2) as (_, client):
        at_work(client, tmp_path).kill()
        jobs = all_ended(client)
    assert {job["id"] for job in jobs} == ids and [job["state"] for job in jobs] == ["done"] * 3
    assert sum(job["attempts"] for job in jobs) == 3 + 2  # one more for each job that was killed
    for id in ids:
        lines = (tmp_path / "state" / "jobs" / id / "trials.txt").read_text().splitlines()
        assert lines == [f"trial {n}" for n in range(TRIALS)]


def test_an_orderly_end_stops_jobs_which_wait(tmp_path: Path) -> None:
    words = [[sys.executable, HERE, name] for name in ("work", "clerk")]
    asked = {"data": "iris", "layers": ["ReLU"], "seconds": 0.25}
    with serving(tmp_path, *words, at_once=1) as (server, client):
        id = client.post("/train", json=asked).json()["id"]
        process = at_work(client, tmp_path)
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    job = Table(tmp_path / "state" / "jobs" / "jobs.db").get(id)
    assert job is not None and job.state == "waiting" and job.attempts == 0
    assert not process.is_running()


def test_an_orderly_end_stops_also_what_a_killed_server_began(tmp_path: Path) -> None:
    words = [[sys.executable, HERE, name] for name in ("work", "clerk")]
    asked = {"data": "iris", "layers": ["ReLU"], "seconds": 5}
    with serving(tmp_path, *words, at_once=1) as (server, client):
        id = client.post("/train", json=asked).json()["id"]
        process = at_work(client, tmp_path)
        server.kill()
    with serving(tmp_path, *words, at_once=1) as (server, _):
        assert born(process.pid) is not None
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    job = Table(tmp_path / "state" / "jobs" / "jobs.db").get(id)
    assert job is not None and job.state == "waiting" and job.attempts == 0
    until = time.monotonic() + 30
    while born(process.pid) is not None:
        assert time.monotonic() < until
        time.sleep(0.02)


def trials(store: Path) -> list[tuple[Any, ...]]:
    with Store(f"sqlite:///{store}") as kept:
        return [(t.number, t.candidate.id, t.fidelity, t.status, t.score, t.curve) for t in kept.trials()]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_three_real_jobs_and_kills(tmp_path: Path) -> None:
    from experiments.jobs.data import Data
    from experiments.jobs.dictionary import read
    from experiments.jobs.train import of_found, run_in

    words = [[sys.executable, "-m", f"experiments.jobs.{name}"] for name in ("work", "clerk")]
    with serving(tmp_path, *words, at_once=2) as (server, client):
        replies = [client.post("/train", json={**REAL, "seed": seed}) for seed in range(3)]
        assert {r.status_code for r in replies} == {202}, replies[0].text
        at_work(client, tmp_path, 500).kill()
        server.kill()
    with serving(tmp_path, *words, at_once=2) as (_, client):
        at_work(client, tmp_path, 500).kill()
        jobs = all_ended(client, 900)
        assert [job["state"] for job in jobs] == ["done"] * 3 and sum(job["attempts"] for job in jobs) >= 5
    for seed, reply in enumerate(replies):
        folder = tmp_path / "state" / "jobs" / reply.json()["id"]
        wanted = read({**REAL, "seed": seed})
        cfg, source = of_found(wanted, Data(tmp_path / "none").find("iris"))
        whole = run_in(cfg, source, tmp_path / f"whole{seed}")
        assert trials(folder / "store.db") == trials(tmp_path / f"whole{seed}" / "store.db")
        result = json.loads((folder / "run" / "result.json").read_text())
        assert result["test"] == whole.result["test"] and result["val"] == whole.result["val"]
