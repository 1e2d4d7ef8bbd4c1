"""Lists of layers and a user's own module through the whole pipeline."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

from automl.errors import UserError
from experiments.solve.prior import level_of
from experiments.solve.python import solve
from metalearner.practice import Practice
from nas.families.binary import Binary

ROOT = Path(__file__).resolve().parents[2]
LIST = "[{Linear: {out_features: [8, 16]}}, ReLU, {Linear: {out_features: auto}}]"
TRAINING = "{optimizer: {AdamW: {lr: 0.02}}, schedule: {StepLR: {step_size: 1}}, batch_size: 16}"


@pytest.fixture(scope="module")
def iris():
    return load_iris(as_frame=True).frame


def solved(iris, folder: Path, *more: str):
    quick = ["+experiment=level1", "engine=sequential", "budget.epochs=3", "task.check=false", "progress=false"]
    stores = [f"store.url=sqlite:///{folder}/store.db", f"artifacts={folder}/searches"]
    return solve(iris, "target", seconds=None, trials=4, folder=folder / "run", overrides=[*quick, *stores, *more])


@pytest.mark.whole
def test_a_list_is_searched_cross_validated_ensembled_and_exported(iris, tmp_path):
    given = (
        "budget.epochs=2",
        f"family.layers.layers={LIST}",
        f"family.layers.training={TRAINING}",
        "objective.ensemble=2",
    )
    solution = solved(iris, tmp_path, *given)
    result = solution.result
    assert result["level"] == 1 and result["trials"]["ok"] == 2  # as many as there are choices
    chosen = result["chosen"]["choices"]
    assert chosen["0.Linear.out_features"] in (8, 16) and chosen["batch_size"] == 16
    assert json.loads(chosen["optimizer"]) == {"AdamW": {"lr": 0.02}} and len(chosen["network"]) == 12
    assert "learning_rate" not in chosen
    assert (np.asarray(solution.predict(iris.drop(columns="target"))) == iris["target"].astype(str)).mean() > 0.5


def test_a_module_of_one_s_own(iris, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Sequential):\n    def __init__(self, in_shape, num_outputs):\n"
        "        super().__init__(nn.Linear(in_shape[0], num_outputs))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    result = solved(iris, tmp_path, "family=module", "family.module.target=mine.Net").result
    assert result["level"] == 1 and result["chosen"]["family"] == "module" and result["trials"]["ok"] == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "family.layers.layers is missing"),
        (("family.layers.layers=[Conv2d]",), "/layers/0/Conv2d/out_channels"),
        (("family.layers.layers=[{_target_: os.system, command: 'echo ran'}]",), "/layers/0"),
        (("family.layers.layers=[{Linear: {out_features: 1000000000000}}]",), "parameters"),
        (("family.layers.layers=Linear",), "family.layers.layers=Linear must be a list"),
        (("family.layers.layers={Linear: {}}",), "must be a list"),
        ((f"family.layers.layers={LIST}", "family.layers.training={lr: 1}"), "/training/lr"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(iris, tmp_path, more, said):
    with pytest.raises(UserError) as caught:
        solved(iris, tmp_path, *more)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_an_alias_that_holds_itself_is_told_in_one_line(tmp_path):
    (tmp_path / "experiment").mkdir()
    cyclic = "# @package _global_\ndefaults: [level1]\nfamily: {layers: {layers: &a [{Sequential: *a}]}}\n"
    (tmp_path / "experiment" / "odd.yaml").write_text(cyclic)
    words = [str(ROOT / "run.py"), "--config-dir", str(tmp_path), "+experiment=odd", "data=sklearn", "data.name=iris"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith("Error: ") and len(done.stderr.splitlines()) == 1


def test_a_network_with_an_operator_of_its_own_is_level_0():
    assert level_of(Practice(), [Binary()]) == 0
