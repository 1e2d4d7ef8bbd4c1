"""A family whose candidates go wrong on purpose."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace

import torch
from nni.nas.space import current_model
from torch import Tensor, nn

from automl.types import Axis, Prior, Task
from nas.family import FamilySpace, search_axes
from nas.job import Job
from nas.testing.strategies import TASK, part

FAULTS = ("none", "raise", "nan", "memory", "kill", "hang")


@dataclass(frozen=True)
class Faulty:
    name: str = "faulty"

    def supports(self, task: Task) -> bool:
        return True

    def space(self, task: Task) -> nn.Module:
        return FaultySpace(task)


class FaultySpace(FamilySpace):
    def __init__(self, task: Task) -> None:
        super().__init__()
        self.fault = self.choose("fault", FAULTS)
        self.head = nn.Linear(task.inputs[0].shape[0], task.num_outputs)
        if current_model() is None:
            return
        if self.fault == "raise":
            raise RuntimeError("planted: cannot be built")
        if self.fault == "memory":
            raise MemoryError("planted")
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "hang":
            time.sleep(3600)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x)
        return y * torch.nan if self.fault == "nan" else y


def faulty_job() -> Job:
    families = {"faulty": Faulty()}
    axes = search_axes(families, TASK, (Axis("learning_rate", (0.01,)),))
    return Job(TASK, part(64, 0), part(32, 1), families, axes, device="cpu")


def without(*faults: str) -> Prior:
    """Every candidate but those with these faults."""
    prior = Prior.uniform(faulty_job().axes)
    axes = tuple(replace(a, options=tuple(o for o in a.options if o not in faults)) for a in prior.axes["faulty"])
    return Prior.uniform({"faulty": axes})
