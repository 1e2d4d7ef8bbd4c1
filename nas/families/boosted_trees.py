"""Gradient-boosted trees inside a network, and a trained weight for each (Friedman 2001; weights: He et al. 2014).

On tables boosted trees are the strongest simple model (Grinsztajn et al. 2022). The trees are grown before the first
step; what is trained is how much each of them counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.models.closed_form.trees import Trees, boosted
from automl.models.remember import Remember
from automl.types import Task
from nas.families.ordered import OrderedSpace
from nas.family import affordable_rows

# By judgement; ``+experiment=bench/families`` says whether the family still keeps up with scikit-learn's own.
STEP = 0.03  # of a tree's weight per unit of its parameter: trees are right as they come, so weights move little
WORK = 4e8  # rows x columns x trees: about 10 s of one core


@dataclass(frozen=True)
class BoostedTrees:
    """``rounds``: options for the number of trees per output; of more than ``most`` trees only the fewest rounds."""

    rounds: tuple[int, ...] = (30, 100, 300)
    most: int = 3000
    name: str = "boosted_trees"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "tabular"

    def space(self, task: Task) -> nn.Module:
        few = tuple(r for r in self.rounds if r * outputs(task) <= self.most)
        return BoostedTreesSpace(task, few or (min(self.rounds),))


def outputs(task: Task) -> int:
    """Scores that the trees add to: one tells two classes apart."""
    return 1 if task.num_outputs == 2 else task.num_outputs


class BoostedTreesSpace(OrderedSpace):
    patience = 2

    def __init__(self, task: Task, rounds: tuple[int, ...]) -> None:
        super().__init__()
        of = task.inputs[0]
        self.rounds = self.choose("rounds", rounds)
        self.leaves = self.choose("leaves", (4, 8, 16, 32))
        self.shrinkage = self.choose("shrinkage", (0.03, 0.1, 0.2))
        self.smallest = self.choose("smallest_leaf", (5, 20))
        self.share = self.choose("columns", (0.5, 1.0))
        self.penalty = self.choose("penalty", (0.0, 1.0, 10.0))
        dropout = self.shared("dropout", 0.0)

        self.outputs, self.classes = outputs(task), task.num_outputs if task.kind != "regression" else 0
        self.read(of)
        self.register_buffer("base", torch.zeros(self.outputs))
        count = self.rounds * self.outputs
        self.begin_rows = affordable_rows(WORK / (of.shape[0] * count))
        self.trees = Remember(Trees(count, self.leaves))
        self.dropout = nn.Dropout(dropout)
        self.change = nn.Parameter(torch.zeros(self.rounds, self.outputs))
        self.bias = nn.Parameter(torch.zeros(self.outputs))
        self.seed = int(torch.randint(2**31, ()))

    base: Tensor

    def begin(self, batches: Iterable[tuple[Tensor, ...]], y: Tensor, until: float = math.inf) -> None:
        """Order the categories and grow the trees; see ``automl.training.module.Begins``. Those for which there is no
        time are of one leaf, with the value 0.
        """
        x = torch.cat([x for (x,) in batches])
        target = y[: len(x)].cpu().numpy()
        self.put_in_order(x, target, self.classes)
        trees, base = boosted(
            self.ordered(x).cpu().numpy(),
            target,
            self.classes,
            rounds=self.rounds,
            leaves=self.leaves,
            threads=torch.get_num_threads(),
            until=until,
            learning_rate=self.shrinkage,
            min_samples_leaf=self.smallest,
            max_features=self.share,
            l2_regularization=self.penalty,
            random_state=self.seed,
        )
        assert isinstance(self.trees.body, Trees)
        self.trees.body.fill([tree for one in trees for tree in one])
        self.trees.forget()
        self.base.copy_(torch.from_numpy(base))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, columns) -> (rows, num_outputs)."""
        leaves = self.trees(self.ordered(x)).unflatten(1, (self.rounds, self.outputs))
        score = (self.dropout(leaves) * (1 + STEP * self.change)).sum(dim=1) + self.base + STEP * self.bias
        return torch.cat([-score / 2, score / 2], dim=1) if self.classes == 2 else score
