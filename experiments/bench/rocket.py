"""rocket's features with their closed-form head alone: how long they take, how good they are.

    level4 +experiment=bench/rocket bench.root=FOLDER

FOLDER holds NAME.json (modality, file) beside NAME.npz; every set of series in it is taken. The head is fitted on the
training and validation rows together and judged once on the test rows: accuracy, or R2; mean over the seeds. "raw" is
the same head on the series' own values. Seconds are those of one seed, features of all rows included, on one thread.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from automl import metrics
from automl.data.dataset import Part
from automl.data.prepare import prepare
from automl.data.sources.file import FileSource
from automl.errors import UserError
from automl.models.closed_form.ridge import classes_head, ridge
from automl.training.predictor import Predictor, predict, target_scale
from automl.types import Candidate, Task, active_choices
from experiments.bench import options_from
from experiments.bench.families import SCORES, together
from nas.families.rocket import Rocket
from nas.family import build, search_axes

ROWS = 512  # looked at together


class Raw(nn.Module):
    """The head of rocket on the standardised values of the series."""

    begin_rows = 2000

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.classes = task.num_outputs if task.kind != "regression" else 0
        self.middle, self.factor = nn.Buffer(torch.zeros(1)), nn.Buffer(torch.ones(1))
        self.head = nn.Linear(int(np.prod(task.inputs[0].shape)), task.num_outputs)

    def begin(self, batches: list[tuple[Tensor, ...]], y: Tensor) -> None:
        x = torch.cat([x.flatten(1) for (x,) in batches])
        self.middle, self.factor = x.mean(dim=0), 1 / (x.var(dim=0, unbiased=False) + 1e-5).sqrt()
        x = (x - self.middle) * self.factor
        weight, bias = classes_head(x, y, self.classes) if self.classes else ridge(x, y[:, None].double())[:2]
        self.head.weight.copy_(weight.T)
        self.head.bias.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x.flatten(1) - self.middle) * self.factor)


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/rocket.yaml."""

    root: Path
    only: str
    kernels: int
    change: Literal["no", "yes"]
    most: int | None
    seeds: int


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    said = [json.loads(f.read_text()) for f in sorted(options.root.glob("*.json")) if options.only in f.stem]
    said = [s for s in said if s["modality"].startswith("ts_")]
    if not said:
        raise UserError(
            f"bench.root={options.root} holds no series with {options.only!r} in its name. Set bench.only=..."
        )
    torch.set_num_threads(1)
    print(f"{'set':<32}  {'rows':>6}  {'shape':>8}  {'raw':>7}  {'rocket':>7}  {'seconds':>7}")
    lines = []
    for s in said:
        prepared = prepare(FileSource(str(options.root / s["file"])).load(), check=False)
        task, test = prepared.task, prepared.parts.test
        rows = together(prepared.parts.train, prepared.parts.valid)
        if (len(rows) + len(test)) * int(np.prod(task.inputs[0].shape)) > (options.most or np.inf):
            continue
        raw = judged(Raw(task), task, rows, test)[0]
        runs = [
            judged(rocket(task, options.kernels, options.change, seed), task, rows, test)
            for seed in range(options.seeds)
        ]
        score, seconds = (float(np.mean(v)) for v in zip(*runs, strict=True))
        shape = "x".join(map(str, task.inputs[0].shape))
        lines.append((raw, score, seconds))
        print(
            f"{s['name']:<32}  {len(rows) + len(test):>6}  {shape:>8}  {raw:>7.4f}  {score:>7.4f}  {seconds:>7.2f}",
            flush=True,
        )
    raw, score, seconds = np.array(lines).T
    print(
        f"{len(lines)} sets: raw {raw.mean():.4f}, rocket {score.mean():.4f}, {seconds.sum():.1f} s for a seed of all"
    )


def rocket(task: Task, kernels: int, change: str, seed: int) -> nn.Module:
    """The family's network with this many kernels, else its first options."""
    family: Any = Rocket((kernels, kernels + 1))  # an axis needs two
    axes = search_axes({family.name: family}, task, ())[family.name]
    choices = {a.name: a.options[0] for a in axes} | {"change": change}
    return build(family, task, Candidate(family.name, active_choices(axes, choices)), axes, seed=seed)


@torch.no_grad()
def judged(network: nn.Module, task: Task, rows: Part, test: Part) -> tuple[float, float]:
    """Test score of a network whose ``begin`` has seen ``rows``, and the seconds of both."""
    began = time.process_time()
    predictor = Predictor(network, task, *target_scale(task, rows))
    some = np.random.default_rng(0).permutation(len(rows))[: network.begin_rows]  # type: ignore[index]
    y = torch.from_numpy(rows.y[some])
    if task.kind == "regression":
        y = ((y - predictor.center) / predictor.scale).float()
    taken = [[torch.from_numpy(a[some[at : at + ROWS]]) for a in rows.inputs] for at in range(0, len(some), ROWS)]
    network.begin([predictor.prepare(*batch) for batch in taken], y)  # type: ignore[operator]
    answers = predict(predictor, test.inputs)
    score = metrics.score(SCORES.get(task.kind, "accuracy"), task.kind, test.y, answers)
    return score, time.process_time() - began
