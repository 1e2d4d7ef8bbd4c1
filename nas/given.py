"""What a user says of the training of a network of his own: fixed values, or lists of them to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from automl.data.augment import STRENGTHS, can_mix
from automl.errors import UserError
from automl.models.listed.errors import LayerError
from automl.models.listed.read import chosen, shown, values_of
from automl.training import named, transforms
from automl.training.losses import CLASSES, VALUES
from automl.training.optim import SCALE, SCHEDULES
from automl.training.options import Options
from automl.types import Family, Option, Task
from nas.family import FamilySpace

SEARCH = "search"
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "learning_rate": (1e-9, 100.0),
    "weight_decay": (0.0, 10.0),
    "batch_size": (1, 10_000),
    "label_smoothing": (0.0, 1.0),
    "mixup": (0.0, 10.0),
    "clip": (0.0, 10_000),
    "patience": (0, 10_000),
}
_LISTED = ", or a list of image operations: [{RandomHorizontalFlip: {p: 0.5}}, ...]"
_SAID_BY = {"learning_rate": "optimizer", "weight_decay": "optimizer", "label_smoothing": "loss"}


@dataclass(eq=False)
class Trained:
    """A family that is trained as a user says: only its own choices are searched. ``training``: as of
    ``choose_training``.
    """

    family: Family
    training: Mapping[str, Any]
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.family.name

    @property
    def level(self) -> int:
        return getattr(self.family, "level", 4)

    def __getattr__(self, name: str) -> Any:  # what some families tell beside: ``wordpieces``, ``origin``, ``lacks``
        if name == "family" or name.startswith("__"):  # not made yet, as while it is unpickled
            raise AttributeError(name)
        return getattr(self.family, name)

    def supports(self, task: Task) -> bool:
        return self.family.supports(task)

    def space(self, task: Task) -> nn.Module:
        """Raises LayerError for what is wrong with the training."""
        space: Any = self.family.space(task)
        choose_training(space, task, self.training)
        return space


def choose_training(space: FamilySpace, task: Task, training: Mapping[str, Any] | str | None) -> None:
    """Declare the given options of ``automl.training.options.Options`` as axes; what is not given keeps its default.

    ``search``: the training axes that every family shares are searched instead. Raises UserError for what does not fit.
    """
    space.shares = training == SEARCH
    if training is None or training == SEARCH:
        return
    if not isinstance(training, Mapping):
        raise UserError(
            f"training={shown(training)} is not understood. Write {SEARCH}, or {{learning_rate: 0.01, ...}}"
        )
    named_ones = [n for n in ("optimizer", "loss") if any(isinstance(v, Mapping) for v in _listed(training.get(n)))]
    for name, value in training.items():
        path = f"/training/{name if isinstance(name, str) else shown(name)}"
        if name not in Options.__dataclass_fields__:
            raise LayerError(path, "there is no such option", f"Options: {', '.join(Options.__dataclass_fields__)}")
        if _SAID_BY.get(name) in named_ones:
            raise LayerError(path, f"the {_SAID_BY[name]} says it by its own arguments", "Write it there")
        options = _options(name, value, path, task)
        if any(options) and (why := _does_nothing(name, task)):
            raise LayerError(path, why, "Leave it out")
        space.declare(name, options)


def _does_nothing(name: str, task: Task) -> str:
    """Why an option would be passed over for the task; empty where it is not."""
    if name == "mixup" and not can_mix(task.inputs):
        return "texts cannot be blended"
    if name == "label_smoothing" and task.kind == "regression":
        return "values have no labels to smooth"
    return ""


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _options(name: str, value: Any, path: str, task: Task) -> tuple[Option, ...]:
    values = task.kind == "regression"
    tables = {
        "optimizer": (SCALE, named.OPTIMIZERS),
        "schedule": (SCHEDULES, named.SCHEDULES),
        "loss": (VALUES, named.VALUE_LOSSES) if values else (CLASSES, named.CLASS_LOSSES),
        "augment": (STRENGTHS, {}),
    }
    if name == "augment" and transforms.says_operations(value):
        found: list[Any] = [*transforms.options(value, path, task.inputs)]
    elif name not in tables:
        kind = type(getattr(Options(), name))
        found = values_of(value, path, name, {kind})
        low, high = _BOUNDS.get(name, (0, 1))
        for one in found:
            if not low <= one <= high:
                raise LayerError(path, f"{one} is out of bounds", f"Write a number from {low:g} to {high:g}")
    else:
        own, of_torch = tables[name]
        found = []
        for one in _listed(value):
            if isinstance(one, str) and one in own:
                found.append(one)
            elif isinstance(one, Mapping) and of_torch:
                found += named.options(one, path, of_torch)
            else:
                torch_s = f", or {{NAME: {{...}}}} of {', '.join(of_torch)}" if of_torch else _LISTED
                raise LayerError(path, f"{shown(one)} is not known", f"Write one of {', '.join(own)}{torch_s}")
    if not found:
        raise LayerError(path, "the choice is empty", "Give a value")
    return chosen(path, found).options if len(found) > 1 else tuple(found)
