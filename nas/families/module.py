"""A user's own ``nn.Module`` by its name, as a family (level 1)."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from nni.nas.space import current_model
from torch import Tensor, nn

from automl.errors import UserError
from automl.models.listed.blocks import Entry
from automl.models.listed.read import MOST_OPTIONS, chosen
from automl.types import Input, Task
from nas.family import FamilySpace
from nas.given import choose_training

SIZES = ("in_shape", "num_outputs", "vocabulary", "task")


@dataclass(frozen=True)
class Module:
    """``target``: ``package.Class``. ``arguments``: of its constructor; a list is a choice. ``training``: as of Layers.

    The constructor is also given what it names among ``SIZES``: ``in_shape`` (of a row, without rows), ``num_outputs``,
    ``vocabulary`` (of token ids), or ``task``. Its ``forward`` takes what the first layer of a list would get
    (``automl.models.listed.blocks.Entry``), or, where it names ``task``, every input as ``automl.types.Input`` says.
    """

    target: str
    arguments: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | str | None = None
    name: str = "module"
    level: ClassVar[int] = 1

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 or "task" in sizes_of(found(self.target))

    def space(self, task: Task) -> nn.Module:
        """The network. Raises UserError for a module that is not there or does not fit."""
        return ModuleSpace(task, self)


class ModuleSpace(FamilySpace):
    def __init__(self, task: Task, of: Module) -> None:
        super().__init__()
        make = found(of.target)
        given = dict(of.arguments or {})
        name = json.dumps([of.target, given], sort_keys=True, default=repr)
        self.named(hashlib.sha256(name.encode()).hexdigest()[:12])
        choose_training(self, task, of.training)
        for key, value in given.items():
            if isinstance(value, list | tuple):
                given[key] = self.chosen(f"/arguments/{key}", value)
        wanted = sizes_of(make)
        self.input = None if "task" in wanted else Entry(task.inputs[0])
        shape = self.input.shape if self.input is not None else ()
        known = {
            "in_shape": shape,
            "num_outputs": task.num_outputs,
            "vocabulary": task.inputs[0].vocabulary,
            "task": task,
        }
        sizes = {k: known[k] for k in wanted if k not in given}
        checked = current_model() is None
        with torch.random.fork_rng(devices=[], enabled=checked):
            try:
                self.net = make(**given, **sizes)
            except Exception as error:  # it is the user's code
                raise UserError(
                    f"family.module.target={of.target}: {_line(error)}. It is given {', '.join(sizes)}"
                ) from error
            if not isinstance(self.net, nn.Module):
                raise UserError(f"family.module.target={of.target} makes no torch.nn.Module. Name a class that is one")
            if checked:
                self.check(of, task)

    def chosen(self, path: str, value: Any) -> Any:
        """One value of a list."""
        if not 0 < len(value) <= MOST_OPTIONS:
            raise UserError(f"{path}: a choice of {len(value)} values. Give 1 to {MOST_OPTIONS}")
        values = [tuple(v) if isinstance(v, list) else v for v in value]
        if len(values) == 1:
            return values[0]
        choice = chosen(path, values)
        return choice.values[choice.options.index(self.choose(choice.name, choice.options))]

    def check(self, of: Module, task: Task) -> None:
        """Raises UserError where two rows do not become two rows of outputs."""
        rows = tuple(_rows(one) for one in task.inputs)
        try:
            with torch.no_grad():
                out = self(*rows)
        except Exception as error:  # it is the user's code
            shapes = ", ".join(str(tuple(x.shape)) for x in rows)
            raise UserError(f"family.module.target={of.target} fails for {shapes}: {_line(error)}. Mend it") from error
        shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        if shape != (2, task.num_outputs):
            raise UserError(
                f"family.module.target={of.target} gives {shape} for 2 rows. Let it give (rows, {task.num_outputs})"
            )

    def forward(self, *inputs: Tensor) -> Tensor:
        """Each input (rows, ...) -> (rows, num_outputs)."""
        return self.net(*inputs) if self.input is None else self.net(self.input(*inputs))


def found(target: str) -> Callable[..., Any]:
    """The class of a name. Raises UserError where there is none."""
    module, _, name = target.rpartition(".")
    try:
        make = getattr(importlib.import_module(module), name)
    except Exception as error:  # a name that is not there, or the user's code
        raise UserError(
            f"family.module.target={target} is not there ({_line(error)}). Write PACKAGE.CLASS, and set PYTHONPATH"
        ) from error
    if not callable(make):
        raise UserError(f"family.module.target={target} is no class. Write PACKAGE.CLASS of a torch.nn.Module")
    return make


def sizes_of(make: Callable[..., Any]) -> tuple[str, ...]:
    """Which of ``SIZES`` it takes."""
    try:
        return tuple(name for name in inspect.signature(make).parameters if name in SIZES)
    except ValueError:  # of some classes of Python's own
        return ()


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _rows(of: Input) -> Tensor:
    return torch.zeros((2, *of.shape), dtype=torch.int32 if of.modality == "text" else torch.float32)
