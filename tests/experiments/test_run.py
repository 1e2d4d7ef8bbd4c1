"""Whole runs in real processes: the outputs' contract, kill -9 and resume, sweeps."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from automl.errors import UserError
from automl.store.store import Store
from automl.types import Budget
from experiments.compose import composed
from experiments.settings import settings
from experiments.solve import pipeline
from experiments.solve.pipeline import folds_in
from experiments.solve.python import solve
from experiments.solve.result import summary
from experiments.solve.run import start
from nas.time import FOLD_SECONDS

pytestmark = pytest.mark.whole

ROOT = Path(__file__).resolve().parents[2]
FAST = ["+experiment=quickstart", "engine=sequential", "tracker=none", "progress=false", "budget.seconds=null",
        "task.check=false", "family=[mlp,convnet]", "family.convnet.widths=[8]", "metalearner=uniform"]  # fmt: skip


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
    assert (result["level"], result["seed"], result["trials"]["ok"]) == (3, 0, 4)
    assert set(result["seconds"]) == {"total", "read", "import", "prepare", "search", "refit", "export"}
    assert set(result["test"]) >= {"accuracy", "balanced_accuracy", "log_loss", "roc_auc", "ece"}
    assert result["chosen"]["family"] in ("mlp", "convnet") and result["chosen"]["choices"]
    assert result["store"].startswith("sqlite:///") and result["format"] == 1
    assert len(result["data"]["hash"]) == 16 and "budget.trials=4" in result["overrides"]
    assert sum(c["rows"] for c in result["classes_on_test"]) == result["data"]["test"]
    assert result["profile"]["log10_train_rows"] > 3 and result["prior"]["expected"]


def test_the_trials_open_in_other_programs(work, result):
    trials = pd.read_parquet(work / "first" / "trials.parquet")
    assert trials.number.tolist() == [t["number"] for t in result["tried"]] == [0, 1, 2, 3]
    assert set(result["tried"][0]["choices"]) <= {name.removeprefix("choices.") for name in trials}
    board = pd.read_csv(work / "first" / "leaderboard.csv")
    assert board.trial[0] == "model" and board.test[0] == result["test"]["accuracy"] and len(board) == 5
    assert board.score[1:].is_monotonic_decreasing and board.ms_per_row[0] == result["deployed"]["latency_ms"]


def test_what_the_report_says_in_numbers_is_in_the_result(work, result):
    """Tables and tiles; what a number of the report is rounded to, one of the result rounds to as well."""
    page = re.sub(r"<script\b.*?</script>", "", (work / "first" / "report.html").read_text(), flags=re.DOTALL)
    cells = re.findall(r"<(?:td|dd|b|small|em)\b[^>]*>(.*?)</(?:td|dd|b|small|em)>", page, re.DOTALL)
    told = {n for cell in cells for n in re.findall(r"(?<![\w.])-?\d[\d,]*\.?\d*", re.sub(r"<[^>]*>", " ", cell))}
    told = {n.strip(",") for n in told if len(re.sub(r"\D", "", n).lstrip("0")) >= 3}  # shorter ones are met by chance
    known = np.array([*numbers_in(result)])
    known = np.concatenate([known, 100 * known])  # shares are told in percent

    def found(text: str) -> bool:
        decimals = len(text.partition(".")[2])
        return bool((np.abs(known - float(text.replace(",", ""))) <= 0.51 * 10.0**-decimals).any())

    assert len(told) > 60
    assert sorted(n for n in told if not found(n)) == []


def numbers_in(value):
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(inner)
    elif isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, str):  # "269 rows"
        yield from (float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*\.?\d*", value))


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
        (out,) = session.run(["output"], {one.name: np.zeros((rows, 1, 8, 8), np.uint8)})
        assert out.shape == (rows, 10)
    assert json.loads((bundle / "meta.json").read_text())["task"]["name"] == "digits"


def test_the_report_and_the_configuration_are_beside_it(work, result):
    report = (work / "first" / "report.html").read_text()
    outside = re.sub(r"<script\b[^>]*>.*?</script>", "", report, flags=re.DOTALL)
    assert "digits" in outside and 'src="http' not in outside and 'href="http' not in outside
    assert "sequential" in (work / "first" / "config.yaml").read_text()


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


@pytest.mark.timeout(180)
@pytest.mark.parametrize("signum", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_signal_ends_the_search_and_the_model_is_made(tmp_path, signum):
    process = subprocess.Popen(
        command(tmp_path / "stopped", "budget.trials=500", "budget.epochs=2"),
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
        try:
            if any(status == "ok" for _, _, status, _ in stored(tmp_path)):
                break
        except sqlite3.OperationalError:
            continue
    process.send_signal(signum)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors[-3000:]
    result = json.loads((tmp_path / "stopped" / "result.json").read_text())
    assert 1 <= sum(result["trials"].values()) == len(stored(tmp_path)) < 500
    assert "Stopped early" in errors and "resume=true" in errors and "chosen" in said
    assert "the search was stopped early" in " ".join(result["notes"])
    assert (tmp_path / "stopped" / "bundle" / "model.onnx").exists()


def test_one_process_at_a_time_and_a_finished_search_goes_straight_to_its_model(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [*SHORT, "budget.trials=2", "resume=true", "store.url=sqlite:///s.db"]
    first = solve(tiny, "kind", seconds=60, overrides=options)
    with Store("sqlite:///s.db") as store:
        (search,) = store.searches()
        with store.hold(search.id, Budget(), 1), pytest.raises(UserError, match=f"search {search.id} is at work in"):
            solve(tiny, "kind", seconds=60, overrides=options)
        again = solve(tiny, "kind", seconds=60, overrides=[*options, "objective.ensemble=1"])
        assert store.searches() != [] and len(store.trials()) == 2 and len(store.searches()) == 1
        assert again.result["trials"] == first.result["trials"]
        (folder,) = Path("outputs/searches").iterdir()
        with store.hold(search.id, Budget(), 1) as hold:
            assert [a.first for a in hold.attempts] == [0, 2, 2] and hold.spent is not None and hold.spent > 0
    Path("s.db").unlink()
    solve(tiny, "kind", seconds=60, overrides=options)
    assert len({folder, *Path("outputs/searches").iterdir()}) == 2, "a new store, a folder of its own"


def test_a_search_in_which_nothing_works_says_why(tmp_path):
    cfg = composed([*FAST, "budget.trials=2", "task.limits.parameters=1"])
    cfg.store.url, cfg.artifacts = f"sqlite:///{tmp_path}/store.db", str(tmp_path)
    expected = r"none of 2 trainings succeeded; 2 of them skipped: .* the limit is 1"
    with pytest.raises(UserError, match=expected) as caught:
        start(cfg, tmp_path)
    assert "\n" not in str(caught.value)


def test_from_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = load_iris(as_frame=True).frame
    solution = solve(
        table, "target", seconds=None, trials=2, overrides=["budget.epochs=1", "engine=sequential", "progress=false"]
    )
    assert solution.result["task"]["kind"] == "multiclass" and solution.result["trials"]["ok"] == 2
    answers = solution.predict(table.drop(columns="target"))
    assert answers.shape == (150,) and set(answers) <= {"0", "1", "2"}
    assert np.allclose(solution.predict_proba(table.iloc[:5]).sum(axis=1), 1, atol=1e-5)
    assert (solution.bundle / "model.onnx").exists()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A table of 72 rows in which one column decides."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"size": rng.normal(size=72), "colour": rng.choice(["red", "blue"], 72)})
    table["kind"] = np.where(table["size"] > 0, "large", "small")
    path = tmp_path_factory.mktemp("tiny") / "tiny.csv"
    table.to_csv(path, index=False)
    return path


class Enough(Exception):
    """What comes after the search is not needed."""


@pytest.fixture
def searched(monkeypatch):
    """``solve`` as far as the end of its search: what was prepared, and the trials."""

    def enough(prepared, engine, artifacts, trials, *_, **__):
        raise Enough(prepared, trials)

    monkeypatch.setattr(pipeline, "finish", enough)

    def run(*given, **more):
        with pytest.raises(Enough) as caught:
            solve(*given, **more)
        return caught.value.args

    return run


SHORT = ["engine=sequential", "progress=false", "metalearner=uniform", "strategy=prior_band", "family=[mlp]",
         "budget.epochs=4", "task.check=false"]  # fmt: skip


def test_small_data_is_cross_validated_from_end_to_end(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [*SHORT, "strategy.sure=1", "objective.ensemble=2"]
    solution = solve(tiny, "kind", seconds=None, trials=4, overrides=options)
    result = solution.result
    assert result["judged_by"] == "5-fold cross-validation, 54 rows"
    assert "5-fold cross-validation, 54 rows" in (solution.folder / "report.html").read_text()
    # The score of validation is that of the stored predictions of the folds, and only full trainings are deployed.
    with sqlite3.connect(tmp_path / "outputs" / "store.db") as db:
        lengths = dict(db.execute("select number, fidelity from trials"))
    assert {lengths[m["number"]] for m in result["ensemble"]} == {4} and min(lengths.values()) < 4
    files = [*(tmp_path / "outputs" / "searches").rglob("*.folds.npy")]
    assert files and all(np.load(f).shape == (54, 2) for f in files)
    frame = pd.read_csv(tiny)
    tested = pd.read_parquet(solution.folder / "predictions.parquet").row
    assert len(tested) == 18
    answers = solution.predict(frame.drop(columns="kind"))
    assert answers.shape == (72,) and set(answers) <= {"large", "small"}
    assert (answers[tested] == frame.kind[tested]).mean() == pytest.approx(result["test"]["accuracy"])


def test_a_short_search_is_cross_validated_only_when_asked():
    assert folds_in(None, Budget(seconds=30)) == 0 and folds_in(5, Budget(seconds=30)) == 5
    assert folds_in(None, Budget(seconds=FOLD_SECONDS)) is None and folds_in(None, Budget(trials=9)) is None
    assert folds_in(0, Budget(seconds=900)) == 0
    assert folds_in(None, Budget(trials=9), refit=False) == 0, "they would be trained on all rows"


def test_folds_are_switched_by_the_task(tiny, tmp_path, monkeypatch, searched):
    monkeypatch.chdir(tmp_path)
    options = [*SHORT, "task.folds=0", "strategy=random"]
    prepared, _ = searched(tiny, "kind", seconds=None, trials=1, overrides=options)
    assert prepared.folds is None and len(prepared.parts.valid) == 14
    with pytest.raises(UserError, match="folds=1 of 54 rows are not possible; use 2 to 54") as caught:
        solve(tiny, "kind", seconds=None, trials=1, overrides=[*SHORT, "task.folds=1"])
    assert "\n" not in str(caught.value)


def test_a_regression_from_end_to_end_has_one_sign_and_a_judged_goal(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=200), "shop": np.repeat(np.arange(20), 10)})
    table["y"] = 40 * table["a"] + 3 * table["shop"]
    solution = solve(
        table, "y", seconds=None, trials=2, overrides=[*SHORT, "progress=true", "budget.epochs=2", "data.group=shop",
        "task.metric=rmse", "task.goal='parameters <= 1e9'", "task.folds=0", "task.check=true"],
    )  # fmt: skip
    result = json.loads((solution.folder / "result.json").read_text())
    assert result == solution.result
    assert all(m["score"] > 0 for m in result["ensemble"]) and all(t["score"] > 0 for t in result["tried"])
    assert "best -" not in capsys.readouterr().err
    assert result["task"]["goal_met"] is True and "parameters <= 1e9: met" in summary(solution)
    assert {"parameters", "megabytes", "latency_ms", "batch_ms", "graph_ms"} == set(result["deployed"]) and result[
        "deployed"
    ]["latency_ms"] > 0
    assert result["data"]["rows"] == 200 and result["data"]["test"] + result["data"]["train"] < 200
    low, high = result["interval"]
    assert low <= result["test"]["rmse"] <= high < result["baseline"]["rmse"] * 2
    assert [t["number"] for t in result["tried"]] == [0, 1] and result["prior"]["why"] and result["task"]["why"]
    assert result["version"] and result["date"].startswith("20") and isinstance(result["findings"], list)
    assert (solution.folder / "config.yaml").exists()


def test_resume_says_what_it_did(tiny, tmp_path, monkeypatch, capsys, searched):
    monkeypatch.chdir(tmp_path)
    quick = [*SHORT, "task.folds=0", "strategy=random", "resume=true"]

    def said(*more, trials=1):
        searched(tiny, "kind", seconds=None, trials=trials, overrides=[*quick, *more])
        return capsys.readouterr().err.splitlines()[0]

    assert said().endswith("nothing to go on with, the store has no search on 'tiny'. It begins anew.")
    assert said(trials=2).endswith("going on with search 1, which has 1 trial.")
    assert "search 1 differs in seed (0, now 1), strategy.seed (0, now 1). It begins" in said("seed=1")
    frame = pd.read_csv(tiny)
    frame["size"] = frame["size"][::-1].to_numpy()
    frame.to_csv(tmp_path / "tiny.csv", index=False)
    tiny = tmp_path / "tiny.csv"
    assert "search 1 differs in" in (line := said()) and "data.path (" in line, line
    frame["size"] *= 2
    frame.to_csv(tiny, index=False)
    assert "differs in other rows, or split otherwise. It begins anew." in said()


@pytest.mark.parametrize(("calibrate", "expected"), [("auto", [None, None, False]), ("valid", [False, False])])
def test_a_search_from_before_rows_were_held_out_is_gone_on_with(calibrate, expected, monkeypatch):
    """It learned from the rows that would be held out today: with these it is no search of the same data."""
    asked = []

    def prepare(dataset, *, folds, hold, **_):
        asked.append(hold)
        return SimpleNamespace(folds=folds, parts=SimpleNamespace(held=None if hold is False else "some"))

    def earlier(store, config, prepared):
        return 1 if (prepared.parts.held, len(asked)) == (None, len(expected)) else None

    monkeypatch.setattr(pipeline, "prepare", prepare)
    monkeypatch.setattr(pipeline, "earlier_search", earlier)
    cfg = composed([*FAST, "resume=true", f"objective.calibrate={calibrate}"])
    found = pipeline.prepared_as_before(cfg, settings(cfg), SimpleNamespace(), SimpleNamespace())  # type: ignore
    assert found.parts.held is None and asked == expected


def test_resume_beside_searches_of_other_recipes(tiny, tmp_path, monkeypatch, capsys, searched):
    monkeypatch.chdir(tmp_path)
    options = [*SHORT, "task.folds=0", "strategy=random", "resume=true"]
    searched(tiny, "kind", seconds=None, trials=1, overrides=options)
    with sqlite3.connect("outputs/store.db") as db:
        db.execute("""update searches set config = '{"collect": {"seconds": 3}}'""")
    capsys.readouterr()
    searched(tiny, "kind", seconds=None, trials=1, overrides=[*options, "seed=1"])
    assert "no search on 'tiny'. It begins anew." in capsys.readouterr().err


def test_more_time_keeps_how_candidates_are_judged(tiny, tmp_path, monkeypatch, capsys, searched):
    monkeypatch.chdir(tmp_path)
    options = [*SHORT, "strategy=random", "resume=true"]
    first, _ = searched(tiny, "kind", seconds=30, trials=1, overrides=options)
    assert first.folds is None and len(first.parts.valid) == 14
    capsys.readouterr()
    again, trials = searched(tiny, "kind", seconds=2 * FOLD_SECONDS, trials=2, overrides=options)
    assert "going on with search 1, which has 1 trial." in capsys.readouterr().err
    assert again.folds is None and len(again.parts.valid) == 14 and [t.status for t in trials] == ["ok", "ok"]
