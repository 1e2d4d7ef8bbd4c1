"""What a class or function of the configuration takes, read in its source: to import it would take seconds.

>>> takes("nas.strategies.prior_band.PriorBand").hints["eta"]
<class 'int'>

Only what the source says plainly is told: of anything else nothing is known, and it is looked at when it is made.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, Literal

_PLAIN = {"int": int, "float": float, "str": str, "bool": bool, "None": NoneType, "Path": Path}
_MANY = {"list": list, "Sequence": Sequence, "tuple": tuple, "dict": dict, "Mapping": Mapping}


@dataclass(frozen=True)
class Takes:
    """``hints``: parameter -> type, ``Any`` where it cannot be told. ``all``: whether there are no others."""

    hints: Mapping[str, Any] = field(default_factory=dict)
    all: bool = False


UNKNOWN = Takes()


@functools.cache
def takes(target: str) -> Takes:
    """Of ``package.module.Name``."""
    module, _, name = target.rpartition(".")
    found = _defined(module, name)
    if found is None:
        return UNKNOWN
    module, node = found
    if isinstance(node, ast.FunctionDef):
        return UNKNOWN if node.decorator_list else _of_function(module, node, skip=0)
    if not isinstance(node, ast.ClassDef) or node.keywords:
        return UNKNOWN
    return _of_class(module, node)


def _of_class(module: str, node: ast.ClassDef) -> Takes:
    decorated = {ast.unparse(d).partition("(")[0].rpartition(".")[2] for d in node.decorator_list}
    if decorated - {"dataclass"}:
        return UNKNOWN
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            return _of_function(module, inner, skip=1)
    bases = [_of_base(module, base) for base in node.bases]
    if not decorated:
        return bases[0] if len(bases) == 1 else UNKNOWN
    own = {
        n.target.id: _type(module, n.annotation)
        for n in node.body
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
        if not ast.unparse(n.annotation).startswith("ClassVar") and "init=False" not in ast.unparse(n)
    }
    hints = {k: v for base in bases for k, v in base.hints.items()} | own
    return Takes(hints, all(base.all for base in bases))


def _of_base(module: str, base: ast.expr) -> Takes:
    if not isinstance(base, ast.Name):
        return UNKNOWN
    return Takes(all=True) if base.id in ("ABC", "Protocol") else takes(f"{module}.{base.id}")


def _of_function(module: str, node: ast.FunctionDef, skip: int) -> Takes:
    of = node.args
    named = [*of.posonlyargs, *of.args][skip:] + of.kwonlyargs
    return Takes({a.arg: _type(module, a.annotation) for a in named}, of.kwarg is None)


@functools.cache
def _names(module: str) -> dict[str, ast.stmt] | None:
    """What a module defines and imports at its top, None where there is no source."""
    try:
        spec = importlib.util.find_spec(module)
        origin = None if spec is None else spec.origin
        body = ast.parse(Path(origin).read_bytes()).body if origin and origin.endswith(".py") else None
    except (ImportError, ValueError, OSError, SyntaxError):
        return None
    if body is None:
        return None
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {alias.asname or alias.name: node for alias in node.names}
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
    return found


def _defined(module: str, name: str, deep: int = 5) -> tuple[str, ast.stmt] | None:
    """The module where a name is defined, and the statement that does it."""
    node = (_names(module) or {}).get(name)
    if isinstance(node, ast.ImportFrom):
        other = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
        return _defined(str(node.module), other, deep - 1) if deep else None
    return None if node is None else (module, node)


def _type(module: str, node: ast.expr | None, deep: int = 5) -> Any:
    """An annotation as a type that ``experiments.options.fits`` understands; ``Any`` for others."""
    match node:
        case ast.Constant(value=None):
            return NoneType
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            one, other = _type(module, left, deep), _type(module, right, deep)
            return Any if Any in (one, other) else one | other
        case ast.Name(id=name) if name in _PLAIN:
            return _PLAIN[name]
        case ast.Name(id=name) if name in _MANY:
            return _MANY[name]
        case ast.Name(id=name) if deep and (found := _defined(module, name)):
            place, of = found
            return _type(place, of.value, deep - 1) if isinstance(of, ast.Assign) else Any
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inside):
            of = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            known = tuple(n.value for n in of if isinstance(n, ast.Constant))
            return Literal[known] if len(known) == len(of) else Any
        case ast.Subscript(value=ast.Name(id=name), slice=inside) if name in _MANY:
            of = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            types = [... if isinstance(n, ast.Constant) and n.value is ... else _type(module, n, deep) for n in of]
            return _MANY[name][tuple(types)]
    return Any
