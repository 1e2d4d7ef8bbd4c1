"""Do sets and intervals cover what they promise, on which rows is it best to calibrate, and what does holding cost?

    level4 +experiment=bench/uncertainty bench.root=FOLDER [bench.seed=[0,1,2]]

FOLDER is that of the benchmark ``level3``. Of each set the first ``bench.members`` candidates of common practice are
trained, without a search, and averaged, in three ways that differ in the rows that calibrate:

    holdout   rows that are held out of everything; the networks are trained once more without them
    valid     the validation rows, predicted by the networks before they are trained once more
    folds     every row to learn from, predicted by the networks of cross-validation (up to ``bench.fold_rows`` rows)

Their probabilities are kept in ``bench.out``, a file a run, so that all else is made anew in seconds. On the test rows,
at 80, 90 and 95 %: the share that is covered; whether it lies inside the beta-binomial band of its rows (``band``); the
mean size of a set or width of an interval, beside MAPIE's on the same scores; the worst class; log-loss and calibration
error before and after the temperature; and by how much the test score differs between ways.

Exit status 1 when fewer than 92 % of (set, level) of ``holdout`` or of the default are inside, or the default's mean
gap is above half a point.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from automl import metrics
from automl.data.sources.file import FileSource
from automl.errors import UserError
from automl.types import Task
from automl.uncertainty.calibrate import LEVELS, Answers, band, calibrate, temperature_of, tempered
from automl.uncertainty.sets import CLASS_ROWS, Calibration, rank_of
from experiments.bench import options_from
from experiments.bench.level3 import chosen, kind_of
from experiments.options import made, made_families
from experiments.settings import writable

WAYS = ("holdout", "valid", "folds")
INSIDE, GAP = 0.92, 0.005
FOLDS = 5
ENOUGH = 250  # judging rows: one of fewer is half a point and more of accuracy


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
    modality: str
    way: str
    task: Task
    alike: bool
    judged: Answers
    held: Answers | None
    test: Answers


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    writable(options.out.parent, "bench.out")
    options.out.mkdir(exist_ok=True)
    wanted = chosen(options.root, options.sets, options.each)
    todo = [
        (said, seed, way)
        for seed in options.seed
        for said in wanted
        for way in WAYS
        if not file_of(options, said["name"], seed, way).exists()
    ]
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        jobs = {pool.submit(train_and_keep, plain, *one): one for one in todo}
        for job in as_completed(jobs):
            said, seed, way = jobs[job]
            print(said["name"], seed, way, job.result(), flush=True)
    runs = [
        found
        for seed in options.seed
        for said in wanted
        for way in WAYS
        if (found := read(file_of(options, said["name"], seed, way), said, way)) is not None
    ]
    if not show(runs):
        raise SystemExit(1)


def file_of(options: Asked, name: str, seed: int, way: str) -> Path:
    made = f"{options.members}-{options.epochs}-{options.trial_seconds:g}"
    return options.out / f"{name}-{seed}-{way}-{made}.npz"


def train_and_keep(plain: Mapping[str, Any], said: Mapping[str, Any], seed: int, way: str) -> str:
    """One run, in a process of its own kind; what came of it in a word."""
    import torch

    from experiments.solve.graphs import flat

    torch.set_num_threads(1)
    cfg = OmegaConf.create(dict(plain))
    assert isinstance(cfg, DictConfig)
    options = options_from(cfg, Asked)
    try:
        arrays = answers_of(cfg, options, said, seed, way)
    except Exception as error:  # one set that cannot be trained must not end the others
        arrays, told = {}, flat(error)
    else:
        told = "kept" if arrays else "passed over"
    path = file_of(options, str(said["name"]), seed, way)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as out:
        np.savez(out, **arrays)  # pyright: ignore[reportArgumentType]
    draft.replace(path)
    return told


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


def read(path: Path, said: Mapping[str, Any], way: str) -> Run | None:
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
        return Run(
            said["name"], kind_of(dict(said)), way, task, bool(arrays["alike"][0]), judged, answers("held"), test
        )


@dataclass(frozen=True)
class Covered:
    """A level of a run. ``inside``: the band. ``size``: of sets, or width in spreads of the target; ``mapie``: its."""

    level: float
    share: float
    inside: bool
    size: float
    mapie: float


@dataclass(frozen=True)
class Measured:
    """What a run's calibration does on its test rows."""

    run: Run
    rows: int
    temperature: float
    covered: list[Covered]
    worst: float | None
    log_loss: tuple[float, float]
    ece: tuple[float, float]

    @property
    def score(self) -> float:
        return metrics.score(self.run.task.metric, self.run.task.kind, self.run.test.y, self.run.test.prediction)


