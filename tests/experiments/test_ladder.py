"""The ladder: the command of each level, what is left out, and that it goes on; levels are made up but in one test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from omegaconf import OmegaConf

from automl.errors import UserError
from automl.models.listed.read import read
from experiments.compose import composed
from experiments.configuration import CONF
from experiments.ladder import run as module
from experiments.ladder.levels import level, lines_of
from experiments.ladder.run import Options, climb, tell

ROOT = Path(__file__).resolve().parents[2]
RECIPE: Any = OmegaConf.to_container(OmegaConf.load(CONF / "experiment/ladder.yaml"))
BUDGET = {"trials": 2, "seconds": 20, "epochs": 3}
TYPED = ["+experiment=ladder", "data=sklearn", "data.name=iris", "budget.seconds=20", "ladder.levels=[level1]"]
FAKE = """
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
folder = Path(words[-1].partition("=")[2])
assert "HYDRA_FULL_ERROR" not in os.environ
folder.mkdir(parents=True, exist_ok=True)
with (folder.parent / "calls.txt").open("a") as calls:
    print(" ".join(words), file=calls)
(folder / "config.yaml").write_text("seed: 0")
if words[0] == "+experiment=level0":
    print("Error: none of the families binary can learn from tabular input", file=sys.stderr)
    sys.exit(2)
if words[0] == "+experiment=level3" and "resume=true" not in words:
    sys.exit(1)
result = {
    "task": {"name": "iris", "metric": "accuracy"}, "val": {"accuracy": 0.9}, "test": {"accuracy": 0.8},
    "interval": [0.7, 0.9], "seconds": {"total": 30.0, "import": 10.0}, "data": {"test": 38},
    "deployed": {"parameters": 1234, "latency_ms": 0.5}, "chosen": {"family": "mlp"}, "ensemble": [],
    "overrides": words[:-1],
}
(folder / "result.json").write_text(json.dumps(result))
"""


def test_a_level_is_the_command_that_a_person_would_type() -> None:
    for modality, layers in RECIPE["ladder"]["layers"].items():
        read(layers)
        one = level("level1", TYPED, BUDGET, layers, ())
        assert one.words[:3] == ("+experiment=level1", "data=sklearn", "data.name=iris"), modality
        cfg: Any = OmegaConf.to_container(composed(one.words))
        assert cfg["family"]["layers"]["layers"] == layers and cfg["budget"] == {**BUDGET, "stop_at_goal": False}
        assert len(layers) < one.lines <= 2 * len(layers) + 1
    of_code = level("level0", TYPED, BUDGET, (), RECIPE["ladder"]["code"]["level0"])
    assert of_code.lines == 1 + sum(map(lines_of, RECIPE["ladder"]["code"]["level0"])) > 100
    assert level("level4", TYPED, BUDGET, (), ()).lines == 1


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "level4.py").write_text(FAKE)
    monkeypatch.setattr(module, "ROOT", tmp_path / "program")
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_what_does_not_fit_is_left_out_and_said(
    made_up: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # as the command line sets it
    options = Options(["level0", "level1", "nothing", "level3"], {"tabular": ["ReLU"]}, {})
    climbed, out = climb(options, TYPED, BUDGET, "tabular", made_up)
    assert [one.name for one, _ in climbed] == ["level1"]
    assert out == {
        "level0": "none of the families binary can learn from tabular input",
        "nothing": "there is no such recipe",
        "level3": "it ended with status 1",
    }
    tell(climbed, out, made_up)
    said = capsys.readouterr().out
    assert "Accuracy on the same rows" in said and "1,234" in said and "left out  level0" in said
    (row,) = pd.read_csv(made_up / "ladder.csv").to_dict("records")
    assert row["seconds"] == 20 and row["lines"] == 2 and row["latency_ms"] == 0.5
    assert "plot" in (made_up / "ladder.html").read_text()
    assert climb(options, TYPED, BUDGET, "audio", made_up)[1]["level1"] == "ladder.layers has no list for audio input"


def test_it_goes_on_where_it_was_stopped(made_up: Path) -> None:
    options = Options(["level1", "level3"], {"tabular": ["ReLU"]}, {})
    assert len(climb(options, TYPED, BUDGET, "tabular", made_up)[0]) == 1
    climbed, out = climb(options, TYPED, BUDGET, "tabular", made_up)
    assert [one.name for one, _ in climbed] == ["level1", "level3"] and out == {}
    calls = (made_up / "calls.txt").read_text().splitlines()
    assert [("level1" in c, "resume=true" in c) for c in calls] == [(True, False), (False, False), (False, True)]
    with pytest.raises(UserError, match=r"of other options\. Set hydra.run.dir to a new folder"):
        climb(options, [*TYPED, "seed=1"], BUDGET, "tabular", made_up)


@pytest.mark.parametrize("name", ["level1", "level3"])
def test_levels_of_two_programs_are_no_ladder(made_up: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Neither one that has finished, nor one that was stopped."""
    options = Options([name], {"tabular": ["ReLU"]}, {})
    climb(options, TYPED, BUDGET, "tabular", made_up)
    (made_up / name / "config.yaml").touch()
    monkeypatch.setattr(module, "commit", lambda: "another")
    with pytest.raises(UserError, match=r"another version of the program\. Set hydra.run.dir to a new folder"):
        climb(options, TYPED, BUDGET, "tabular", made_up)
    assert len((made_up / "calls.txt").read_text().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_levels(tmp_path: Path) -> None:
    words = [
        *TYPED[:3],
        "ladder.levels=[level0,level1,level4]",
        "budget.trials=2",
        "budget.seconds=60",
        "budget.epochs=2",
    ]
    more = ["engine=sequential", "tracker=none", f"hydra.run.dir={tmp_path}/out", "progress=false"]
    environ = {**os.environ, "LEVEL4_STORE": f"sqlite:///{tmp_path}/store.db"}
    command = [sys.executable, str(ROOT / "run.py"), *words, *more]
    for _ in range(2):  # the second finds all done
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    assert done.stderr.count("it is not run again") == 3
    rows = pd.read_csv(tmp_path / "out" / "ladder.csv")
    assert list(rows["level"]) == ["level0", "level1", "level4"] and rows["test_rows"].nunique() == 1
    assert rows[["test", "seconds", "parameters", "latency_ms", "lines"]].notna().all(None)
    assert json.loads((tmp_path / "out" / "level1" / "result.json").read_text())["level"] == 1
