"""Random changes of training batches that keep the label: on the device, a whole batch at a time.

Each modality has one function and three strengths; what they may change is what the label should not depend on:

======== ================================ ==================================== ===================================
modality light                            medium                               strong
======== ================================ ==================================== ===================================
image    shifts up to 1/16                1/8, rotation, zoom, contrast        + mirror, erased patch
audio    one mask in time and frequency   two masks each, shift in time        two wide masks each, gain
series   noise, scale                     + shift in time                      + stretched time
tabular  5 % of cells from another row    10 %                                 20 %
text     5 % of tokens become unknown,    10 %                                 20 %
         of groups of letters lost
======== ================================ ==================================== ===================================

Mirrors wait for "strong": they turn some characters into others. How much each changes is by judgement: the search
chooses the strength, so too much or too little costs candidates and no more. Inputs are as networks see them (images
float32 and standardised), so 0 is the mean of an image, a spectrogram or a series. Shapes and types stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from automl.types import Input, Modality

STRENGTHS = ("none", "light", "medium", "strong")
UNKNOWN_TOKEN = 1  # ``automl.data.encode.text.UNKNOWN``, which is not imported: a worker has no use for what encodes


def _uniform(shape: Sequence[int], low: float, high: float, like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(tuple(shape), generator=generator, device=like.device) * (high - low) + low


def _stretch(x: Tensor, axis: int, share: float, count: int, generator: Generator) -> Tensor:
    """Where ``count`` stretches along the axis lie, each up to ``share`` of it; bool, (rows, 1, .., size, ..)."""
    size = x.shape[axis]
    place = torch.arange(size, device=x.device)
    inside = torch.zeros((len(x), size), dtype=torch.bool, device=x.device)
    for _ in range(count):
        width = _uniform((len(x), 1), 0, share * size, x, generator)
        start = _uniform((len(x), 1), 0, 1, x, generator) * (size - width)
        inside |= (place >= start) & (place < start + width)
    shape = [len(x)] + [1] * (x.ndim - 1)
    shape[axis] = size
    return inside.reshape(shape)


def _resampled(x: Tensor, position: Tensor, masked: bool) -> Tensor:
    """``x`` (rows, channels, length) read at ``position`` (rows, length), linearly; edges are repeated.

    A mask channel (the last) is read at the nearest place, so that it stays 0 or 1; and so is all where it is 0.
    """
    position = position.clamp(0, x.shape[2] - 1)
    low = position.floor().long()
    high = (low + 1).clamp(max=x.shape[2] - 1)
    part = (position - low)[:, None]

    def at(index: Tensor) -> Tensor:
        return x.gather(2, index[:, None].expand_as(x))

    out = torch.lerp(at(low), at(high), part)
    if masked:
        near = at(position.round().long())
        out = torch.where(near[:, -1:] > 0, out, near)
        out[:, -1] = near[:, -1]
    return out


def _image(x: Tensor, of: Input, strength: int, generator: Generator) -> Tensor:
    if strength == 1:
        return _shifted(x, generator)
    x = _moved(x, strength, generator)
    rows = len(x)
    x = x * _uniform((rows, 1, 1, 1), 0.8, 1.2, x, generator) + _uniform((rows, 1, 1, 1), -0.2, 0.2, x, generator)
    if strength == 3:  # one erased patch (Zhong et al. 2017, filled with the mean)
        patch = _stretch(x, 2, 0.4, 1, generator) & _stretch(x, 3, 0.4, 1, generator)
        x = x.masked_fill(patch, 0.0)
    return x


def _reach(side: int) -> int:
    """The largest shift of light strength, in pixels."""
    return max(1, round(side / 16))


def _shifted(x: Tensor, generator: Generator) -> Tensor:
    """Shifts by whole pixels, edges repeated: nothing is blurred, and a gather is the cheapest way."""
    rows, channels, height, width = x.shape
    place = []
    for side in (height, width):
        reach = _reach(side)
        by = torch.randint(-reach, reach + 1, (rows, 1), generator=generator, device=x.device)
        place.append((torch.arange(side, device=x.device) + by).clamp(0, side - 1))
    index = (place[0][:, :, None] * width + place[1][:, None, :]).reshape(rows, 1, -1)
    return x.reshape(rows, channels, -1).gather(2, index.expand(-1, channels, -1)).reshape(x.shape)


def _moved(x: Tensor, strength: int, generator: Generator) -> Tensor:
    """Rotation, zoom, shift and (strong) mirror in one resampling, edges repeated."""
    rows, _, height, width = x.shape
    turn, zoom = ((0.17, 0.1), (0.3, 0.2))[strength - 2]  # radians; log of the scale
    angle = _uniform((rows,), -turn, turn, x, generator)
    size = torch.exp(_uniform((rows,), -zoom, zoom, x, generator))
    mirror = torch.ones(rows, device=x.device)
    if strength == 3:
        mirror = (_uniform((rows,), 0, 1, x, generator) < 0.5) * 2.0 - 1.0
    # affine_grid counts in half images, so a turn of an oblong image needs the ratio of its sides.
    shift_x, shift_y = (_uniform((rows,), -1, 1, x, generator) * 4 * _reach(side) / side for side in (width, height))
    cos, sin, ratio = angle.cos() * size, angle.sin() * size, height / width
    to_x = torch.stack([cos * mirror, -sin * ratio, shift_x], 1)
    to_y = torch.stack([sin * mirror / ratio, cos, shift_y], 1)
    grid = F.affine_grid(torch.stack([to_x, to_y], 1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _audio(x: Tensor, of: Input, strength: int, generator: Generator) -> Tensor:
    if strength >= 2:
        rows, _, _, frames = x.shape
        shift = _uniform((rows, 1), -0.1, 0.1, x, generator) * frames
        place = (torch.arange(frames, device=x.device) + shift).round().long().clamp(0, frames - 1)
        x = x.gather(3, place[:, None, None, :].expand_as(x))
    if strength == 3:
        x = x + _uniform((len(x), 1, 1, 1), -0.3, 0.3, x, generator)
    # Masks in time and frequency (SpecAugment, Park et al. 2019).
    count, share = ((1, 0.1), (2, 0.15), (2, 0.25))[strength - 1]
    hidden = _stretch(x, 3, share, count, generator) | _stretch(x, 2, share, count, generator)
    return x.masked_fill(hidden, 0.0)


def _series(x: Tensor, of: Input, strength: int, generator: Generator) -> Tensor:
    rows, channels, length = x.shape
    if strength >= 2:
        stretch = 0.1 if strength == 3 else 0.0
        speed = torch.exp(_uniform((rows, 1), -stretch, stretch, x, generator))
        shift = (_uniform((rows, 1), -0.1, 0.1, x, generator) * length).round()
        place = torch.arange(length, device=x.device) - length / 2
        x = _resampled(x, place * speed + length / 2 + shift, of.masked)
    noise = (0.03, 0.06, 0.1)[strength - 1]
    free = channels - of.masked
    before = x[:, :free]
    values = before * (1 + 2 * noise * torch.randn((rows, free, 1), generator=generator, device=x.device))
    values = values + noise * torch.randn(values.shape, generator=generator, device=x.device)
    if not of.masked:
        return values
    # Unobserved places keep what the encoding filled in: 0 at the ends, a line in gaps.
    return torch.cat([torch.where(x[:, -1:] > 0, values, before), x[:, -1:]], 1)


def _tabular(x: Tensor, of: Input, strength: int, generator: Generator) -> Tensor:
    """Swap noise: cells take the value of the same column in another row, so codes stay codes."""
    share = (0.05, 0.1, 0.2)[strength - 1]
    other = torch.randint(len(x), tuple(x.shape), generator=generator, device=x.device)
    return torch.where(_uniform(x.shape, 0, 1, x, generator) < share, x.gather(0, other), x)


def _text(x: Tensor, of: Input, strength: int, generator: Generator) -> Tensor:
    share = (0.05, 0.1, 0.2)[strength - 1]
    lost = (_uniform(x.shape, 0, 1, x, generator) < share) & (x != 0)
    parts = [of.tokens, of.letters, of.pieces]
    tokens, letters, pieces = x.split(parts, dim=1)
    lost_tokens, lost_letters, _ = lost.split(parts, dim=1)  # a known network was trained on whole texts
    changed = tokens.masked_fill(lost_tokens, UNKNOWN_TOKEN), letters.masked_fill(lost_letters, 0), pieces
    return torch.cat(changed, 1)


CHANGES: Mapping[Modality, Callable[[Tensor, Input, int, Generator], Tensor]] = {
    "image": _image,
    "audio": _audio,
    "series": _series,
    "tabular": _tabular,
    "text": _text,
}


def augment(
    batch: Sequence[Tensor], inputs: Sequence[Input], strength: str, generator: Generator
) -> tuple[Tensor, ...]:
    """Change a batch at random. ``batch``: one tensor (rows, ...) per input; ``generator`` is on the same device.

    Raises ValueError for an unknown strength.
    """
    if strength not in STRENGTHS:
        raise ValueError(f"unknown augment {strength!r}; strengths are: {', '.join(STRENGTHS)}")
    if strength == "none":
        return tuple(batch)
    level = STRENGTHS.index(strength)
    # Not in mixed precision: the grid of a rotation is a product, and would find pixels by eight bits.
    with torch.autocast(batch[0].device.type, enabled=False):
        return tuple(CHANGES[of.modality](x, of, level, generator) for x, of in zip(batch, inputs, strict=True))


def can_mix(inputs: Sequence[Input]) -> bool:
    """Whether mixup can be used: half a token is none, so not with text."""
    return all(of.modality != "text" for of in inputs)


def mixup(
    batch: Sequence[Tensor], inputs: Sequence[Input], alpha: float, rng: np.random.Generator, generator: Generator
) -> tuple[tuple[Tensor, ...], Tensor, float]:
    """Blend every row with a partner (Zhang et al. 2018): ``share * row + (1 - share) * partner``.

    Returns the blended batch, each row's partner (rows,) and the share, drawn once per batch from Beta(alpha, alpha).
    Category codes cannot be blended: each is the partner's with probability ``1 - share``.
    """
    share = float(rng.beta(alpha, alpha))
    rows = len(batch[0])
    partner = torch.randperm(rows, generator=generator, device=batch[0].device)
    mixed = []
    for x, of in zip(batch, inputs, strict=True):
        other = x[partner]
        out = torch.lerp(other, x, share)
        codes = [i for i, c in enumerate(of.cardinalities) if c > 0]
        if codes:
            keep = _uniform((rows, len(codes)), 0, 1, x, generator) < share
            out[:, codes] = torch.where(keep, x[:, codes], other[:, codes])
        mixed.append(out)
    return tuple(mixed), partner, share