def measured(run: Run) -> Measured:
    task, values = run.task, run.task.kind == "regression"
    heat = 1.0 if values else temperature_of(run.judged.prediction, run.judged.y)

    def at(answers: Answers) -> Answers:
        return answers if values else Answers(tempered(answers.prediction, heat), answers.y)

    test, held = at(run.test), None if run.held is None else at(run.held)
    of = calibrate(task, at(run.judged), held, source=run.way, alike=run.alike, temperature=heat)
    before = after = (0.0, 0.0)
    if not values:
        before, after = (
            (metrics.log_loss(a.y, a.prediction), metrics.ece(a.y, a.prediction)) for a in (run.test, test)
        )
    return Measured(
        run,
        of.rows,
        heat,
        list(levels_of(of, at(run.judged) if held is None else held, test)),
        None if values else worst_class(of, test),
        (before[0], after[0]),
        (before[1], after[1]),
    )


def levels_of(of: Calibration, rows: Answers, test: Answers) -> Iterator[Covered]:
    for level in LEVELS:
        if rank_of(level, of.rows) > of.rows:
            continue
        if of.kind == "regression":
            ends = of.intervals(test.prediction, test.spread, level)
            covered, unit = (ends[:, 0] <= test.y) & (test.y <= ends[:, 1]), float(np.std(test.y)) or 1.0
            size = float((ends[:, 1] - ends[:, 0]).mean()) / unit
            mapie = mapie_width(rows, test, level) / unit
        else:
            sets = of.sets(test.prediction, level)
            covered, size = sets[np.arange(len(test)), test.y], float(sets.sum(1).mean())
            mapie = mapie_size(rows, test, level)
        low, high = band(of.rows, len(test), level)
        share = float(covered.mean())
        yield Covered(level, share, low <= share <= high, size, mapie)


def worst_class(of: Calibration, test: Answers) -> float | None:
    """How far below 90 % the worst class is covered by sets for each class, of those with enough rows on both sides."""
    if not of.by_class or rank_of(0.9, of.rows) > of.rows:
        return None
    sets = of.sets(test.prediction, 0.9, by_class=True)
    right = sets[np.arange(len(test)), test.y]
    found = [right[test.y == c].mean() for c in of.by_class if (test.y == c).sum() >= CLASS_ROWS]
    return float(min(found)) - 0.9 if found else None


def mapie_size(rows: Answers, test: Answers, level: float) -> float:
    """Mean size of MAPIE's sets on the same probabilities, through an estimator that answers what it is given."""
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        def fit(self, x: np.ndarray, y: Any) -> Given:
            self.classes_, self.n_features_in_ = np.arange(x.shape[1]), x.shape[1]
            return self

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            return x

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x.argmax(1)

    p = rows.prediction / rows.prediction.sum(1, keepdims=True)
    of = SplitConformalClassifier(Given().fit(p, rows.y), confidence_level=level, conformity_score="lac", prefit=True)
    of.conformalize(p, rows.y)
    sets = of.predict_set(test.prediction / test.prediction.sum(1, keepdims=True))[1]
    return float(sets[:, :, 0].sum(1).mean())


def mapie_width(rows: Answers, test: Answers, level: float) -> float:
    """Mean width of MAPIE's intervals on the same values, likewise."""
    from mapie.regression import SplitConformalRegressor
    from sklearn.base import BaseEstimator, RegressorMixin

    class Given(RegressorMixin, BaseEstimator):
        def fit(self, x: np.ndarray, y: Any) -> Given:
            self.n_features_in_ = 1
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x[:, 0]

    known = np.asarray(rows.prediction, dtype=np.float64)[:, None]
    of = SplitConformalRegressor(Given().fit(known, rows.y), confidence_level=level, prefit=True)
    of.conformalize(known, np.asarray(rows.y, dtype=np.float64))
    ends = of.predict_interval(np.asarray(test.prediction, dtype=np.float64)[:, None])[1]
    return float((ends[:, 1, 0] - ends[:, 0, 0]).mean())


