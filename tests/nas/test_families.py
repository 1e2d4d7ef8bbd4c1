"""What every family promises. A new yaml in conf/family joins by itself."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from automl.training.options import Options
from automl.types import Axis, Family, Task
from nas.family import build
from nas.recipe import training_axes
from tests.nas.family_tasks import FAMILIES, TASKS, axes_of, candidate_at, export_agrees, random_candidates, rows

SUPPORTED = {name: [t for t in TASKS.values() if family.supports(t)] for name, family in FAMILIES.items()}
PAIRS = [(name, of.name) for name, tasks in SUPPORTED.items() for of in tasks]
FIRST = [(name, tasks[0].name) for name, tasks in SUPPORTED.items()]
SMALLEST_PARAMETERS = 200_000

TABULAR = {"numbers", "mixed", "codes"}
MAPS = {"image", "colour", "tiny", "audio"}
WORDS = {"text", "names"}
SEQUENCES = {"series", "short", "unequal"}
EXPECTED = {
    "mlp": set(TASKS) - {"text", "names", "several"},
    **dict.fromkeys(("resnet_mlp", "ft_transformer", "tabm", "boosted_trees"), TABULAR),
    "linear": TABULAR | SEQUENCES,
    **dict.fromkeys(("convnet", "convnet_shared", "mobilenet", "convnext", "vit", "pretrained"), MAPS),
    **dict.fromkeys(("fcn_resnet1d", "inception_time", "tcn", "rnn", "rocket", "patch_transformer"), SEQUENCES),
    **dict.fromkeys(("bag_of_embeddings", "ngram_linear", "text_cnn", "text_rnn", "text_transformer"), WORDS),
    "fusion": {"several", "two"},
    "composed": set(TASKS),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks are slower on several threads, and the suite shares the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


class TestFamilyContract:
    @pytest.mark.parametrize("name", FAMILIES)
    def test_is_found_under_its_name(self, name):
        family = FAMILIES[name]
        assert isinstance(family, Family) and family.name == name
        found = {t.name for t in SUPPORTED[name]}
        assert found == EXPECTED.get(name, found) != set()

    @pytest.mark.parametrize(("name", "of"), PAIRS)
    def test_axes_are_finite_and_parents_come_first(self, name, of):
        family, task = FAMILIES[name], TASKS[of]
        own = family.space(task).axes()
        names = [a.name for a in own]
        assert len(set(names)) == len(names)
        trained = {a.name for a in training_axes(task)} | set(Options.__dataclass_fields__) | {"dropout"}
        assert not set(names) & trained, "an axis of the architecture has the name of a training axis"
        for i, axis in enumerate(own):
            assert len(axis.options) > 1, f"{axis.name} leaves no choice"
            assert all(type(o) in (str, int, float, bool) for o in axis.options)
            if axis.parent:
                parent = own[names.index(axis.parent)]
                assert names.index(axis.parent) < i and set(axis.when) < set(parent.options)
            if not isinstance(axis.options[0], str):
                assert list(axis.options) == sorted(axis.options, reverse=axis.options[0] > axis.options[-1])

    @pytest.mark.parametrize(("name", "of"), PAIRS)
    def test_the_smallest_member_is_small_and_trains(self, name, of):
        family, task = FAMILIES[name], TASKS[of]
        net = network(family, task, axes_of(family, task), 0)
        check_trains(net, task)
        if family.space(task).axes():  # a fixed network is as large as it is
            assert sum(p.numel() for p in net.parameters()) < SMALLEST_PARAMETERS

    @pytest.mark.parametrize(("name", "of"), FIRST)
    def test_the_largest_member_trains(self, name, of):
        family, task = FAMILIES[name], TASKS[of]
        check_trains(network(family, task, axes_of(family, task), -1), task)

    @pytest.mark.parametrize("name", FAMILIES)
    def test_random_candidates_train(self, name):
        family = FAMILIES[name]
        searched = bool(family.space(SUPPORTED[name][0]).axes())
        for i in range(20 if searched else 1):
            task = SUPPORTED[name][i % len(SUPPORTED[name])]
            axes = axes_of(family, task)
            candidate = random_candidates(family, axes, 1, seed=i)[0]
            try:
                check_trains(build(family, task, candidate, axes, seed=i), task)
            except Exception as error:
                raise AssertionError(f"{task.name}: {dict(candidate.choices)}") from error

    @pytest.mark.parametrize(("name", "of"), PAIRS)
    def test_a_row_is_predicted_alone_as_among_others(self, name, of):
        family, task = FAMILIES[name], TASKS[of]
        net = network(family, task, axes_of(family, task), 0).eval()
        batch = rows(task, 5)
        with torch.no_grad():
            together = net(*batch)
            for i in range(5):
                torch.testing.assert_close(
                    net(*(x[i : i + 1] for x in batch)), together[i : i + 1], rtol=1e-4, atol=1e-5
                )

    @pytest.mark.parametrize(("name", "of"), FIRST)
    def test_weights_depend_on_the_seed_only(self, name, of):
        family, task = FAMILIES[name], TASKS[of]
        axes = axes_of(family, task)
        one = network(family, task, axes, 0, seed=1).state_dict()
        torch.rand(3)
        again = network(family, task, axes, 0, seed=1).state_dict()
        other = network(family, task, axes, 0, seed=2).state_dict()
        assert all(torch.equal(one[k], again[k]) for k in one)
        drawn = any((v != v.flatten()[0]).any() for v in one.values())  # a closed form may start from constants
        assert any(not torch.equal(one[k], other[k]) for k in one) == drawn
        copied = copy.deepcopy(network(family, task, axes, 0, seed=1))
        copied.load_state_dict(one)

    @pytest.mark.parametrize(("name", "of"), PAIRS)
    def test_the_state_is_all_that_tells_two_networks_of_a_candidate_apart(self, name, of):
        """What was drawn from the seed but is not in the state would be another network when it is read again."""
        family, task = FAMILIES[name], TASKS[of]
        axes, batch = axes_of(family, task), rows(task, 6)
        for candidate in {candidate_at(family, axes, 0), *random_candidates(family, axes, 2)}:
            one, other = (build(family, task, candidate, axes, seed=seed).eval() for seed in (1, 2))
            with torch.no_grad():
                for weight in one.parameters():
                    if not weight.any():  # a head that starts at zero hides what comes before it
                        weight += 0.1
                other(*batch)  # what it remembers is not taken for the answers of the state it gets
                other.load_state_dict(one.state_dict())
                torch.testing.assert_close(other(*batch), one(*batch), rtol=1e-5, atol=1e-6)

    @pytest.mark.slow
    @pytest.mark.parametrize(("name", "of"), PAIRS)
    def test_the_exported_graph_agrees(self, name, of):
        family, task = FAMILIES[name], TASKS[of]
        net = network(family, task, axes_of(family, task), 0)
        net(*rows(task, 16))  # one training step's worth of batch statistics
        export_agrees(net, task)
