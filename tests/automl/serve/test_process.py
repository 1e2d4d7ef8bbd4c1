"""The server as processes, as it is run: two workers, one of which is killed; a promotion under load; the end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.automl.serve.made import ROW, another

pytestmark = pytest.mark.whole

Bundles = Callable[[str], Path]
WORDS = [sys.executable, "-m", "automl.serve"]


@contextmanager
def running(*words: object, **environ: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The process and a client of it, which is ready."""
    command = [*WORDS, *map(str, words), "--port", "0"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ}, start_new_session=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        with httpx.Client(base_url=found[0], timeout=20) as client:
            until = time.monotonic() + 30
            while not ready(client):
                assert time.monotonic() < until and process.poll() is None, process.stderr.read()
                time.sleep(0.05)
            yield process, client
    finally:
        with suppress(ProcessLookupError):  # also workers of a process that is gone
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Processes of the server's own that answer: those of multiprocessing's helper hold no model."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(p) for p in found if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]


def total(client: httpx.Client, name: str) -> float:
    text = client.get("/metrics").text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def ask(client: httpx.Client) -> httpx.Response:
    return client.post("/predict", json={"rows": [ROW]})


def test_two_workers_and_one_that_dies(bundle: Bundles, tmp_path: Path) -> None:
    """Numbers are of both, also of the one that was killed; another one takes its place; the end loses nothing."""
    with running(bundle("values"), "--workers", 2, "--state", tmp_path / "state") as (process, client):
        assert (tmp_path / "state").stat().st_mode & 0o077 == 0
        base = str(client.base_url)
        said: set[float] = set()
        for _ in range(40):  # a new connection each, so that both workers get some
            reply = httpx.post(f"{base}/predict", json={"rows": [ROW]})
            assert reply.status_code == 200
            said.add(round(reply.json()["answers"][0]["value"], 3))
        assert len(said) == 1
        assert total(client, 'level4_requests_total{code="200"') == 40 and total(client, "level4_rows_total") == 40
        before = workers(process)
        assert len(before) == 2
        loads = total(client, "level4_model_loads_total")
        os.kill(before[0], signal.SIGKILL)
        until = time.monotonic() + 20
        answered = 0
        while total_or_none(base, "level4_model_loads_total") in (None, loads):
            assert time.monotonic() < until
            answered += ask_or_none(base) == 200
        assert answered and len(workers(process)) == 2 and before[1] in workers(process)
        assert total(client, "level4_rows_total") >= 40 + answered
        slow = ThreadPoolExecutor(4)
        asked = [
            slow.submit(lambda: [ask(httpx.Client(base_url=base)).status_code for _ in range(10)]) for _ in range(4)
        ]
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        codes = [code for future in asked for code in codes_of(future)]
        assert codes and set(codes) == {200}
        assert process.wait(20) == 0 and process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def codes_of(future: object) -> list[int]:
    """What was answered until the server was gone."""
    try:
        return future.result()  # type: ignore[attr-defined]
    except (httpx.ConnectError, httpx.ReadError):  # a connection that only the kernel had taken is reset
        return []


def ask_or_none(base: str) -> int | None:
    try:
        return httpx.post(f"{base}/predict", json={"rows": [ROW]}).status_code
    except httpx.TransportError:
        return None


def total_or_none(base: str, name: str) -> float | None:
    try:
        with httpx.Client(base_url=base) as client:
            return total(client, name)
    except httpx.TransportError:
        return None


def test_workers_end_with_the_process_that_started_them(bundle: Bundles) -> None:
    with running(bundle("values"), "--workers", 2) as (process, client):
        while total(client, "level4_model_loads_total") < 2:
            time.sleep(0.1)
        process.kill()
        process.wait()
        until = time.monotonic() + 15
        while ask_or_none(str(client.base_url)) is not None:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_draining_says_so_and_answers_on(bundle: Bundles) -> None:
    with running(bundle("values")) as (process, client):
        process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 5
        while client.get("/readyz").status_code == 200:
            assert time.monotonic() < until
        assert client.get("/healthz").status_code == 200 and ask(client).status_code == 200
        assert total(client, "level4_rows_total") == 1  # of one worker too
        began = time.monotonic()
        assert process.wait(10) == 0 and time.monotonic() - began < 5


