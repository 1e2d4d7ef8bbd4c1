"""A table of past runs: read, checked, and laid out as arrays.

The format is one row per (task, candidate[, seed][, epoch]) with columns ``task``, ``group``, ``family``,
``candidate``, ``score`` and optionally ``axis/NAME``, ``seconds``, ``seed``, ``epoch``. Beside it, optionally, one
row per task with ``feature/NAME``. A knowledge file is read by ``experiments.replay.knowledge`` into the same.
"""

# pandas' stubs widen every column access to a union of a dozen array and scalar types; the tests check these rows.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from automl.errors import UserError
from automl.types import Axes, Axis, Candidate, Kind, Profile, Runs
from metalearner.past.kinds import carried

NEEDED = ("task", "group", "family", "candidate", "score")


@dataclass(frozen=True)
class Table:
    """Tasks x candidates.

    ``spaces``: the search space of each task. ``seen``: float (seeds, tasks, candidates), what one training tells the
    search; NaN where it failed or is missing. ``scored``: (tasks, candidates), what the choice is judged by: the mean
    over other seeds where there are any, else the same. ``seconds``: (tasks, candidates), of a training, NaN when
    unknown. ``there``: bool (tasks, candidates), what a search on the task may try. ``cohorts``: per task; tasks learn
    from those of their own. ``kinds``: per task, None: runs are not told as runs of another kind. ``notes``: what was
    done, for people.
    """

    name: str
    tasks: tuple[str, ...]
    groups: np.ndarray
    candidates: tuple[Candidate, ...]
    spaces: tuple[Axes, ...]
    profiles: tuple[Profile | None, ...]
    seen: np.ndarray
    scored: np.ndarray
    seconds: np.ndarray
    there: np.ndarray
    cohorts: tuple[str, ...]
    kinds: tuple[Kind | None, ...]
    notes: tuple[str, ...] = ()

    @property
    def timed(self) -> bool:
        """Whether anything is known of what trainings take."""
        return bool(np.isfinite(self.seconds).any())

    @functools.cached_property
    def costs(self) -> np.ndarray:
        """Seconds in usual trainings, the median of the task's; 1 where they are unknown: (tasks, candidates)."""
        known = np.where(self.there & (self.seconds > 0), self.seconds, np.nan)
        usual = [np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else 1.0 for row in known]
        return np.nan_to_num(known / np.reshape(usual, (-1, 1)), nan=1.0)

    @functools.cached_property
    def regret(self) -> np.ndarray:
        """(best - score) / (best - worst) of each task, (tasks, candidates); 1 where there is no score."""
        best = np.nanmax(self.scored, axis=1, keepdims=True)
        span = best - np.nanmin(self.scored, axis=1, keepdims=True)
        return np.where(np.isnan(self.scored), 1.0, (best - self.scored) / np.where(span > 0, span, 1.0))

    def without(self, group: str, like: int | None = None, *, negated: bool = False) -> Runs:
        """The runs of all other groups, at full length, one row per seed; ``negated``: the worst look best.

        ``like``: the task that is to learn from them: those of its cohort, told as runs of its kind.
        """
        kept = np.flatnonzero(self.groups != group)
        if like is not None:
            kept = kept[[self.cohorts[i] == self.cohorts[like] for i in kept]]
        seen = self.seen[:, kept]
        ran = self.there[kept] & (~np.isnan(self.scored[kept])[None] | ~np.isnan(seen) | (len(self.seen) == 1))
        seed, task, candidate = np.nonzero(ran)
        score = seen[seed, task, candidate]
        runs = Runs(
            tasks=tuple(self.tasks[i] for i in kept),
            groups=tuple(str(g) for g in self.groups[kept]),
            profiles=tuple(self.profiles[i] for i in kept),
            candidates=self.candidates,
            task=task,
            candidate=candidate,
            fidelity=np.ones(len(task), np.int64),
            seed=seed,
            score=-score if negated else score,
            seconds=self.seconds[kept][task, candidate],
        )
        kind = None if like is None else self.kinds[like]
        return runs if kind is None else carried(runs, kind)

    def some(self, share: float, seed: int) -> Table:
        """The same with a random ``share`` of its candidates, at least two."""
        count = max(2, int(share * len(self.candidates)))
        kept = np.sort(np.random.default_rng(seed).permutation(len(self.candidates))[:count])
        return replace(
            self,
            candidates=tuple(self.candidates[i] for i in kept),
            seen=self.seen[:, :, kept],
            scored=self.scored[:, kept],
            seconds=self.seconds[:, kept],
            there=self.there[:, kept],
        )

    def shuffled(self, seed: int) -> Table:
        """The same with every profile given to another task of its cohort."""
        rng, order = np.random.default_rng(seed), np.arange(len(self.tasks))
        for cohort in dict.fromkeys(self.cohorts):
            of = np.flatnonzero([c == cohort for c in self.cohorts])
            order[of] = of[rng.permutation(len(of))]
        return replace(self, profiles=tuple(self.profiles[i] for i in order))


