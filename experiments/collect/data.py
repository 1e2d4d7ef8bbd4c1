"""Data files -> tasks ready to train on, small enough for many trainings, prepared once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automl.data.columns import modality_of
from automl.data.dataset import TEST, Dataset, Part, take
from automl.data.prepare import prepare
from automl.data.sources.file import FileSource, stem
from automl.errors import UserError
from automl.files import write_atomically
from automl.serial import from_json, to_json
from automl.task.formulate import default_metric
from automl.task.kind import infer_kind, numeric_target
from automl.types import Profile, Task
from metalearner.profile import NAMES, profile
from nas.engines.nni.jobfile import load_job, save_job
from nas.job import Job

SUFFIXES = (".npz", ".csv", ".csv.gz", ".tsv", ".parquet")


@dataclass(frozen=True)
class Entry:
    """A data file. ``group``: files of one group share an origin."""

    path: Path
    name: str
    group: str


@dataclass(frozen=True)
class Ready:
    """A task with the rows that its trainings need (no test rows)."""

    task: Task
    train: Part
    valid: Part
    profile: Profile


def entries(root: str | Path, option: str = "collect.root") -> list[Entry]:
    """The data files of a folder, by name. A ``NAME.json`` beside one may give its ``group``; else that is the name.

    ``option``: the one that gave the folder, for errors. Raises UserError for a folder that is missing or holds none.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise UserError(f"{option}={root} is no folder. Set {option}=FOLDER of data files")
    files = sorted(f for f in folder.iterdir() if f.is_file() and f.name.lower().endswith(SUFFIXES))
    if not files:
        raise UserError(f"{option}={root} holds no data file ({', '.join(SUFFIXES)}). Set another folder")
    return [Entry(file, stem(file), group_of(file.with_name(f"{stem(file)}.json"), stem(file))) for file in files]


def group_of(file: Path, default: str) -> str:
    """The ``group`` of a JSON file beside the data; nothing else of it is used."""
    if not file.is_file():
        return default
    try:
        group = json.loads(file.read_text(encoding="utf-8")).get("group", default)
    except (ValueError, OSError, AttributeError) as error:
        raise UserError(f"{file} is no JSON object ({type(error).__name__}). Mend or remove it") from error
    if not isinstance(group, str) or not group:
        raise UserError(f"group={group!r} in {file} must be text. Mend or remove it")
    return group


def load(entry: Entry, max_rows: int | None, seed: int, test_rows: int | None = None) -> tuple[Dataset, dict[str, str]]:
    """The data set with at most ``max_rows`` rows to learn from, and the options of ``prepare`` that name its task.

    ``test_rows``: of a given test split at most so many; None: the few without which nothing is prepared.

    Kind and metric are those of the whole data: a part of the rows may look different. Rows are drawn evenly over
    the classes or the quantiles of the target; a task that was made smaller has the number in its name.
    """
    dataset = numeric_target(FileSource(str(entry.path)).load())
    kind = infer_kind(dataset)[0]
    asked = {"kind": kind, "metric": default_metric(dataset, kind)[0], "name": entry.name, "group": entry.group}
    test = np.zeros(len(dataset), bool) if dataset.split is None else dataset.split == TEST
    if max_rows is not None and (~test).sum() > max_rows:
        rng = np.random.default_rng([seed, *hashlib.sha256(entry.name.encode()).digest()[:8]])
        target = dataset.target
        rows = even(np.flatnonzero(~test), target.to_numpy(), max_rows, rng)
        few = even(np.flatnonzero(test), target.to_numpy(), test_rows or max(max_rows // 10, 20), rng)
        dataset = take(dataset, np.sort(np.concatenate([rows, few])))
        asked["name"] = f"{entry.name}@{max_rows}"
    return dataset, asked


def even(rows: np.ndarray, target: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` of the rows (or all), every value of the target about as often as before."""
    if len(rows) <= count:
        return rows
    mixed = rng.permutation(rows)
    _, codes = np.unique(np.array([str(v) for v in target[mixed]]) if target.dtype == object else target[mixed],
                         return_inverse=True)  # fmt: skip
    ordered = mixed[np.argsort(codes, kind="stable")]
    return ordered[(np.arange(count) * len(rows)) // count]


def look(entry: Entry, cache: Path, *, max_rows: int | None, seed: int, check: bool) -> str:
    """The modality of a file, remembered in the cache. Raises UserError for a file that is no data."""
    file = cache / f"{entry.name}-{mark(entry, max_rows, seed, check)}.modality"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        write_atomically(file, modality_of(load(entry, max_rows, seed)[0]))
    return file.read_text()


def mixed(of: Iterable[tuple[str, Entry]], most: int | None) -> list[Entry]:
    """Entries (with their modality) in the order in which they are worked on, at most so many.

    Modalities take turns, new groups come first, and else the order is a fixed lottery: any first few are diverse.
    """
    waiting: dict[str, list[tuple[int, str, Entry]]] = defaultdict(list)
    seen: dict[tuple[str, str], int] = defaultdict(int)
    for modality, entry in sorted(of, key=lambda pair: lot(pair[1])):
        waiting[modality].append((seen[modality, entry.group], lot(entry), entry))
        seen[modality, entry.group] += 1
    queues = [sorted(waiting[modality], key=lambda item: item[:2]) for modality in sorted(waiting)]
    turns = max((len(q) for q in queues), default=0)
    order = [q[i][2] for i in range(turns) for q in queues if i < len(q)]
    return order[:most]


def lot(entry: Entry) -> str:
    return hashlib.sha256(entry.name.encode()).hexdigest()


def ready(
    entry: Entry, cache: Path, *, max_rows: int | None, seed: int, check: bool, wordpieces: Sequence[str] = ()
) -> Ready:
    """The task of a file: from the cache, else prepared and kept there. Raises UserError for data that are no task."""
    pieces = f"-{len(wordpieces)}" if wordpieces else ""
    folder = cache / f"{entry.name}-{mark(entry, max_rows, seed, check)}{pieces}"
    if (folder / "profile.json").is_file():
        job = load_job(folder)
        return Ready(job.task, job.train, job.valid, from_json(Profile, (folder / "profile.json").read_text()))
    dataset, asked = load(entry, max_rows, seed)
    asked |= {"wordpieces": wordpieces}
    prepared = prepare(dataset, seed=seed, check=check, **asked)  # pyright: ignore[reportArgumentType]
    measured = profile(prepared.task, prepared.parts.train, prepared.dataset, seed=seed)
    made = Ready(prepared.task, prepared.parts.train, prepared.parts.valid, measured)
    cache.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(prefix=".part-", dir=cache))
    try:
        save_job(Job(made.task, made.train, made.valid, {}, {}), half)
        write_atomically(half / "profile.json", to_json(measured))
        if folder.exists():
            shutil.rmtree(folder)
        half.rename(folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return made


def mark(entry: Entry, max_rows: int | None, seed: int, check: bool) -> str:
    """Names what was made from what: another file, option or set of meta-features is prepared again."""
    stat = entry.path.stat()
    parts = [entry.group, stat.st_size, stat.st_mtime_ns, max_rows, seed, check, NAMES]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
