"""Scores of untrained networks: a hint in milliseconds, good enough to decide between equals.

See Abdelfattah et al. 2021, *Zero-cost proxies for lightweight NAS*. Higher is better; -inf where a score cannot be
measured, NaN where it says nothing: of a network that is fitted before its first step the untrained one tells as much
as an empty page.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from automl.data.dataset import Part
from automl.training.module import Begins
from automl.training.predictor import Prepare
from automl.training.rows import as_tensor
from automl.types import Candidate, Task
from nas.family import build
from nas.job import Job

ZeroCost = Literal["synflow", "jacob_cov", "params"]
ROWS = 32  # by judgement: more would rank networks better, and cost the milliseconds that a hint may take


def zero_cost(job: Job, candidate: Candidate, kind: ZeroCost, seed: int = 0) -> float:
    """The score of a candidate's untrained network on the first rows of the training split."""
    scores = {"synflow": synflow, "jacob_cov": jacob_cov, "params": parameters}
    try:
        network = build(job.families[candidate.family], job.task, candidate, job.axes[candidate.family], seed=seed)
        if isinstance(network, Begins):
            return math.nan
        value = scores[kind](network, rows_of(job.task, job.train))
    except (RuntimeError, ValueError, NotImplementedError):
        return -math.inf  # a network that cannot be scored is no error: training it will tell
    return value if math.isfinite(value) else -math.inf


def rows_of(task: Task, part: Part, rows: int = ROWS) -> tuple[Tensor, ...]:
    """The first rows as networks see them, one tensor per input."""
    return Prepare(task.inputs)(*(as_tensor(x[:rows]) for x in part.inputs))


def parameters(network: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """Logarithm of the number of weights."""
    return math.log(sum(p.numel() for p in network.parameters()) + 1)


def synflow(network: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """Log of the synaptic flow: sum of |weight * gradient| with all weights made positive (Tanaka et al. 2020, eq. 2).

    Inputs are ones, so no data is needed; double precision, because the products overflow single.
    """
    network = network.double().eval()
    weights = [p for p in network.parameters() if p.requires_grad]
    with torch.no_grad():
        for tensor in weights:
            tensor.abs_()
    ones = [torch.ones_like(x[:1], dtype=torch.double if x.is_floating_point() else x.dtype) for x in inputs]
    flow = network(*ones).abs().sum()
    gradients = torch.autograd.grad(flow, weights, allow_unused=True)
    total = sum((w * g).abs().sum().item() for w, g in zip(weights, gradients, strict=True) if g is not None)
    return math.log(total) if total > 0 else -math.inf


def jacob_cov(network: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """How differently the network responds to different rows (Mellor et al. 2021, first version).

    From the correlations of the rows' input gradients; token ids have none, so their embeddings are used instead.
    """
    sources: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        sources.append(output)
        return output

    handles = [m.register_forward_hook(keep) for m in network.modules() if isinstance(m, nn.Embedding)]
    try:
        leaves = [x.detach().requires_grad_() if x.is_floating_point() else x for x in inputs]
        output = network.train()(*leaves)
        sources += [x for x in leaves if x.requires_grad]
        gradients = torch.autograd.grad(output.sum(), sources, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    rows = len(inputs[0])
    per_row = [g.reshape(rows, -1) for g in gradients if g is not None and g.shape[0] == rows]
    if not per_row or rows < 2:
        return -math.inf
    correlation = np.corrcoef(torch.cat(per_row, dim=1).double().numpy())
    values = np.linalg.eigvalsh(np.nan_to_num(correlation)).clip(0.0)
    k = 1e-5
    return float(-np.sum(np.log(values + k) + 1 / (values + k)))
