"""Decision trees as tensors: fitted by scikit-learn's gradient boosting, read by any runtime."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from automl.models.closed_form.fits import remembered
from automl.training.module import OutOfTime

# By judgement: nothing stops a stage, so one that takes longer than expected is late, and a short one grows less.
SAFE = 0.8  # of the time left that a further stage of growth may be expected to take
PROBED = 5  # trees by which the time of a round is measured
NODE = np.dtype(
    [("is_leaf", "?"), ("feature_idx", "i4"), ("left", "i4"), ("right", "i4"), ("num_threshold", "f8"), ("value", "f8")]
)
"""What ``Nodes.put`` reads of a node."""


def deepest(leaves: int) -> int:
    """Levels of a tree with so many leaves, at most: more than a balanced one has, and far fewer than a chain."""
    return min(leaves - 1, 2 * (leaves - 1).bit_length() - 1)


class Nodes(nn.Module):
    """``count`` trees of at most so many leaves each, in so many nodes.

    A row that is less than or equal to a node's threshold goes left. All rows walk down all trees at once, one level a
    step; a leaf leads to itself.
    """

    def __init__(self, count: int, leaves: int, nodes: int) -> None:
        super().__init__()
        self.count, self.levels = count, deepest(leaves)
        for name in ("column", "left", "right"):  # the children as steps from the node
            self.register_buffer(name, torch.zeros(nodes, dtype=torch.int32))
        self.register_buffer("number", torch.zeros(nodes))  # a node's threshold, a leaf's value

    column: Tensor
    left: Tensor
    right: Tensor
    number: Tensor

    def put(self, place: int, nodes: np.ndarray) -> None:
        """One tree, from this place on: nodes as scikit-learn's ``TreePredictor`` holds them, or ``NODE``."""
        leaf, own = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
        here = slice(place, place + len(nodes))
        self.column[here] = torch.from_numpy(np.where(leaf, 0, nodes["feature_idx"]).astype(np.int32))
        for steps, side in ((self.left, "left"), (self.right, "right")):
            steps[here] = torch.from_numpy(np.where(leaf, 0, nodes[side].astype(np.int64) - own).astype(np.int32))
        self.number[here] = torch.from_numpy(
            np.where(leaf, nodes["value"].astype(np.float32), not_above(nodes["num_threshold"]))
        )

    def leaves(self, x: Tensor, roots: Tensor) -> Tensor:
        """(rows, columns) -> (rows, ``count``): the places of these leaves, from those of the roots (``count``,)."""
        at = roots.expand(x.shape[0], self.count)
        for _ in range(self.levels):
            goes_left = x.gather(1, self.column[at].long()) <= self.number[at]
            at = at + torch.where(goes_left, self.left[at], self.right[at])
        return at


class Trees(Nodes):
    """(rows, columns) -> (rows, ``count``): the value of the leaf in which each tree puts the row.

    Empty (one leaf of value 0 each) until ``fill``.
    """

    def __init__(self, count: int, leaves: int) -> None:
        super().__init__(count, leaves, count * (2 * leaves - 1))
        self.size = 2 * leaves - 1

    def fill(self, trees: list[np.ndarray]) -> None:
        """``trees``: as in ``put``; the rest becomes empty."""
        for held in self.buffers():
            held.zero_()
        for i, nodes in enumerate(trees):
            self.put(i * self.size, nodes)

    def forward(self, x: Tensor) -> Tensor:
        return self.number[self.leaves(x, torch.arange(self.count, device=x.device) * self.size)]


def not_above(values: np.ndarray) -> np.ndarray:
    """The largest float32 that is no larger, so that a float32 is on the same side of it as of the float64."""
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
        return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)


