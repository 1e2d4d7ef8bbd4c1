"""How well wrong labels are found: 5 % of the labels of a data set are flipped, and the finder is to name them.

    level4 +experiment=bench/label_errors [bench.root=FOLDER]

Precision: share of the named rows that were flipped. Recall: share of the flipped rows that were named. Beside them
stand those of cleanlab's own filter (``find_label_issues`` with its defaults) on the same calibrated probabilities,
and how many labels are named when none was flipped. Labels that are wrong already in a set count as false alarms, so
that precision is a lower bound. ``bench.root`` adds the csv and npz sets of a folder (their training rows). Exit
status 1 when digits or one of the two tables of scikit-learn falls below the promised precision and recall.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from sklearn import datasets

from automl.data.dataset import TEST, Dataset, take
from automl.data.quality.features import quick_features
from automl.data.quality.quick import class_probabilities
from automl.data.quality.suspects import MAX_FIT, find_label_errors, stratified
from automl.data.sources.file import FileSource
from automl.errors import UserError
from automl.task.kind import infer_kind
from experiments.bench import options_from

PROMISED = {"digits": (0.85, 0.85), "breast_cancer": (0.7, 0.6), "wine": (0.8, 0.7)}
"""Least precision and recall with 5 % flipped, means over the seeds."""


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/label_errors.yaml."""

    root: Path | None
    only: str
    share: float
    seeds: int
    rows: int


@dataclass(frozen=True)
class Found:
    """Means over seeds; ``clean``: labels named when none is flipped, as a share of the rows."""

    precision: float
    recall: float
    cleanlab_precision: float
    cleanlab_recall: float
    clean: float
    accuracy: float
    seconds: float


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    if options.share >= 0.5:
        raise UserError(f"bench.share={options.share} must be below 0.5")
    sets = [*bundled(), *(from_folder(options.root, options.only) if options.root else ())]
    print(f"{options.share:.0%} of the labels flipped, means over {options.seeds} seeds\n")
    print(f"{'':<26}{'':>8}{'':>8}{'found':>16}{'cleanlab':>18}{'named':>9}{'quick':>8}{'':>9}")
    heads = ("rows", "classes", "precision", "recall", "precision", "recall", "clean", "acc.", "seconds")
    print(f"{'set':<26}" + "".join(f"{h:>{w}}" for h, w in zip(heads, (8, 8, 11, 7, 11, 7, 7, 8, 9), strict=True)))
    broken, all_found = [], []
    for name, dataset in sets:
        found = measure(dataset, options.share, options.seeds, options.rows)
        all_found.append(found)
        classes, rows = dataset.target.nunique(), min(len(dataset), options.rows)
        print(line(name, f"{rows:,}", str(classes), found), flush=True)
        least = PROMISED.get(name)
        if least and options.share == 0.05 and (found.precision < least[0] or found.recall < least[1]):
            broken.append(name)
    print(line(f"mean of {len(sets)}", "", "", mean(all_found)))
    for name in broken:
        print(f"{name}: below the promised {PROMISED[name][0]} precision and {PROMISED[name][1]} recall")
    if broken:
        raise SystemExit(1)


def line(name: str, rows: str, classes: str, f: Found) -> str:
    return (
        f"{name:<26}{rows:>8}{classes:>8}{f.precision:>11.2f}{f.recall:>7.2f}{f.cleanlab_precision:>11.2f}"
        f"{f.cleanlab_recall:>7.2f}{f.clean:>7.1%}{f.accuracy:>8.2f}{f.seconds:>9.1f}"
    )


def mean(found: list[Found]) -> Found:
    return Found(*np.mean([list(vars(f).values()) for f in found], axis=0).tolist())


def bundled() -> Iterator[tuple[str, Dataset]]:
    """Digits as images, and two tables of scikit-learn."""
    digits: Any = datasets.load_digits()
    images = {"image": (digits.images * 15.9).astype(np.uint8)}
    bare = pd.DataFrame(index=range(len(digits.target)))
    yield "digits", Dataset("digits", bare, pd.Series(digits.target), images, modalities={"image": "image"})
    for name, load in (("breast_cancer", datasets.load_breast_cancer), ("wine", datasets.load_wine)):
        bunch: Any = load(as_frame=True)
        yield name, Dataset(name, bunch.data, bunch.target)


def from_folder(root: Path, only: str) -> Iterator[tuple[str, Dataset]]:
    """The sets of a folder that have classes: their rows that are not test."""
    for file in sorted([*root.glob("*.csv.gz"), *root.glob("*.csv"), *root.glob("*.npz")]):
        if only not in file.name:
            continue
        dataset = FileSource(str(file)).load()
        if infer_kind(dataset)[0] == "regression":
            continue
        seen = dataset.target.notna().to_numpy()
        if dataset.split is not None:
            seen &= dataset.split != TEST
        if seen.sum() >= 100:
            yield dataset.name, take(dataset, np.flatnonzero(seen))


def flipped(y: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Class codes with a share of them moved to another class at random, and the positions of those."""
    classes = int(y.max()) + 1
    rows = rng.choice(len(y), max(1, round(share * len(y))), replace=False)
    wrong = y.copy()
    wrong[rows] = (y[rows] + rng.integers(1, classes, len(rows))) % classes
    return wrong, rows


def measure(dataset: Dataset, share: float, seeds: int, most: int) -> Found:
    """Flip, find, compare."""
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(dataset), min(len(dataset), most), replace=False))
    y = pd.factorize(dataset.target.iloc[rows])[0]
    began = time.process_time()
    x = quick_features(dataset, rows)
    preparing = time.process_time() - began
    clean = find_label_errors(x, y)
    ours, theirs, seconds = [], [], []
    for seed in range(seeds):
        wrong, true = flipped(y, share, np.random.default_rng(seed))
        began = time.process_time()
        judged = find_label_errors(x, wrong)
        seconds.append(preparing + time.process_time() - began)
        ours.append(agreement(judged.rows, true))
        theirs.append(agreement(cleanlab_rows(x, wrong), true))
    return Found(
        *np.mean(ours, axis=0).tolist(),
        *np.mean(theirs, axis=0).tolist(),
        clean=len(clean.rows) / len(y),
        accuracy=clean.accuracy,
        seconds=float(np.mean(seconds)),
    )


def cleanlab_rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What cleanlab's filter names, with its defaults, on the probabilities that our finder judges by."""
    from cleanlab.filter import find_label_issues

    fit = stratified(y, MAX_FIT, np.random.default_rng(0))
    probabilities, _ = class_probabilities(x, y, int(y.max()) + 1, fit, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.flatnonzero(find_label_issues(y, probabilities, n_jobs=1))


def agreement(named: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Precision and recall; naming nothing has precision 1."""
    hits = len(np.intersect1d(named, true))
    return hits / len(named) if len(named) else 1.0, hits / len(true)
