"""The meta-learner beside a search: it hears of every trial, and thinks anew when enough is new.

    with Follow(learner, profile, axes, epochs, workers, beside=True) as follow:
        prior = follow.start(task, past)      # at once
        search(..., prior, learn=follow)      # hears of each trial; answers with a new prior, or None

``beside``: it thinks in a thread of its own, so that no worker waits for it. Which prior a proposal follows must
depend on the trials alone, never on the clock: a search that was killed is replayed. So a thought is followed when the
trainings that were told since it was begun took as long as thoughts may (``FIRST``, ``LATER``). On a machine that
thinks slower than that the search waits for the thought; ``waited`` says for how long.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self, TypeVar

from automl.types import Axes, Candidate, MetaLearner, Prior, Profile, Runs, Task, Trial

T = TypeVar("T")
log = logging.getLogger(__name__)

SHARE = 1 / 8  # of the trials that it knew when it last thought: by judgement, see ``Follow``
# By judgement: with less of them the search waits for a thought on a slower machine, with more it follows an older one.
FIRST = 4.0  # seconds of training, per worker, in which past runs are read and learned from
LATER = 0.5  # the same for a thought when it knows them


@dataclass
class Follow:
    """A prediction takes some tenths of a second of a machine that is busy with trainings. After 60 trials one more
    changes little, so the number of predictions grows with the logarithm of the trials. It depends on their count
    alone: a search that is replayed gets the same priors at the same trials.

    ``epochs``: of a training of full length. A shorter one has less time; that it did not fit says nothing of the full
    one, and the learner, which takes a failure for the worst there is, does not hear of it. ``workers``: of the search;
    a function says those that a trial ran on, as a search that is resumed may have had others then (``nas.session``).
    ``waited``: seconds in all.
    """

    learner: MetaLearner
    profile: Profile
    axes: Axes
    epochs: int
    workers: int | Callable[[], int] = 1
    beside: bool = False
    told: int = 0
    last: int = 0
    waited: float = 0.0
    _thread: ThreadPoolExecutor | None = field(default=None, init=False, repr=False)
    _thoughts: deque[tuple[float, Future[Prior | None]]] = field(default_factory=deque, init=False, repr=False)
    _trained: float = field(default=0.0, init=False, repr=False)
    _first: Future[Prior | None] | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> Self:
        if self.beside:
            self._thread = ThreadPoolExecutor(1, "meta-learner")
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def start(self, task: Task, past: Callable[[], Runs]) -> Prior:
        """Where the search starts. A learner that can ``begin`` does so at once, and learns from the past meanwhile."""
        begin = getattr(self.learner, "begin", None) if self._thread is not None else None
        prior = None if begin is None else begin(task, self.profile, self.axes)
        if prior is None:
            return self.learner.fit(past()).predict(self.profile, self.axes)
        self._first = self._think(lambda: self.learner.fit(past()).predict(self.profile, self.axes), FIRST)
        return prior

    @property
    def learned(self) -> Prior | None:
        """What the past runs said of a task that was begun before they were read; None before that is known."""
        return self._first.result() if self._first is not None and self._first.done() else None

    def __call__(self, trial: Trial, running: Sequence[Candidate] = ()) -> Prior | None:
        """``running``: candidates that were begun and have told nothing yet; to the learner they are as good as run."""
        short = trial.status == "timeout" and trial.fidelity < self.epochs
        self.told += 1
        anew = self.told - self.last >= SHARE * self.last
        self.last = self.told if anew else self.last
        told, now = [] if short else [trial], list(running)
        if self._thread is None:
            self.learner.update(told, now)
            return self.learner.predict(self.profile, self.axes) if anew else None
        self._trained += trial.seconds / (self.workers if isinstance(self.workers, int) else self.workers())
        if anew:
            self._think(lambda: (self.learner.update(told, now), self.learner.predict(self.profile, self.axes))[1])
        else:
            self._thread.submit(_tried, lambda: self.learner.update(told, now))
        return self._thought()

    def _think(self, how: Callable[[], Prior], seconds: float = LATER) -> Future[Prior | None]:
        assert self._thread is not None
        thought = self._thread.submit(_tried, how)
        self._thoughts.append((self._trained + seconds, thought))
        return thought

    def _thought(self) -> Prior | None:
        """The newest prior that is to be followed by now, None where that is none."""
        found: Prior | None = None
        while self._thoughts and self._thoughts[0][0] <= self._trained:
            _, future = self._thoughts.popleft()
            began = time.monotonic()
            found = future.result() or found
            self.waited += time.monotonic() - began
        return found


def _tried(how: Callable[[], T]) -> T | None:
    """What it returns; None where it fails: a search that has begun goes on by what it knows."""
    try:
        return how()
    except Exception as error:  # a store that is gone, code of others
        log.warning("the meta-learner could not think: %s: %s", type(error).__name__, error)
        return None
