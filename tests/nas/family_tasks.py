"""A small task of every sort that a family can meet, rows for it, and every family that has a yaml."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from hydra.utils import instantiate
from numpy.random import RandomState
from omegaconf import OmegaConf
from torch import Tensor, nn

from automl.types import Axis, Candidate, Family, Input, Option, Prior, Task
from experiments import configuration
from nas.family import search_axes
from nas.recipe import training_axes
from nas.space import SearchSpace

FOLDER = configuration.CONF / "family"


def load(name: str) -> Family:
    """The family of conf/family/NAME.yaml."""
    return instantiate(OmegaConf.load(FOLDER / f"{name}.yaml"))


FAMILIES = {path.stem: load(path.stem) for path in sorted(FOLDER.glob("*.yaml"))}


def task(name: str, *inputs: Input, kind: str = "multiclass", outputs: int = 3) -> Task:
    return Task(name, kind, inputs, outputs, "r2" if kind == "regression" else "accuracy")  # type: ignore[arg-type]


NUMBERS = Input("numbers", "tabular", (5,), cardinalities=(0,) * 5)
MIXED = Input("mixed", "tabular", (4,), cardinalities=(0, 7, 0, 2))
CODES = Input("codes", "tabular", (3,), cardinalities=(4, 3, 11))
IMAGE = Input("image", "image", (1, 28, 28))
COLOUR = Input("colour", "image", (3, 12, 17))
TINY = Input("tiny", "image", (1, 8, 8))
AUDIO = Input("audio", "audio", (1, 20, 33))
SERIES = Input("series", "series", (1, 60))
SHORT = Input("short", "series", (2, 7))
UNEQUAL = Input("unequal", "series", (3, 40), masked=True)
TEXT = Input("text", "text", (14,), vocabulary=50, letters=5)
NAMES = Input("names", "text", (9,), vocabulary=50)

TASKS = {
    t.name: t
    for t in (
        task("numbers", NUMBERS, kind="regression", outputs=1),
        task("mixed", MIXED),
        task("codes", CODES, kind="binary", outputs=2),
        task("image", IMAGE),
        task("colour", COLOUR, kind="regression", outputs=1),
        task("tiny", TINY, kind="binary", outputs=2),
        task("audio", AUDIO),
        task("series", SERIES),
        task("short", SHORT, kind="binary", outputs=2),
        task("unequal", UNEQUAL, kind="regression", outputs=1),
        task("text", TEXT, kind="binary", outputs=2),
        task("names", NAMES),
        task("several", MIXED, IMAGE, TEXT),
        task("two", SERIES, NUMBERS, kind="regression", outputs=1),
    )
}


def rows(of: Task, count: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Prepared inputs, as networks see them."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(_rows(i, count, generator) for i in of.inputs)


def _rows(of: Input, count: int, generator: torch.Generator) -> Tensor:
    if of.modality == "text":
        parts = []
        for places, most in ((of.tokens, of.vocabulary), (of.letters, 2**31)):
            ids = torch.randint(1, most, (count, places), generator=generator)
            parts.append(ids * (torch.arange(places) < torch.randint(1, places + 2, (count, 1), generator=generator)))
        return torch.cat(parts, dim=1).int()
    x = torch.randn((count, *of.shape), generator=generator)
    for i, cardinality in enumerate(of.cardinalities):
        if cardinality:
            x[:, i] = torch.randint(cardinality, (count,), generator=generator).float()
    if of.masked:
        lengths = torch.randint(1, of.shape[1] + 1, (count, 1), generator=generator)
        x[:, -1] = (torch.arange(of.shape[1]) < lengths).float()
        x[:, :-1] *= x[:, -1:]
    return x


def axes_of(family: Family, of: Task) -> tuple[Axis, ...]:
    """The family's axes and the shared ones."""
    return search_axes({family.name: family}, of, training_axes(of))[family.name]


def candidate_at(family: Family, axes: tuple[Axis, ...], end: int) -> Candidate:
    """The first (0) or the last (-1) option of every active axis: the smallest and the largest member."""
    choices = {}
    for axis in axes:
        if axis.is_active(choices):
            choices[axis.name] = axis.options[end]
    return Candidate(family.name, choices)


def random_candidates(family: Family, axes: tuple[Axis, ...], count: int, seed: int = 0) -> list[Candidate]:
    space = SearchSpace(Prior.uniform({family.name: axes}))
    state = RandomState(seed)
    return [space.draw(state) for _ in range(count)]


def options_of(family: Family, of: Task, axis: str) -> tuple[Option, ...]:
    """What can be chosen on one of the family's own axes."""
    return next(a.options for a in axes_of(family, of) if a.name == axis)


class Positional(nn.Module):
    """The same number of positional inputs for every network, so that the exporter names them all alike."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.net(*inputs)


def export_agrees(net: nn.Module, of: Task) -> None:
    """Export with a free number of rows; 1 and 5 rows give what torch gives, within 1e-4."""
    example = rows(of, 3)
    free = (tuple({0: torch.export.Dim.DYNAMIC} for _ in example),)
    program = torch.onnx.export(Positional(net).eval(), example, dynamo=True, dynamic_shapes=free, verbose=False)
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    for count in (1, 5):
        batch = rows(of, count, seed=count)
        feed = {i.name: x.numpy() for i, x in zip(session.get_inputs(), batch, strict=True)}
        with torch.no_grad():
            expected = net(*batch).numpy()
        np.testing.assert_allclose(np.asarray(session.run(None, feed)[0]), expected, rtol=1e-4, atol=1e-4)
