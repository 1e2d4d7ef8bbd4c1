"""Forests of decision trees as tensors: grown by scikit-learn, read by any runtime."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from torch import Tensor

from automl.models.closed_form.fits import remembered
from automl.models.closed_form.trees import NODE, Nodes, deepest, grow

KINDS = ("extra", "random")
"""Extremely randomised trees (Geurts et al. 2006) and random forests (Breiman 2001)."""
NODES = ("column", "left", "right", "number", "values")
"""Buffers of a forest that hold a line for each node."""


class Forest(Nodes):
    """(rows, columns) -> (rows, ``outputs``): the mean over the trees of what stands in the leaf of each row.

    Of ``count`` trees as many count as ``fill`` was given. It holds the nodes that these have, and no more: a state of
    another number of nodes is taken.
    """

    def __init__(self, count: int, leaves: int, outputs: int) -> None:
        super().__init__(count, leaves, 1)
        self.register_buffer("values", torch.zeros(1, outputs))
        self.register_buffer("root", torch.zeros(count, dtype=torch.int64))
        self.register_buffer("grown", torch.ones(()))
        self.register_load_state_dict_pre_hook(_hold)

    values: Tensor
    root: Tensor
    grown: Tensor

    def hold(self, nodes: int) -> None:
        """So many, all empty."""
        for name in NODES:
            held = getattr(self, name)
            setattr(self, name, held.new_zeros(nodes, *held.shape[1:]))

    def fill(self, trees: list[tuple[np.ndarray, np.ndarray]]) -> None:
        """``trees``: of ``forest``."""
        places = np.cumsum([0, *(len(nodes) for nodes, _ in trees)])
        self.hold(int(places[-1]) + 1)  # the last is an empty tree's, for those that were not grown
        self.root.fill_(int(places[-1]))
        for i, (place, (nodes, values)) in enumerate(zip(places[:-1].tolist(), trees, strict=True)):
            self.put(place, nodes)
            self.values[place : place + len(nodes)] = torch.from_numpy(values)
            self.root[i] = place
        self.grown.fill_(len(trees))

    def forward(self, x: Tensor) -> Tensor:
        return self.values[self.leaves(x, self.root)].sum(dim=1) / self.grown


def _hold(module: Nodes, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    assert isinstance(module, Forest)
    held = state.get(f"{prefix}number")
    if held is not None and held.shape != module.number.shape:
        module.hold(len(held))


@remembered
def forest(
    x: np.ndarray,
    y: np.ndarray,
    classes: int,
    *,
    kind: str,
    trees: int,
    leaves: int,
    threads: int,
    until: float = math.inf,
    **options: Any,
) -> tuple[list[tuple[np.ndarray, np.ndarray]], bool]:
    """Each tree's nodes, as ``Nodes.put`` reads them, and what stands in them: float32 (nodes, outputs), the shares of
    the classes or, where ``classes`` is 0, the mean (nodes, 1).

    x: float32 (rows, columns); y: class numbers, all below ``classes``, or values. ``kind``: one of ``KINDS``.
    ``until``: of ``time.monotonic()``; the trees are as many as end by then, at least one.
    """
    kinds: Any = {
        "extra": (ExtraTreesRegressor, ExtraTreesClassifier),
        "random": (RandomForestRegressor, RandomForestClassifier),
    }
    model = kinds[kind][classes > 0](max_leaf_nodes=leaves, max_depth=deepest(leaves), n_jobs=threads, **options)
    model.set_params(warm_start=True)
    grow(model, x, y, trees, until, name="n_estimators")
    seen = model.classes_ if classes else np.zeros(1, int)
    return [tensors(one.tree_, seen, max(classes, 1)) for one in model.estimators_], len(model.estimators_) == trees


def tensors(tree: Any, seen: np.ndarray, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """A tree of scikit-learn: its nodes, and float32 (nodes, outputs). ``seen``: the outputs that it has values for."""
    nodes = np.zeros(tree.node_count, NODE)
    nodes["is_leaf"] = tree.children_left < 0
    nodes["feature_idx"] = np.maximum(tree.feature, 0)
    nodes["left"], nodes["right"] = tree.children_left, tree.children_right  # of leaves nobody reads them
    nodes["num_threshold"] = tree.threshold
    values = np.zeros((tree.node_count, outputs), np.float32)
    values[:, seen] = tree.value[:, 0]
    return nodes, values
