"""The recipe: from a finished run, or from labelled rows, to a bundle that answers faster."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from automl.data.sources.frame import FrameSource
from automl.deploy import optimise as optimising
from automl.deploy.bundle import Bundle
from automl.deploy.judge import Ensemble
from automl.deploy.measure import measured
from automl.errors import UserError
from automl.types import Limits
from experiments.compose import composed
from experiments.optimise.optimise import asked, optimised, show
from experiments.optimise.rows import given_rows, rows_of_run
from experiments.settings import check
from experiments.solve import limits
from experiments.solve.limits import eight_bits
from experiments.solve.python import solve

OPTIONS = ["engine=sequential", "progress=false", "metalearner=practice", "strategy=random", "family=[mlp]",
           "budget.epochs=2", "task.check=false", "task.folds=0"]  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """The folder of a short run on a file that lies beside it."""
    folder = tmp_path_factory.mktemp("optimised")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(240, 3)), columns=["a", "b", "c"])
    frame["goal"] = np.where(frame["a"] + frame["b"] > 0, "yes", "no")
    frame.to_csv(folder / "rows.csv", index=False)
    store = [f"store.url=sqlite:///{folder / 'store.db'}", f"artifacts={folder / 'searches'}"]
    solve(str(folder / "rows.csv"), "goal", seconds=None, trials=3, folder=folder / "run", overrides=[*OPTIONS, *store])
    return folder


def test_rows_that_were_found_to_follow_one_another_guarantee_nothing(tmp_path):
    steps = np.cumsum(np.random.default_rng(0).normal(size=261))
    pd.DataFrame({"before": steps[:-1], "goal": steps[1:]}).to_csv(tmp_path / "rows.csv", index=False)
    own = [f"store.url=sqlite:///{tmp_path}/store.db", f"artifacts={tmp_path}/searches", "objective.calibrate=holdout"]
    own += ["objective.refit=false"]
    run = tmp_path / "run"
    made = solve(str(tmp_path / "rows.csv"), "goal", seconds=None, trials=1, folder=run, overrides=[*OPTIONS, *own])
    rows, _ = rows_of_run(Ensemble.of(opened(run)), run)
    assert made.result["calibration"]["guaranteed"] is False
    assert rows.held is not None and not rows.alike, "the test split was drawn along time, and so were these"


@pytest.fixture
def copy(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(optimising, "ROUNDS", 1)
    return Path(shutil.copytree(ran / "run", tmp_path / "run"))


@pytest.fixture
def fp32_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimising, "order", lambda size: iter([(size, "fp32"), (1, "fp32")]))


def opened(folder: Path) -> Bundle:
    return Bundle.load(folder / "bundle", threads=1, variant="model.onnx")


def test_the_rows_of_the_run_are_found_and_what_its_members_said_of_them(ran):
    of = Ensemble.of(opened(ran / "run"))
    rows, dataset = rows_of_run(of, ran / "run")
    result = json.loads((ran / "run" / "result.json").read_text())
    assert rows.honest and len(rows.before) == of.size == len(result["ensemble"]) and len(dataset) == 240
    found = of.score(rows.y, of.of_members(rows.before, of.size, now=False)[0])
    assert found == pytest.approx(result["val"]["accuracy"])


def test_paths_are_those_of_where_the_run_was_started(ran, tmp_path, monkeypatch):
    """Data and artifacts as they were typed there, wherever the bundle is optimised from."""
    home = Path(shutil.copytree(ran, tmp_path / "home"))
    folder = home / "outputs" / "day" / "time"
    folder.parent.mkdir(parents=True)
    (home / "run").rename(folder)
    config = (folder / "config.yaml").read_text().replace(f"{ran}/", "")
    (folder / "config.yaml").write_text(config)
    assert "path: rows.csv" in config and "artifacts: searches" in config
    for here, bundle in ((home, "outputs/day/time"), (folder, "."), (tmp_path, folder)):
        monkeypatch.chdir(here)
        rows, _ = rows_of_run(Ensemble.of(opened(Path(bundle))), Path(bundle))
        assert rows.honest, "what the members said was found"


@pytest.mark.whole
def test_a_bundle_is_optimised_and_answers(copy):
    found = optimised(opened(copy), "size", 20)
    assert found["source"] == "valid" and not found["notes"]
    of = {v["name"]: v for v in found["variants"]}
    assert "1-int8-dynamic" in of and all("score" in v or v["error"] for v in of.values())
    bundle = Bundle.load(copy / "bundle")
    assert bundle.variant.get("name", "model.onnx") == found["chosen"]
    if bundle.variant:
        assert bundle.variant["errors_behind"] <= 0.5 and bundle.calibration.source == "valid"
    assert len(bundle.predict([{"a": 1, "b": "2", "c": 0.5}])) == 1
    console = Console(file=io.StringIO(), width=150)
    show(found, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"chosen    {found['chosen']} for size" in text and "int8-static" in text
    assert not list(copy.rglob("*.part"))


@pytest.mark.parametrize("limit", ["megabytes", "latency_ms"])
@pytest.mark.whole
def test_a_limit_that_8_bits_alone_keep(copy, ran, monkeypatch, limit):
    of = Ensemble.of(opened(copy))
    rows, dataset = rows_of_run(of, ran / "run")
    before = measured(copy / "bundle", dataset)
    real = limits.measured

    def cost(folder, dataset):  # the times of one machine are another's
        found = dict(real(folder, dataset))
        return found | {"latency_ms": 1.0 if Bundle.load(folder).variant else 3.0}

    monkeypatch.setattr(limits, "measured", cost)
    small = Limits(megabytes=before["megabytes"] - 1e-4) if limit == "megabytes" else Limits(latency_ms=2.0)
    notes: list[str] = []
    found = eight_bits(copy / "bundle", rows, dataset, small, notes)
    bundle = Bundle.load(copy / "bundle")
    assert found is not None and not notes and bundle.variant["precision"].startswith("int8")
    assert found.cost["megabytes"] < before["megabytes"] and "to keep a limit: accuracy" in found.note
    assert found.calibration is not None and bundle.calibration.rows == found.calibration.rows
    if limit == "latency_ms":
        return
    assert eight_bits(copy / "bundle", rows, dataset, Limits(megabytes=1e-6), notes) is None
    assert Bundle.load(copy / "bundle").variant == {} and not notes
    monkeypatch.setattr(limits, "WORSE", -1.0)
    assert eight_bits(copy / "bundle", rows, dataset, small, notes) is None
    assert notes[0].startswith("8 bits would keep the limit, and answer too badly: accuracy")
    assert Bundle.load(copy / "bundle").variant == {}


def test_what_is_lost_is_said(copy, fp32_only):
    """Without the files of the search nobody knows what refitted networks would say of rows they have not seen."""
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace("/searches", "/gone"))
    found = optimised(opened(copy), "size", 20)
    assert found["notes"][0].startswith("the networks have learned from the rows that judge here")
    assert Bundle.load(copy / "bundle").variant == {}


def test_labelled_rows_judge_where_the_run_is_gone(ran, copy, fp32_only):
    (copy / "result.json").unlink()
    with pytest.raises(UserError, match=r"give labelled rows: data\.path=FILE data\.target=COLUMN"):
        optimised(opened(copy), "latency", 20)
    cfg = composed(
        ["+experiment=optimise", "family=[mlp]", f"data.path={ran / 'rows.csv'}", "data.target=goal", "bundle=b"]
    )
    found = optimised(opened(copy), "latency", 20, cfg)
    assert (found["source"], found["rows"]) == ("given", 240)


def test_ranges_are_found_on_rows_from_everywhere(ran):
    """Of a file in order the first rows tell nothing of the last."""
    a = np.linspace(-3, 3, 3_000)
    frame = pd.DataFrame({"a": a, "b": 0.0, "c": 0.0, "goal": np.where(a > 0, "yes", "no")})
    rows = given_rows(Ensemble.of(opened(ran / "run")), FrameSource(frame, target="goal").load())
    assert rows.ranges[0].max() == rows.inputs[0].max()


def test_other_data_are_refused(ran, copy):
    lines = (ran / "rows.csv").read_text().splitlines()
    (copy.parent / "rows.csv").write_text("\n".join(lines[:-9]))
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace(str(ran / "rows.csv"), str(copy.parent / "rows.csv")))
    with pytest.raises(UserError, match="are others now than when it ran"):
        optimised(opened(copy), "latency", 20)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ([], r"bundle is missing\. Set bundle=\.\.\."),
        (["bundle=nowhere"], r"bundle=nowhere holds no meta\.json\."),
        (["bundle={run}", "target=speed"], "target=speed must be one of latency, throughput, size"),
        (["bundle={run}", "seconds=0"], "seconds=0 must be above 0"),
    ],
)
def test_wrong_options_are_one_line(ran, options, line):
    cfg = composed(["+experiment=optimise", "family=[mlp]", *(o.format(run=ran / "run" / "bundle") for o in options)])
    with pytest.raises(UserError, match=f"^{line}"):
        check(cfg)
        asked(cfg)
