"""What is finished of an output, kept beside it in OUT.part until all is: about.json and one file per chunk.

A run that is killed loses the chunk at work. The next one with the same bundle, input and options goes on behind the
last whole part; the output is put together from the parts alone, so it has the same bytes either way.
"""

from __future__ import annotations

import fcntl
import io
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from automl.errors import UserError
from automl.files import write_atomically

pc: Any = pyarrow.compute  # its functions are made at run time
ABOUT, LOCK, DRAFT = "about.json", "lock", "draft"
_TOLD = b"told"  # of a part's metadata


class Parts:
    """Parts of ``out``. ``about``: what made them, by which they are known again, as plain JSON.

    ``count``: parts that are there, one after the other. ``why``: why those of an earlier run were thrown away.
    """

    def __init__(self, out: Path, about: Mapping[str, Any]) -> None:
        """Take over what an earlier run left, or begin anew. Raises UserError while another run writes the same."""
        self.out, self.folder, self.why = out, out.with_name(f"{out.name}.part"), ""
        with _writing(self):
            self.folder.mkdir(exist_ok=True)
            self._lock = (self.folder / LOCK).open("w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"another run is writing {out}; wait for it, or set out=ANOTHER_FILE") from error
            before = self._about()
            if before != about:
                if before is not None:
                    changed = [name for name in about if before.get(name) != about[name]]
                    self.why = (
                        f"the parts in {self.folder} are of another {' and '.join(changed) or 'kind'}: begun anew"
                    )
                for file in self.folder.glob("*.parquet"):
                    file.unlink()
                write_atomically(self.folder / ABOUT, json.dumps(about, indent=1))
        self.count = 0
        while self._path(self.count).exists():
            self.count += 1

    def _about(self) -> Any:
        """What the parts are of: None where there are none."""
        try:
            found = json.loads((self.folder / ABOUT).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.parquet"

    def add(self, table: pa.Table, told: Mapping[str, Any]) -> None:
        """Keep the next part, and what is to be told of it at the end (plain JSON)."""
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(table.replace_schema_metadata({_TOLD: json.dumps(told).encode()}), buffer)
        with _writing(self):
            write_atomically(self._path(self.count), buffer.getvalue())
        self.count += 1

    def told(self) -> Iterator[dict[str, Any]]:
        """What was said of each part. Raises UserError for a part that is broken."""
        for number in range(self.count):
            with _reading(self._path(number)) as file:
                yield json.loads((file.schema_arrow.metadata or {})[_TOLD])

    def put_together(self, schema: pa.Schema) -> None:
        """Write the output in one step, a row group per part, and remove the parts."""
        draft = self.folder / DRAFT
        write = _parquet if self.out.suffix.lower() == ".parquet" else _csv
        with _writing(self):
            with draft.open("wb") as file:
                write(file, schema, self._tables(schema))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.out)
        self.remove()

    def _tables(self, schema: pa.Schema) -> Iterator[pa.Table]:
        for number in range(self.count):
            with _reading(self._path(number)) as file:
                yield file.read().replace_schema_metadata(schema.metadata)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.count:
            self.remove()
        self._lock.close()


def _parquet(file: IO[bytes], schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=table.num_rows)


def _csv(file: IO[bytes], schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    """A missing answer is an empty field; the classes of a set are joined by |."""
    head = True
    for table in itertools.chain([schema.empty_table()], tables):
        if "set" in schema.names:
            at = schema.get_field_index("set")
            table = table.set_column(at, "set", pc.binary_join(table.column("set"), "|"))
        pyarrow.csv.write_csv(table, file, pyarrow.csv.WriteOptions(include_header=head))
        head = False


@contextmanager
def _writing(parts: Parts) -> Iterator[None]:
    """A disk that is full, and its like, in one line; what is finished stays."""
    try:
        yield
    except OSError as error:
        kept = f"; what is finished is kept in {parts.folder}, and the same command goes on" * parts.folder.is_dir()
        raise UserError(f"{parts.out} cannot be written: {error.strerror or error}{kept}") from error


@contextmanager
def _reading(path: Path) -> Iterator[pyarrow.parquet.ParquetFile]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise UserError(f"{path} is broken; remove the folder {path.parent} and begin anew") from error
