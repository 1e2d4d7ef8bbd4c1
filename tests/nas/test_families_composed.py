"""The named settings of ``composed`` are what their names say."""

import dataclasses

import pytest
import torch
from torch import nn

from automl.models.layers.attention import Attention
from automl.models.layers.mixers import MIXERS, Convolution, Gru, Merge, Pooling, TokenMLP, make_mixer
from automl.types import Candidate, Prior, active_choices
from nas.families.composed import NAMED, ComposedSpace
from nas.family import build
from nas.testing.families import NAMES as WORDS
from nas.testing.families import TASKS, axes_of, candidate_at, rows, task
from tests.nas.family_tasks import FAMILIES

KINDS = (Attention, Convolution, Gru, Pooling, TokenMLP)


def named(name: str, of: str, **more) -> tuple[Candidate, nn.Module]:
    """The candidate of a named setting, everything else at its first option, and its network."""
    family, task = FAMILIES["composed"], TASKS[of]
    axes = axes_of(family, task)
    choices = {a.name: a.options[0] for a in axes} | {"depth": 4} | dict(NAMED[name]) | more
    candidate = Candidate("composed", active_choices(axes, choices))
    assert Prior.uniform({"composed": axes}).log_prob(candidate) > float("-inf"), "a named setting is in the space"
    return candidate, build(family, task, candidate, axes, seed=0)


@pytest.mark.parametrize("of", ["image", "audio", "series", "unequal"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mlp_mixer", TokenMLP),
        ("vit", Attention),
        ("poolformer", Pooling),
        ("convnext", Convolution),
        ("tcn", Convolution),
        ("rnn", Gru),
    ],
)
def test_named_settings_hold_their_mixer_and_no_other(name, kind, of):
    candidate, net = named(name, of)
    assert dict(NAMED[name]).items() <= dict(candidate.choices).items()
    found = [type(m) for m in net.modules() if isinstance(m, KINDS)]
    assert found == [kind] * 4
    assert net(*rows(TASKS[of], 3)).shape == (3, TASKS[of].num_outputs)
    assert (name == "poolformer") == any(isinstance(m, Merge) for m in net.modules())


def test_every_named_setting_is_tested():
    assert set(NAMED) == {"mlp_mixer", "vit", "poolformer", "convnext", "tcn", "rnn"}


@pytest.mark.parametrize("name", [m for m in MIXERS if m != "token_mlp"])
def test_a_text_is_read_alike_in_training_and_after(name):
    """What is padding in the whole batch is cut off while training: nothing may hang on how much there is."""
    family, of = FAMILIES["composed"], TASKS["names"]
    axes = axes_of(family, of)
    choices = {a.name: a.options[0] for a in axes} | {"mixer": name, "depth": 2}
    net = build(family, of, Candidate("composed", active_choices(axes, choices)), axes, seed=0)
    (ids,) = rows(of, 5)
    ids[:, 4:] = 0
    torch.testing.assert_close(net.train()(ids), net.eval()(ids))


def test_two_texts_are_read_alike_in_training_and_after():
    """What is cut off the first while training would move the second to other positions."""
    of = task("texts", WORDS, dataclasses.replace(WORDS, name="more"))
    axes = axes_of(FAMILIES["composed"], of)
    net = build(FAMILIES["composed"], of, candidate_at(FAMILIES["composed"], axes, 0), axes, seed=0)
    first, second = rows(of, 5)
    first[:, 4:] = 0
    torch.testing.assert_close(net.train()(first, second), net.eval()(first, second))


def test_dilation_doubles_over_the_blocks():
    _, net = named("tcn", "series")
    assert [m.body.dilation for m in net.modules() if isinstance(m, Convolution)] == [(1, 1), (1, 2), (1, 4), (1, 8)]


def test_a_hybrid_changes_its_mixer_half_way():
    _, net = named("convnext", "image", late_mixer="attention")
    found = [type(m) for m in net.modules() if isinstance(m, KINDS)]
    assert found == [Convolution, Convolution, Attention, Attention]


@pytest.mark.parametrize("grid", [(6,), (2, 3)])
@pytest.mark.parametrize("name", MIXERS[1:])
def test_mixers_do_not_read_what_the_mask_leaves_out(name, grid):
    torch.manual_seed(0)
    mixer = make_mixer(name, grid, 8, 3, 1, 0.0).eval()
    x, mask = torch.randn(2, 6, 8), torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    other = torch.where(mask[..., None], x, 5 + x)
    y, z = mixer(x, mask), mixer(other, mask)
    torch.testing.assert_close(y[mask], z[mask])


@pytest.mark.parametrize("grid", [(5,), (3, 4)])
def test_merging_halves_the_grid_and_keeps_what_is_seen(grid):
    merge = Merge(grid, 4)
    tokens = torch.Size(grid).numel()
    mask = torch.arange(tokens) < torch.tensor([[tokens], [2], [0]])
    x, seen = merge(torch.randn(3, tokens, 4), mask)
    assert x.shape == (3, torch.Size(merge.grid).numel(), 8)
    assert seen[0].all() and seen[1].tolist() == [True] + [False] * (len(seen[1]) - 1) and not seen[2].any()


def test_several_inputs_are_one_row_of_tokens():
    _, net = named("vit", "several")
    assert isinstance(net, ComposedSpace) and net.positions.table.shape[1] == 4 + 16 + 9
