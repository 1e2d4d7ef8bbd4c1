"""What a dictionary may name, with arguments: layers, blocks, optimizers, criteria, schedules, operations, models."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from automl.data.augment import STRENGTHS
from automl.models.listed.allowed import ALLOWED, BLOCKS, REFUSED, arguments_of
from automl.models.listed.read import kinds
from automl.training import named, transforms
from experiments.jobs.dictionary import NAMES, models

_WORDS = {bool: "boolean", int: "integer", float: "number", str: "string", tuple: "array", type(None): "null"}


def listing() -> dict[str, Any]:
    return {
        "layers": {name: _arguments(arguments_of(name)) for name in sorted(ALLOWED)},
        "blocks": list(BLOCKS),
        "refused": {name: why.format(name=name) for name, why in sorted(REFUSED.items())},
        "optimizers": _table(named.OPTIMIZERS),
        "criteria": {"classes": _table(named.CLASS_LOSSES), "values": _table(named.VALUE_LOSSES)},
        "schedules": _table(named.SCHEDULES),
        "transforms": list(STRENGTHS),
        "operations": _table(transforms.operations()),
        "models": models(),
        "names": list(NAMES),
    }


def _table(table: named.Table) -> dict[str, Any]:
    return {name: _arguments(named.arguments_of(of)) for name, of in table.items()}


def _arguments(parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Types and default of each; without a default it must be given, or is found."""
    said = {}
    for name, one in parameters.items():
        types = sorted(_WORDS[kind] for kind in kinds(one))
        said[name] = {"types": types} if one.default is one.empty else {"types": types, "default": _plain(one.default)}
    return said


def _plain(value: Any) -> Any:
    return (
        value
        if isinstance(value, bool | int | float | str | None)
        else list(value)
        if isinstance(value, tuple)
        else str(value)
    )
