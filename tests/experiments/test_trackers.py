"""Trackers: one contract, W&B offline for real, and its faults with a stand-in."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from experiments.configuration import CONF
from experiments.trackers import wandb as module
from experiments.trackers.wandb import Wandb
from tests.automl.examples import CONVNET, trial

ROOT = Path(__file__).resolve().parents[2]
TRIALS = [trial(0, score=0.5), trial(1, candidate=CONVNET, status="failed", score=None, error="boom"), trial(2)]
RESULT = {"task": {"name": "digits"}, "test": {"accuracy": 0.75}, "ensemble": [{"number": 0}]}


class FakeRun:
    def __init__(self) -> None:
        self.logged: list[dict] = []
        self.saved: list[str] = []
        self.summary: dict = {}
        self.finished = False

    def log(self, point: dict) -> None:
        self.logged.append(point)

    def save(self, path: str, **_: object) -> None:
        self.saved.append(path)

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def fake(monkeypatch) -> types.ModuleType:
    """A stand-in for the wandb package, with ``run`` and what ``init`` was given."""
    errors = types.ModuleType("wandb.errors")
    errors.CommError = type("CommError", (Exception,), {})  # type: ignore[attr-defined]
    package = types.ModuleType("wandb")
    package.run, package.given = FakeRun(), []  # type: ignore[attr-defined]

    def init(**given):
        package.given.append(given)
        return package.run

    package.init, package.errors = init, errors  # type: ignore[attr-defined]
    package.Settings = package.setup = lambda *_, **given: given  # type: ignore[attr-defined]
    package.Table = lambda columns, data: [dict(zip(columns, row, strict=True)) for row in data]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", package)
    monkeypatch.setitem(sys.modules, "wandb.errors", errors)
    monkeypatch.setattr(module, "_logged_in", lambda: False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_DATA_DIR", "")
    monkeypatch.setattr(module, "_data_dir_of_ours", "")
    return package


def use(tracker, folder: Path) -> None:
    report = folder / "report.html"
    report.write_text("<html></html>")
    tracker.start({"seed": 1}, "digits")
    for t in TRIALS:
        tracker.trial(t)
    tracker.finish(RESULT, report, TRIALS)


@pytest.mark.parametrize("path", sorted((CONF / "tracker").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_tracker_can_be_used(path, tmp_path, fake, caplog):
    config = OmegaConf.load(path)
    if "folder" in config:
        config.folder = str(tmp_path)
    use(instantiate(config), tmp_path)
    assert caplog.records == []


def test_the_run_holds_trials_curve_result_and_report(tmp_path, fake):
    use(Wandb(folder=str(tmp_path)), tmp_path)
    run = fake.run
    assert [p.get("best score") for p in run.logged[:3]] == [0.5, 0.5, 0.5]
    assert [p["trial/ok"] for p in run.logged[:3]] == [1, 0, 1]
    assert "trial/score" not in run.logged[1]
    table = run.logged[3]["trials"]
    assert [row["status"] for row in table] == ["ok", "failed", "ok"]
    assert (table[1]["family"], table[1]["error"], json.loads(table[1]["choices"])) == (
        "convnet",
        "boom",
        {"stem": "3x3"},
    )
    assert run.summary == {"task/name": "digits", "test/accuracy": 0.75, "ensemble": '[{"number": 0}]'}
    assert run.saved == [str(tmp_path / "report.html")]
    assert run.finished
    assert fake.given[0]["dir"] == str(tmp_path)
    assert fake.given[0]["config"] == {"seed": 1}


@pytest.mark.parametrize(
    ("asked", "environment", "logged_in", "mode", "warns"),
    [
        (None, None, False, "offline", False),
        (None, None, True, "online", False),
        (None, "offline", True, "offline", False),
        (None, "disabled", False, "disabled", False),
        ("offline", "online", True, "offline", False),
        (None, "online", False, "offline", True),  # would ask for a key
    ],
)
def test_online_only_when_logged_in(asked, environment, logged_in, mode, warns, tmp_path, fake, monkeypatch, caplog):
    monkeypatch.setattr(module, "_logged_in", lambda: logged_in)
    if environment:
        monkeypatch.setenv("WANDB_MODE", environment)
    use(Wandb(mode=asked, folder=str(tmp_path)), tmp_path)
    assert fake.given[0]["mode"] == mode
    assert ["wandb login" in r.message for r in caplog.records] == ([True] if warns else [])


def test_a_server_that_does_not_answer_means_offline(tmp_path, fake, monkeypatch, caplog):
    monkeypatch.setattr(module, "_logged_in", lambda: True)
    init = fake.init

    def refuse_online(**given):
        if given["mode"] == "online":
            raise fake.errors.CommError("no route\nto host")
        return init(**given)

    fake.init = refuse_online
    use(Wandb(folder=str(tmp_path)), tmp_path)
    assert fake.run.finished
    assert [r.message for r in caplog.records] == ["W&B: no route to host: writing offline."]


@pytest.mark.parametrize("where", ["init", "log", "save", "finish"])
@pytest.mark.parametrize("fault", [RuntimeError("two\nlines"), SystemExit(1)])
def test_a_fault_is_one_warning_line(where, fault, tmp_path, fake, monkeypatch, caplog):
    def fail(*_, **__):
        raise fault

    monkeypatch.setattr(fake if where == "init" else fake.run, where, fail)
    use(Wandb(folder=str(tmp_path)), tmp_path)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "\n" not in record.message
    assert record.message.endswith("The run goes on without it.")


def test_a_wandb_that_hangs_holds_up_nobody(tmp_path, fake, caplog):
    released = threading.Event()
    fake.init = lambda **_: released.wait(30)
    began = time.monotonic()
    use(Wandb(folder=str(tmp_path), wait_seconds=0.1), tmp_path)
    assert time.monotonic() - began < 5
    assert "did not finish" in caplog.records[0].message
    released.set()


def test_an_error_keeps_its_own_sign(tmp_path, fake):
    tracker = Wandb(folder=str(tmp_path))
    tracker.start({}, "prices", "rmse")
    trials = [trial(0, score=-3.0, curve=(-4.0, -3.0)), trial(1, score=-5.0)]
    for t in trials:
        tracker.trial(t)
    tracker.finish({"tried": [1, 2], "test": {"rmse": 3.0}}, tmp_path / "report.html", trials)
    logged = fake.run.logged
    assert [p["trial/score"] for p in logged[:2]] == [3.0, 5.0] and [p["best score"] for p in logged[:2]] == [3.0, 3.0]
    row = logged[2]["trials"][0]
    assert row["score"] == 3.0 and json.loads(row["curve"]) == [4.0, 3.0]
    assert fake.run.summary == {"test/rmse": 3.0}


def test_finish_without_start_does_nothing(tmp_path, fake):
    Wandb(folder=str(tmp_path)).finish(RESULT, tmp_path / "report.html", TRIALS)
    assert fake.given == []


def test_offline_for_real(tmp_path):
    """In a process of its own, with an empty home: nobody is logged in, and there is no network to wait for."""
    code = """
        import logging, pathlib, sys, time
        from experiments.trackers.wandb import Wandb
        from tests.experiments.test_trackers import use
        logging.basicConfig()
        assert "wandb" not in sys.modules
        folder = pathlib.Path(sys.argv[1])
        began = time.monotonic()
        use(Wandb(folder=str(folder)), folder)
    """
    (tmp_path / "home").mkdir()
    (tmp_path / "run").mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    environment |= {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines()), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=100,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (run,) = (tmp_path / "run/wandb").glob("offline-run-*")
    (table,) = (run / "files/media/table").glob("trials_*.json")
    assert len(json.loads(table.read_text())["data"]) == 3
    assert (run / "files/report.html").exists()
    (record,) = run.glob("*.wandb")
    assert b"test/accuracy" in record.read_bytes()
    assert b"best score" in record.read_bytes()
    outside = [p for p in (tmp_path / "home").rglob("*") if p.is_file() and ".cache" not in p.parts]
    assert outside == []
