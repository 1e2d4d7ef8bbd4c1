"""Rows in memory: encoded arrays as tensors, handed out batch by batch without a DataLoader.

On small networks a DataLoader costs 25 to 45 % of the time of a training; the encoded rows are in memory anyway.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from automl.data.dataset import Part

STRETCH = 32
"""Optimizer steps in one Lightning batch: see ``Stretches``. By judgement: the hooks are a thirtieth of a step then."""
EPOCH_ROWS = 1000
"""An epoch shows about this many rows at least: see ``Stretches``. By judgement: 15 such epochs are some hundred steps;
with fewer rows small data is hardly learned, with more it takes as long as what is not small."""


def derived_seed(*parts: object) -> int:
    """A seed in [0, 2^63) for one purpose, the same on every machine: ``derived_seed(seed, epoch, "order")``."""
    text = ":".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def order_of(rows: np.ndarray, seed: int) -> Tensor:
    """All places of ``rows`` (``Part.rows``) at random. Those of one row, which stands as often as it weighs
    (``automl.data.weights``), follow one another: so whatever is fitted to them can tell copies from like rows.
    """
    generator = torch.Generator().manual_seed(seed)
    _, number = np.unique(rows, return_inverse=True)
    distinct = int(number.max()) + 1 if len(rows) else 0
    if distinct == len(rows):
        return torch.randperm(len(rows), generator=generator)
    return torch.randperm(distinct, generator=generator)[torch.from_numpy(number)].argsort(stable=True)


def as_tensor(array: np.ndarray) -> Tensor:
    """The array as a CPU tensor that shares its memory, also when it is read-only (shared memory of a Ray worker)."""
    array = np.ascontiguousarray(array)
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():  # we only ever read from it
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


class Rows:
    """The rows of a Part as tensors, on the device when they fit into a quarter of its free memory, else on the CPU."""

    def __init__(self, part: Part, device: torch.device) -> None:
        self.device = device
        tensors = [*map(as_tensor, part.inputs), as_tensor(part.y)]
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if sum(t.nbytes for t in tensors) < free / 4:
                tensors = [t.to(device) for t in tensors]
        *self.inputs, self.y = tensors

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Inputs and targets of the rows at ``index``, on the device."""
        index = index.to(self.y.device)
        inputs = tuple(t.index_select(0, index).to(self.device) for t in self.inputs)
        return inputs, self.y.index_select(0, index).to(self.device)


class Stretches:
    """The loader: each epoch a new permutation, cut into batches, handed to Lightning a stretch of batches at a time.

    Lightning spends about a millisecond per batch on hooks, as long as a small network's whole step. So what it sees as
    a batch is a stretch of up to ``STRETCH`` optimizer steps, and ``training_step`` (manual optimization) walks it.

    Batches are near-equal in size (1001 rows at 500 make three of 334, 334 and 333), and three rows at two are one: a
    batch of one row would break batch normalisation. The order depends on seed and epoch only, so a resumed training
    sees what it would have seen.

    Small data is passed over several times in an epoch, until about ``EPOCH_ROWS`` rows were shown. With 50 rows an
    epoch would else be one or two steps: 15 of them train nothing, and the time goes into validation.
    """

    def __init__(self, rows: int, batch_size: int, seed: int, epoch: Callable[[], int]) -> None:
        self.rows, self.seed, self.epoch = rows, seed, epoch
        self.passes = max(1, round(EPOCH_ROWS / rows))
        least = min(batch_size, 2)  # rows of a batch, where there are as many
        self.pass_steps = min(math.ceil(rows / batch_size), max(rows // least, 1))
        self.steps = self.passes * self.pass_steps

    def __len__(self) -> int:
        return math.ceil(self.steps / STRETCH)

    def __iter__(self) -> Iterator[list[Tensor]]:
        generator = torch.Generator().manual_seed(derived_seed(self.seed, self.epoch(), "order"))
        orders = (torch.randperm(self.rows, generator=generator) for _ in range(self.passes))
        batches = [batch for order in orders for batch in order.tensor_split(self.pass_steps)]
        for start in range(0, self.steps, STRETCH):
            yield batches[start : start + STRETCH]
