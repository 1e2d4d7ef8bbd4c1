"""Image operations of torchvision by their own names and arguments, in order: ``[{"RandomCrop": {"size": 28}}]``.

They change pictures as they came (bytes, 0 to 255), each by a draw of its own, and in training alone; a picture's shape
stays. As an option of the axis ``augment`` such a list is its JSON text.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from automl.data.augment import STRENGTHS
from automl.models.listed.errors import LayerError
from automl.models.listed.read import MOST_OPTIONS, shown
from automl.training import named
from automl.types import Input

NAMES = (
    *("AugMix", "AutoAugment", "CenterCrop", "ColorJitter", "ElasticTransform", "GaussianBlur", "GaussianNoise", "Pad"),
    *("RandAugment", "RandomAdjustSharpness", "RandomAffine", "RandomAutocontrast", "RandomChannelPermutation"),
    *("RandomCrop", "RandomEqualize", "RandomErasing", "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert"),
    *("RandomPerspective", "RandomPhotometricDistort", "RandomPosterize", "RandomResizedCrop", "RandomRotation"),
    *("RandomSolarize", "RandomVerticalFlip", "Resize", "TrivialAugmentWide"),
)
"""Of ``torchvision.transforms.v2``: what takes one picture and gives one picture of bytes."""
MOST = 20  # operations of a list
DRAWS = 3  # of a list, on a picture of noise: what goes wrong with some draws only is seen too
GROWTH = 4  # times a picture's side, between two operations: a slip in a size would fill the memory

Operation = Callable[[Tensor], Tensor]


@functools.cache
def operations() -> named.Table:
    """Those that may be named. torchvision takes a second to import, so only who names one waits for it."""
    from torchvision.transforms import v2

    return {name: getattr(v2, name) for name in NAMES}


def is_listed(option: str) -> bool:
    """Whether an option of ``augment`` is such a list, and not a strength."""
    return option.startswith("[")


def says_operations(value: Any) -> bool:
    """Whether what a user wrote means operations: torchvision's names begin with a capital."""
    many = value if isinstance(value, list | tuple) else [value]
    return any(not isinstance(one, str) or one[:1].isupper() for one in many)


def options(data: Any, path: str, inputs: Sequence[Input]) -> list[str]:
    """A list of operations, or one; where it holds choices, a list for each combination of them.

    A list in the place of an argument's value or of an operation is a choice. Each list is tried on a picture at once.
    Raises LayerError for names and arguments that are not there, and for what does not keep a picture's shape.
    """
    shapes = sorted({of.shape for of in inputs if of.modality == "image"})
    if not shapes:
        raise LayerError(path, "operations change pictures, and these data hold none", "Write a strength: light")
    many = data if isinstance(data, list | tuple) else [data]
    if len(many) > MOST:
        raise LayerError(path, f"there are {len(many)} operations", f"Write at most {MOST}")
    steps = [_step(one, f"{path}/{at}") for at, one in enumerate(many)]
    if math.prod(map(len, steps)) > MOST_OPTIONS:
        raise LayerError(path, f"more than {MOST_OPTIONS} choices", "Fix some of the values")
    found = [f"[{', '.join(some)}]" for some in itertools.product(*steps)]
    for option, shape in itertools.product(found, shapes):
        _try(option, shape, path)
    return found


def _step(data: Any, path: str) -> list[str]:
    """One operation, or a choice of some: as JSON texts."""
    many = [{one: {}} if isinstance(one, str) else one for one in (data if isinstance(data, list | tuple) else [data])]
    if not many:
        raise LayerError(path, "the choice is empty", "Give an operation")
    if any(name in STRENGTHS for one in many if isinstance(one, dict) for name in one):
        raise LayerError(path, f"{shown(data)} is a strength, which stands alone", "Write operations only")
    return named.options(many, path, operations())


def made(option: str) -> list[Operation]:
    """What an option of ``augment`` names, in order; nothing where it is a strength."""
    if not is_listed(option):
        return []
    steps = [named.named(json.dumps(one), operations()) for one in json.loads(option)]
    return [of(**arguments) for of, arguments in steps]


@functools.lru_cache(maxsize=256)  # it is asked for each time a network is built
def _try(option: str, shape: tuple[int, ...], path: str) -> None:
    """Raises LayerError where an operation cannot change a picture (channels, height, width), or not to such a one."""
    steps: list[Any] = made(option)
    largest = [_largest(one) for one in json.loads(option)]
    side = GROWTH * max(shape[1:])
    for step in steps:
        if hasattr(step, "p"):
            step.p = 1.0  # what is left to chance is seen too
    with torch.random.fork_rng(devices=[]):  # a network that is built meanwhile draws the weights that it would
        torch.default_generator.manual_seed(0)
        for _ in range(DRAWS):
            x, last = torch.randint(0, 256, shape, dtype=torch.uint8), path
            for at, step in enumerate(steps):
                place, before = f"{path}/{at}/{type(step).__name__}", x
                if largest[at] > side:
                    fix = f"Write at most {side}: pictures are {_size(before)}"
                    raise LayerError(place, f"{largest[at]:g} is more than a picture may grow to", fix)
                try:
                    x = step(x)
                except (ValueError, TypeError, ArithmeticError, RuntimeError, LookupError, AssertionError) as error:
                    line = (str(error) or type(error).__name__).splitlines()[0][:160].rstrip(".")
                    raise LayerError(place, f"pictures of {_size(before)}: {line}", "Mend its arguments") from error
                if max(x.shape[1:]) > side:
                    raise LayerError(place, f"a picture grows from {_size(before)} to {_size(x)}", "Write less")
                last = place if x.shape != before.shape else last
            if x.shape != shape:
                height, width = shape[1:]
                fix = f"Put {{Resize: {{size: [[{height}, {width}]]}}}} behind it"
                raise LayerError(last, f"pictures of {height} x {width} become {_size(x)}", fix)


def _largest(operation: Mapping[str, Mapping[str, Any]]) -> float:
    """The largest number among the arguments that say how large a picture becomes; 0 where there is none."""
    ((_, given),) = operation.items()
    said = [given.get(name) for name in ("size", "max_size", "padding")]
    return max((v for one in said for v in (one if isinstance(one, list) else [one]) if v is not None), default=0)


def _size(x: Tensor) -> str:
    return f"{x.shape[-2]} x {x.shape[-1]}"


def changed(
    batch: Sequence[Tensor], inputs: Sequence[Input], steps: Sequence[Operation], generator: Generator
) -> tuple[Tensor, ...]:
    """A batch of encoded inputs, one tensor (rows, ...) each, whose pictures went through the steps one by one.

    ``generator``: is on the same device. torchvision draws from torch's own, which stands where it stood afterwards.
    """
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return tuple(
            torch.stack([functools.reduce(lambda row, step: step(row), steps, row) for row in x])
            if of.modality == "image"
            else x
            for x, of in zip(batch, inputs, strict=True)
        )