def test_ctrl_c_in_a_terminal_loses_nothing(bundle: Bundles) -> None:
    """It reaches the workers twice: by the terminal, and by their supervisor."""
    body = json.dumps({"rows": [ROW]}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with running(bundle("values"), "--workers", 2) as (process, client):
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as asking:
            asking.settimeout(20)
            asking.sendall(f"{head}\r\n\r\n".encode())
            time.sleep(0.3)
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(2.5)  # longer than it drains
            asking.sendall(body)
            assert asking.recv(100).startswith(b"HTTP/1.1 200")
        assert process.wait(20) == 0


def test_a_swap_under_load(bundle: Bundles, tmp_path: Path) -> None:
    """A bundle is replaced in its folder; each answer is that of the version it names, and none is lost."""
    first, second = bundle("values"), another(bundle("values"), tmp_path / "second")
    served = shutil.copytree(first, tmp_path / "served")
    with running(served, "--workers", 2) as (_, client):
        base = ask(client).json()
        values = {base["model"].partition("@")[2]: base["answers"][0]["value"]}
        values[json.loads((second / "meta.json").read_text())["digest"][:16]] = base["answers"][0]["value"] + 1000
        ends = threading.Event()

        def load() -> list[tuple[int, str, float]]:
            seen = []
            with httpx.Client(base_url=client.base_url, timeout=20) as session:
                while not ends.is_set():
                    reply = ask(session)
                    said = reply.json()
                    seen.append((reply.status_code, said["model"].partition("@")[2], said["answers"][0]["value"]))
            return seen

        with ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(load) for _ in range(4)]
            time.sleep(0.3)
            served.rename(tmp_path / "old")
            shutil.copytree(second, served)
            time.sleep(3)
            ends.set()
            seen = [one for future in loads for one in future.result()]
        assert {code for code, *_ in seen} == {200}
        assert all(value == pytest.approx(values[digest], rel=1e-6) for _, digest, value in seen)
        assert {digest for _, digest, _ in seen} == values.keys()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing"], "no readable bundle"),
        (["nothing", "--workers", "2"], "no readable bundle"),
        (["nothing", "--host", "0.0.0.0"], "LEVEL4_TOKEN"),
        (["nothing", "--host", "203.0.113.1"], "LEVEL4_TOKEN"),
    ],
)
def test_what_cannot_be_served_is_one_line(words: list[str], told: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*WORDS, *words, "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_port_that_is_taken(bundle: Bundles) -> None:
    with running(bundle("values")) as (_, client):
        words = [*WORDS, str(bundle("values")), "--port", str(client.base_url.port)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and "Set port=" in done.stderr and done.stderr.count("\n") == 1


def test_a_state_that_another_server_writes(bundle: Bundles, tmp_path: Path) -> None:
    with running(bundle("values"), "--state", tmp_path) as (_, client):
        ask(client)
        words = [*WORDS, str(bundle("values")), "--port", "0", "--state", str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and "Set state=" in done.stderr and done.stderr.count("\n") == 1
        assert total(client, "level4_rows_total") == 1


def test_it_needs_no_torch(bundle: Bundles) -> None:
    code = (
        "import sys; from automl.serve.app import create_app; from automl.serve.settings import Settings; "
        "app = create_app(Settings(bundle=sys.argv[1])); app.models.start(); app.metrics.text(); "
        "print(sorted({'torch', 'scipy', 'sklearn', 'ray', 'hydra', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, bundle("table")], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_a_worker_that_cannot_start_leaves_the_others(bundle: Bundles, tmp_path: Path) -> None:
    """The folder is broken when a worker dies: the other one answers on by the version it holds."""
    served = shutil.copytree(bundle("values"), tmp_path / "served")
    with running(served, "--workers", 2) as (process, client):
        while len(workers(process)) < 2 or total(client, "level4_model_loads_total") < 2:
            time.sleep(0.1)
        time.sleep(1.2)  # the supervisor has heard of them
        (served / "model.onnx").write_bytes(b"broken")
        os.kill(workers(process)[0], signal.SIGKILL)
        until = time.monotonic() + 4
        codes = []
        while time.monotonic() < until:
            codes.append(ask_or_none(str(client.base_url)))
            time.sleep(0.05)
        assert process.poll() is None and set(codes[-20:]) == {200}
