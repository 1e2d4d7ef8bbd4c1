"""Whole runs in real processes: the outputs' contract, kill -9 and resume, sweeps."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
FAST = ["+experiment=quickstart", "engine=sequential", "tracker=none", "progress=false", "budget.seconds=null"]


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "run.py"), *FAST, f"hydra.run.dir={folder}", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def call(work: Path, folder: str, *arguments: str) -> dict:
    done = subprocess.run(
        command(work / folder, *arguments), capture_output=True, text=True, cwd=work, env=environment(), timeout=110
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((work / folder / "result.json").read_text())


def stored(work: Path) -> list[tuple]:
    with sqlite3.connect(work / "outputs" / "store.db") as db:
        return db.execute("select search_id, number, status, score from trials order by id").fetchall()


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def result(work) -> dict:
    return call(work, "first", "budget.trials=4", "budget.epochs=2")


def test_result_json_keeps_the_contract(result):
    assert result["task"]["name"] == "digits"
    assert (result["task"]["kind"], result["task"]["metric"]) == ("multiclass", "accuracy")
    assert (result["level"], result["seed"], result["trials"]["ok"]) == (4, 0, 4)
    assert set(result["seconds"]) == {"total", "prepare", "search", "refit", "export"}
    assert set(result["test"]) >= {"accuracy", "balanced_accuracy", "log_loss", "roc_auc", "ece"}
    assert result["chosen"]["family"] in ("mlp", "convnet") and result["chosen"]["choices"]
    assert result["store"].startswith("sqlite:///")


def test_predictions_agree_with_the_result_and_the_model(work, result):
    frame = pd.read_parquet(work / "first" / "predictions.parquet")
    classes = [f"p_{c}" for c in result["task"]["classes"]]
    assert list(frame.columns) == ["row", "y", "prediction", *classes]
    assert len(frame) == round(1797 * 0.25)
    assert np.allclose(frame[classes].sum(axis=1), 1, atol=1e-4)
    assert np.isclose((frame.y == frame.prediction).mean(), result["test"]["accuracy"])
    assert frame.row.is_unique


def test_the_bundle_holds_a_graph_that_runs_alone(work, result):
    bundle = Path(result["bundle"])
    bundle = bundle if bundle.is_absolute() else work / bundle
    session = onnxruntime.InferenceSession(str(bundle / "model.onnx"))
    (one,) = session.get_inputs()
    for rows in (1, 5):
        (out,) = session.run(None, {one.name: np.zeros((rows, 1, 8, 8), np.uint8)})
        assert out.shape == (rows, 10)
    assert json.loads((bundle / "meta.json").read_text())["task"]["name"] == "digits"


def test_the_report_and_the_configuration_are_beside_it(work, result):
    report = (work / "first" / "report.html").read_text()
    assert "digits" in report and 'src="http' not in report and 'href="http' not in report
    assert "sequential" in (work / "first" / "config.yaml").read_text()


def test_the_same_seed_gives_the_same_trials(work, result):
    again = call(work, "again", "budget.trials=4", "budget.epochs=2")
    assert again["chosen"] == result["chosen"] and again["test"] == result["test"]
    by_search: dict[int, list[tuple]] = {}
    for search, *rest in stored(work):
        by_search.setdefault(search, []).append(tuple(rest))
    first, second = list(by_search.values())[:2]
    assert first == second


@pytest.mark.timeout(180)
def test_kill_9_and_resume_loses_nothing_and_repeats_nothing(tmp_path, work, result):
    whole = [row[1:] for row in stored(work) if row[0] == stored(work)[0][0]]
    process = subprocess.Popen(
        command(tmp_path / "killed", "budget.trials=4", "budget.epochs=2"),
        cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 80
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        try:
            if len(stored(tmp_path)) >= 2:
                break
        except sqlite3.OperationalError:
            continue
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = stored(tmp_path)
    assert 2 <= len(before) <= 4
    resumed = call(tmp_path, "resumed", "budget.trials=4", "budget.epochs=2", "resume=true")
    after = stored(tmp_path)
    assert after[: len(before)] == before, "what had finished is untouched"
    assert [row[1:] for row in after] == whole, "the same trials as the uninterrupted search, each once"
    assert resumed["test"] == result["test"]


def test_a_search_in_which_nothing_works_says_why(tmp_path):
    done = subprocess.run(
        command(tmp_path / "out", "budget.trials=2", "task.limits.parameters=1"),
        capture_output=True, text=True, cwd=tmp_path, env=environment(), timeout=110,
    )  # fmt: skip
    assert done.returncode == 2
    assert "2 of them skipped" in done.stderr and "the limit is 1" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
