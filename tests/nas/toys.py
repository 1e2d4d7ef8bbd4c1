"""A tiny task, a family whose score is a known function of its choices, and an engine that looks it up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from automl.data.dataset import Part
from automl.types import Axis, Candidate, Input, Prior, Task
from nas.engines.base import Engine
from nas.family import FamilySpace, search_axes
from nas.job import Job, Order, Outcome

TASK = Task("toy", "binary", (Input("x", "tabular", (4,), cardinalities=(0,) * 4),), 2, "accuracy")
SHARED = (Axis("learning_rate", (0.001, 0.01, 0.1)),)


@dataclass(frozen=True)
class Toy:
    """Two axes of which the second counts only while the first says so."""

    name: str = "toy"

    def supports(self, task: Task) -> bool:
        return all(i.modality == "tabular" for i in task.inputs)

    def space(self, task: Task) -> nn.Module:
        return ToySpace(task)


class ToySpace(FamilySpace):
    def __init__(self, task: Task) -> None:
        super().__init__()
        deep = self.choose("deep", ("no", "yes"))
        hidden = self.choose("hidden", (2, 4, 8), parent="deep", when=("yes",))
        size = task.inputs[0].shape[0]
        self.body = nn.Linear(size, hidden) if deep == "yes" else nn.Identity()
        self.head = nn.Linear(hidden if deep == "yes" else size, task.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


@dataclass(frozen=True)
class Plain(Toy):
    """A family with one axis of its own."""

    name: str = "plain"

    def space(self, task: Task) -> nn.Module:
        return PlainSpace(task)


class PlainSpace(FamilySpace):
    def __init__(self, task: Task) -> None:
        super().__init__()
        self.choose("bias", (True, False))
        self.head = nn.Linear(task.inputs[0].shape[0], task.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


FAMILIES = {"toy": Toy(), "plain": Plain()}


def part(rows: int, seed: int) -> Part:
    x = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    return Part((x,), (x[:, 0] > 0).astype(np.int64), np.arange(rows))


def job() -> Job:
    return Job(TASK, part(64, 0), part(32, 1), FAMILIES, search_axes(FAMILIES, TASK, SHARED), device="cpu")


def uniform() -> Prior:
    return Prior.uniform(job().axes)


def known_score(candidate: Candidate) -> float:
    """Highest for toy, deep, hidden 8, learning rate 0.01."""
    c = candidate.choices
    return (
        (candidate.family == "toy") * 0.3
        + (c.get("deep") == "yes") * 0.2
        + float(c.get("hidden", 0)) / 40
        + (c["learning_rate"] == 0.01) * 0.2
    )


class LookUp(Engine):
    """Answers with the known score. With several workers the trainings end in a seeded random order."""

    def __init__(self, workers: int = 1, outcome: Callable[[Order], Outcome] | None = None, seed: int = 0) -> None:
        super().__init__(workers)
        self.ran: list[Order] = []
        self._outcome = outcome or (lambda order: Outcome("ok", known_score(order.candidate), seconds=1.0))
        self._pending: deque[tuple[int, Order]] = deque()
        self._rng = np.random.default_rng(seed)

    def _start(self, number: int, order: Order) -> None:
        self._pending.append((number, order))

    def _collect(self) -> list[tuple[int, Outcome]]:
        self._pending.rotate(int(self._rng.integers(len(self._pending))))
        number, order = self._pending.popleft()
        self.ran.append(order)
        return [(number, self._outcome(order))]

    def shutdown(self) -> None:
        self._pending.clear()


__all__ = ["FAMILIES", "SHARED", "TASK", "LookUp", "Plain", "Toy", "job", "known_score", "part", "torch", "uniform"]
