"""A file of any size through a bundle, chunk by chunk."""

from __future__ import annotations

import math
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from automl.data.progress import Progress
from automl.deploy.bundle import META, Bundle, checksum_of
from automl.errors import UserError
from automl.version import code_version
from experiments.explain import flat, printable
from experiments.predict.answers import Answers
from experiments.predict.inputs import FileRows, opened
from experiments.predict.judged import judged
from experiments.predict.parts import Parts
from experiments.predict.run import Options

NUMBERS = 1 << 21  # encoded numbers of a chunk: with what is made on their way some 100 MB
MOST = 1 << 16  # rows of a chunk
SHOWN = 5  # unreadable rows and warnings that are named


@dataclass(frozen=True)
class Summary:
    """``rows``: of the output. ``answered``: of these, by this run and not by one before it that was killed.

    ``seconds``: of this run. ``unreadable``: rows without an answer; ``first``: the first (row, reason) of them.
    ``notes``: cells that were taken as missing. ``score``: see ``experiments.predict.judged``.
    """

    out: Path
    rows: int
    answered: int
    seconds: float
    unreadable: int = 0
    first: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = ()
    score: str = ""


def predict(options: Options) -> Summary:
    """Write the answers to ``options.out``.

    Raises UserError for an input that the model cannot be asked about, before anything is written, and for a disk that
    is full. A row that cannot be read has missing answers.
    """
    began = time.monotonic()
    bundle = Bundle.load(options.bundle)
    rows = opened(options.path, bundle.encoding, options.delimiter, options.encoding)
    answers = Answers(bundle, options.level)
    size = options.chunk or rows_at_once(bundle)
    about = {
        "bundle": checksum_of(options.bundle / META),
        "input": rows.identity,
        "options": {"level": options.level, "chunk": size, "csv": [options.delimiter, options.encoding]},
        "program": code_version(),
    }
    with Parts(options.out, about) as parts:
        taken_over = list(parts.told())
        if parts.why:
            print(parts.why, file=sys.stderr)
        if taken_over:
            print(f"going on behind {sum(t['rows'] for t in taken_over):,} rows of an earlier run", file=sys.stderr)
        answers.any = any(t["rows"] > t["bad"] for t in taken_over)
        with (
            Progress("predicting", rows.total, show=None if options.progress else False) as bar,
            closing(rows.chunks(size, bar)) as chunks,
        ):
            for number, chunk in enumerate(chunks):
                if number < parts.count:
                    continue
                found = answers.of(chunk)
                first = list(found.bad.items())[:SHOWN]
                told = {"rows": chunk.count, "bad": len(found.bad), "first": first, "notes": found.notes[:SHOWN]}
                parts.add(found.table, told)
        every = list(parts.told())
        total, bad = sum(t["rows"] for t in every), sum(t["bad"] for t in every)
        first = tuple((row, why) for t in every for row, why in t["first"])[:SHOWN]
        if total and bad == total:
            parts.remove()
            raise UserError(
                f"none of the {total:,} rows of {options.path} can be read; row {first[0][0]}: {first[0][1]}"
            )
        parts.put_together(answers.schema(files=isinstance(rows, FileRows)))
    answered = sum(t["rows"] for t in every[len(taken_over) :])
    notes = tuple(note for t in every for note in t["notes"])
    seconds = time.monotonic() - began
    score = judged(bundle, rows, options, total)
    return Summary(options.out, total, answered, seconds, bad, first, notes, score)


def rows_at_once(bundle: Bundle) -> int:
    """Rows of a chunk: fewer the more numbers one is encoded as."""
    width = sum(math.prod(one.shape) for one in bundle.task.inputs) + len(bundle.encoding.fields)
    width += bundle.task.num_outputs
    return min(max(NUMBERS // width, 1), MOST)


def summary(done: Summary) -> str:
    """The last lines on the terminal."""
    before = f" ({done.rows - done.answered:,} by an earlier run)" if done.answered < done.rows else ""
    speed = f", {done.answered / done.seconds:,.0f} rows/s" if done.answered else ""
    lines = [f"rows        {done.rows:,}{before} in {done.seconds:.1f} s{speed}"]
    if done.unreadable:
        lines.append(f"unreadable  {done.unreadable:,}: their answers are missing")
        lines += [f"            row {row}: {printable(flat(why))}" for row, why in done.first]
    if done.notes:
        more = f" (and {len(done.notes) - SHOWN:,} more notes)" if len(done.notes) > SHOWN else ""
        lines += [f"note        {printable(flat(note))}" for note in done.notes[:SHOWN]]
        lines[-1] += more
    if done.score:
        lines.append(f"score       {printable(done.score)}")
    return "\n".join([*lines, f"answers     {done.out}"])
