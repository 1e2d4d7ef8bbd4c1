"""What can be known of a candidate before it is trained: its size, its latency, the memory that training needs.

And of one that was trained, what an answer costs.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from automl.data.dataset import Part
from automl.machine import MOUNTED, OWN, control_groups
from automl.models.remember import nothing_remembered
from automl.training.module import BEGIN_BATCH, Begins
from automl.training.options import Options
from automl.training.predictor import VALID_BATCH, Predictor
from automl.training.rows import Stretches, as_tensor
from automl.training.train import find_device
from automl.types import Candidate, Task

# All but BOTH_WAYS by judgement: too strict a look leaves good networks out, too mild a one wastes their limit.
FORWARDS, WARM_UP, SECONDS = 25, 5, 2.0  # passes that are timed, those before them, when it is enough
LEAST_STEPS = 16  # fewer teach nothing that a score could tell
BOTH_WAYS = 3  # a step takes so many times what its forward pass takes (Kaplan et al. 2020, section 2.1)
PROBE = 8  # rows by which the time of a step is measured
QUICK = 0.02  # seconds: what takes less for them is measured by more, because many rows leave the processor's cache
SHARE = 0.9  # of the free memory that a training may fill


def over_limit(task: Task, parameters: int, size: int, latency: float | None = None) -> str:
    """Which hard limit a network of so many numbers, bytes and milliseconds breaks, or an empty string."""
    limits = task.limits
    megabytes = size / 1e6
    if limits.parameters is not None and parameters > limits.parameters:
        return f"{parameters} parameters, the limit is {limits.parameters}"
    if limits.megabytes is not None and megabytes > limits.megabytes:
        return f"{megabytes:.2f} MB of weights, the limit is {limits.megabytes}"
    if limits.latency_ms is not None and latency is not None and latency > limits.latency_ms:
        return f"{latency:.2f} ms for one row, the limit is {limits.latency_ms}"
    return ""


def one_row(part: Part) -> tuple[Tensor, ...]:
    """The first row, encoded, one tensor (1, ...) per input."""
    return tuple(as_tensor(x[:1]) for x in part.inputs)


def latency_ms(network: nn.Module, task: Task, part: Part) -> float:
    """Median time of a single row through the untrained network on one CPU thread, in milliseconds.

    Plain torch, so above what the exported graph takes later: a candidate that keeps the limit here keeps it there.
    """
    predictor, inputs = Predictor(network, task), one_row(part)
    times: list[float] = []
    with as_it_was(network), nothing_remembered(), one_thread(), torch.inference_mode():
        predictor.eval()
        began = time.perf_counter()
        while len(times) < FORWARDS + WARM_UP:
            start = time.perf_counter()
            predictor(*inputs)
            times.append(time.perf_counter() - start)
            if time.perf_counter() - began > SECONDS:
                break
    return 1000 * statistics.median(times[WARM_UP:] or times)


def too_dear(network: nn.Module, task: Task, part: Part, rows: int, seconds: float) -> str:
    """Why a network is not trained that would take longer to answer ``rows`` in the end than it may train; else empty.

    A large known network learns its head in no time, and then holds the run up.
    """
    with as_it_was(network):
        needed = rows * row_ms(network, task, part, PROBE) / 1000
    return (
        ""
        if needed <= seconds
        else f"to answer {rows:,} rows would take about {needed:.0f} s, {seconds:.1f} s are given"
    )


def row_ms(network: nn.Module, task: Task, part: Part, among: int = PROBE**2) -> float:
    """Milliseconds of a row, ``among`` so many, through the network on this CPU."""
    predictor, rows = Predictor(network.cpu(), task), min(among, len(part))
    inputs = tuple(as_tensor(x[:rows]) for x in part.inputs)
    with nothing_remembered(), torch.inference_mode():
        predictor.eval()
        start = time.perf_counter()
        predictor(*inputs)
    return 1000 * (time.perf_counter() - start) / rows


def memory_gb(network: nn.Module, task: Task, part: Part, candidate: Candidate) -> float:
    """Roughly what training fills, in GB: weights, gradients, optimizer, copies, and the activations of a batch.

    Activations are what autograd keeps for one row, times the batch.
    """
    weights = sum(p.numel() for p in network.parameters() if p.requires_grad) * 4
    options = Options.of(candidate.choices)
    moments = 1 if options.optimizer in ("sgd", "lion") else 2
    copies = 1 + options.ema  # the best weights, the moving average
    predictor = Predictor(network, task)
    with as_it_was(network):
        predictor.eval()
        per_row = kept_bytes(predictor, one_row(part))
    # The widest point of a validation pass is below a tenth of all activations for any network of some depth.
    rows = max(options.batch_size, VALID_BATCH // 10)
    return (weights * (2 + moments + copies) + per_row * rows) / 1e9


def kept_bytes(predictor: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Bytes that autograd keeps for the backward pass of these rows, without the weights themselves."""
    known = {t.untyped_storage().data_ptr() for t in (*predictor.parameters(), *predictor.buffers())}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        predictor(*inputs)
    return sum(kept.values())