@remembered
def boosted(
    x: np.ndarray,
    y: np.ndarray,
    classes: int,
    *,
    rounds: int,
    leaves: int,
    threads: int,
    until: float = math.inf,
    **options: Any,
) -> tuple[tuple[list[list[np.ndarray]], np.ndarray], bool]:
    """Trees by round and output, and the score (outputs,) that they add to: log-odds of class 1 for two classes, one
    score per class for more, or the value where ``classes`` is 0.

    x: float32 (rows, columns); y: class numbers, all below ``classes``, or values. A class without rows gets no tree
    and the score of one row in all. Gradient boosting over binned columns (Ke et al. 2017, "LightGBM").
    ``until``: of ``time.monotonic()``; the rounds are as many as end by then. Raises OutOfTime when not one would. What
    was grown before in this process is known.
    """
    kind: Any = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    model = kind(max_leaf_nodes=leaves, max_depth=deepest(leaves), early_stopping=False, warm_start=True, **options)
    seen = np.unique(y) if classes else np.zeros(1)
    outputs = classes if classes > 2 else 1
    if classes and len(seen) == 1:
        alone = np.full(max(outputs, 2), -np.log(1 + len(y)))
        alone[seen[0]] = 0.0
        return ([], alone if outputs > 1 else alone[1:] - alone[:1]), True
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes")  # they are classes all the same
        if math.isfinite(until) and len(seen) > 2:
            check_round(model, x, y, len(seen), until)
        grow(model, x, y, rounds, until)
    # scikit-learn offers no public way to the trees of its histogram boosting; the tests compare with its predictions
    found = [[tree.nodes for tree in one] for one in model._predictors]
    start, whole = np.ravel(model._baseline_prediction), len(found) == rounds
    if outputs == 1 or len(seen) == outputs:
        return (found, start), whole
    return spread(found, start, seen, classes, rows=len(y)), whole


def check_round(model: Any, x: np.ndarray, y: np.ndarray, trees: int, until: float) -> None:
    """Raises OutOfTime when one round of so many trees would end after ``until``, by the time that ``PROBED`` trees
    take: a round of a thousand classes takes seconds, and nothing stops it.
    """
    one: Any = clone(model)
    times = []
    for count in (1, 1 + PROBED):
        began = time.monotonic()
        one.set_params(max_iter=count).fit(x, y == y[0])
        times.append(time.monotonic() - began)
    # A warm start grows what is missing: one tree, then ``PROBED`` more. The rest is the binning of the columns.
    each = max(times[1] - times[0], 0.0) / (PROBED - 1)
    needed, left = times[0] + (trees - 1) * each, until - time.monotonic()
    if needed > left:
        raise OutOfTime(f"one round of {trees} trees would take about {needed:.1f} s, {max(left, 0.0):.1f} s are left")


def grow(model: Any, x: np.ndarray, y: np.ndarray, rounds: int, until: float, name: str = "max_iter") -> None:
    """Fit in stages, between which the clock is looked at: the trees are those of a fit in one go, only fewer.

    ``name``: of the model's number of rounds.
    """
    stage = rounds if math.isinf(until) else 1
    done = 0
    while stage > 0:
        began = time.monotonic()
        done += stage
        model.set_params(**{name: done}).fit(x, y)
        each = (time.monotonic() - began) / stage  # with the binning of the columns, so rather too much
        stage = min(rounds - done, int(min(SAFE * (until - time.monotonic()) / max(each, 1e-6), rounds)))


def spread(
    found: list[list[np.ndarray]], start: np.ndarray, seen: np.ndarray, classes: int, *, rows: int
) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """The same for all classes, where only some of them were ``seen``."""
    nothing = np.zeros(1, found[0][0].dtype)
    nothing["is_leaf"] = 1
    trees = []
    if len(seen) == 2:  # log-odds of the second: half to each side
        trees = [[halves(one[0], -0.5), halves(one[0], 0.5)] for one in found]
        start = start * np.array([-0.5, 0.5])
    whole = np.full(classes, start.min() - np.log(1 + rows))
    whole[seen] = start
    place = {int(k): i for i, k in enumerate(seen)}
    return [[one[place[k]] if k in place else nothing for k in range(classes)] for one in trees or found], whole


def halves(nodes: np.ndarray, factor: float) -> np.ndarray:
    """The same tree with its values multiplied."""
    nodes = nodes.copy()
    nodes["value"] *= factor
    return nodes
