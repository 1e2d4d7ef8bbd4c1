"""Each family is right, not only running: with a fixed recipe it reaches a known score.

    level4 +experiment=bench/families bench.root=FOLDER [bench.only=TEXT]

FOLDER holds the sets as NAME.npz or NAME.csv.gz. Trains on the training and validation rows together for a fixed
number of epochs and scores the test rows once: accuracy, or R2. Slow: hours on one core for all of it. Every training
is written to ``bench.out`` as it ends and not run again by the same code unless ``bench.fresh``. Exit status 1 when a
check misses its bar.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from automl import metrics
from automl.data.dataset import Part
from automl.data.prepare import Prepared, prepare
from automl.data.sources.file import FileSource
from automl.errors import UserError
from automl.training.options import Options
from automl.training.predictor import Predictor, predict
from automl.training.train import train
from automl.types import Candidate, Family, active_choices
from experiments import configuration
from experiments.bench import options_from
from experiments.bench._commit import commit
from experiments.bench._family_checks import Check, checks
from nas.family import build, search_axes
from nas.recipe import training_axes

CONF = configuration.CONF / "family"
TRAINING = (":/automl/data", ":/automl/metrics.py", ":/automl/models", ":/automl/task", ":/automl/training", ":/nas")
TRAINING += (":/conf/family", f":/experiments/bench/{Path(__file__).name}")
"""What a score depends on."""
SCORES = {"regression": "r2"}


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/families.yaml."""

    root: Path
    only: str
    out: Path
    fresh: bool
    threads: int


