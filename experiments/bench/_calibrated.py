"""Networks of common practice and what they answer for rows that calibrate and rows that test, kept in files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from automl.data.sources.file import FileSource
from automl.errors import UserError
from automl.types import Task
from automl.uncertainty.calibrate import Answers
from experiments.bench import options_from
from experiments.bench.level3 import group_of
from experiments.options import made, made_families

WAYS = ("holdout", "valid", "folds")
TRAINED = (":/automl/data", ":/automl/metrics.py", ":/automl/models", ":/automl/task", ":/automl/training", ":/nas")
TRAINED += (":/metalearner/practice.py", f":/experiments/bench/{Path(__file__).name}")
"""What the kept probabilities depend on: what is made of them is made anew."""
FOLDS = 5


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/uncertainty.yaml."""

    root: Path
    sets: list[str]
    each: int | None
    seed: list[int]
    members: int
    epochs: int
    trial_seconds: float
    fold_rows: int
    workers: int
    out: Path


@dataclass(frozen=True)
class Run:
    """One set, seed and way. ``held``: None where the judged rows calibrate."""

    name: str
    group: str
    seed: int
    way: str
    task: Task
    alike: bool
    judged: Answers
    held: Answers | None
    test: Answers


def file_of(cfg: DictConfig, options: Asked, said: Mapping[str, Any], seed: int, way: str, program: str) -> Path:
    """Named by all that a run depends on. ``program``: see ``experiments.bench._commit``."""
    rows = options.fold_rows if way == "folds" else 0
    plain = [OmegaConf.to_container(cfg[node], resolve=True) for node in ("family", "metalearner")]
    made = [options.members, options.epochs, options.trial_seconds, rows, plain, program, said.get("sha256")]
    return options.out / f"{said['name']}-{seed}-{way}-{hashlib.sha256(repr(made).encode()).hexdigest()[:10]}.npz"


def train_and_keep(plain: Mapping[str, Any], said: Mapping[str, Any], seed: int, way: str, path: Path) -> str:
    """One run, in a process of its own kind; what came of it in a word. One that failed is not kept."""
    import torch

    from experiments.solve.graphs import flat

    torch.set_num_threads(1)
    cfg = OmegaConf.create(dict(plain))
    assert isinstance(cfg, DictConfig)
    options = options_from(cfg, Asked)
    try:
        arrays = answers_of(cfg, options, said, seed, way)
    except Exception as error:  # one set that cannot be trained must not end the others
        return f"failed: {flat(error)}"
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as out:
        np.savez(out, **arrays)  # pyright: ignore[reportArgumentType]
    draft.replace(path)
    return "kept" if arrays else "passed over"


def answers_of(cfg: DictConfig, options: Asked, said: Mapping[str, Any], seed: int, way: str) -> dict[str, np.ndarray]:
    """Arrays by name, see ``read``; none where the way is not for these data."""
    from automl.data.prepare import prepare
    from automl.training.ensemble import blend
    from automl.training.predictor import Predictor, predict, target_scale
    from automl.types import Profile
    from nas.evaluate import evaluate
    from nas.family import build, search_axes
    from nas.job import Job, Order
    from nas.recipe import training_axes

    dataset = FileSource(str(options.root / said["file"])).load()
    if way == "folds" and len(dataset) > options.fold_rows:
        return {}
    prepared = prepare(
        dataset,
        metric=said["baseline_best"]["metric"],
        seed=seed,
        folds=FOLDS if way == "folds" else 0,
        hold=way == "holdout",
    )
    task, parts, families = prepared.task, prepared.parts, made_families(cfg)
    axes = search_axes(families, task, training_axes(task))
    from safetensors.torch import load

    job = Job(task, parts.train, parts.valid, families, axes, folds=prepared.folds, barred=tuple(parts.barred.tolist()))
    learned, judging = (parts.train, parts.valid) if job.folds is None else (job.folds.rows, job.folds.valid)
    wanted, judged, predictors = made(cfg, "metalearner").predict(Profile((), ()), axes).portfolio, [], []
    for candidate in wanted:
        seconds = options.trial_seconds * (FOLDS + 1 if way == "folds" else 1)
        outcome = evaluate(job, Order(candidate, options.epochs, seed, seconds))
        if outcome.predictions is None or outcome.weights is None:
            continue
        weights, scale = outcome.weights, target_scale(task, learned)
        if job.folds is None:
            again = evaluate(job, Order(candidate, max(len(outcome.curve), 1), seed, seconds, weights=weights))
            if again.weights is not None:
                weights, scale = again.weights, target_scale(task, job.teaching)
        network = build(families[candidate.family], task, candidate, axes[candidate.family], seed=seed)
        network.load_state_dict(load(weights))
        predictors.append(Predictor(network, task, *scale).eval())
        judged.append(outcome.predictions)
        if len(judged) == options.members:
            break
    if not judged:
        raise UserError("no candidate could be trained")

    def together(predictions: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        even = [1 / len(predictions)] * len(predictions)
        mean = blend(predictions, even)
        spread = np.sqrt(blend([(p - mean) ** 2 for p in predictions], even))
        return mean, spread if mean.ndim == 1 else np.zeros(0)

    found = {"judged": (*together(judged), judging.y)}
    for name, part in (("held", parts.held), ("test", parts.test)):
        if part is not None:
            found[name] = (*together([predict(p, part.inputs) for p in predictors]), part.y)
    alike = np.array([prepared.dataset.time is None and prepared.dataset.group is None])
    named = {f"{name}_{what}": a for name, of in found.items() for what, a in zip("psy", of, strict=True)}
    return named | {"alike": alike, "kind": np.array(task.kind), "metric": np.array(task.metric)}


def read(path: Path, said: Mapping[str, Any], seed: int, way: str) -> Run | None:
    """None where the way is not for these data, or failed."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        if "test_p" not in arrays:
            return None

        def answers(name: str) -> Answers | None:
            if f"{name}_p" not in arrays:
                return None
            p, spread, y = (arrays[f"{name}_{what}"] for what in "psy")
            return Answers(p, y, spread if len(spread) else None)

        judged, test = answers("judged"), answers("test")
        assert judged is not None and test is not None
        kind, classes = str(arrays["kind"]), test.prediction.shape[-1] if test.prediction.ndim > 1 else 1
        names = tuple(map(str, range(classes))) if classes > 1 else ()
        task = Task(said["name"], kind, (), classes, str(arrays["metric"]), classes=names)  # type: ignore[arg-type]
        alike = bool(arrays["alike"][0])
        return Run(said["name"], group_of(said), seed, way, task, alike, judged, answers("held"), test)
