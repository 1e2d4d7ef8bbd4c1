"""Past runs as one parquet file: to ship, to send, to keep. Measurements only, no rows of data and no class
names.

One row per trial:

============ =============== =====================================================================
column       type            meaning
============ =============== =====================================================================
task         string          a ``Task`` as JSON, without its classes and reasons
profile      string or null  its ``Profile`` as JSON
family       string          of the candidate
choices      string          the candidate's choices as a JSON object
fidelity     int64           epochs
seed         int64
status       string          ok, failed, timeout, oom, diverged or skipped
score        float64 or null validation metric, higher is better; null unless ok
seconds      float64         wall time of the training
parameters   int64 or null
latency_ms   float64 or null
curve        list of float32 the score after each epoch
============ =============== =====================================================================

A file comes from anywhere, so it is read with care: nothing but these columns, sizes are limited, every
value is checked as ``automl.serial`` does.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from automl.errors import UserError
from automl.files import write_atomically
from automl.serial import from_json, from_plain, to_json, to_plain
from automl.types import Candidate, Profile, Runs, Status, Task, Trial

T = TypeVar("T")
Past = tuple[Task, Profile | None, Sequence[Trial]]
"""A task, its profile and what was trained on it."""

MOST_BYTES = 256 * 2**20  # of a file
MOST_UNPACKED = 4 * 2**30
MOST_TRIALS = 5_000_000
MOST_TEXT = 2**20  # characters of one value
SCHEMA = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("profile", pa.string()),
        pa.field("family", pa.string(), nullable=False),
        pa.field("choices", pa.string(), nullable=False),
        pa.field("fidelity", pa.int64(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("parameters", pa.int64()),
        pa.field("latency_ms", pa.float64()),
        pa.field("curve", pa.list_(pa.float32())),
    ]
)


def write_knowledge(path: str | Path, past: Iterable[Past]) -> int:
    """Write the file, all or nothing; how many trials it holds. Errors' texts and trial numbers are left out."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for task, profile, trials in past:
        about = to_json(dataclasses.replace(task, classes=(), why=(), goal=""))
        measured = None if profile is None else to_json(profile)
        for trial in trials:
            row = (about, measured, trial.candidate.family, _choices(trial.candidate), trial.fidelity, trial.seed,
                   trial.status, trial.score, trial.seconds, trial.parameters, trial.latency_ms,
                   trial.curve)  # fmt: skip
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=SCHEMA), buffer, compression="zstd")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
    return len(columns["task"])


def read_knowledge(path: str | Path) -> list[Past]:
    """What the file holds, task by task. Raises UserError for a file that is no knowledge."""
    table = _read(Path(path))
    tasks: dict[tuple[str, str | None], tuple[Task, Profile | None, list[Trial]]] = {}
    parse_task, parse_profile = _cached(path, Task), _cached(path, Profile)
    parse_candidate = _candidates(path)
    for row in (row for batch in table.to_batches(10_000) for row in batch.to_pylist()):
        key = row["task"], row["profile"]
        if key not in tasks:
            tasks[key] = parse_task(key[0]), None if key[1] is None else parse_profile(key[1]), []
        task, _, trials = tasks[key]
        plain = {k: row[k] for k in ("fidelity", "seed", "status", "score", "seconds", "parameters", "latency_ms")}
        try:
            trial = Trial(task.name, parse_candidate(row["family"], row["choices"]), curve=_curve(row), **plain)
            trials.append(from_plain(Trial, to_plain(trial)))
        except ValueError as error:
            raise _refused(path, str(error)) from None
    return list(tasks.values())


def read_tasks_and_runs(path: str | Path) -> tuple[list[Task], Runs]:
    """The file as columns, fast, without a Trial object per row, and the task behind each of ``Runs.tasks``.

    Raises UserError for a file that is no knowledge.
    """
    table = _read(Path(path))
    pairs = _codes(table, ("task", "profile"))
    kinds = _codes(table, ("family", "choices"))
    parse_task, parse_profile, parse_candidate = _cached(path, Task), _cached(path, Profile), _candidates(path)
    tasks = [parse_task(task) for task, _ in pairs.values]
    ok = np.array(table["status"].to_pylist(), dtype=object) == "ok"
    score = table["score"].to_numpy(zero_copy_only=False).astype(float)
    runs = Runs(
        tasks=tuple(t.name for t in tasks),
        groups=tuple(t.group for t in tasks),
        profiles=tuple(None if profile is None else parse_profile(profile) for _, profile in pairs.values),
        candidates=tuple(parse_candidate(family, choices) for family, choices in kinds.values),
        task=pairs.of,
        candidate=kinds.of,
        fidelity=table["fidelity"].to_numpy(),
        seed=table["seed"].to_numpy(),
        score=np.where(ok, score, np.nan),
        seconds=table["seconds"].to_numpy(),
    )
    return tasks, runs


