"""What is checked before a training starts."""

from __future__ import annotations

import dataclasses
import json
import math
import time

import pytest
import torch
from torch import Tensor, nn

from automl.models.binary.layers import BinaryLinear
from automl.models.remember import Remember
from automl.training.predictor import network_bytes, network_size
from automl.types import Candidate, Limits, Task
from nas import evaluate as module
from nas import preflight
from nas.evaluate import evaluate
from nas.job import Job, Order
from nas.preflight import latency_ms, left_of_group, memory_gb, over_limit, too_slow
from nas.strategies.parts.zero_cost import jacob_cov, parameters, synflow, zero_cost
from nas.testing.families import TASKS, axes_of, candidate_at
from nas.testing.strategies import job
from tests.nas.family_tasks import FAMILIES

CANDIDATE = Candidate("toy", {"deep": "yes", "hidden": 4, "learning_rate": 0.01})


def limited(**limits) -> Job:
    return dataclasses.replace(job(), task=dataclasses.replace(job().task, limits=Limits(**limits)))


@pytest.mark.parametrize("limit", [{"parameters": 29}, {"megabytes": 29 * 4e-6}, {"latency_ms": 1e-6}])
def test_what_breaks_a_limit_is_skipped_without_training(limit, monkeypatch):
    monkeypatch.setattr(module, "train", lambda *a, **k: pytest.fail("trained"))
    outcome = evaluate(limited(**limit), Order(CANDIDATE, 3, 0))
    assert outcome.status == "skipped" and "the limit is" in outcome.error and outcome.parameters == 30


def test_what_keeps_the_limits_is_trained_and_its_latency_known():
    outcome = evaluate(limited(parameters=30, latency_ms=1000.0), Order(CANDIDATE, 1, 0))
    assert outcome.status == "ok" and outcome.latency_ms is not None and 0 < outcome.latency_ms < 1000


def test_latency_is_measured_only_when_somebody_asks():
    assert evaluate(job(), Order(CANDIDATE, 1, 0)).latency_ms is None
    assert evaluate(dataclasses.replace(job(), latency=True), Order(CANDIDATE, 1, 0)).latency_ms is not None


@pytest.mark.parametrize(("rows", "keep", "status"), [(1000, False, "timeout"), (1000, True, "ok"), (100, False, "ok")])
def test_what_would_hold_the_run_up_with_its_answers_is_not_trained(rows, keep, status, monkeypatch):
    monkeypatch.setattr(preflight, "row_ms", lambda *of: 50.0)
    outcome = evaluate(dataclasses.replace(job(), answered=rows), Order(CANDIDATE, 1, 0, seconds=20.0, keep=keep))
    assert outcome.status == status
    if status == "timeout":
        assert outcome.error == "to answer 1,000 rows would take about 50 s, 20.0 s are given"


def test_memory_that_torch_keeps_for_what_comes_next_is_free(monkeypatch):
    monkeypatch.setattr(preflight, "find_device", lambda name: torch.device("cuda", 0))
    told = {"mem_get_info": (10e9, 80e9), "memory_reserved": 50e9, "memory_allocated": 20e9}
    for name, answer in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda where, answer=answer: answer)
    assert preflight.free_gb() == pytest.approx(40)


def test_limits_are_inclusive():
    task = dataclasses.replace(job().task, limits=Limits(latency_ms=2.0, parameters=10, megabytes=4e-5))
    assert over_limit(task, 10, 40, 2.0) == ""
    assert over_limit(task, 11, 40) and over_limit(task, 1, 41) and over_limit(task, 1, 4, 2.1)


def test_weights_that_are_exported_as_bits_weigh_their_bits():
    network = nn.Sequential(BinaryLinear(1024, 512), nn.Linear(512, 2))
    assert network_size(network) == 1024 * 512 + 1026 and network_bytes(network) == 1024 * 512 // 8 + 4 * 1026
    task = dataclasses.replace(job().task, limits=Limits(megabytes=0.1))
    assert over_limit(task, network_size(network), network_bytes(network)) == ""
    assert network_bytes(nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2, track_running_stats=False))) == 4 * 14


