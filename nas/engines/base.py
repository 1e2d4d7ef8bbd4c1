"""What every engine shares: numbering, budget, events in a fixed order, and going on after a crash.

An engine runs at most ``workers`` trainings at once. NNI's strategies ask ``idle_worker_available`` before each
proposal; it blocks until a worker is free (NNI would poll once a second) and hands over **one** finished result at a
time. So what a strategy has seen when it proposes its n-th candidate depends only on the order in which trainings
finished, and a killed search is replayed exactly: the same strategy runs again from its seed, and what the store
already holds is handed over in the recorded order instead of being trained again.

The n-th proposal is the trial of that number, and is decided by the budget and the workers of then (``Attempt``): a
search may be taken up with more of both. Where the n-th proposal is another candidate than the record's (other code),
the course is lost: the rest of the record is told to the strategy as it stands, and the search goes on from there.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
from nni.nas.space import ExecutableModelSpace, ModelStatus

from automl.types import Attempt, Budget, Candidate, Trial
from nas.engines.states import States
from nas.job import Job, Order, Outcome
from nas.space import Proposal

FULL = 0.5  # of the budget's seconds: what one training of full length may take
LEAST = 0.05  # what the shortest may take, and
LEAST_SECONDS = 2.0  # how little that may be


class Engine(ExecutionEngine):
    """Base of all engines: implement ``_start``, ``_collect`` and ``shutdown``.

    ``workers``: trainings at once. ``trial_seconds``: wall-time limit of one training, None for the budget's alone.
    ``stopped``: see ``stop``.
    """

    def __init__(self, workers: int, trial_seconds: float | None = None) -> None:
        super().__init__()
        if workers < 1:
            raise ValueError(f"an engine needs at least one worker, got {workers}")
        self.workers = workers
        self.trial_seconds = trial_seconds
        self._started: float | None = None
        self.stopped = False

    # --- for subclasses

    def warm_up(self, wait: bool = False) -> None:
        """Begin what takes long (processes, imports) before the data is ready. Optional.

        ``wait``: until all of it is done; for benchmarks, whose first search should not differ from the others.
        """

    @abstractmethod
    def _start(self, number: int, order: Order) -> None:
        """Begin or queue one training; must not block on it."""

    @abstractmethod
    def _collect(self) -> Sequence[tuple[int, Outcome | None]]:
        """Wait until at least one started training has ended; all that have, in the order in which they ended.

        None: it was given up before it came to anything, since the search ends; no trial is made of it.
        """

    # --- for nas.search

    def open(
        self,
        job: Job,
        budget: Budget,
        *,
        seed: int,
        propose: Callable[[Candidate, int], Proposal],
        record: Sequence[Trial] = (),
        attempts: Sequence[Attempt] = (),
        spent: float | None = None,
        finished: Callable[[Trial, Outcome | None], None] = lambda trial, outcome: None,
        learned: Callable[[Trial], None] = lambda trial: None,
    ) -> None:
        """Take up a search.

        ``propose``: makes the model of a candidate and its epochs, for trials that the strategy does not ask for.
        ``record``: the search's trials from before it was stopped, in the order in which they finished.
        ``attempts``: how those were decided, oldest first; empty: as this one.
        ``spent``: seconds of its clock when it was stopped; None: about what its trials took.
        ``finished``: called with each new trial the moment it ends (the place to write it down).
        ``learned``: called with each trial, recorded ones too, as the strategy hears of it.
        """
        self.job, self.seed, self._budget = job, seed, budget
        self._propose, self._finished, self._learned = propose, finished, learned
        self._record = {t.number: t for t in record}  # what no proposal has met yet
        self._places = {t.number: place for place, t in enumerate(record)}
        self._next = max(self._places, default=-1) + 1  # a number that no trial has
        now = Attempt(self._next if attempts else 0, budget, self.workers)
        self._attempts = deque([*(a for a in attempts if a.first < now.first), now])
        self._met: dict[int, tuple[Proposal, Trial]] = {}  # place in the record -> what is to be told
        self._untold: deque[Trial] = deque()  # of a course that was lost
        self._elsewhere: dict[tuple[str, int], Trial] = {}  # the same, by candidate and fidelity
        self._lost = False
        self._running: dict[int, Proposal] = {}
        self._ready: deque[tuple[Proposal, Trial]] = deque()
        self._states = States()
        self._proposals = 0
        self._count = len(record)
        self._told = 0.0  # seconds of the trials that the strategy has heard of, per worker of then
        self._heard: set[int] = set()
        if spent is None:
            spent = sum(t.seconds for t in record) / self.workers
        self._started = time.monotonic() - spent

    def stop(self) -> None:
        """End the search as if its budget were spent: nothing new begins, what is at work is given up. For good.

        May be called from a signal handler.
        """
        self.stopped = True

    @property
    def budget(self) -> Budget:
        """What the next proposal is decided by: in a replay the budget of then."""
        return self._decides().budget

    @property
    def share_spent(self) -> float:
        """Of the budget's seconds, by the trials told so far: the same in a replay. 0 without a limit."""
        seconds = self.budget.seconds
        return 0.0 if seconds is None else self._told / max(seconds, 1e-9)

    @property
    def seconds_spent(self) -> float:
        """Since the search began, when a worker was up; with those of earlier attempts. 0 before."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    @property
    def seconds_left(self) -> float | None:
        """Of the budget; None without a limit, 0 in a search that was stopped."""
        if self.stopped:
            return 0.0
        if self._budget.seconds is None:
            return None
        return self._budget.seconds - self.seconds_spent

    # --- NNI's side

    def submit_models(self, *models: ExecutableModelSpace) -> None:
        for model in models:
            if not isinstance(model, Proposal):
                raise TypeError(f"this engine runs Proposals of our SearchSpace, got {type(model).__name__}")
            model.status = ModelStatus.Training
            epochs = model.fidelity or self._budget.epochs
            place = self._proposals
            self._proposals += 1
            if (trial := self._recorded(place, model.candidate, epochs)) is not None:
                model.number = trial.number
                self._met[self._places[trial.number]] = model, trial
                continue
            # A replay meets its own numbers again; one that went another way must not reuse a recorded number.
            model.number = self._next if self._lost else place
            self._next = max(self._next, model.number + 1)
            self._count += 1
            self._running[model.number] = model
            start = self._states.get(model.candidate)
            order = Order(
                model.candidate, epochs, self.seed, self._limit(epochs), start, keep=epochs < self._budget.epochs
            )
            self._start(model.number, order)

    def _recorded(self, number: int, candidate: Candidate, epochs: int) -> Trial | None:
        """The trial that this proposal was in the record, or None when it is to be trained.

        Its number tells: a training that was cut stands at the epochs that it reached, so one candidate may have ended
        twice at the same. Candidate and fidelity only count once the course is lost.
        """
        if not self._lost:
            if number not in self._record:
                return None  # it was at work when the search was stopped, or the search never came so far
            if self._record[number].candidate.id == candidate.id:
                return self._record.pop(number)
            self._lost = True
            self._untold.extend(self._record.values())
            self._elsewhere = {(t.candidate.id, t.fidelity): t for t in self._untold}
            self._record.clear()
        trial = self._elsewhere.pop((candidate.id, epochs), None)
        if trial in self._untold:
            self._untold.remove(trial)
        return trial

    def _limit(self, epochs: int) -> float | None:
        """Seconds that a training to so many epochs may take.

        No single training may eat the budget: a long one at most half of it, a short one its share of that. Without
        this, one large network on a large data set was a whole search.
        """
        left = [s for s in (self.trial_seconds, self.seconds_left) if s is not None]
        if self._budget.seconds is not None:
            share = max(FULL * epochs / self._budget.epochs, LEAST)
            left.append(max(share * self._budget.seconds, LEAST_SECONDS))
        return max(min(left), 0.1) if left else None

    def list_models(self, status: ModelStatus | None = None) -> Iterable[ExecutableModelSpace]:
        """Those under way; what ended is forgotten, so that a long search holds no more than a short one."""
        models = [*self._running.values(), *(model for model, _ in (*self._met.values(), *self._ready))]
        return [m for m in models if status is None or m.status == status]

    def idle_worker_available(self) -> bool:
        """Block until a worker is free or the budget is spent."""
        while self._untold:
            trial = self._untold.popleft()
            model = self._propose(trial.candidate, trial.fidelity)
            model.number = trial.number
            self._dispatch(model, trial)
        while self._busy() >= self._decides().workers and self.budget_available() and self.next_result():
            pass
        return self.budget_available()

    def budget_available(self) -> bool:
        left, trials = self.seconds_left, self._budget.trials
        return (trials is None or self._count < trials) and (left is None or left > 0)

    def wait_models(self, *models: ExecutableModelSpace) -> None:
        while (not models or any(not m.status.completed() for m in models)) and self.next_result():
            pass

    # --- for our strategies

    def next_result(self) -> bool:
        """Hand one result to the strategy: the recorded ones first, in their order, then new ones as they end.

        Waits for it. False when nothing is under way.
        """
        if self._met:
            self._dispatch(*self._met.pop(min(self._met)))
            return True
        while not self._ready:
            if not self._running:
                return False
            for number, outcome in self._collect():
                model = self._running.pop(number)
                if outcome is None:
                    model.status = ModelStatus.Failed
                    self._count -= 1
                    continue
                trial = self._trial(model, outcome)
                self._keep(model, outcome)
                self._finished(trial, outcome)
                self._ready.append((model, trial))
        self._dispatch(*self._ready.popleft())
        return True

    # --- inside

    def _busy(self) -> int:
        return len(self._running) + len(self._met) + len(self._ready)

    def _decides(self) -> Attempt:
        """The attempt by whose budget and workers the next proposal is decided."""
        while len(self._attempts) > 1 and (self._lost or self._attempts[1].first <= self._proposals):
            self._attempts.popleft()
        return self._attempts[0]

    def _keep(self, model: Proposal, outcome: Outcome) -> None:
        """Hold the state of a training that may go on, and forget that of one that is complete or failed."""
        if (model.fidelity or self._budget.epochs) >= self._budget.epochs or outcome.status != "ok":
            self._states.drop(model.candidate)
        elif outcome.resume is not None:
            self._states.put(model.candidate, outcome.resume)

    def _trial(self, model: Proposal, outcome: Outcome) -> Trial:
        return Trial(
            task=self.job.task.name,
            candidate=model.candidate,
            fidelity=outcome.epochs if outcome.cut else model.fidelity or self._budget.epochs,
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
        model.seconds = trial.seconds
        if trial.number not in self._heard:
            self._heard.add(trial.number)
            self._told += trial.seconds / self._decides().workers
            self._learned(trial)
        if trial.status == "ok" and trial.score is not None:
            self.dispatch_model_event(FinalMetricEvent(model, trial.score))
            self.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Trained))
        else:
            self.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Failed))
