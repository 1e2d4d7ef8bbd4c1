"""A network of an earlier run of yours, on other data of the same sort, and a new head (level 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from nni.mutable import frozen_context
from torch import Tensor, nn

from automl.models.known.libraries import Trunk, parted
from automl.models.known.origins import Origin
from automl.store.trunks import Kept, kept
from automl.types import Axis, Candidate, Family, Task
from nas.families.convnet import ConvNet
from nas.families.convnext import ConvNeXt
from nas.families.fcn_resnet1d import FCNResNet1d
from nas.families.inception_time import InceptionTime
from nas.families.mobilenet import MobileNet
from nas.families.tcn import TCN
from nas.families.vit import ViT
from nas.family import NAMED, build, search_axes
from nas.known import KnownSpace, Seen
from nas.recipe import training_axes

MAKERS: Mapping[str, Any] = {
    "convnet": ConvNet,
    "convnext": ConvNeXt,
    "mobilenet": MobileNet,
    "vit": ViT,
    "fcn_resnet1d": FCNResNet1d,
    "inception_time": InceptionTime,
    "tcn": TCN,
}
"""What a file may name: families of one picture, sound or series, with the options that conf gives them."""


@dataclass(frozen=True)
class Earlier:
    """``folder``: of ``automl.store.trunks``. ``most``: so many networks are options, those that saw most rows."""

    folder: str
    most: int = 3
    name: str = "earlier"
    level: ClassVar[int] = 2

    def supports(self, task: Task) -> bool:
        return bool(self.found(task))

    def found(self, task: Task) -> list[Kept]:
        """Those of inputs like the task's. None of its group or data: they may have seen its test rows."""
        if len(task.inputs) != 1 or not can_be_kept(task):
            return []
        (of,) = task.inputs
        like = [k for k in kept(Path(self.folder)) if k.candidate.family in MAKERS and can_be_kept(k.task)]
        like = [k for k in like if k.task.inputs[0].modality == of.modality]
        like = [k for k in like if k.task.inputs[0].shape[0] == of.shape[0] and not k.task.inputs[0].masked]
        mine = {task.group, task.name}
        return [k for k in like if not mine & {k.task.group, k.task.name} and k.task.data != task.data][: self.most]

    def origin(self, task: Task, candidate: Candidate) -> Origin | None:
        for one in self.found(task):
            if one.name == candidate.choices[NAMED]:
                source = f"your own run of {one.made}, {one.candidate.family}"
                return Origin(one.name, source, "that of its data", f"{one.task.name}, {one.rows:,} rows", one.digest)
        return None

    def space(self, task: Task) -> nn.Module:
        return EarlierSpace(task, self)


class EarlierSpace(KnownSpace):
    def __init__(self, task: Task, of: Earlier) -> None:
        super().__init__()
        found = {k.name: k for k in of.found(task)}
        one = found[self.choose(NAMED, tuple(found))]
        old = one.task.inputs[0]
        self.seen = Seen(task.inputs[0], old.shape, (old.mean, old.std) if old.mean else None)
        self.lay(task, one.digest, lambda own: trunk(one), self.seen.key, tunes=True)

    def view(self, x: Tensor) -> Tensor:
        return self.seen(x)


def can_be_kept(task: Task) -> bool:
    """Whether networks of the task may help with others: of one picture, sound or series, all of one length."""
    return (
        len(task.inputs) == 1 and task.inputs[0].modality in ("image", "audio", "series") and not task.inputs[0].masked
    )


def may_help(task: Task, candidate: Candidate) -> bool:
    """Whether a network of the task is worth keeping: one that ``trunk`` can make again."""
    if candidate.family not in MAKERS or not can_be_kept(task):
        return False
    axes = axes_of(task, candidate)
    return all(candidate.choices.get(a.name) in a.options for a in axes if a.is_active(candidate.choices))


def axes_of(task: Task, candidate: Candidate) -> tuple[Axis, ...]:
    family: Family = MAKERS[candidate.family]()
    with frozen_context.bypass():  # it is asked for while a network is built, of other axes
        return search_axes({family.name: family}, task, training_axes(task))[family.name]


def trunk(of: Kept) -> Trunk:
    """The network without its head. Raises ValueError, KeyError or RuntimeError where the file holds another."""
    family: Family = MAKERS[of.candidate.family]()
    axes = axes_of(of.task, of.candidate)
    tasks = of.task, replace(of.task, num_outputs=of.task.num_outputs + 1)
    net, other = (build(family, task, of.candidate, axes, seed=0) for task in tasks)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in of.weights().items()})
    return Trunk(net, parted(net, other), torch.zeros(1, *of.task.inputs[0].shape))
