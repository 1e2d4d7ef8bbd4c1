"""The vocabulary as JSON and back: the only form in which it is stored, sent or shipped.

Strict both ways, driven by the type hints of ``automl.types``: a value of the wrong type, an unknown or a
missing field raises ``ValueError`` that names the place (``Trial.curve[3]: expected a number, got 'x'``).
A field that has a default may be missing, so that files of an older version stay readable. What is no
JSON number is written as one of the strings "nan", "inf", "-inf", where a number is expected; an axis
option must be finite.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import numbers
import types
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

T = TypeVar("T")
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_json(value: Any) -> str:
    """One line of ASCII JSON for a dataclass of ``automl.types``. Raises ValueError when a field breaks
    its type.
    """
    return json.dumps(to_plain(value), separators=(",", ":"), allow_nan=False)


def from_json(cls: type[T], text: str) -> T:
    """The ``cls`` that ``to_json`` wrote. Raises ValueError, with the place, for anything else."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{cls.__name__}: no JSON: {error}") from None
    return from_plain(cls, plain)


def to_plain(value: Any) -> dict[str, Any]:
    """The dataclass as dicts, lists, strings, numbers, booleans and None, to embed in a larger JSON
    document.
    """
    return _write(type(value), value, type(value).__name__)


def from_plain(cls: type[T], plain: Any) -> T:
    """The inverse of ``to_plain``, equally strict."""
    return _read(cls, plain, cls.__name__)


def dumps(value: Any, *, indent: int | None = None) -> str:
    """JSON for what is no vocabulary (results, configs): never raises for a value that has a readable form.

    NaN and infinities become null, numpy numbers and arrays plain ones, dataclasses objects, the rest its
    text.
    """
    return json.dumps(_lenient(value), indent=indent, allow_nan=False)


def _lenient(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, np.generic | np.ndarray):
        return _lenient(value.tolist())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _lenient(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _lenient(v) for k, v in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | PurePath):
        return [_lenient(v) for v in value]
    return str(value)


@functools.cache
def _fields(cls: type) -> dict[str, tuple[Any, bool]]:
    """Field name -> (type, whether it must be given)."""
    hints = get_type_hints(cls)
    missing = dataclasses.MISSING
    return {
        f.name: (hints[f.name], f.default is missing and f.default_factory is missing) for f in dataclasses.fields(cls)
    }


def _wrong(where: str, expected: str, value: Any) -> ValueError:
    shown = repr(value)
    return ValueError(f"{where}: expected {expected}, got {shown if len(shown) <= 80 else shown[:77] + '...'}")


def _write(hint: Any, value: Any, where: str) -> Any:
    """``value`` of type ``hint`` as plain JSON data."""
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, hint):  # type: ignore[arg-type]
            raise _wrong(where, f"a {hint.__name__}", value)  # type: ignore[union-attr]
        return {
            name: _write(of, getattr(value, name), f"{where}.{name}")
            for name, (of, _) in _fields(hint).items()  # type: ignore[arg-type]
        }
    origin = get_origin(hint)
    if origin is tuple:
        if not isinstance(value, tuple | list):
            raise _wrong(where, "a tuple", value)
        return [_write(get_args(hint)[0], v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
            raise _wrong(where, "a mapping with text keys", value)
        return {str(k): _write(get_args(hint)[1], v, f"{where}.{k}") for k, v in value.items()}
    if hint is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
        number = float(value)
        return number if math.isfinite(number) else str(number)
    if isinstance(value, np.generic):
        value = value.item()
    return _scalar(hint, value, where)


def _read(hint: Any, data: Any, where: str) -> Any:
    """Plain JSON data as a value of type ``hint``."""
    if dataclasses.is_dataclass(hint):
        return _read_fields(hint, data, where)  # type: ignore[arg-type]
    origin = get_origin(hint)
    if origin is tuple:
        if not isinstance(data, list):
            raise _wrong(where, "a list", data)
        return tuple(_read(get_args(hint)[0], v, f"{where}[{i}]") for i, v in enumerate(data))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(data, dict):
            raise _wrong(where, "an object", data)
        return {k: _read(get_args(hint)[1], v, f"{where}.{k}") for k, v in data.items()}
    if hint is float:
        if isinstance(data, str) and data in _NOT_FINITE:
            return _NOT_FINITE[data]
        if isinstance(data, int | float) and not isinstance(data, bool):
            return _as_float(data, where)
    return _scalar(hint, data, where)


def _read_fields(cls: type, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong(where, "an object", data)
    fields = _fields(cls)
    if unknown := sorted(data.keys() - fields.keys()):
        raise ValueError(f"{where}: unknown field {unknown[0]!r}; fields are: {', '.join(fields)}")
    if missing := [name for name, (_, needed) in fields.items() if needed and name not in data]:
        raise ValueError(f"{where}: field {missing[0]!r} is missing")
    values = {name: _read(fields[name][0], data[name], f"{where}.{name}") for name in fields if name in data}
    try:
        return cls(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _as_float(number: Any, where: str) -> float:
    """Python's json reads NaN and 1e999 although JSON has neither; both stay out."""
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise _wrong(where, "a finite number", number)
    return value


def _scalar(hint: Any, value: Any, where: str) -> Any:
    """Check a scalar against its type; the same both ways."""
    origin = get_origin(hint)
    if origin is Literal:
        if value not in get_args(hint):
            raise _wrong(where, "one of " + ", ".join(map(str, get_args(hint))), value)
        return value
    options = get_args(hint) if origin in (Union, types.UnionType) else (hint,)
    if value is None and types.NoneType in options:
        return None
    kind = type(value) if isinstance(value, bool | str | int | float) else None
    for known in (bool,) if kind is bool else (int, float, str):
        # A subclass (numpy's float64 is a float) is brought to its plain type.
        if kind is not None and issubclass(kind, known) and known in options:
            return _as_float(value, where) if known is float else known(value)  # type: ignore[arg-type]
    if kind is not None and issubclass(kind, int) and kind is not bool and float in options:
        return _as_float(value, where)
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        types.NoneType: "null",
    }
    raise _wrong(where, " or ".join(names.get(o, str(o)) for o in options), value)
