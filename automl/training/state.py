"""Where a training stands: what it needs to go on, as plain tensors and numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import safetensors.torch
from torch import Tensor
from torch.optim import Optimizer

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class TrainingState:
    """A training after ``epoch`` epochs; every tensor is on the CPU and a copy of its own.

    ``weights``: the network now. ``best``: the network at ``best_epoch`` (1 is the first), averaged if so trained.
    ``moments``: the optimizer's state, ``<parameter>.<name>``. ``average``: of the weights, empty without EMA.
    ``curve``: validation score after each epoch. ``best_loss``: validation loss at ``best_epoch``.
    """

    epoch: int
    step: int
    weights: Tensors
    best: Tensors
    moments: Tensors
    average: Tensors
    curve: tuple[float, ...]
    best_epoch: int
    best_loss: float

    def to_bytes(self) -> bytes:
        """As one safetensors file; the numbers are JSON in its header."""
        groups = {"weights": self.weights, "best": self.best, "moments": self.moments, "average": self.average}
        tensors = {f"{group}/{name}": t.contiguous() for group, of in groups.items() for name, t in of.items()}
        numbers = {n: getattr(self, n) for n in ("epoch", "step", "curve", "best_epoch", "best_loss")}
        return safetensors.torch.save(tensors, metadata={"training": json.dumps(numbers)})

    @classmethod
    def from_bytes(cls, data: bytes) -> TrainingState:
        """Read ``to_bytes``. Raises ValueError for anything else."""
        try:
            # safetensors: 8 bytes of length (little endian), that much JSON, then the tensors.
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            numbers = json.loads(header["__metadata__"]["training"])
            groups: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "moments": {}, "average": {}}
            for key, tensor in safetensors.torch.load(data).items():
                group, _, name = key.partition("/")
                groups[group][name] = tensor
            numbers["curve"] = tuple(map(float, numbers["curve"]))
            return cls(**groups, **numbers)
        except (KeyError, TypeError, UnicodeDecodeError, safetensors.SafetensorError, ValueError) as error:
            raise ValueError(f"not a training state: {type(error).__name__}: {error}") from error


def copied(tensors: Tensors) -> dict[str, Tensor]:
    """The tensors on the CPU, sharing memory with nothing."""
    return {name: t.detach().to("cpu", copy=True) for name, t in tensors.items()}


def read_moments(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors as ``<parameter number>.<name>``, copied."""
    state = optimizer.state_dict()["state"]
    return copied({f"{at}.{k}": v for at, of in state.items() for k, v in of.items() if isinstance(v, Tensor)})


def write_moments(optimizer: Optimizer, moments: Tensors) -> None:
    """Undo ``read_moments`` on an optimizer of the same kind over the same network."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in moments.items():
        at, _, name = key.partition(".")
        state.setdefault(int(at), {})[name] = tensor.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
