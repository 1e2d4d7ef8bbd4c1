"""Every rule of time above a training, each with its reason.

``budget.seconds`` is the whole of a run, as a watch sees it: from the first look at the data to the bundle on disk.
The search gets of it what reading the data took and what follows the search will take leave (``Clock.for_search``).
One training gets a limit (``training_limit``), which it keeps itself, batch by batch (``automl.training.deadline``);
one that hangs is stopped from outside (``patience``).
"""

from __future__ import annotations

import time
from dataclasses import replace

from automl.types import Budget, Task

# --- the run

SEARCHED = 0.8
"""Share of what reading and export leave of the budget that is searched before anything is kept for training the chosen
networks once more. As a share of the whole budget it left those trainings nothing in a run of a minute, and where rows
are many they are worth more than the last of the search (docs/benchmarks.md, "Training the chosen networks")."""
PLANNED = 0.9
"""Share by which a strategy plans: halfway, as last trainings may take all of their share or next to nothing. With less
what they do not take is lost, as a strategy ends when its plan does."""
LEAST_SEARCH = 0.5
"""Share that is searched whatever else takes long: a budget of seconds would all go to reading otherwise. By judgement:
where it decides, the run is late rather than its search short."""
EXPORT, EXPORT_MEMBER = 2.0, 0.4
"""Seconds of an export, of all that a bundle holds beside its graph too, and more for each member of the ensemble. By
judgement, for two cores: with too few a run is late (``+experiment=bench/kept`` tells), too many are missed in the
search."""
ANSWERED = 500
"""Rows, beside those of the test split, that the chosen networks answer after the search: to be compared with what was
judged (``SAME_ROWS`` of ``experiments.solve.networks``), and their graph with them (``automl.deploy.onnx.ROWS``), and
to be timed: about the sum of these. With too few a run of a large network is late."""
IMPORTANCE, LEAST_IMPORTANCE, MOST_IMPORTANCE = 0.02, 0.3, 2.0
"""Share of the budget, and seconds at least and at most, in which the exported model is asked what it looks at. By
judgement: two seconds tell all columns of most tables apart, and a short run has more use for its seconds in the
search."""
SIMPLE, LEAST_SIMPLE, MOST_SIMPLE = 0.03, 0.5, 4.0
"""The same for the linear model that the report compares with."""
FOLD_SECONDS = 300.0
"""In a shorter run more candidates are worth more than cross-validated ones: ``task.folds=null`` means none there. In
120 s on one core folds lost .007 on average over ten small sets, for want of candidates (docs/benchmarks.md); from
where on they pay was not measured."""


class Clock:
    """A run's time. ``seconds``: of the whole run; None without a bound. ``began``: of ``time.monotonic()``, None: now.

    ``before``: seconds that earlier attempts at the search have spent of these. ``refit``: seconds that the last
    trainings of what would be chosen take, by what is known now. ``answers``: the same of answering the rows by which
    it is checked and judged. ``export``: of writing the bundle, of asking it what it looks at, and of what it is
    compared with; ``beside``: whether workers see to the last meanwhile.
    """

    def __init__(self, seconds: float | None = None, began: float | None = None) -> None:
        self.seconds = seconds
        self.before = self.export = self.refit = self.answers = 0.0
        self.beside = False
        self._began = time.monotonic() if began is None else began
        self._searched_from = 0.0

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    @property
    def left(self) -> float | None:
        """Of the run; negative where it is late."""
        return None if self.seconds is None else self.seconds - self.before - self.elapsed

    def search_begins(self, budget: Budget, members: int, refit: bool) -> Budget:
        """By what a search for at most so many networks that begins now plans: about the seconds that it will have.

        ``refit``: whether last trainings may follow; it plans by ``PLANNED`` of what it could have then.
        """
        self.export = export_seconds(members, self.seconds, self.beside)
        self._searched_from = self.elapsed
        seconds = self.for_search
        if seconds is not None and self.seconds is not None and refit:
            seconds = max(PLANNED * seconds, min(seconds, LEAST_SEARCH * self.seconds))
        return replace(budget, seconds=seconds)

    @property
    def for_search(self) -> float | None:
        """Seconds that are left for the search; what it had before counts."""
        if self.seconds is None:
            return None
        end = self._follows - min(self.refit, self.for_refit or 0.0)
        least = self._searched_from + LEAST_SEARCH * self.seconds - self.before
        return max(end, least) - self.elapsed

    @property
    def for_refit(self) -> float | None:
        """Seconds that the search leaves the last trainings at most, however long they take."""
        if self.seconds is None:
            return None
        return max((1 - SEARCHED) * (self.before + self._follows - self._searched_from), 0.0)

    @property
    def _follows(self) -> float:
        """From the run's beginning on: when export and judging have to begin."""
        return (self.seconds or 0.0) - self.before - self.export - self.answers


