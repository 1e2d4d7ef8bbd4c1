"""One search with its surroundings: what it writes down, who hears of it, and what stops it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nni.nas.strategy.base import Strategy

from automl.data.prepare import Prepared
from automl.errors import UserError
from automl.serial import dumps
from automl.store.hold import Hold
from automl.store.search import Search, folder_name
from automl.store.store import Store
from automl.task.goal import DEPLOYED, Goal, parse_goal
from automl.types import Budget, Prior, Profile, Task, Trial
from automl.version import code_version
from experiments.events import Events
from experiments.explain import printable
from experiments.report.words import as_metric
from experiments.settings import Settings
from experiments.signals import stoppable
from experiments.solve import resumed
from experiments.solve.again import LastTrainings, Members, leaders
from experiments.solve.artifacts import Artifacts
from experiments.solve.resumed import shaping
from metalearner.follow import Follow
from nas.engines.base import Engine
from nas.job import Job, Outcome
from nas.search import search as nas_search
from nas.session import Session
from nas.time import ANSWERED, Clock


@dataclass
class SearchRecord:
    """Where a search is written down: its row in the store, this process's hold on it, the files of its best networks.

    ``budget``: what the search has of the run's. ``trials``: from before it was stopped. ``notes``: for the report.
    """

    store: Store
    search: Search
    hold: Hold
    artifacts: Artifacts
    budget: Budget
    trials: list[Trial]
    notes: tuple[str, ...]

    @property
    def prior(self) -> Prior | None:
        """With which the search began: a resumed one keeps it."""
        return self.search.prior

    def write(self, trial: Trial, outcome: Outcome | None) -> None:
        """Files first: what the store names exists."""
        if outcome is not None:
            self.artifacts.write(trial, outcome)
        self.store.append(self.search.id, trial, self.hold)


def earlier_search(store: Store, config: Mapping[str, Any], prepared: Prepared) -> int | None:
    """The newest search of the same data and options, which would be resumed."""
    found = store.searches(key=search_key(config, prepared))
    return found[-1].id if found else None


@contextlib.contextmanager
def recorded(
    store: Store,
    prepared: Prepared,
    profile: Profile,
    prior: Prior,
    config: Mapping[str, Any],
    wanted: Settings,
    budget: Budget,
    workers: int,
) -> Iterator[SearchRecord]:
    """Begin a search in the store, or go on with one of the same data and options.

    It is this process's own within the block. Raises UserError when another one has it. ``config``: plain data.
    ``budget``: see ``SearchRecord``.
    """
    key = search_key(config, prepared)
    earlier = store.searches(key=key) if wanted.resume else []
    kept = {**config, "artifacts": str(Path(config["artifacts"]).resolve())}  # for a resume from another folder
    search = store.begin(key, prepared.task, profile, seed=wanted.seed, config=kept, prior=prior, resume=wanted.resume)
    with store.hold(search.id, budget, workers) as hold:
        trials = store.trials(search=search.id)
        if wanted.resume:
            line = resumed.said(search, config, len(trials), store.searches(task=prepared.task.name))
            print(printable(line), file=sys.stderr)
        places = [kept["artifacts"], *(s.config["artifacts"] for s in earlier[-1:])]
        folders = [Path(place) / folder_name(key, search.id, search.token) for place in places]
        artifacts = Artifacts(next((f for f in folders if f.is_dir()), folders[0]))
        artifacts.remember(trials)
        notes = other_code([s.code_version for s in earlier[-1:]])
        yield SearchRecord(store, search, hold, artifacts, budget, trials, notes)


def run_search(
    record: SearchRecord,
    job: Job,
    follow: Follow,
    strategy: Strategy,
    engine: Engine,
    wanted: Settings,
    clock: Clock,
    events: Events,
    judging: int,
    choose: Callable[[Sequence[Trial]], Members],
    goal: Goal | None = None,
) -> list[Trial]:
    """Search; every trial, those from before it was stopped too. Each is written down the moment it ends.

    ``judging``: rows that the model is judged on in the end, which takes its time. ``choose``: the ensemble that these
    trials would be made to. ``goal``: see ``ending_goal``; once
    a training meets it nothing new begins.

    The search ends sooner than its budget says where its networks take long to be trained once more. Ctrl-C or SIGTERM
    ends the search, not the run, once there is something to make a model of.
    """

    def stop() -> bool:
        if not len(record.artifacts):
            return False
        engine.stop()
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\nStopping: a model is made of what has finished. Once more stops at once.\n")
        return True

    def finished(trial: Trial, outcome: Outcome | None) -> None:
        record.write(trial, outcome)
        known.append(trial)
        note(trial)
        if outcome is not None and outcome.row_ms is not None:
            row_ms[trial.number] = outcome.row_ms
        last.heard(known)
        leading = sum(row_ms.get(t.number, 0.0) for t in leaders(known, wanted.ensemble))
        clock.answers = (judging + ANSWERED) * leading / 1000
        events.trial(trial)

    def note(trial: Trial) -> None:
        if goal is not None and meets(goal, trial) and (job.folds is None or record.artifacts.folded(trial)):
            reached.append(trial.number)

    known, row_ms, reached = list(record.trials), dict[int, float](), list[int]()
    for trial in known:
        note(trial)
    before = clock.before = record.hold.spent or 0.0
    last = LastTrainings(
        clock, job, engine.hands, 0 if wanted.refit is False or job.folds is not None else wanted.ensemble, choose
    )
    last.heard(known)

    def begun(session: Session) -> None:
        record.hold.clock = lambda: session.seconds_spent
        follow.workers = lambda: session.workers

    events.spent = lambda: before + clock.elapsed
    with stoppable(stop):
        for trial in record.trials:
            events.trial(trial, resumed=True)
        nas_search(
            job,
            record.prior or Prior.uniform(job.axes),
            strategy,
            engine,
            record.budget,
            seed=wanted.seed,
            portfolio=wanted.portfolio,
            record=record.trials,
            attempts=record.hold.attempts,
            spent=record.hold.spent,
            room=lambda: 0.0 if reached else last.room(known),
            begun=begun,
            finished=finished,
            learn=follow,
        )
    ended = record.hold.clock()
    record.hold.clock = lambda: ended  # what follows is not the search's time
    trials = record.store.trials(search=record.search.id)
    if reached:
        record.notes += (
            f"the search ended when trial {reached[0]} met the goal {job.task.goal} on the validation rows",
        )
    if engine.stopped:
        made = f"the model is made of {len(trials)} trials" + ", not trained once more on all rows" * bool(last.size)
        print(f"Stopped early: {made}. resume=true goes on with the search.", file=sys.stderr)
        record.notes += (f"the search was stopped early: {made}",)
    return trials


def ending_goal(wanted: Settings, task: Task) -> Goal | None:
    """The goal that ends the search; None: it uses its budget. Raises UserError for one that no training tells."""
    goal = parse_goal(task.goal) if wanted.stop_at_goal else None
    if goal is not None and goal.metric != task.metric:
        fix = f"Set task.metric={goal.metric}" if goal.metric not in DEPLOYED else "Leave budget.stop_at_goal out"
        raise UserError(
            f"budget.stop_at_goal=true: trainings are judged by {task.metric}, task.goal is on {goal.metric}. {fix}"
        )
    return goal


def meets(goal: Goal, trial: Trial) -> bool:
    return goal.met({goal.metric: as_metric(goal.metric, trial.score)}) is True


def other_code(versions: Sequence[str]) -> tuple[str, ...]:
    """A line for each version of the code that a resumed search began with and that is not today's."""
    now = code_version()
    return tuple(f"this search began with code {v}, it goes on with {now}" for v in versions if v != now)


def search_key(config: Mapping[str, Any], prepared: Prepared) -> str:
    """What names a search for resume: the options that shape it, the rows to learn from, and how they judge."""
    digest = hashlib.blake2b(dumps(shaping(config)).encode(), digest_size=16)
    digest.update(f"{prepared.task.data} {prepared.judging}".encode())
    for array in (*prepared.learned.inputs, prepared.learned.y):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
