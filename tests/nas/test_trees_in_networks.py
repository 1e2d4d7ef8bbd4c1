"""What holds for every family of trees."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from automl.types import Input, Task
from nas.family import build
from nas.testing.families import TASKS, axes_of, candidate_at, export_agrees, rows
from tests.nas.family_tasks import FAMILIES

TASK = Task("table", "multiclass", (Input("table", "tabular", (4,), cardinalities=(0, 7, 0, 30)),), 3, "accuracy")


def network(name: str, task: Task) -> Any:
    axes = axes_of(FAMILIES[name], task)
    return build(FAMILIES[name], task, candidate_at(FAMILIES[name], axes, 0), axes, seed=0)


@pytest.mark.parametrize("name", ["boosted_trees", "forest"])
class TestTreesInNetworks:
    def test_the_exported_graph_holds_them(self, name):
        task = TASKS["mixed"]
        net = network(name, task)
        (x,) = rows(task, 300)
        with torch.no_grad():
            net.begin([(x,)], (x[:, 0] > 0).long() + (x[:, 1] > 3).long())
            assert len(net.eval()(x).unique(dim=0)) > 10
        export_agrees(net, task)

    def test_few_rows(self, name):
        for count in (1, 2, 5):
            x = torch.randn(count, 4).abs().floor()
            net = network(name, TASK)
            with torch.no_grad():
                net.begin([(x,)], torch.arange(count) % 3)
                assert net.eval()(x).isfinite().all()