def export_seconds(members: int, seconds: float | None, beside: bool = False) -> float:
    """About what an ensemble's export, its check, its measuring, asking it what it looks at and the simple model take
    in a run of so many seconds. ``beside``: see ``Clock``.
    """
    export, simple = EXPORT + EXPORT_MEMBER * members, simple_seconds(seconds)
    return importance_seconds(seconds) + (max(export, simple) if beside else export + simple)


def importance_seconds(seconds: float | None) -> float:
    """For asking the exported model what it looks at, in a run of so many seconds; None: without a bound."""
    share = MOST_IMPORTANCE if seconds is None else IMPORTANCE * seconds
    return min(max(share, LEAST_IMPORTANCE), MOST_IMPORTANCE)


def simple_seconds(seconds: float | None) -> float:
    """For the linear model that the deployed one is compared with, in a run of so many seconds; None: without a
    bound.
    """
    return MOST_SIMPLE if seconds is None else min(max(SIMPLE * seconds, LEAST_SIMPLE), MOST_SIMPLE)


def refit_seconds(asked: bool | None, clock: Clock, members: int) -> float | None:
    """For training the chosen networks once more; None: as long as it takes.

    ``asked``: ``objective.refit``; None: what the clock leaves.
    """
    if asked is False:
        return 0.0
    if asked or clock.left is None:
        return None
    return max(clock.left - export_seconds(members, clock.seconds, clock.beside) - clock.answers, 0.0)


# --- a strategy

FIRST = 0.25
"""Share of a search's seconds, at its beginning, in which the prior's own candidates are trained to full length at
once (``PriorBand.sure``): what they teach must come early enough to be followed. By judgement: the longer it is, the
more a wrong prior costs."""
LAST = 0.25
"""Share at its end in which nothing new is begun while something can be finished: a full training may take half of the
budget (``FULL``), and a short search must end with some. By judgement: less leaves good candidates unfinished, more
finds fewer of them."""


# --- a training

EPOCHS, EPOCHS_OF_TEXTS = 45, 15
"""Epochs of a training of full length, where nobody says another number. They are compared in docs/benchmarks.md."""
FULL = 0.5
"""Share of a search's seconds that one training of full length may take: without this, one large network on a large
data set was a whole search. A shorter one may take its share of that, at least ``LEAST`` and ``LEAST_SECONDS``. By
judgement: a smaller share cuts large networks that are worth it, a larger one leaves no time for a second."""
LEAST, LEAST_SECONDS = 0.05, 2.0
SHORTEST = 0.1
"""Seconds of any limit: so that what begins in the last moment ends as one whose time was up."""


def full_length(task: Task, asked: int | None) -> int:
    """Epochs. ``asked``: ``budget.epochs``; None: by what the task learns from."""
    texts = any(i.modality == "text" for i in task.inputs)
    return asked or (EPOCHS_OF_TEXTS if texts else EPOCHS)


def training_limit(budget: Budget, epochs: int, left: float | None, most: float | None = None) -> float | None:
    """Seconds that a training to so many epochs may take; None: as long as it takes.

    ``left``: of the search. ``most``: for any training (``engine.trial_seconds``).
    """
    sides = [s for s in (left, most) if s is not None]
    if budget.seconds is not None:
        share = max(FULL * epochs / budget.epochs, LEAST)
        sides.append(max(share * budget.seconds, LEAST_SECONDS))
    return max(min(sides), SHORTEST) if sides else None


def patience(limit: float) -> float:
    """Seconds after which a training that has such a limit hangs: it looks at the clock after every batch, and may take
    half of its time again to judge what it learned.
    """
    return 2 * limit + 2


# --- workers

WORKER_START = 120.0
"""Seconds in which a worker is up, or there is no place for it: more than any start has taken."""
FRESH = 8.0
"""Seconds more for one in a process of its own, which reads its job and builds its first network meanwhile. By
judgement, as ``patience``: too few end good trainings on a slow machine, too many wait longer for one that hangs."""
TRIAL_START = 60.0
"""The same of a process of NNI's, which imports torch each time."""
