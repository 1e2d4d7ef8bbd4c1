"""One search: the numbers of its trials, its record, its budget, its clock.

Engines run what a session orders, strategies read what is decided from it. A killed search is replayed exactly: the
same strategy runs again from its seed, and what the store already holds is handed over in the recorded order instead of
being trained again.

The n-th proposal is the trial of that number, and is decided by the budget and the workers of then (``Attempt``): a
search may be taken up with more of both. Where the n-th proposal is another candidate than the record's (other code),
the course is lost: the rest of the record is told to the strategy as it stands, and the search goes on from there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from automl.types import Attempt, Budget, Candidate, Trial
from nas.job import Job, Order, Outcome
from nas.states import States
from nas.time import training_limit


class Session:
    """``record``: the search's trials from before it was stopped, in the order in which they finished.

    ``attempts``: how those were decided, oldest first; empty: as this one. ``spent``: seconds of its clock when it was
    stopped; None: about what its trials took. ``trial_seconds``: limit of one training; None: the budget's alone.
    ``room``: seconds that the run leaves to the search now, whatever it has spent; ``budget`` is what it plans by then.
    None: the budget's.
    ``stopped``: whether the search is to end as if its budget were spent.
    """

    def __init__(
        self,
        job: Job,
        budget: Budget,
        workers: int,
        *,
        seed: int,
        record: Sequence[Trial] = (),
        attempts: Sequence[Attempt] = (),
        spent: float | None = None,
        trial_seconds: float | None = None,
        room: Callable[[], float | None] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.job, self.seed, self.trial_seconds = job, seed, trial_seconds
        self._asked, self._room, self._stopped = budget, room, stopped
        self._record = {t.number: t for t in record}  # what no proposal has met yet
        self._places = {t.number: place for place, t in enumerate(record)}
        self._next = max(self._places, default=-1) + 1  # a number that no trial has
        now = Attempt(self._next if attempts else 0, budget, workers)
        self._attempts = deque([*(a for a in attempts if a.first < now.first), now])
        self.untold: deque[Trial] = deque()  # of a course that was lost
        self._elsewhere: dict[tuple[str, int], Trial] = {}  # the same, by candidate and fidelity
        self._lost = False
        self._states = States()
        self._proposals = 0
        self._count = len(record)
        self._told = 0.0  # seconds of the trials that the strategy has heard of, per worker of then
        self._heard: set[int] = set()
        if spent is None:
            spent = sum(t.seconds for t in record) / workers
        self._began = time.monotonic() - spent

    # --- what decides

    @property
    def budget(self) -> Budget:
        """What the next proposal is decided by: in a replay the budget of then."""
        return self._decides().budget

    @property
    def workers(self) -> int:
        """The same of workers."""
        return self._decides().workers

    @property
    def share_spent(self) -> float:
        """Of the budget's seconds, by the trials told so far: the same in a replay. 0 without a limit."""
        seconds = self.budget.seconds
        return 0.0 if seconds is None else self._told / max(seconds, 1e-9)

    @property
    def seconds_spent(self) -> float:
        """Since the search began, with those of earlier attempts."""
        return time.monotonic() - self._began

    @property
    def stopped(self) -> bool:
        return self._stopped()

    @property
    def seconds_left(self) -> float | None:
        """Of the budget; None without a limit, 0 in a search that was stopped."""
        if self.stopped:
            return 0.0
        if self._room is not None:
            return self._room()
        return None if self._asked.seconds is None else self._asked.seconds - self.seconds_spent

    @property
    def open(self) -> bool:
        """Whether the budget leaves room for another trial."""
        left, trials = self.seconds_left, self._asked.trials
        return (trials is None or self._count < trials) and (left is None or left > 0)

    # --- numbers and the record

    def epochs(self, fidelity: int | None) -> int:
        """Of a proposal; None is the full length."""
        return fidelity or self._asked.epochs

    def number(self, candidate: Candidate, epochs: int) -> tuple[int, Trial | None]:
        """The next proposal's number, and the trial that it was in the record; None where it is to be trained."""
        place = self._proposals
        self._proposals += 1
        if (trial := self._recorded(place, candidate, epochs)) is not None:
            return trial.number, trial
        # A replay meets its own numbers again; one that went another way must not reuse a recorded number.
        number = self._next if self._lost else place
        self._next = max(self._next, number + 1)
        self._count += 1
        return number, None

    def place(self, trial: Trial) -> int:
        """Where a recorded trial stands in the order in which they finished."""
        return self._places[trial.number]

    def _recorded(self, number: int, candidate: Candidate, epochs: int) -> Trial | None:
        """Its number tells: a training that was cut stands at the epochs that it reached, so one candidate may have
        ended twice at the same. Candidate and fidelity only count once the course is lost.
        """
        if not self._lost:
            if number not in self._record:
                return None  # it was at work when the search was stopped, or the search never came so far
            if self._record[number].candidate.id == candidate.id:
                return self._record.pop(number)
            self._lost = True
            self.untold.extend(self._record.values())
            self._elsewhere = {(t.candidate.id, t.fidelity): t for t in self.untold}
            self._record.clear()
        trial = self._elsewhere.pop((candidate.id, epochs), None)
        if trial in self.untold:
            self.untold.remove(trial)
        return trial

    # --- trainings

    def order(self, candidate: Candidate, epochs: int) -> Order:
        """The training of a new number. It goes on from the longest of its candidate that can be gone on from."""
        seconds = training_limit(self._asked, epochs, self.seconds_left, self.trial_seconds)
        start = self._states.get(candidate)
        return Order(candidate, epochs, self.seed, seconds, start, keep=epochs < self._asked.epochs)

    def trial(self, number: int, candidate: Candidate, epochs: int, outcome: Outcome) -> Trial:
        """What came of an order. Its state is kept where it may go on, and forgotten where it is complete or failed."""
        if epochs >= self._asked.epochs or outcome.status != "ok":
            self._states.drop(candidate)
        elif outcome.resume is not None:
            self._states.put(candidate, outcome.resume)
        return Trial(
            task=self.job.task.name,
            candidate=candidate,
            fidelity=outcome.epochs if outcome.cut else epochs,
            seed=self.seed,
            status=outcome.status,
            score=outcome.score,
            curve=outcome.curve,
            seconds=outcome.seconds,
            parameters=outcome.parameters,
            latency_ms=outcome.latency_ms,
            error=outcome.error,
            number=number,
        )

    def withdrawn(self) -> None:
        """An order was given up before it came to anything: no trial is made of it."""
        self._count -= 1

    def told(self, trial: Trial) -> bool:
        """The strategy hears of a trial now; False when it has before."""
        if trial.number in self._heard:
            return False
        self._heard.add(trial.number)
        self._told += trial.seconds / self.workers
        return True

    def _decides(self) -> Attempt:
        """The attempt by whose budget and workers the next proposal is decided."""
        while len(self._attempts) > 1 and (self._lost or self._attempts[1].first <= self._proposals):
            self._attempts.popleft()
        return self._attempts[0]
