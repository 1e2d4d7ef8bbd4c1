"""The server beside others with the same model: requests a second, how long they take, memory, start.

    level4 +experiment=bench/serve [bench.peers=[level4,bare,litserve]]

A bundle of a table of ``bench.columns`` columns, an untrained MLP, is served by each peer
(``experiments.bench._peers``) in an environment of its own, which is made once: the bundle's own wheel, which all peers
answer with, and the peer's packages. The server has core 0, ``wrk`` (a Debian package) core 1. Each request is one raw
row as JSON, another each time. ``bare`` is a script of thirty lines with FastAPI: what is possible.

Printed: the median over rounds. Exit status 1 when level4 answers less than ``SHARE`` of the bare script's requests, or
fewer than another framework. Nothing else may run meanwhile.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from automl.deploy.runtime import write_runtime
from automl.errors import UserError
from experiments.bench import kept_rows, options_from
from experiments.bench.row import bundle_of
from experiments.environments import environment
from experiments.report.words import count

SHARE = 0.9
"""Of the bare script's requests a second: the rest is what limits, queue, log, metrics and monitoring may cost."""
PORT = 8790
START, STOP = 120.0, 20.0  # seconds for the slowest to begin and to end
ROWS = 500  # different ones that are sent
HERE = Path(__file__).parent / "_peers"
WRK = """
local bodies = {}
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local at = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end
done = function(summary, latency, requests)
  local wrong = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format('{"requests": %d, "us": %d, "wrong": %d, "p50": %.3f, "p99": %.3f}',
    summary.requests, summary.duration, wrong, latency:percentile(50) / 1000, latency:percentile(99) / 1000), "\\n")
end
"""


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/serve.yaml."""

    peers: list[str]
    columns: int
    seconds: float
    rounds: int
    connections: int
    envs: Path
    out: Path


Row = dict[str, Any]


def as_rows(row: Row) -> Any:
    return {"rows": [row]}


def as_records(row: Row) -> Any:
    return {"dataframe_records": [row]}


def as_tensors(row: Row) -> Any:
    """By the Open Inference Protocol, a tensor for each column."""
    tensors = [
        {"name": n, "shape": [1], "datatype": "BYTES", "data": [v], "parameters": {"content_type": "str"}}
        if isinstance(v, str)
        else {"name": n, "shape": [1], "datatype": "FP64", "data": [v]}
        for n, v in row.items()
    ]
    return {"parameters": {"content_type": "pd"}, "inputs": tensors}


@dataclass(frozen=True)
class Peer:
    """``needs``: packages. ``command``: behind the environment's ``bin``; {bundle} and {port} are filled in."""

    needs: tuple[str, ...]
    command: tuple[str, ...]
    path: str = "/predict"
    body: Callable[[Row], Any] = as_rows


SERVER = ("fastapi", "uvicorn", "uvloop", "httptools")
PEERS = {
    "level4": Peer((*SERVER, "python-multipart", "prometheus-client"), ("python", "-m", "automl.serve", "{bundle}")),
    "bare": Peer(SERVER, ("python", "bare.py")),
    "litserve": Peer(("litserve",), ("python", "litserve_api.py")),
    "bentoml": Peer(("bentoml",), ("bentoml", "serve", "bento:Model", "--host", "127.0.0.1", "--port", "{port}")),
    "mlflow": Peer(("mlflow",), ("python", "mlflow_model.py"), "/invocations", as_records),
    "mlserver": Peer(
        ("mlserver", "setuptools<81"), ("python", "mlserver_model.py"), "/v2/models/model/infer", as_tensors
    ),
    "ray": Peer(("ray[serve]",), ("python", "ray_serve.py")),
}


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    if unknown := sorted(set(options.peers) - PEERS.keys()):
        raise UserError(f"bench.peers={unknown[0]} is not known; there are {', '.join(PEERS)}")
    for program, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(program) is None:
            raise UserError(f"{program} is missing. On Debian: apt-get install {package}")
    if (os.cpu_count() or 1) < 2:
        raise UserError("one core is not enough: the server has one and the client another")
    kept_rows(options.out)
    with tempfile.TemporaryDirectory(prefix="serve-") as scratch:
        bundle, rows = bundle_of(Path(scratch), options.columns, 1)
        rows = [{n: plain(v) for n, v in row.items()} for row in rows]
        rows = [row for row in rows if None not in row.values()][:ROWS]  # not each protocol has a missing cell
        wheel = write_runtime(Path(scratch))
        found: dict[str, list[Row]] = {name: [] for name in options.peers}
        faults: dict[str, str] = {}
        for name in options.peers:
            try:
                environment(options.envs / name, PEERS[name].needs, [str(wheel)])
            except (OSError, subprocess.CalledProcessError) as error:
                faults[name] = f"cannot be installed: {error}"
        for turn in range(options.rounds):
            at = turn % len(options.peers)
            for name in options.peers[at:] + options.peers[:at]:
                if name in faults:
                    continue
                try:
                    row = measured(name, options, bundle.folder, rows, Path(scratch))
                except (RuntimeError, OSError) as error:
                    faults[name] = str(error)
                    continue
                found[name].append(row)
                with options.out.open("a") as out:
                    out.write(json.dumps({"peer": name, **row}) + "\n")
    if not show(found, faults):
        raise SystemExit(1)


