"""A list of layers -> a network: every size is found on torch's ``meta`` device, which holds shapes and no numbers.

    listing = read([{"Conv2d": {"out_channels": 8, "kernel_size": 3}}, "ReLU", "Flatten", {"Linear": {...: "auto"}}])
    plan = planned(listing.fixed({}), (1, 28, 28), outputs=10)   # shapes, parameters; nothing is allocated
    network = made(plan.parts)                                   # layers in order, as if written by hand

One layer at a time is made on ``meta`` and shown two rows, so a fault is told with its place and what arrived there,
and parameters are counted before there are any. torch's own Lazy modules know few layers, say nothing before a real
forward pass, and draw their weights in another order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from automl.models.layers.common import Residual
from automl.models.listed.allowed import FOUND, IDS, OUTPUTS, RECURRENT, STEPS, WIDTHS, arguments_of, layer_class
from automl.models.listed.blocks import Parallel, Positions, Recurrent, SelfAttention, Transpose
from automl.models.listed.errors import LayerError, ShapeError
from automl.models.listed.read import AUTO, MOST_LAYERS, Layer
from automl.models.listed.reads import Form, check_reads, check_steps, shape_of, wrong

ROWS = 2  # that shapes are found with: one row would look like any axis of size 1
MOST_PARAMETERS = 10**9  # 4 GB of weights, and four times as much in training
MOST_NUMBERS = 10**8  # of one row between two layers: 0.4 GB

_ENDS = ("Softmax", "LogSoftmax", "Softmin", "Sigmoid", "LogSigmoid", "Softmax2d")
_FIXES = (
    (r"[Kk]ernel size|padded input", "Set a smaller kernel_size, or a padding"),
    (r"too small|non-?positive|greater than zero|zero-size", "Leave out a pooling or a stride before it"),
    (r"[Pp]adding", "Set a smaller padding"),
    (r"divisible|multiple of", "Choose a number that divides it"),
    (r"more than 1 ", "There is one place only to norm over: leave it out"),
    (r"overflow", "Make it smaller"),
    (r"item\(\)", "Write momentum: 0.1"),  # of BatchNorm: null reads a number from what holds none
)


@dataclass(frozen=True)
class Part:
    """A layer with all its sizes; ``parts``: of a block, what it holds."""

    name: str
    arguments: dict[str, Any]
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Step:
    """``shape``: of one row behind the layer. ``parameters``: of it alone, statistics included."""

    path: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Plan:
    """A network that could be made. ``steps``: every layer in the order in which rows pass it."""

    parts: tuple[Part, ...]
    steps: tuple[Step, ...]

    @property
    def parameters(self) -> int:
        return sum(step.parameters for step in self.steps)


def planned(layers: Sequence[Layer], shape: Sequence[int], outputs: int, vocabulary: int = 0) -> Plan:
    """``shape``: what the first layer gets, without rows; token ids below ``vocabulary``, if that is given.

    ``outputs``: what the last layer must give. Raises LayerError, ShapeError.
    """
    if not layers:
        raise LayerError("/layers", "the list is empty", f"Write at least {{Linear: {{out_features: {AUTO}}}}}")
    _refuse_wide(layers)
    walk = _Walk(outputs, vocabulary)
    x = torch.empty((ROWS, *shape), dtype=torch.long if vocabulary else torch.float32, device="meta")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        parts, x, _ = walk.through(layers, x, "ids" if vocabulary else _form(x, "channels"))
    _check_end(layers, x, outputs)
    return Plan(parts, tuple(walk.steps))


def _refuse_wide(layers: Sequence[Layer]) -> None:
    """What is too large whatever comes before it: torch takes seconds to look at its first shape in a process."""
    for layer in layers:
        for name, value in layer.arguments.items():
            if name in WIDTHS and isinstance(value, int) and value > MOST_PARAMETERS:
                raise LayerError(
                    f"{layer.path}/{name}",
                    f"with it the network has at least {value:,} parameters, {MOST_PARAMETERS:,} are the most",
                    f"Make {name} smaller",
                )
        for inner in (layer.arguments.get("layers", ()), *layer.arguments.get("branches", ())):
            _refuse_wide(inner)


def made(parts: Sequence[Part]) -> nn.Sequential:
    """The network, its weights drawn layer after layer."""
    return nn.Sequential(*map(_module, parts))


def _module(part: Part) -> nn.Module:
    match part.name:
        case "Sequential":
            return made(part.parts)
        case "Residual":
            return Residual(*map(_module, part.parts))
        case "Parallel":
            return Parallel([_module(one) for one in part.parts], **part.arguments)
        case "Transpose":
            return Transpose()
        case "Positions":
            return Positions(**part.arguments)
    return _layer(part.name, part.arguments)


def _layer(name: str, arguments: dict[str, Any]) -> nn.Module:
    of: Any = layer_class(name)
    if name in RECURRENT:
        own = {k: v for k, v in arguments.items() if k != "output"}
        return Recurrent(of(**own, batch_first=True), arguments.get("output", "all"))
    if name in STEPS:
        net = of(**arguments, batch_first=True)
        return SelfAttention(net) if name == "MultiheadAttention" else net
    return of(**arguments)


class _Walk:
    def __init__(self, outputs: int, vocabulary: int) -> None:
        self.outputs, self.vocabulary = outputs, vocabulary
        self.steps: list[Step] = []
        self.parameters = self.visits = 0

    def through(self, layers: Sequence[Layer], x: Tensor, form: Form) -> tuple[tuple[Part, ...], Tensor, Form]:
        parts = []
        for layer in layers:
            part, x, form = self.one(layer, x, form)
            parts.append(part)
        return tuple(parts), x, form

    def one(self, layer: Layer, x: Tensor, form: Form) -> tuple[Part, Tensor, Form]:
        self.visits += 1
        if self.visits > MOST_LAYERS:
            raise LayerError(layer.path, f"with it there are more than {MOST_LAYERS} layers", "Repeat less")
        match layer.name:
            case "Sequential" | "Repeat":
                times = layer.arguments.get("times", 1)
                parts, x, form = self.through(layer.arguments["layers"] * times, x, form)
                return Part("Sequential", {}, parts), x, form
            case "Residual":
                return self.residual(layer, x, form)
            case "Parallel":
                return self.parallel(layer, x, form)
            case "Transpose":
                if x.ndim != 3 or form == "ids":
                    raise wrong(layer, "Transpose exchanges two axes", "Leave it out", x)
                return self.kept(
                    layer, Part("Transpose", {}), x.transpose(1, 2), "channels" if form == "steps" else "steps"
                )
            case "Positions":
                check_steps(layer, x, form)
                part = Part("Positions", {"steps": x.shape[1], "features": x.shape[2]})
                return self.kept(layer, part, x, form, x.shape[1] * x.shape[2])
        check_reads(layer, x, form)
        part = Part(layer.name, self.sized(layer, x, form))
        return self.run(layer, part, x, form)

    def residual(self, layer: Layer, x: Tensor, form: Form) -> tuple[Part, Tensor, Form]:
        parts, y, after = self.through(layer.arguments["layers"], x, form)
        if not parts or form == "ids":
            raise wrong(layer, "there is nothing to add to what goes in", "Put a layer into it", x)
        if y.shape != x.shape or after != form:
            fix = f"Let its last layer give {shape_of(x)}, or write Parallel with join: add and a branch for the input"
            raise wrong(layer, f"{shape_of(y)} comes out of it and cannot be added to what goes in", fix, x)
        return Part("Residual", {}, parts), y, form

    def parallel(self, layer: Layer, x: Tensor, form: Form) -> tuple[Part, Tensor, Form]:
        ends = [self.through(branch, x, form) for branch in layer.arguments["branches"]]
        join = layer.arguments["join"]
        outs = [y for _, y, _ in ends]
        forms: set[Form] = {after for _, _, after in ends}
        dim = 1 if forms == {"channels"} else -1
        shapes = [list(y.shape) for y in outs]
        if join == "cat":
            for shape in shapes:
                shape[dim] = 0
        if len(forms) > 1 or forms == {"ids"} or any(shape != shapes[0] for shape in shapes):
            said = ", ".join(map(shape_of, outs))
            what = "be added" if join == "add" else "stand side by side"
            fix = "Give all branches the same stride and padding" + (" and size" if join == "add" else "")
            raise wrong(layer, f"its branches give {said}, which cannot {what}", fix, x)
        y = torch.cat(outs, dim) if join == "cat" else outs[0]
        branches = tuple(Part("Sequential", {}, parts) for parts, *_ in ends)
        return self.kept(layer, Part("Parallel", {"join": join, "dim": dim}, branches), y, forms.pop())

    def sized(self, layer: Layer, x: Tensor, form: Form) -> dict[str, Any]:
        """The layer's arguments, with those that follow from what arrives."""
        known = arguments_of(layer.name)
        arguments = dict(layer.arguments)
        for name in (n for n in FOUND if n in known):
            found: Any = x.shape[-1]
            if name in ("in_channels", "num_features", "num_channels"):
                found = x.shape[1]
            elif name == "num_embeddings":
                found = self.vocabulary
            elif name == "normalized_shape" and form == "channels":
                found = tuple(x.shape[1:])
            given = arguments.setdefault(name, found)
            if given == AUTO:
                arguments[name] = found
            elif name == "num_embeddings" and given < found:
                raise wrong(layer, f"{given} rows, and there are {found} tokens", "Leave it out", x, f"/{name}")
            elif isinstance(given, int) and given != found and name not in ("normalized_shape", "num_embeddings"):
                raise wrong(layer, f"{name}={given}, and {found} arrive", "Leave it out", x, f"/{name}")
        return {k: self.outputs if v == AUTO and k in OUTPUTS else v for k, v in arguments.items()}

    def run(self, layer: Layer, part: Part, x: Tensor, form: Form) -> tuple[Part, Tensor, Form]:
        """Make the layer on ``meta``, count it, and show it the rows."""
        with torch.device("meta"):
            try:
                module = _layer(part.name, part.arguments)
            except Exception as error:  # whatever torch raises for arguments that it does not take
                raise _torch_says(layer, error, x) from error
            count = sum(t.numel() for t in (*module.parameters(), *module.buffers()))
            if self.parameters + count > MOST_PARAMETERS:
                self.count(layer, part, count)
            try:
                y = self.shown(module, x)
            except Exception as error:
                raise _torch_says(layer, error, x) from error
        if not isinstance(y, Tensor) or y.ndim < 2 or y.shape[0] != ROWS or 0 in y.shape:
            raise wrong(layer, "it does not give numbers for each row", "Leave it out, or change its arguments", x)
        after: Form = "vector" if y.ndim == 2 else "steps" if part.name in (*IDS, *STEPS) else _form(y, form)
        return self.kept(layer, part, y, after, count)

    def shown(self, module: nn.Module, x: Tensor) -> Tensor:
        if isinstance(module, Recurrent):  # on meta torch walks through the steps one by one, for what is known anyway
            return x.new_empty((ROWS, x.shape[1], module.size) if module.output == "all" else (ROWS, module.size))
        return x if isinstance(module, SelfAttention | nn.TransformerEncoderLayer) else module(x)

    def kept(self, layer: Layer, part: Part, y: Tensor, form: Form, count: int = 0) -> tuple[Part, Tensor, Form]:
        """Note a step. Raises LayerError where it is too much."""
        self.count(layer, part, count)
        shape = tuple(y.shape[1:])
        numbers = y.numel() // ROWS
        if numbers > MOST_NUMBERS:
            raise LayerError(
                layer.path, f"it makes {numbers:,} numbers of one row, {MOST_NUMBERS:,} are the most", "Make it smaller"
            )
        self.steps.append(Step(layer.path, shape, count))
        return part, y, form

    def count(self, layer: Layer, part: Part, count: int) -> None:
        if self.parameters + count > MOST_PARAMETERS:
            sizes = {k: v for k, v in part.arguments.items() if type(v) is int}
            widest = max(sizes, key=lambda k: sizes[k], default="it")
            raise LayerError(
                f"{layer.path}/{widest}" if sizes else layer.path,
                f"with it the network has {self.parameters + count:,} parameters, {MOST_PARAMETERS:,} are the most",
                f"Make {widest} smaller",
            )
        self.parameters += count


