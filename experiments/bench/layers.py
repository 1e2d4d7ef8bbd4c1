"""Every layer that a list may name, lists that are wrong, and LeNet against LeNet.

    level4 +experiment=bench/layers [bench.only=[LSTM,GRU]]

Each allowed layer of ``torch.nn`` stands in a small list: the network is built, a row is predicted alone as among
others, it is trained one step, exported to ONNX and compared with torch (``automl.deploy.onnx``). Of each class of
torch.nn that is not allowed the reason is told. Then at least 60 wrong lists: each must be refused in one line that
names the place and a fix. Then LeNet from a list and by hand, with the same seed, before and after training: the same
bits. Last, a list of 10^12 parameters must be refused in under 0.1 s and 50 MB. Exit status 1: a miss.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn

from automl.deploy.onnx import write_onnx
from automl.errors import UserError
from automl.models.listed.allowed import ALLOWED, BLOCKS, REFUSED
from automl.models.listed.blocks import Entry
from automl.models.listed.build import made, planned
from automl.models.listed.errors import LayerError
from automl.models.listed.read import read, shown
from automl.training.predictor import Predictor, network_size
from automl.training.rows import as_tensor
from automl.types import Input, Task
from experiments.bench import alone as in_process
from experiments.bench import options_from
from experiments.bench._layer_samples import OUTPUTS, VARIANTS, WRONG, Wrong, sample

MOST_SECONDS, MOST_MB = 0.1, 50
ROWS = 8


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/layers.yaml."""

    only: list[str]


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    if unknown := set(options.only) - ALLOWED:
        raise UserError(f"bench.only={min(unknown)} is no allowed layer. Set it to some of torch.nn, such as [LSTM]")
    passed = [show_layers(sorted(options.only or ALLOWED))]
    if not options.only:
        passed += [show_refused(), show_wrong(), show_lenet(), show_too_large()]
    if not all(passed):
        raise SystemExit(1)


class Network(nn.Module):
    """A list as a network of one input."""

    def __init__(self, layers: Any, of: Input, outputs: int = OUTPUTS) -> None:
        super().__init__()
        self.entry = Entry(of)
        plan = planned(read(layers).fixed({}), self.entry.shape, outputs, of.vocabulary)
        self.said = plan.steps
        self.net = made(plan.parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.entry(x))


@dataclass(frozen=True)
class Tried:
    """``error``: what did not work, or empty. ``difference``: between torch and ONNX, of probabilities."""

    parameters: int = 0
    difference: float = float("nan")
    error: str = ""


def tried(name: str, more: Mapping[str, Any] | None = None) -> Tried:
    """One layer, with ``more`` arguments: all that is promised of it."""
    of, layers = sample(name, more)
    task = Task(name, "multiclass", (of,), OUTPUTS, "accuracy")
    torch.manual_seed(0)
    try:
        network = Network(layers, of)
        predictor = Predictor(network, task)
        x = encoded(of, ROWS)
        one_step(predictor, x)
        alone(predictor, x)
        with tempfile.TemporaryDirectory() as folder:
            agreement = write_onnx(Path(folder) / "model.onnx", predictor, ["input_0"], [x])
    except Exception as error:  # what is told is which layer fails, and how
        cause = error.__cause__ or error  # the exporter says in which step, its cause says why
        return Tried(error=f"{type(cause).__name__}: {' '.join(str(cause).split())}"[:200])
    return Tried(network_size(network), agreement.max_difference)


def encoded(of: Input, rows: int, seed: int = 0) -> np.ndarray:
    """Rows as the encoding gives them."""
    rng = np.random.default_rng(seed)
    if of.modality == "image":
        return rng.integers(0, 256, (rows, *of.shape), dtype=np.uint8)
    if of.modality == "text":
        return rng.integers(0, of.vocabulary, (rows, *of.shape), dtype=np.int32)
    return rng.normal(size=(rows, *of.shape)).astype(np.float32)


def one_step(predictor: Predictor, x: np.ndarray) -> None:
    """Train one step. Raises RuntimeError where a weight takes no part or something is no finite number."""
    predictor.train()
    y = torch.arange(len(x)) % OUTPUTS
    weights = dict(predictor.named_parameters())
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-3)
    loss = nn.functional.cross_entropy(predictor.network(*predictor.prepare(as_tensor(x))), y)
    loss.backward()
    odd = [name for name, w in weights.items() if w.grad is None or not w.grad.isfinite().all()]
    if odd or not loss.isfinite():
        raise RuntimeError(f"{odd[0] if odd else 'the loss'} does not learn")
    optimizer.step()


def alone(predictor: Predictor, x: np.ndarray) -> None:
    """Raises RuntimeError where a row's answer depends on the rows beside it."""
    predictor.eval()
    with torch.no_grad():
        together = predictor(as_tensor(x))
        single = torch.cat([predictor(as_tensor(x[i : i + 1])) for i in range(len(x))])
    if not torch.allclose(together, single, atol=1e-5):
        raise RuntimeError("a row's answer depends on the rows beside it")


