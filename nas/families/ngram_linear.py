"""A linear model of tf-idf weighted words and n-grams. It starts as a support vector machine and is trained from there.

On a few thousand texts this is hard to beat (Wang and Manning 2012, "Baselines and Bigrams").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from automl.types import Task
from nas.layers.sparse_head import Weighting, sparse_head
from nas.layers.text import trim
from nas.space import FamilySpace

HASH = 2**31 - 1
MOST = 4_000_000  # a step of training costs all weights the same


@dataclass(frozen=True)
class NgramLinear:
    """``buckets``: options for how many places the n-grams of several tokens share; of those with more than ``MOST``
    weights only the smallest is kept.
    """

    buckets: tuple[int, ...] = (4096, 32768, 131072)
    name: str = "ngram_linear"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "text"

    def space(self, task: Task) -> nn.Module:
        few = tuple(b for b in self.buckets if b * task.num_outputs <= MOST)
        return NgramLinearSpace(task, few or (min(self.buckets),))


class NgramLinearSpace(FamilySpace):
    begin_rows = 20_000  # what comes before the training costs each row the same
    patience = 2

    def __init__(self, task: Task, buckets: tuple[int, ...]) -> None:
        super().__init__()
        longest = self.choose("grams", (1, 2, 3))
        shared = self.choose("buckets", buckets, parent="grams", when=(2, 3))
        self.weighting: Weighting = self.choose("weighting", get_args(Weighting))
        dropout = self.shared("dropout", 0.0)

        self.ngrams = Ngrams(task.inputs[0].vocabulary, longest, shared if longest > 1 else 0)
        self.classes = task.num_outputs if task.kind != "regression" else 0
        self.register_buffer("rarity", torch.ones(self.ngrams.places))
        self.dropout = nn.Dropout(dropout)
        self.table = nn.Embedding(self.ngrams.places, task.num_outputs, padding_idx=0)
        nn.init.zeros_(self.table.weight)
        self.bias = nn.Parameter(torch.zeros(task.num_outputs))

    rarity: Tensor

    def begin(self, batches: Iterable[tuple[Tensor, ...]], y: Tensor) -> None:
        """Count, and fit the head; see ``automl.training.module.Begins``."""
        found, ends = [], [0]
        for (ids,) in batches:
            places, new = (t.cpu().numpy() for t in self.ngrams(trim(ids)))
            found.append(places[new])
            ends.extend((ends[-1] + new.sum(axis=1).cumsum()).tolist())
        used, column, count = np.unique(np.concatenate(found), return_inverse=True, return_counts=True)
        rarity = np.full(self.ngrams.places, 1 + np.log(1 + len(y)), np.float32)
        rarity[used] -= np.log(1 + count)
        x: Any = csr_matrix((rarity[used][column], column, ends), shape=(len(y), len(used)))
        length = np.sqrt(x.multiply(x).sum(axis=1))
        x = csr_matrix(x.multiply(1 / np.maximum(length, 1e-6)), dtype=np.float32)
        weight, bias = sparse_head(x, y.cpu().numpy(), self.classes, weighting=self.weighting)
        self.rarity.copy_(torch.from_numpy(rarity))
        self.table.weight[torch.from_numpy(used)] = torch.from_numpy(weight).to(self.table.weight)
        self.bias.copy_(torch.from_numpy(bias))

    def forward(self, ids: Tensor) -> Tensor:
        """(rows, length) -> (rows, num_outputs)."""
        places, new = self.ngrams(trim(ids) if self.training else ids)
        value = self.rarity[places] * new
        value = value / value.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-6)
        return (self.dropout(value)[:, None] @ self.table(places))[:, 0] + self.bias


class Ngrams(nn.Module):
    """(rows, length) ids -> the place of each word and n-gram of up to ``longest`` tokens, sorted, (rows, all of them),
    and where a place stands for the first time in its row. Words keep their ids as places; n-grams of several share
    ``buckets`` more by a hash. Place 0 is padding and never new.
    """

    def __init__(self, vocabulary: int, longest: int, buckets: int) -> None:
        super().__init__()
        self.vocabulary, self.longest, self.buckets = vocabulary, longest, buckets
        self.places = vocabulary + buckets

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        found, code, there = [ids], ids, ids != 0
        for n in range(1, min(self.longest, ids.shape[1])):
            code = (code[:, :-1] * 1_000_003 + ids[:, n:] * 7_919) % HASH  # two primes: order matters
            there = there[:, :-1] & (ids[:, n:] != 0)
            found.append(torch.where(there, self.vocabulary + code % self.buckets, 0))
        places = torch.cat(found, dim=1).sort(dim=1).values
        before = torch.cat([torch.zeros_like(places[:, :1]), places[:, :-1]], dim=1)
        return places, places != before
