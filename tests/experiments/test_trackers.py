"""Trackers: one contract, W&B offline for real, and its faults with a stand-in."""

from __future__ import annotations

import json
import logging
import os
import struct
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from automl.types import Trial
from experiments.configuration import CONF
from experiments.trackers import wandb as module
from experiments.trackers.wandb import Wandb
from tests.automl.examples import CONVNET, trial

ROOT = Path(__file__).resolve().parents[2]
TRIALS = [trial(0, score=0.5), trial(1, candidate=CONVNET, status="failed", score=None, error="boom"), trial(2)]


def tried(of: Trial, score: float | None) -> dict[str, Any]:
    """A trial as result.json has it."""
    told = {name: getattr(of, name) for name in ("number", "status", "seconds", "parameters", "latency_ms", "error")}
    return told | {
        "family": of.candidate.family, "choices": dict(of.candidate.choices), "epochs": of.fidelity, "score": score
    }  # fmt: skip


RESULT = {
    "task": {"name": "digits", "metric": "accuracy"},
    "data": {"hash": "0123abcd", "rows": 1797},
    "val": {"accuracy": 0.8},
    "test": {"accuracy": 0.75},
    "ensemble": [{"number": 0}],
    "level": 4,
    "seed": 1,
    "version": "0.1.0",
    "deployed": {"megabytes": 0.5},
    "tried": [tried(t, t.score) for t in TRIALS],
}
CONFIG = {
    "seed": 1,
    "family": {"mlp": {}, "convnet": {}},
    "facts": {"code": "0.1.0", "data": "digits", "hash": "0123abcd", "rows": 1797, "kind": "multiclass", "level": 4}
    | {"modalities": ["image"]},
}