def show_layers(names: list[str]) -> bool:
    table = Table("layer", "numbers", "ONNX differs by", "s", "")
    failed = 0
    asked = [(name, more) for name in names for more in ({}, *VARIANTS.get(name, ()))]
    for name, more in asked:
        began = time.perf_counter()
        found = tried(name, more)
        failed += bool(found.error)
        seconds = time.perf_counter() - began
        said = f"{name} {dict(more) or ''}"
        table.add_row(
            escape(said), str(found.parameters), f"{found.difference:.1e}", f"{seconds:.1f}", escape(found.error)
        )
    _print(table)
    print(f"{len(names)} layers in {len(asked)} lists built, trained, exported and compared; {failed} failed\n")
    return not failed


def show_refused() -> bool:
    """Of every class of torch.nn that is not allowed, the reason."""
    table = Table("not in a list", "because")
    named = [n for n in sorted(vars(nn)) if isinstance(of := getattr(nn, n), type) and issubclass(of, nn.Module)]
    silent = [name for name in named if name not in {*ALLOWED, *REFUSED, *BLOCKS}]
    for name in (n for n in named if n in REFUSED):
        table.add_row(name, escape(reason(name)))
    _print(table)
    print(f"{len(named)} classes of torch.nn, {len(silent)} of them neither allowed nor refused {silent or ''}\n")
    return not silent


def reason(name: str) -> str:
    try:
        read([name])
    except LayerError as error:
        return str(error).partition(": ")[2]
    return ""


def refusal(wrong: Wrong) -> LayerError | None:
    """What is said of a wrong list; None where it is taken."""
    try:
        Network(wrong.layers, wrong.of)
    except LayerError as error:
        return error
    return None


def missed(wrong: Wrong, error: LayerError | None) -> str:
    """What is missing in what was said of it, or empty."""
    if error is None:
        return "taken"
    if not error.path.startswith(wrong.path) or (wrong.path and error.path != wrong.path):
        return f"at {error.path}"
    if wrong.says not in str(error):
        return f"no {wrong.says!r}"
    return "" if error.fix and "\n" not in str(error) and len(str(error)) < 500 else "no line, or no fix"


def show_wrong() -> bool:
    table = Table("wrong list", "is told", "")
    misses = 0
    for wrong in WRONG:
        error = refusal(wrong)
        miss = missed(wrong, error)
        misses += bool(miss)
        table.add_row(escape(shown(wrong.layers)), escape(str(error)), escape(miss))
    _print(table)
    print(f"{len(WRONG)} wrong lists, {misses} not told right\n", flush=True)
    return not misses


LENET: list[Any] = [
    {"Conv2d": {"out_channels": 6, "kernel_size": 5, "padding": 2}},
    "ReLU",
    {"MaxPool2d": {"kernel_size": 2}},
    {"Conv2d": {"out_channels": 16, "kernel_size": 5}},
    "ReLU",
    {"MaxPool2d": {"kernel_size": 2}},
    "Flatten",
    {"Linear": {"out_features": 120}},
    "ReLU",
    {"Linear": {"out_features": 84}},
    "ReLU",
    {"Linear": {"out_features": "auto"}},
]


def lenet() -> nn.Module:
    """LeNet-5 (LeCun et al. 1998) with rectifiers, written by hand for 28 x 28."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def lenet_agrees(seed: int) -> bool:
    """Weights, outputs, and both after ten steps: the same bits."""
    x = torch.randn((32, 1, 28, 28), generator=torch.Generator().manual_seed(seed))
    ends = []
    for make in (lenet, lambda: Network(LENET, Input("digits", "image", (1, 28, 28)), 10).net):
        torch.manual_seed(seed)
        network = make()
        first = [w.detach().clone() for w in network.state_dict().values()]
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for _ in range(10):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), torch.arange(32) % 10).backward()
            optimizer.step()
        ends.append([*first, *network.state_dict().values(), network(x)])
    return all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def show_lenet() -> bool:
    agree = sum(lenet_agrees(seed) for seed in range(3))
    print(f"LeNet from a list and by hand: the same bits for {agree} of 3 seeds, before and after 10 steps")
    return agree == 3


def show_too_large() -> bool:
    """10^12 parameters, in a process that has seen no list before."""
    seconds, megabytes = in_process(too_large)
    print(f"10^12 parameters: refused in {1000 * seconds:.1f} ms, {megabytes:.1f} MB more")
    return seconds < MOST_SECONDS and megabytes < MOST_MB


def too_large() -> tuple[float, float]:
    """Seconds of the refusal, and megabytes by which the process grew."""
    layers = [{"Conv2d": {"out_channels": 8, "kernel_size": 3}}, "Flatten", {"Linear": {"out_features": 10**12}}]
    process = psutil.Process()
    before, began = process.memory_info().rss, time.perf_counter()
    error = refusal(Wrong(layers, "/layers/2/Linear/out_features", "parameters"))
    seconds = time.perf_counter() - began
    if error is None or "parameters" not in error.problem:
        raise RuntimeError(f"10^12 parameters are told as: {error}")
    return seconds, (process.memory_info().rss - before) / 1e6


def _print(table: Table) -> None:
    Console(width=160).print(table)
