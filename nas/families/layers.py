"""A network that is written as a list of layers (level 1); lists in the place of values are what is searched."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nni.nas.space import current_model
from torch import Tensor, nn

from automl.models.listed.blocks import Entry
from automl.models.listed.build import made, planned
from automl.models.listed.read import Listing, read
from automl.types import Task
from nas.family import FamilySpace
from nas.given import choose_training


@dataclass(frozen=True)
class Layers:
    """``layers``: see docs/layers.md. ``training``: options of ``automl.training.options``; None: their defaults;
    ``search``: searched as for any family.
    """

    layers: Sequence
    training: Mapping[str, Any] | str | None = None
    name: str = "layers"
    level: ClassVar[int] = 1

    @functools.cached_property
    def listing(self) -> Listing:
        return read(self.layers)

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1

    def space(self, task: Task) -> nn.Module:
        """The network. Raises LayerError for a list that none can be made of."""
        return LayersSpace(task, self)


class LayersSpace(FamilySpace):
    def __init__(self, task: Task, of: Layers) -> None:
        super().__init__()
        listing = of.listing
        self.named(listing.digest)
        choose_training(self, task, of.training)
        picked = {c.name: self.choose(c.name, c.options, parent=c.parent, when=c.when) for c in listing.choices}
        (input_,) = task.inputs
        self.input = Entry(input_)
        plan = planned(listing.fixed(picked), self.input.shape, task.num_outputs, input_.vocabulary)
        # Where the axes alone are asked for, nothing of the network is allocated.
        self.net = made(plan.parts if current_model() is not None else ())

    def forward(self, x: Tensor) -> Tensor:
        """(rows, ...) -> (rows, num_outputs)."""
        return self.net(self.input(x))
