"""What a node of the configuration makes, after a look at its options: their types are those of what they are given to.

A wrong type is one line that names the option and how to write it, not a traceback from deep inside.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from automl.errors import UserError
from automl.types import Family
from experiments.explain import no_option, shown

_NAMES = {
    str: "text",
    Path: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    types.NoneType: "null",
    list: "a list",
    tuple: "a list",
    Sequence: "a list",
    dict: "a mapping",
    Mapping: "a mapping",
}


def made(cfg: DictConfig, place: str, *, without: Sequence[str] = (), **more: Any) -> Any:
    """What the node at ``place`` makes (its ``_target_``). ``more``: further arguments, not from the configuration;
    ``without``: fields of the node that are somebody else's.

    Raises UserError for an option whose type does not fit, and for one that its constructor refuses.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    for name in place.split("."):
        plain = plain[name]
    if not isinstance(plain, dict) or "_target_" not in plain:
        raise UserError(
            f"{place}={said(plain)} names no class to make; choose one by its file in conf, or set its fields"
        )
    plain = {name: value for name, value in plain.items() if name not in without}
    check_types(get_object(plain["_target_"]), plain, f"{place}.")
    # Hydra would resolve these a second time, and a file may be called ${x}.csv.
    signs = {name: plain.pop(name) for name, value in list(plain.items()) if isinstance(value, str) and "${" in value}
    try:
        return instantiate(plain, _convert_="all", _partial_=True)(**signs, **more)
    except (InstantiationException, ValueError, TypeError) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if not isinstance(cause, ValueError | TypeError):
            raise
        if unknown := re.search(r"unexpected keyword argument '(\w+)'", str(cause)):
            raise UserError(no_option(f"{place}.{unknown[1]}")) from error
        raise UserError(f"{place}: {cause}") from error


def made_families(cfg: DictConfig) -> dict[str, Family]:
    """The families that are searched, by name.

    ``+family.NAME.training={...}`` says how one is trained that would else have its training searched.
    """
    return {str(name): _family(cfg, str(name)) for name in cfg.family}


def _family(cfg: DictConfig, name: str) -> Family:
    node: Any = cfg.family[name]
    if not OmegaConf.is_dict(node) or "training" not in node or node.get("_target_") is None:
        return made(cfg, f"family.{name}")
    if "training" in inspect.signature(get_object(node["_target_"])).parameters:
        return made(cfg, f"family.{name}")
    from nas.given import Trained

    training: Any = OmegaConf.to_container(node["training"], resolve=True) if node["training"] is not None else {}
    return Trained(made(cfg, f"family.{name}", without=("training",)), training)


def task_options(cfg: DictConfig) -> dict[str, Any]:
    """The options of ``automl.data.prepare.prepare``, checked."""
    from automl.data.prepare import check_repairs, prepare  # not before the scalars are checked: it takes a second
    from automl.data.split import check_shares
    from automl.task.goal import METRICS, parse_goal

    plain: Any = OmegaConf.to_container(cfg.task, resolve=True)
    check_types(prepare, plain, "task.")
    known = [name for of in METRICS.values() for name in of]
    if plain["metric"] not in (None, *known):
        raise UserError(f"task.metric={plain['metric']} is unknown; use one of: {', '.join(dict.fromkeys(known))}")
    parse_goal(plain["goal"])
    check_shares(plain["test_share"], plain["valid_share"], plain["folds"])
    check_repairs(plain["check"], plain["repairs"])
    limits = made(cfg, "task.limits")
    for name, value in dataclasses.asdict(limits).items():
        if value is not None and not value > 0:
            raise UserError(f"task.limits.{name}={value} must be above 0, or null")
    return plain | {"limits": limits}


def check_types(of: Callable[..., Any], options: Mapping[str, Any], prefix: str) -> None:
    """Raises UserError for an option (name -> plain value) whose type is not that of the parameter of ``of``."""
    check_hints(_hints(of), options, prefix)


def check_hints(hints: Mapping[str, Any], options: Mapping[str, Any], prefix: str) -> None:
    """The same, of types by name."""
    for name, value in options.items():
        if name == "target" and isinstance(value, list):
            raise UserError(f"{prefix}target={said(value)}: one target is learned at a time; give one column")
        if name in hints and not fits(value, hints[name]):
            place, wrong, hint = misfit(value, hints[name], f"{prefix}{name}")
            wanted = words(hint)
            many = [str(one) for one in (wrong if isinstance(wrong, list) else [wrong])]
            meant = many if wanted.startswith("a list") else str(wrong)
            quoted = f". Write {shown(place, meant)}" if "text" in wanted and wrong is not None else ""
            raise UserError(f"{place}={said(wrong)} must be {wanted}{quoted}")


def misfit(value: Any, hint: Any, place: str) -> tuple[str, Any, Any]:
    """Place, value and type of what does not fit: of a mapping the entry, not the whole."""
    for one in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        if isinstance(value, Mapping) and get_origin(one) in (Mapping, dict):
            inner = get_args(one)[1]
            for name, entry in value.items():
                if not fits(entry, inner):
                    return misfit(entry, inner, f"{place}.{name}")
    return place, value, hint


def _hints(of: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(of.__init__ if inspect.isclass(of) else of)
    except (NameError, TypeError):  # names that are there for type checkers only; or no Python function
        return {}


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain value (null, bool, number, text, list, mapping) is of a type; True where that cannot be told."""
    if isinstance(value, Mapping) and "_target_" in value:
        return True  # another node, made by itself
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if hint is types.NoneType or hint is None:
        return value is None
    if hint in (bool, str, Path):
        return isinstance(value, str if hint is Path else hint)
    if hint in (int, float):
        return isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
    if (origin or hint) in (Sequence, list, tuple):
        return isinstance(value, list) and all(fits(v, inner[0]) for v in value if inner)
    if (origin or hint) in (Mapping, dict):
        return isinstance(value, Mapping) and all(fits(v, inner[1]) for v in value.values() if inner)
    return True


def words(hint: Any) -> str:
    """A type for people: ``text or null``, ``one of binary, multiclass``."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(words(one) for one in inner)
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    name = _NAMES.get(origin or hint, "of another type")
    of = inner[:1] if name == "a list" else inner[-1:]  # of tuple[str, ...] the first
    return f"{name} of {words(*of)}" if name in ("a list", "a mapping") and inner else name


def said(value: Any) -> str:
    """A value as it is written on the command line."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
