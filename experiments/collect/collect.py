"""Runs to learn from: a common set of candidates of every family, on many data sets.

In order of work, so that whatever is there when it is stopped can be compared::

    for k in range(candidates):          # breadth first
        for task in tasks:
            train candidate k of each family that supports the task, at each fidelity
    for m in range(mutants):
        for task in tasks:
            train a mutant of one of the task's best
    for b in range(best):
        for task in tasks:
            train the task's b-th best for each length that it lacks

After the first round each modality goes through this on its own, and the next to work on is the one that had the
least time per task: pictures cost many times what tables cost, and tasks of different modalities share no candidates
anyway.
What the store holds is never trained again. Failures are trials.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from hydra.core.hydra_config import HydraConfig
from numpy.random import RandomState
from omegaconf import DictConfig, OmegaConf

from automl.errors import UserError
from automl.files import write_atomically
from automl.serial import dumps
from automl.store.rows import task_digest
from automl.store.store import Store
from automl.types import Axes, Budget, Candidate, Family, Modality, Prior, Profile, Runs, Trial
from experiments.collect.data import Ready, entries, look, mixed, ready
from experiments.explain import printable
from experiments.options import made, made_families
from experiments.report.words import as_metric
from experiments.settings import learner_of, number, same, truth, whole, writable
from metalearner.common_set import common_set, fitted, union
from nas.engines.base import Engine
from nas.family import search_axes, wordpieces
from nas.job import Job, Outcome
from nas.recipe import training_axes
from nas.search import search
from nas.space import SearchSpace
from nas.strategies.listed import Listed

# By judgement: fewer parents or smaller changes teach more of one place, larger ones are as good as the common set.
ELITE = 3  # mutants come from this many of a task's best
MUTATION = 0.25  # probability that an axis changes


@dataclass(frozen=True)
class Asked:
    """The options under ``collect``; see conf/experiment/collect.yaml."""

    root: str
    seconds: float
    trial_seconds: float
    modalities: tuple[str, ...] | None
    max_tasks: int | None
    max_rows: int | None
    candidates: int
    fidelities: tuple[int, ...]
    mutants: int
    best: int
    check: bool
    folder: Path
    seed: int


def asked(cfg: DictConfig) -> Asked:
    """Raises UserError for a value that is of the wrong type or out of range."""
    of: Any = OmegaConf.to_container(cfg.collect, resolve=True)
    lengths = of["fidelities"]
    if not isinstance(lengths, list) or not lengths or not all(type(n) is int and n > 0 for n in lengths):
        raise UserError(f"collect.fidelities={lengths} must be a list of whole numbers, such as [4,12]")
    chosen = of["modalities"]
    if chosen is not None and (not isinstance(chosen, list) or not set(chosen) <= set(get_args(Modality))):
        raise UserError(f"collect.modalities={chosen} must be a list of {', '.join(get_args(Modality))}, or null")
    prefix = "collect."
    return Asked(
        root=str(of["root"]),
        seconds=number(of, "seconds", 0, prefix=prefix) or 0.0,
        trial_seconds=number(of, "trial_seconds", 0, prefix=prefix) or 0.0,
        modalities=None if chosen is None else tuple(chosen),
        max_tasks=whole(of, "max_tasks", 1, prefix=prefix, free=True),
        max_rows=whole(of, "max_rows", 20, prefix=prefix, free=True),
        candidates=whole(of, "candidates", 0, prefix=prefix),
        fidelities=tuple(sorted(set(lengths))),
        mutants=whole(of, "mutants", 0, prefix=prefix),
        best=whole(of, "best", 0, prefix=prefix),
        check=truth(of, "check", prefix=prefix),
        folder=Path(str(of["folder"])),
        seed=whole({"seed": cfg.seed}, "seed", 0),
    )


def run(cfg: DictConfig) -> None:
    """The command line's way in. Writes ``collect.json`` into the run's folder."""
    report = collect(cfg)
    write_atomically(Path(HydraConfig.get().runtime.output_dir) / "collect.json", dumps(report, indent=2) + "\n")
    print(f"{report['new']} new trials, {report['trials']} in all on {report['tasks']} tasks: {report['statuses']}")


def collect(cfg: DictConfig) -> dict[str, Any]:
    """Collect until everything is there or the time is up; counts of what the store holds then."""
    began = time.monotonic()
    wanted = asked(cfg)
    families = made_families(cfg)
    writable(wanted.folder, "collect.folder")
    same(cfg, "engine.trial_seconds", wanted.trial_seconds, "collect.trial_seconds")
    engine: Engine = made(cfg, "engine")
    engine.trial_seconds = wanted.trial_seconds
    try:
        with made(cfg, "store") as store:
            sites = prepare_all(wanted, families, store, began + wanted.seconds)
            if not sites:
                raise UserError(f"collect.root={wanted.root} gave no task; see the lines above")
            whole = union(site.axes for site in sites)
            prior = learner_of(cfg, Budget()).fit(Runs.none()).predict(Profile((), ()), whole)
            new = Round(wanted, families, sites, store, engine, prior, began).all()
            statuses = Counter(t.status for site in sites for t in site.trials)
            return {
                "tasks": len(sites),
                "trials": sum(statuses.values()),
                "new": new,
                "statuses": dict(statuses),
                "seconds": round(time.monotonic() - began, 1),
            }
    finally:
        engine.shutdown()


@dataclass
class Site:
    """A task and what was trained on it so far. ``search``: where the store keeps new trials."""

    ready: Ready
    axes: Axes
    search: int
    trials: list[Trial] = field(default_factory=list)

    @property
    def modality(self) -> str:
        return "+".join(sorted({i.modality for i in self.ready.task.inputs}))

    def job(self, families: Mapping[str, Family]) -> Job:
        return Job(self.ready.task, self.ready.train, self.ready.valid, families, self.axes)

    def has(self, candidate: Candidate, fidelity: int, wanted: Asked) -> bool:
        """Whether it was trained for that many epochs, or for fewer because a time like the present one was up."""
        return any(
            t.fidelity == fidelity
            or (t.fidelity < fidelity and t.fidelity not in wanted.fidelities and t.seconds > wanted.trial_seconds / 2)
            for t in self.trials
            if t.candidate.id == candidate.id
        )

    def best(self) -> list[Candidate]:
        """Those with a score: the best of each family, best first, then the second best of each, and so on.

        By their shortest trainings, so that the order stays as it is while longer ones come in; and by family, because
        a short training says little of which family is good in a long one.
        """
        shortest: dict[Candidate, Trial] = {}
        for trial in self.trials:
            before = shortest.get(trial.candidate)
            if trial.score is not None and (before is None or trial.fidelity < before.fidelity):
                shortest[trial.candidate] = trial
        ranked = sorted(shortest, key=lambda c: (-(shortest[c].score or 0.0), c.id))
        met: Counter[str] = Counter()
        turns = {}
        for place, candidate in enumerate(ranked):
            turns[candidate] = met[candidate.family], place
            met[candidate.family] += 1
        return sorted(ranked, key=turns.__getitem__)


def prepare_all(wanted: Asked, families: Mapping[str, Family], store: Store, until: float) -> list[Site]:
    """Every task, in the order of work. Files that are no task, or that no family can learn from, are told and left."""
    cache = wanted.folder / "prepared"
    options = {"max_rows": wanted.max_rows, "seed": wanted.seed, "check": wanted.check}
    loaded = []
    for entry in entries(wanted.root):
        try:
            modality = look(entry, cache, **options)
            if wanted.modalities is None or set(modality.split("+")) <= set(wanted.modalities):
                loaded.append((modality, entry))
        except UserError as error:
            print(printable(f"left out {entry.name}: {error}"), flush=True)
    sites, pieces = [], wordpieces(families)
    for entry in mixed(loaded, wanted.max_tasks):
        if time.monotonic() > until:
            break
        try:
            made = ready(entry, cache, **options, wordpieces=pieces)
            axes = search_axes(families, made.task, training_axes(made.task))
        except UserError as error:
            print(printable(f"left out {entry.name}: {error}"), flush=True)
            continue
        sites.append(open_site(made, axes, wanted, store))
        print(printable(f"{clock()} ready {made.task.name}: {len(made.train)} + {len(made.valid)} rows"), flush=True)
    return sites


def open_site(made: Ready, axes: Axes, wanted: Asked, store: Store) -> Site:
    """The task's earlier trials, and a new search of the store for what comes; it also renews the task's profile."""
    digest = task_digest(made.task)
    key = f"collect/{digest}/{wanted.seed}"
    earlier = [t for t in store.trials(digest=digest) if t.seed == wanted.seed]  # imported ones too
    config = {"collect": dataclasses.asdict(wanted)}
    begun = store.begin(key, made.task, made.profile, seed=wanted.seed, config=config, prior=None, resume=False)
    return Site(made, axes, begun.id, earlier)


class Round:
    """The work, task by task, until it is done or the time is up."""

    def __init__(
        self,
        wanted: Asked,
        families: Mapping[str, Family],
        sites: Sequence[Site],
        store: Store,
        engine: Engine,
        prior: Prior,
        began: float,
    ) -> None:
        self.wanted, self.families, self.sites, self.store, self.engine = wanted, families, sites, store, engine
        self.until = began + wanted.seconds
        self.whole = prior.axes  # of all tasks
        self.points = common_set(prior, wanted.candidates, wanted.seed)
        self.new = 0

    def all(self) -> int:
        """How many trials are new."""
        # Every task once before any task twice; then each modality its share of the time.
        rest = range(1, self.wanted.candidates)
        if not (self.turns(range(1), 0, 0) or self.turns(rest, self.wanted.mutants, self.wanted.best)):
            for site in self.sites:
                self.store.finish(site.search, None)
        return self.new

    def turns(self, numbers: range, mutants: int, best: int) -> bool:
        """Train those of the common set, so many mutants, and so many of the best for longer, modalities in turn.

        Returns whether the time was up.
        """
        of = {m: [s for s in self.sites if s.modality == m] for m in sorted({s.modality for s in self.sites})}
        waiting = {modality: self.visits(sites, numbers, mutants, best) for modality, sites in of.items()}
        spent = dict.fromkeys(waiting, 0.0)
        while spent:
            modality = min(spent, key=lambda m: spent[m])
            began = time.monotonic()
            visit = next(waiting[modality], None)
            if visit is None:
                del spent[modality]
            elif self.train(*visit):
                return True
            else:
                spent[modality] += (time.monotonic() - began) / len(of[modality])
        return False

    def visits(
        self, sites: Sequence[Site], numbers: range, mutants: int, best: int
    ) -> Iterator[tuple[Site, list[Candidate], str]]:
        """What to train next and where, in order."""
        for k in (n for n in numbers if n < self.wanted.candidates):
            for site in sites:
                yield site, self.common(site, k), f"common {k + 1}/{self.wanted.candidates}"
        for m in range(mutants):
            for site in sites:
                yield site, self.mutant(site, m), f"mutant {m + 1}/{self.wanted.mutants}"
        for b in range(best):
            for site in sites:
                yield site, site.best()[b : b + 1], f"best {b + 1}/{self.wanted.best}"

    def common(self, site: Site, k: int) -> list[Candidate]:
        """Candidate k of each family of the task."""
        return [
            fitted(family, point[k], self.whole[family], axes)
            for family, axes in site.axes.items()
            if k < len(point := self.points[family])
        ]

    def mutant(self, site: Site, m: int) -> list[Candidate]:
        """One that was not tried yet, from the best of the longest trainings; none while the m-th is there already."""
        shared = {c.id for k in range(self.wanted.candidates) for c in self.common(site, k)}
        tried = {t.candidate.id for t in site.trials}
        if len(tried - shared) > m:
            return []
        longest = [t for t in site.trials if t.score is not None and t.fidelity == self.wanted.fidelities[-1]]
        best = sorted(longest, key=lambda t: (t.score or 0.0, t.candidate.id), reverse=True)[:ELITE]
        if not best:
            return []
        digest = hashlib.sha256(f"{self.wanted.seed}/{site.ready.task.name}/{m}".encode()).digest()
        state = RandomState(np.frombuffer(digest[:16], np.uint32))
        space = SearchSpace(Prior.uniform(site.axes))
        for _ in range(100):
            made = space.mutate(best[state.randint(len(best))].candidate, MUTATION, state)
            if made.id not in tried:
                return [made]
        return []

    def train(self, site: Site, candidates: Sequence[Candidate], what: str) -> bool:
        """Train what is missing. Returns whether the time was up."""
        for fidelity in self.wanted.fidelities:
            missing = [c for c in candidates if not site.has(c, fidelity, self.wanted)]
            missing = list({c.id: c for c in missing}.values())
            for chunk in chunks(missing, self.engine.workers):
                if time.monotonic() > self.until:
                    return True
                self.trials(site, chunk, fidelity, what)
        return False

    def trials(self, site: Site, candidates: Sequence[Candidate], fidelity: int, what: str) -> None:
        """Train these at once, on the engine."""

        def finished(trial: Trial, outcome: Outcome | None) -> None:
            kept = dataclasses.replace(trial, number=max((t.number for t in site.trials), default=-1) + 1)
            self.store.append(site.search, kept)
            site.trials.append(kept)
            self.new += 1
            print(printable(f"{clock()} {what} {line(kept, site.ready.task.metric)}"), flush=True)

        search(
            site.job(self.families),
            Prior.uniform(site.axes),
            Listed(candidates, fidelity),
            self.engine,
            Budget(epochs=fidelity),
            seed=self.wanted.seed,
            portfolio=0,
            finished=finished,
        )


def chunks(of: Sequence[Candidate], size: int) -> list[Sequence[Candidate]]:
    """Few enough at a time that the clock is looked at, enough to keep every worker busy."""
    size = max(size, 1)
    return [of[i : i + size] for i in range(0, len(of), size)]


def line(trial: Trial, metric: str) -> str:
    score = trial.status if trial.score is None else f"{as_metric(metric, trial.score):.4f}"
    return (
        f"{trial.task} {trial.candidate.family} {trial.fidelity} epochs: {score}, {trial.seconds:.1f} s {trial.error}"
    )


def clock() -> str:
    return time.strftime("%H:%M:%S")
