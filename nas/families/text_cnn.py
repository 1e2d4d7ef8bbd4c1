"""Convolutions over word vectors, the strongest answer of each filter (Kim 2014)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.models.layers.text import Words
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class TextCNN:
    """``widths``: options for the length of a word's vector; ``filters``: for the filters of each window."""

    widths: tuple[int, ...] = (16, 64, 128, 300)
    filters: tuple[int, ...] = (32, 64, 128, 256)
    name: str = "text_cnn"

    def supports(self, task: Task) -> bool:
        return len(task.inputs) == 1 and task.inputs[0].modality == "text"

    def space(self, task: Task) -> nn.Module:
        return TextCNNSpace(task, tuple(self.widths), tuple(self.filters))


class TextCNNSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...], filters: tuple[int, ...]) -> None:
        super().__init__()
        width = self.choose("width", widths)
        count = self.choose("filters", filters)
        windows = self.choose("windows", ("3", "2-3", "1-2-3", "3-4-5", "2-3-4-5"))
        pool = self.choose("pool", ("max", "mean_max"))
        dropout = self.shared("dropout", 0.0)

        self.sizes = sizes = [int(w) for w in windows.split("-")]
        self.words = Words(task.inputs[0], width, dropout)
        # as much padding as window - 1 on both sides lets every window see the first and last word, and a single one
        self.filters = nn.ModuleList(nn.Conv1d(width, count, w, padding=w - 1) for w in sizes)
        self.mean_too = pool == "mean_max"
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(count * len(sizes) * (2 if self.mean_too else 1), task.num_outputs)

    def forward(self, ids: Tensor) -> Tensor:
        """(rows, length) -> (rows, num_outputs)."""
        vectors, mask = self.words(ids)
        vectors = vectors.transpose(1, 2)
        length = mask.sum(dim=1, keepdim=True).clamp(min=1)
        features = []
        for window, convolution in zip(self.sizes, self.filters, strict=True):
            found = convolution(vectors).relu()
            place = torch.arange(found.shape[2], device=ids.device)
            found = found * (place < length + window - 1)[:, None]  # windows of nothing but padding say nothing
            features.append(found.amax(dim=2))
            if self.mean_too:
                features.append(found.sum(dim=2) / length)
        return self.head(self.dropout(torch.cat(features, dim=1)))
