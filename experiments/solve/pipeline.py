"""The main job: from data to an exported model, levels 3 and 4. ``docs/architecture.md`` shows the flow.

From Python::

    from experiments.solve.pipeline import solve
    s = solve(data=frame, target="price", seconds=60)
    s.predict(new_rows); s.result; s.bundle
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from automl.data.columns import as_number
from automl.data.dataset import Dataset
from automl.data.prepare import Prepared, prepare
from automl.data.quality import Finding
from automl.deploy.bundle import Bundle
from automl.deploy.measure import deployed
from automl.errors import UserError
from automl.files import write_atomically
from automl.serial import dumps
from automl.store.store import Search, Store
from automl.task.formulate import parse_goal
from automl.types import Axes, Budget, Family, Prior, Profile, Runs, Source, Trial
from automl.version import code_version
from experiments.cli import printable
from experiments.clock import timed
from experiments.compose import composed
from experiments.options import made, made_families, said, task_options
from experiments.progress import Progress, one_line
from experiments.report.report import write_report
from experiments.report.words import as_metric, interval, met, number, without_a_model
from experiments.settings import Settings, keep_config, learner_of, plain_config, settings, writable
from experiments.signals import stoppable
from experiments.solve import resumed
from experiments.solve.artifacts import Artifacts
from experiments.solve.finish import Finished, finish
from experiments.solve.resumed import shaping
from metalearner.follow import Follow
from metalearner.past.shipped import with_shipped
from metalearner.profile import profile as measure
from nas.engines.base import Engine
from nas.evaluate import Job, Outcome
from nas.pareto import pareto_front
from nas.recipe import training_axes
from nas.search import search
from nas.space import search_axes

FOLD_SECONDS = 300.0  # in a shorter search, more candidates are worth more than cross-validated ones


@dataclass(frozen=True)
class Solution:
    """What a run leaves: ``result`` is result.json, ``bundle`` and ``folder`` are paths."""

    result: dict[str, Any]
    folder: Path
    bundle: Path
    _loaded: dict[str, Bundle] = field(default_factory=dict, repr=False)

    def predict(self, rows: Any) -> np.ndarray:
        """Predictions for raw rows as they came in (DataFrame or array): class labels (rows,) or values (rows,)."""
        return self._open().predict(rows)

    def predict_proba(self, rows: Any) -> np.ndarray:
        """Class probabilities (rows, classes), in the order of ``result["task"]["classes"]``."""
        return self._open().predict_proba(rows)

    def _open(self) -> Bundle:
        if "bundle" not in self._loaded:
            self._loaded["bundle"] = Bundle.load(self.bundle)
        return self._loaded["bundle"]


def run(cfg: DictConfig) -> None:
    """The command line's way in."""
    solution = pipeline(cfg, Path(HydraConfig.get().runtime.output_dir))
    print(summary(solution))


