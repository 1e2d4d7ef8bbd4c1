"""From a network to predictions: the modules that are validated, ensembled and exported.

A network sees prepared inputs (images as float32, standardised; the rest as encoded) and returns logits
``(rows, classes)`` or standardised values ``(rows, 1)``; one more axis in the middle holds the members of an ensemble
inside the network. A ``Predictor`` takes encoded inputs and returns probabilities ``(rows, classes)`` or values
``(rows,)`` in the target's own unit, so an exported graph needs nothing around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.backends.cudnn.rnn
from torch import Tensor, nn

from automl.data.dataset import Part
from automl.deploy.names import MEMBER
from automl.metrics import SMALLEST
from automl.models.known.frozen import Frozen
from automl.training.rows import as_tensor
from automl.types import Input, Task

VALID_BATCH = 512
"""Rows that are answered at once; where they are judged in a training it looks at the clock between. By judgement: more
take memory and keep time less well, fewer are slow."""


def target_scale(task: Task, train: Part) -> tuple[float, float]:
    """Mean and standard deviation that a regression's targets are standardised with; (0, 1) for classes."""
    if task.kind != "regression":
        return 0.0, 1.0
    mean, std = float(np.mean(train.y, dtype=np.float64)), float(np.std(train.y, dtype=np.float64))
    return mean, std if std > 0 else 1.0


def network_size(network: nn.Module) -> int:
    """Numbers that a network holds: trained weights, what is saved with them (trees, fixed kernels, statistics), and
    those of a known network that is not trained.
    """
    return sum(t.numel() for t in _held(network))


def network_bytes(network: nn.Module) -> int:
    """What they take in the exported graph. A layer that is exported in fewer bytes than its numbers have tells how
    many, as ``graph_bytes``.
    """
    found = sum(t.nbytes for t in _held(network))
    for module in network.modules():
        size: Any = getattr(module, "graph_bytes", None)
        if size is not None:
            found += size - sum(t.nbytes for t in module.state_dict().values())
    return found


def _held(network: nn.Module) -> list[Tensor]:
    known: dict[int, Tensor] = {}
    for module in network.modules():
        if isinstance(module, Frozen):  # members of an ensemble hold the same one
            known |= {t.data_ptr(): t for t in module.body.state_dict().values()}
    return [*known.values(), *network.state_dict().values()]


