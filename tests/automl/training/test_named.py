"""torch's own optimizers, losses and schedules by name."""

import json

import pytest
import torch
from torch import nn

from automl.training import named
from automl.training.losses import Loss
from automl.training.optim import Schedule, make_optimizer
from automl.training.state import read_moments, write_moments

from .toys import DIABETES, DIGITS


@pytest.mark.parametrize("name", named.OPTIMIZERS)
def test_an_optimizer_is_torch_s_own_and_its_state_can_be_kept(name):
    networks = [nn.Linear(3, 2), nn.Linear(3, 2)]
    networks[1].load_state_dict(networks[0].state_dict())
    of = make_optimizer(networks[0], json.dumps({name: {"lr": 0.05}}), 9.0, 9.0)
    twin = named.OPTIMIZERS[name](networks[1].parameters(), lr=0.05)
    x = torch.randn(4, 3)
    for step in range(3):
        if step == 2:  # as after a resume
            kept = read_moments(of)
            of = make_optimizer(networks[0], json.dumps({name: {"lr": 0.05}}), 9.0, 9.0)
            write_moments(of, kept)
        for network, optimizer in zip(networks, (of, twin), strict=True):
            optimizer.zero_grad()
            network(x).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(networks[0].weight, networks[1].weight)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("StepLR", {"step_size": 3, "gamma": 0.5}),
        ("MultiStepLR", {"milestones": [2, 5], "gamma": 0.1}),
        ("ExponentialLR", {"gamma": 0.8}),
        ("ConstantLR", {"factor": 0.25, "total_iters": 3}),
        ("LinearLR", {"start_factor": 0.5, "total_iters": 4}),
        ("PolynomialLR", {"total_iters": 6, "power": 2.0}),
        ("CosineAnnealingLR", {"T_max": 8}),
    ],
)
def test_a_schedule_has_torch_s_rates(name, arguments):
    epochs, steps = 8, 5
    weight = nn.Parameter(torch.zeros(1))
    mine, theirs = (torch.optim.SGD([weight], lr=0.5) for _ in range(2))
    schedule = Schedule(mine, json.dumps({name: arguments}), epochs * steps, epochs)
    reference = getattr(torch.optim.lr_scheduler, name)(theirs, **arguments)
    for epoch in range(epochs):
        for step in range(steps):
            schedule.set(epoch * steps + step)
            assert mine.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], abs=1e-9)
        theirs.step()
        reference.step()


def test_losses_are_torch_s_own():
    out, y = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    mine = Loss(DIGITS, '{"CrossEntropyLoss": {"label_smoothing": 0.2}}', 0.0, y)(out, y)
    torch.testing.assert_close(mine, nn.CrossEntropyLoss(label_smoothing=0.2)(out, y))
    values = torch.randn(6)
    mine = Loss(DIABETES, '{"HuberLoss": {"delta": 0.3}}', 0.0, values)(out[:, :1], values)
    torch.testing.assert_close(mine, nn.HuberLoss(delta=0.3)(out[:, 0], values))


def test_lists_are_choices_and_lists_in_them_tuples():
    found = named.options([{"AdamW": {"lr": [0.1, 0.2], "betas": [[0.8, 0.9]]}}, {"SGD": None}], "/o", named.OPTIMIZERS)
    assert list(map(json.loads, found)) == [
        {"AdamW": {"betas": [0.8, 0.9], "lr": 0.1}},
        {"AdamW": {"betas": [0.8, 0.9], "lr": 0.2}},
        {"SGD": {}},
    ]
    assert named.named(found[0], named.OPTIMIZERS)[1] == {"betas": (0.8, 0.9), "lr": 0.1}


def test_a_last_training_is_slower_whoever_says_the_rate():
    assert json.loads(named.slower('{"SGD": {"lr": 0.1}}', 0.5)) == {"SGD": {"lr": 0.05}}
    assert json.loads(named.slower('{"Adadelta": {}}', 0.5)) == {"Adadelta": {"lr": 0.5}}
    assert named.slower("adamw", 0.5) == "adamw"
