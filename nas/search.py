"""The loop: prior -> NNI strategy <-> engine -> trials."""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

from collections.abc import Callable, Sequence

from nni.nas.space import ModelStatus
from nni.nas.strategy.base import Strategy

from automl.types import Attempt, Budget, Candidate, Prior, Trial
from nas.engines.base import Engine
from nas.execution import Execution
from nas.job import Job, Outcome
from nas.session import Session
from nas.space import Proposal, SearchSpace


def search(
    job: Job,
    prior: Prior,
    strategy: Strategy,
    engine: Engine,
    budget: Budget,
    *,
    seed: int,
    portfolio: int = 10,
    record: Sequence[Trial] = (),
    attempts: Sequence[Attempt] = (),
    spent: float | None = None,
    room: Callable[[], float | None] | None = None,
    begun: Callable[[Session], None] = lambda session: None,
    finished: Callable[[Trial, Outcome | None], None] = lambda trial, outcome: None,
    learn: Callable[[Trial, Sequence[Candidate]], Prior | None] = lambda trial, running: None,
) -> list[Trial]:
    """Search until the budget is spent or the space is exhausted; every trial, in the order of their proposals.

    ``portfolio``: how many of the prior's own candidates go first.
    ``record``: trials of the same search from before it was stopped; they are replayed, not trained again.
    ``attempts``, ``spent``, ``room``: see ``nas.session.Session``.
    ``begun``: hears of the session. ``finished``: hears of each new trial the moment it ends. ``learn``: hears of every
    trial as the strategy does, and of the candidates that are running then, and may answer with a new prior, which the
    strategy follows from its next proposal on.
    """
    space = SearchSpace(prior, portfolio)
    trials = {trial.number: trial for trial in record}

    def learned(trial: Trial) -> None:
        trials[trial.number] = trial
        running = [m for m in execution.list_models(ModelStatus.Training) if isinstance(m, Proposal)]
        new = learn(trial, [m.candidate for m in running if m.number != trial.number])
        if new is not None:
            space.follow(new)

    engine.ready(job)
    session = Session(
        job,
        budget,
        engine.workers,
        seed=seed,
        record=record,
        attempts=attempts,
        spent=spent,
        trial_seconds=engine.trial_seconds,
        room=room,
        stopped=lambda: engine.stopped,
    )
    begun(session)
    execution = Execution(engine, session, space.propose, finished, learned)
    strategy(space, execution)
    execution.wait_models()  # some strategies return while their last models still train
    return [trials[number] for number in sorted(trials)]
