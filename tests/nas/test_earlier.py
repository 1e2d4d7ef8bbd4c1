"""Networks of earlier runs as a source: what is kept, who may start from it, and that it is the same network."""

import dataclasses
import pickle

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch

from automl.data.dataset import Part
from automl.data.sketch import Sketch
from automl.errors import UserError
from automl.models.known import frozen
from automl.store.place import trunks_beside
from automl.store.trunks import SKETCH, keep, kept
from automl.types import Candidate, Input, Task
from nas.evaluate import evaluate
from nas.families import earlier
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


KNOWN = np.arange(1, 91, dtype=np.uint64) << np.uint64(50)  # hashes of the rows that it learned from
OTHERS = KNOWN + (np.uint64(1) << np.uint64(40))


def network(of: Task = OLD, seed: int = 0):
    family = ConvNet((16,))
    axes = search_axes({"convnet": family}, of, training_axes(of))["convnet"]
    candidate = candidate_at(family, axes, 0)
    return candidate, build(family, of, candidate, axes, seed=seed)


def put(folder, of: Task = OLD, *, seed: int = 0, count: int = 100, score: float = 0.5) -> bool:
    candidate, net = network(of, seed)
    weights = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    return keep(folder, of, candidate, weights, Sketch.of(KNOWN), rows=count, score=score)


def without_a_sketch(folder) -> None:
    """As earlier versions kept them."""
    for path in folder.iterdir():
        with safetensors.safe_open(path, "np") as file:
            told = file.metadata()
        weights = {n: w for n, w in safetensors.numpy.load_file(path).items() if n != SKETCH}
        path.write_bytes(safetensors.numpy.save(weights, told))


def offering(folder, task: Task = NEW, judging=OTHERS) -> Earlier:
    return Earlier(str(folder)).admitting(task, lambda: judging)


class TestEarlier(FamilyContract):
    @pytest.fixture
    def family(self, tmp_path, monkeypatch):
        for known in set(TASKS) - {"image", "tiny"}:
            monkeypatch.delitem(TASKS, known)
        put(tmp_path / "trunks")
        return offering(tmp_path / "trunks")


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
    assert offering(tmp_path).supports(NEW) and not offering(tmp_path, task).supports(task)
    assert not offering(tmp_path).supports(TASKS["several"])


@pytest.mark.parametrize(
    ("task", "judging", "said"),
    [
        (NEW, KNOWN[:1], "they learned from 1 of the 1 rows that judge here"),
        (NEW, np.concatenate([KNOWN[:30], OTHERS]), "they learned from 30 of the 120 rows"),
        (dataclasses.replace(NEW, name="grown"), np.concatenate([OTHERS, KNOWN[-1:]]), "they learned from 1 of the 91"),
        (dataclasses.replace(NEW, group=OLD.group), OTHERS, "data of the same group"),
        (dataclasses.replace(NEW, data=OLD.data), OTHERS, "these data"),
        (dataclasses.replace(NEW, name=OLD.name), OTHERS, "of the same name in another size"),
    ],
)
def test_why_a_network_is_left_out(tmp_path, task, judging, said):
    put(tmp_path)
    family = offering(tmp_path, task, judging)
    (line,), (one,) = family.left_out, kept(tmp_path)
    assert said in line and one.name in line and not family.supports(task)
    with pytest.raises(UserError, match="let earlier take part: solve other data of the same sort first") as caught:
        search_axes({"earlier": family}, task, ())
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_data_of_the_same_name_and_size_are_told_apart_by_their_rows(tmp_path):
    put(tmp_path)
    same = dataclasses.replace(NEW, name=OLD.name, inputs=(dataclasses.replace(NEW.inputs[0], shape=(1, 12, 12)),))
    assert offering(tmp_path, same).supports(same) and not offering(tmp_path, same, KNOWN).supports(same)


