"""A family whose faults are planted per candidate, so that a search can be run with and without them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from nni.nas.space import current_model
from torch import Tensor, nn

from automl.types import Axis, Candidate, Task
from nas.family import FamilySpace, search_axes
from nas.job import Job
from nas.testing.strategies import TASK, part


@dataclass(frozen=True)
class Planted:
    """``faults``: raise | nan | memory | kill | hang, by the candidate's index. ``seconds``: how long a build takes."""

    count: int
    faults: Mapping[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    name: str = "planted"

    def supports(self, task: Task) -> bool:
        return True

    def space(self, task: Task) -> nn.Module:
        return PlantedSpace(task, self)


class PlantedSpace(FamilySpace):
    """A linear network that sees ever more of its input from index to index: the task needs the first column alone."""

    def __init__(self, task: Task, of: Planted) -> None:
        super().__init__()
        index = self.choose("index", range(of.count))
        size = task.inputs[0].shape[0]
        self.register_buffer("blur", torch.linspace(3, 0, of.count)[index] * torch.ones(size))
        self.head = nn.Linear(size, task.num_outputs)
        self.fault = of.faults.get(index, "") if current_model() is not None else ""
        if current_model() is not None:
            time.sleep(of.seconds)
        if self.fault == "raise":
            raise RuntimeError("planted: cannot be built")
        if self.fault == "memory":
            raise MemoryError("planted")
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "hang":
            time.sleep(3600)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x + self.blur * torch.sin(97 * x))
        return y * torch.nan if self.fault == "nan" else y


def planted_job(count: int, faults: Mapping[int, str] | None = None, seconds: float = 0.0) -> Job:
    families = {"planted": Planted(count, faults or {}, seconds)}
    axes = search_axes(families, TASK, (Axis("learning_rate", (0.03,)),))
    return Job(TASK, part(128, 0), part(256, 1), families, axes, device="cpu")


def candidates(count: int) -> list[Candidate]:
    return [Candidate("planted", {"index": i, "learning_rate": 0.03}) for i in range(count)]
