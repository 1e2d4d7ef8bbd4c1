"""A bundle of every kind answers where the program is not: how fast it is there, and in how much memory.

    make runtime-check        # level4 +experiment=bench/runtime

Makes small bundles of a table, values, pictures, sounds, series and texts with networks that are not trained. Then a
new environment is made that holds what installing the bundle's own wheel brings. There each bundle is loaded in a
process of its own, asked its examples, for sets or intervals, and for an explanation.

Printed: seconds from the start of Python to the first answer, and the most memory that was resident (VmHWM of Linux).
Exit status 1 when one does not answer, imports what a small install must not, takes more than ``SECONDS`` or
``MEGABYTES``.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from automl.data.dataset import Dataset
from automl.data.prepare import prepare
from automl.deploy.export import export
from automl.training.module import Begins
from automl.training.predictor import Deployed, Predictor, outputs, target_scale
from automl.types import Profile
from automl.uncertainty.calibrate import Answers, calibrate
from experiments.bench import options_from
from experiments.environments import environment
from experiments.options import made as learner_of
from experiments.options import made_families
from experiments.solve.filling import fill
from nas.family import build, search_axes
from nas.recipe import training_axes

SECONDS, MEGABYTES = 1.5, 200
HEAVY = ("torch", "scipy", "sklearn", "lightning", "ray", "nni", "hydra", "sqlalchemy", "pyarrow")
ROWS = 200
ASK = """
import json, os, sys, time
from level4 import Bundle
from automl.deploy.examples import read_examples
bundle = Bundle.load(sys.argv[1])
rows = read_examples(sys.argv[1]).rows
bundle.predict(rows[:1])
ran = time.clock_gettime(time.CLOCK_BOOTTIME)
began = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
told = bundle.answer(rows, 0.8)
explained = bundle.explain(rows[0] if isinstance(rows[0], dict) and len(bundle.encoding.fields) > 1 else rows[:1])
heavy = sorted(m for m in sys.argv[2].split(",") if m in sys.modules)
megabytes = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
print(json.dumps([ran - began, megabytes, heavy, len(told.prediction), len(explained.effects)]))
"""


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/runtime.yaml."""

    seconds: float
    megabytes: float


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    with tempfile.TemporaryDirectory(prefix="runtime-") as scratch:
        bundles = dict(made(cfg, Path(scratch)))
        (wheel,) = next(iter(bundles.values())).glob("*.whl")
        python = environment(Path(scratch) / "venv", [str(wheel)])
        fine = show({name: asked(python, bundle) for name, bundle in bundles.items()}, options)
    if not fine:
        raise SystemExit(1)


def asked(python: Path, bundle: Path) -> list[Any]:
    """What ``ASK`` prints, the fastest of three; or a line of what went wrong."""
    alone = {"PATH": os.environ["PATH"], "HOME": str(bundle)}
    found: list[list[Any]] = []
    for _ in range(3):
        done = subprocess.run(
            [python, "-c", ASK, bundle, ",".join(HEAVY)], capture_output=True, text=True, cwd=bundle, env=alone
        )
        if done.returncode:
            return [done.stderr.strip().splitlines()[-1]]
        found.append(json.loads(done.stdout))
    return min(found)


def show(found: dict[str, list[Any]], options: Asked) -> bool:
    table = Table()
    for name in ("bundle of", "start to answer, s", "memory, MB", "heavy imports", "answers", "effects"):
        table.add_column(name, justify="left" if name == "bundle of" else "right")
    fine = True
    for name, of in found.items():
        if len(of) == 1:
            table.add_row(name, *of)
            fine = False
            continue
        seconds, megabytes, heavy, *counts = of
        fine &= seconds <= options.seconds and megabytes <= options.megabytes and not heavy
        table.add_row(name, f"{seconds:.2f}", f"{megabytes:.0f}", ", ".join(heavy) or "none", *map(str, counts))
    Console(width=110).print(table)
    return fine


def made(cfg: DictConfig, folder: Path) -> Iterator[tuple[str, Path]]:
    """Name -> bundle of each kind."""
    rng = np.random.default_rng(0)
    classes = pd.Series(rng.choice(["a", "b", "c"], ROWS), name="goal")
    words = np.array(["red", "blue", "small", "large", "round", "soft", "warm", "cold"])
    frame = pd.DataFrame(
        {
            "size": rng.normal(50, 10, ROWS),
            "gap": np.where(rng.random(ROWS) < 0.3, np.nan, rng.normal(size=ROWS)),
            "city": rng.choice(["Rome", "Oslo", "Lima"], ROWS),
            "seen": pd.date_range("2019-01-01", periods=ROWS, freq="37h"),
        }
    )
    stories = pd.DataFrame({"story": [f"{' '.join(rng.choice(words, 6))} {i}" for i in range(ROWS)]})
    none = pd.DataFrame(index=range(ROWS))
    yield "table", bundle_of(cfg, folder, Dataset("table", frame, classes))
    yield "values", bundle_of(cfg, folder, Dataset("values", frame, pd.Series(rng.normal(size=ROWS), name="goal")))
    yield "texts", bundle_of(cfg, folder, Dataset("texts", stories, classes))
    for kind, array in (
        ("image", rng.integers(0, 256, (ROWS, 32, 32, 3)).astype(np.uint8)),
        ("series", rng.normal(size=(ROWS, 2, 60)).astype(np.float32)),
        ("audio", rng.normal(-30, 10, (ROWS, 64, 40)).astype(np.float32)),
    ):
        modalities: Any = {kind: kind}
        yield kind, bundle_of(cfg, folder, Dataset(kind, none, classes, {kind: array}, modalities=modalities))


def bundle_of(cfg: DictConfig, folder: Path, dataset: Dataset) -> Path:
    """A bundle of two networks that were not trained, written as a run writes it."""
    prepared = prepare(dataset, check=False)
    task, parts, families = prepared.task, prepared.parts, made_families(cfg)
    axes = search_axes(families, task, training_axes(task))
    networks: list[Any] = []
    for candidate in learner_of(cfg, "metalearner").predict(Profile((), ()), axes).portfolio:
        of = families[candidate.family]
        networks = [build(of, task, candidate, axes[candidate.family], seed=seed) for seed in (0, 1)]
        if not isinstance(networks[0], Begins):  # those are nothing before they have seen rows
            break
    predictor = Deployed([Predictor(n, task, *target_scale(task, parts.train)).eval() for n in networks], [2, 1], task)
    told = outputs(predictor, parts.valid.inputs)
    known = Answers(told[0], parts.valid.y, told[1] if "spread" in predictor.names else None)
    of_valid = calibrate(task, known, None, source="valid", alike=True)

    def more(draft: Path) -> None:
        fill(draft, prepared, dataset, predictor, of_valid, None, None)

    return export(folder / dataset.name, predictor, task, prepared.encoding, parts.valid.inputs, fill=more)
