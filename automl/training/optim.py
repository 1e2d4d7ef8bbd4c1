"""Optimizers and learning-rate schedules.

``learning_rate`` and ``weight_decay`` mean what they mean for AdamW; ``SCALE`` translates them for the other
optimizers, so that one grid (and one prior over it) serves all: SGD takes 30 times the rate (by judgement: 0.001 is
0.03 then, between the usual 0.01 and 0.1), Lion a fifth (Chen et al. 2023, section 5, advise 3 to 10 times less), and
the decay goes the other way, which keeps rate times decay.
"""

# pyright: reportPrivateImportUsage=false
# (torch._foreach_* is how torch's own optimizers treat all weights in one call; it has no public name.)

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from automl.training import named

SCALE: Mapping[str, float] = {"adamw": 1.0, "sgd": 30.0, "lion": 0.2}
WARMUP = 0.05
"""Share of the steps in which cosine and constant schedules rise linearly. By judgement: without it large rates diverge
in their first steps, a long one is missed where trainings are short."""


class Lion(Optimizer):
    """Sign of an interpolated momentum (Chen et al. 2023, "Symbolic Discovery of Optimization", algorithm 2).

    Own code, checked against timm's in the tests: importing timm costs a worker 3 s.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            gradients = [p.grad for p in weights if p.grad is not None]
            for p in weights:
                if "exp_avg" not in self.state[p]:
                    self.state[p]["exp_avg"] = torch.zeros_like(p)
            momenta: list[Tensor] = [self.state[p]["exp_avg"] for p in weights]
            now, later = group["betas"]
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            update = torch._foreach_lerp(momenta, gradients, 1 - now)
            torch._foreach_sign_(update)
            torch._foreach_add_(weights, update, alpha=-group["lr"])
            torch._foreach_lerp_(momenta, gradients, 1 - later)


class DecoupledSGD(SGD):
    """SGD whose decay shrinks the weights themselves (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 1).

    torch adds it to the gradient, where a momentum of 0.9 makes it ten times as strong. ``decay`` of a group is a
    weight's share that a step of rate 1 takes.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            if weights := [p for p in group["params"] if p.grad is not None]:
                torch._foreach_mul_(weights, 1 - group["lr"] * group["decay"])
        super().step(closure)


@runtime_checkable
class Layered(Protocol):
    """A network whose layers learn at rates of their own."""

    def rates(self) -> Mapping[nn.Parameter, float]:
        """Shares of the learning rate; what is not named has all of it."""
        ...


def make_optimizer(network: nn.Module, name: str, learning_rate: float, weight_decay: float) -> Optimizer:
    """Build the optimizer; vectors (biases, norms) are not decayed. Raises ValueError for an unknown name.

    One of torch's own (``automl.training.named``) is as torch makes it: its arguments say the rate and the decay.
    """
    if named.is_named(name):
        of, arguments = named.named(name, named.OPTIMIZERS)
        return of([p for p in network.parameters() if p.requires_grad], **arguments)
    if name not in SCALE:
        raise ValueError(f"unknown optimizer {name!r}; optimizers are: {', '.join(SCALE)}")
    weights = [p for p in network.parameters() if p.requires_grad]
    rate = learning_rate * SCALE[name]
    own = network.rates() if isinstance(network, Layered) else {}
    groups: list[dict[str, Any]] = []
    for share in sorted({own.get(p, 1.0) for p in weights}, reverse=True):
        alike = [p for p in weights if own.get(p, 1.0) == share]
        for some, decay in (([p for p in alike if p.ndim > 1], weight_decay), ([p for p in alike if p.ndim <= 1], 0.0)):
            if some:
                groups.append({"params": some, "weight_decay": decay / SCALE[name], "lr": rate * share})
    if name == "sgd":
        groups = [{"decay": group.pop("weight_decay"), **group} for group in groups]
        return DecoupledSGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=True)  # the usual momentum
    if name == "lion":
        return Lion(groups, lr=rate)
    return AdamW(groups, lr=rate, fused=True)


def cosine(t: float) -> float:
    """Linear warm-up, then half a cosine down to 0."""
    return t / WARMUP if t < WARMUP else 0.5 * (1 + math.cos(math.pi * (t - WARMUP) / (1 - WARMUP)))


def onecycle(t: float) -> float:
    """From 1/25 up to 1 in the first 30 %, then down to 0, both along a cosine (Smith & Topin 2018, with the numbers of
    torch's ``OneCycleLR``).
    """
    if t < 0.3:
        return 1 / 25 + (1 - 1 / 25) * 0.5 * (1 - math.cos(math.pi * t / 0.3))
    return 0.5 * (1 + math.cos(math.pi * (t - 0.3) / 0.7))


def constant(t: float) -> float:
    """Linear warm-up, then 1."""
    return min(1.0, t / WARMUP)


SCHEDULES: Mapping[str, Callable[[float], float]] = {f.__name__: f for f in (cosine, onecycle, constant)}


class Schedule:
    """Sets an optimizer's rates by position: a pure function of the step, so resuming needs nothing but the step."""

    def __init__(self, optimizer: Optimizer, name: str, steps: int, epochs: int = 1) -> None:
        """``steps``: of all ``epochs``, which torch's own schedules (``automl.training.named``) count."""
        self.steps = max(1, steps)
        if named.is_named(name):
            of, arguments = named.named(name, named.SCHEDULES)
            self.factor = lambda t: of(int(t * epochs), **arguments)
        elif name in SCHEDULES:
            self.factor = SCHEDULES[name]
        else:
            raise ValueError(f"unknown schedule {name!r}; schedules are: {', '.join(SCHEDULES)}")
        self.optimizer = optimizer
        self.peaks = [group["lr"] for group in optimizer.param_groups]

    def set(self, step: float) -> None:
        """Set the rates for step 0, 1, ...: the factor is taken at the middle of the step, so none is wasted at 0."""
        factor = self.factor(min(1.0, (step + 0.5) / self.steps))
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