def test_what_a_network_takes_goes_with_its_weights():
    """Of networks that were trained the ensemble knows no more than these."""
    outcome = evaluate(limited(parameters=30), Order(CANDIDATE, 1, 0))
    assert outcome.weights is not None
    header = outcome.weights[8 : 8 + int.from_bytes(outcome.weights[:8], "little")]
    (told,) = json.loads(header)["__metadata__"].values()
    assert json.loads(told) == {"candidate": CANDIDATE.id, "bytes": 120}


class Wide(nn.Module):
    """Keeps three (rows, width) activations for the backward pass, beside its input."""

    def __init__(self, width: int, depth: int = 1) -> None:
        super().__init__()
        self.first = nn.Linear(4, width)
        self.last = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).sigmoid().tanh())


def test_measuring_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)).train()
    before, todo = {name: t.clone() for name, t in network.state_dict().items()}, job()
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    latency_ms(network, todo.task, todo.train)
    memory_gb(network, todo.task, todo.train, CANDIDATE)
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
    assert network.training and network[2].training
    assert torch.equal(state, torch.random.get_rng_state()) and torch.get_num_threads() == threads


def test_a_bigger_network_takes_longer():
    small, large = (latency_ms(Wide(width), job().task, job().train) for width in (8, 400_000))
    assert large > 2 * small


def test_the_estimate_of_memory_counts_weights_and_activations():
    width = 1000
    candidate = Candidate("toy", {"batch_size": 256, "optimizer": "adamw"})
    found = memory_gb(Wide(width), job().task, job().train, candidate)
    weights = (4 * width + width + 2 * width + 2) * 4 * 5  # weights, gradients, two moments, the best copy
    activations = 256 * 4 * 2 * width  # of sigmoid and tanh, whose outputs the last layer and they themselves need
    assert found == pytest.approx((weights + activations) / 1e9, rel=0.05)
    bigger = memory_gb(Wide(width), job().task, job().train, Candidate("toy", {"batch_size": 512}))
    assert bigger - found == pytest.approx(activations / 1e9, rel=0.05)


def test_a_training_that_does_not_fit_is_told_before_it_starts(monkeypatch):
    monkeypatch.setattr(module, "free_gb", lambda device: 1e-9)
    monkeypatch.setattr(module, "train", lambda *a, **k: pytest.fail("trained"))
    outcome = evaluate(job(), Order(CANDIDATE, 3, 0))
    assert outcome.status == "oom" and "GB are free" in outcome.error


@pytest.mark.parametrize(
    ("line", "folder", "limit", "usage", "files"),
    [
        ("0::/job/step", "", "memory.max", "memory.current", "inactive_file"),
        ("4:memory:/job/step", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_the_memory_of_a_container_or_a_batch_job_is_not_that_of_the_machine(
    tmp_path, line, folder, limit, usage, files
):
    groups, top = tmp_path / "cgroup", tmp_path / "mounted"
    groups.write_text(f"8:pids:/\n{line}\n")
    (top / folder).mkdir(parents=True)
    assert left_of_group(top, groups) == left_of_group(top, tmp_path / "none") == math.inf
    for path, most, used in (("job", "4000", 3000), ("job/step", "max", 500)):
        own = top / folder / path
        own.mkdir()
        for name, text in ((limit, most), (usage, str(used)), ("memory.stat", f"anon 1\n{files} 200\n")):
            (own / name).write_text(text)
    assert left_of_group(top, groups) == 4000 - 3000 + 200


class TestZeroCost:
    def test_known_values(self):
        network = nn.Linear(3, 2, bias=False)
        nn.init.constant_(network.weight, -2.0)
        ones = (torch.randn(5, 3),)
        assert parameters(network, ones) == pytest.approx(math.log(7))
        # Flow of ones through |w| = 2: R = 12, dR/dw = 1, so the sum of |w * dR/dw| is 12.
        assert synflow(network, ones) == pytest.approx(math.log(12))

    def test_rows_that_look_alike_score_lower(self):
        """A linear network has the same gradient for every row; a nonlinear one tells rows apart."""
        torch.manual_seed(0)
        rows = (torch.randn(16, 6),)
        linear = nn.Linear(6, 2)
        deep = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 2))
        assert jacob_cov(deep, rows) > jacob_cov(linear, rows)

    @pytest.mark.parametrize("kind", ["synflow", "jacob_cov", "params"])
    def test_scores_depend_on_the_candidate_alone(self, kind):
        one, again = (zero_cost(job(), CANDIDATE, kind) for _ in range(2))
        assert one == again and math.isfinite(one)

    def test_text_has_no_input_gradient_and_is_scored_by_its_embeddings(self):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 2))
        ids = (torch.randint(0, 9, (8, 5)),)
        assert math.isfinite(jacob_cov(network, ids)) and math.isfinite(synflow(network, ids))

    @pytest.mark.parametrize("kind", ["synflow", "jacob_cov", "params"])
    @pytest.mark.parametrize(
        ("name", "of"), [("boosted_trees", "mixed"), ("ngram_linear", "text"), ("rocket", "series")]
    )
    def test_of_a_network_that_begins_it_says_nothing(self, kind, name, of):
        family, task = FAMILIES[name], TASKS[of]
        axes = axes_of(family, task)
        todo = dataclasses.replace(job(), task=task, families={name: family}, axes={name: axes})
        assert math.isnan(zero_cost(todo, candidate_at(family, axes, 0), kind))

    def test_what_cannot_be_scored_is_last(self):
        class Broken:
            name = "toy"

            def space(self, task: Task) -> nn.Module:
                raise RuntimeError("planted")

        broken = dataclasses.replace(job(), families={"toy": Broken()})  # type: ignore[dict-item]
        assert zero_cost(broken, CANDIDATE, "params") == -math.inf


