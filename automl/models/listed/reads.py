"""What each layer reads, and what to do where something else arrives."""

from __future__ import annotations

import re
from typing import Literal

from torch import Tensor

from automl.models.listed.allowed import ALLOWED, IDS, STEPS, arguments_of
from automl.models.listed.errors import ShapeError
from automl.models.listed.read import Layer

Form = Literal["ids", "steps", "channels", "vector"]
"""What the axes behind the rows mean: token ids; (steps, features); (channels, ...); (features,)."""

_AXES = {"PixelShuffle": (3,), "PixelUnshuffle": (3,), "Unfold": (3,), "Fold": (2,), "BatchNorm1d": (1, 2)}
_READS = {
    1: "(features,)",
    2: "(channels, length)",
    3: "(channels, height, width)",
    4: "(channels, depth, height, width)",
}
_CHANNELS_FIRST = ("GroupNorm", "ChannelShuffle", "Upsample", "LocalResponseNorm")
_TUPLES = (*("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size"), "size", "scale_factor")


def check_reads(layer: Layer, x: Tensor, form: Form) -> None:
    """Raises ShapeError where the layer would read the axes as something else than they are."""
    name, axes = layer.name, x.ndim - 1
    if form == "ids" and name not in IDS:
        raise wrong(layer, "it cannot read token ids", "Begin with {Embedding: {embedding_dim: 64}}", x)
    if form != "ids" and name in IDS:
        raise wrong(layer, "it reads token ids, and these are numbers", "Leave it out", x)
    if name in STEPS:
        check_steps(layer, x, form)
    wanted = _wanted(name)
    if wanted and axes not in wanted:
        raise wrong(layer, f"it reads {_READS[wanted[-1]]}", _other(name, axes), x)
    if form == "steps" and (wanted in ((2,), (1, 2)) or name in _CHANNELS_FIRST):
        raise wrong(layer, "it reads (channels, steps), and these are (steps, features)", "Put Transpose before it", x)
    if name.startswith("AdaptiveMax") or name == "AdaptiveAvgPool3d":
        _pools(layer, x)
    for key in ("dim", "start_dim"):
        parameter = arguments_of(name).get(key)
        value = layer.arguments.get(key, parameter.default) if parameter else 1
        if value is None or value in (0, -x.ndim) or not -x.ndim < value < x.ndim:
            problem = (
                f"{key}={value} are the rows, which must not be mixed"
                if value in (0, -x.ndim)
                else (f"it needs {key}" if value is None else f"there is no axis {value}")
            )
            raise wrong(layer, problem, f"Write {key}: 1, the first axis of a row", x, f"/{key}")
    places = 2 if name in ("Fold", "Unfold") else wanted[-1] - 1 if wanted else axes - 1
    for key, value in layer.arguments.items():
        count = places * 2 if name.endswith("Pad", 0, -2) else places
        if key in _TUPLES and isinstance(value, tuple) and len(value) != count:
            fix = f"Write one number, or a tuple of {count}"
            raise wrong(layer, f"{key} has {len(value)} numbers", fix, x, f"/{key}")


def _pools(layer: Layer, x: Tensor) -> None:
    """Raises ShapeError where ONNX has no such pooling to a given size."""
    output = layer.arguments["output_size"]
    outputs = output if isinstance(output, tuple) else (output,) * (x.ndim - 2)
    for out, size in zip(outputs, x.shape[2:], strict=False):
        if out not in (1, size, None) and (size % max(out, 1) or layer.name == "AdaptiveAvgPool3d"):
            fix = "Write 1" if layer.name == "AdaptiveAvgPool3d" else f"Choose a divisor of {size}, such as 1"
            raise wrong(layer, f"ONNX cannot pool {size} places to {out}", fix, x, "/output_size")


def check_steps(layer: Layer, x: Tensor, form: Form) -> None:
    """Raises ShapeError where the axes are not (steps, features)."""
    if form == "steps":
        return
    problem = "it reads (steps, features)"
    if x.ndim == 3:
        raise wrong(layer, f"{problem}, and these are (channels, steps)", "Put Transpose before it", x)
    fix = {
        1: "Put {Unflatten: {dim: 1, unflattened_size: [[1, -1]]}} and Transpose before it",
        3: "Put {Flatten: {start_dim: 2}} and Transpose before it",
    }
    raise wrong(layer, problem, fix.get(x.ndim - 1, "Put Flatten and Unflatten before it"), x)


def _wanted(name: str) -> tuple[int, ...]:
    """How many axes a row may have; any number where that is empty."""
    sign = re.search(r"([123])d$", name)
    return _AXES.get(name, (int(sign[1]) + 1,) if sign else ())


def _other(name: str, axes: int) -> str:
    """What to do about a layer for another number of axes."""
    base = name[:-2]
    for other in (f"{base}{axes - 1}d", f"{base}1d", base):
        if other in ALLOWED and axes in (_wanted(other) or (axes,)):
            return f"Write {other}"
    return "Leave it out, or put Unflatten before it" if axes == 1 else "Put Flatten or Unflatten before it"


def wrong(layer: Layer, problem: str, fix: str, x: Tensor, place: str = "") -> ShapeError:
    return ShapeError(f"{layer.path}{place}", f"{problem}; it got {shape_of(x)}", fix, x.shape[1:])


def shape_of(x: Tensor) -> str:
    """A row's shape."""
    return f"({', '.join(map(str, x.shape[1:]))}{',' if x.ndim == 2 else ''})"
