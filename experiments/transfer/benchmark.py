"""Level 3 against level 4 on real trainings: does knowing past tasks pay?

    for task in tasks:
        for seed in seeds:
            level 3: starts from common practice, no past runs
            level 4: the meta-learner, fitted on past runs of all groups but this task's
    compare best validation scores over time

Both searches train the same rows with the same seeds, families, engine and wall time; what the meta-learner needs to
fit and to predict counts as level 4's time.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from automl.errors import UserError
from automl.files import write_atomically
from automl.serial import dumps, from_json, to_json
from automl.store.rows import task_digest
from automl.store.store import Store
from automl.types import Axes, Budget, Family, MetaLearner, Runs, Trial
from automl.version import code_version
from experiments.collect.data import Ready, entries, look, mixed, ready
from experiments.explain import printable
from experiments.options import made, made_families
from experiments.settings import learner_of, number, same, truth, whole, writable
from experiments.stores import opened
from experiments.transfer.compare import Anytime, Event, Pair, compare
from experiments.transfer.page import page_of
from metalearner.follow import Follow
from metalearner.past.shipped import FILE, with_shipped
from nas.engines.base import Engine
from nas.family import search_axes, wordpieces
from nas.job import Job, Outcome
from nas.recipe import training_axes
from nas.search import search


@dataclass(frozen=True)
class Asked:
    """The options under ``benchmark``; see conf/experiment/transfer_benchmark.yaml."""

    root: str
    tasks: int | None
    seeds: tuple[int, ...]
    seconds: float
    trial_seconds: float | None
    max_rows: int | None
    check: bool
    tie: float
    folder: Path


def asked(cfg: DictConfig) -> Asked:
    """Raises UserError for a value that is of the wrong type or out of range."""
    of: Any = OmegaConf.to_container(cfg.benchmark, resolve=True)
    seeds, prefix = of["seeds"], "benchmark."
    if not isinstance(seeds, list) or not seeds or not all(type(n) is int and n >= 0 for n in seeds):
        raise UserError(f"benchmark.seeds={seeds} must be a list of whole numbers, such as [0,1,2]")
    return Asked(
        root=str(of["root"]),
        tasks=whole(of, "tasks", 1, prefix=prefix, free=True),
        seeds=tuple(dict.fromkeys(seeds)),
        seconds=number(of, "seconds", 0, prefix=prefix) or 0.0,
        trial_seconds=number(of, "trial_seconds", 0, prefix=prefix, free=True),
        max_rows=whole(of, "max_rows", 20, prefix=prefix, free=True),
        check=truth(of, "check", prefix=prefix),
        tie=number(of, "tie", -1e-9, prefix=prefix) or 0.0,
        folder=Path(str(of["folder"])),
    )


def run(cfg: DictConfig) -> None:
    """The command line's way in. Writes transfer_benchmark.json and .html into the run's folder."""
    result, pairs = benchmark(cfg)
    folder = Path(HydraConfig.get().runtime.output_dir)
    write_atomically(folder / "transfer_benchmark.json", dumps(result, indent=2) + "\n")
    write_atomically(folder / "transfer_benchmark.html", page_of(result, pairs))
    print(summary(result))
    print(f"report    {folder / 'transfer_benchmark.html'}")


def benchmark(cfg: DictConfig) -> tuple[dict[str, Any], list[Pair]]:
    """Every pair of searches, and what their comparison says."""
    wanted, epochs = asked(cfg), cfg.budget.epochs
    families = made_families(cfg)
    writable(wanted.folder, "benchmark.folder")
    same(cfg, "engine.trial_seconds", wanted.trial_seconds, "benchmark.trial_seconds")
    same(cfg, "budget.seconds", wanted.seconds, "benchmark.seconds")
    engine: Engine = made(cfg, "engine")
    engine.trial_seconds = wanted.trial_seconds
    pairs = []
    try:
        engine.warm_up(wait=True)
        with opened(cfg) as store:
            for site, axes in sites(wanted, families):
                for seed in wanted.seeds:
                    order = (3, 4) if len(pairs) % 2 == 0 else (4, 3)  # neither always has the warmer machine
                    duel = Duel(cfg, wanted, site, axes, families, store, engine, seed, epochs)
                    found = {level: duel.level(level) for level in order}
                    pairs.append(Pair(site.task.name, site.task.group, seed, found[3], found[4]))
                    print(printable(line(pairs[-1])), flush=True)
    finally:
        engine.shutdown()
    if not pairs:
        raise UserError(f"benchmark.root={wanted.root} gave no task; see the lines above")
    result = {
        "seconds": wanted.seconds,
        "epochs": epochs,
        "max_rows": wanted.max_rows,
        "level3": f"{target(cfg.benchmark.start)} with {target(cfg.benchmark.cold)}",
        "level4": f"{target(cfg.metalearner)} with {target(cfg.strategy)}",
        **compare(pairs, wanted.seconds, wanted.tie),
    }
    return result, pairs


def sites(wanted: Asked, families: Mapping[str, Family]) -> list[tuple[Ready, Axes]]:
    """The tasks with their search spaces. Files that are no task, or that no family can learn from, are left out."""
    found = []
    cache = wanted.folder / "prepared"
    options = {"max_rows": wanted.max_rows, "seed": 0, "check": wanted.check}
    looked, pieces = [], wordpieces(families)
    for entry in entries(wanted.root, "benchmark.root"):
        try:
            looked.append((look(entry, cache, **options), entry))
        except UserError as error:
            print(printable(f"left out {entry.name}: {error}"), flush=True)
    for entry in mixed(looked, wanted.tasks):
        try:
            made = ready(entry, cache, **options, wordpieces=pieces)
            found.append((made, search_axes(families, made.task, training_axes(made.task))))
        except UserError as error:
            print(printable(f"left out {entry.name}: {error}"), flush=True)
    return found


@dataclass(frozen=True)
class Duel:
    """One task and seed."""

    cfg: DictConfig
    wanted: Asked
    made: Ready
    axes: Axes
    families: Mapping[str, Family]
    store: Store
    engine: Engine
    seed: int
    epochs: int

    def level(self, level: int) -> Anytime:
        """One search, or its record when it was done before: by the same code, with the same options and past runs."""
        of = self.cfg
        learner, strategy = (of.metalearner, of.strategy) if level == 4 else (of.benchmark.start, of.benchmark.cold)
        nodes = [OmegaConf.to_container(node, resolve=True) for node in (learner, strategy, of.family)]
        made_by = [code_version(), self.engine.workers, task_digest(self.made.task), self.wanted.check]
        shaped = [*nodes, of.portfolio, of.budget.trials, self.wanted.trial_seconds, *made_by]
        digest = hashlib.blake2b(dumps(shaped).encode(), digest_size=4)
        if level == 4:
            digest.update(FILE.read_bytes() if FILE.is_file() else b"")
            digest.update(dumps([self.past.tasks, self.past.score.tolist()]).encode())
        marks = [self.made.task.name, f"level{level}", target(learner), target(strategy), f"{self.wanted.seconds:g}s",
                 f"{self.epochs}epochs", f"seed{self.seed}", digest.hexdigest()]  # fmt: skip
        file = self.wanted.folder / "searches" / ("-".join(marks).replace("/", "_") + ".json")
        if file.is_file():
            return from_json(Anytime, file.read_text(encoding="utf-8"))
        found = self.search(level)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, to_json(found))
        return found

    def search(self, level: int) -> Anytime:
        events: list[Event] = []
        job = Job(self.made.task, self.made.train, self.made.valid, self.families, self.axes)
        began = time.monotonic()
        learner = self.learner() if level == 4 else None
        prior = (learner or self.start()).predict(self.made.profile, self.axes)
        left = max(self.wanted.seconds - (time.monotonic() - began), 0.1)

        def finished(trial: Trial, outcome: Outcome | None) -> None:
            at = time.monotonic() - began
            of = trial.candidate
            events.append(Event(at, of.family, of.id, trial.fidelity, trial.score, trial.number))

        search(
            job,
            prior,
            instantiate(self.cfg.strategy if level == 4 else self.cfg.benchmark.cold, seed=self.seed),
            self.engine,
            Budget(self.cfg.budget.trials, left, self.epochs),
            seed=self.seed,
            portfolio=self.cfg.portfolio,
            finished=finished,
            learn=(lambda trial, running: None)
            if learner is None
            else Follow(learner, self.made.profile, self.axes, self.epochs),
        )
        # A training that began in time may end a little late; both levels are cut at the same moment.
        return Anytime(tuple(e for e in events if e.at <= self.wanted.seconds * 1.05 + 1))

    def start(self) -> MetaLearner:
        """What level 3 starts from."""
        return instantiate(self.cfg.benchmark.start, _convert_="all").fit(Runs.none())

    def learner(self) -> MetaLearner:
        """Fitted on every past run but those of this task's group, of this task, and of its file at another size."""
        learner = learner_of(self.cfg, Budget(seconds=self.wanted.seconds))
        return learner.fit(with_shipped(self.past, like=self.made.task, without_groups=self.origin))

    @property
    def origin(self) -> set[str]:
        """The groups that share this task's origin."""
        return {self.made.task.group, self.made.task.name}

    @functools.cached_property
    def past(self) -> Runs:
        """The store's runs that level 4 may learn from."""
        name = self.made.task.name
        return self.store.runs(without_groups=self.origin, without_tasks={name, name.partition("@")[0]})