class Sleeper(nn.Module):
    """So many seconds per row and per call."""

    def __init__(self, seconds: float, call: float = 0.0) -> None:
        super().__init__()
        self.seconds, self.call, self.head = seconds, call, nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.call + self.seconds * len(x))
        return self.head(x[:, :2])


def test_a_network_too_slow_for_its_time_is_told_before_it_trains():
    toy = job()
    said = too_slow(Sleeper(0.01), toy.task, toy.train, toy.valid, CANDIDATE, epochs=3, seconds=0.5)
    assert "steps and a validation would take about" in said and "0.5 s are given" in said
    assert not too_slow(Sleeper(0.01), toy.task, toy.train, toy.valid, CANDIDATE, epochs=3, seconds=1000.0)


def test_the_latency_of_what_is_remembered_is_that_of_computing_it():
    toy = job()
    body = Sleeper(0.004)
    for p in body.parameters():
        p.requires_grad_(False)
    layer = Remember(body)
    assert latency_ms(layer, toy.task, toy.train) > 3 and not layer.known


def test_what_costs_by_the_call_is_not_taken_for_what_costs_by_the_row():
    toy = job()
    steps = {"epochs": 3, "seconds": 4.0}  # 12 ms a call: 16 steps of a batch take under a second
    assert not too_slow(Sleeper(0.0, 0.012), toy.task, toy.train, toy.valid, CANDIDATE, **steps)
    assert too_slow(Sleeper(0.012), toy.task, toy.train, toy.valid, CANDIDATE, **steps)


def test_what_is_too_slow_is_not_trained(monkeypatch):
    monkeypatch.setattr(module, "train", lambda *a, **k: pytest.fail("trained"))
    monkeypatch.setattr(module, "build", lambda *a, **k: Sleeper(0.01))
    outcome = evaluate(dataclasses.replace(job(), device="cpu"), Order(CANDIDATE, 3, 0, seconds=0.5))
    assert outcome.status == "timeout" and outcome.score is None and "0.5 s are given" in outcome.error


class Beginner(Sleeper):
    begin_rows, patience = 64, 0

    def begin(self, batches, y, until):
        """Nothing to fit."""


def test_a_network_that_begins_needs_no_steps_but_to_read_and_to_be_judged():
    toy = job()
    steps = {"epochs": 3, "seconds": 3.0}  # 64 rows and 32 to judge at 10 ms: 1 s; 3 steps of 64 rows both ways: 6 s
    assert too_slow(Sleeper(0.01), toy.task, toy.train, toy.valid, CANDIDATE, **steps)
    assert not too_slow(Beginner(0.01), toy.task, toy.train, toy.valid, CANDIDATE, **steps)
    said = too_slow(Beginner(0.1), toy.task, toy.train, toy.valid, CANDIDATE, **steps)
    assert "to read 64 rows and a validation would take about" in said