def plain(value: Any) -> Any:
    """A cell as JSON has it."""
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def measured(name: str, options: Asked, bundle: Path, rows: Sequence[Row], scratch: Path) -> Row:
    """One round. Raises RuntimeError when the peer does not start, or answers anything but 200."""
    peer = PEERS[name]
    bodies = scratch / "bodies"
    bodies.write_text("".join(json.dumps(peer.body(row)) + "\n" for row in rows))
    (scratch / "wrk.lua").write_text(WRK)
    url = f"http://127.0.0.1:{PORT}{peer.path}"
    with served(name, options.envs / name, bundle, scratch) as server:
        began = time.monotonic()
        answered(server, url, json.dumps(peer.body(rows[0])).encode(), scratch / "log")
        start = time.monotonic() - began
        wrk = ["taskset", "-c", "1", "wrk", "-t1", f"-c{options.connections}", "-s", str(scratch / "wrk.lua")]
        environ = {**os.environ, "BODIES": str(bodies)}
        for seconds in (min(3.0, options.seconds), options.seconds):  # the first warms up
            told = subprocess.run([*wrk, f"-d{seconds:g}s", url], capture_output=True, text=True, env=environ)
            if told.returncode:
                raise RuntimeError(f"wrk: {told.stderr.strip() or told.stdout.strip()}")
        said = json.loads(told.stdout.strip().splitlines()[-1])
        if said["wrong"]:
            raise RuntimeError(f"{said['wrong']} of {said['requests']} requests were not answered")
        memory = sum(p.memory_full_info().pss for p in family(server.pid)) / 2**20
    size = sum(f.stat().st_size for f in (options.envs / name).rglob("*") if f.is_file() and not f.is_symlink())
    rate = said["requests"] / said["us"] * 1e6
    return {**said, "rate": rate, "start": start, "memory": memory, "installed": size / 2**20}


@contextmanager
def served(name: str, environment: Path, bundle: Path, scratch: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The peer on core 0, ended with all its children."""
    words = [w.format(bundle=bundle, port=PORT) for w in PEERS[name].command]
    words += ["--port", str(PORT)] if name == "level4" else []
    environ = {n: v for n, v in os.environ.items() if n in ("PATH", "HOME", "LANG", "TMPDIR")}
    environ |= {"BUNDLE": str(bundle), "PORT": str(PORT), "PATH": f"{environment / 'bin'}:{environ['PATH']}"}
    command = ["taskset", "-c", "0", str(environment / "bin" / words[0]), *words[1:]]
    with (scratch / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=HERE, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        yield server
    finally:
        children = family(server.pid)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        _, left = psutil.wait_procs(children, timeout=STOP)
        for child in left:
            with suppress(psutil.NoSuchProcess):
                child.kill()


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it began."""
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def answered(server: subprocess.Popen[bytes], url: str, body: bytes, log: Path) -> None:
    """Wait for the first answer."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    until = time.monotonic() + START
    said = "nothing listens"
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
                return
        except urllib.error.HTTPError as error:
            said = f"{error.code} {error.read()[:300].decode(errors='replace')}"
        except OSError as error:
            said = str(error)
        if server.poll() is not None:
            break
        time.sleep(0.02)
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise RuntimeError(f"no answer ({said}); {last[0] if last else 'it said nothing'}"[:300])


def show(found: dict[str, list[Row]], faults: dict[str, str]) -> bool:
    table = Table(title=f"{sys.platform}, one core for the server, one for wrk")
    for name in ("server", "requests/s", "p50, ms", "p99, ms", "memory, MB", "start, s", "installed, MB"):
        table.add_column(name, justify="left" if name == "server" else "right")
    rates = {}
    for name, rows in found.items():
        if not rows:
            table.add_row(name, faults.get(name, "not measured"))
            continue
        of = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        rates[name] = of["rate"]
        table.add_row(
            name,
            f"{of['rate']:.0f}",
            f"{of['p50']:.2f}",
            f"{of['p99']:.2f}",
            f"{of['memory']:.0f}",
            f"{of['start']:.1f}",
            f"{of['installed']:.0f}",
        )
    Console(width=150).print(table)
    for name, fault in faults.items():
        print(f"{name} broke off after {count(len(found[name]), 'round')}: {fault}")
    ours = rates.pop("level4", None)
    if ours is None:
        return not faults
    bare = rates.pop("bare", None)
    fine = True
    if bare is not None:
        fine = ours >= SHARE * bare
        print(f"of the bare script's requests: {ours / bare:.0%}, the bar is {SHARE:.0%}")
    for name, rate in rates.items():
        fine &= ours > rate
        print(f"of {name}'s requests: {ours / rate:.1f} x")
    return fine and "level4" not in faults
