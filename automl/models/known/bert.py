"""A small known network of texts, of BERT's form, whose last vectors are averaged (Reimers and Gurevych 2019,
arXiv:1908.10084). MiniLM (Wang et al. 2020, arXiv:2002.10957) has six layers of 384.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from automl.models.layers.text import trim
from automl.models.remember import measuring

M = TypeVar("M", nn.Linear, nn.LayerNorm)
HEADS = 12  # MiniLM's; the weights alone do not tell it
SOME = 32  # texts of about one length that are read at once


class SentenceBert(nn.Module):
    """(rows, pieces) ids, 0 pads -> (rows, width), of length 1. ``depth``: how many of the layers are used."""

    def __init__(self, state: Mapping[str, Tensor], depth: int) -> None:
        """``state``: of a BERT in the layout of Hugging Face. Raises ValueError where it holds none of that depth."""
        super().__init__()
        try:
            table = state["embeddings.word_embeddings.weight"]
            self.table = nn.Embedding.from_pretrained(table.float(), freeze=False, padding_idx=0)
            kinds = state["embeddings.token_type_embeddings.weight"]
            self.places = nn.Parameter((state["embeddings.position_embeddings.weight"] + kinds[0]).float())
            self.norm = _norm(state, "embeddings.LayerNorm")
            self.layers = nn.ModuleList(Layer(state, f"encoder.layer.{i}.") for i in range(depth))
        except KeyError as error:
            raise ValueError(f"not the weights of a BERT of {depth} layers: {error} is missing") from error
        self.size = int(table.shape[1])

    def cut(self, depth: int) -> SentenceBert:
        """The first so many layers of it, which both hold."""
        less = copy.copy(self)
        less._modules = {**self._modules, "layers": self.layers[:depth]}
        return less

    def forward(self, ids: Tensor) -> Tensor:
        if torch.compiler.is_exporting() or measuring():
            return self.vectors(ids)
        # Padding costs as much as words: texts of about one length are read together.
        order = (ids != 0).sum(dim=1).argsort(stable=True)
        parts = [self.vectors(trim(ids[some])) for some in order.split(SOME)]
        return torch.cat(parts)[order.argsort()]

    def vectors(self, ids: Tensor) -> Tensor:
        there = ids != 0
        x = self.norm(self.table(ids.long()) + self.places[: ids.shape[1]])
        for layer in self.layers:
            x = layer(x, there)
        share = there.to(x.dtype)[:, :, None]
        return F.normalize((x * share).sum(dim=1) / share.sum(dim=1).clamp(min=1), dim=1)


class Layer(nn.Module):
    def __init__(self, state: Mapping[str, Tensor], prefix: str) -> None:
        super().__init__()
        self.heads = HEADS
        own = f"{prefix}attention."
        self.query, self.key, self.value = (_linear(state, f"{own}self.{name}") for name in ("query", "key", "value"))
        self.joined, self.attended = _linear(state, f"{own}output.dense"), _norm(state, f"{own}output.LayerNorm")
        self.wide, self.narrow = (_linear(state, f"{prefix}{name}.dense") for name in ("intermediate", "output"))
        self.norm = _norm(state, f"{prefix}output.LayerNorm")

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """x: (rows, pieces, width); there: (rows, pieces), False where padding stands."""
        parts = (f(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        heads = F.scaled_dot_product_attention(*parts, attn_mask=there[:, None, None, :])
        x = self.attended(x + self.joined(heads.transpose(1, 2).flatten(2)))
        return self.norm(x + self.narrow(F.gelu(self.wide(x))))


def _linear(state: Mapping[str, Tensor], name: str) -> nn.Linear:
    weight = state[f"{name}.weight"]
    made = nn.Linear(weight.shape[1], weight.shape[0])
    return _filled(made, weight, state[f"{name}.bias"])


def _norm(state: Mapping[str, Tensor], name: str) -> nn.LayerNorm:
    weight = state[f"{name}.weight"]
    return _filled(nn.LayerNorm(len(weight), eps=1e-12), weight, state[f"{name}.bias"])


def _filled(made: M, weight: Tensor, bias: Tensor) -> M:
    with torch.no_grad():
        made.weight.copy_(weight)
        made.bias.copy_(bias)
    return made