@dataclass(frozen=True)
class Score:
    """One training: test ``score``, ``seconds`` of training, ``parameters``; ``error`` when there is no score."""

    score: float | None
    seconds: float = 0.0
    parameters: int = 0
    error: str = ""


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    asked = [c for c in checks() if options.only in f"{c.name} on {c.data}"]
    if not asked:
        raise UserError(f"bench.only={options.only}: no check matches. Set bench.only to a part of 'convnet on mnist'")
    torch.set_num_threads(options.threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # NNI imports it, and it speaks for both
    kept = {} if options.fresh else read(options.out)
    console = Console(width=None if Console().is_terminal else 150)
    for check in with_their_baselines(asked):
        for seed in check.seeds:
            if key(check, seed) not in kept:
                kept[key(check, seed)] = measure(check, seed, options.root)
                write(options.out, kept)
    table, missed = report(asked, kept)
    console.print(table)
    console.print(f"{len(asked)} checks, {len(asked) - missed} reach their bar, {missed} do not", highlight=False)
    if missed:
        raise SystemExit(1)


def with_their_baselines(asked: Sequence[Check]) -> list[Check]:
    """The checks, each after the one it is compared with."""
    every = {f"{c.name} on {c.data}": c for c in checks()}
    found: dict[str, Check] = {}
    for check in asked:
        if check.against == "hgb":
            found[f"hgb on {check.data}"] = baseline(check.data)
        elif check.against:
            found[check.against] = every[check.against]
        found[f"{check.name} on {check.data}"] = check
    return list(found.values())


def baseline(data: str) -> Check:
    """HistGradientBoosting, written like a family that is always good enough."""
    return Check("hgb", data, {}, 0)


def key(check: Check, seed: int) -> str:
    """Names a training by all that defines it."""
    text = json.dumps([program(), check.family, check.data, dict(check.choices), check.epochs, seed], sort_keys=True)
    return f"{check.name} on {check.data}, seed {seed}, {hashlib.sha256(text.encode()).hexdigest()[:8]}"


@functools.cache
def program() -> str:
    """Which code trains, see ``_commit``."""
    return commit(paths=TRAINING)


def read(path: Path) -> dict[str, Score]:
    """Scores of former runs; none when the file is not there."""
    if not path.is_file():
        return {}
    try:
        return {name: Score(**values) for name, values in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"bench.out={path} holds no scores of this benchmark. Set bench.out=FILE") from error


def write(path: Path, kept: Mapping[str, Score]) -> None:
    """All scores, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(json.dumps({name: asdict(score) for name, score in kept.items()}, indent=1))
    beside.replace(path)


def measure(check: Check, seed: int, root: Path) -> Score:
    """Train once and score the test rows."""
    files = [f for f in (root / f"{check.data}.npz", root / f"{check.data}.csv.gz") if f.is_file()]
    if not files:
        raise UserError(
            f"{root} holds no {check.data}.npz or {check.data}.csv.gz. Set bench.root=FOLDER, that of the sets"
        )
    prepared = prepare(FileSource(str(files[0])).load(), check=False)
    task, test = prepared.task, prepared.parts.test
    rows = together(prepared.parts.train, prepared.parts.valid)
    metric = SCORES.get(task.kind, "accuracy")
    began = time.monotonic()
    if check.family == "hgb":
        predictions = boosted(prepared, rows, seed)
        return Score(metrics.score(metric, task.kind, test.y, predictions), time.monotonic() - began)
    family: Family = instantiate(OmegaConf.load(CONF / f"{check.family}.yaml"))
    axes = search_axes({family.name: family}, task, training_axes(task))[family.name]
    unknown = set(check.choices) - {a.name for a in axes} - {f.name for f in fields(Options)}
    if unknown:
        raise ValueError(f"{check.name} on {check.data}: no axis {', '.join(sorted(unknown))}")
    choices = {a.name: check.choices.get(a.name, a.options[0]) for a in axes}
    network = build(family, task, Candidate(family.name, active_choices(axes, choices)), axes, seed=seed)
    fit = train(network, task, rows, None, check.choices, epochs=check.epochs, seed=seed, device="cpu")
    if fit.status != "ok":
        return Score(None, fit.seconds, fit.parameters, f"{fit.status}: {fit.error}")
    predictions = predict(Predictor(network, task, fit.mean, fit.std), test.inputs)
    return Score(metrics.score(metric, task.kind, test.y, predictions), fit.seconds, fit.parameters)


def together(one: Part, other: Part) -> Part:
    """The rows of both."""
    inputs = tuple(np.concatenate(pair) for pair in zip(one.inputs, other.inputs, strict=True))
    return Part(inputs, np.concatenate([one.y, other.y]), np.concatenate([one.rows, other.rows]))


def boosted(prepared: Prepared, rows: Part, seed: int) -> np.ndarray:
    """Test predictions of HistGradientBoosting as it comes, on the encoded columns."""
    test = prepared.parts.test.inputs[0]
    if prepared.task.kind == "regression":
        return HistGradientBoostingRegressor(random_state=seed).fit(rows.inputs[0], rows.y).predict(test)
    return HistGradientBoostingClassifier(random_state=seed).fit(rows.inputs[0], rows.y).predict_proba(test)


def mean_score(check: Check, kept: Mapping[str, Score]) -> float | None:
    """Mean over the seeds; None when one has no score."""
    scores = [kept[key(check, seed)].score for seed in check.seeds]
    known = [s for s in scores if s is not None]
    return float(np.mean(known)) if len(known) == len(scores) else None


def bar(check: Check, kept: Mapping[str, Score]) -> float:
    """What the check has to reach; infinite when the score it is compared with is missing."""
    if not check.against:
        return check.at_least
    if check.against == "hgb":
        reference, slack = mean_score(baseline(check.data), kept), check.slack
        return float("inf") if reference is None else reference - slack * abs(reference)
    other = next(c for c in checks() if f"{c.name} on {c.data}" == check.against)
    reference = mean_score(other, kept)
    return float("inf") if reference is None else reference - check.slack


def report(asked: Sequence[Check], kept: Mapping[str, Score]) -> tuple[Table, int]:
    """The table, and how many checks miss their bar."""
    table, missed = Table(box=None), 0
    for column in ("family", "set", "compared with"):
        table.add_column(column)
    for column in ("score", "bar", "seeds", "parameters", "seconds"):
        table.add_column(column, justify="right")
    table.add_column("reached")
    for check in asked:
        runs = [kept[key(check, seed)] for seed in check.seeds]
        score, wanted = mean_score(check, kept), bar(check, kept)
        reached = score is not None and score >= wanted
        missed += not reached
        problem = next((run.error for run in runs if run.error), "")
        table.add_row(
            check.name,
            check.data,
            check.against or ("" if check.at_least else "(a reference)"),
            "-" if score is None else f"{score:.4f}",
            f"{wanted:.4f}" if wanted else "-",
            str(len(runs)),
            f"{runs[0].parameters:,}",
            f"{sum(run.seconds for run in runs) / len(runs):.0f}",
            "yes" if reached else f"no {problem}",
        )
    return table, missed