def read_table(path: str | Path, tasks: str | Path | None = None, history_seeds: Sequence[int] | None = None) -> Table:
    """Read a table; ``tasks`` defaults to NAME.tasks.parquet beside it. Raises UserError for what is no table.

    ``history_seeds``: those that search and past tasks see; the others judge. Default: the first three fifths.
    """
    path = Path(path)
    rows = _parquet(path, NEEDED, "table")
    rows["score"] = pd.to_numeric(rows["score"], errors="coerce").replace([np.inf, -np.inf], np.nan)
    if rows[["task", "group", "family", "candidate"]].isna().any(axis=None):
        raise UserError(f"{path} has rows without task, group, family or candidate. Remove or fill them")
    for name in rows.columns.drop(["score", "seconds", "seed", "epoch", "test_score"], errors="ignore"):
        rows[name] = rows[name].astype(object).where(rows[name].notna(), "none").astype(str)
    if rows["group"].nunique() < 2:
        raise UserError(f"{path} has one group; leaving one out needs at least two. Give the tasks their groups")
    if not rows["score"].notna().any():
        raise UserError(f"{path} has no score that is a number. Fill the column score")
    notes = []
    if "epoch" in rows:
        notes.append(f"learning curves: the last epoch ({rows['epoch'].max()}) is the full length")
        keys = ["task", "candidate", *(["seed"] if "seed" in rows else [])]
        rows = rows.sort_values("epoch", kind="stable").drop_duplicates(keys, keep="last")
    names = sorted(rows["task"].unique())
    ids = sorted(rows["candidate"].unique())
    at = (
        rows["task"].map({n: i for i, n in enumerate(names)}),
        rows["candidate"].map({n: i for i, n in enumerate(ids)}),
    )
    seen, scored, note = _scores(rows, at, (len(names), len(ids)), history_seeds, path)
    usable = np.isfinite(scored).any(axis=1)
    if not usable.all():
        raise UserError(f"task {names[int(np.argmin(usable))]} in {path} has no score that is a number. Remove it")
    groups = rows.drop_duplicates("task").set_index("task")["group"].loc[names].to_numpy(dtype=str)
    candidates, axes = _candidates(rows.drop_duplicates("candidate").set_index("candidate").loc[ids])
    seconds = np.full(scored.shape, np.nan)
    if "seconds" in rows:
        seconds = _mean(pd.to_numeric(rows["seconds"], errors="coerce").to_numpy(float), at, scored.shape)
    beside = path.with_name(f"{path.stem}.tasks.parquet")
    about = tasks or (beside if beside.is_file() else None)
    profiles = _profiles(Path(about), names) if about else (None,) * len(names)
    there = np.zeros(scored.shape, bool)
    there[at[0].to_numpy(), at[1].to_numpy()] = True
    every = len(names)
    return Table(
        *(path.stem, tuple(names), groups, candidates, (axes,) * every, profiles, seen, scored, seconds, there),
        cohorts=("",) * every,
        kinds=(None,) * every,
        notes=(*notes, *note),
    )