def show(runs: Sequence[Run]) -> bool:
    """Print what was measured; whether all bars are reached."""
    found = [measured(run) for run in runs]
    console = Console(width=150)
    table = Table(title="share covered at 80, 90 and 95 %; * outside the band")
    for name in (
        "set",
        "way",
        "rows",
        "test",
        *(f"{level:.0%}" for level in LEVELS),
        "size",
        "MAPIE",
        "T",
        "worst class",
    ):
        table.add_column(name, justify="left" if name in ("set", "way") else "right")
    for m in found:
        shares = {c.level: f"{c.share:.1%}{'' if c.inside else '*'}" for c in m.covered}
        at = next((c for c in m.covered if c.level == 0.9), None)
        table.add_row(
            m.run.name if m.run.way == WAYS[0] else "",
            m.run.way,
            f"{m.rows}",
            f"{len(m.run.test)}",
            *(shares.get(level, "–") for level in LEVELS),
            f"{at.size:.2f}" if at else "–",
            f"{at.mapie:.2f}" if at else "–",
            f"{m.temperature:.2f}",
            "–" if m.worst is None else f"{m.worst:+.1%}",
        )
    console.print(table)
    fine = True
    groups: list[tuple[str, list[Measured]]] = [(way, [m for m in found if m.run.way == way]) for way in WAYS]
    groups.append(("default", default_of(found)))
    for name, of in groups:
        covered = [c for m in of for c in m.covered]
        if not covered:
            continue
        inside, gap = np.mean([c.inside for c in covered]), np.mean([c.share - c.level for c in covered])
        sizes = [c.size / c.mapie for c in covered if c.mapie > 0 and np.isfinite(c.size)]
        worst = [m.worst for m in of if m.worst is not None]
        print(
            f"{name}: {len(of)} runs, {inside:.1%} of {len(covered)} (set, level) inside the band, mean gap {gap:+.2%},"
            f" size {np.mean(sizes):.3f} of MAPIE's"
            + (
                f", worst class {np.mean([w >= -0.05 for w in worst]):.1%} of {len(worst)} at 85 % or more"
                if worst
                else ""
            )
        )
        classes = [m for m in of if m.run.task.kind != "regression"]
        if classes:
            mean = [np.mean([getattr(m, what)[i] for m in classes]) for what in ("log_loss", "ece") for i in (0, 1)]
            print(f"    log-loss {mean[0]:.4f} -> {mean[1]:.4f}, ece {mean[2]:.4f} -> {mean[3]:.4f} by the temperature")
        if name in ("holdout", "default"):
            fine &= bool(inside >= INSIDE)
        if name == "default":
            fine &= bool(abs(gap) <= GAP)
    for way in ("holdout", "folds"):
        cost(found, way)
    return fine


def default_of(found: Sequence[Measured]) -> list[Measured]:
    """Of each set and seed the run that ``objective.calibrate=auto`` would make.

    Rows are plenty where a drawn validation split of them would have as many rows as this one. Runs stand by set and
    seed, ``holdout`` first.
    """
    from automl.data.split import PLENTY_ROWS, default_valid_share

    plenty, by_set = default_valid_share(PLENTY_ROWS) * PLENTY_ROWS, []
    for m in found:
        if m.run.way == WAYS[0]:
            by_set.append({})
        by_set[-1][m.run.way] = m
    return [ways[WAYS[0] if len(ways["valid"].run.judged) >= plenty else "valid"] for ways in by_set if "valid" in ways]


def cost(found: Sequence[Measured], way: str) -> None:
    """By how much test scores differ from those of ``valid``, which holds nothing out: of all sets, and of those that
    enough rows judge to tell.
    """
    score: dict[tuple[str, str], list[float]] = {}
    judged = {m.run.name: len(m.run.judged) for m in found if m.run.way == "valid"}
    for m in found:
        score.setdefault((m.run.way, m.run.name), []).append(m.score)
    both = [n for n in judged if len(score.get((way, n), ())) == len(score["valid", n])]
    for least in (0, ENOUGH):
        gaps = [float(np.mean(score[way, n]) - np.mean(score["valid", n])) for n in both if judged[n] >= least]
        if gaps:
            low, high = np.percentile(np.random.default_rng(0).choice(gaps, (10_000, len(gaps))).mean(1), [2.5, 97.5])
            which = f" that {least} rows or more judge" if least else ""
            told = f"{np.mean(gaps):+.4f} [{low:+.4f}, {high:+.4f}] over {len(gaps)} sets{which}"
            print(f"score of {way} less that of valid: {told}")