def solve(
    data: Any,
    target: Any = None,
    *,
    seconds: float | None = 60,
    trials: int | None = None,
    folder: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Solution:
    """Solve a task from Python.

    data: a DataFrame, an array (rows, ...), or a path that ``data=file`` reads. target: the column's name, or an
    array (rows,) of values. seconds, trials: the budget of the search. folder: for the outputs; None makes
    ``outputs/DATE/TIME``. overrides: further options as on the command line, ``["engine=sequential", "seed=1"]``.
    Raises UserError for data or options that cannot be used.
    """
    cfg = composed(
        [*_named(data, overrides), f"budget.seconds={said(seconds)}", f"budget.trials={said(trials)}", *overrides]
    )
    if (wanted := OmegaConf.select(cfg, "run._target_")) != "experiments.solve.pipeline.run":
        raise UserError(f"solve() makes one model, the overrides ask for {wanted}: start that with run.py")
    out = Path(folder) if folder else Path("outputs") / datetime.now().strftime("%Y-%m-%d/%H-%M-%S-%f")
    source = source_of(cfg, data, target)
    keep_config(cfg, out, "folder")
    return pipeline(cfg, out, source=source)


def _named(data: Any, overrides: Sequence[str]) -> list[str]:
    """Where the data comes from, unless the overrides say it."""
    kind = "file" if isinstance(data, str | Path) else "frame"
    given = [] if any(o.startswith("data=") for o in overrides) else [f"data={kind}"]
    return [*given, "tracker=none"]


def source_of(cfg: DictConfig, data: Any, target: Any) -> Source:
    """The configured source with data and target of Python put in; ``cfg`` learns of those that it can hold."""
    more = {}
    for given, name, plain in (
        (data, "path" if isinstance(data, str | Path) else "data", isinstance(data, str | Path)),
        (target, "target" if _is_column(data, target) else "y", _is_column(data, target)),
    ):
        if given is None:
            continue
        if name not in list(cfg.data):
            raise UserError(f"{cfg.data._target_} takes no {name}, a {type(given).__name__} was given for it")
        if plain:
            cfg.data[name] = str(given).replace("${", "\\${")  # else it were an interpolation
        else:
            more[name] = given
    return made(cfg, "data", **more)


def _is_column(data: Any, target: Any) -> bool:
    """Whether a target names a column, and is no array of values. Raises UserError where it names several."""
    if isinstance(target, list | tuple) and len(target) < len(data) and all(isinstance(name, str) for name in target):
        raise UserError(f"target={target}: one column is learned at a time; give one name")
    return target is not None and np.ndim(target) == 0


def pipeline(cfg: DictConfig, folder: Path, source: Any = None) -> Solution:
    """The six stages, from a composed configuration to the outputs in ``folder``."""
    began = time.monotonic()
    wanted = settings(cfg)
    folder.mkdir(parents=True, exist_ok=True)
    writable(Path(cfg.artifacts), "artifacts")
    clock: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        made(cfg, "strategy")  # what these refuse is told before anything takes time
        learner_of(cfg, wanted.budget)
        families, asked = made_families(cfg), task_options(cfg)
        source = source or made(cfg, "data")
        engine: Engine = made(cfg, "engine")
        stack.callback(engine.shutdown)
        store: Store = stack.enter_context(made(cfg, "store"))
        tracker = made(cfg, "tracker")
        engine.warm_up()

        with timed(clock, "prepare"):
            loaded = source.load()
            prepared = prepared_as_before(cfg, wanted, loaded, asked, store)
            profile = measure(prepared.task, prepared.parts.train, prepared.dataset, seed=wanted.seed)
        axes = search_axes(families, prepared.task, training_axes(prepared.task))

        with timed(clock, "search"):
            hunt = Hunt(stack, cfg, wanted, prepared, profile, families, axes, store, engine, tracker)
            trials = hunt.run()
        finished = finish(
            prepared,
            families,
            axes,
            hunt.artifacts,
            trials,
            folder,
            ensemble=wanted.ensemble,
            refit_seconds=wanted.refit,
            clock=clock,
        )
        with timed(clock, "export"):
            cost = deployed(finished.bundle, loaded)
        clock["total"] = time.monotonic() - began
        result = compose_result(
            wanted, prepared, trials, finished, cost, hunt.search.prior, clock, store.name, hunt.notes
        )
        write_outputs(folder, prepared, finished, result, trials, hunt.search.prior, profile)
        store.finish(hunt.search.id, result)
        tracker.finish(result, folder / "report.html", trials)
    return Solution(result, folder, folder / "bundle")


class Hunt:
    """One search with its surroundings: prior from past runs, store, artifacts, progress, meta-learner's updates.

    The search is this process's own until ``stack`` ends. Raises UserError when another one has it.
    """

    def __init__(
        self,
        stack: contextlib.ExitStack,
        cfg: DictConfig,
        wanted: Settings,
        prepared: Prepared,
        profile: Profile,
        families: Mapping[str, Family],
        axes: Axes,
        store: Store,
        engine: Engine,
        tracker: Any,
    ) -> None:
        self.cfg, self.wanted, self.prepared, self.profile = cfg, wanted, prepared, profile
        self.store, self.engine, self.tracker = store, engine, tracker
        task, parts = prepared.task, prepared.parts
        self.axes = axes
        self.job = Job(task, parts.train, parts.valid, families, axes, latency=wanted.latency, folds=prepared.folds)
        key = search_key(cfg, prepared)
        earlier = store.searches(key=key) if wanted.resume else []
        self.notes = other_code([s.code_version for s in earlier[-1:]])
        past = Runs.none()
        if wanted.level >= 4:
            # Not what was learned on these data, under any name: another seed's validation rows may be test rows now,
            # and the report promises that no decision has seen those.
            groups = {task.group, task.name}
            own = store.runs(
                before_search=earlier[-1].id if earlier else None,
                without_groups=groups,
                modalities={i.modality for i in task.inputs},
            )
            past = with_shipped(own, like=task, without_groups=groups)
        self.learner = learner_of(cfg, wanted.budget).fit(past)
        prior = self.learner.predict(profile, axes)
        self.search: Search = store.begin(
            key, task, profile, seed=wanted.seed, config=plain_config(cfg), prior=prior, resume=wanted.resume
        )
        self.hold = stack.enter_context(store.hold(self.search.id, wanted.budget, engine.workers))
        self.record = store.trials(search=self.search.id)
        if wanted.resume:
            line = resumed.said(self.search, plain_config(cfg), len(self.record), store.searches(task=task.name))
            print(printable(line), file=sys.stderr)
        # The token, since another store may have given the same number to another search.
        named = "-".join(filter(None, [key[:12], str(self.search.id), self.search.token]))
        self.artifacts = Artifacts(Path(cfg.artifacts) / named)
        self.artifacts.remember(self.record)

    def run(self) -> list[Trial]:
        """Search; every trial of this search, those from before it was stopped too.

        Ctrl-C or SIGTERM ends the search, not the run, once there is something to make a model of.
        """
        task = self.prepared.task
        self.tracker.start(plain_config(self.cfg), task.name, task.metric)
        quiet, spent = not self.wanted.progress, lambda: self.engine.seconds_spent
        shown = Progress(self.wanted.budget, metric=task.metric, quiet=quiet, spent=spent)
        self.hold.clock = spent
        with shown, stoppable(self.stop):
            for trial in self.record:
                shown.trial(trial, resumed=True)

            def finished(trial: Trial, outcome: Outcome | None) -> None:
                if outcome is not None:
                    self.artifacts.write(trial, outcome)
                self.store.append(self.search.id, trial, self.hold)
                shown.trial(trial)
                self.tracker.trial(trial)

            search(
                self.job,
                self.search.prior or Prior.uniform(self.axes),
                made(self.cfg, "strategy"),
                self.engine,
                self.wanted.budget,
                seed=self.wanted.seed,
                portfolio=self.wanted.portfolio,
                record=self.record,
                attempts=self.hold.attempts,
                spent=self.hold.spent,
                finished=finished,
                learn=Follow(self.learner, self.profile, self.axes, self.wanted.budget.epochs),
            )
        ended = self.engine.seconds_spent
        self.hold.clock = lambda: ended  # what follows is not the search's time
        trials = self.store.trials(search=self.search.id)
        if self.engine.stopped:
            line = f"Stopped early: the model is made of {len(trials)} trials. resume=true goes on with the search."
            print(line, file=sys.stderr)
        return trials

    def stop(self) -> bool:
        """Called by a signal: end the search if there is something to go on with."""
        if not len(self.artifacts):
            return False
        self.engine.stop()
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\nStopping: a model is made of what has finished. Once more stops at once.\n")
        return True


def other_code(versions: Sequence[str]) -> tuple[str, ...]:
    """A line for each version of the code that a resumed search began with and that is not today's."""
    now = code_version()
    return tuple(f"this search began with code {v}, it goes on with {now}" for v in versions if v != now)


def folds_in(asked: int | None, budget: Budget) -> int | None:
    """None (as the data advise) becomes 0 in a short search: a training per fold would leave it too few candidates."""
    short = budget.seconds is not None and budget.seconds < FOLD_SECONDS
    return 0 if asked is None and short else asked


def prepared_as_before(
    cfg: DictConfig, wanted: Settings, loaded: Dataset, asked: Mapping[str, Any], store: Store
) -> Prepared:
    """The task and its rows. A search that is resumed with other time goes on judging its candidates as it did."""
    ways = [folds_in(asked["folds"], wanted.budget)]
    if wanted.resume and asked["folds"] is None:
        ways.append(None if ways[0] == 0 else 0)
    found: list[Prepared] = []
    for folds in ways:
        found.append(prepare(loaded, **{**asked, "seed": wanted.seed, "folds": folds}))
        if store.searches(key=search_key(cfg, found[-1])):
            return found[-1]
    return found[0]


def search_key(cfg: DictConfig, prepared: Prepared) -> str:
    """What names a search for resume: the options that shape it, the rows to learn from, and how they judge.

    Where it runs, how long, where it writes, and what is made of its trials are left out, so that a resumed search may
    get more time or another ensemble.
    """
    digest = hashlib.blake2b(dumps(shaping(plain_config(cfg))).encode(), digest_size=16)
    digest.update(f"{prepared.task.data} {prepared.judging}".encode())
    for array in (*prepared.learned.inputs, prepared.learned.y):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def compose_result(
    wanted: Settings,
    prepared: Prepared,
    trials: Sequence[Trial],
    finished: Finished,
    cost: Mapping[str, float | None],
    prior: Prior | None,
    clock: Mapping[str, float],
    store: str,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """result.json, a contract that other parts and people read. Scores are in the metric's own unit and sign.

    ``baseline``: the metrics of always answering the class shares, or the mean, on the test rows. ``interval``: 95 % of
    the task's metric over redrawn test rows. ``deployed``: see ``automl.deploy.measure``.
    """
    task, test = prepared.task, prepared.parts.test
    statuses = ("ok", "failed", "timeout", "oom", "diverged", "skipped")
    goal = parse_goal(task.goal)
    own = partial(as_metric, task.metric)
    quality = prepared.quality
    return {
        "version": code_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": {
            "name": task.name,
            "group": task.group,
            "kind": task.kind,
            "metric": task.metric,
            "classes": list(task.classes),
            "goal": task.goal,
            "goal_met": None if goal is None else goal.met({**finished.test, **cost}),
            "why": list(task.why),
        },
        "data": facts(prepared),
        "findings": [] if quality is None else [told(finding) for finding in quality.findings],
        "level": wanted.level,
        "seed": wanted.seed,
        "prior": None if prior is None else {"why": list(prior.why), "families": dict(prior.families)},
        "trials": {status: sum(t.status == status for t in trials) for status in statuses},
        "seconds": {k: round(clock.get(k, 0.0), 3) for k in ("total", "prepare", "search", "refit", "export")},
        "judged_by": finished.judged_by,
        "val": finished.val,
        "test": finished.test,
        "interval": interval(task.metric, task.kind, test.y, finished.test_predictions, drawn_together(prepared)),
        "baseline": without_a_model(task.kind, test.y, task.num_outputs),
        "chosen": {"family": finished.chosen.candidate.family, "choices": dict(finished.chosen.candidate.choices)},
        "ensemble": [{**member, "score": own(member["score"])} for member in finished.members],
        "pareto": [
            {"number": t.number, "family": t.candidate.family, "score": own(t.score), "latency_ms": t.latency_ms}
            for t in pareto_front(trials)
        ],
        "notes": [*notes, *finished.notes],
        "deployed": dict(cost),
        "tried": [
            {
                "number": t.number,
                "family": t.candidate.family,
                "choices": dict(t.candidate.choices),
                "epochs": t.fidelity,
                "status": t.status,
                "score": own(t.score),
                "seconds": t.seconds,
                "parameters": t.parameters,
                "latency_ms": t.latency_ms,
                "error": one_line(t.error),
            }
            for t in trials
        ],
        "bundle": str(finished.bundle),
        "store": store,
    }


def told(finding: Finding) -> dict[str, Any]:
    """A finding of the quality checks without its rows, which inspect's quality.json lists."""
    names = ("name", "severity", "where", "count", "text", "repair", "repaired")
    return {name: getattr(finding, name) for name in names}


def drawn_together(prepared: Prepared) -> np.ndarray | None:
    """Of the test rows, which depend on each other: int (rows,), or None where each stands for itself.

    Rows of one group do. Where rows have an order, neighbours do: blocks as long as the root of their number.
    """
    rows, dataset = prepared.parts.test.rows, prepared.dataset
    if dataset.group is not None:
        return np.unique(dataset.group[rows].astype(str), return_inverse=True)[1]
    if dataset.time is not None:
        return np.argsort(np.argsort(dataset.time[rows], kind="stable")) // math.isqrt(max(len(rows), 1))
    return None


def write_outputs(
    folder: Path,
    prepared: Prepared,
    finished: Finished,
    result: dict[str, Any],
    trials: Sequence[Trial],
    prior: Prior | None,
    profile: Profile,
) -> None:
    frame = predictions_frame(prepared, finished)
    temporary = folder / "predictions.parquet.part"
    frame.to_parquet(temporary, index=False)
    temporary.replace(folder / "predictions.parquet")
    write_report(
        folder / "report.html",
        result,
        task=prepared.task,
        trials=trials,
        dataset_facts=facts(prepared),
        quality=prepared.quality,
        prior=prior,
        profile=profile,
        predictions=frame,
    )
    write_atomically(folder / "result.json", dumps(result, indent=2) + "\n")


def predictions_frame(prepared: Prepared, finished: Finished) -> pd.DataFrame:
    """One line per test row: row, y, prediction and, for classification, one probability column per class.

    ``row`` is the position in the data as the user gave them, from 0: also where repairs dropped rows before it.
    """
    task, test, predicted = prepared.task, prepared.parts.test, finished.test_predictions
    rows = prepared.given[test.rows]
    if task.kind == "regression":
        own = as_number(prepared.dataset.target)[test.rows]
        return pd.DataFrame({"row": rows, "y": own, "prediction": prepared.encoding.decode(predicted)})
    names = np.asarray(task.classes, dtype=object)
    columns = {f"p_{name}": predicted[:, i] for i, name in enumerate(task.classes)}
    return pd.DataFrame({"row": rows, "y": names[test.y], "prediction": names[predicted.argmax(1)], **columns})


def facts(prepared: Prepared) -> dict[str, Any]:
    dataset, parts = prepared.dataset, prepared.parts
    return {
        "origin": dataset.origin,
        "rows": len(dataset),
        "train": len(prepared.learned),
        "valid": prepared.judging,
        "test": len(parts.test),
        "inputs": {i.name: f"{i.modality} {' x '.join(map(str, i.shape))}" for i in prepared.task.inputs},
        "notes": list(dataset.notes),
    }


def summary(solution: Solution) -> str:
    """The last lines on the terminal."""
    result = solution.result
    tries, seconds = result["trials"], result["seconds"]
    failed = sum(tries.values()) - tries["ok"]
    metric = result["task"]["metric"]
    lines = [
        f"{tries['ok']} trials{f' ({failed} more failed)' if failed else ''} in {seconds['search']:.0f} s,"
        f" {seconds['total']:.0f} s in all",
        f"chosen    {result['chosen']['family']}, an ensemble of {len(result['ensemble'])}"
        if len(result["ensemble"]) > 1
        else f"chosen    {result['chosen']['family']}",
        f"{metric:<9} {number(result['val'][metric])} validation ({result['judged_by']}),"
        f" {number(result['test'][metric])} test",
    ]
    if result["task"]["goal"]:
        lines.append(f"goal      {result['task']['goal']}: {met(result['task']['goal_met'])}")
    lines += [f"note      {printable(note)}" for note in result["notes"]]
    lines += [f"model     {solution.bundle}", f"report    {solution.folder / 'report.html'}"]
    return "\n".join(lines)


__all__ = ["Solution", "UserError", "pipeline", "run", "solve"]
