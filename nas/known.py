"""What families of known networks share (level 2): a trunk with weights from elsewhere, a new head, and its tuning."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from nni.nas.space import current_model
from torch import Tensor, nn
from torch.nn import functional as F

from automl.models.closed_form.linear_head import STEP, linear_head
from automl.models.known.frozen import Frozen, shelf_name
from automl.types import Input, Task
from nas.family import FEWEST_ROWS, FamilySpace, affordable_rows

# By judgement: rates that fall layer by layer need no exact stages, and a wider head has more to learn from few rows.
WORK = 2e8  # rows x features x outputs of the head's start: the features cost far more
STAGES = 4  # of a trunk, each with a rate of its own
WIDTH = 256  # of a head with a hidden layer
FLAT = 1e-3  # of the mean deviation of all features: what deviates by less is rounding
Scale = tuple[Sequence[float], Sequence[float]]
"""Mean and deviation of each channel."""


class KnownSpace(FamilySpace):
    """Features of a trunk, standardised, and a head: fitted at once, then trained from there (linear probing, then fine
    tuning: Kumar et al. 2022, arXiv:2202.10054).

    ``tune``: ``head`` leaves the trunk as it came, so that its features are computed once, and ``all`` trains it too,
    the lower a layer the more slowly (``layer_decay``: Howard and Ruder 2018, arXiv:1801.06146, section 3.2). Its
    norms keep their statistics. Rows are changed at random (``augment``) only where the trunk learns from that.
    """

    shares = False
    patience = 2
    begin_rows = FEWEST_ROWS

    def lay(self, task: Task, weights: str, trunk: Callable[[bool], nn.Module], part: object, *, tunes: bool) -> None:
        """Declare the axes and make the network. ``weights``: their sha256. ``trunk``: makes one, of ``size``
        features; given True, one that nothing else uses. ``part``: what else decides the features of a row. ``tunes``:
        whether the trunk may be trained.
        """
        tune, decay = "head", 1.0
        if tunes:
            tune = self.choose("tune", ("head", "all"))
            decay = self.choose("layer_decay", (0.3, 0.6, 1.0), parent="tune", when=("all",))
            self.choose("augment", ("none", "light", "medium"), parent="tune", when=("all",))
        head = self.choose("head", ("linear", "mlp"))
        self.choose("learning_rate", (0.0003, 0.001, 0.003))
        self.choose("weight_decay", (0.0, 0.01, 0.1))
        self.choose("batch_size", (32, 64, 128))
        dropout = self.choose("dropout", (0.0, 0.1, 0.3))
        if current_model() is None:
            return  # the axes alone are asked for: nothing is read
        self.tuned, self.decay = tune == "all", decay
        body = trunk(self.tuned).eval()  # from the start, as `begin` may be the first that asks it
        size = int(body.size)  # pyright: ignore[reportArgumentType]
        self.trunk = body if self.tuned else Frozen(body, shelf_name(weights, part))
        self.patience = 2 + 2 * self.tuned
        self.classes = task.num_outputs if task.kind != "regression" else 0
        self.begin_rows = affordable_rows(WORK / (size * task.num_outputs))
        self.register_buffer("middle", torch.zeros(size))
        self.register_buffer("factor", torch.ones(size))
        self.register_buffer("start", torch.zeros(size, task.num_outputs))
        self.register_buffer("level", torch.zeros(task.num_outputs))
        self.dropout = nn.Dropout(dropout)
        self.scale = STEP * size**-0.5
        last = nn.Linear(size if head == "linear" else WIDTH, task.num_outputs)
        hidden = [] if head == "linear" else [nn.Linear(size, WIDTH), nn.GELU(), nn.Dropout(dropout)]
        self.change = nn.Sequential(*hidden, last)
        _zero(last)

    middle: Tensor
    factor: Tensor
    start: Tensor
    level: Tensor

    def view(self, x: Tensor) -> Tensor:
        """An input as the trunk reads it."""
        return x

    def begin(self, batches: Iterable[tuple[Tensor, ...]], y: Tensor, until: float = math.inf) -> None:
        """Standardise the features and fit the head; see ``automl.training.module.Begins``."""
        x = torch.cat([self.trunk(self.view(x)) for (x,) in batches])
        self.middle.copy_(x.mean(dim=0))
        spread = x.std(dim=0, unbiased=False)
        # What is the same for these rows says nothing, and would be the loudest of all where another row differs.
        self.factor.copy_(torch.where(spread > FLAT * spread.mean(), 1 / spread, 0.0))
        x = (x - self.middle) * self.factor
        target = y[: len(x)].cpu().numpy()
        weight, bias = linear_head(x.cpu().numpy(), target, self.classes, threads=torch.get_num_threads(), until=until)
        self.start.copy_(torch.from_numpy(weight))
        self.level.copy_(torch.from_numpy(bias))
        last = self.change[-1]
        assert isinstance(last, nn.Linear)
        _zero(last)

    def train(self, mode: bool = True) -> KnownSpace:
        super().train(mode)
        if "trunk" in self._modules:
            self.trunk.train(False)
        return self

    def rates(self) -> Mapping[nn.Parameter, float]:
        """Of each weight of the trunk: its share of the learning rate."""
        if not self.tuned or self.decay == 1:
            return {}
        own = list(self.trunk.parameters())
        return {p: self.decay ** (STAGES - i * STAGES // len(own)) for i, p in enumerate(own)}

    def forward(self, x: Tensor) -> Tensor:
        """(rows, ...) -> (rows, num_outputs)."""
        features = self.dropout((self.trunk(self.view(x)) - self.middle) * self.factor)
        hidden = len(self.change) > 1
        return features @ self.start + self.level + self.change(features if hidden else self.scale * features)


def _zero(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class Seen(nn.Module):
    """A picture, sound or series of one data set as a network of another sees it: (rows, ...) -> (rows, *``shape``).

    ``known``: of the pixels, in [0, 1], that it was trained with; None: values as they come, standardised by their own
    data set. One channel is shown as often as the network has channels.
    """

    def __init__(self, of: Input, shape: Sequence[int], known: Scale | None) -> None:
        super().__init__()
        self.shape = tuple(shape)
        channels = self.shape[0]
        scale, shift = [1.0] * channels, [0.0] * channels
        if known is not None and of.mean:
            mean, std = (list(values) * (channels // len(values)) for values in (of.mean, of.std))
            scale = [s / k for s, k in zip(std, known[1], strict=True)]
            shift = [(m - k) / s for m, k, s in zip(mean, *known, strict=True)]
        self.key = (self.shape, scale, shift)
        ones = (-1, *(1 for _ in self.shape[1:]))
        self.register_buffer("factor", torch.tensor(scale).reshape(ones), persistent=False)
        self.register_buffer("add", torch.tensor(shift).reshape(ones), persistent=False)

    factor: Tensor
    add: Tensor

    def forward(self, x: Tensor) -> Tensor:
        x = x.expand(-1, *self.shape[:1], *x.shape[2:]) * self.factor + self.add
        if x.shape[1:] == self.shape:
            return x
        return F.interpolate(x, self.shape[1:], mode="bilinear" if x.ndim == 4 else "linear", align_corners=False)