def too_slow(
    network: nn.Module, task: Task, train: Part, valid: Part, candidate: Candidate, epochs: int, seconds: float
) -> str:
    """Why a training within ``seconds`` on this CPU would end before it learned anything, or an empty string.

    It needs ``LEAST_STEPS`` steps (or those of ``epochs``, if fewer) and one validation; a network that begins needs
    to read the fewest rows instead, and what it fits to them knows its limit. The time of a pass is a line over its
    rows, drawn through one row and ``PROBE`` rows or more: small networks cost what their calls cost, large ones what
    their rows cost. What is remembered of a row costs nothing here, as in the training.
    """
    begins = isinstance(network, Begins)
    batch = min(BEGIN_BATCH if begins else Options.of(candidate.choices).batch_size, len(train))
    steps = 1 if begins else min(LEAST_STEPS, epochs * Stretches(len(train), batch, 0, lambda: 0).steps)
    ways = 1 if begins else BOTH_WAYS
    passes = -(-len(valid) // VALID_BATCH)
    predictor = Predictor(network, task)

    def forward(rows: int) -> float:
        inputs = tuple(as_tensor(x[:rows]) for x in train.inputs)
        start = time.perf_counter()
        with torch.inference_mode():
            predictor(*inputs)
        return time.perf_counter() - start

    with as_it_was(network):
        predictor.eval()
        one = forward(1)
        if steps * ways * batch * one + len(valid) * one <= seconds:
            return ""  # even as if every row of a batch cost as much as one alone
        one = min(one, forward(1))
        rows = min(PROBE, len(train))
        many = min(forward(rows), forward(rows))
        if many < QUICK and rows < len(train):
            rows = min(PROBE**2, len(train))
            many = forward(rows)
    per_row = max(many - one, 0.0) / max(rows - 1, 1)
    needed = steps * ways * (one + batch * per_row) + passes * one + len(valid) * per_row
    if needed <= seconds:
        return ""
    first = f"to read {batch} rows" if begins else f"{steps} steps"
    return f"{first} and a validation would take about {needed:.0f} s, {seconds:.1f} s are given"


def free_gb(device: str = "auto") -> float:
    """Memory that is free on the device now, in GB."""
    where = find_device(device)
    if where.type == "cuda":
        kept = torch.cuda.memory_reserved(where) - torch.cuda.memory_allocated(where)  # by torch, for what comes next
        return (torch.cuda.mem_get_info(where)[0] + kept) / 1e9
    return min(psutil.virtual_memory().available, left_of_group()) / 1e9


def left_of_group(mounted: Path = MOUNTED, groups: Path = OWN) -> float:
    """Bytes that a container or a batch job still gives this process, less than the machine has; inf without a limit.

    What files take in memory counts as free: it is given back when there is need.
    """
    left = math.inf
    for folder, unified in control_groups("memory", mounted, groups):
        limit, usage, files = (
            ("memory.max", "memory.current", "inactive_file")
            if unified
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        with contextlib.suppress(OSError, ValueError):  # another container's, or "max"
            most, used = (int((folder / name).read_text()) for name in (limit, usage))
            stat = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
            left = min(left, max(most - used + int(stat.get(files, 0)), 0))
    return left


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def as_it_was(network: nn.Module) -> Iterator[None]:
    """Leave the network in the mode in which it came, and torch's random numbers where they were."""
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
