"""Blocks over (rows, tokens, width) with any mixer, and tokens of several inputs in one row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from automl.models.layers.common import Transposed, activation


def joined(parts: list[tuple[Tensor, Tensor | None]], kinds: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Tokens of all inputs in one row, each marked with a vector of its input; one mask for all when any has one."""
    if kinds is None:
        return parts[0]
    x = torch.cat([tokens + kind for (tokens, _), kind in zip(parts, kinds, strict=True)], dim=1)
    if all(mask is None for _, mask in parts):
        return x, None
    masks = [t.new_ones(t.shape[:2], dtype=torch.bool) if mask is None else mask for t, mask in parts]
    return x, torch.cat(masks, dim=1)


def token_norm(name: str, width: int) -> nn.Module:
    """Norm for (rows, tokens, width)."""
    if name == "batch":
        return Transposed(nn.BatchNorm1d(width))
    return nn.LayerNorm(width) if name == "layer" else nn.Identity()


class Block(nn.Module):
    """Token mixer, then channel mixer; one of them may be missing. Without a channel mixer an activation follows."""

    def __init__(
        self,
        mix: nn.Module | None,
        feed: nn.Module | None,
        norm: str,
        residual: str,
        act: str,
        width: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.mix = mix
        self.act = activation(act) if feed is None else nn.Identity()
        self.feed = feed
        self.norms = nn.ModuleList(token_norm(norm, width) for part in (mix, feed) if part is not None)
        self.residual = residual
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.mix is not None:
            norm = self.norms[0]
            y = self.act(self.mix(norm(x) if self.residual == "pre" else x, mask))
            x = self.close(x, y, norm)
        if self.feed is not None:
            norm = self.norms[-1]
            x = self.close(x, self.feed(norm(x) if self.residual == "pre" else x), norm)
        return x, mask

    def close(self, x: Tensor, y: Tensor, norm: nn.Module) -> Tensor:
        """Add the shortcut and norm, as the residual form says."""
        y = self.dropout(y)
        if self.residual == "pre":
            return x + y
        return norm(x + y) if self.residual == "post" else norm(y)
