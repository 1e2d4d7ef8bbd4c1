"""A forest inside a network: many deep trees, each of other rows or other cuts, and their mean (Breiman 2001; Geurts et
al. 2006).

Its errors are others than those of boosted trees and of networks (AutoGluon, Erickson et al. 2020, stacks them all).
It is grown before the first step, and nothing of it is trained: its answers to the rows that it has learned from teach
nothing, as it knows them by heart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from automl.models.closed_form.forest import KINDS, Forest, forest
from automl.models.remember import Remember
from automl.types import Task
from nas.families.ordered import OrderedSpace
from nas.family import affordable_rows

TREES, LEAVES = (30, 100, 200), (128, 512, 2048)
# By judgement:
WORK = 2e7  # rows x columns of a cut x trees: about 5 s of one core
STEP = 0.01  # of a class's weight per unit of its parameter: what is trained moves little


@dataclass(frozen=True)
class Forests:
    """``megabytes``: of a forest at most; of those over it only the smallest, for tasks that it can be kept for."""

    megabytes: float = 64
    name: str = "forest"

    def supports(self, task: Task) -> bool:
        table = len(task.inputs) == 1 and task.inputs[0].modality == "tabular"
        return table and size(TREES[0], LEAVES[0], task.num_outputs) <= self.megabytes

    def space(self, task: Task) -> nn.Module:
        return ForestSpace(task, self.megabytes)


def size(trees: int, leaves: int, outputs: int) -> float:
    """Megabytes of a forest: a column, a cut and two steps of each node, and what stands in it."""
    return trees * 2 * leaves * 4 * (4 + outputs) / 1e6


class ForestSpace(OrderedSpace):
    shares = False  # there is next to nothing to train
    patience = 1

    def __init__(self, task: Task, megabytes: float) -> None:
        super().__init__()
        of = task.inputs[0]
        leaves = [n for n in LEAVES if size(TREES[0], n, task.num_outputs) <= megabytes]
        trees = [n for n in TREES if size(n, leaves[-1], task.num_outputs) <= megabytes]
        self.kind = self.choose("kind", KINDS)
        self.count = self.choose("trees", trees) if len(trees) > 1 else trees[0]
        self.leaves = self.choose("leaves", leaves) if len(leaves) > 1 else leaves[0]
        self.smallest = self.choose("smallest_leaf", (1, 3, 10))
        self.share = self.choose("columns", (0.3, 0.6, 1.0))

        self.outputs, self.classes = task.num_outputs, task.num_outputs if task.kind != "regression" else 0
        self.read(of)
        self.begin_rows = affordable_rows(WORK / (max(of.shape[0] * self.share, 1.0) * self.count))
        self.forest = Remember(Forest(self.count, self.leaves, self.outputs))
        self.register_buffer("base", torch.full((self.outputs,), 1 / self.outputs if self.classes else 0.0))
        self.change = nn.Parameter(torch.zeros(self.outputs))
        self.seed = int(torch.randint(2**31, ()))

    base: Tensor

    def begin(self, batches: Iterable[tuple[Tensor, ...]], y: Tensor, until: float = math.inf) -> None:
        """Order the categories and grow the forest; see ``automl.training.module.Begins``. What there is no time for is
        left out of the mean.
        """
        x = torch.cat([x for (x,) in batches])
        target = y[: len(x)].cpu().numpy()
        self.put_in_order(x, target, self.classes)
        grown = forest(
            self.ordered(x).cpu().numpy(),
            target,
            self.classes,
            kind=self.kind,
            trees=self.count,
            leaves=self.leaves,
            threads=torch.get_num_threads(),
            until=until,
            min_samples_leaf=self.smallest,
            max_features=self.share,
            random_state=self.seed,
        )
        assert isinstance(self.forest.body, Forest)
        self.forest.body.fill(grown)
        self.forest.forget()
        if self.classes:
            count = np.bincount(target, minlength=self.classes) + 1.0
            self.base.copy_(torch.from_numpy(count / count.sum()))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, columns) -> (rows, num_outputs)."""
        told = self.forest(self.ordered(x))
        if self.classes:  # the shares of the classes count as one more tree: no class is impossible
            told = ((self.count * told + self.base) / (self.count + 1)).log()
        return told + STEP * self.change
