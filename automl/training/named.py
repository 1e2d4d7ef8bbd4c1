"""Optimizers, losses and schedules of torch by their own names and arguments: ``{"AdamW": {"lr": 0.001}}``. Image
operations go the same way: ``automl.training.transforms``.

As an option of an axis such a thing is its JSON text. Names and arguments come from tables; nothing else is looked up.

>>> json.loads(options({"SGD": {"lr": [0.1, 0.01]}}, "/training/optimizer", OPTIMIZERS)[1])
{'SGD': {'lr': 0.01}}
"""

from __future__ import annotations

import bisect
import inspect
import itertools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from automl.models.listed.errors import LayerError
from automl.models.listed.read import MOST_OPTIONS, kinds, shown, values_of

Table = Mapping[str, Callable[..., Any]]

OPTIMIZERS: Table = {
    name: getattr(torch.optim, name)
    for name in ("ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")
}
CLASS_LOSSES: Table = {of.__name__: of for of in (nn.CrossEntropyLoss, nn.MultiMarginLoss)}
VALUE_LOSSES: Table = {of.__name__: of for of in (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)}

_NOT_YOURS = (
    *("params", "foreach", "maximize", "capturable", "differentiable", "fused"),
    *("weight", "size_average", "reduce", "reduction", "ignore_index", "epoch", "epochs"),
    *("inplace", "expand", "policy"),  # of image operations: a picture keeps its shape; policies are no plain values
)


def StepLR(epoch: int, step_size: int, gamma: float = 0.1) -> float:
    return gamma ** (epoch // step_size)


def MultiStepLR(epoch: int, milestones: tuple[int, ...], gamma: float = 0.1) -> float:
    return gamma ** bisect.bisect_right(sorted(milestones), epoch)


def ExponentialLR(epoch: int, gamma: float) -> float:
    return gamma**epoch


def ConstantLR(epoch: int, factor: float = 1 / 3, total_iters: int = 5) -> float:
    return factor if epoch < total_iters else 1.0


def LinearLR(epoch: int, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> float:
    return start_factor + (end_factor - start_factor) * min(epoch, total_iters) / total_iters


def PolynomialLR(epoch: int, total_iters: int = 5, power: float = 1.0) -> float:
    return (1 - min(epoch, total_iters) / total_iters) ** power


def CosineAnnealingLR(epoch: int, T_max: int) -> float:
    return (1 + math.cos(math.pi * epoch / T_max)) / 2


SCHEDULES: Table = {
    of.__name__: of
    for of in (StepLR, MultiStepLR, ExponentialLR, ConstantLR, LinearLR, PolynomialLR, CosineAnnealingLR)
}
"""Of ``torch.optim.lr_scheduler``, one step an epoch: the factor of the rate in epoch 0, 1, ...; each a function of the
epoch alone, so that a resumed training needs nothing else.
"""


def arguments_of(of: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The arguments of one of a table that a user may give."""
    return {k: p for k, p in inspect.signature(of).parameters.items() if k not in _NOT_YOURS}


def options(data: Any, path: str, table: Table) -> list[str]:
    """One of the table with its arguments, or some: lists, of these and in the arguments, are choices.

    Raises LayerError for names and arguments that are not there, and for values that do not fit.
    """
    found: list[str] = []
    for one in data if isinstance(data, list | tuple) else [data]:
        name, given = next(iter(one.items())) if isinstance(one, Mapping) and len(one) == 1 else ("", None)
        given = {} if given is None else given
        if name not in table or not isinstance(given, Mapping):
            raise LayerError(path, f"{shown(one)} is not known here", f"Write {{NAME: {{...}}}} of {', '.join(table)}")
        known = arguments_of(table[name])
        for key in given:
            if key not in known:
                fix = f"Its arguments: {', '.join(known)}"
                raise LayerError(
                    f"{path}/{name}/{key if isinstance(key, str) else shown(key)}"[:200],
                    f"{name} has no such argument here",
                    fix,
                )
        needed = [k for k, p in known.items() if p.default is p.empty and k not in given]
        if needed:
            raise LayerError(f"{path}/{name}/{needed[0]}", f"{name} needs {needed[0]}", f"Write {needed[0]}: NUMBER")
        values = [values_of(v, f"{path}/{name}/{k}", k, kinds(known[k])) for k, v in given.items()]
        if len(found) + math.prod(map(len, values)) > MOST_OPTIONS:
            raise LayerError(path, f"more than {MOST_OPTIONS} choices", "Fix some of the values")
        for some in itertools.product(*values):
            arguments = dict(zip(given, some, strict=True))
            _try(table, name, arguments, f"{path}/{name}")
            found.append(json.dumps({name: arguments}, sort_keys=True))
    return found


def _try(table: Table, name: str, arguments: dict[str, Any], path: str) -> None:
    """Raises LayerError where torch does not take the values."""
    try:
        if table is OPTIMIZERS:
            table[name]([nn.Parameter(torch.zeros(1))], **arguments)
        elif table is SCHEDULES:
            [table[name](epoch, **arguments) for epoch in range(3)]
        else:
            table[name](**arguments)
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        raise LayerError(path, str(error).splitlines()[0][:160].rstrip("."), "Mend its arguments") from error


def is_named(option: str) -> bool:
    """Whether an option is such a text, and not one of the program's own names."""
    return option.startswith("{")


def named(option: str, table: Table) -> tuple[Callable[..., Any], dict[str, Any]]:
    """What the text names, and its arguments. Raises KeyError for what is not in the table."""
    ((name, arguments),) = json.loads(option).items()
    return table[name], {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}


def slower(option: str, share: float) -> str:
    """The same optimizer at a share of its rate; the program's own take theirs from ``learning_rate``."""
    if not is_named(option):
        return option
    of, arguments = named(option, OPTIMIZERS)
    rate = arguments.get("lr", inspect.signature(of).parameters["lr"].default)
    return json.dumps({of.__name__: {**arguments, "lr": share * rate}}, sort_keys=True)
