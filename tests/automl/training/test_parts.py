"""The pieces of a training, each on its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from automl.data.dataset import Part
from automl.training.ema import Ema
from automl.training.losses import Loss, class_weights
from automl.training.optim import SCALE, SCHEDULES, Lion, Schedule, make_optimizer
from automl.training.options import Options
from automl.training.predictor import EnsemblePredictor, Predictor, Prepare, predict, target_scale
from automl.training.rows import Rows, derived_seed
from automl.types import Input

from .toys import DIABETES, DIGITS, Members, digits, mlp


def test_options_take_what_is_theirs():
    options = Options.of({"learning_rate": 0.1, "depth": 3, "ema": True})
    assert options == Options(learning_rate=0.1, ema=True)


def test_lion_is_timm_s():
    from timm.optim.lion import Lion as Reference

    networks = [nn.Linear(5, 3), nn.Linear(5, 3)]
    networks[1].load_state_dict(networks[0].state_dict())
    optimizers = [
        c(n.parameters(), lr=0.01, weight_decay=0.1) for c, n in zip((Lion, Reference), networks, strict=True)
    ]
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        x = torch.randn(8, 5, generator=generator)
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad()
            network(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(networks[0].weight, networks[1].weight)


@pytest.mark.parametrize("name", SCALE)
def test_biases_and_norms_are_not_decayed_and_units_are_adamw_s(name):
    network = mlp()
    groups = make_optimizer(network, name, 0.01, 0.1).param_groups
    assert {p.ndim for p in groups[0]["params"]} == {2}
    assert {p.ndim for p in groups[1]["params"]} == {1}
    assert sum(len(g["params"]) for g in groups) == len(list(network.parameters()))


@pytest.mark.parametrize("name", SCALE)
def test_a_decay_is_that_of_adamw_whatever_the_momentum(name):
    """Loshchilov and Hutter 2019: rate times decay is the share of a weight that a step takes, with no gradient."""
    network = nn.Linear(3, 2)
    before = network.weight.detach().clone(), network.bias.detach().clone()
    optimizer = make_optimizer(network, name, 0.01, 0.1)
    for _ in range(50):
        for p in network.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
    torch.testing.assert_close(network.weight.detach(), before[0] * (1 - 0.001) ** 50)
    torch.testing.assert_close(network.bias.detach(), before[1])


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_rises_peaks_and_ends(name):
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    schedule = Schedule(optimizer, name, 100)
    rates = []
    for step in range(120):  # longer than planned: it stays at its end
        schedule.set(step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert 0 < rates[0] < 0.2
    assert max(rates) == pytest.approx(0.5, rel=0.01)
    assert min(rates) >= 0
    assert rates[110] == pytest.approx(0.5 if name == "constant" else 0.0, abs=1e-3)


def test_a_schedule_survives_the_optimizer_s_loading():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = Schedule(optimizer, "cosine", 100)
    optimizer.load_state_dict(optimizer.state_dict())
    schedule.set(99)
    assert optimizer.param_groups[0]["lr"] < 0.01


def test_focal_loss_by_hand():
    out, y = torch.tensor([[0.0, math.log(3)]]), torch.tensor([1])  # p = 3/4
    loss = Loss(DIGITS, "focal", 0.0, y)(out, y)
    assert float(loss) == pytest.approx(0.25**2 * -math.log(0.75))


def test_class_weights_favour_the_rare():
    weights = class_weights(torch.tensor([0, 0, 0, 1]), 3)
    torch.testing.assert_close(weights, torch.tensor([4 / 9, 4 / 3, 4 / 3]))
    assert class_weights(torch.tensor([0] * 1000 + [1]), 2).max() == 10


def test_the_median_minimises_the_quantile_loss():
    y = torch.tensor([0.0, 1.0, 2.0, 50.0, 60.0])
    loss = Loss(DIABETES, "quantile", 0.0, y)
    guesses = torch.arange(0, 60, 0.5)
    losses = [float(loss(g.expand(5, 1), y)) for g in guesses]
    assert guesses[int(np.argmin(losses))] == 2.0


def test_members_have_a_loss_each():
    y = torch.tensor([1, 0, 1])
    out = torch.randn(3, 4, 2)
    loss = Loss(DIGITS, "", 0.0, y)(out, y)
    each = torch.stack([F.cross_entropy(out[:, m], y) for m in range(4)]).mean()
    torch.testing.assert_close(loss, each)
    values = torch.randn(3, 4, 1)
    target = torch.randn(3)
    loss = Loss(DIABETES, "mse", 0.0, target)(values, target)
    torch.testing.assert_close(loss, ((values[:, :, 0] - target[:, None]) ** 2).mean())


def test_ema_leaves_infinite_constants_alone():
    network = nn.Linear(2, 1)
    network.register_buffer("edges", torch.tensor([-math.inf, 0.0, math.inf]))
    ema = Ema(network, steps=100)
    for step in range(3):
        ema.update(step)
    with ema.swapped():
        assert network.edges.tolist() == [-math.inf, 0.0, math.inf]
        assert network.weight.isfinite().all()


def test_ema_stays_with_a_network_whose_memory_moves():
    """To a GPU and back; there recurrent layers also lay their weights side by side, whenever they are to move."""
    network = mlp()
    ema = Ema(network, steps=1000)
    network._apply(torch.clone)
    with torch.no_grad():
        for step in range(200):
            network[1].weight += 1.0  # type: ignore[index, operator]
            ema.update(step)
    live = network.state_dict()["1.weight"].clone()
    with ema.swapped():
        assert bool((network.state_dict()["1.weight"] < live - 3).all())
    torch.testing.assert_close(network.state_dict()["1.weight"], live)


def test_ema_follows_and_swaps_back():
    network = mlp()
    ema = Ema(network, steps=1000)
    before = network.state_dict()["1.weight"].clone()
    with torch.no_grad():
        for step in range(200):
            network[1].weight += 1.0  # type: ignore[index, operator]
            ema.update(step)
    live = network.state_dict()["1.weight"].clone()
    torch.testing.assert_close(live, before + 200)
    with ema.swapped():
        average = network.state_dict()["1.weight"]
        assert bool((average < live - 3).all()) and bool((average > before + 50).all())
    torch.testing.assert_close(network.state_dict()["1.weight"], live)


def test_images_are_standardised_inside():
    inputs = (Input("i", "image", (3, 2, 2), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)), Input("t", "text", (4,)))
    pixels = torch.randint(0, 256, (5, 3, 2, 2), dtype=torch.uint8)
    tokens = torch.randint(0, 9, (5, 4))
    image, text = Prepare(inputs)(pixels, tokens)
    expected = (pixels / 255 - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([0.5, 0.6, 0.7])[
        :, None, None
    ]
    torch.testing.assert_close(image, expected)
    assert text is tokens


def test_predictions_are_probabilities_or_values():
    _, valid = digits()
    p = predict(Predictor(mlp(), DIGITS), valid.inputs)
    assert p.shape == (200, 10) and p.dtype == np.float32
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    x = np.zeros((7, 10), np.float32)
    assert predict(Predictor(mlp(10, 1), DIABETES, 100.0, 5.0), (x,)).shape == (7,)
    assert predict(Predictor(Members(10, 1), DIABETES, 100.0, 5.0), (x,)).shape == (7,)


def test_target_scale():
    part = Part((np.zeros((3, 10), np.float32),), np.array([1, 2, 3], np.float32), np.arange(3))
    assert target_scale(DIABETES, part) == pytest.approx((2.0, math.sqrt(2 / 3)))
    assert target_scale(DIGITS, digits()[0]) == (0.0, 1.0)
    flat = Part(part.inputs, np.full(3, 7, np.float32), part.rows)
    assert target_scale(DIABETES, flat) == (7.0, 1.0)


def test_an_ensemble_is_the_weighted_mean():
    _, valid = digits()
    members = [Predictor(mlp(seed=i), DIGITS) for i in range(3)]
    each = [predict(m, valid.inputs) for m in members]
    both = predict(EnsemblePredictor(members, [2, 1, 1]), valid.inputs)
    np.testing.assert_allclose(both, 0.5 * each[0] + 0.25 * each[1] + 0.25 * each[2], atol=1e-6)


@pytest.mark.parametrize("weights", [[], [1.0], [1.0, -1.0], [0.0, 0.0]])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weight"):
        EnsemblePredictor([Predictor(mlp(), DIGITS)] * 2, weights)


def test_rows_are_taken_in_order():
    train, _ = digits()
    (x,), y = Rows(train, torch.device("cpu")).take(torch.tensor([5, 3]))
    np.testing.assert_array_equal(x.numpy(), train.inputs[0][[5, 3]])
    assert y.tolist() == train.y[[5, 3]].tolist()


def test_derived_seeds_differ_and_stay():
    seeds = {derived_seed(s, e, w) for s in range(5) for e in range(5) for w in ("order", "dropout")}
    assert len(seeds) == 50
    assert all(0 <= s < 2**63 for s in seeds)
    assert derived_seed(0, 1, "order") == 8584337623991933375
