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
error before and after the temperature; the same on the sets that have all three ways, as folds are for few rows; and by
how much the test score differs between ways.

Exit status 1 when a run failed, when fewer than 92 % of (set, level) of ``holdout`` or of the default are inside, or
when the default's mean gap is above half a point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from automl import metrics
from automl.uncertainty.calibrate import Answers, band, calibrate, temperature_of, tempered
from automl.uncertainty.sets import CLASS_ROWS, LEVELS, Calibration, rank_of
from experiments.bench import options_from
from experiments.bench._calibrated import TRAINED, WAYS, Asked, Run, file_of, read, train_and_keep
from experiments.bench._commit import commit
from experiments.bench._mapie import mapie_size, mapie_width
from experiments.bench.level3 import chosen
from experiments.bootstrap import mean_interval
from experiments.settings import writable

INSIDE, GAP = 0.92, 0.005
ENOUGH = 250  # judging rows: one of fewer is half a point and more of accuracy


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    writable(options.out.parent, "bench.out")
    options.out.mkdir(exist_ok=True)
    wanted = chosen(options.root, options.sets, options.each)
    program = commit(paths=TRAINED)
    every = [
        (said, seed, way, file_of(cfg, options, said, seed, way, program))
        for seed in options.seed
        for said in wanted
        for way in WAYS
    ]
    todo = [one for one in every if not one[-1].exists()]
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        jobs = {pool.submit(train_and_keep, plain, *one): one for one in todo}
        for job in as_completed(jobs):
            said, seed, way, _ = jobs[job]
            print(said["name"], seed, way, job.result(), flush=True)
    runs = [found for said, seed, way, file in every if (found := read(file, said, seed, way)) is not None]
    if failed := sum(not file.exists() for *_, file in every):
        print(f"{failed} of {len(every)} runs failed and are in no number below; the same command tries them again")
    if not show(runs) or failed:
        raise SystemExit(1)


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
            m.run.name,
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
    for name, of in (*by_way(found), ("default", default_of(found))):
        if (said := told(name, of)) is None:
            continue
        inside, gap = said
        if name in ("holdout", "default"):
            fine &= inside >= INSIDE
        if name == "default":
            fine &= abs(gap) <= GAP
    common = in_common(found)
    if len(common) < len(found):
        print(f"on the {len({m.run.name for m in common})} sets that have all ways:")
        for name, of in by_way(common):
            told(name, of)
    for way in ("holdout", "folds"):
        cost(found, way)
    return fine


def by_way(found: Sequence[Measured]) -> list[tuple[str, list[Measured]]]:
    return [(way, [m for m in found if m.run.way == way]) for way in WAYS]


def in_common(found: Sequence[Measured]) -> list[Measured]:
    """Runs of the sets and seeds that have all ways: cross-validation is for few rows, which are harder to cover."""
    ways = Counter((m.run.name, m.run.seed) for m in found)
    return [m for m in found if ways[m.run.name, m.run.seed] == len(WAYS)]


def told(name: str, of: Sequence[Measured]) -> tuple[float, float] | None:
    """Print what these runs say together; the share that is inside the band and the mean gap, None where nothing is."""
    covered = [c for m in of for c in m.covered]
    if not covered:
        return None
    inside, gap = (float(np.mean(v)) for v in ([c.inside for c in covered], [c.share - c.level for c in covered]))
    sizes = [c.size / c.mapie for c in covered if c.mapie > 0 and np.isfinite(c.size)]
    worst = [m.worst for m in of if m.worst is not None]
    share = np.mean([w >= -0.05 for w in worst]) if worst else 0.0
    print(
        f"{name}: {len(of)} runs, {inside:.1%} of {len(covered)} (set, level) inside the band, mean gap {gap:+.2%},"
        f" size {np.mean(sizes):.3f} of MAPIE's"
        + (f", worst class {share:.1%} of {len(worst)} at 85 % or more" if worst else "")
    )
    if classes := [m for m in of if m.run.task.kind != "regression"]:
        mean = [np.mean([getattr(m, what)[i] for m in classes]) for what in ("log_loss", "ece") for i in (0, 1)]
        print(f"    log-loss {mean[0]:.4f} -> {mean[1]:.4f}, ece {mean[2]:.4f} -> {mean[3]:.4f} by the temperature")
    return inside, gap


def default_of(found: Sequence[Measured]) -> list[Measured]:
    """Of each set and seed the run that ``objective.calibrate=auto`` would make.

    Rows are plenty where a drawn validation split of them would have as many rows as this one. Where they have an order
    in time, or groups, none are held out (``auto`` would, of small groups).
    """
    from automl.data.split import PLENTY_ROWS, default_valid_share

    plenty = default_valid_share(PLENTY_ROWS) * PLENTY_ROWS
    of = {(m.run.name, m.run.seed, m.run.way): m for m in found}
    default = []
    for name, seed in dict.fromkeys((m.run.name, m.run.seed) for m in found):
        if (valid := of.get((name, seed, "valid"))) is not None:
            held = valid.run.alike and len(valid.run.judged) >= plenty
            default.append(of.get((name, seed, WAYS[0])) if held else valid)
    return [m for m in default if m is not None]


def cost(found: Sequence[Measured], way: str) -> None:
    """By how much test scores differ from those of ``valid``, which holds nothing out: of all sets, and of those that
    enough rows judge to tell.
    """
    score: dict[tuple[str, str], list[float]] = {}
    valid = {m.run.name: m.run for m in found if m.run.way == "valid"}
    for m in found:
        score.setdefault((m.run.way, m.run.name), []).append(m.score)
    both = [n for n in valid if len(score.get((way, n), ())) == len(score["valid", n])]
    for least in (0, ENOUGH):
        names = [n for n in both if len(valid[n].judged) >= least]
        if names:
            gaps = np.array([np.mean(score[way, n]) - np.mean(score["valid", n]) for n in names])
            low, high = mean_interval(gaps, np.array([valid[n].group for n in names]))
            which = f" that {least} rows or more judge" if least else ""
            told = f"{np.mean(gaps):+.4f} [{low:+.4f}, {high:+.4f}] over {len(gaps)} sets{which}"
            print(f"score of {way} less that of valid: {told}")
