"""What networks of every modality need: activations, norms, residuals, pooling that knows about padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from automl.types import Option

T = TypeVar("T", bound=Option)

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


def choose(space: Any, name: str, options: Sequence[T], *, parent: str = "", when: Sequence[Option] = ()) -> T:
    """``FamilySpace.choose``, but what has only one option is no axis: small inputs leave less to choose."""
    return space.choose(name, options, parent=parent, when=when) if len(options) > 1 else options[0]


def scales(values: Sequence[T], names: tuple[str, str, str] = ("coarse", "medium", "fine")) -> dict[str, T]:
    """Names that mean the same for every input, for values that depend on its size: first, middle and last.

    What is learned about an axis on one task then holds on the next. Two values are the last two names.
    """
    if len(values) < 3:
        return dict(zip(names[3 - len(values) :], values, strict=True))
    return dict(zip(names, (values[0], values[len(values) // 2], values[-1]), strict=True))


def activation(name: str) -> nn.Module:
    """One of relu, gelu, silu."""
    return _ACTIVATIONS[name]()


def vector_norm(name: str, size: int) -> nn.Module:
    """Norm for (rows, size): none, batch or layer."""
    return {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[name](
        *() if name == "none" else (size,)
    )


class Residual(nn.Module):
    """x + body(x)."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Transposed(nn.Module):
    """Apply a module with the last two axes exchanged: (rows, a, b) -> (rows, b, a) -> body -> back."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.transpose(1, 2)).transpose(1, 2)


class TokenPool(nn.Module):
    """(rows, tokens, width) and a mask (rows, tokens), True where a token counts -> (rows, width).

    ``mean``, ``max``, ``attention`` (a learned score per token) or ``last`` (the last token that counts).
    A row whose mask is all False gives zeros (``last``: its first token).
    """

    def __init__(self, form: str, width: int) -> None:
        super().__init__()
        if form not in ("mean", "max", "attention", "last"):
            raise ValueError(f"no pooling {form!r}; there are mean, max, attention, last")
        self.form = form
        self.score = nn.Linear(width, 1) if form == "attention" else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.score is not None:
            score = self.score(x)
            if mask is not None:
                score = score.masked_fill(~mask[..., None], -1e4)
            weights = score.softmax(dim=1)
            return ((weights if mask is None else weights * mask[..., None]) * x).sum(dim=1)
        if self.form == "last":
            if mask is None:
                return x[:, -1]
            position = torch.arange(1, x.shape[1] + 1, device=x.device)
            last = (mask * position).amax(dim=1).clamp(min=1)
            return (x * (position == last[:, None])[..., None]).sum(dim=1)
        if mask is None:
            return x.mean(dim=1) if self.form == "mean" else x.amax(dim=1)
        if self.form == "mean":
            return (x * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return x.masked_fill(~mask[..., None], -1e4).amax(dim=1) * mask.any(dim=1, keepdim=True)
