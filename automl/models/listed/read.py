"""A list of layers as plain data (YAML, JSON, Python), checked and with its choices found. Nothing is built here.

>>> read([{"Linear": {"out_features": [16, 32]}}, "ReLU"]).choices[0].options
(16, 32)

A layer is ``{NAME: {ARGUMENT: VALUE}}``, or ``NAME``. A list where one value is expected is a choice, of values or of
layers; a list in that list is a tuple, as ``kernel_size: [[3, 5]]``.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import numbers
import re
import reprlib
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin

from automl.models.listed.allowed import BLOCKS, BOUNDS, FOUND, NOT_YOURS, OUTPUTS, WIDTHS, arguments_of, check_name
from automl.models.listed.errors import LayerError
from automl.types import Option

# What is beyond these is a slip or an attack. By judgement: well above published networks, and planned in seconds.
MOST_LAYERS = 500  # repeated ones counted as often as they are repeated, see automl.models.listed.build
MOST_DEPTH = 12  # of blocks in blocks
MOST_CHOICES, MOST_OPTIONS = 100, 50
MOST_WIDTH = 10**12  # of a layer: what is above its network's limit is counted, not built
MOST_NUMBER = 10_000  # of an argument without bounds of its own
AUTO: str = "auto"
OUTPUT = ("all", "last")  # of a recurrent layer: every step, or the state after the last


@dataclass(frozen=True)
class Choice:
    """A decision of the search. ``options[i]`` names ``values[i]``.

    Where it stands in a layer that is itself chosen, ``parent`` is that choice and ``when`` the layer's option.
    """

    name: str
    options: tuple[Option, ...]
    values: tuple[Any, ...]
    parent: str = ""
    when: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Layer:
    """``path``: a JSON pointer to it. ``arguments``: by name; of a block, its layers are among them."""

    name: str
    path: str
    arguments: Mapping[str, Any]


Layers = tuple[Layer | Choice, ...]


@dataclass(frozen=True)
class Listing:
    """A list that was read. ``choices``: parents first."""

    layers: Layers
    choices: tuple[Choice, ...]
    data: Sequence[Any] = field(repr=False)

    @property
    def digest(self) -> str:
        """12 hex digits that name this list, however it was written."""
        plain = json.dumps(_plain(self.layers), sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:12]

    def fixed(self, picked: Mapping[str, Option]) -> tuple[Layer, ...]:
        """The list with each choice replaced by the value of ``picked``; its first where none is given."""

        def fix(of: Any) -> Any:
            if isinstance(of, Choice):
                at = picked.get(of.name, of.options[0])
                return fix(of.values[of.options.index(at)])
            if isinstance(of, Layer):
                return Layer(of.name, of.path, {k: fix(v) for k, v in of.arguments.items()})
            return tuple(map(fix, of)) if isinstance(of, tuple) else of

        return fix(self.layers)


def read(data: Any) -> Listing:
    """Raises LayerError (path, problem, fix) for what is no list of allowed layers with plain arguments."""
    reader = _Reader()
    layers = reader.layers(data, "/layers", 0)
    return Listing(layers, tuple(reader.choices), data)


def _plain(of: Any) -> Any:
    if isinstance(of, Choice):
        return {"choice": [_plain(v) for v in of.values]}
    if isinstance(of, Layer):
        return {of.name: {k: _plain(v) for k, v in of.arguments.items()}}
    return [_plain(v) for v in of] if isinstance(of, tuple) else of


class _Reader:
    def __init__(self) -> None:
        self.choices: list[Choice] = []
        self.count = 0
        self.under: tuple[str, tuple[Option, ...]] = ("", ())

    def layers(self, data: Any, path: str, depth: int) -> Layers:
        if not isinstance(data, list | tuple):
            raise LayerError(path, f"{shown(data)} is no list of layers", "Write [{Linear: {out_features: 64}}, ...]")
        if depth > MOST_DEPTH:
            raise LayerError(path, f"blocks stand in blocks more than {MOST_DEPTH} deep", "Write fewer, or Repeat")
        return tuple(self.entry(one, f"{path}/{at}", depth) for at, one in enumerate(data))

    def entry(self, data: Any, path: str, depth: int) -> Layer | Choice:
        """A layer, or a list of them: a choice."""
        if not isinstance(data, list | tuple):
            return self.layer(data, path, depth)
        if not data or len(data) > MOST_OPTIONS:
            raise LayerError(path, f"a choice of {len(data)} layers", f"Give 1 to {MOST_OPTIONS}")
        names = [_name_of(one) for one in data]
        options = [n if names.count(n) == 1 else f"{n} {at}" for at, n in enumerate(names)]
        if len(data) == 1:
            return self.layer(data[0], f"{path}/0", depth)
        place, before = len(self.choices), self.under
        values = []
        for at, one in enumerate(data):
            self.under = _name(path), (options[at],)
            values.append(self.layer(one, f"{path}/{at}", depth))
        self.under = before
        return self.choice(Choice(_name(path), tuple(options), tuple(values), *before), path, place)

    def layer(self, data: Any, path: str, depth: int) -> Layer:
        self.count += 1
        if self.count > MOST_LAYERS:
            raise LayerError(path, f"more than {MOST_LAYERS} layers", "Write fewer")
        if isinstance(data, str):
            data = {data: None}
        if not isinstance(data, Mapping) or len(data) != 1 or not isinstance(next(iter(data)), str):
            fix = "Write {NAME: {ARGUMENT: VALUE}}, such as {Linear: {out_features: 64}}"
            if isinstance(data, Mapping) and len(data) > 1:
                fix = "Indent the arguments below the name, and begin each layer with a dash"
            raise LayerError(path, f"{shown(data)} is no layer", fix)
        ((name, given),) = data.items()
        check_name(name, path)
        path = f"{path}/{name}"
        if name in BLOCKS:
            return self.block(name, given, path, depth)
        given = {} if given is None else given
        if not isinstance(given, Mapping):
            fix = f"Write {{{name}: {{{_first(name)}: {shown(given)}}}}}" if _first(name) else f"Write {name} alone"
            raise LayerError(path, f"{shown(given)} names no argument", fix)
        known = arguments_of(name)
        arguments = {}
        for key, value in given.items():
            at = f"{path}/{key if isinstance(key, str) else shown(key)}"[:200]
            if key in NOT_YOURS:
                raise LayerError(at, f"{key} is not the list's to say: {NOT_YOURS[key]}", "Leave it out")
            if not isinstance(key, str) or key not in known:
                names = ", ".join(known) or "none"
                raise LayerError(at, f"{name} has no such argument", f"Its arguments: {names}")
            among = OUTPUT if key == "output" else ()
            arguments[key] = self.argument(value, at, key, kinds(known[key]), among)
        missing = [k for k, p in known.items() if p.default is p.empty and k not in (*arguments, *FOUND)]
        if missing:
            auto = f", or {AUTO} for as many as the task has outputs" if missing[0] in OUTPUTS else ""
            raise LayerError(f"{path}/{missing[0]}", f"{name} needs {missing[0]}", f"Write {missing[0]}: NUMBER{auto}")
        return Layer(name, path, arguments)

    def block(self, name: str, given: Any, path: str, depth: int) -> Layer:
        if name in ("Transpose", "Positions"):
            if given:
                raise LayerError(path, f"{name} has no arguments", f"Write {name} alone")
            return Layer(name, path, {})
        if name in ("Residual", "Sequential"):
            return Layer(name, path, {"layers": self.layers(given, path, depth + 1)})
        wanted = {"Repeat": ("times", "layers"), "Parallel": ("branches", "join")}[name]
        written = {
            "Repeat": "{Repeat: {times: 3, layers: [...]}}",
            "Parallel": "{Parallel: {branches: [[...], [...]], join: cat}}, or add",
        }[name]
        if not isinstance(given, Mapping) or set(given) != set(wanted):
            raise LayerError(path, f"{name} needs {' and '.join(wanted)}, and nothing else", f"Write {written}")
        if name == "Repeat":
            times = self.argument(given["times"], f"{path}/times", "times", {int})
            return Layer(
                name, path, {"times": times, "layers": self.layers(given["layers"], f"{path}/layers", depth + 1)}
            )
        branches = given["branches"]
        if not isinstance(branches, list | tuple) or not branches or len(branches) > MOST_OPTIONS:
            raise LayerError(f"{path}/branches", f"{shown(branches)} is no list of lists", f"Write {written}")
        join = self.argument(given["join"], f"{path}/join", "join", {str}, among=("cat", "add"))
        lists = tuple(self.layers(one, f"{path}/branches/{at}", depth + 1) for at, one in enumerate(branches))
        return Layer(name, path, {"branches": lists, "join": join})

    def argument(self, data: Any, path: str, name: str, of: set[type], among: Sequence[str] = ()) -> Any:
        """One value, or a choice of some."""
        values = values_of(data, path, name, of, among)
        return values[0] if len(values) == 1 else self.choice(chosen(path, values, *self.under), path)

    def choice(self, choice: Choice, path: str, place: int | None = None) -> Choice:
        if len(self.choices) >= MOST_CHOICES:
            raise LayerError(path, f"more than {MOST_CHOICES} choices", "Fix some of the values")
        self.choices.insert(len(self.choices) if place is None else place, choice)
        return choice


def values_of(data: Any, path: str, name: str, of: set[type], among: Sequence[str] = ()) -> list[Any]:
    """A value, or those of a choice. Raises LayerError for what is not of one of the types, or out of bounds."""
    if not isinstance(data, list | tuple):
        return [_one(data, path, name, of, among)]
    if not data or len(data) > MOST_OPTIONS:
        raise LayerError(path, f"a choice of {len(data)} values", f"Give 1 to {MOST_OPTIONS}")
    return [_one(one, path, name, of, among) for one in data]


def chosen(path: str, values: Sequence[Any], parent: str = "", when: tuple[Option, ...] = ()) -> Choice:
    """The choice between them: numbers from small to large; what is no plain option is named by its JSON."""
    if all(type(v) in (int, float) for v in values):
        values = sorted(values)
    plain = len({type(v) in (int, float) or type(v) for v in values}) == 1 and isinstance(values[0], Option)
    options = values if plain else [json.dumps(v) for v in values]
    if len(set(options)) < len(options):
        raise LayerError(path, f"the choice {shown(list(values))} holds a value twice", "Leave one out")
    return Choice(_name(path), tuple(options), tuple(values), parent, when)


def _one(data: Any, path: str, name: str, of: set[type], among: Sequence[str]) -> Any:
    """A value of one of the types, within bounds."""
    if isinstance(data, list | tuple):
        if tuple not in of:
            raise LayerError(path, f"{shown(data)} is a tuple, and {name} is {_words(of)}", "Write one value")
        if not data or len(data) > MOST_DEPTH:
            raise LayerError(path, f"a tuple of {len(data)} numbers", f"Give 1 to {MOST_DEPTH}")
        return tuple(_one(one, path, name, {int, float} & of or {int, float}, ()) for one in data)
    kind = type(data)
    if kind is str and data == AUTO and name in (*OUTPUTS, *FOUND):
        return data
    if kind not in of and not (kind is int and float in of):
        few = f"Write {_words(of)}"
        if kind is str and data == AUTO:
            few = f"{AUTO} is for {', '.join(OUTPUTS)}. {few}"
        raise LayerError(path, f"{shown(data)} is not {_words(of)}", few)
    if kind is str:
        if among and data not in among:
            raise LayerError(path, f"{shown(data)} is not known", f"Write {' or '.join(among)}")
        if len(data) > 20 or not data.replace("_", "").isalpha():
            raise LayerError(path, f"{shown(data)} is no word of torch", "See torch.nn for the words it takes")
    if kind in (int, float):
        wide = name in (*WIDTHS, *FOUND)
        low, high = (1, MOST_WIDTH) if wide else BOUNDS.get(name, (-MOST_NUMBER, MOST_NUMBER))
        if kind is float and not math.isfinite(data):
            raise LayerError(path, f"{data} is no finite number", "Write a number")
        if not low <= data <= high:
            raise LayerError(path, f"{name}={shown(data)} is out of bounds", f"Write a number from {low} to {high}")
    return data


def kinds(of: inspect.Parameter) -> set[type]:
    """The plain types of an argument, by its annotation or its default."""
    hint = of.annotation
    if hint is of.empty:
        return {type(of.default)} if type(of.default) in (bool, int, float, str) else {int, float, tuple}
    return _types(hint) | ({types.NoneType} if of.default is None else set())


def _types(hint: Any) -> set[type]:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return set().union(*map(_types, get_args(hint)))
    if origin is Literal:
        return {type(v) for v in get_args(hint)}
    if hint in (bool, int, float, str, types.NoneType):
        return {hint}
    if hint is numbers.Number:
        return {int, float}
    if isinstance(hint, str):  # an annotation that torch wrote as a text
        words = {"bool": bool, "int": int, "float": float, "str": str, "None": types.NoneType}
        found = {of for word, of in words.items() if word in hint}
        return found | ({tuple} if re.search("tuple|Tuple|size|Size|shape", hint) else set())
    of = origin or hint
    return {tuple} if isinstance(of, type) and issubclass(of, Sequence) else set()


_WORDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    tuple: "a tuple such as [[3, 5]]",
    types.NoneType: "null",
}


def _words(of: set[type]) -> str:
    return " or ".join(word for kind, word in _WORDS.items() if kind in of and not (kind is int and float in of))


def _first(name: str) -> str:
    """The first argument that must be given, or can be."""
    known = arguments_of(name)
    needed = [k for k, p in known.items() if p.default is p.empty and k not in FOUND]
    return next(iter([*needed, *(k for k in known if k not in FOUND)]), "")


def _name(path: str) -> str:
    """Of an axis: its place without the signs of a pointer."""
    return path.removeprefix("/layers").removeprefix("/").replace("/", ".")


def _name_of(data: Any) -> str:
    first = data if isinstance(data, str) else next(iter(data), "") if isinstance(data, Mapping) else ""
    return first[:40] if isinstance(first, str) else ""


_repr = reprlib.Repr()
_repr.maxdict = _repr.maxlist = _repr.maxtuple = 3
_repr.maxlevel, _repr.maxstring, _repr.maxother = 3, 60, 60


def shown(value: Any) -> str:
    """A value in a few signs, whatever it is."""
    if isinstance(value, bool | types.NoneType):
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and abs(value) > 10**15:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, Mapping | list | tuple | str | int | float):
        try:
            return " ".join(_repr.repr(value).split())[:120]
        except ValueError:  # a number in it of more digits than Python writes
            return f"a {type(value).__name__}"
    return f"a {type(value).__name__}"
