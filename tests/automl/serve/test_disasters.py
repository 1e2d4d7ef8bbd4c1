"""The whole server when its disk is full, and when its clock jumps: all is answered, and what was counted is kept."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from automl.deploy.registry import Registry
from tests.automl.serve.made import ROW, another
from tests.automl.serve.test_process import running, workers

Bundles = Callable[[str], Path]
pytestmark = pytest.mark.slow


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of a megabyte. Only root may have one."""
    folder.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("no right to mount")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", 0) as file:
        while file.write(b"x" * 4096):
            pass


def asked(client: httpx.Client, times: int) -> list[dict[str, Any]]:
    replies = [client.post("/predict", json={"rows": [ROW]}) for _ in range(times)]
    assert {r.status_code for r in replies} == {200}
    return [r.json() for r in replies]


def counted(state: Path) -> int:
    lines = [line for path in state.rglob("windows-*.jsonl") for line in path.read_text().splitlines()]
    return sum(json.loads(line)["counts"][1] for line in lines)


def until(done: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_full_disk_loses_nothing(bundle: Bundles, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.add(bundle("values"), "price", alias="champion")
    with small_disk(tmp_path / "state") as state, running(registry.folder, "--state", state) as (process, client):
        asked(client, 5)
        fill(state / "fill")
        asked(client, 10)
        digest = registry.add(another(bundle("values"), tmp_path / "second"), "price", alias="champion")
        until(lambda: asked(client, 1)[0]["model"].endswith(digest[:16]))
        time.sleep(1.5)  # what was answered is kept, or cannot be
        last = asked(client, 1)[0]["id"]
        assert client.post("/feedback", json={"id": last, "labels": [3]}).status_code in (404, 503)
        told = client.get("/metrics").text
        (state / "fill").unlink()
        time.sleep(2.5)
        assert client.post("/feedback", json={"id": last, "labels": [3]}).json()["known"] == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0 and process.stderr is not None
        rows = sum(float(line.split()[-1]) for line in told.splitlines() if line.startswith("level4_rows_total{"))
        assert counted(state) == rows > 16
        assert "free some space there" in process.stderr.read()


def test_a_worker_that_dies_on_a_full_disk_is_replaced(bundle: Bundles, tmp_path: Path) -> None:
    words = (bundle("values"), "--workers", 2)
    with small_disk(tmp_path / "state") as state, running(*words, "--state", state) as (process, client):
        asked(client, 5)
        fill(state / "fill")
        before = workers(process)
        os.kill(before[0], signal.SIGKILL)
        base = str(client.base_url)
        until(lambda: before[0] not in workers(process) and len(workers(process)) == 2)
        time.sleep(8)  # it loads
        for _ in range(20):  # a connection each, so that both are asked
            assert httpx.post(f"{base}/predict", json={"rows": [ROW]}).status_code == 200
        assert httpx.get(f"{base}/metrics").status_code == 200
        assert set(workers(process)) > {before[1]} and len(workers(process)) == 2


CLOCK = """
import os, time
_real = time.time
def _moved():
    try:
        return _real() + float(open(os.environ["MOVED"]).read())
    except (OSError, ValueError):
        return _real()
time.time = _moved
"""


def test_a_clock_that_jumps_loses_nothing(bundle: Bundles, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "sitecustomize.py").write_text(CLOCK)
    moved, state = tmp_path / "moved", tmp_path / "state"
    paths = os.pathsep.join([str(tmp_path / "more"), str(Path.cwd())])
    with running(bundle("values"), "--state", state, PYTHONPATH=paths, MOVED=str(moved)) as (process, client):
        said = []
        for days in (0, 400, -30, 0):  # ahead, far back, and right again
            moved.write_text(str(days * 86_400))
            said += asked(client, 10)
            time.sleep(1.2)  # it is logged
            assert client.get("/monitor").status_code == 200
        time.sleep(2)
        for reply in said[::9]:
            told = client.post("/feedback", json={"id": reply["id"], "labels": [3]})
            assert told.json() == {"known": 1, "unknown": 0, "repeated": 0}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0 and process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert counted(state) == len(said) == 40
    logged = [json.loads(line)["id"] for p in (state / "log").glob("*.jsonl") for line in p.read_text().splitlines()]
    assert {r["id"] for r in said} <= set(logged)
