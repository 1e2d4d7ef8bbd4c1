"""The server at twice what it can do, while workers are killed and versions change: is anything lost or mixed?

    level4 +experiment=bench/overload [bench.minutes=10]

A registry holds two versions of a model. Capacity is first measured by a few connections that always ask. Then
requests come at ``bench.factor`` times that rate, whether answers keep up or not. Each minute a worker is killed with
SIGKILL; after 3, 5 and 7 tenths of the time the second version is promoted, rolled back, and promoted again.

Printed, and each a bar (exit status 1):

    lost      requests that were read and not answered: none, but those in the hands of a worker that was killed
    mixed     answers that are not, to the last digit that is sent, those of the version that they name: none
    stale     answers by a version two seconds after another one was promoted: none
    memory    slope of the server's memory, second half of the time: below 1 % a minute
    p99       of what was answered: below ``SLACK`` of the wait that queues and the rate of answers allow (Little's law)
    counted   /metrics over all workers against the client's own count: equal, but for those cut by a kill

Nothing else may run meanwhile: the client needs a core.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from omegaconf import DictConfig

from automl.deploy.bundle import Bundle
from automl.deploy.registry import Registry
from automl.serve.limits import Limits
from experiments.bench import options_from
from experiments.bench.row import bundle_of
from experiments.bench.serve import plain

PORT = 8791
BODIES = 40
WARM, CAPACITY = 2.0, 8.0  # seconds
ASKERS = 8  # connections that find the capacity
TIMES = 3  # that a request is sent whose connection ends without an answer
SWAP = 2.0  # seconds until every worker has a promoted version: each looks once a second, then loads it
SLOPE = 0.01
SLACK = 1.5  # of the derived bound on p99: on two cores client and server share what they have


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/overload.yaml."""

    minutes: float
    workers: int
    rows: int
    columns: int
    members: int
    factor: float
    connections: int


@dataclass
class Found:
    """What the client saw. ``cut``: when connections that ended without an answer were opened, and ended. ``answers``:
    when they were asked for, and the digest that they name.
    """

    codes: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    cut: list[tuple[float, float]] = field(default_factory=list)
    unanswered: int = 0
    mixed: int = 0
    bare: int = 0  # 429 without Retry-After
    answers: list[tuple[float, str]] = field(default_factory=list)
    skipped: int = 0


@dataclass(frozen=True)
class Body:
    """``expected``: by the first digits of a version's digest, the probabilities (rows, classes)."""

    content: bytes
    expected: dict[str, np.ndarray]


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    with tempfile.TemporaryDirectory(prefix="overload-") as scratch:
        folder = Path(scratch)
        for name in ("one", "two"):
            (folder / name).mkdir()
        one, rows = bundle_of(folder / "one", options.columns, options.members)
        two, _ = bundle_of(folder / "two", options.columns, options.members + 1)
        registry = Registry(folder / "registry")
        digests = [registry.add(b.folder, "table", alias="champion") for b in (two, one)][::-1]
        bodies = [body(rows, at, options.rows, (one, two), digests) for at in range(BODIES)]
        server = start(folder, options.workers)
        try:
            fine = asyncio.run(measured(options, server, registry, digests, bodies))
        finally:
            end(server)
    if not fine:
        raise SystemExit(1)


def body(
    rows: Sequence[dict[str, Any]], at: int, count: int, bundles: Sequence[Bundle], digests: Sequence[str]
) -> Body:
    some = [{n: plain(v) for n, v in rows[(at * count + i) % len(rows)].items()} for i in range(count)]
    expected = {d[:16]: b.predict_proba(some) for d, b in zip(digests, bundles, strict=True)}
    return Body(json.dumps({"rows": some}).encode(), expected)


def start(folder: Path, workers: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "automl.serve", str(folder / "registry"), "--state", str(folder / "state")]
    command += ["--port", str(PORT), "--workers", str(workers)]
    server = subprocess.Popen(command, start_new_session=True)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=5):
            return server
        time.sleep(0.1)
    end(server)
    raise SystemExit("the server did not start")


