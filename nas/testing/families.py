"""What every family promises, as a test class for yours, and a small task of every sort that one can meet.

class TestMine(FamilyContract):
    @pytest.fixture
    def family(self):
        return Mine()
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.random import RandomState
from torch import Tensor, nn

from automl.training.options import Options
from automl.types import Axis, Candidate, Family, Input, Option, Prior, Task
from nas.family import NAMED, build, search_axes
from nas.recipe import training_axes
from nas.space import SearchSpace

SMALLEST_PARAMETERS = 200_000


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
        for places, most in ((of.tokens, of.vocabulary), (of.letters, 2**31), (of.pieces, of.vocabulary)):
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


def supported(family: Family) -> list[Task]:
    """Of the tasks."""
    return [t for t in TASKS.values() if family.supports(t)]


def network(family: Family, of: Task, axes: tuple[Axis, ...], end: int, seed: int = 0) -> nn.Module:
    return build(family, of, candidate_at(family, axes, end), axes, seed=seed)


def check_trains(net: nn.Module, of: Task) -> None:
    """One forward and backward pass over the smallest batch; every weight takes part."""
    net.train()
    out = net(*rows(of, 2))
    assert out.shape[0] == 2 and out.shape[-1] == of.num_outputs and out.ndim in (2, 3)
    assert out.isfinite().all()
    (out * torch.arange(1.0, out.numel() + 1).reshape(out.shape)).sum().backward()
    for name, weight in net.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, f"{name} takes no part"
            assert weight.grad.isfinite().all(), f"the gradient of {name} is not finite"


class FamilyContract:
    """Subclass it with a fixture ``family`` that makes yours; of ``TASKS`` those are tried that it supports."""

    @pytest.fixture(autouse=True)
    def one_thread(self) -> Iterator[None]:
        """Small networks are slower on several threads, and a suite shares the machine."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)

    def test_it_has_a_name_and_supports_something(self, family: Family) -> None:
        assert isinstance(family, Family) and family.name and supported(family)

    def test_axes_are_finite_and_parents_come_first(self, family: Family) -> None:
        for task in supported(family):
            own = family.space(task).axes()
            names = [a.name for a in own]
            assert len(set(names)) == len(names)
            trained = {a.name for a in training_axes(task)} | set(Options.__dataclass_fields__) | {"dropout"}
            shared = family.space(task).shares
            assert not (shared and set(names) & trained), "an axis of the architecture has the name of a training axis"
            for i, axis in enumerate(own):
                assert len(axis.options) > 1 or axis.name == NAMED, f"{axis.name} leaves no choice"
                assert all(type(o) in (str, int, float, bool) for o in axis.options)
                if axis.parent:
                    parent = own[names.index(axis.parent)]
                    assert names.index(axis.parent) < i and set(axis.when) < set(parent.options)
                if not isinstance(axis.options[0], str):
                    assert list(axis.options) == sorted(axis.options, reverse=axis.options[0] > axis.options[-1])

    def test_the_smallest_member_is_small_and_trains(self, family: Family) -> None:
        for task in supported(family):
            net = network(family, task, axes_of(family, task), 0)
            check_trains(net, task)
            if any(len(axis.options) > 1 for axis in family.space(task).axes()):  # a fixed one is as large as it is
                assert sum(p.numel() for p in net.parameters()) < SMALLEST_PARAMETERS

    def test_the_largest_member_trains(self, family: Family) -> None:
        for task in supported(family)[:1]:
            check_trains(network(family, task, axes_of(family, task), -1), task)

    def test_random_candidates_train(self, family: Family) -> None:
        tasks = [(task, axes_of(family, task)) for task in supported(family)]
        searched = bool(family.space(tasks[0][0]).axes())
        for i in range(20 if searched else 1):
            task, axes = tasks[i % len(tasks)]
            candidate = random_candidates(family, axes, 1, seed=i)[0]
            try:
                check_trains(build(family, task, candidate, axes, seed=i), task)
            except Exception as error:
                raise AssertionError(f"{task.name}: {dict(candidate.choices)}") from error

    def test_a_row_is_predicted_alone_as_among_others(self, family: Family) -> None:
        for task in supported(family):
            net = network(family, task, axes_of(family, task), 0).eval()
            batch = rows(task, 5)
            with torch.no_grad():
                together = net(*batch)
                for i in range(5):
                    torch.testing.assert_close(
                        net(*(x[i : i + 1] for x in batch)), together[i : i + 1], rtol=1e-4, atol=1e-5
                    )

    def test_weights_depend_on_the_seed_only(self, family: Family) -> None:
        for task in supported(family)[:1]:
            axes = axes_of(family, task)
            one = network(family, task, axes, 0, seed=1).state_dict()
            torch.rand(3)
            again = network(family, task, axes, 0, seed=1).state_dict()
            other = network(family, task, axes, 0, seed=2).state_dict()
            assert all(torch.equal(one[k], again[k]) for k in one)
            drawn = any((v != v.flatten()[:1]).any() for v in one.values())  # a closed form may start from constants
            assert any(not torch.equal(one[k], other[k]) for k in one) == drawn
            copied = copy.deepcopy(network(family, task, axes, 0, seed=1))
            copied.load_state_dict(one)

    def test_the_state_is_all_that_tells_two_networks_of_a_candidate_apart(self, family: Family) -> None:
        """What was drawn from the seed but is not in the state would be another network when it is read again."""
        for task in supported(family):
            axes, batch = axes_of(family, task), rows(task, 6)
            for candidate in {candidate_at(family, axes, 0), *random_candidates(family, axes, 1)}:
                one, other = (build(family, task, candidate, axes, seed=seed).eval() for seed in (1, 2))
                with torch.no_grad():
                    for weight in one.parameters():
                        if not weight.any():  # a head that starts at zero hides what comes before it
                            weight += 0.1
                    other(*batch)  # what it remembers is not taken for the answers of the state it gets
                    other.load_state_dict(one.state_dict())
                    torch.testing.assert_close(other(*batch), one(*batch), rtol=1e-5, atol=1e-6)

    @pytest.mark.slow
    def test_the_exported_graph_agrees(self, family: Family) -> None:
        for task in supported(family):
            net = network(family, task, axes_of(family, task), 0)
            net(*rows(task, 16))  # one training step's worth of batch statistics
            export_agrees(net, task)
