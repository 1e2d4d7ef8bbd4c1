"""Search strategies against each other at equal wall time, cold: a uniform prior, all families that fit.

    level4 +experiment=bench/strategies bench.data=FOLDER

``FOLDER`` holds NAME.csv.gz or NAME.npz files with their test split. Each strategy searches each set with each seed
for ``bench.seconds`` on ``processes``; the best trial by validation then predicts the test rows. Printed: the test
score per set, and the mean rank over sets and seeds with its 95 % confidence interval (bootstrap over groups of sets,
which NAME.json may name). Finished searches are kept in ``bench.out`` and not run again by the same commit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from safetensors.torch import load
from scipy.stats import rankdata

from automl.data.prepare import Prepared, prepare
from automl.data.sources.file import FileSource
from automl.errors import UserError
from automl.training.predictor import Predictor, predict, target_scale
from automl.types import Budget, Prior, Trial
from experiments.bench import kept_rows, options_from
from experiments.bench._commit import PROGRAM, commit
from experiments.bootstrap import mean_interval
from experiments.collect.data import group_of
from experiments.compose import composed
from experiments.judged import judged_score
from experiments.options import made, made_families
from nas.engines.base import Engine
from nas.engines.processes import ProcessesEngine
from nas.family import build, search_axes
from nas.job import Job, Outcome
from nas.recipe import training_axes
from nas.search import search


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/strategies.yaml."""

    data: Path
    sets: list[str]
    count: int
    seeds: int
    seconds: float
    epochs: int
    workers: int
    families: list[str]
    strategies: list[str]
    out: Path


def data_files(folder: Path, names: Sequence[str], count: int) -> list[Path]:
    """The named sets, or ``count`` of them spread evenly over the sorted names, so that nobody picks."""
    found = {p.name.split(".")[0]: p for p in sorted([*folder.glob("*.csv.gz"), *folder.glob("*.npz")])}
    if not found:
        raise UserError(f"{folder} holds no NAME.csv.gz and no NAME.npz. Set bench.data=FOLDER")
    if missing := [n for n in names if n not in found]:
        some = ", ".join(list(found)[:8])
        raise UserError(f"no set {', '.join(missing)} in {folder}. Set bench.sets to some of {some}, ...")
    if names:
        return [found[n] for n in names]
    every = list(found.values())
    return [every[int(i)] for i in np.linspace(0, len(every) - 1, min(count, len(every)))]


def job_of(prepared: Prepared, names: Sequence[str]) -> Job:
    families = made_families(composed([f"family=[{','.join(names)}]"] if names else []))
    axes = search_axes(families, prepared.task, training_axes(prepared.task))
    kept = {name: families[name] for name in axes}
    return Job(prepared.task, prepared.parts.train, prepared.parts.valid, kept, axes)


def hunt(job: Job, name: str, engine: Engine, budget: Budget, seed: int) -> tuple[list[Trial], Trial, bytes]:
    """All trials, the best one, and its weights."""
    strategy = made(composed([f"strategy={name}", f"seed={seed}"]), "strategy")
    best: list[tuple[Trial, bytes]] = []

    def finished(trial: Trial, outcome: Outcome | None) -> None:
        if outcome is None or outcome.weights is None or trial.score is None:
            return
        if not best or trial.score > (best[0][0].score or 0.0):
            best[:] = [(trial, outcome.weights)]

    trials = search(job, Prior.uniform(job.axes), strategy, engine, budget, seed=seed, finished=finished)
    if not best:
        raise UserError(f"no training of {job.task.name} ended within {budget.seconds} s. Set bench.seconds higher")
    return trials, *best[0]


def judged(prepared: Prepared, job: Job, trial: Trial, weights: bytes) -> float:
    candidate = trial.candidate
    network = build(job.families[candidate.family], job.task, candidate, job.axes[candidate.family], seed=trial.seed)
    network.load_state_dict(load(weights))
    mean, std = target_scale(job.task, job.train)
    predictor, parts = Predictor(network, job.task, mean, std), prepared.parts
    learned = np.concatenate([parts.train.y, parts.valid.y])
    test, valid = (predict(predictor, part.inputs) for part in (parts.test, parts.valid))
    return judged_score(job.task, parts.test.y, test, parts.valid.y, valid, learned)


