"""Parquet and arrow files of any size: a few rows of the columns that a model needs at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from automl.data.cells.words import text_of
from automl.data.encode.encoding import Encoding
from automl.data.progress import Progress
from automl.data.read.files import open_bytes, short
from automl.errors import UserError
from experiments.predict.rows import Chunk, Columns, chunks_of, stamp

_BUFFER = 1 << 20  # bytes of a column that are read at a time


@dataclass(frozen=True)
class ColumnarRows:
    """``names``: of the columns in the file, which may hold blanks at their ends that training took off."""

    path: Path
    columns: Columns
    names: tuple[str, ...]
    total: int

    @classmethod
    def opened(cls, path: Path, encoding: Encoding) -> ColumnarRows:
        """Raises UserError for a file that is broken, or lacks a column."""
        with _file(path) as file:
            names, total = file.schema.names, file.rows
        plain = [text_of(n) for n in names]
        columns = Columns.of(path, plain, encoding.fields, encoding.target.name)
        return cls(path, columns, tuple(names[plain.index(n)] for n in columns.needed), total)

    @property
    def identity(self) -> Any:
        return stamp(self.path)

    def chunks(self, size: int, bar: Progress) -> Generator[Chunk]:
        """Raises UserError for a file that is broken further on."""
        with _file(self.path) as file:
            yield from chunks_of(self._tables(file, size, bar), size, self._load)

    def _tables(self, file: _File, size: int, bar: Progress) -> Iterator[pa.Table]:
        for batch in file.batches(size, list(self.names)):
            yield pa.Table.from_batches([batch]).select(list(self.names)).rename_columns(list(self.columns.needed))
            bar.advance(batch.num_rows)

    def _load(self, table: pa.Table) -> Any:
        return self.columns.rows(table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True))


class _File:
    """Either kind of file, opened."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.parquet = file.read(4) == b"PAR1"
        if self.parquet:
            # Without a buffer a whole row group is read at once, and some files are one.
            self._file: Any = pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
            self.schema, self.rows = self._file.schema_arrow, self._file.metadata.num_rows
        else:
            self._file = pyarrow.ipc.open_file(pa.memory_map(str(path)))
            self.schema = self._file.schema
            self.rows = sum(self._file.get_batch(i).num_rows for i in range(self._file.num_record_batches))

    def batches(self, size: int, names: list[str]) -> Iterator[pa.RecordBatch]:
        if self.parquet:
            yield from self._file.iter_batches(batch_size=size, columns=names, use_threads=False)
        else:
            yield from (self._file.get_batch(i) for i in range(self._file.num_record_batches))


@contextmanager
def _file(path: Path) -> Iterator[_File]:
    """What arrow says of a broken file is told as a UserError."""
    open_bytes(path).close()  # which refuses a folder, a pipe and what may not be read
    try:
        yield _File(path)
    except (pa.ArrowInvalid, OSError) as error:
        kind = path.suffix[1:]
        raise UserError(f"{path} is not a readable {kind} file: {short(str(error))}; write it again") from error
