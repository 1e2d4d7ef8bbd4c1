"""NNI's one-shot algorithms: what a supernet learns, and the strategies made of it."""

from __future__ import annotations

import itertools

import pytest
import torch
from nni.nas.oneshot.pytorch.strategy import DARTS, GumbelDARTS

from automl.errors import UserError
from automl.types import Budget, Prior
from nas.job import Job, Outcome
from nas.search import search
from nas.strategies.oneshot import OneShot
from nas.strategies.parts.supernet import SeededRandomOneShot, Supernet, shared_axes
from nas.testing.strategies import LookUp, job
from tests.nas.sharing import shared_job

ALGORITHMS = {
    "random": lambda: SeededRandomOneShot(seed=0),
    "darts": lambda: DARTS(arc_learning_rate=0.05),
    "gumbel": lambda: GumbelDARTS(arc_learning_rate=0.05),
}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained(name: str, epochs: int, todo: Job | None = None) -> Supernet:
    todo = todo or shared_job(256)
    net = Supernet(todo, "shared", ALGORITHMS[name](), epochs=epochs, batch_size=32, learning_rate=0.02)
    assert net.train() == epochs
    return net


def test_the_axes_that_share_weights_are_found():
    todo = shared_job()
    assert shared_axes(todo.families["shared"], todo.task) == ("first", "second")
    assert shared_axes(job().families["toy"], job().task) == ()


def test_shared_weights_rank_what_can_learn_above_what_cannot():
    net = trained("random", epochs=40)
    scores = {
        c: net.score({"first": c[0], "second": c[1]}) for c in itertools.product(("blind", "linear", "deep"), repeat=2)
    }
    blind = [score for c, score in scores.items() if "blind" in c]
    seeing = [score for c, score in scores.items() if "blind" not in c]
    assert min(seeing) > max(blind) and max(seeing) > 0.85
    assert scores["linear", "deep"] == net.score({"first": "linear", "second": "deep"}), "scoring changes nothing"


@pytest.mark.parametrize("name", ["darts", "gumbel"])
def test_gradients_find_the_operations_that_see(name):
    net = trained(name, epochs=15)
    best, probabilities = net.best(), net.probabilities()
    assert "blind" not in best.values()
    for of in probabilities.values():
        assert sum(of.values()) == pytest.approx(1) and max(of.values()) > 0.5 > 2 * of["blind"]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_same_seed_gives_the_same_supernet_and_leaves_the_global_generator_alone(name):
    todo, state = shared_job(), torch.random.get_rng_state()
    one, again = trained(name, 2, todo), trained(name, 2, todo)
    assert torch.equal(state, torch.random.get_rng_state())
    for a, b in zip(one.network.state_dict().values(), again.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_training_stops_when_its_time_is_up():
    net = Supernet(shared_job(), "shared", ALGORITHMS["random"](), epochs=50)
    asked = iter([False, True])
    assert net.train(lambda: next(asked)) == 2


def test_a_search_that_is_stopped_trains_no_supernet_to_its_end(monkeypatch):
    engine, asked = LookUp(), []

    def stopped(net: Supernet, expired) -> int:
        engine.stop()
        asked.append(expired())
        return 0

    monkeypatch.setattr(Supernet, "train", stopped)
    todo = shared_job()
    search(todo, Prior.uniform(todo.axes), OneShot(ALGORITHMS["random"], pool=1), engine, Budget(trials=2), seed=0)
    assert asked == [True]


def test_the_ranking_decides_the_order_of_the_trainings():
    todo = shared_job(256)
    strategy = OneShot(ALGORITHMS["random"], epochs=40, batch_size=32, learning_rate=0.02, pool=9, seed=0)
    engine = LookUp(outcome=lambda order: Outcome("ok", 0.5))
    trials = search(todo, Prior.uniform(todo.axes), strategy, engine, Budget(trials=9), seed=0)
    blind = ["blind" in t.candidate.choices.values() for t in trials]
    assert blind == sorted(blind) and blind.count(True) == 5, "what cannot learn comes last"


def test_without_a_family_that_shares_weights_the_error_names_one():
    with pytest.raises(UserError, match=r"toy, plain shares weights.*convnet_shared"):
        search(job(), Prior.uniform(job().axes), OneShot(ALGORITHMS["random"]), LookUp(), Budget(trials=1), seed=0)