class FakeRun:
    def __init__(self) -> None:
        self.logged: list[dict] = []
        self.saved: list[str] = []
        self.summary: dict = {}
        self.defined: dict[str, dict] = {}
        self.artifacts: list[tuple[Any, dict]] = []
        self.finished = False
        self.url, self.sync_dir = None, "wandb/offline-run-1"

    def define_metric(self, name: str, **how: Any) -> None:
        self.defined[name] = how

    def log_artifact(self, artifact: Any, **how: Any) -> None:
        self.artifacts.append((artifact, how))

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
    package.plot = types.SimpleNamespace(line_series=lambda xs, ys, **how: {"ys": ys, **how})  # type: ignore[attr-defined]
    package.Settings = package.setup = lambda *_, **given: given  # type: ignore[attr-defined]
    package.Table = lambda columns, data: [dict(zip(columns, row, strict=True)) for row in data]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", package)
    monkeypatch.setitem(sys.modules, "wandb.errors", errors)
    monkeypatch.setattr(module, "logged_in", lambda: False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_DATA_DIR", "")
    monkeypatch.setattr(module, "_data_dir_of_ours", "")
    return package


def use(tracker, folder: Path) -> None:
    report = folder / "report.html"
    report.write_text("<html></html>")
    tracker.start(CONFIG, "digits", "accuracy")
    for t in TRIALS:
        tracker.trial(t)
    tracker.finish(RESULT, report, TRIALS)


@pytest.mark.parametrize("path", sorted((CONF / "tracker").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_tracker_can_be_used(path, tmp_path, fake, caplog):
    config = OmegaConf.load(path)
    if "folder" in config:
        config.folder = str(tmp_path)
    missing = {"tensorboard": "tensorboard", "mlflow": "mlflow"}.get(path.stem)
    if missing is not None:
        pytest.importorskip(missing, reason=f"{missing} is not installed")
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
    assert (table[1]["family"], table[1]["error"], table[1]["choices.stem"]) == ("convnet", "boom", "3x3")
    assert table[0]["choices.stem"] is None and table[1]["score"] is None
    assert [len(y) for y in run.logged[4]["curves"]["ys"]] == [len(t.curve) for t in (TRIALS[0], TRIALS[2])]
    assert run.summary["test/accuracy"] == 0.75 and run.summary["ensemble"] == '[{"number": 0}]'
    assert not any(name.startswith("tried") for name in run.summary)
    assert run.defined["best score"]["summary"] == "max" and run.defined["trial/*"]["step_metric"] == "trial/number"
    assert run.saved == [str(tmp_path / "report.html")]
    assert run.finished
    assert fake.given[0]["dir"] == str(tmp_path)
    given = fake.given[0]
    assert given["config"] == CONFIG
    assert (given["name"], given["group"], given["job_type"]) == ("digits-l4-s1", "digits", "search")
    assert given["tags"] == ["level 4", "image", "mlp", "convnet"]


def test_a_run_for_each_trial_where_they_are_wanted(tmp_path, fake):
    tracker = Wandb(folder=str(tmp_path), trials="runs")
    use(tracker, tmp_path)
    own = fake.given[1:]
    assert [o["name"] for o in own] == ["digits-l4-s1-t0", "digits-l4-s1-t1", "digits-l4-s1-t2"]
    assert {(o["group"], o["job_type"], o["reinit"]) for o in own} == {("digits", "trial", "create_new")}
    assert own[1]["config"] == {"family": "convnet", "stem": "3x3", "epochs": TRIALS[1].fidelity}
    assert tracker.seen() == "wandb sync wandb/offline-run-1"
    with pytest.raises(ValueError, match="trials=all must be one of: table, runs"):
        Wandb(trials="all")


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
def test_online_only_whenlogged_in(asked, environment, logged_in, mode, warns, tmp_path, fake, monkeypatch, caplog):
    monkeypatch.setattr(module, "logged_in", lambda: logged_in)
    if environment:
        monkeypatch.setenv("WANDB_MODE", environment)
    use(Wandb(mode=asked, folder=str(tmp_path)), tmp_path)
    assert fake.given[0]["mode"] == mode
    assert ["wandb login" in r.message for r in caplog.records] == ([True] if warns else [])


def test_a_server_that_does_not_answer_means_offline(tmp_path, fake, monkeypatch, caplog):
    monkeypatch.setattr(module, "logged_in", lambda: True)
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
    told = [tried(trials[0], 3.0), tried(trials[1], 5.0)]
    tracker.finish({"tried": told, "test": {"rmse": 3.0}}, tmp_path / "report.html", trials)
    logged = fake.run.logged
    assert [p["trial/score"] for p in logged[:2]] == [3.0, 5.0] and [p["best score"] for p in logged[:2]] == [3.0, 3.0]
    assert logged[2]["trials"][0]["score"] == 3.0 and logged[3]["curves"]["ys"][0] == [4.0, 3.0]
    assert fake.run.defined["best score"]["summary"] == "min"
    assert fake.run.summary == {"test/rmse": 3.0}


def test_the_best_of_a_resumed_search_is_the_best_of_all_of_it(tmp_path, fake):
    tracker = Wandb(folder=str(tmp_path))
    tracker.start(CONFIG, "digits", "accuracy")
    tracker.trial(trial(0, score=0.9), resumed=True)
    tracker.trial(trial(1, score=0.5))
    tracker.finish(RESULT, tmp_path / "report.html", [])
    told = [(p["trial/number"], p["best score"]) for p in fake.run.logged if "trial/number" in p]
    assert told == [(1, 0.9)], "the trial from before is in the run from before"


def test_finish_without_start_does_nothing(tmp_path, fake):
    Wandb(folder=str(tmp_path)).finish(RESULT, tmp_path / "report.html", TRIALS)
    assert fake.given == []


def decoded(run: Path) -> list[Any]:
    """What stands in an offline run's file: after 7 bytes a log as LevelDB writes it, of 32 KiB blocks whose pieces
    have a checksum (4), a length (2) and a kind (1: whole, 2: first, 3: middle, 4: last).
    """
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = run.glob("*.wandb")
    data, at, piece, found = file.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if (left := 32_768 - at % 32_768) < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        piece += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            found.append(Record.FromString(piece))
            piece = b""
    return found


def artifacts_in(record: Any) -> list[Any]:
    return [record.artifact] if record.HasField("artifact") else [record.request.log_artifact.artifact]


@pytest.mark.whole
def test_offline_for_real(tmp_path):
    """In a process of its own, with an empty home: nobody is logged in, and there is no network to wait for."""
    code = """
        import logging, pathlib, sys, time
        from experiments.trackers.wandb import Wandb
        from tests.experiments.test_trackers import RESULT, use
        logging.basicConfig()
        assert "wandb" not in sys.modules
        folder = pathlib.Path(sys.argv[1])
        began = time.monotonic()
        tracker = Wandb(folder=str(folder), trials="runs")
        RESULT["bundle"] = str(folder / "bundle")
        use(tracker, folder)
        print(tracker.seen())
    """
    (tmp_path / "home").mkdir()
    (tmp_path / "run/bundle").mkdir(parents=True)
    (tmp_path / "run/bundle/model.onnx").write_bytes(b"graph")
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
    assert (done.returncode, done.stderr) == (0, "")
    *own, run = sorted((tmp_path / "run/wandb").glob("offline-run-*"), key=lambda f: (f / "files/report.html").exists())
    assert done.stdout == f"wandb sync {run}\n" and len(own) == 3
    (table,) = (run / "files/media/table").glob("trials_*.json")
    assert len(json.loads(table.read_text())["data"]) == 3
    assert (run / "files/report.html").exists()
    records = decoded(run)
    (of,) = [r.run for r in records if r.HasField("run")][:1]
    config = {item.key: json.loads(item.value_json) for item in of.config.update}
    assert (of.display_name, of.run_group, of.job_type) == ("digits-l4-s1", "digits", "search")
    assert set(of.tags) == {"level 4", "image", "mlp", "convnet"}
    assert config["facts"]["hash"] == "0123abcd" and config["facts"]["level"] == 4
    artifacts = {a.type: a for r in records if r.HasField("request") or r.HasField("artifact") for a in artifacts_in(r)}
    assert artifacts["model"].name == "digits-model" and set(artifacts["model"].aliases) >= {"seed-1", "level-4"}
    assert json.loads(artifacts["model"].metadata)["data"] == "0123abcd"
    assert [e.path for e in artifacts["model"].manifest.contents] == ["model.onnx"]
    assert artifacts["dataset"].name == "digits-data"
    summary = {"/".join(item.nested_key) or item.key for r in records for item in r.summary.update}
    assert "test/accuracy" in summary
    assert {r.metric.name or r.metric.glob_name for r in records if r.HasField("metric")} >= {"trial/*", "best score"}
    (of,) = [r.run for r in decoded(own[0]) if r.HasField("run")][:1]
    assert of.run_group == "digits" and of.job_type == "trial"
    outside = [p for p in (tmp_path / "home").rglob("*") if p.is_file() and ".cache" not in p.parts]
    assert outside == []
