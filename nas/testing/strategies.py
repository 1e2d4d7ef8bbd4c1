"""What every strategy promises, as a test class for yours, a tiny search and an engine that looks its scores up.

class TestMine(StrategyContract):
    @pytest.fixture
    def make(self):
        return Mine
"""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from nni.nas.strategy.base import Strategy
from torch import Tensor, nn

from automl.data.dataset import Part
from automl.types import Attempt, Axis, Budget, Candidate, Input, Prior, Task, Trial
from nas.engines.base import Engine
from nas.family import FamilySpace, search_axes
from nas.job import Job, Order, Outcome
from nas.search import search

EPOCHS = 9  # of full length in the contract

TASK = Task("toy", "binary", (Input("x", "tabular", (4,), cardinalities=(0,) * 4),), 2, "accuracy")
SHARED = (Axis("learning_rate", (0.001, 0.01, 0.1)),)


@dataclass(frozen=True)
class Toy:
    """Two axes of which the second counts only while the first says so."""

    name: str = "toy"

    def supports(self, task: Task) -> bool:
        return all(i.modality == "tabular" for i in task.inputs)

    def space(self, task: Task) -> nn.Module:
        return ToySpace(task)


class ToySpace(FamilySpace):
    def __init__(self, task: Task) -> None:
        super().__init__()
        deep = self.choose("deep", ("no", "yes"))
        hidden = self.choose("hidden", (2, 4, 8), parent="deep", when=("yes",))
        size = task.inputs[0].shape[0]
        self.body = nn.Linear(size, hidden) if deep == "yes" else nn.Identity()
        self.head = nn.Linear(hidden if deep == "yes" else size, task.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


@dataclass(frozen=True)
class Plain(Toy):
    """A family with one axis of its own."""

    name: str = "plain"

    def space(self, task: Task) -> nn.Module:
        return PlainSpace(task)


class PlainSpace(FamilySpace):
    def __init__(self, task: Task) -> None:
        super().__init__()
        self.choose("bias", (True, False))
        self.head = nn.Linear(task.inputs[0].shape[0], task.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


FAMILIES = {"toy": Toy(), "plain": Plain()}


def part(rows: int, seed: int) -> Part:
    x = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    return Part((x,), (x[:, 0] > 0).astype(np.int64), np.arange(rows))


def job() -> Job:
    return Job(TASK, part(64, 0), part(32, 1), FAMILIES, search_axes(FAMILIES, TASK, SHARED), device="cpu")


def uniform() -> Prior:
    return Prior.uniform(job().axes)


def known_score(candidate: Candidate) -> float:
    """Highest for toy, deep, hidden 8, learning rate 0.01."""
    c = candidate.choices
    return (
        (candidate.family == "toy") * 0.3
        + (c.get("deep") == "yes") * 0.2
        + float(c.get("hidden", 0)) / 40
        + (c["learning_rate"] == 0.01) * 0.2
    )


class LookUp(Engine):
    """Answers with the known score. With several workers the trainings end in a seeded random order."""

    def __init__(self, workers: int = 1, outcome: Callable[[Order], Outcome] | None = None, seed: int = 0) -> None:
        super().__init__(workers)
        self.ran: list[Order] = []
        self._outcome = outcome or (lambda order: Outcome("ok", known_score(order.candidate), seconds=1.0))
        self._pending: deque[tuple[int, Order]] = deque()
        self._rng = np.random.default_rng(seed)

    def start(self, number: int, order: Order) -> None:
        self._pending.append((number, order))

    def collect(self) -> list[tuple[int, Outcome]]:
        self._pending.rotate(int(self._rng.integers(len(self._pending))))
        number, order = self._pending.popleft()
        self.ran.append(order)
        return [(number, self._outcome(order))]

    def shutdown(self) -> None:
        self._pending.clear()


def keys(trials: list[Trial]) -> list[tuple[str, int]]:
    return [(t.candidate.id, t.fidelity) for t in trials]


class StrategyContract:
    """Subclass it with a fixture ``make`` that gives a fresh one of yours each time it is called.

    ``job``: what it searches. ``score_of``: what a candidate is worth there. ``least``: so many of its 18 candidates
    are tried when there is no bound.
    """

    least = 18

    @pytest.fixture
    def make(self) -> Callable[[], Strategy]:
        raise NotImplementedError("a fixture `make` that gives the strategy")

    @pytest.fixture
    def job(self) -> Job:
        return job()

    def score_of(self, candidate: Candidate) -> float:
        return known_score(candidate)

    def look_up(self, workers: int = 1, outcome: Callable[[Order], Outcome] | None = None) -> LookUp:
        return LookUp(workers, outcome or (lambda order: Outcome("ok", self.score_of(order.candidate), seconds=1.0)))

    @pytest.fixture
    def run(self, make: Callable[[], Strategy], job: Job) -> Callable[..., list[Trial]]:
        """A search of so many trials."""

        def run(
            engine: LookUp | None = None, trials: int | None = 14, prior: Prior | None = None, **options: Any
        ) -> list[Trial]:
            budget = Budget(trials=trials, epochs=EPOCHS)
            engine = engine or self.look_up()
            return search(job, prior or Prior.uniform(job.axes), make(), engine, budget, seed=0, **options)

        return run

    @pytest.mark.parametrize("workers", [1, 3])
    def test_the_budget_of_trials_is_kept_and_nothing_is_trained_twice(self, run, workers):
        engine = self.look_up(workers)
        trials = run(engine)
        assert [t.number for t in trials] == list(range(14))
        assert len(set(keys(trials))) == len(engine.ran) == 14
        assert all(1 <= t.fidelity <= EPOCHS for t in trials)

    def test_a_spent_time_budget_stops_the_search(self, make, job):
        assert search(job, Prior.uniform(job.axes), make(), self.look_up(), Budget(seconds=0.0), seed=0) == []

    @pytest.mark.parametrize("workers", [1, 3])
    def test_the_same_seed_gives_the_same_trials(self, run, workers):
        assert keys(run(self.look_up(workers))) == keys(run(self.look_up(workers)))

    def test_a_small_space_ends_the_search_after_every_candidate(self, run):
        trials = run(trials=None)
        assert len(set(keys(trials))) == len(trials)
        assert len({t.candidate.id for t in trials}) >= self.least

    def test_candidates_hold_exactly_their_active_axes(self, run, job):
        assert all(Prior.uniform(job.axes).log_prob(t.candidate) > float("-inf") for t in run())

    @pytest.mark.parametrize("workers", [1, 3])
    @pytest.mark.parametrize("killed_after", [1, 6, 13])
    def test_a_killed_search_is_replayed_not_repeated(self, run, workers, killed_after):
        whole: list[Trial] = []
        reference = run(self.look_up(workers), finished=lambda trial, outcome: whole.append(trial))
        written: list[Trial] = []

        class Killed(BaseException):
            pass

        def write_then_die(trial, outcome):
            if len(written) == killed_after:
                raise Killed
            written.append(trial)

        with pytest.raises(Killed):
            run(self.look_up(workers), finished=write_then_die)
        assert written == whole[:killed_after]
        resumed = self.look_up(workers)
        trials = run(resumed, record=written)
        assert len(resumed.ran) == 14 - killed_after, "finished trials are not run again"
        assert not {(o.candidate.id, o.epochs) for o in resumed.ran} & set(keys(written))
        if workers == 1:
            assert trials == reference

    @pytest.mark.parametrize("workers", [1, 3])
    def test_more_budget_and_more_workers_keep_the_recorded_course(self, make, job, workers):
        """Shares of a budget are decisions too; and trainings that were cut end twice at the same epochs."""

        def outcome(order: Order) -> Outcome:
            cut = int(order.candidate.id[0], 16) % 2 == 0
            return Outcome("ok", self.score_of(order.candidate), seconds=1.0, cut=cut, epochs=1)

        record: list[Trial] = []
        first, more = Budget(8, 10.0, EPOCHS), Budget(16, 1000.0, EPOCHS)
        search(
            job, Prior.uniform(job.axes), make(), self.look_up(workers, outcome), first, seed=0,
            finished=lambda trial, outcome: record.append(trial),
        )  # fmt: skip
        heard: list[Trial] = []
        resumed = self.look_up(5, outcome)
        trials = search(
            job, Prior.uniform(job.axes), make(), resumed, more, seed=0, record=record,
            learn=lambda trial, running: heard.append(trial),
            attempts=[Attempt(0, first, workers)], spent=8.0 / workers,
        )  # fmt: skip
        known = len(record)  # a search may end before its budget does
        assert known >= 6 and heard[:known] == record, "told in the recorded order before anything new"
        assert len(resumed.ran) == 16 - known and [t.number for t in trials] == list(range(16))

    @pytest.mark.parametrize("fidelity", [EPOCHS, 2])
    def test_a_record_of_another_course_is_told_and_not_repeated(self, run, job, fidelity):
        rng = np.random.default_rng(7)
        chosen = list({(c := Prior.uniform(job.axes).sample(rng)).id: c for _ in range(9)}.values())[-5:]
        record = [Trial("toy", c, fidelity, 0, "ok", self.score_of(c), number=n) for n, c in enumerate(chosen)]
        record[1] = dataclasses.replace(record[1], status="failed", score=None)
        heard: list[Trial] = []
        resumed = self.look_up()
        trials = run(resumed, trials=12, record=record, learn=lambda trial, running: heard.append(trial))
        assert sorted((t for t in heard if t in record), key=lambda t: t.number) == record
        assert len({t.number for t in heard}) == len(heard), "each is told once"
        assert not {(o.candidate.id, o.epochs) for o in resumed.ran} & set(keys(record))
        assert len(trials) == 12 and len(resumed.ran) == 7

    @pytest.mark.parametrize(
        ("workers", "failures"), [(1, 0), (1, 5), (3, 1), (3, 5), (16, 0), (16, 5), (64, 1)]
    )  # fewer failures than workers, and more
    def test_any_number_of_workers_and_failures_at_the_start(self, run, workers, failures):
        ran: list[Order] = []

        def outcome(order: Order) -> Outcome:
            ran.append(order)
            if len(ran) <= failures:
                return Outcome("failed", error="planted")
            return Outcome("ok", self.score_of(order.candidate), seconds=1.0)

        trials = run(self.look_up(workers, outcome), trials=None)
        assert len(set(keys(trials))) == len(trials) == len(ran)
        assert len({t.candidate.id for t in trials}) >= self.least

    @pytest.mark.parametrize("status", ["failed", "timeout", "oom", "diverged", "skipped"])
    def test_failures_are_trials_and_the_search_goes_on(self, run, status):
        def outcome(order: Order) -> Outcome:
            if order.candidate.choices["learning_rate"] == 0.1:
                return Outcome(status, error="planted")
            return Outcome("ok", self.score_of(order.candidate))

        trials = run(self.look_up(outcome=outcome))
        assert len(trials) == 14
        assert {t.status for t in trials if t.candidate.choices["learning_rate"] == 0.1} == {status}

    def test_a_search_in_which_everything_fails_ends(self, run):
        trials = run(self.look_up(outcome=lambda order: Outcome("failed", error="planted")), trials=None)
        assert len(set(keys(trials))) == len(trials) > 0

    def test_the_portfolio_comes_first(self, run, job):
        rng = np.random.default_rng(5)
        listed = tuple({(c := Prior.uniform(job.axes).sample(rng)).id: c for _ in range(3)}.values())
        trials = run(prior=dataclasses.replace(Prior.uniform(job.axes), portfolio=listed))
        new = list(dict.fromkeys(t.candidate for t in trials))
        assert tuple(new[: len(listed)]) == listed
