"""A network of an earlier run of yours, on other data of the same sort, and a new head (level 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from nni.mutable import frozen_context
from nni.nas.space import current_model
from torch import Tensor, nn

from automl.errors import UserError
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


@dataclass(eq=False)
class Earlier:
    """``folder``: of ``automl.store.trunks``. ``most``: so many networks are options, those that saw most rows.

    ``admitted``: their names, once a task was told (``admitting``); until then it offers none. ``left_out``: why others
    of inputs like the task's are not, a line for each reason.
    """

    folder: str
    most: int = 3
    name: str = "earlier"
    admitted: tuple[str, ...] = field(default=(), init=False)
    left_out: tuple[str, ...] = field(default=(), init=False)
    level: ClassVar[int] = 2

    def __post_init__(self) -> None:
        self._read: dict[str, Kept] = {}  # no field: what travels to other processes is plain

    def supports(self, task: Task) -> bool:
        return bool(self.admitted) and can_be_kept(task)

    def lacks(self, task: Task) -> str:
        """What would let it take part."""
        why = f" ({'; '.join(self.left_out)})" if self.left_out else ""
        return f"solve other data of the same sort first{why}" if can_be_kept(task) else ""

    def admitting(self, task: Task, judging: Callable[[], np.ndarray], began: Sequence[str] | None = None) -> Earlier:
        """The same, offering the networks that have seen none of the rows that judge the task.

        ``judging``: the hashes of those rows (``automl.data.sketch``), asked for where a network is at hand. ``began``:
        the names that a search began with which goes on: it offers these, whatever was kept or lost meanwhile.
        """
        made = replace(self, folder=str(Path(self.folder).absolute()))  # workers may stand in another folder
        admitted, why = list[str](), dict[str, list[str]]()
        for one in self.like(task) if began is None else ():
            if len(admitted) == self.most:
                break
            if reason := refusal(one, task, judging):
                why.setdefault(reason, []).append(one.name)
            else:
                admitted.append(one.name)
        made.admitted = tuple(admitted if began is None else began)
        said = "left out networks of earlier runs"
        made.left_out = tuple(f"{said} ({', '.join(names)}): {reason}" for reason, names in why.items())
        return made

    def like(self, task: Task) -> list[Kept]:
        """Those of inputs like the task's."""
        if not can_be_kept(task):
            return []
        (of,) = task.inputs
        like = [k for k in kept(Path(self.folder)) if k.candidate.family in MAKERS and can_be_kept(k.task)]
        like = [k for k in like if k.task.inputs[0].modality == of.modality]
        return [k for k in like if k.task.inputs[0].shape[0] == of.shape[0]]

    def found(self, name: str) -> Kept | None:
        """An admitted one, if it is still there. The folder is read once: a network is built for each training."""
        if name not in self.admitted:
            return None
        if name not in self._read:
            self._read = {k.name: k for k in kept(Path(self.folder))}
        one = self._read.get(name)
        return one if one is not None and one.path.is_file() else None

    def origin(self, task: Task, candidate: Candidate) -> Origin | None:
        one = self.found(str(candidate.choices[NAMED]))
        if one is None:
            return None
        source = f"your own run of {one.made}, {one.candidate.family}"
        rows = f"{one.task.name}, {one.rows:,} rows, none of which judges here unless it was resized or changed"
        return Origin(one.name, source, "that of its data", rows, one.digest)

    def space(self, task: Task) -> nn.Module:
        return EarlierSpace(task, self)


def refusal(of: Kept, task: Task, judging: Callable[[], np.ndarray]) -> str:
    """Why a network may not begin on a task, whose rows it may have seen; empty where it may.

    ``judging``: see ``Earlier.admitting``.
    """
    names = {task.group, task.name}
    if of.task.data == task.data:
        return "they learned from these data"
    if of.task.group in names:
        return "they learned from data of the same group"
    if not of.sketched:
        return "it is not known from which rows they learned, as they were kept by an earlier version"
    if of.task.name in names and of.task.inputs[0].shape != task.inputs[0].shape:
        return "they learned from data of the same name in another size, whose rows cannot be compared with these"
    if (sketch := of.sketch()) is None:
        return "their file is damaged"
    held, asked = sketch.held(judging())
    if held > sketch.by_chance(asked):
        return f"they learned from {held:,} of the {asked:,} rows that judge here"
    return ""


class EarlierSpace(KnownSpace):
    def __init__(self, task: Task, of: Earlier) -> None:
        super().__init__()
        name = self.choose(NAMED, of.admitted)
        if current_model() is None:  # the axes alone are asked for
            self.lay(task, "", lambda own: nn.Identity(), None, tunes=True)
            return
        one = of.found(name)
        if one is None:
            raise UserError(f"the network {name} of an earlier run is gone from {of.folder}. Begin a new search")
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