def end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)


def workers_of(server: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that answer: children that hold the models, and so are the largest."""
    with suppress(psutil.NoSuchProcess):
        return [p for p in psutil.Process(server.pid).children() if p.memory_info().rss > 60e6]
    return []


async def measured(
    options: Asked, server: subprocess.Popen[bytes], registry: Registry, digests: Sequence[str], bodies: Sequence[Body]
) -> bool:
    await load(Found(), bodies, WARM, ASKERS)
    found = Found()
    await load(found, bodies, CAPACITY, ASKERS)
    capacity = found.codes[200] / CAPACITY
    print(f"capacity: {capacity:.0f} requests/s of {options.rows} rows, {options.workers} workers", flush=True)
    before = counted()
    seconds = 60 * options.minutes
    began, killed, promoted, memory = time.monotonic(), [], [], []
    found = Found()
    asking = asyncio.create_task(load(found, bodies, seconds, options.connections, options.factor * capacity))
    todo = {0.3: "promote", 0.5: "rollback", 0.7: "promote"}
    current = digests[0]
    while not asking.done():
        await asyncio.sleep(1)
        now = time.monotonic() - began
        memory.append((now, await asyncio.to_thread(resident, server)))
        if now > 60 * len(killed) + 30 and now < seconds - 10 and (found_workers := workers_of(server)):
            victim = found_workers[len(killed) % len(found_workers)]
            victim.kill()
            killed.append(time.monotonic())
        for share in [s for s in todo if now > s * seconds]:
            if todo.pop(share) == "promote":
                registry.promote("table", digests[1])
                current = digests[1]
            else:
                current = registry.rollback("table")
            promoted.append((time.monotonic(), current[:16]))
    await asking
    after = counted()
    return show(options, found, killed, promoted, memory, after - before)


async def load(
    found: Found, bodies: Sequence[Body], seconds: float, connections: int, rate: float | None = None
) -> None:
    """Ask for so long: at a rate, whether answers come or not, by so many connections at most; None: always."""
    end = time.monotonic() + seconds
    if rate is None:
        await asyncio.gather(*(asker(found, bodies, at, end) for at in range(connections)))
        return
    free: list[Connection] = [Connection() for _ in range(connections)]
    tasks: set[asyncio.Task[None]] = set()
    due, number = time.monotonic(), 0
    while (now := time.monotonic()) < end:
        while due <= now:
            due += 1 / rate
            if not free:
                found.skipped += 1
                continue
            task = asyncio.create_task(one(found, free, free.pop(), bodies[number % len(bodies)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.sleep(max(due - time.monotonic(), 0.001))
    await asyncio.gather(*tasks)
    for connection in free:
        connection.close()


async def asker(found: Found, bodies: Sequence[Body], at: int, end: float) -> None:
    connection = Connection()
    while time.monotonic() < end:
        await ask(found, connection, bodies[at % len(bodies)])
        at += 1
    connection.close()


async def one(found: Found, free: list[Connection], connection: Connection, body: Body) -> None:
    await ask(found, connection, body)
    free.append(connection)


async def ask(found: Found, connection: Connection, body: Body) -> None:
    """One request; one that was cut is asked again, as clients do."""
    told, began = None, time.monotonic()
    for _ in range(TIMES):
        began = time.monotonic()
        try:
            told = await asyncio.wait_for(connection.post(body.content), 60)
            break
        except (OSError, EOFError, TimeoutError):
            found.cut.append((connection.opened, time.monotonic()))
            connection.close()
    if told is None:
        found.unanswered += 1
        return
    code, headers, content = told
    found.codes[code] += 1
    if code == 429 and b"retry-after" not in headers:
        found.bare += 1
    if code != 200:
        return
    found.seconds.append(time.monotonic() - began)
    said = json.loads(content)
    digest = said["model"].partition("@")[2][:16]
    told = np.array([list(a["p"].values()) for a in said["answers"]])
    expected = body.expected.get(digest)
    found.mixed += expected is None or told.shape != expected.shape or not np.allclose(told, expected, atol=1e-5)
    found.answers.append((began, digest))


class Connection:
    """HTTP/1.1 that is kept alive, in so few lines that the client is not what is measured."""

    def __init__(self) -> None:
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.opened = 0.0

    async def post(self, content: bytes) -> tuple[int, bytes, bytes]:
        """Status, head in small letters, and body."""
        if self.streams is None:
            self.opened = time.monotonic()
            self.streams = await asyncio.open_connection("127.0.0.1", PORT, limit=2**22)
        reader, writer = self.streams
        head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        told = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", told)
        content = await reader.readexactly(int(length[1]) if length else 0)
        if b"connection: close" in told:
            self.close()
        return int(told.split(None, 2)[1]), told, content

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


def counted() -> int:
    """Requests to /predict that the server counts, over all workers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return int(sum(float(n) for n in re.findall(r"^level4_requests_total\{[^}]*\} (\S+)$", text, re.MULTILINE)))


def resident(server: subprocess.Popen[bytes]) -> float:
    with suppress(psutil.NoSuchProcess):
        head = psutil.Process(server.pid)
        return sum(p.memory_info().rss for p in [head, *head.children(recursive=True)]) / 2**20
    return np.nan


def show(
    options: Asked,
    found: Found,
    killed: Sequence[float],
    promoted: Sequence[tuple[float, str]],
    memory: Sequence[tuple[float, float]],
    counted: int,
) -> bool:
    asked = sum(found.codes.values()) + found.unanswered
    # A connection that lay idle is found to be dead when it is used again.
    strange = [cut for cut in found.cut if not any(cut[0] <= k <= cut[1] for k in killed)]
    ends = [t for t, _ in promoted[1:]] + [np.inf]
    stale = sum(
        digest != now
        for (since, now), until in zip(promoted, ends, strict=True)
        for began, digest in found.answers
        if since + SWAP < began < until
    )
    half = [(t, m) for t, m in memory if t > memory[-1][0] / 2 and np.isfinite(m)]
    at, megabytes = np.array(half).T
    slope = float(np.polyfit(at, megabytes, 1)[0]) * 60 / megabytes.mean()
    p50, p99 = (1000 * np.percentile(found.seconds, q) for q in (50, 99))
    answered = found.codes[200]
    # Little's law: those who wait, and those who are answered at a time, by how many are answered in a second.
    longest = SLACK * 1000 * options.workers * (Limits().queue + 2) / (answered / (60 * options.minutes))
    print(f"asked {asked} times in {options.minutes:g} minutes, {found.skipped} more found no free connection")
    print("codes: " + ", ".join(f"{code} {n}" for code, n in sorted(found.codes.items())))
    print(f"killed {len(killed)} workers, promoted or rolled back {len(promoted)} times")
    bars = {
        "lost": (
            f"{found.unanswered} lost, {len(found.cut)} cut by kills, {len(strange)} otherwise",
            not (found.unanswered or strange),
        ),
        "codes": (f"{found.bare} of 429 without Retry-After", not found.bare and set(found.codes) <= {200, 429, 503}),
        "mixed": (f"{found.mixed} of {answered}", not found.mixed),
        "stale": (f"{stale}", not stale),
        "memory": (f"{slope:+.2%} a minute", slope < SLOPE),
        "p99": (f"{p99:.0f} ms (p50 {p50:.0f}), bound {longest:.0f}", p99 <= longest),
        "counted": (
            f"{counted} by the server, {sum(found.codes.values())} by the client",
            abs(counted - sum(found.codes.values())) <= len(found.cut),
        ),
    }
    for name, (said, fine) in bars.items():
        print(f"{name:<9}{said}{'' if fine else '   MISSED'}")
    return all(fine for _, fine in bars.values())
