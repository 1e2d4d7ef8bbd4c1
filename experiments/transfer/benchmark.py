"""Ways to start a search on real trainings: does knowing past tasks pay?

    for task in tasks with headroom, no two of a group:
        for arm in arms, each task beginning with another:
            a search of so many seconds; past runs of the task's group are left out
    compare the test scores of the ensembles that would be deployed at each moment

All arms train the same rows with the same seeds, families, strategy, engine and wall time; what a meta-learner needs to
fit and to predict is the arm's own time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from automl.errors import UserError
from automl.files import write_atomically
from automl.serial import dumps, from_json, to_json
from automl.types import Budget, Family, Runs, Task
from automl.version import source_digest
from experiments import judged
from experiments.collect import data
from experiments.explain import printable
from experiments.options import made, made_families
from experiments.settings import learner_of, number, same, truth, whole, writable
from experiments.solve import networks
from experiments.transfer import sites as from_files
from experiments.transfer import trace
from experiments.transfer.compare import compare, counts, spelled
from experiments.transfer.page import page_of
from experiments.transfer.sites import Rows, Site, sites
from experiments.transfer.trace import Record, traced
from metalearner.follow import Follow
from metalearner.opening import FILE as OPENING
from metalearner.opening import read_opening
from metalearner.past import shipped
from metalearner.past.shipped import FILE, with_shipped
from nas.engines.base import Engine
from nas.family import wordpieces
from nas.time import full_length

# Beside the packages of ``source_digest``.
CODE = [Path(str(of.__file__)) for of in (trace, from_files, data, judged, networks)] + [Path(__file__)]
PAST = ("none", "own", "shuffled", "negated")


@dataclass(frozen=True)
class Asked:
    """The options under ``benchmark``; see conf/experiment/transfer_benchmark.yaml."""

    root: str
    arms: Mapping[str, str]
    tasks: int
    seeds: tuple[int, ...]
    seconds: float
    points: tuple[float, ...]
    trial_seconds: float | None
    rows: Rows
    saturated: float
    tie: float
    folder: Path


def asked(cfg: DictConfig) -> Asked:
    """Raises UserError for a value that is of the wrong type or out of range."""
    of: Any = OmegaConf.to_container(cfg.benchmark, resolve=True)
    seeds, points, only, prefix = of["seeds"], of["points"], of["only"], "benchmark."
    if not isinstance(seeds, list) or not seeds or not all(type(n) is int and n >= 0 for n in seeds):
        raise UserError(f"benchmark.seeds={seeds} must be a list of whole numbers, such as [0,1,2]")
    seconds = number(of, "seconds", 0, prefix=prefix) or 0.0
    fine = isinstance(points, list) and len(points) > 1 and all(type(p) in (int, float) for p in points)
    if not fine or sorted({*points}) != points or points[0] <= 0 or points[-1] > seconds:
        raise UserError(f"benchmark.points={points} must be rising seconds up to benchmark.seconds={seconds:g}")
    arms = {name: arm["past"] for name, arm in of["arms"].items()}
    if only is not None and (not isinstance(only, list) or not only or not {*map(str, only)} <= arms.keys()):
        raise UserError(f"benchmark.only={only} must be a list of arms: {', '.join(arms)}")
    for name, past in arms.items():
        if past not in PAST:
            raise UserError(f"benchmark.arms.{name}.past={past} must be one of: {', '.join(PAST)}")
    return Asked(
        root=str(of["root"]),
        arms={name: past for name, past in arms.items() if only is None or name in only},
        tasks=whole(of, "tasks", 1, prefix=prefix),
        seeds=tuple(dict.fromkeys(seeds)),
        seconds=seconds,
        points=tuple(map(float, points)),
        trial_seconds=number(of, "trial_seconds", 0, prefix=prefix, free=True),
        rows=Rows(
            whole(of, "max_rows", 20, prefix=prefix),
            whole(of, "judging", 1, prefix=prefix),
            whole(of, "most_judging", 1, prefix=prefix),
            truth(of, "check", prefix=prefix),
        ),
        saturated=number(of, "saturated", 0, prefix=prefix) or 0.0,
        tie=number(of, "tie", -1e-9, prefix=prefix) or 0.0,
        folder=Path(str(of["folder"])),
    )


def run(cfg: DictConfig) -> None:
    """The command line's way in. Writes transfer_benchmark.json and .html into the run's folder."""
    result = benchmark(cfg)
    folder = Path(HydraConfig.get().runtime.output_dir)
    write_atomically(folder / "transfer_benchmark.json", dumps(result, indent=2) + "\n")
    write_atomically(folder / "transfer_benchmark.html", page_of(result))
    print(summary(result))
    print(f"report    {folder / 'transfer_benchmark.html'}")


def benchmark(cfg: DictConfig) -> dict[str, Any]:
    """Every search that is not there yet, and what the comparison of all says."""
    wanted = asked(cfg)
    families = made_families(cfg)
    writable(wanted.folder, "benchmark.folder")
    same(cfg, "engine.trial_seconds", wanted.trial_seconds, "benchmark.trial_seconds")
    same(cfg, "budget.seconds", wanted.seconds, "benchmark.seconds")
    engine: Engine = made(cfg, "engine")
    engine.trial_seconds = wanted.trial_seconds
    records: list[Record] = []
    counted = 0
    arms = list(wanted.arms)
    try:
        engine.warm_up(wait=True)
        for turn, site in enumerate(sites(wanted.root, wanted.rows, wanted.folder, wordpieces(families))):
            if counted == wanted.tasks:
                break
            bench = Bench(cfg, wanted, site, families, engine)
            order = [arms[(turn + i) % len(arms)] for i in range(len(arms))]  # none always has the warmer machine
            try:
                of = bench.records(order)
            except UserError as error:
                print(printable(f"left out {site.entry.name}: {error}"), flush=True)
                continue
            records += of
            counted += counts(of, wanted.saturated)
    finally:
        engine.shutdown()
    if not records:
        raise UserError(f"benchmark.root={wanted.root} gave no task; see the lines above")
    told = compare(records, wanted.points, wanted.saturated, wanted.tie)
    return {"seconds": wanted.seconds, "epochs": cfg.budget.epochs, "max_rows": wanted.rows.most, **told}


@dataclass(frozen=True)
class Bench:
    """One task."""

    cfg: DictConfig
    wanted: Asked
    site: Site
    families: Mapping[str, Family]
    engine: Engine

    def records(self, arms: list[str]) -> list[Record]:
        """Of every arm and seed; of those that were run where one shows that there is no headroom: it ends there."""
        found = []
        for seed in self.wanted.seeds:
            for arm in arms:
                found.append(self.record(arm, seed))
                print(printable(line(found[-1])), flush=True)
                if found[-1].best >= self.wanted.saturated:
                    print(printable(f"{found[-1].task} has no headroom: it is not counted"), flush=True)
                    return found
        return found

    def record(self, arm: str, seed: int) -> Record:
        """One search, or its record when it was done before: by the same code, with the same options and data."""
        name = f"{self.site.entry.name}-{arm}-{self.wanted.seconds:g}s-seed{seed}-{self.key(arm)}".replace("/", "_")
        file = self.wanted.folder / "searches" / f"{name}.json"
        if file.is_file():
            return from_json(Record, file.read_text(encoding="utf-8"))
        found = self.search(arm, seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, to_json(found))
        return found

    def key(self, arm: str) -> str:
        """Digest of the code, the options that shape a search, and the data."""
        of = self.cfg
        nodes = [of.benchmark.arms[arm], of.strategy, of.engine, of.family, of.budget, of.objective.ensemble]
        plain = [OmegaConf.to_container(n, resolve=True) if OmegaConf.is_config(n) else n for n in nodes]
        shaped = [*plain, of.portfolio, self.wanted.points, self.wanted.rows, self.engine.workers]
        digest = hashlib.blake2b(dumps(shaped).encode(), digest_size=8)
        digest.update(f"{source_digest()} {self.site.digest}".encode())
        for file in (*CODE, *(() if self.wanted.arms[arm] == "none" else (FILE, OPENING))):
            digest.update(file.read_bytes() if file.is_file() else b"")
        return digest.hexdigest()

    def search(self, arm: str, seed: int) -> Record:
        task, parts, profile = self.site.prepared
        axes = self.site.axes(self.families)
        budget = Budget(self.cfg.budget.trials, self.wanted.seconds, full_length(task, self.cfg.budget.epochs))
        learner = learner_of(self.cfg, budget, f"benchmark.arms.{arm}.learner", seed)
        strategy = made(self.cfg, "strategy", seed=seed)
        for kept in (shipped._read, read_opening):
            kept.cache_clear()  # a run of its own would read them: that is the arm's time
        began = time.monotonic()
        with Follow(learner, profile, axes, budget.epochs, self.engine.workers, beside=True) as follow:
            past = self.wanted.arms[arm]
            if past in ("shuffled", "negated"):  # what ships to begin with knows better
                start = learner.fit(spoiled(known(task), past)).predict(profile, axes)
                began = time.monotonic()  # a control is about knowledge: transfer learns beside its first trainings
            else:
                start = follow.start(task, lambda: Runs.none() if past == "none" else known(task))
            first = time.monotonic() - began
            moments, events, constant = traced(
                *(task, parts, self.families, axes, follow, start, began, strategy, self.engine, budget),
                seed=seed,
                portfolio=self.cfg.portfolio,
                members=self.cfg.objective.ensemble,
                points=self.wanted.points,
            )
        return Record(
            *(task.name, task.group, self.site.modality, task.metric, len(parts.test.y), arm, seed),
            *(first, follow.waited, constant, moments, events),
        )


def known(task: Task) -> Runs:
    """The knowledge that ships without the task's group."""
    return with_shipped(Runs.none(), like=task, without_groups={task.group, task.name, task.name.partition("@")[0]})


