"""TabM: an MLP that holds a whole ensemble (Gorishniy et al. 2024, after BatchEnsemble, Wen et al. 2020).

All members share every weight matrix and differ by vectors that scale what goes in and what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.models.layers.common import choose
from automl.models.layers.tabular import ColumnVector, numeric_options
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class TabM:
    """``members``: options for the size of the ensemble."""

    members: tuple[int, ...] = (8, 16, 32)
    name: str = "tabm"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "tabular"

    def space(self, task: Task) -> nn.Module:
        return TabMSpace(task, tuple(self.members))


class TabMSpace(FamilySpace):
    """Returns one output per member; training gives each member its own loss, and predictions are averaged after.

    ``rows`` = ``split``: while training, each row of a batch goes through one member only, drawn at random and evenly
    (BatchEnsemble): a step costs as much as one MLP's. ``all``: through every member (TabM).
    """

    def __init__(self, task: Task, members: tuple[int, ...]) -> None:
        super().__init__()
        self.members = self.choose("members", members)
        depth = self.choose("depth", (1, 2, 3, 4))
        width = self.choose("width", (64, 128, 256, 512))
        self.split = self.choose("rows", ("split", "all")) == "split"
        numeric = choose(self, "numeric", numeric_options(task.inputs))
        dropout = self.shared("dropout", 0.0)

        self.columns = ColumnVector(task.inputs[0], numeric)
        size = self.columns.size
        layers = []
        for i in range(depth):
            layers.append(MemberLinear(self.members, size, width, first=i == 0))
            size = width
        self.layers = nn.ModuleList(layers)
        self.act = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        bound = size**-0.5
        self.head = nn.Parameter(torch.empty(self.members, size, task.num_outputs).uniform_(-bound, bound))
        self.head_bias = nn.Parameter(torch.zeros(self.members, task.num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, columns) -> (rows, members, num_outputs); while training on split rows (rows, num_outputs)."""
        x = self.columns(x)
        if self.training and self.split:
            return self.one_member_a_row(x)
        x = x[:, None].expand(-1, self.members, -1)
        for layer in self.layers:
            x = self.dropout(self.act(layer(x)))
        return torch.einsum("rms,mso->rmo", x, self.head) + self.head_bias

    def one_member_a_row(self, x: Tensor) -> Tensor:
        start = torch.randint(self.members, (), device=x.device)
        member = (torch.arange(len(x), device=x.device) + start) % self.members  # batches are in random order already
        for layer in self.layers:
            x = self.dropout(self.act(layer(x, member)))
        return torch.einsum("rs,rso->ro", x, self.head[member]) + self.head_bias[member]


class MemberLinear(nn.Module):
    """((x * scale_in_m) W) * scale_out_m + bias_m for each member m, W shared.

    Only the first layer's ``scale_in`` starts different between members (random signs), as in TabM.
    """

    def __init__(self, members: int, size: int, out: int, first: bool) -> None:
        super().__init__()
        self.shared = nn.Linear(size, out, bias=False)
        signs = torch.randint(0, 2, (members, size)).float() * 2 - 1
        self.scale_in = nn.Parameter(signs if first else torch.ones(members, size))
        self.scale_out = nn.Parameter(torch.ones(members, out))
        bound = size**-0.5
        self.bias = nn.Parameter(torch.empty(members, out).uniform_(-bound, bound))

    def forward(self, x: Tensor, member: Tensor | None = None) -> Tensor:
        """(rows, members, size), or (rows, size) with the member of each row -> the same with ``out``."""
        if member is None:
            return self.shared(x * self.scale_in) * self.scale_out + self.bias
        return self.shared(x * self.scale_in[member]) * self.scale_out[member] + self.bias[member]
