"""A csv file of any size, block by block, by the rules by which ``automl.data.read.table`` reads one whole."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from automl.data.cells.reading import to_number
from automl.data.progress import Progress
from automl.data.read.files import short
from automl.data.read.table import Dialect, Progressed, parse_error, sniff
from automl.data.step import Step
from automl.errors import UserError
from experiments.predict.rows import Chunk, Columns, Fields, stamp

pc: Any = pyarrow.compute  # its functions are made at run time
BLOCK = 8 << 20  # bytes; holds the longest line
AHEAD, PATIENCE = 4, 1.0  # blocks, seconds
HOPELESS = 1000  # rows: when none of the first is as wide as the header, the delimiter is wrong
_PACKED = {".gz", ".bz2", ".xz", ".zip"}
_PLACE = "row"  # no name of a column: these are numbers


@dataclass(frozen=True)
class CsvRows:
    """``columns``: those the model needs. ``numbers``: of them, see ``numbers_among``."""

    path: Path
    dialect: Dialect
    columns: Columns
    numbers: dict[str, tuple[str, str]]

    @classmethod
    def opened(
        cls,
        path: Path,
        fields: Fields,
        target: str,
        steps: Sequence[Step] = (),
        delimiter: str | None = None,
        encoding: str | None = None,
    ) -> CsvRows:
        """Look at the beginning of the file. ``steps``: what training did to cells; see ``Encoding.steps``.

        Raises UserError for what is no csv file, or lacks a column.
        """
        known = fields[0]["name"] if fields else None  # a first line with such a cell is a header
        dialect = sniff(path, delimiter=delimiter, encoding=encoding, target=known)
        columns = Columns.of(path, dialect.names, fields, target)
        return cls(path, dialect, columns, numbers_among(fields, steps))

    @property
    def identity(self) -> Any:
        return stamp(self.path)

    @property
    def total(self) -> int | None:
        """Bytes of the file, where it is not packed."""
        return None if self.path.suffix.lower() in _PACKED else self.path.stat().st_size

    def chunks(self, size: int, bar: Progress) -> Generator[Chunk]:
        """Raises UserError for what is no csv any more further on."""
        bad: dict[int, str] = {}  # position in the file -> why; the parser runs ahead of what it has handed over
        held, start = pa.table({_PLACE: pa.array([], pa.int64())}), 0

        def chunk(count: int) -> Chunk:
            nonlocal held, start
            places = held.column(_PLACE).to_numpy() - start
            known = int(np.searchsorted(places, count))
            table, held = held.slice(0, known), held.slice(known)
            broken = {p - start: bad.pop(p) for p in sorted(p for p in bad if p < start + count)}
            start += count
            return Chunk(start - count, count, places[:known], self._load(table), broken)

        for table in self._tables(bad, bar):
            held = pa.concat_tables([held, table]) if held.num_rows else table
            # The row behind a chunk was seen, so none of the chunk is still to come.
            while held.num_rows and held.column(_PLACE)[-1].as_py() >= start + size:
                yield chunk(size)
        last = held.column(_PLACE)[-1].as_py() if held.num_rows else -1
        end = max(last, *bad, -1) + 1
        while start < end:
            yield chunk(min(size, end - start))

    def _tables(self, bad: dict[int, str], bar: Progress) -> Iterator[pa.Table]:
        """The rows of the right width, as they are written, with their position; the others go to ``bad``."""
        position = 0
        for batch in self._batches(bad, bar):
            if not batch.num_rows:
                continue
            # Each bad row before a good one moves it on by a place; the j-th bad one, less j, is where that begins.
            skipped = np.array(sorted(p for p in bad if p >= position), dtype=np.int64)
            places = position + np.arange(batch.num_rows)
            places += np.searchsorted(skipped - np.arange(len(skipped)), places, side="right")
            position = int(places[-1]) + 1
            yield pa.Table.from_batches([batch]).append_column(_PLACE, pa.array(places))

    def _batches(self, bad: dict[int, str], bar: Progress) -> Iterator[pa.RecordBatch]:
        dialect = self.dialect
        wanted = [str(dialect.names.index(n)) for n in self.columns.needed]  # names may be any, and stand twice
        read = pyarrow.csv.ReadOptions(
            column_names=[str(i) for i in range(len(dialect.names))],
            skip_rows=dialect.skip,
            block_size=BLOCK,
            use_threads=False,  # else bad lines have no number
        )
        parse = pyarrow.csv.ParseOptions(
            delimiter=dialect.delimiter, newlines_in_values=True, invalid_row_handler=self._handler(bad)
        )
        # As bytes: what is not utf-8 is known only when it comes.
        convert = pyarrow.csv.ConvertOptions(
            include_columns=wanted, column_types=dict.fromkeys(wanted, pa.binary()), strings_can_be_null=False
        )
        try:
            with _Paced(self.path, dialect.encoding, bar) as source:
                file = pa.PythonFile(source, mode="r")
                yield from source.paced(pyarrow.csv.open_csv(file, read, parse, convert))
        except pa.ArrowInvalid as error:
            if _is_over(error):
                return
            raise parse_error(self.path, dialect, error) from error
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.path} is not {dialect.encoding}; set data.encoding to what it is written in"
            ) from error

    def _handler(self, bad: dict[int, str]) -> Callable[[pyarrow.csv.InvalidRow], str]:
        found = 0

        def skip(row: pyarrow.csv.InvalidRow) -> str:
            nonlocal found
            place = row.number - 1 - self.dialect.skip
            found += 1
            if found >= HOPELESS and found == place + 1:
                return "error"
            width = f"{row.actual_columns} fields where the header has {row.expected_columns}"
            bad[place] = f"{width}: {short(row.text)}"
            return "skip"

        return skip

    def _load(self, table: pa.Table) -> Callable[[int, int], Any]:
        @functools.cache  # a chunk is read once, however often it is cut for a row that cannot be answered
        def frame() -> pd.DataFrame:
            cells = {n: self._cells(n, table.column(i)) for i, n in enumerate(self.columns.needed)}
            return pd.DataFrame(cells, copy=False)

        return lambda a, b: self.columns.rows(frame().iloc[a:b])

    def _cells(self, name: str, values: pa.ChunkedArray) -> pd.Series:
        """A column's cells: stripped texts, missing where they are empty; numbers where training read such.

        In the notation of this file, as the model's steps know that of training's: 1.234 is 1234 in a German one.
        """
        values = pc.utf8_trim_whitespace(as_text(values))
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
        texts = pd.Series(values.to_pandas().array)
        if name not in self.numbers:
            return texts
        trained, unit = self.numbers[name]
        decimal = self.dialect.decimal or trained
        if not unit and (found := bare_numbers(values, decimal)) is not None:
            return pd.Series(found)
        if decimal == trained:
            return texts
        read = to_number(texts, decimal, unit)
        return read.astype(object).where(read.notna(), texts)  # what is none stays, so that it is told


class _Paced(Progressed):
    """Read only a few blocks ahead of the rows that are asked for: arrow would go on to 32 of them, 256 MB.

    Arrow gives a batch for each block, of no rows where it holds none, but for those before the first row.
    """

    def __init__(self, path: Path, encoding: str, bar: Progress) -> None:
        super().__init__(path, encoding, bar)
        self._ahead = threading.Semaphore(AHEAD)
        self._waiting = True  # for rows; if they need more blocks than was foreseen they get them, slowly
        self._over = False  # nobody asks for more

    def read(self, size: int = -1) -> bytes:
        while not self._ahead.acquire(timeout=PATIENCE) and not self._waiting:
            pass
        return b"" if self._over else super().read(size)

    def paced(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                self._waiting = False
                yield batch
                self._waiting = True
                self._ahead.release()
        finally:  # arrow waits for its thread when it is freed, and the thread for Python: it must have ended before
            self._over = self._waiting = True
            self._ahead.release()
            with contextlib.suppress(Exception):
                for _ in batches:
                    pass


def numbers_among(fields: Fields, steps: Sequence[Step]) -> dict[str, tuple[str, str]]:
    """Columns whose cells training read as numbers before anything else -> (sign before decimals, unit)."""
    first: dict[str, Step] = {}
    for step in steps:
        if step.do not in ("text", "placeholder"):  # which leave a number as it is
            first.setdefault(step.column, step)
    found = {f["name"]: first.get(f["name"], Step("number", f["name"])) for f in fields if f["kind"] == "numeric"}
    notation = {name: s.values or (".", "") for name, s in found.items() if s.do == "number"}
    return {name: (str(decimal), str(unit)) for name, (decimal, unit) in notation.items()}


def bare_numbers(values: pa.ChunkedArray, decimal: str) -> np.ndarray | None:
    """float64, NaN where missing, or None when a cell is more than digits and a sign; a hundred times as fast as cells
    one by one, with the same result.
    """
    if decimal == ",":
        if pc.any(pc.match_substring(values, ".")).as_py():
            return None
        values = pc.replace_substring(values, ",", ".")
    try:
        return values.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None


def as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Bytes as texts: utf-8, and cells that are not as Windows-1252, as all of a file whose head is not utf-8."""
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.chunked_array([[_text(v.as_py()) for v in values]], pa.string())


def _text(cell: bytes) -> str:
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return cell.decode("cp1252", errors="replace")


def _is_over(error: Exception) -> bool:
    """Whether nothing stands below the header."""
    return "Empty CSV" in str(error) or "Could not skip initial" in str(error)
