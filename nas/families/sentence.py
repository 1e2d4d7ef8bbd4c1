"""A known network of texts and a new head (level 2): all-MiniLM-L6-v2, where the package that holds it is installed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import safetensors.torch
from torch import Tensor, nn

from automl.errors import UserError
from automl.models.known.bert import SentenceBert
from automl.models.known.origins import Origin, package_of
from automl.types import Candidate, Task
from nas.known import KnownSpace

WEIGHTS = "auto", "installed"


@dataclass(frozen=True)
class Sentence:
    """``weights``: ``auto`` takes part where they are at hand, ``installed`` asks for them. ``depths``: options for how
    many of its six layers are used: fewer cost less. ``tunes``: whether it may be trained; that needs a GPU.
    """

    weights: str = "auto"
    depths: tuple[int, ...] = (2, 6)
    tunes: bool = False
    name: str = "sentence"
    level: ClassVar[int] = 2

    def supports(self, task: Task) -> bool:
        if len(task.inputs) != 1 or task.inputs[0].modality != "text":
            return False
        at_hand = package_of("text").folder is not None
        return task.inputs[0].pieces > 0 if at_hand else self.weights != "auto"

    def lacks(self, task: Task) -> str:
        """What would let it take part."""
        return package_of("text").install if task.inputs[0].modality == "text" else ""

    def wordpieces(self) -> Sequence[str]:
        """The vocabulary that texts must be read with; empty where the weights are not at hand."""
        package = package_of("text")
        if package.folder is None:
            return ()
        return tuple(package.file("vocabulary").read_text(encoding="utf-8").rstrip("\n").split("\n"))

    def origin(self, task: Task, candidate: Candidate) -> Origin:
        return package_of("text").origin

    def space(self, task: Task) -> nn.Module:
        """The network. Raises UserError where the package is not installed."""
        if self.weights not in WEIGHTS:
            raise UserError(f"family.{self.name}.weights={self.weights} must be one of: {', '.join(WEIGHTS)}")
        package_of("text").file("vocabulary")
        return SentenceSpace(task, self)


class SentenceSpace(KnownSpace):
    def __init__(self, task: Task, of: Sentence) -> None:
        super().__init__()
        package = package_of("text")
        self.named(package.name)
        depth = self.choose("depth", tuple(of.depths))
        self.behind = task.inputs[0].shape[0] - task.inputs[0].pieces
        digest = package.files["weights"][1]
        self.lay(task, digest, functools.partial(trunk, depth, max(of.depths)), depth, tunes=of.tunes)

    def view(self, x: Tensor) -> Tensor:
        return x[:, self.behind :]


def trunk(depth: int, deepest: int, own: bool) -> SentenceBert:
    """The network; its weights are one for all trainings of a process, unless they are to be a training's ``own``. So
    they are in a bundle once, and what its members have in common is computed once.
    """
    return _read(depth) if own else _shared(deepest).cut(depth)


@functools.lru_cache(1)
def _shared(depth: int) -> SentenceBert:
    return _read(depth)


def _read(depth: int) -> SentenceBert:
    return SentenceBert(safetensors.torch.load_file(package_of("text").file("weights")), depth)
