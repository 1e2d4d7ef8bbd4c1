"""Averaged word vectors, with hashed word pairs (fastText: Joulin et al. 2017, "Bag of Tricks")."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.models.layers.common import TokenPool
from automl.models.layers.text import Words, trim
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class BagOfEmbeddings:
    """``widths``: options for the length of a word's vector."""

    widths: tuple[int, ...] = (16, 64, 128, 256)
    name: str = "bag_of_embeddings"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "text"

    def space(self, task: Task) -> nn.Module:
        return BagOfEmbeddingsSpace(task, tuple(self.widths))


class BagOfEmbeddingsSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...]) -> None:
        super().__init__()
        width = self.choose("width", widths)
        pool = self.choose("pool", ("mean", "max", "attention"))
        pairs = self.choose("pairs", (0, 4096, 32768))
        hidden = self.choose("hidden", (0, 64, 256))
        dropout = self.shared("dropout", 0.0)

        self.words = Words(task.inputs[0], width)
        self.pairs = Pairs(pairs, width) if pairs else None
        self.pool = TokenPool(pool, width)
        self.dropout = nn.Dropout(dropout)
        layers: list[nn.Module] = [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)] if hidden else []
        self.head = nn.Sequential(*layers, nn.Linear(hidden or width, task.num_outputs))

    def forward(self, ids: Tensor) -> Tensor:
        """(rows, tokens + letters) -> (rows, num_outputs)."""
        ids = ids[:, : self.words.tokens]
        if self.training:
            ids = trim(ids)
        vectors, mask = self.words(ids)
        if self.pairs is not None:
            more, more_mask = self.pairs(ids)
            vectors, mask = torch.cat([vectors, more], dim=1), torch.cat([mask, more_mask], dim=1)
        return self.head(self.dropout(self.pool(vectors, mask)))


class Pairs(nn.Module):
    """Vectors of neighbouring tokens, hashed into ``buckets``: (rows, length) -> (rows, length - 1, width), mask."""

    def __init__(self, buckets: int, width: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.table = nn.Embedding(buckets, width)
        with torch.no_grad():
            self.table.weight.mul_(0.1)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        ids = ids.long()  # products below are past int32
        first, second = ids[:, :-1], ids[:, 1:]
        bucket = (first * 1_000_003 + second * 7_919) % self.buckets  # two primes: order matters, collisions are rare
        return self.table(bucket), (first != 0) & (second != 0)
