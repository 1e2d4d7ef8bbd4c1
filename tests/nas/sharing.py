"""A tiny family whose candidates share their weights, for the one-shot strategies."""

from __future__ import annotations

from dataclasses import dataclass

from nni.nas.nn.pytorch import LayerChoice
from torch import Tensor, nn

from automl.types import Axis, Task
from nas.family import FamilySpace, search_axes
from nas.job import Job
from nas.testing.strategies import TASK, part


@dataclass(frozen=True)
class Shared:
    """Two choices among three operations; ``blind`` sees nothing, so whoever takes it can learn nothing."""

    name: str = "shared"

    def supports(self, task: Task) -> bool:
        return True

    def space(self, task: Task) -> nn.Module:
        return SharedSpace(task)


class SharedSpace(FamilySpace):
    def __init__(self, task: Task) -> None:
        super().__init__()
        size = task.inputs[0].shape[0]
        self.first = LayerChoice(operations(size), label="first")
        self.second = LayerChoice(operations(size), label="second")
        self.head = nn.Linear(size, task.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)))


class Blind(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0


def operations(size: int) -> dict[str, nn.Module]:
    return {
        "blind": Blind(),
        "linear": nn.Linear(size, size),
        "deep": nn.Sequential(nn.Linear(size, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, size)),
    }


def shared_job(rows: int = 64) -> Job:
    families = {"shared": Shared()}
    axes = search_axes(families, TASK, (Axis("learning_rate", (0.001, 0.01, 0.1)),))
    return Job(TASK, part(rows, 0), part(rows, 1), families, axes, device="cpu")