def test_one_whose_rows_nobody_noted_is_left_out_and_gives_way(tmp_path):
    put(tmp_path, count=100)
    without_a_sketch(tmp_path)
    (one,) = kept(tmp_path)
    assert not one.sketched and one.sketch() is None
    (line,) = offering(tmp_path).left_out
    assert "not known from which rows" in line and not offering(tmp_path).supports(NEW)
    for task in (dataclasses.replace(NEW, group=OLD.group), dataclasses.replace(NEW, data=OLD.data)):
        assert not offering(tmp_path, task).supports(task)
    assert put(tmp_path, count=50, score=0.1) and offering(tmp_path).supports(NEW)


def test_nothing_is_offered_before_it_was_asked_which_rows_judge(tmp_path):
    put(tmp_path)
    assert not Earlier(str(tmp_path)).supports(NEW)


def test_no_rows_are_looked_at_where_no_network_is_at_hand(tmp_path):
    def judging():
        raise AssertionError

    assert not Earlier(str(tmp_path)).admitting(NEW, judging).supports(NEW)
    put(tmp_path)
    assert not Earlier(str(tmp_path)).admitting(TASKS["numbers"], judging).supports(TASKS["numbers"])


def test_a_search_that_is_resumed_goes_on_with_its_networks(tmp_path):
    put(tmp_path)
    (first,) = kept(tmp_path)
    put(tmp_path, dataclasses.replace(OLD, name="third", group="third", data="2" * 8), seed=1)
    family = Earlier(str(tmp_path)).admitting(NEW, lambda: OTHERS, [first.name])
    assert family.admitted == (first.name,) and len(offering(tmp_path).admitted) == 2
    assert not Earlier(str(tmp_path)).admitting(NEW, lambda: OTHERS, []).supports(NEW)
    first.path.unlink()
    axes = search_axes({"earlier": family}, NEW, ())["earlier"]
    assert axes[0].options == (first.name,), "the space stays as it was"
    with pytest.raises(UserError, match=f"{first.name} of an earlier run is gone"):
        build(family, NEW, candidate_at(family, axes, 0), axes, seed=0)


def test_its_folder_is_read_once(tmp_path, monkeypatch):
    put(tmp_path)
    (one,) = kept(tmp_path)
    family, reads = offering(tmp_path), []
    monkeypatch.setattr(earlier, "kept", lambda folder: reads.append(folder) or kept(folder))
    axes = search_axes({"earlier": family}, NEW, ())["earlier"]
    for seed in range(3):
        build(family, NEW, candidate_at(family, axes, 0), axes, seed=seed)
        assert family.origin(NEW, candidate_at(family, axes, 0)) is not None
    assert len(reads) == 1 and pickle.loads(pickle.dumps(family)).found(one.name) == one


def test_a_network_that_took_its_place_is_not_taken_for_it(tmp_path):
    put(tmp_path)
    (before,) = kept(tmp_path)
    put(tmp_path, seed=1, count=200)
    with pytest.raises(KeyError, match=before.name):
        before.weights()


def test_what_is_worth_keeping():
    candidate, _ = network()
    assert may_help(OLD, candidate)
    assert not may_help(OLD, Candidate("mlp", {})) and not may_help(TASKS["numbers"], candidate)
    assert not may_help(OLD, Candidate("convnet", {**candidate.choices, "width": 17})), "of other options"


def test_a_new_task_starts_from_it_and_says_so(tmp_path):
    put(tmp_path)
    family = offering(tmp_path)
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
    assert origin is not None and origin.source.startswith("your own run of 20")
    assert "old, 100 rows, none of which judges" in origin.trained_on


def test_networks_lie_beside_the_store(monkeypatch):
    assert trunks_beside("sqlite:////data/mine/store.db") == "/data/mine/trunks"
    monkeypatch.setenv("LEVEL4_STORE", "sqlite:////home/me/store.db")
    assert trunks_beside("postgresql://host/db") == trunks_beside(None) == "/home/me/trunks"


def test_pictures_of_a_network_are_small(tmp_path):
    put(tmp_path)
    family = offering(tmp_path)
    axes = search_axes({"earlier": family}, NEW, ())["earlier"]
    net = build(family, NEW, candidate_at(family, axes, 0), axes, seed=0)
    assert net(*rows(NEW, 2)).shape == (2, 3) and net.seen(*rows(NEW, 2)).shape == (2, 1, 12, 12)