def spoiled(runs: Runs, how: str) -> Runs:
    """``negated``: the worst looks best. ``shuffled``: of each task, the scores are those of other candidates."""
    if how == "negated":
        return replace(runs, score=-runs.score)
    score, rng = runs.score.copy(), np.random.default_rng(0)
    for task in range(len(runs.tasks)):
        of = np.flatnonzero(runs.task == task)
        names, place = np.unique(runs.candidate[of], return_inverse=True)
        # Whole candidates change places, so that a longer training stays better than a shorter one.
        first = [of[place == i] for i in range(len(names))]
        for mine, other in zip(first, rng.permutation(len(names)).tolist(), strict=True):
            score[mine] = np.resize(runs.score[first[other]], len(mine))
    return replace(runs, score=score)


def line(record: Record) -> str:
    last = record.moments[-1]
    valid = "no network" if last.valid is None else f"test {last.test:.4f}, validation {last.valid:.4f}"
    return f"{time.strftime('%H:%M:%S')} {record.task} {record.arm} seed {record.seed}: {valid}"


def summary(result: Mapping[str, Any]) -> str:
    """The last lines on the terminal."""
    lines = [
        f"{result['tasks']} tasks counted, {len(result['saturated'])} without headroom, {result['seconds']:g} s each"
    ]
    if result["tasks"]:
        lines += [f"area      {arm} {spelled(of['area'])}" for arm, of in result["of"].items()]
        lines += [
            f"ratio     {arm} to {other} {spelled(of['ratio'])},"
            f" time to its last score {spelled(of['time'])} on {of['time']['reached']}"
            for other, arms in result["against"].items()
            for arm, of in arms.items()
        ]
    return "\n".join(lines)
