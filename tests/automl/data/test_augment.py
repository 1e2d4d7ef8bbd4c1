"""Augmentation keeps what networks and labels rely on, and changes the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from automl.data.augment import STRENGTHS, augment, can_mix, mixup
from automl.types import Input

INPUTS = {
    "image": Input("image", "image", (3, 12, 20)),
    "audio": Input("audio", "audio", (1, 16, 30)),
    "series": Input("series", "series", (2, 40)),
    "masked": Input("masked", "series", (3, 40), masked=True),
    "tabular": Input("tabular", "tabular", (4,), cardinalities=(0, 3, 0, 5)),
    "text": Input("text", "text", (25,), vocabulary=50),
    "letters": Input("letters", "text", (25,), vocabulary=50, letters=10),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(of: Input, rows: int = 32) -> Tensor:
    g = generator(1)
    if of.modality == "text":
        tokens = torch.randint(2, of.vocabulary, (rows, *of.shape), generator=g)
        tokens[:, 20:] = 0
        return tokens
    x = torch.randn((rows, *of.shape), generator=g)
    for column, codes in enumerate(of.cardinalities):
        if codes:
            x[:, column] = torch.randint(0, codes, (rows,), generator=g).float()
    if of.masked:
        x[:, -1] = 1.0
        x[:, :, 30:] = 0.0
    return x


@pytest.mark.parametrize("of", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_shape_type_and_seed(of, strength):
    x = batch(of)
    before = x.clone()
    (out,) = augment([x], [of], strength, generator())
    (same,) = augment([x], [of], strength, generator())
    assert out.shape == x.shape and out.dtype == x.dtype
    assert torch.equal(x, before), "the caller's batch was changed"
    assert torch.equal(out, same)
    assert torch.equal(out, x) == (strength == "none")
    assert bool(out.float().isfinite().all())


def test_mixed_precision_does_not_change_where_pixels_are_found():
    x = torch.randn(8, 1, 60, 60, generator=generator(1))
    of = Input("image", "image", (1, 60, 60))
    (expected,) = augment([x], [of], "medium", generator())
    with torch.autocast("cpu", torch.bfloat16):
        (mixed,) = augment([x], [of], "medium", generator())
    torch.testing.assert_close(mixed, expected)


@pytest.mark.parametrize("name", ["audio", "tabular", "text"])
def test_stronger_changes_more(name):
    of = INPUTS[name]
    x = batch(of, rows=256)
    changed = [float((augment([x], [of], s, generator())[0] != x).float().mean()) for s in STRENGTHS]
    assert changed == sorted(changed)
    assert changed[1] < changed[3]


@pytest.mark.parametrize("strength", ["light", "medium"])
def test_characters_are_not_mirrored(strength):
    """A bright left edge stays on the left."""
    x = torch.zeros(64, 1, 28, 28)
    x[:, :, :, :8] = 1.0
    (out,) = augment([x], [Input("i", "image", (1, 28, 28))], strength, generator())
    assert bool((out[..., :10].mean((1, 2, 3)) > out[..., 18:].mean((1, 2, 3))).all())


def test_natural_images_are_mirrored_when_strong():
    x = torch.zeros(64, 1, 28, 28)
    x[:, :, :, :8] = 1.0
    (out,) = augment([x], [Input("i", "image", (1, 28, 28))], "strong", generator())
    right = (out[..., 18:].mean((1, 2, 3)) > out[..., :10].mean((1, 2, 3))).float().mean()
    assert 0.25 < float(right) < 0.75


def test_a_turned_oblong_image_keeps_its_form():
    """A disc stays a disc: its extent along both axes agrees, whatever the sides of the image are."""
    height, width = 32, 64
    y, x = torch.meshgrid(torch.arange(height) - 15.5, torch.arange(width) - 31.5, indexing="ij")
    disc = ((y**2 + x**2) < 64).float().expand(64, 1, height, width)
    (out,) = augment([disc], [Input("i", "image", (1, height, width))], "medium", generator())
    sharp = out > (out.amax((1, 2, 3), keepdim=True) + out.amin((1, 2, 3), keepdim=True)) / 2
    tall, wide = sharp.any(3).sum((1, 2)), sharp.any(2).sum((1, 2))
    assert int((tall - wide).abs().max()) <= 2


@pytest.mark.parametrize("strength", STRENGTHS[1:])
def test_a_light_shift_is_whole_pixels_and_a_mask_stays_one(strength):
    of = INPUTS["masked"]
    (out,) = augment([batch(of)], [of], strength, generator())
    mask = out[:, -1]
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert float(out[:, :-1][(mask == 0)[:, None].expand(-1, 2, -1)].abs().max()) == 0


@pytest.mark.parametrize("strength", STRENGTHS[1:])
def test_gaps_keep_what_the_encoding_filled_in(strength):
    """A line over a gap, and planes of one value: a network sees them in validation too."""
    of = INPUTS["masked"]
    x = batch(of)
    x[:, 0, 10:20] = 5.0
    x[:, 1] = -7.0
    x[:, -1, 10:20] = 0.0
    x[:, -1, 30:] = 0.0
    (out,) = augment([x], [of], strength, generator())
    gap = out[:, -1] == 0
    gap[:, 25:] = False  # the end
    gap[:, :5] = False
    assert bool(gap.any())
    torch.testing.assert_close(out[:, 0][gap], torch.full_like(out[:, 0][gap], 5.0))
    torch.testing.assert_close(out[:, 1][gap], torch.full_like(out[:, 1][gap], -7.0))


@pytest.mark.parametrize("strength", STRENGTHS[1:])
def test_codes_stay_codes_of_their_column(strength):
    of = INPUTS["tabular"]
    x = batch(of)
    (out,) = augment([x], [of], strength, generator())
    for column in range(4):
        assert set(out[:, column].tolist()) <= set(x[:, column].tolist())


@pytest.mark.parametrize("strength", STRENGTHS[1:])
def test_padding_is_never_a_word(strength):
    of = INPUTS["text"]
    x = batch(of)
    (out,) = augment([x], [of], strength, generator())
    assert torch.equal(out == 0, x == 0)
    assert bool(((out == x) | (out == 1)).all())


def test_unknown_strength_names_the_known():
    with pytest.raises(ValueError, match="none, light, medium, strong"):
        augment([batch(INPUTS["text"])], [INPUTS["text"]], "wild", generator())


def test_mixup_blends_numbers_and_draws_codes():
    inputs = [INPUTS["image"], INPUTS["tabular"]]
    xs = [batch(of) for of in inputs]
    mixed, partner, share = mixup(xs, inputs, 1.0, np.random.default_rng(0), generator())
    assert 0 < share < 1
    assert sorted(partner.tolist()) == list(range(32))
    torch.testing.assert_close(mixed[0], share * xs[0] + (1 - share) * xs[0][partner])
    torch.testing.assert_close(mixed[1][:, 0], share * xs[1][:, 0] + (1 - share) * xs[1][partner, 0])
    codes = mixed[1][:, [1, 3]]
    assert bool(((codes == xs[1][:, [1, 3]]) | (codes == xs[1][partner][:, [1, 3]])).all())


def test_text_is_not_mixed():
    assert not can_mix([INPUTS["image"], INPUTS["text"]])
    assert can_mix([INPUTS["image"], INPUTS["tabular"]])
