"""What training minimises. Outputs are logits ``(rows, classes)`` or standardised values ``(rows, 1)``.

A network that is an ensemble inside (TabM) may return ``(rows, members, outputs)``: every member then has its own loss,
and the mean is minimised (Gorishniy et al. 2024, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.training import named
from automl.types import Task

FOCUS = 2.0
"""Gamma of the focal loss (Lin et al. 2017, section 3.2)."""
LARGEST_WEIGHT = 10.0
"""Of a class: by judgement, a few rows of a very rare one would else be most of a batch's loss."""


def cross_entropy(out: Tensor, y: Tensor, smoothing: float, weight: Tensor) -> Tensor:
    return F.cross_entropy(out, y, label_smoothing=smoothing)


def class_weighted(out: Tensor, y: Tensor, smoothing: float, weight: Tensor) -> Tensor:
    """Rare classes count more, and the outputs stay what the rows' own shares say.

    Weighted cross-entropy is least at softmax ~ weight * p(class | row). With the logarithm of the weights added to the
    outputs here, and not when it answers, the network itself learns p (after Menon et al. 2021, "Long-tail learning
    via logit adjustment", section 4.2). Which class to decide for is the metric's matter, see ``automl.metrics``.
    """
    return F.cross_entropy(out + weight.log(), y, weight=weight, label_smoothing=smoothing)


def focal(out: Tensor, y: Tensor, smoothing: float, weight: Tensor) -> Tensor:
    """Cross-entropy times (1 - p_true)^2: well-classified rows count little (Lin et al. 2017, eq. 4)."""
    each = F.cross_entropy(out, y, label_smoothing=smoothing, reduction="none")
    p = out.softmax(1).gather(1, y[:, None])[:, 0]
    return ((1 - p) ** FOCUS * each).mean()


def mse(out: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(out, y)


def huber(out: Tensor, y: Tensor) -> Tensor:
    return F.smooth_l1_loss(out, y)


def quantile(out: Tensor, y: Tensor) -> Tensor:
    """Pinball loss of the median: robust to outliers, best for the metric mae."""
    return 0.5 * F.l1_loss(out, y)


CLASSES: Mapping[str, Callable[[Tensor, Tensor, float, Tensor], Tensor]] = {
    f.__name__: f for f in (cross_entropy, focal, class_weighted)
}
VALUES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {f.__name__: f for f in (mse, huber, quantile)}


def class_weights(y: Tensor, classes: int) -> Tensor:
    """Inverse class frequency, mean 1 over balanced classes, at most ``LARGEST_WEIGHT``; shape (classes,)."""
    counts = torch.bincount(y.cpu(), minlength=classes).clamp(min=1)
    return (len(y) / (classes * counts.float())).clamp(max=LARGEST_WEIGHT)


class Loss(nn.Module):
    """The loss of a task by name ("" takes the default). Raises ValueError for one that the kind has not."""

    weight: Tensor

    def __init__(self, task: Task, name: str, smoothing: float, y: Tensor) -> None:
        super().__init__()
        self.values = task.kind == "regression"
        known = VALUES if self.values else CLASSES
        name = name or next(iter(known))
        self.own: nn.Module | None = None  # one of torch's, as torch makes it
        if named.is_named(name):
            of, arguments = named.named(name, named.VALUE_LOSSES if self.values else named.CLASS_LOSSES)
            self.own = of(**arguments)
            known = {name: self.own}
        if name not in known:
            raise ValueError(f"no loss {name!r} for {task.kind}; losses are: {', '.join(known)}")
        self.name, self.smoothing = name, smoothing
        weight = class_weights(y, task.num_outputs) if name == "class_weighted" else torch.empty(0)
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, out: Tensor, y: Tensor) -> Tensor:
        """Mean loss. ``out``: (rows, outputs) or (rows, members, outputs); ``y``: (rows,), standardised if values."""
        out = out.float()
        if self.values:
            members = out.numel() // len(y)
            of = self.own or VALUES[self.name]
            return of(out.reshape(len(y), members), y[:, None].expand(-1, members))
        if out.ndim == 3:
            y = y.repeat_interleave(out.shape[1])
            out = out.flatten(0, 1)
        if self.own is not None:
            return self.own(out, y)
        return CLASSES[self.name](out, y, self.smoothing, self.weight)