class Prepare(nn.Module):
    """Encoded inputs -> what networks see: uint8 images become float32, standardised per channel."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        super().__init__()
        self.images = tuple(i.modality == "image" for i in inputs)
        for at, of in enumerate(inputs):
            if of.modality == "image":
                channels = of.shape[0]
                mean = torch.tensor(of.mean or (0.0,) * channels).reshape(1, channels, 1, 1)
                std = torch.tensor(of.std or (1.0,) * channels).reshape(1, channels, 1, 1)
                # (x / 255 - mean) / std as one product and one sum.
                self.register_buffer(f"scale{at}", 1 / (255 * std), persistent=False)
                self.register_buffer(f"shift{at}", -mean / std, persistent=False)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            x.float() * self.get_buffer(f"scale{at}") + self.get_buffer(f"shift{at}") if image else x
            for at, (x, image) in enumerate(zip(inputs, self.images, strict=True))
        )


class Predictor(nn.Module):
    """A network with its inputs prepared and its outputs read.

    ``mean``, ``std``: of the training targets, which regression networks see standardised.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, task: Task, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__()
        self.prepare = Prepare(task.inputs)
        self.network = network
        self.values = task.kind == "regression"
        self.register_buffer("center", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("scale", torch.tensor(std, dtype=torch.float32), persistent=False)

    @property
    def unit(self) -> float:
        """What errors are measured in: the target's spread, 1 for probabilities."""
        return float(self.scale)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.read(self.network(*self.prepare(*inputs)))

    def read(self, out: Tensor) -> Tensor:
        """Network output -> probabilities (rows, classes) or values (rows,)."""
        out = out.float()
        if self.values:
            return out.reshape(out.shape[0], -1).mean(1) * self.scale + self.center
        p = out.softmax(-1)
        return p.mean(1) if p.ndim == 3 else p


class EnsemblePredictor(nn.Module):
    """Weighted mean of several Predictors' predictions; weights are normalised to sum 1."""

    weights: Tensor

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        if not members or len(members) != len(weights) or min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(f"an ensemble needs one weight >= 0 per member, got {len(members)} and {list(weights)}")
        self.members = nn.ModuleList(members)
        total = float(sum(weights))
        self.register_buffer("weights", torch.tensor([w / total for w in weights]), persistent=False)

    @property
    def unit(self) -> float:
        """What errors are measured in, see ``Predictor.unit``."""
        return float(getattr(self.members[0], "unit", 1.0))

    def forward(self, *inputs: Tensor) -> Tensor:
        total = self.members[0](*inputs) * self.weights[0]
        for at, member in enumerate(self.members):
            if at:
                total = total + member(*inputs) * self.weights[at]
        return total


class Deployed(nn.Module):
    """What is exported: the weighted mean of predictors, and what is told beside it.

    ``temperature``: of the mean's probabilities, softmax(log p / T) (Guo et al. 2017). ``forward`` gives one output a
    name of ``names``, in order: ``output``; of several predictors of values ``spread``, their weighted standard
    deviation (rows,) in the target's unit; of several predictors ``member_0``, ...: what each said, so that an ensemble
    of fewer can be cut out of the graph.
    """

    def __init__(self, predictors: Sequence[nn.Module], weights: Sequence[float], task: Task, temperature: float = 1.0):
        super().__init__()
        self.ensemble = EnsemblePredictor(predictors, weights)
        self.temperature, self.values = temperature, task.kind == "regression"
        members = tuple(f"{MEMBER}{i}" for i in range(len(predictors))) if len(predictors) > 1 else ()
        self.names = ("output", *(("spread",) if members and self.values else ()), *members)
        self.unit = self.ensemble.unit  # a plain number: an exporter cannot follow one that is read from a tensor

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        said = [member(*inputs) for member in self.ensemble.members]
        if len(said) == 1:
            return (self._tempered(said[0]),)
        mean = self._mean(said)
        if not self.values:
            return (self._tempered(mean), *said)
        # In units of the target, where the squares are neither too large nor too small for float32.
        variance = self._mean([((value - mean) / self.unit) ** 2 for value in said])
        return (mean, variance.sqrt() * self.unit, *said)

    def _mean(self, each: Sequence[Tensor]) -> Tensor:
        total = each[0] * self.ensemble.weights[0]
        for at, one in enumerate(each[1:], 1):
            total = total + one * self.ensemble.weights[at]
        return total

    def _tempered(self, p: Tensor) -> Tensor:
        return p if self.temperature == 1 else (p.clamp(min=SMALLEST).log() / self.temperature).softmax(-1)


@contextmanager
def in_float32() -> Iterator[None]:
    """Convolutions and recurrent layers on a GPU too, which would round what they read to TF32, of three digits: an
    exported graph does not.
    """
    kinds: tuple[Any, ...] = torch.backends.cudnn.conv, torch.backends.cudnn.rnn  # pyright: ignore[reportAttributeAccessIssue]
    before = [kind.fp32_precision for kind in kinds]
    for kind in kinds:
        kind.fp32_precision = "ieee"
    try:
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


def predict(predictor: nn.Module, inputs: Sequence[np.ndarray], *, device: str | torch.device = "cpu") -> np.ndarray:
    """Predictions for encoded rows as a float32 array; the predictor is moved to ``device`` and set to eval mode."""
    return outputs(predictor, inputs, device=device)[0]


@torch.no_grad()
@in_float32()
def outputs(
    predictor: nn.Module,
    inputs: Sequence[np.ndarray],
    *,
    device: str | torch.device = "cpu",
) -> list[np.ndarray]:
    """The same of all that the predictor tells: see ``Deployed``."""
    predictor.to(device).eval()
    tensors = [as_tensor(a) for a in inputs]
    found = []
    for at in range(0, len(tensors[0]), VALID_BATCH):
        told = predictor(*(t[at : at + VALID_BATCH].to(device) for t in tensors))
        found.append([one.float().cpu() for one in (told if isinstance(told, tuple) else (told,))])
    return [torch.cat(parts).numpy() for parts in zip(*found, strict=True)]