def _form(x: Tensor, before: Form) -> Form:
    return "vector" if x.ndim == 2 else "channels" if before == "vector" else before


def _check_end(layers: Sequence[Layer], x: Tensor, outputs: int) -> None:
    last = layers[-1]
    while last.name in ("Sequential", "Repeat") and last.arguments["layers"]:
        last = last.arguments["layers"][-1]
    if last.name in _ENDS:
        raise LayerError(last.path, "the last layer gives logits or values; the program does the rest", "Leave it out")
    if tuple(x.shape[1:]) == (outputs,):
        return
    task = f"the task has {outputs} output{'s' if outputs > 1 else ''}"
    if x.ndim == 2:
        fix = (
            f"Write out_features: {AUTO}" if last.name == "Linear" else f"End with {{Linear: {{out_features: {AUTO}}}}}"
        )
        place = "/out_features" if last.name == "Linear" else ""
        raise ShapeError(last.path + place, f"the list ends with {shape_of(x)}, and {task}", fix, x.shape[1:])
    fix = (
        f"Put Flatten before {last.path}"
        if last.name == "Linear"
        else f"End with Flatten, {{Linear: {{out_features: {AUTO}}}}}"
    )
    raise ShapeError(last.path, f"the list ends with {shape_of(x)}, and {task}", fix, x.shape[1:])


def _torch_says(layer: Layer, error: Exception, x: Tensor) -> ShapeError:
    said = " ".join((str(error).strip() or type(error).__name__).splitlines()[0].split())[:160].rstrip(".")
    fix = next((fix for sign, fix in _FIXES if re.search(sign, said)), f"See torch.nn.{layer.name} for its arguments")
    return wrong(layer, said, fix, x)