def target(node: DictConfig) -> str:
    """The name of what a node makes: ``PriorBand``."""
    return str(node._target_).rsplit(".", 1)[-1]


def line(pair: Pair) -> str:
    best = [f"level {level} {'no score' if s is None else f'{s:.4f}'}"
            for level, s in ((3, pair.cold.final), (4, pair.warm.final))]  # fmt: skip
    return f"{time.strftime('%H:%M:%S')} {pair.task} seed {pair.seed}: {', '.join(best)}"


def summary(result: Mapping[str, Any]) -> str:
    """The last lines on the terminal."""
    score, speed, first = result["final"], result["time"], result["first"]
    return "\n".join(
        [
            f"{result['tasks']} tasks, {result['searches']} searches of {result['seconds']:g} s each",
            f"final     level 4 wins {score['win']}, ties {score['tie']}, loses {score['loss']};"
            f" mean gain {span(score['gain'])} of the task's range",
            f"time      level 4 reaches level 3's final score in {span(speed['of_level3'])} of the time that level 3"
            f" needed (median), on {speed['reached']} of {speed['pairs']}",
            f"first     level 4's first candidate beats level 3's tenth on {first['beats_tenth']} of {first['pairs']},"
            f" level 3's best of ten on {first['beats_best_of_ten']}",
        ]
    )


def span(of: Mapping[str, Any]) -> str:
    """A number with its interval."""

    def text(value: float | None) -> str:
        return "never" if value is None else f"{value:.2f}"

    return f"{text(of['value'])} [{text(of['interval'][0])}, {text(of['interval'][1])}]"
