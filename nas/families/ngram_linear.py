"""A linear model of tf-idf weighted words, n-grams and groups of letters. It starts as a support vector machine and is
trained from there.

On a few thousand texts this is hard to beat (Wang and Manning 2012, "Baselines and Bigrams").
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from automl.models.closed_form.sparse_head import Weighting, sparse_head
from automl.models.layers.common import choose
from automl.models.layers.text import trim
from automl.types import Task
from nas.family import FamilySpace

HASH = 2**31 - 1  # a prime, so small that its products with others stay in 64 bits
MOST = 4_000_000  # by judgement: a step of training costs all weights the same, fewer places put unlike n-grams in one


@dataclass(frozen=True)
class NgramLinear:
    """``buckets``: options for how many places the n-grams of several tokens share; of those with more than ``MOST``
    weights only the smallest is kept. The groups of letters share as many as the largest kept.
    """

    buckets: tuple[int, ...] = (4096, 32768, 131072)
    name: str = "ngram_linear"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "text"

    def space(self, task: Task) -> nn.Module:
        few = tuple(b for b in self.buckets if b * task.num_outputs <= MOST)
        return NgramLinearSpace(task, few or (min(self.buckets),))


class NgramLinearSpace(FamilySpace):
    begin_rows = 20_000  # what comes before the training costs each row the same; by judgement, rare words want many
    patience = 2

    def __init__(self, task: Task, buckets: tuple[int, ...]) -> None:
        super().__init__()
        (of,) = task.inputs
        longest = self.choose("grams", (1, 2, 3))
        shared = self.choose("buckets", buckets, parent="grams", when=(2, 3))
        letters = choose(self, "letters", (False, True) if of.letters else (False,))
        self.weighting: Weighting = self.choose("weighting", get_args(Weighting))
        dropout = self.shared("dropout", 0.0)

        self.tokens, self.behind = of.tokens, of.tokens + of.letters
        self.ngrams = Ngrams(of.vocabulary, longest, shared if longest > 1 else 0)
        self.letters = Hashed(self.ngrams.places, max(buckets)) if letters else None
        places = self.letters.places if self.letters else self.ngrams.places
        self.classes = task.num_outputs if task.kind != "regression" else 0
        self.register_buffer("rarity", torch.ones(places))
        self.dropout = nn.Dropout(dropout)
        self.table = nn.Embedding(places, task.num_outputs, padding_idx=0)
        nn.init.zeros_(self.table.weight)
        self.bias = nn.Parameter(torch.zeros(task.num_outputs))

    rarity: Tensor

    def found(self, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Of the tokens, and of the groups of letters: the places, and which of them count."""
        cut = trim if self.training else lambda part: part
        tokens = self.ngrams(cut(ids[:, : self.tokens]))
        return [tokens] if self.letters is None else [tokens, self.letters(cut(ids[:, self.tokens : self.behind]))]

    def begin(self, batches: Iterable[tuple[Tensor, ...]], y: Tensor, until: float = math.inf) -> None:
        """Count, and fit the head; see ``automl.training.module.Begins``."""
        columns: list[list[np.ndarray]] = [[] for _ in range(1 if self.letters is None else 2)]
        lengths: list[list[np.ndarray]] = [[] for _ in columns]
        for (ids,) in batches:
            for kind, (places, new) in enumerate(self.found(ids)):
                columns[kind].append(places[new].cpu().numpy())
                lengths[kind].append(new.sum(dim=1).cpu().numpy())
        y = y[: sum(map(len, lengths[0]))]
        used, count = np.unique(np.concatenate([c for kind in columns for c in kind]), return_counts=True)
        rarity = np.full(len(self.rarity), 1 + np.log(1 + len(y)), np.float32)
        rarity[used] -= np.log(1 + count)
        x: Any = csr_matrix((len(y), len(used)), dtype=np.float32)
        for kind, length in zip(columns, lengths, strict=True):
            place = np.concatenate(kind)
            ends = np.concatenate([[0], *length]).cumsum()
            one: Any = csr_matrix((rarity[place], np.searchsorted(used, place), ends), shape=x.shape)
            size = np.sqrt(one.multiply(one).sum(axis=1) * len(columns))
            x = x + csr_matrix(one.multiply(1 / np.maximum(size, 1e-6)), dtype=np.float32)
        weight, bias = sparse_head(x, y.cpu().numpy(), self.classes, weighting=self.weighting, until=until)
        self.rarity.copy_(torch.from_numpy(rarity))
        self.table.weight[torch.from_numpy(used)] = torch.from_numpy(weight).to(self.table.weight)
        self.bias.copy_(torch.from_numpy(bias))

    def forward(self, ids: Tensor) -> Tensor:
        """(rows, tokens + letters) -> (rows, num_outputs). The tokens, and the groups of letters, have length 1 each,
        before both together have it: a text has far more groups than tokens.
        """
        found = self.found(ids)
        values = []
        for places, new in found:
            value = self.rarity[places] * new
            values.append(value / (value.square().sum(dim=1, keepdim=True) * len(found)).sqrt().clamp(min=1e-6))
        value, place = torch.cat(values, dim=1), torch.cat([places for places, _ in found], dim=1)
        return (self.dropout(value)[:, None] @ self.table(place))[:, 0] + self.bias


def first_of_row(places: Tensor) -> tuple[Tensor, Tensor]:
    """The places of each row sorted, and where one stands for the first time; place 0 is padding and never does."""
    places = places.sort(dim=1).values
    before = torch.cat([torch.zeros_like(places[:, :1]), places[:, :-1]], dim=1)
    return places, places != before


class Ngrams(nn.Module):
    """(rows, length) ids -> the place of each word and n-gram of up to ``longest`` tokens, as ``first_of_row``. Words
    keep their ids as places; n-grams of several share ``buckets`` more by a hash.
    """

    def __init__(self, vocabulary: int, longest: int, buckets: int) -> None:
        super().__init__()
        self.vocabulary, self.longest, self.buckets = vocabulary, longest, buckets
        self.places = vocabulary + buckets

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        ids = ids.long()  # products below are past int32
        found, code, there = [ids], ids, ids != 0
        for n in range(1, min(self.longest, ids.shape[1])):
            code = (code[:, :-1] * 1_000_003 + ids[:, n:] * 7_919) % HASH  # two primes: order matters
            there = there[:, :-1] & (ids[:, n:] != 0)
            found.append(torch.where(there, self.vocabulary + code % self.buckets, 0))
        return first_of_row(torch.cat(found, dim=1))


class Hashed(nn.Module):
    """(rows, length) hashes, 0 for none -> their places, ``buckets`` from ``start`` on, as ``first_of_row``."""

    def __init__(self, start: int, buckets: int) -> None:
        super().__init__()
        self.start, self.buckets = start, buckets
        self.places = start + buckets

    def forward(self, hashes: Tensor) -> tuple[Tensor, Tensor]:
        return first_of_row(torch.where(hashes != 0, self.start + hashes.long() % self.buckets, 0))
