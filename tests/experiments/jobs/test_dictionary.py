"""What a dictionary may say, and the place of what it may not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from automl.errors import UserError
from automl.files import write_atomically
from automl.models.listed.errors import LayerError
from experiments.jobs.data import Data, Found
from experiments.jobs.dictionary import config, models, read, source_node
from experiments.jobs.table import Table

LAYERS = [{"Linear": {"out_features": 8}}, "ReLU", {"Linear": {"out_features": "auto"}}]
CYCLE: list[Any] = []
CYCLE.append({"Sequential": CYCLE})
DEEP: Any = "ReLU"
for _ in range(14):
    DEEP = {"Sequential": [DEEP]}


def asked(**more: Any) -> dict[str, Any]:
    return {"data": "iris", "layers": LAYERS, **more}


def test_it_becomes_a_configuration(tmp_path: Path) -> None:
    words = asked(optimizer={"SGD": {"lr": 0.1}}, criterion="CrossEntropyLoss", transforms="light", epochs=3, seed=5)
    wanted = read(words)
    cfg = config(wanted, source_node(Data(tmp_path).find("iris"), None))
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    assert plain["family"]["layers"]["training"] == {
        "loss": {"CrossEntropyLoss": {}}, "optimizer": {"SGD": {"lr": 0.1}}, "augment": "light",
    }  # fmt: skip
    assert plain["family"]["layers"]["layers"] == LAYERS and list(plain["family"]) == ["layers"]
    assert plain["budget"] == {"trials": 10, "seconds": 300.0, "epochs": 3} and plain["seed"] == 5
    steps = [["RandomInvert", "RandomEqualize"], {"RandomCrop": {"size": 8, "padding": [0, 1]}}, "RandomHorizontalFlip"]
    assert read(asked(transforms=steps)).training == {"augment": [*steps[:2], {"RandomHorizontalFlip": {}}]}
    of_model = config(read({"data": "iris", "model": "mlp", "batch_size": 32}), {"_target_": "x", "name": "${odd}.csv"})
    assert list(of_model.family) == ["mlp"] and of_model.family.mlp.training == {"batch_size": 32}
    assert of_model.data.name == "${odd}.csv" and of_model.budget.trials == 1


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ("iris", ""),
        ({}, "/data"),
        ({"data": "iris"}, "/layers"),
        (asked(model="mlp"), "/layers"),
        (asked(layers=[]), "/layers"),
        (asked(layers="Linear"), "/layers"),
        (asked(layers=["__import__"]), "/layers/0"),
        (asked(layers=[{"__import__": {"name": "os"}}]), "/layers/0/__import__"),
        (asked(layers=[{"_target_": "os.system", "command": "touch x"}]), "/layers/0/_target_"),
        (asked(layers=[{"Linear": {"out_features": "${oc.env:HOME}"}}]), "/layers/0/Linear/out_features"),
        (asked(layers=[{"Linear": {"out_features": "???"}}]), "/layers/0/Linear/out_features"),
        (asked(layers=[{"../../etc/passwd": {}}]), "/layers/0"),
        (asked(layers=[{"Linear": {"out_features": 10**40}}]), "/layers/0/Linear/out_features"),
        (asked(layers=[{"Linear": {"out_features": float("nan")}}]), "/layers/0/Linear/out_features"),
        (asked(layers=CYCLE), "/layers/0/Sequential"),
        (asked(layers=[DEEP]), "/layers/0/Sequential"),
        (asked(layers=["ReLU"] * 501), "/layers/500"),
        (asked(layers=[object()]), "/layers/0"),
        ({"data": "iris", "model": "layers"}, "/model"),
        ({"data": "iris", "model": "module"}, "/model"),
        ({"data": "iris", "model": "../mlp"}, "/model"),
        ({"data": "iris", "model": ["mlp"]}, "/model"),
        (asked(optimizer={"SGD": {"_target_": "os.system"}}), "/optimizer/SGD/_target_"),
        (asked(transforms="sharpen"), "/transforms"),
        (asked(transforms=[]), "/transforms"),
        (asked(transforms=[{"_target_": "os.system"}]), "/transforms/0/_target_"),
        (asked(epochs=0), "/epochs"),
        (asked(epochs=True), "/epochs"),
        (asked(epochs=10**100), "/epochs"),
        (asked(seconds=10**9), "/seconds"),
        (asked(trials=0), "/trials"),
        (asked(seed=-1), "/seed"),
        (asked(target=7), "/target"),
        (asked(name="x" * 81), "/name"),
        (asked(labels={"a": "x", "b": "x"}), "/labels"),
        (asked(labels="a"), "/labels"),
        (asked(colour="red"), "/colour"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(words: Any, at: str) -> None:
    with pytest.raises(LayerError) as caught:
        read(words, most_seconds=3600)
    assert caught.value.path.startswith(at) and caught.value.fix and "\n" not in str(caught.value)
    assert at == "" or caught.value.path != ""


def test_models_are_families_that_need_nothing_more() -> None:
    assert {"mlp", "convnet"} <= set(models()) and not {"layers", "module"} & set(models())


def test_data_are_names(tmp_path: Path) -> None:
    (tmp_path / "offered").mkdir()
    (tmp_path / "offered" / "flowers.csv").write_text("a,target\n1,x\n")
    (tmp_path / "offered" / "secret.txt").write_text("x")
    data = Data(tmp_path / "uploads", tmp_path / "offered")
    assert data.add("mine.csv", b"a,target\n1,x\n", 2).name == "mine"
    assert {"flowers", "mine", "digits"} <= data.all().keys() and "secret" not in data.all()
    for name in (
        "../x.csv",
        "x",
        "x.pkl",
        ".csv",
        "a/b.csv",
        "mine.csv",
        "digits.csv",
        "flowers.csv",
        "x.csv.gz",
        "a\0.csv",
    ):
        with pytest.raises(UserError):
            data.add(name, b"1", 9)
    data.add("second.tsv", b"a\n1\n", 2)
    with pytest.raises(UserError, match="2 uploads are kept"):
        data.add("third.csv", b"a\n1\n", 2)
    for name in ("../offered/secret", "secret.txt", "/etc/passwd", ""):
        with pytest.raises(UserError, match="no data has the name"):
            data.find(name)
    with pytest.raises(UserError, match="not uploaded"):
        data.uploaded("flowers")
    data.uploaded("mine").unlink()
    assert "mine" not in data.all() and Table(tmp_path / "t.db").all() == []


def test_a_name_is_one_upload_of_whatever_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of two that are sent at once; what a server that was killed had begun goes."""
    data, together = Data(tmp_path), threading.Barrier(2)
    (tmp_path / ".old.csv.1.part").write_bytes(b"a")

    def written(path: Path, content: bytes) -> None:
        with suppress(threading.BrokenBarrierError):
            together.wait(1)  # if both may write, both do
        write_atomically(path, content)

    def added(name: str) -> bool:
        try:
            return data.add(name, b"a,y\n1,2\n", 9).bytes == 8
        except UserError:
            return False

    monkeypatch.setattr("experiments.jobs.data.write_atomically", written)
    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(added, ("mine.csv", "mine.tsv"))) == [False, True]
    assert len([path for path in tmp_path.iterdir() if path.name != ".lock"]) == 1


def test_data_may_go_while_they_are_listed(tmp_path: Path) -> None:
    data = Data(tmp_path)
    data.add("mine.csv", b"a\n", 1)
    found = data.find("mine")
    data.uploaded("mine").unlink()
    assert found.bytes is None and Found("folder", "folder", tmp_path).bytes is None
