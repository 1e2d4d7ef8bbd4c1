"""A known network of pictures, also for the spectrograms of sounds, and a new head (level 2).

That weights from photographs help with spectrograms is from Palanisamy et al. 2020, arXiv:2007.11154.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nni.nas.space import current_model
from torch import Tensor, nn

from automl.errors import UserError
from automl.models.known.efficientnet_lite import EfficientNetLite0, read_state
from automl.models.known.libraries import check_name, downloaded, made
from automl.models.known.origins import Origin, digest_of, origin_of_file, package_of, read_weights
from automl.models.layers.common import choose
from automl.models.layers.image import is_image_task
from automl.types import Candidate, Task
from nas.family import FamilySpace
from nas.known import KnownSpace, Scale, Seen

PHOTOGRAPHS: Scale = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation of ImageNet's
HALVES: Scale = (127 / 255,) * 3, (128 / 255,) * 3  # as TensorFlow's networks see them
OPTION = "family.pretrained.weights"
STRETCHED = 4  # times at most that a picture is stretched, see ``Pretrained.sides_of``; by judgement
LEAST_SIDE = 32  # most of these networks halve the map five times


@dataclass(frozen=True)
class Pretrained:
    """``weights``: ``auto`` takes part where an installed package holds some, ``installed`` asks for them; ``download``
    lets ``source`` fetch its own; ``none``: random ones; or a .safetensors or .pth file of ``model``.

    ``model``: a name of ``source``, which is torchvision or timm; a package has a network of its own. ``sides``:
    options for the height and width that pictures are brought to. Vision transformers need the one that they were made
    for.
    """

    weights: str = "auto"
    model: str = "resnet18"
    source: str = "torchvision"
    sides: tuple[int, ...] = (64, 128, 224)
    name: str = "pretrained"
    level: ClassVar[int] = 2

    def supports(self, task: Task) -> bool:
        if not is_image_task(task) or task.inputs[0].shape[0] not in (1, 3):
            return False
        return self.weights != "auto" or package_of("image").folder is not None

    def lacks(self, task: Task) -> str:
        """What would let it take part."""
        return package_of("image").install if is_image_task(task) else ""

    def sides_of(self, task: Task) -> tuple[int, ...]:
        """The options that are worth it: a picture that is stretched further shows nothing more and costs more."""
        longest = max(task.inputs[0].shape[1:])
        return tuple(s for s in self.sides if s <= STRETCHED * longest) or (min(self.sides),)

    @property
    def packed(self) -> bool:
        """Whether the weights are those of a package."""
        return self.weights in ("auto", "installed")

    @property
    def file(self) -> Path | None:
        """The file of weights, which is fetched where that was asked for; None: they are random."""
        if self.packed:
            return package_of("image").file("weights")
        if self.weights == "download":
            return downloaded(self.source, self.model)
        return None if self.weights == "none" else Path(self.weights).expanduser()

    def origin(self, task: Task, candidate: Candidate) -> Origin | None:
        """What is told of the weights; None where they are random."""
        if self.packed:
            return package_of("image").origin
        return None if self.file is None else origin_of_file(self.file, self.model)

    def space(self, task: Task) -> nn.Module:
        """The network. Raises UserError for a name or a file that is not there or does not fit."""
        if min(self.sides, default=0) < LEAST_SIDE:
            raise UserError(f"family.pretrained.sides={list(self.sides)} must be numbers of at least {LEAST_SIDE}")
        if not self.packed:
            check_name(self.source, self.model)
        return RandomSpace(task, self) if self.weights == "none" else PretrainedSpace(task, self)


class PretrainedSpace(KnownSpace):
    def __init__(self, task: Task, of: Pretrained) -> None:
        super().__init__()
        file = of.file
        assert file is not None
        state = None if of.packed else read_weights(file, OPTION)
        digest = digest_of(file)
        if state is not None and current_model() is None:  # a file that does not fit is told before the search
            made(of.source, of.model, of.sides_of(task)[0], state, OPTION)
        self.named(f"{package_of('image').name if of.packed else of.model}-{digest[:8]}")
        side = choose(self, "side", of.sides_of(task))
        self.seen = Seen(task.inputs[0], (3, side, side), HALVES if of.packed else PHOTOGRAPHS)

        def trunk(own: bool) -> nn.Module:
            return packed(file, own) if state is None else made(of.source, of.model, side, state, OPTION)

        net = "" if of.packed else (of.source, of.model)  # networks that differ may have weights of the same shapes
        self.lay(task, digest, trunk, (net, self.seen.key), tunes=True)

    def view(self, x: Tensor) -> Tensor:
        return self.seen(x)


class RandomSpace(FamilySpace):
    """The same network with random weights, trained like any other."""

    def __init__(self, task: Task, of: Pretrained) -> None:
        super().__init__()
        self.named(of.model)
        side = choose(self, "side", of.sides_of(task))
        dropout = self.shared("dropout", 0.0)
        if current_model() is None:
            return
        self.seen = Seen(task.inputs[0], (3, side, side), None)
        self.trunk = made(of.source, of.model, side, None, OPTION)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.trunk.size, task.num_outputs)

    def forward(self, image: Tensor) -> Tensor:
        """(rows, channels, height, width) -> (rows, num_outputs)."""
        return self.head(self.dropout(self.trunk(self.seen(image))))


def packed(file: Path, own: bool) -> EfficientNetLite0:
    """The network of the package; one for all trainings of a process unless it is to be a training's ``own``."""
    return _read(file) if own else _shared(file)


@functools.lru_cache(1)
def _shared(file: Path) -> EfficientNetLite0:
    return _read(file)


def _read(file: Path) -> EfficientNetLite0:
    net = EfficientNetLite0()
    read_state(net, read_weights(file, OPTION))
    return net
