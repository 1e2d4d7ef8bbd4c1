"""Transformer parts over (rows, tokens, width), with a mask (rows, tokens) that is True where a token counts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from automl.models.layers.common import activation


def heads_for(width: int) -> int:
    """Heads of 32 numbers each, at least two: what small transformers are commonly given."""
    return max(2, width // 32)


def seen(mask: Tensor) -> Tensor:
    """The same mask with the first token always visible, so that an empty row has something to attend to."""
    return mask | (torch.arange(mask.shape[1], device=mask.device) == 0)


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is no multiple of {heads} heads")
        self.heads = heads
        self.dropout = dropout
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        rows, tokens, width = x.shape
        query, key, value = self.project(x).view(rows, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        visible = None if mask is None else seen(mask)[:, None, None]
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, dropout_p=self.dropout if self.training else 0.0
        )
        return self.out(mixed.transpose(1, 2).reshape(rows, tokens, width))


class FeedForward(nn.Module):
    """Width -> ``hidden`` -> width, token by token; ``gated`` halves the hidden size to keep the parameters equal."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0, act: str = "gelu", gated: bool = False) -> None:
        super().__init__()
        self.gated = gated
        self.up = nn.Linear(width, hidden)
        self.act = activation(act)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(hidden // 2 if gated else hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x)
        if self.gated:
            value, gate = x.chunk(2, dim=-1)
            x = value * self.act(gate)
        else:
            x = self.act(x)
        return self.down(self.dropout(x))


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each behind a norm and beside a shortcut (pre-norm)."""

    def __init__(self, width: int, ratio: float = 2, dropout: float = 0.0, *, act: str = "gelu", gated: bool = False):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads_for(width), dropout)
        self.norm2 = nn.LayerNorm(width)
        self.feed = FeedForward(width, int(width * ratio), dropout, act, gated)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.drop(self.attention(self.norm1(x), mask))
        return x + self.drop(self.feed(self.norm2(x)))


class Positions(nn.Module):
    """Adds a learned vector per position; fewer tokens than it was made for take the first ones."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, tokens, width) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table[:, : x.shape[1]]
