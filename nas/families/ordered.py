"""What the families of trees share: the categories of a table as numbers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from automl.models.layers.tabular import columns
from automl.types import Input
from nas.family import FamilySpace

PRIOR_ROWS = 10.0
"""That a category begins with. By judgement: with fewer rare ones are learned by heart, with more they say nothing."""


class OrderedSpace(FamilySpace):
    """A space whose networks see a table's categories as numbers: near where their rows have alike targets."""

    order: Tensor
    starts: Tensor

    def read(self, of: Input) -> None:
        """Begin with a table; no category stands before another yet."""
        self.numbers, self.codes = columns(of)
        self.cardinalities = [of.cardinalities[i] for i in self.codes]
        starts = np.cumsum([0, *self.cardinalities])
        self.register_buffer("starts", torch.from_numpy(starts[:-1].copy()), persistent=False)
        self.register_buffer("order", torch.zeros(int(starts[-1]) + 1))  # the last is no category

    def put_in_order(self, x: Tensor, target: np.ndarray, classes: int) -> None:
        """By these rows (rows, columns) and their targets (rows,): numbers of classes, or values."""
        aim = (target[:, None] == np.arange(classes)).astype(float) if classes else target[:, None]
        codes = x[:, self.codes].long().cpu().numpy()
        found = [category_order(codes[:, i], aim, c) for i, c in enumerate(self.cardinalities)]
        self.order.copy_(torch.from_numpy(np.concatenate([*found, np.zeros(1)])))

    def ordered(self, x: Tensor) -> Tensor:
        """Categories as numbers, behind the numbers: (rows, columns)."""
        if not self.codes:
            return x
        return torch.cat([x[:, self.numbers], self.order[self.starts + x[:, self.codes].long()]], dim=1)


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
