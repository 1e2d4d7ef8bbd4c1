"""Small tasks and networks that train in a moment."""

from __future__ import annotations

import functools

import numpy as np
import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor, nn

from automl.data.dataset import Part
from automl.types import Input, Task

DIGITS = Task("digits", "multiclass", (Input("image", "image", (1, 8, 8), mean=(0.3,), std=(0.37,)),), 10, "accuracy")
DIABETES = Task("diabetes", "regression", (Input("table", "tabular", (10,), cardinalities=(0,) * 10),), 1, "r2")


def part(inputs: tuple[np.ndarray, ...], y: np.ndarray, rows: slice) -> Part:
    return Part(tuple(a[rows] for a in inputs), y[rows], np.arange(len(y))[rows])


@functools.cache
def digits(train: int = 600, valid: int = 200) -> tuple[Part, Part]:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    images = (x[order].reshape(-1, 1, 8, 8) * 255 / 16).astype(np.uint8)
    y = y[order].astype(np.int64)
    return part((images,), y, slice(0, train)), part((images,), y, slice(train, train + valid))


@functools.cache
def diabetes() -> tuple[Part, Part]:
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = (x[order] / x.std(0)).astype(np.float32), y[order].astype(np.float32)
    return part((x,), y, slice(0, 300)), part((x,), y, slice(300, None))


def mlp(inputs: int = 64, outputs: int = 10, seed: int = 0, dropout: float = 0.1) -> nn.Module:
    """With batch norm and dropout, so that buffers and random numbers matter."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(32, outputs),
    )


class Members(nn.Module):
    """An ensemble inside a network: (rows, members, outputs)."""

    def __init__(self, inputs: int, outputs: int, members: int = 3) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(inputs, outputs) for _ in range(members))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([head(x.flatten(1)) for head in self.heads], 1)