def _scores(rows: pd.DataFrame, at: tuple, shape: tuple[int, int], history: Sequence[int] | None, path: Path):
    """Seen (seeds, tasks, candidates), scored (tasks, candidates) and a note."""
    score = rows["score"].to_numpy(float)
    every = sorted(rows["seed"].unique().tolist()) if "seed" in rows else []
    if len(every) < 2:
        seen = _mean(score, at, shape)
        return seen[None], seen, ()
    first = list(history) if history is not None else every[: max(1, int(0.6 * len(every)))]
    if not set(first) < set(every):
        raise UserError(f"history_seeds={first} must be some, not all, of the seeds of {path}: {every}")
    of = {s: (rows["seed"] == s).to_numpy() for s in every}
    seen = np.stack([_mean(np.where(of[s], score, np.nan), at, shape) for s in first])
    judged = _mean(np.where(~np.any([of[s] for s in first], axis=0), score, np.nan), at, shape)
    note = f"search sees one of the seeds {first}, the choice is judged by the mean of the others"
    return seen, np.where(np.isnan(judged), np.nan if np.isfinite(judged).any() else seen[0], judged), (note,)


def _mean(values: np.ndarray, at: tuple, shape: tuple[int, int]) -> np.ndarray:
    flat = at[0].to_numpy() * shape[1] + at[1].to_numpy()
    known = np.isfinite(values)
    total = np.bincount(flat[known], weights=values[known], minlength=shape[0] * shape[1])
    count = np.bincount(flat[known], minlength=shape[0] * shape[1])
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)


def _candidates(rows: pd.DataFrame) -> tuple[tuple[Candidate, ...], Axes]:
    """Candidates and the space they span; where choices do not tell candidates apart, their names do."""
    columns = [c for c in rows.columns if c.startswith("axis/")]
    names = {f: [c for c in columns if (of[c] != "none").any()] for f, of in rows.groupby("family", sort=True)}
    choices = [{c[5:]: row[c] for c in names[row["family"]]} for _, row in rows.iterrows()]
    made = [Candidate(str(f), c) for f, c in zip(rows["family"], choices, strict=True)]
    if len({c.id for c in made}) < len(made):
        made = [Candidate(c.family, {**c.choices, "candidate": str(i)}) for c, i in zip(made, rows.index, strict=True)]
    axes: dict[str, tuple[Axis, ...]] = {}
    for family in names:
        of = [c for c in made if c.family == family]
        axes[str(family)] = tuple(
            Axis(name, tuple(sorted({c.choices[name] for c in of}, key=str))) for name in of[0].choices
        )
    return tuple(made), axes


def _profiles(path: Path, names: list[str]) -> tuple[Profile | None, ...]:
    """One Profile per task; words become one 0/1 feature per value, named NAME=VALUE."""
    rows = _parquet(path, ("task",), "tasks")
    rows = rows.drop_duplicates("task").set_index(rows["task"].astype(str).drop_duplicates())
    features = [c for c in rows.columns if c.startswith("feature/")]
    columns: dict[str, pd.Series] = {}
    for column in features:
        numbers = pd.to_numeric(rows[column], errors="coerce")
        words = rows[column].notna() & numbers.isna()
        if not words.any():
            columns[column[8:]] = numbers.astype(float)
        else:
            for value in sorted(rows[column].dropna().astype(str).unique()):
                columns[f"{column[8:]}={value}"] = (rows[column].astype(str) == value).astype(float)
    values = pd.DataFrame(columns, index=rows.index)
    held = set(values.index) if len(values.columns) else set()
    names_of = tuple(values.columns)
    return tuple(Profile(names_of, tuple(map(float, values.loc[n]))) if n in held else None for n in names)


def _parquet(path: Path, needed: Sequence[str], option: str) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"{option}={path} is no file. Give a parquet file: {option}=PATH")
    try:
        rows = pd.read_parquet(path)
    except (OSError, ValueError) as problem:
        raise UserError(f"{option}={path} is no parquet file ({str(problem).splitlines()[0]}). Give one") from problem
    missing = [c for c in needed if c not in rows.columns]
    if missing:
        raise UserError(
            f"column {missing[0]!r} not in {path}; columns are: {', '.join(map(str, rows.columns))}. Add it"
        )
    if rows.empty:
        raise UserError(f"{option}={path} has no rows. Give a table with runs")
    return rows
