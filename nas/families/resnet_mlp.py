"""Residual MLP for tables (Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data")."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from automl.models.layers.common import Residual, activation, choose, vector_norm
from automl.models.layers.tabular import ColumnVector, numeric_options
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class ResNetMLP:
    """``widths``: options for the width of the residual stream."""

    widths: tuple[int, ...] = (64, 128, 256, 512)
    name: str = "resnet_mlp"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "tabular"

    def space(self, task: Task) -> nn.Module:
        return ResNetMLPSpace(task, tuple(self.widths))


class ResNetMLPSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...]) -> None:
        super().__init__()
        depth = self.choose("depth", (1, 2, 4, 6))
        width = self.choose("width", widths)
        expansion = self.choose("expansion", (1, 2, 4))
        norm = self.choose("norm", ("layer", "batch"))
        act = self.choose("activation", ("relu", "gelu", "silu"))
        numeric = choose(self, "numeric", numeric_options(task.inputs))
        dropout = self.shared("dropout", 0.0)

        self.columns = ColumnVector(task.inputs[0], numeric)
        self.stem = nn.Linear(self.columns.size, width)
        self.blocks = nn.Sequential(
            *(
                Residual(
                    vector_norm(norm, width),
                    nn.Linear(width, width * expansion),
                    activation(act),
                    nn.Dropout(dropout),
                    nn.Linear(width * expansion, width),
                )
                for _ in range(depth)
            )
        )
        self.head = nn.Sequential(vector_norm(norm, width), activation(act), nn.Linear(width, task.num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, columns) -> (rows, num_outputs)."""
        return self.head(self.blocks(self.stem(self.columns(x))))
