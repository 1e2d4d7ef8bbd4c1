"""Networks of earlier runs as a source: what is kept, who may start from it, and that it is the same network."""

import dataclasses

import numpy as np
import pytest
import torch

from automl.data.dataset import Part
from automl.models.known import frozen
from automl.store.place import trunks_beside
from automl.store.trunks import keep, kept
from automl.types import Candidate, Input, Task
from nas.evaluate import evaluate
from nas.families.convnet import ConvNet
from nas.families.earlier import Earlier, may_help, trunk
from nas.family import build, search_axes
from nas.job import Job, Order
from nas.recipe import training_axes
from nas.testing.families import TASKS, FamilyContract, candidate_at, rows

OLD = Task(
    *("old", "multiclass", (Input("image", "image", (1, 12, 12), mean=(0.5,), std=(0.2,)),), 3, "accuracy"),
    group="old-group",
    data="0" * 8,
)
NEW = dataclasses.replace(TASKS["image"], group="new-group")


@pytest.fixture(autouse=True)
def quiet_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(frozen, "_shelves", {})
    torch.set_num_threads(1)


def network(of: Task = OLD, seed: int = 0):
    family = ConvNet((16,))
    axes = search_axes({"convnet": family}, of, training_axes(of))["convnet"]
    candidate = candidate_at(family, axes, 0)
    return candidate, build(family, of, candidate, axes, seed=seed)


def put(folder, of: Task = OLD, *, seed: int = 0, count: int = 100, score: float = 0.5) -> bool:
    candidate, net = network(of, seed)
    weights = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    return keep(folder, of, candidate, weights, rows=count, score=score)


class TestEarlier(FamilyContract):
    @pytest.fixture
    def family(self, tmp_path, monkeypatch):
        for known in set(TASKS) - {"image", "tiny"}:
            monkeypatch.delitem(TASKS, known)
        put(tmp_path / "trunks")
        return Earlier(str(tmp_path / "trunks"))


def test_the_best_of_a_family_and_group_is_kept(tmp_path):
    assert put(tmp_path, count=100, score=0.5)
    assert not put(tmp_path, seed=1, count=100, score=0.4) and not put(tmp_path, seed=1, count=50, score=0.9)
    (first,) = kept(tmp_path)
    assert put(tmp_path, seed=1, count=100, score=0.6) and put(tmp_path, dataclasses.replace(OLD, group="other"))
    found = kept(tmp_path)
    assert len(found) == 2 and all(k.name != first.name or k.task.group == "other" for k in found)
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    assert len(kept(tmp_path)) == 2 and kept(tmp_path / "nowhere") == []


def test_it_is_the_same_network_without_its_head(tmp_path):
    put(tmp_path)
    _, net = network()
    body = trunk(kept(tmp_path)[0])
    x = torch.randn(4, 1, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(net.head(body.eval()(x)), net.eval()(x))


@pytest.mark.parametrize(
    "task",
    [
        dataclasses.replace(NEW, group=OLD.group),
        dataclasses.replace(NEW, name=OLD.group),
        dataclasses.replace(NEW, data=OLD.data),
        TASKS["colour"],
        TASKS["audio"],
        TASKS["several"],
        TASKS["numbers"],
        TASKS["unequal"],
    ],
    ids=["its group", "its name", "its data", "three colours", "sound", "several", "a table", "lengths differ"],
)
def test_who_may_not_start_from_it(tmp_path, task):
    put(tmp_path)
    assert Earlier(str(tmp_path)).supports(NEW) and not Earlier(str(tmp_path)).supports(task)


def test_what_is_worth_keeping():
    candidate, _ = network()
    assert may_help(OLD, candidate)
    assert not may_help(OLD, Candidate("mlp", {})) and not may_help(TASKS["numbers"], candidate)
    assert not may_help(OLD, Candidate("convnet", {**candidate.choices, "width": 17})), "of other options"


def test_a_new_task_starts_from_it_and_says_so(tmp_path):
    put(tmp_path)
    family = Earlier(str(tmp_path))
    axes = search_axes({"earlier": family}, NEW, ())
    rng = np.random.default_rng(0)

    def part(count: int) -> Part:
        y = rng.integers(0, 3, count)
        x = rng.integers(0, 40, (count, 1, 28, 28))
        x[np.arange(count), :, 4 + 8 * y] += 200
        return Part((x.astype(np.uint8),), y, np.arange(count))

    candidate = Candidate("earlier", {a.name: a.options[0] for a in axes["earlier"] if not a.parent})
    outcome = evaluate(
        Job(NEW, part(90), part(60), {"earlier": family}, axes, device="cpu"), Order(candidate, epochs=2, seed=0)
    )
    assert outcome.status == "ok" and (outcome.score or 0) > 0.6, outcome.error
    origin = family.origin(NEW, candidate)
    assert (
        origin is not None and origin.source.startswith("your own run of 20") and "old, 100 rows" in origin.trained_on
    )


def test_networks_lie_beside_the_store(monkeypatch):
    assert trunks_beside("sqlite:////data/mine/store.db") == "/data/mine/trunks"
    monkeypatch.setenv("LEVEL4_STORE", "sqlite:////home/me/store.db")
    assert trunks_beside("postgresql://host/db") == trunks_beside(None) == "/home/me/trunks"


def test_pictures_of_a_network_are_small(tmp_path):
    put(tmp_path)
    family = Earlier(str(tmp_path))
    axes = search_axes({"earlier": family}, NEW, ())["earlier"]
    net = build(family, NEW, candidate_at(family, axes, 0), axes, seed=0)
    assert net(*rows(NEW, 2)).shape == (2, 3) and net.seen(*rows(NEW, 2)).shape == (2, 1, 12, 12)
