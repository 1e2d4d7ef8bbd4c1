"""Nothing that happens to the recorder reaches the server, and what it has counted is not lost."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl import clock
from automl.errors import UserError
from automl.monitor import recorder as module
from automl.monitor import windows
from automl.monitor.answers import NAME, Answers
from automl.monitor.counter import HEAD, Counter
from automl.monitor.recorder import Recorder
from automl.monitor.windows import read, total
from tests.automl.monitor.bundles import asked, people

ROWS, REQUESTS, DROPPED, UNREAD = (HEAD.index(name) for name in ("rows", "requests", "dropped", "unread"))


@pytest.fixture(autouse=True)
def soon(monkeypatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)


def written(folder: Path, bundle: Any) -> np.ndarray:
    size = Counter(bundle).layout.size
    found = total(read(folder, size).windows)
    return np.zeros(size, np.int64) if found is None else found.counts


def until(done: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_many_threads_are_counted_to_the_row(bundle, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "BUSY", 1.0)
    recorder = Recorder(tmp_path, bundle, seconds=0.05)
    rows, outputs = asked(bundle, people(3, 1))

    def ask(thread: int) -> None:
        for i in range(50):
            recorder.add(f"{thread}-{i}", rows, outputs, 0.003)

    threads = [threading.Thread(target=ask, args=(t,)) for t in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    recorder.close()
    found, counter = written(tmp_path, bundle), Counter(bundle)
    assert found[ROWS] == 1200 and found[REQUESTS] == 400 and found[DROPPED] == found[UNREAD] == 0
    assert found[counter.layout.outputs].sum() == 2 * 1200, "two measures"
    assert found[counter.layout.latency].sum() == found[counter.layout.latency][2] == 400
    with sqlite3.connect(tmp_path / NAME) as base:
        assert base.execute("SELECT count(*), count(DISTINCT request) FROM answers").fetchone() == (1200, 400)


def test_fields_are_those_of_the_rows(bundle, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, bundle)
    rows, outputs = asked(bundle, people(40, 1))
    recorder.add("a", rows, outputs)
    recorder.close()
    counter = Counter(bundle)
    np.testing.assert_array_equal(written(tmp_path, bundle), counter.answers(outputs) + counter.rows(rows))


def test_to_add_is_cheap(bundle, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, bundle)
    rows, outputs = asked(bundle, people(1, 1))
    took = []
    for i in range(300):
        began = time.perf_counter()
        recorder.add(str(i), rows, outputs, 0.001)
        took.append(time.perf_counter() - began)
    recorder.close()
    assert np.median(took) < 50e-6


def test_what_there_is_no_room_for_is_dropped_and_counted(bundle, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 5)
    monkeypatch.setattr(module, "PAUSE", 60.0)
    recorder = Recorder(tmp_path, bundle)
    rows, outputs = asked(bundle, people(2, 1))
    with recorder._lock:  # the thread cannot take what is pending
        pass
    recorder._wake.wait = lambda timeout=None: time.sleep(0.2)  # type: ignore[method-assign]
    for i in range(4):
        recorder.add(str(i), rows, outputs)
    recorder.close()
    found = written(tmp_path, bundle)
    assert found[ROWS] + found[DROPPED] == 8 and found[DROPPED] in (0, 2, 4)
    recorder.add("late", rows, outputs)
    assert recorder._dropped == 2


def test_rows_of_several_clients_are_read_as_each_was(bundle) -> None:
    """One sends true, another 1: among others pandas would read it as missing."""
    counter = Counter(bundle)
    cells = [True, False, None, 1, 0.0, "1", "true", 2.5]
    rows = [{"age": 40.0, "children": cell, "city": city} for cell in cells for city in ("Rome", True, 1)]
    alone = np.sum([counter.rows([row]) for row in rows], axis=0)
    np.testing.assert_array_equal(counter.rows(rows), alone)


def test_rows_that_cannot_be_read_spoil_no_other(bundle, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, bundle)
    rows, outputs = asked(bundle, people(4, 1))
    rows[2] = {"age": {"a": 1}}
    recorder.add("a", rows, outputs)
    recorder.close()
    found = written(tmp_path, bundle)
    assert found[UNREAD] == 1 and found[ROWS] == 4


def test_a_full_disk_is_told_once_and_nothing_is_lost(bundle, tmp_path: Path, monkeypatch, caplog) -> None:
    real = os.write

    def full(file: int, line: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(windows.os, "write", full)
    recorder = Recorder(tmp_path, bundle, seconds=0.02)
    rows, outputs = asked(bundle, people(2, 1))
    with caplog.at_level(logging.WARNING):
        for i in range(20):
            recorder.add(str(i), rows, outputs)
            time.sleep(0.01)
        until(lambda: "No space left" in caplog.text)
        time.sleep(0.1)
    assert caplog.text.count("cannot be written") == 1 and "free some space there" in caplog.text
    assert written(tmp_path, bundle)[ROWS] == 0
    monkeypatch.setattr(windows.os, "write", real)
    recorder.close()
    assert written(tmp_path, bundle)[ROWS] == 40


def test_answers_that_cannot_be_kept_are_kept_later(bundle, tmp_path: Path, caplog) -> None:
    (tmp_path / NAME).mkdir()
    recorder = Recorder(tmp_path, bundle, seconds=0.02)
    rows, outputs = asked(bundle, people(2, 1))
    with caplog.at_level(logging.WARNING):
        recorder.add("a", rows, outputs)
        until(lambda: "cannot be kept for feedback" in caplog.text)
    (tmp_path / NAME).rmdir()
    recorder.close()
    assert written(tmp_path, bundle)[ROWS] == 2
    assert Answers(tmp_path, bundle).feedback("a", ["old", None]).known == 1


def test_a_folder_that_was_removed_is_made_again(bundle, tmp_path: Path) -> None:
    folder = tmp_path / "of" / "version"
    recorder = Recorder(folder, bundle, seconds=0.02)
    rows, outputs = asked(bundle, people(2, 1))
    recorder.add("a", rows, outputs)
    until(lambda: written(folder, bundle)[ROWS] == 2)
    (tmp_path / "of").rename(
        tmp_path / "gone"
    )  # at once: a folder that is deleted file by file is written into meanwhile
    recorder.add("b", rows, outputs)
    recorder.close()
    assert written(folder, bundle)[ROWS] == 2 and Answers(folder, bundle).feedback("b", ["old"]).known == 1


def test_a_clock_that_jumps_loses_nothing(bundle, tmp_path: Path) -> None:
    times = iter([1e9, 2e9, 5.0, 3e9, -1e9, 1e9] * 1000)
    recorder = Recorder(tmp_path, bundle, seconds=0.01, clock=lambda: next(times))
    rows, outputs = asked(bundle, people(2, 1))
    for i in range(20):
        recorder.add(str(i), rows, outputs)
        time.sleep(0.005)
    recorder.close()
    assert written(tmp_path, bundle)[ROWS] == 40


def test_what_is_old_is_removed_while_the_clock_runs_evenly(bundle, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(clock, "EVEN_FOR", 0.001)
    _, outputs = asked(bundle, people(2, 1))
    store = Answers(tmp_path, bundle)
    store.add([("old", time.time() - 31 * 86400, outputs), ("new", time.time(), outputs)])
    recorder = Recorder(tmp_path, bundle, seconds=0.01)
    until(lambda: store.feedback("old", ["old"]).unknown == 1)
    recorder.close()
    assert store.feedback("new", ["old"]).known == 1


def test_of_versions_that_are_served_no_more_it_is_removed_too(bundle, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(clock, "EVEN_FOR", 0.001)
    _, outputs = asked(bundle, people(2, 1))
    store = Answers(tmp_path / "before", bundle)
    store.add([("old", time.time() - 31 * 86400, outputs)])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / NAME).write_bytes(b"no database" * 100)
    recorder = Recorder(tmp_path / "now", bundle, seconds=0.01)
    recorder.add("a", *asked(bundle, people(1, 1)))
    until(lambda: store.answered("old") is None)
    recorder.close()


def test_rows_that_alternate_are_counted_as_they_are(bundle, tmp_path: Path, monkeypatch) -> None:
    """Each request has a young and an old one: every n-th row would be always the same."""
    monkeypatch.setattr(module, "CHUNK", 100)
    monkeypatch.setattr(module, "PAUSE", 60.0)
    recorder = Recorder(tmp_path, bundle)
    pair = [{"age": 20.0, "children": 1, "city": "Rome"}, {"age": 60.0, "children": 1, "city": "Rome"}]
    outputs = bundle.outputs_encoded(bundle.encoding.transform(bundle.encoding.dataset(pair)))
    for i in range(200):
        recorder.add(str(i), pair, outputs)
    recorder.close()
    counts = written(tmp_path, bundle)[Counter(bundle).layout.fields][:35]  # those of age
    assert counts.sum() == 100 and counts.max() < 75


def test_what_cannot_be_kept_does_not_fill_the_memory(bundle, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 50)
    (tmp_path / NAME).mkdir()
    recorder = Recorder(tmp_path, bundle)
    rows, outputs = asked(bundle, people(20, 1))
    for i in range(10):
        recorder.add(str(i), rows, outputs)
        until(lambda: not recorder._pending)
    recorder.close()
    assert [a.request for a in recorder._unkept] == ["8", "9"]


def test_answers_that_are_broken_are_told_with_what_helps(bundle, tmp_path: Path, caplog) -> None:
    (tmp_path / NAME).write_bytes(b"no database" * 100)
    recorder = Recorder(tmp_path, bundle, seconds=0.01)
    with caplog.at_level(logging.WARNING):
        recorder.add("a", *asked(bundle, people(2, 1)))
        until(lambda: "kept for feedback (file is not a database); remove answers.db" in caplog.text)
    recorder.close()


def test_whatever_breaks_inside_is_a_line(bundle, tmp_path: Path, monkeypatch, caplog) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(module, "judge", broken)
    recorder = Recorder(tmp_path, bundle, seconds=0.01)
    rows, outputs = asked(bundle, people(2, 1))
    with caplog.at_level(logging.WARNING):
        recorder.add("a", rows, outputs)
        until(lambda: "RuntimeError: odd" in caplog.text)
    recorder.close()
    assert written(tmp_path, bundle)[ROWS] == 2


def test_a_webhook_that_is_none_is_refused(bundle, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="webhook=file:///etc/passwd must begin with http"):
        Recorder(tmp_path, bundle, webhook="file:///etc/passwd")


def test_a_killed_worker_loses_only_what_it_has_not_written(bundle, tmp_path: Path) -> None:
    code = f"""
import sys, time
from automl.deploy.bundle import Bundle
from automl.monitor import recorder as module
from automl.monitor.status import status
module.PAUSE = 0.01
print(*sys.modules, flush=True)
bundle = Bundle.load({str(bundle.folder)!r})
recorder = module.Recorder({str(tmp_path)!r}, bundle, seconds=0.1)
rows = [{{"age": 30.0, "children": 1, "city": "Rome"}}] * 2
outputs = bundle.outputs_encoded(bundle.encoding.transform(bundle.encoding.dataset(rows)))
i = 0
while True:
    recorder.add(str(i), rows, outputs)
    i += 1
    print(i, flush=True)
    time.sleep(0.002)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as worker:
        until(lambda: written(tmp_path, bundle)[ROWS] > 100, 60)
        worker.send_signal(signal.SIGKILL)
        said = worker.communicate()[0].splitlines()
    found = written(tmp_path, bundle)
    size = Counter(bundle).layout.size
    assert 100 < found[ROWS] <= 2 * int(said[-1]) + 2
    assert read(tmp_path, size).broken == 0
    assert Answers(tmp_path, bundle).feedback("0", ["old", "young"]).known == 2
    assert not {"torch", "scipy", "sklearn", "sqlalchemy"} & set(said[0].split())
