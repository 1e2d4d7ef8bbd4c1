"""What every engine shares: numbering, budget, events in a fixed order, and going on after a crash.

An engine runs at most ``workers`` trainings at once. NNI's strategies ask ``idle_worker_available`` before each
proposal; it blocks until a worker is free (NNI would poll once a second) and hands over **one** finished result at a
time. So what a strategy has seen when it proposes its n-th candidate depends only on the order in which trainings
finished, and a killed search is replayed exactly: the same strategy runs again from its seed, and what the store
already holds is handed over in the recorded order instead of being trained again.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
from nni.nas.space import ExecutableModelSpace, ModelStatus

from automl.types import Budget, Trial
from nas.engines.states import States
from nas.evaluate import Job, Order, Outcome
from nas.space import Proposal

FULL = 0.5  # of the budget's seconds: what one training of full length may take
LEAST = 0.05  # what the shortest may take, and
LEAST_SECONDS = 2.0  # how little that may be


class Engine(ExecutionEngine):
    """Base of all engines: implement ``_start``, ``_collect`` and ``shutdown``.

    ``workers``: trainings at once. ``trial_seconds``: wall-time limit of one training, None for the budget's alone.
    """

    def __init__(self, workers: int, trial_seconds: float | None = None) -> None:
        super().__init__()
        if workers < 1:
            raise ValueError(f"an engine needs at least one worker, got {workers}")
        self.workers = workers
        self.trial_seconds = trial_seconds
        self._started: float | None = None

    # --- for subclasses

    def warm_up(self, wait: bool = False) -> None:
        """Begin what takes long (processes, imports) before the data is ready. Optional.

        ``wait``: until all of it is done; for benchmarks, whose first search should not differ from the others.
        """

    @abstractmethod
    def _start(self, number: int, order: Order) -> None:
        """Begin or queue one training; must not block on it."""

    @abstractmethod
    def _collect(self) -> list[tuple[int, Outcome]]:
        """Wait until at least one started training has ended; all that have, in the order in which they ended."""

    # --- for nas.search

    def open(
        self,
        job: Job,
        budget: Budget,
        *,
        seed: int,
        record: Sequence[Trial] = (),
        finished: Callable[[Trial, Outcome | None], None] = lambda trial, outcome: None,
        learned: Callable[[Trial], None] = lambda trial: None,
    ) -> None:
        """Take up a search.

        ``record``: its trials from before a crash, in the order in which they finished.
        ``finished``: called with each new trial the moment it ends (the place to write it down).
        ``learned``: called with each trial, recorded ones too, as the strategy hears of it.
        """
        self.job, self.budget, self.seed = job, budget, seed
        self._finished, self._learned = finished, learned
        self._record = {(t.candidate.id, t.fidelity): t for t in record}
        self._at = {t.number: (t.candidate.id, t.fidelity) for t in record}
        self._taken = {t.number for t in record}
        self._replay: deque[tuple[str, int]] = deque((t.candidate.id, t.fidelity) for t in record)
        self._recorded: dict[tuple[str, int], Proposal] = {}
        self._running: dict[int, Proposal] = {}
        self._ready: deque[tuple[Proposal, Trial]] = deque()
        self._models: list[Proposal] = []
        self._states = States()
        self._count = 0
        self._told = 0.0  # seconds of the trials that the strategy has heard of
        spent = sum(t.seconds for t in record) / self.workers
        self._started = time.monotonic() - spent

    @property
    def share_spent(self) -> float:
        """Of the budget's seconds, by the trials told so far: the same in a replay. 0 without a limit."""
        if self.budget.seconds is None:
            return 0.0
        return self._told / self.workers / max(self.budget.seconds, 1e-9)

    @property
    def seconds_spent(self) -> float:
        """Since the search began, when a worker was up; with those of earlier attempts. 0 before."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    @property
    def seconds_left(self) -> float | None:
        """Of the budget; None without a limit."""
        if self.budget.seconds is None:
            return None
        return self.budget.seconds - self.seconds_spent

    # --- NNI's side

    def submit_models(self, *models: ExecutableModelSpace) -> None:
        for model in models:
            if not isinstance(model, Proposal):
                raise TypeError(f"this engine runs Proposals of our SearchSpace, got {type(model).__name__}")
            model.status = ModelStatus.Training
            self._count += 1
            self._models.append(model)
            key = (model.candidate.id, model.fidelity or self.budget.epochs)
            # In a replay the recorded number tells which trial this is, also one whose time was up before its length.
            place = self._at.get(self._count - 1)
            if place is not None and place[0] == model.candidate.id and place in self._record:
                key = place
            if key in self._record:
                model.number = self._record[key].number
                self._recorded[key] = model
                continue
            # A replay meets its own numbers again; one that went another way must not reuse a recorded number.
            model.number = self._count - 1
            if model.number in self._taken:
                model.number = max(self._taken) + 1
            self._taken.add(model.number)
            self._running[model.number] = model
            seconds = self._limit(key[1])
            start = self._states.get(model.candidate)
            order = Order(model.candidate, key[1], self.seed, seconds, start, keep=key[1] < self.budget.epochs)
            self._start(model.number, order)

    def _limit(self, epochs: int) -> float | None:
        """Seconds that a training to so many epochs may take.

        No single training may eat the budget: a long one at most half of it, a short one its share of that. Without
        this, one large network on a large data set was a whole search.
        """
        left = [s for s in (self.trial_seconds, self.seconds_left) if s is not None]
        if self.budget.seconds is not None:
            share = max(FULL * epochs / self.budget.epochs, LEAST)
            left.append(max(share * self.budget.seconds, LEAST_SECONDS))
        return max(min(left), 0.1) if left else None

    def list_models(self, status: ModelStatus | None = None) -> Iterable[ExecutableModelSpace]:
        return [m for m in self._models if status is None or m.status == status]

    def idle_worker_available(self) -> bool:
        """Block until a worker is free or the budget is spent."""
        while len(self._running) + len(self._recorded) + len(self._ready) >= self.workers and self.budget_available():
            self._deliver()
        return self.budget_available()

    def budget_available(self) -> bool:
        left = self.seconds_left
        return (self.budget.trials is None or self._count < self.budget.trials) and (left is None or left > 0)

    def wait_models(self, *models: ExecutableModelSpace) -> None:
        for model in models or tuple(self._models):
            while not model.status.completed():
                self._deliver()

    # --- inside

    def _deliver(self) -> None:
        """Hand one result to the strategy: the recorded ones first, in their order, then new ones as they end."""
        for key in self._replay:
            if key in self._recorded:
                self._replay.remove(key)
                self._dispatch(self._recorded.pop(key), self._record.pop(key))
                return
        while not self._ready:
            for number, outcome in self._collect():
                model = self._running.pop(number)
                trial = self._trial(model, outcome)
                self._keep(trial, outcome)
                self._finished(trial, outcome)
                self._ready.append((model, trial))
        self._dispatch(*self._ready.popleft())

    def _keep(self, trial: Trial, outcome: Outcome) -> None:
        """Hold the state of a training that may go on, and forget that of one that is complete."""
        if trial.fidelity >= self.budget.epochs:
            self._states.drop(trial.candidate)
        elif outcome.resume is not None:
            self._states.put(trial.candidate, outcome.resume)

    def _trial(self, model: Proposal, outcome: Outcome) -> Trial:
        return Trial(
            task=self.job.task.name,
            candidate=model.candidate,
            fidelity=outcome.epochs if outcome.cut else model.fidelity or self.budget.epochs,
            seed=self.seed,
            status=outcome.status,
            score=outcome.score,
            curve=outcome.curve,
            seconds=outcome.seconds,
            parameters=outcome.parameters,
            latency_ms=outcome.latency_ms,
            error=outcome.error,
            number=model.number,
        )

    def _dispatch(self, model: Proposal, trial: Trial) -> None:
        self._told += trial.seconds
        model.seconds = trial.seconds
        self._learned(trial)
        if trial.status == "ok" and trial.score is not None:
            self.dispatch_model_event(FinalMetricEvent(model, trial.score))
            self.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Trained))
        else:
            self.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Failed))
