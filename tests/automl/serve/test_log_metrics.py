"""What is written of requests: numbers, and lines without values."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from automl import clock
from automl.serve import log as logs
from automl.serve.log import RequestLog
from tests.automl.serve.made import ROW, asked, predicted, server

Bundles = Callable[[str], Path]


def lines(folder: Path) -> list[dict[str, object]]:
    (path,) = folder.glob("*.jsonl")
    assert path.stat().st_mode & 0o077 == 0
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_hold_no_values(bundle: Bundles, tmp_path: Path) -> None:
    app = server(bundle("table"), state=str(tmp_path), monitor=False)
    told = predicted(app, rows=[{**ROW, "city": "Secretville"}] * 2)
    asked(app, "GET", "/models/nothing")
    app.log.flush()
    first, second = lines(tmp_path / "log")
    assert first.keys() == {"at", "id", "path", "code", "ms", "model", "rows"}
    assert (first["id"], first["code"], first["rows"]) == (told.json()["id"], 200, 2)
    assert first["model"] == told.json()["model"] and second["code"] == 404
    assert "Secretville" not in (next((tmp_path / "log").iterdir())).read_text()


def test_named_columns_alone_are_kept(bundle: Bundles, tmp_path: Path) -> None:
    app = server(bundle("table"), state=str(tmp_path), monitor=False, log_columns=("size", "other"))
    predicted(app, rows=[ROW, {**ROW, "size": "x" * 999}])
    app.log.flush()
    assert lines(tmp_path / "log")[0]["cells"] == [{"size": 50.0}, {"size": "x" * 200}]
    huge = {"content": b'{"rows": [{"size": 1e999}]}', "headers": {"Content-Type": "application/json"}}
    asked(app, "POST", "/predict", **huge)
    app.log.flush()
    assert lines(tmp_path / "log")[1]["cells"] == [{"size": "inf"}]


def test_values_in_warnings_stay_out_of_the_log(bundle: Bundles, capfd: pytest.CaptureFixture[str]) -> None:
    import logging.config

    from automl.serve.run import _LOGGING

    logging.config.dictConfig(_LOGGING)
    try:
        predicted(server(bundle("table")), rows=[{**ROW, "size": "Secretville"}])
        assert "Secretville" not in "".join(capfd.readouterr())
    finally:
        for name in ("automl", "automl.data", "uvicorn"):
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).setLevel(logging.NOTSET)
            logging.getLogger(name).propagate = True


def test_old_days_go_and_a_full_day_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, young = tmp_path / "requests-2020-01-01.jsonl", tmp_path / "requests-2020-01-05.jsonl"
    for path, days in ((old, 9), (young, 1)):
        path.write_text("{}\n")
        os.utime(path, (time.time() - days * 86_400,) * 2)
    log = RequestLog(tmp_path, 7)
    log.add("id", "/predict", 200, 0.001, "m@1", [])
    log.flush()
    assert old.exists(), "the clock may have jumped"
    monkeypatch.setattr(clock, "EVEN_FOR", 0.0)
    log.add("id", "/predict", 200, 0.001, "m@1", [])
    log.flush()
    assert not old.exists() and young.exists()
    monkeypatch.setattr(logs, "MEGABYTES", 0)
    log.add("id", "/predict", 200, 0.001, "m@1", [])
    log.flush()
    assert log.dropped == 1


def test_a_disk_that_is_full_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "log").write_text("a file in the folder's place")
    log = RequestLog(tmp_path / "log", 7)
    for _ in range(3):
        log.add("id", "/predict", 200, 0.001, "m@1", [])
        log.flush()
    assert log.dropped == 3 and len(caplog.records) == 1


def test_no_log_is_written_for_zero_days(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "log", 0)
    log.add("id", "/predict", 200, 0.001, "m@1", [])
    log.flush()
    assert not (tmp_path / "log").exists()


def test_metrics_count_requests_rows_and_codes(bundle: Bundles) -> None:
    app = server(bundle("table"))
    for _ in range(3):
        predicted(app, rows=[ROW] * 2)
    predicted(app, rows=[])
    predicted(app, rows=[{}])
    text = asked(app, "GET", "/metrics").text
    short = app.models.find(None).short
    assert f'level4_requests_total{{code="200",digest="{short}",model="table"}} 3.0' in text
    assert 'level4_requests_total{code="422",digest="",model=""} 1.0' in text  # no question: nobody was asked
    assert f'level4_requests_total{{code="422",digest="{short}",model="table"}} 1.0' in text
    assert f'level4_rows_total{{digest="{short}",model="table"}} 6.0' in text
    assert f'level4_request_seconds_count{{digest="{short}",model="table"}} 3.0' in text
    assert 'level4_model_loads_total{model="table",result="ok"} 1.0' in text
    assert re.search(r"^level4_queue_length 0\.0$", text, re.M) and re.search(r"^level4_in_flight 0\.0$", text, re.M)


def test_half_a_line_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that becomes full takes the beginning of what is written."""
    log = RequestLog(tmp_path, 7)

    class Full(io.FileIO):
        def write(self, text: bytes) -> int:  # type: ignore[override]
            return super().write(text[:150])

    monkeypatch.setattr(logs.os, "fdopen", lambda file, *_: Full(file, "wb"))
    for i in range(3):
        log.add(f"full-{i}", "/predict", 200, 0.001, "m@1", [])
    log.flush()
    assert log.dropped == 2
    monkeypatch.undo()
    log.add("later", "/predict", 200, 0.001, "m@1", [])
    log.flush()
    (path,) = tmp_path.glob("*.jsonl")
    first, _, last = path.read_bytes().splitlines()
    assert json.loads(first)["id"] == "full-0" and json.loads(last)["id"] == "later"


def test_numbers_on_a_full_disk_kill_no_worker(tmp_path: Path) -> None:
    """Files that are mapped have holes: who writes into one on a full disk is killed by SIGBUS."""
    code = """
import errno, os, sys
from pathlib import Path
from automl.serve import metrics
room, real = {"left": 3}, os.posix_fallocate
def full(file, at, size):
    room["left"] -= 1
    if room["left"] < 0:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    real(file, at, size)
os.posix_fallocate = full
metrics.metrics_folder(Path(sys.argv[1]))
made = metrics.Metrics()
for name in range(40):
    made.asked(str(name), "digest", 200, 1, 0.1)
print(made.text().count(b"level4_rows_total{"), *{f.stat().st_blocks * 512 for f in Path(sys.argv[1]).rglob("*.db")})
room["left"] = 2
sys.modules.pop("prometheus_client", None)
os.getpid = lambda: 7
other = metrics.Metrics()
other.asked("a", "digest", 200, 1, 0.1)
assert b"level4_rows_total{" in other.text() and not list(Path(sys.argv[1]).rglob("*_7.db"))
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    models, size = map(int, done.stdout.split())
    assert 5 <= models < 40 and size == 2**16, "of a file that had no room to grow nothing more is counted"
    assert done.stderr.count("requests are answered, but not counted at /metrics: No space left") == 2
