"""NNI's side of a search: its events in a fixed order, and no more trainings than there are workers.

NNI's strategies ask ``idle_worker_available`` before each proposal; it blocks until a worker is free (NNI would poll
once a second) and hands over **one** finished result at a time. So what a strategy has seen when it proposes its n-th
candidate depends only on the order in which trainings finished, and a killed search can be replayed (``nas.session``).
"""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

from collections import deque
from collections.abc import Callable, Iterable

from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
from nni.nas.space import ExecutableModelSpace, ModelStatus

from automl.types import Candidate, Trial
from nas.engines.base import Engine
from nas.job import Outcome
from nas.session import Session
from nas.space import Proposal


class Execution(ExecutionEngine):
    """Runs what a strategy proposes on an engine's workers.

    ``propose``: makes the model of a candidate and its epochs, for trials that the strategy does not ask for.
    ``finished``: called with each new trial the moment it ends (the place to write it down).
    ``learned``: called with each trial, recorded ones too, as the strategy hears of it.
    """

    def __init__(
        self,
        engine: Engine,
        session: Session,
        propose: Callable[[Candidate, int], Proposal],
        finished: Callable[[Trial, Outcome | None], None] = lambda trial, outcome: None,
        learned: Callable[[Trial], None] = lambda trial: None,
    ) -> None:
        super().__init__()
        self.engine, self.session = engine, session
        self._propose, self._finished, self._learned = propose, finished, learned
        self._met: dict[int, tuple[Proposal, Trial]] = {}  # place in the record -> what is to be told
        self._running: dict[int, Proposal] = {}
        self._ready: deque[tuple[Proposal, Trial]] = deque()
        engine.left = lambda: session.seconds_left

    # --- NNI's side

    def submit_models(self, *models: ExecutableModelSpace) -> None:
        for model in models:
            if not isinstance(model, Proposal):
                raise TypeError(f"engines run Proposals of our SearchSpace, got {type(model).__name__}")
            model.status = ModelStatus.Training
            epochs = self.session.epochs(model.fidelity)
            model.number, trial = self.session.number(model.candidate, epochs)
            if trial is not None:
                self._met[self.session.place(trial)] = model, trial
                continue
            self._running[model.number] = model
            self.engine.start(model.number, self.session.order(model.candidate, epochs))

    def list_models(self, status: ModelStatus | None = None) -> Iterable[ExecutableModelSpace]:
        """Those under way; what ended is forgotten, so that a long search holds no more than a short one."""
        models = [*self._running.values(), *(model for model, _ in (*self._met.values(), *self._ready))]
        return [m for m in models if status is None or m.status == status]

    def idle_worker_available(self) -> bool:
        """Block until a worker is free or the budget is spent."""
        while self.session.untold:
            trial = self.session.untold.popleft()
            model = self._propose(trial.candidate, trial.fidelity)
            model.number = trial.number
            self._dispatch(model, trial)
        while self._busy() >= self.session.workers and self.budget_available() and self.next_result():
            pass
        return self.budget_available()

    def budget_available(self) -> bool:
        return self.session.open

    def wait_models(self, *models: ExecutableModelSpace) -> None:
        while (not models or any(not m.status.completed() for m in models)) and self.next_result():
            pass

    def shutdown(self) -> None:
        """The engine is whoever's who made it."""

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
            for number, outcome in self.engine.collect():
                model = self._running.pop(number)
                if outcome is None:
                    model.status = ModelStatus.Failed
                    self.session.withdrawn()
                    continue
                trial = self.session.trial(number, model.candidate, self.session.epochs(model.fidelity), outcome)
                self._finished(trial, outcome)
                self._ready.append((model, trial))
        self._dispatch(*self._ready.popleft())
        return True

    # --- inside

    def _busy(self) -> int:
        return len(self._running) + len(self._met) + len(self._ready)

    def _dispatch(self, model: Proposal, trial: Trial) -> None:
        model.seconds = trial.seconds
        if self.session.told(trial):
            self._learned(trial)
        if trial.status == "ok" and trial.score is not None:
            self.dispatch_model_event(FinalMetricEvent(model, trial.score))
            self.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Trained))
        else:
            self.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Failed))
