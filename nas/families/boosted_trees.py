"""Gradient-boosted trees inside a network, and a trained weight for each (Friedman 2001; weights: He et al. 2014).

On tables boosted trees are the strongest simple model (Grinsztajn et al. 2022). The trees are grown before the first
step; what is trained is how much each of them counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from automl.models.closed_form.trees import Trees, boosted
from automl.models.layers.tabular import columns
from automl.models.remember import Remember
from automl.types import Task
from nas.family import FamilySpace, affordable_rows

# By judgement; ``+experiment=bench/families`` says whether the family still keeps up with scikit-learn's own.
STEP = 0.03  # of a tree's weight per unit of its parameter: trees are right as they come, so weights move little
PRIOR_ROWS = 10.0  # that a category begins with: with fewer rare ones are learned by heart, with more they say nothing
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


class BoostedTreesSpace(FamilySpace):
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
        self.numbers, self.codes = columns(of)
        self.cardinalities = [of.cardinalities[i] for i in self.codes]
        starts = np.cumsum([0, *self.cardinalities])
        self.register_buffer("starts", torch.from_numpy(starts[:-1].copy()), persistent=False)
        self.register_buffer("order", torch.zeros(int(starts[-1]) + 1))  # the last is no category
        self.register_buffer("base", torch.zeros(self.outputs))
        count = self.rounds * self.outputs
        self.begin_rows = affordable_rows(WORK / (of.shape[0] * count))
        self.trees = Remember(Trees(count, self.leaves))
        self.dropout = nn.Dropout(dropout)
        self.change = nn.Parameter(torch.zeros(self.rounds, self.outputs))
        self.bias = nn.Parameter(torch.zeros(self.outputs))
        self.seed = int(torch.randint(2**31, ()))

    order: Tensor
    starts: Tensor
    base: Tensor

    def begin(self, batches: Iterable[tuple[Tensor, ...]], y: Tensor, until: float = math.inf) -> None:
        """Order the categories and grow the trees; see ``automl.training.module.Begins``. Those for which there is no
        time are of one leaf, with the value 0.
        """
        x = torch.cat([x for (x,) in batches])
        target = y[: len(x)].cpu().numpy()
        aim = (target[:, None] == np.arange(self.classes)).astype(float) if self.classes else target[:, None]
        codes = x[:, self.codes].long().cpu().numpy()
        found = [category_order(codes[:, i], aim, c) for i, c in enumerate(self.cardinalities)]
        self.order.copy_(torch.from_numpy(np.concatenate([*found, np.zeros(1)])))
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

    def ordered(self, x: Tensor) -> Tensor:
        """Categories as numbers, behind the numbers: (rows, columns)."""
        if not self.codes:
            return x
        return torch.cat([x[:, self.numbers], self.order[self.starts + x[:, self.codes].long()]], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, columns) -> (rows, num_outputs)."""
        leaves = self.trees(self.ordered(x)).unflatten(1, (self.rounds, self.outputs))
        score = (self.dropout(leaves) * (1 + STEP * self.change)).sum(dim=1) + self.base + STEP * self.bias
        return torch.cat([-score / 2, score / 2], dim=1) if self.classes == 2 else score


def category_order(codes: np.ndarray, aim: np.ndarray, cardinality: int) -> np.ndarray:
    """A number for each category, such that alike ones are near: float64 (cardinality,).

    codes: (rows,); aim: one-hot classes or values, (rows, outputs). The mean of the aim over a category's rows, drawn
    to the mean of all (Micci-Barreca 2001), along the direction in which these means differ most (Coppersmith et al.
    1999): one cut of that order parts the categories best.
    """
    middle = aim.mean(axis=0)
    total = np.zeros((cardinality, aim.shape[1]))
    np.add.at(total, codes, aim - middle)
    count = np.bincount(codes, minlength=cardinality)[:, None]
    means = total / (count + PRIOR_ROWS)
    if aim.shape[1] == 1:
        return means[:, 0]
    return means @ np.linalg.svd(np.sqrt(count) * means, full_matrices=False)[2][0]