# --- inside


def _read(path: Path) -> pa.Table:
    try:
        if not path.is_file():
            raise UserError(f"{path} is no file. Give the path of a knowledge file (parquet)")
        if path.stat().st_size > MOST_BYTES:
            raise _refused(path, f"it has more than {MOST_BYTES >> 20} MiB")
        file = pq.ParquetFile(path)
        about = file.metadata
        unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        if about.num_rows > MOST_TRIALS or unpacked > MOST_UNPACKED:
            raise _refused(path, f"it holds {about.num_rows:,} trials in {unpacked >> 20:,} MiB, which is too much")
        if file.schema_arrow.names != SCHEMA.names:
            raise _refused(path, f"its columns are {', '.join(file.schema_arrow.names)[:200]}")
        table = file.read().cast(SCHEMA)  # also refuses empty places where a value must be
    except (pa.ArrowException, ValueError, OSError) as error:
        raise _refused(path, " ".join(str(error).split())[:200]) from error
    _check(path, table)
    return table


def _check(path: Path, table: pa.Table) -> None:
    """What the types of the columns leave open."""
    status = table["status"].to_numpy(zero_copy_only=False).astype(object)
    score = table["score"].to_numpy(zero_copy_only=False).astype(float)
    seconds = table["seconds"].to_numpy()
    wrong = [
        (~np.isin(status, get_args(Status)), "a status that is not known"),
        ((status == "ok") != np.isfinite(score), "a score that does not fit its status"),
        (table["fidelity"].to_numpy() < 0, "a number of epochs below 0"),
        (~((seconds >= 0) & np.isfinite(seconds)), "seconds that are no time"),
    ]
    for bad, what in wrong:
        if bad.any():
            raise _refused(path, f"row {int(bad.argmax()) + 1} has {what}")


def _refused(path: str | Path, why: str) -> UserError:
    return UserError(f"{path} is no knowledge file of this program: {why}. Write one with knowledge.export=FILE")


@dataclasses.dataclass(frozen=True)
class _Codes:
    """``of``: int (rows,), the place in ``values`` of each row's values in two columns."""

    of: np.ndarray
    values: list[tuple[Any, Any]]


def _codes(table: pa.Table, names: tuple[str, str]) -> _Codes:
    """Distinct pairs of two text columns, in the order in which they first occur."""
    places, texts = [], []
    for name in names:
        column = table[name].combine_chunks().dictionary_encode("encode")
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        places.append(column.indices.to_numpy(zero_copy_only=False).astype(np.int64))
        texts.append(column.dictionary.to_pylist())
    joint = places[0] * max(1, len(texts[1])) + places[1]
    found, first, of = np.unique(joint, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    a, b = np.divmod(found[order], max(1, len(texts[1])))
    return _Codes(place[of], [(texts[0][i], texts[1][j]) for i, j in zip(a.tolist(), b.tolist(), strict=True)])


def _cached(path: str | Path, cls: type[T]) -> Callable[[str], T]:
    @functools.cache
    def parse(text: str) -> T:
        try:
            if len(text) > MOST_TEXT:
                raise ValueError(f"a {cls.__name__} of {len(text):,} characters")
            return from_json(cls, text)
        except ValueError as error:
            raise _refused(path, str(error)) from None

    return parse


def _candidates(path: str | Path) -> Callable[[str, str], Candidate]:
    @functools.cache
    def parse(family: str, choices: str) -> Candidate:
        try:
            if len(choices) > MOST_TEXT or len(family) > MOST_TEXT:
                raise ValueError(f"a candidate of {len(choices):,} characters")
            return from_plain(Candidate, {"family": family, "choices": json.loads(choices)})
        except (ValueError, RecursionError) as error:
            raise _refused(path, str(error)) from None

    return parse


def _choices(candidate: Candidate) -> str:
    return json.dumps(to_plain(candidate)["choices"], separators=(",", ":"))


def _curve(row: dict[str, Any]) -> tuple[float, ...]:
    return tuple(math.nan if v is None else v for v in row["curve"] or ())