def mean_ranks(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean rank per strategy (1 is best) over sets and seeds that all have finished, its 95 % interval (2, strategies)
    by bootstrap over groups of sets, and the number of sets.
    """
    by: dict[tuple[str, int], dict[str, float]] = {}
    for row in rows:
        by.setdefault((row["set"], row["seed"]), {})[row["strategy"]] = row["test"]
    complete = {key: scores for key, scores in by.items() if all(name in scores for name in names)}
    sets = sorted({name for name, _ in complete})
    per_set = np.array(
        [
            np.mean([rankdata([-s[n] for n in names]) for (of, _), s in complete.items() if of == name], axis=0)
            for name in sets
        ]
    )
    if not len(per_set):
        return np.full(len(names), np.nan), np.full((2, len(names)), np.nan), 0
    group = {row["set"]: row.get("group", row["set"]) for row in rows}
    return per_set.mean(axis=0), mean_interval(per_set, np.array([group[name] for name in sets])), len(sets)


def show(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> bool:
    """Print the tables; whether prior_band has the best mean rank."""
    print(f"{'test score':<28}" + "".join(f"{name:>14}" for name in names))
    for of in dict.fromkeys(row["set"] for row in rows):
        cells = []
        for name in names:
            scores = [r["test"] for r in rows if (r["set"], r["strategy"]) == (of, name)]
            cells.append(f"{np.mean(scores):>14.4f}" if scores else f"{'-':>14}")
        print(f"{of:<28}" + "".join(cells))
    ranks, interval, sets = mean_ranks(rows, names)
    print(f"{f'mean rank over {sets} sets':<28}" + "".join(f"{r:>14.2f}" for r in ranks))
    print(f"{'95 % interval':<28}" + "".join(f"{f'{a:.2f} - {b:.2f}':>14}" for a, b in interval.T))
    for name in names:
        mine = [r for r in rows if r["strategy"] == name]
        full = np.mean([r["full"] for r in mine]) if mine else np.nan
        count = np.mean([r["trials"] for r in mine]) if mine else np.nan
        print(f"{name:<28}{count:>10.1f} trainings a search, {full:.1f} of full length")
    return bool(sets) and names[int(np.argmin(ranks))] == "prior_band"


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    if not options.strategies:
        raise UserError("bench.strategies=[] is empty: nothing to compare. Name some, as [random,prior_band]")
    torch.set_num_threads(1)
    files = data_files(options.data, options.sets, options.count)
    budget = Budget(seconds=options.seconds, epochs=options.epochs)
    setting = [options.seconds, options.epochs, options.workers, sorted(options.families), commit(paths=PROGRAM)]
    rows = kept_rows(options.out)
    rows = [row for row in rows if row["setting"] == setting]
    done = {(row["set"], row["seed"], row["strategy"]) for row in rows}
    wanted = {path.name.split(".")[0]: path for path in files}
    engine = ProcessesEngine(workers=options.workers)
    try:
        engine.warm_up(wait=True)  # else the first search would have one worker only, for a while
        for seed in range(options.seeds):
            for name, path in wanted.items():
                turn = (seed + list(wanted).index(name)) % len(options.strategies)  # none always has the warmer machine
                order = options.strategies[turn:] + options.strategies[:turn]
                todo = [s for s in order if (name, seed, s) not in done]
                if not todo:
                    continue
                prepared = prepare(FileSource(path=str(path)).load(), seed=seed)
                job = job_of(prepared, options.families)
                for strategy in todo:
                    trials, best, weights = hunt(job, strategy, engine, budget, seed)
                    row = {
                        "set": name,
                        "group": group_of(path.with_name(f"{name}.json"), name),
                        "seed": seed,
                        "strategy": strategy,
                        "setting": setting,
                        "test": judged(prepared, job, best, weights),
                        "valid": best.score,
                        "trials": len(trials),
                        "full": sum(t.status == "ok" and t.fidelity == options.epochs for t in trials),
                    }
                    rows.append(row)
                    with options.out.open("a") as out:
                        out.write(json.dumps(row) + "\n")
                    print(f"{name} seed {seed} {strategy}: {row['test']:.4f}, {row['trials']} trials", flush=True)
    finally:
        engine.shutdown()
    rows = [row for row in rows if row["set"] in wanted and row["strategy"] in options.strategies]
    if not show(rows, options.strategies):
        raise SystemExit(1)
