"""The main job: from data to an exported model. ``docs/architecture.md`` shows the flow."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from automl.data.dataset import Dataset
from automl.data.prepare import Prepared, prepare
from automl.data.split import FOLDS
from automl.store.place import trunks_beside
from automl.store.store import Store
from automl.types import Budget, Runs
from automl.version import code_version
from experiments.events import Events
from experiments.options import made, made_families, task_options
from experiments.settings import Settings, learner_of, plain_config, settings, writable
from experiments.solve.ahead import make_ready
from experiments.solve.filling import write_card
from experiments.solve.finish import finish
from experiments.solve.networks import Networks
from experiments.solve.prior import level_of, past_runs, told
from experiments.solve.result import compose_result, write_outputs
from experiments.solve.search import earlier_search, ending_goal, recorded, run_search
from experiments.solve.solution import Solution
from experiments.solve.weights import keep_networks, origins, told_weights, unseen, whether_they_helped
from experiments.stores import opened
from metalearner.follow import Follow
from metalearner.profile import profile as measure
from nas.engines.base import Engine
from nas.family import search_axes, wordpieces
from nas.job import Job
from nas.recipe import training_axes
from nas.time import ANSWERED, FOLD_SECONDS, Clock, full_length


def pipeline(
    cfg: DictConfig, folder: Path, dataset: Dataset, engine: Engine, events: Events, overrides: Sequence[str] = ()
) -> Solution:
    """The six stages, from data as they were read to the outputs in ``folder``. ``overrides``: that were typed."""
    wanted, config = settings(cfg), plain_config(cfg)
    # Imports are not the run's time.
    clock = Clock(wanted.budget.seconds, events.began + events.seconds.get("import", 0.0))
    folder.mkdir(parents=True, exist_ok=True)
    writable(Path(cfg.artifacts), "artifacts")
    with contextlib.ExitStack() as stack:
        # What one of these refuses is told before the data are prepared.
        strategy, learner = made(cfg, "strategy"), learner_of(cfg, wanted.budget)
        families = made_families(cfg)
        store = stack.enter_context(opened(cfg))
        events.listeners.append(made(cfg, "tracker"))

        with events.during("prepare"):  # stages 1 to 3: the task, its rows, and where past runs say to look for a model
            prepared = prepared_as_before(cfg, wanted, dataset, store)
            task, parts, goal = prepared.task, prepared.parts, ending_goal(wanted, prepared.task)
            profile = measure(task, parts.train, prepared.dataset, seed=wanted.seed)
            before = earlier_search(store, config, prepared) if wanted.resume else None
            families = unseen(families, prepared, None if before is None else store.prior(before))
            axes = search_axes(families, task, training_axes(task))
            learns, timed = level_of(learner) >= 4, wanted.budget.seconds is not None
            whole = replace(wanted.budget, epochs=full_length(task, wanted.epochs))
            follow = Follow(learner, profile, axes, whole.epochs, engine.workers, beside=timed)
            stack.enter_context(follow)
            prior = follow.start(task, lambda: past_runs(store, task, before) if learns else Runs.none())
            job = Job(
                *(task, parts.train, parts.valid, families, axes),
                latency=wanted.latency,
                folds=prepared.folds,
                barred=tuple(parts.barred.tolist()),
                answered=len(parts.test) + ANSWERED,
            )
            engine.take(job)

        with events.during("search"):  # stage 4: trainings
            may_refit = wanted.refit is not False and prepared.folds is None
            clock.beside = engine.aside
            budget = clock.search_begins(whole, wanted.ensemble, may_refit)
            record = stack.enter_context(
                recorded(store, prepared, profile, prior, config, wanted, budget, engine.workers)
            )
            level = level_of(learner, families.values())
            events.start({**config, "facts": facts_of(prepared, level)}, task.name, task.metric)
            if engine.hands > 1:  # trainings run elsewhere: this process only waits now
                threading.Thread(target=make_ready, name="ending").start()
            judging = len(prepared.parts.test)
            trials = run_search(
                *(record, job, follow, strategy, engine, wanted, clock, events, judging),
                lambda known: Networks(prepared, engine, record.artifacts, known).chosen(wanted.ensemble),
                goal,
            )
            started = told(record.prior, follow.learned)
            follow.__exit__()  # a thought beside what follows would take the processor from what is measured there

        # Stage 5: the model that is deployed, judged once on the test rows.
        finished = finish(
            prepared,
            engine,
            record.artifacts,
            trials,
            dataset,
            folder,
            ensemble=wanted.ensemble,
            refit=wanted.refit,
            calibrated=wanted.calibrate != "none",
            clock=clock,
            events=events,
        )
        keep_networks(Path(trunks_beside(OmegaConf.select(cfg, "store.url"))), prepared, trials, record.artifacts)
        begun = origins(families, task, trials)
        left_out = [line for family in families.values() for line in getattr(family, "left_out", ())]
        result = compose_result(
            level=level,
            seed=wanted.seed,
            prepared=prepared,
            trials=trials,
            finished=finished,
            prior=started,
            seconds=events.seconds | {"total": events.total},
            store=store.name,
            notes=(*record.notes, *left_out, *whether_they_helped(begun, task, trials)),
            weights=told_weights(begun, trials, finished.members),
            profile=profile,
            overrides=overrides,
        )
        write_card(finished.bundle, prepared, result, finished.test_predictions)
        write_outputs(folder, prepared, finished, result, trials, started, profile)
        store.finish(record.search.id, result)
        events.finish(result, folder / "report.html", trials)
    return Solution(result, folder, folder / "bundle", tuple(filter(None, (one.seen() for one in events.listeners))))


def facts_of(prepared: Prepared, level: int) -> dict[str, Any]:
    """What trackers tell runs apart by, beside the options."""
    task = prepared.task
    return {
        "code": code_version(),
        "data": task.name,
        "hash": task.data,
        "rows": len(prepared.dataset),
        "kind": task.kind,
        "metric": task.metric,
        "modalities": sorted({i.modality for i in task.inputs}),
        "classes": len(task.classes),
        "level": level,
    }


def prepared_as_before(cfg: DictConfig, wanted: Settings, dataset: Dataset, store: Store | None) -> Prepared:
    """The task and its rows. A search that is resumed with other time goes on judging its candidates as it did.

    ``store``: where it did; None: nowhere.
    """
    asked, config = task_options(cfg), plain_config(cfg)
    hold = {"holdout": True, "auto": None}.get(wanted.calibrate, False)
    ways = [(folds_in(asked["folds"], wanted.budget, refit=wanted.refit), hold)]
    if wanted.calibrate == "folds" and asked["folds"] is None:
        ways = [(FOLDS, hold)]
    elif wanted.resume and asked["folds"] is None:
        ways.append((None if ways[0][0] == 0 else 0, hold))
    if wanted.resume and hold is None:  # nothing was held out by what went before calibrate=auto
        ways += [(folds, False) for folds, _ in ways]
    pieces = wordpieces(made_families(cfg))
    found: list[Prepared] = []
    for folds, held in ways:
        if held is not hold and all(before.parts.held is None for before in found):
            continue  # it would be the same rows again
        found.append(
            prepare(dataset, **{**asked, "seed": wanted.seed, "folds": folds, "hold": held}, wordpieces=pieces)
        )
        if wanted.resume and store is not None and earlier_search(store, config, found[-1]) is not None:
            return found[-1]
    return found[0]


def folds_in(asked: int | None, budget: Budget, *, refit: bool | None = None) -> int | None:
    """None (as the data advise) becomes 0 in a short search: a training per fold would leave it too few candidates; and
    where the very networks that were judged are wanted: those that folds judge are trained on all rows.
    """
    short = budget.seconds is not None and budget.seconds < FOLD_SECONDS
    return 0 if asked is None and (short or refit is False) else asked
