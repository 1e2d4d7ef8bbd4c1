"""One dictionary from Python, from a server's job and from Hydra: the same trial and the same score."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_iris

from automl.errors import UserError
from automl.models.listed.errors import LayerError
from experiments.jobs.clerk import Clerk
from experiments.jobs.data import Data
from experiments.jobs.dictionary import read
from experiments.jobs.table import Table
from experiments.jobs.train import of_found, run_in, train
from experiments.jobs.work import Told, done
from tests.experiments.jobs.conftest import ROOT

LAYERS = [{"Linear": {"out_features": 8}}, "ReLU", {"Linear": {"out_features": "auto"}}]
JOB: dict[str, Any] = {
    "data": "iris", "layers": LAYERS, "optimizer": {"AdamW": {"lr": 0.02}}, "criterion": "CrossEntropyLoss",
    "batch_size": 16, "epochs": 2, "seconds": 200, "labels": {"setosa": "a", "versicolor": "b", "virginica": "c"},
}  # fmt: skip


def tried(result: dict[str, Any]) -> list[Any]:
    return [(t["number"], t["choices"], t["score"], t["curve"]) for t in result["tried"]] + [result["test"]]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("python")
    more = [f"store.url=sqlite:///{folder}/store.db", f"artifacts={folder}/searches", "progress=false"]
    return train(JOB, folder=folder / "run", overrides=more).result


def test_python_and_a_server_s_job(python: dict[str, Any], tmp_path: Path) -> None:
    table, told = Table(tmp_path / "jobs.db"), Told()
    job, _ = table.submit(JOB, "iris", most=1)
    data = Data(tmp_path / "uploads")
    assert table.take(1) is not None
    said = done(job, tmp_path / job.id, data, 3600, told)
    result = json.loads((tmp_path / job.id / "run" / "result.json").read_text())
    assert tried(result) == tried(python) and result["task"]["classes"] == ["a", "b", "c"]
    assert said["test"] == python["test"][said["metric"]] and said["trials"] == 1 and said["parameters"] > 0
    assert told.document["stage"] == "export" and len(told.document["trials"][0]["curve"]) == 2
    assert done(job, tmp_path / job.id, data, 3600, Told()) == said  # it has finished: nothing is done again


@pytest.mark.slow
def test_a_frame_of_one_s_own(python: dict[str, Any], tmp_path: Path) -> None:
    frame = load_iris(as_frame=True).frame
    frame["target"] = frame["target"].map(dict(enumerate(("setosa", "versicolor", "virginica"))))
    more = [f"store.url=sqlite:///{tmp_path}/store.db", f"artifacts={tmp_path}/searches", "progress=false"]
    result = train({**JOB, "data": frame, "target": "target"}, folder=tmp_path / "run", overrides=more).result
    assert tried(result) == tried(python)


@pytest.mark.slow
def test_hydra(python: dict[str, Any], tmp_path: Path) -> None:
    layers = "[{Linear: {out_features: 8}}, ReLU, {Linear: {out_features: auto}}]"
    labels = "{setosa: a, versicolor: b, virginica: c}"
    said = f"{{data: iris, layers: {layers}, optimizer: {{AdamW: {{lr: 0.02}}}}, criterion: CrossEntropyLoss, "
    said += f"batch_size: 16, epochs: 2, seconds: 200, labels: {labels}}}"
    words = [
        str(ROOT / "run.py"),
        "+experiment=train",
        f"train={said}",
        "tracker=none",
        f"hydra.run.dir={tmp_path}/run",
    ]
    subprocess.run([sys.executable, *words], cwd=tmp_path, check=True, timeout=600)
    assert tried(json.loads((tmp_path / "run" / "result.json").read_text())) == tried(python)


PICTURES: dict[str, Any] = {
    "data": "digits", "layers": ["Flatten", {"Linear": {"out_features": "auto"}}], "epochs": 2, "seconds": 200,
    "transforms": ["RandomAutocontrast", {"RandomCrop": {"size": 8, "padding": 1}}],
}  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("pictures")
    more = [f"store.url=sqlite:///{folder}/store.db", f"artifacts={folder}/searches", "progress=false"]
    return train(PICTURES, folder=folder / "run", overrides=more).result


@pytest.mark.whole
def test_operations_on_pictures_from_python_and_a_server_s_job(pictures: dict[str, Any], tmp_path: Path) -> None:
    (trial,) = pictures["tried"]
    steps = [{"RandomAutocontrast": {}}, {"RandomCrop": {"padding": 1, "size": 8}}]
    assert json.loads(trial["choices"]["augment"]) == steps and trial["status"] == "ok"
    table = Table(tmp_path / "jobs.db")
    job, _ = table.submit(PICTURES, "digits", most=1)
    assert table.take(1) is not None
    done(job, tmp_path / job.id, Data(tmp_path / "uploads"), 3600, Told())
    assert tried(json.loads((tmp_path / job.id / "run" / "result.json").read_text())) == tried(pictures)


@pytest.mark.slow
def test_operations_on_pictures_from_hydra(pictures: dict[str, Any], tmp_path: Path) -> None:
    said = "{data: digits, layers: [Flatten, {Linear: {out_features: auto}}], epochs: 2, seconds: 200, "
    said += "transforms: [RandomAutocontrast, {RandomCrop: {size: 8, padding: 1}}]}"
    words = ["+experiment=train", f"train={said}", "tracker=none", f"hydra.run.dir={tmp_path}/run"]
    subprocess.run([sys.executable, str(ROOT / "run.py"), *words], cwd=tmp_path, check=True, timeout=600)
    assert tried(json.loads((tmp_path / "run" / "result.json").read_text())) == tried(pictures)


def test_a_model_by_its_name_is_trained_as_is_said(tmp_path: Path) -> None:
    asked = {"data": "iris", "model": "mlp", "optimizer": {"SGD": {"lr": 0.1}}, "epochs": 1, "seconds": 100}
    cfg, source = of_found(read(asked), Data(tmp_path / "uploads").find("iris"))
    result = run_in(cfg, source, tmp_path).result
    (trial,) = result["tried"]
    assert trial["family"] == "mlp" and json.loads(trial["choices"]["optimizer"]) == {"SGD": {"lr": 0.1}}
    assert "learning_rate" not in trial["choices"] and trial["choices"]["depth"] in (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({**JOB, "data": "nothing.csv"}, "/data: 'nothing.csv' is no file"),
        ({**JOB, "target": "y"}, "/target"),
        ({**JOB, "labels": ["a", "b"]}, "/labels: 2 names, and target has 3 values"),
        ({**JOB, "labels": {"rose": "a"}}, "/labels/rose"),
    ],
)
def test_what_is_wrong_is_one_line(words: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        train(words, folder=tmp_path)
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def clerk(tmp_path_factory: pytest.TempPathFactory) -> Clerk:
    folder = tmp_path_factory.mktemp("data")
    (folder / "two.csv").write_text("a,b,target\n" + "".join(f"{i},{-i},{i % 2}\n" for i in range(80)))
    return Clerk(Data(folder / "uploads", folder), 3600)


def answered(clerk: Clerk, **more: Any) -> Any:
    return clerk.answer({"what": "check", "asked": {**JOB, "labels": None, **more}})


def test_a_check_tells_shapes_parameters_and_memory(clerk: Clerk) -> None:
    said = answered(clerk)["ok"]
    assert [(one["at"], one["shape"]) for one in said["layers"]] == [
        ("/layers/0/Linear", [8]), ("/layers/1/ReLU", [8]), ("/layers/2/Linear", [3]),
    ]  # fmt: skip
    assert said["parameters"] == 4 * 8 + 8 + 8 * 3 + 3 and said["memory_mb"] > 0 and said["trials"] == 1
    assert said["data"] == "iris" and said["task"]["classes"] == ["setosa", "versicolor", "virginica"]
    of_model = clerk.answer({"what": "check", "asked": {"data": "two", "model": "mlp"}})["ok"]
    assert of_model["parameters"] > 0 and of_model["task"]["kind"] == "binary"


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ({"data": "../two"}, "/data"),
        ({"data": 7}, "/data"),
        ({"layers": [{"Linear": {"out_features": 10**12}}]}, "/layers/0/Linear/out_features"),
        ({"layers": [{"Linear": {"in_features": 9, "out_features": "auto"}}]}, "/layers/0/Linear/in_features"),
        ({"layers": [{"Conv2d": {"out_channels": 8, "kernel_size": 3}}]}, "/layers/0/Conv2d"),
        ({"layers": [{"Linear": {"out_features": 7}}]}, "/layers/0/Linear/out_features"),
        ({"layers": None, "model": "convnet"}, "/model"),
        ({"optimizer": {"SGD": {"rate": 1}}}, "/optimizer/SGD/rate"),
        ({"optimizer": {"LBFGS": {}}}, "/optimizer"),
        ({"criterion": "MSELoss"}, "/criterion"),
        ({"transforms": ["RandomInvert"]}, "/transforms"),
        (
            {
                "data": "digits",
                "layers": PICTURES["layers"],
                "transforms": ["RandomInvert", {"RandomCrop": {"size": 6}}],
            },
            "/transforms/1/RandomCrop",
        ),
        ({"batch_size": 0}, "/batch_size"),
        ({"metric": "beauty"}, "/metric"),
        ({"metric": "rmse"}, "/metric"),
        ({"data": "two", "target": "c"}, "/target"),
    ],
)
def test_a_check_tells_the_place_and_a_fix(clerk: Clerk, more: dict[str, Any], at: str) -> None:
    said = answered(clerk, **more)
    (fault,) = said["errors"]
    assert fault["at"] == at and fault["problem"] and fault["fix"], said
    assert str(clerk.data.datasets) not in json.dumps(said)


def test_a_bundle_is_judged_on_rows_whose_answers_are_known(python: dict[str, Any], clerk: Clerk) -> None:
    table = load_iris(as_frame=True, return_X_y=True)[0]
    rows, truth = table.to_dict("records")[::10], ["a"] * 5 + ["b"] * 5 + ["c"] * 5
    question = {"what": "test", "folder": python["bundle"], "rows": rows, "truth": truth}
    said = clerk.answer(question)["ok"]
    assert said["rows"] == 15 and said["metric"] == "accuracy" and 0.3 < said["value"] == said["metrics"]["accuracy"]
    for odd, at in (({"truth": ["rose"] * 15}, "/truth"), ({"rows": [{"petal": 1}] * 15}, "/rows")):
        (fault,) = clerk.answer({**question, **odd})["errors"]
        assert fault["at"] == at and fault["fix"], fault


def test_layers_are_listed_with_their_arguments(clerk: Clerk) -> None:
    said = clerk.answer({"what": "layers"})["ok"]
    assert said["layers"]["Linear"]["out_features"] == {"types": ["integer"]}
    assert "default" in said["layers"]["Conv2d"]["stride"] and "LSTMCell" in said["refused"]
    assert said["operations"]["RandomCrop"]["size"] == {"types": ["array", "integer"]}
    assert "expand" not in said["operations"]["RandomRotation"] and "light" in said["transforms"]
    assert "lr" in said["optimizers"]["AdamW"] and "params" not in said["optimizers"]["AdamW"]
    json.dumps(said, allow_nan=False)


def test_the_leaderboard_knows_jobs_and_searches(python: dict[str, Any], tmp_path: Path) -> None:
    store = f"sqlite:///{Path(python['bundle']).parents[1]}/store.db"
    clerk = Clerk(Data(tmp_path), 3600, store)
    brief = {"metric": "accuracy", "val": 0.1, "test": 0.2, "baseline": 0.3, "interval": None, "family": "layers"}
    job = {"id": "a" * 12, "asked": {"name": "mine"}, "result": brief, "ended": 0.0, "folder": ""}
    said = clerk.answer({"what": "leaderboard", "data": "iris", "jobs": [job]})["ok"]
    kinds = [row["kind"] for row in said["rows"]]
    assert kinds[-1] == "job" and said["baseline"] == 0.3 and said["metric"] == "accuracy"
    assert "model" not in kinds  # those labels make other data of it
    assert clerk.answer({"what": "leaderboard", "data": "nothing", "jobs": []})["errors"][0]["at"] == "/data"
    with pytest.raises(LayerError):
        clerk.check({"data": "iris"})


def test_what_cannot_be_read_now_is_no_fault_of_who_asks(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database" * 100)
    clerk = Clerk(Data(tmp_path / "uploads"), 3600, f"sqlite:///{tmp_path}/store.db")
    for question in (
        {"what": "leaderboard", "data": "iris", "jobs": []},
        {"what": "test", "folder": str(tmp_path), "rows": [{"a": 1}], "truth": ["x"]},
    ):
        said = clerk.answer(question)
        assert said.keys() == {"unready"} and str(tmp_path) not in said["unready"], said
