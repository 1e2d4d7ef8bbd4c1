"""What is read at a time, and the forms of it that a bundle takes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from automl.data.columns import as_number
from automl.data.progress import Progress
from automl.data.quality.parse import column_of
from automl.data.read import audio, image
from automl.data.read.files import short
from automl.data.read.media import inside
from automl.errors import UserError

Fields = Sequence[Mapping[str, Any]]
_MEDIA = {"image": image.ENDINGS, "audio": audio.ENDINGS}


@dataclass(frozen=True)
class Chunk:
    """Rows ``start`` to ``start + count`` of the input.

    ``places``: positions in the chunk, shape (readable,), of the rows that could be read. ``load(a, b)``: from the a-th
    to before the b-th of these, in a form that a bundle takes; raises UserError for one that cannot be decoded.
    ``bad``: position in the chunk -> why it could not be read. ``files``: names, where each row is a file.
    """

    start: int
    count: int
    places: np.ndarray
    load: Callable[[int, int], Any]
    bad: Mapping[int, str] = field(default_factory=dict)
    files: Sequence[str] | None = None


class Rows(Protocol):
    """An input. ``identity``: what a later start knows it by. ``total``: rows, or bytes, for the bar; None: unknown."""

    @property
    def identity(self) -> Any: ...
    @property
    def total(self) -> int | None: ...
    def chunks(self, size: int, bar: Progress) -> Generator[Chunk]: ...


def stamp(path: Path) -> list[Any]:
    """Name, bytes and time of the last change of a file."""
    found = path.stat()
    return [path.name, found.st_size, found.st_mtime_ns]


def chunks_of(tables: Iterable[pa.Table], size: int, load: Callable[[pa.Table], Any]) -> Iterator[Chunk]:
    """Tables of any length as chunks of one. ``load``: rows as a bundle takes them."""
    held, start = pa.table({}), 0
    for table in tables:
        held = table if held.num_rows == 0 else pa.concat_tables([held, table])
        while held.num_rows >= size:
            yield _chunk(start, held.slice(0, size), load)
            held, start = held.slice(size), start + size
    if held.num_rows:
        yield _chunk(start, held, load)


def _chunk(start: int, table: pa.Table, load: Callable[[pa.Table], Any]) -> Chunk:
    return Chunk(start, table.num_rows, np.arange(table.num_rows), lambda a, b: load(table.slice(a, b - a)))


@dataclass(frozen=True)
class Columns:
    """Which columns of a table a model needs, and its rows in the form that the model takes.

    ``path``: of the table; pictures and sounds that it names lie in its folder. ``names``: all that it has. ``series``:
    the columns are the steps of one series, whose field this is.
    """

    path: Path
    fields: Fields
    needed: tuple[str, ...]
    names: tuple[str, ...] = ()
    series: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, path: Path, names: Sequence[str], fields: Fields, target: str) -> Columns:
        """``names``: the columns of the table. Raises UserError where one is absent or stands twice."""
        lone = fields[0] if len(fields) == 1 and fields[0]["kind"] == "series" else None
        if lone is not None and lone["name"] not in names:
            steps = tuple(n for n in names if n not in ("", target))
            channels, length = lone["shape"]
            if len(steps) != channels * length:
                raise UserError(
                    f"{path} has {len(steps):,} columns beside the target; the model needs the {channels * length:,} "
                    f"steps of its series in their order, and nothing else"
                )
            _refuse_repeated(path, names, steps)
            return cls(path, fields, steps, tuple(names), lone)
        needed = tuple(str(f["name"]) for f in fields)
        if absent := [n for n in needed if n not in names]:
            raise UserError(
                f"column {absent[0]!r} is not in {path}; the model needs: {short(', '.join(needed), 160)}; "
                f"there are: {short(', '.join(names), 160)}"
            )
        _refuse_repeated(path, names, needed)
        return cls(path, fields, needed, tuple(names))

    def rows(self, frame: pd.DataFrame) -> Any:
        """Columns by name, or an array of series. Raises UserError for a picture or sound that is not there."""
        if self.series is not None:
            steps = np.stack([as_number(column_of(frame, n)) for n in self.needed], axis=1)
            return steps.astype(np.float32).reshape(len(frame), self.series["shape"][0], -1)
        media = {f["name"]: f for f in self.fields if f["kind"] in _MEDIA}
        if not media:
            return frame
        return {
            n: [self._content(v, media[n], i) for i, v in enumerate(column)] if n in media else column
            for n, column in frame.items()
        }

    def _content(self, value: Any, of: Mapping[str, Any], row: int) -> Any:
        """A path as the bytes of the file; all else (bytes, base64 text, numbers, nothing) as it is."""
        if not isinstance(value, str) or not value.lower().endswith(_MEDIA[of["kind"]]):
            return value
        return content(inside(self.path.parent, value, f"column {of['name']!r} in row {row + 1}"))


def _refuse_repeated(path: Path, names: Sequence[str], needed: Sequence[str]) -> None:
    if twice := next((n for n in needed if names.count(n) > 1), None):
        raise UserError(f"column name {twice!r} stands twice in {path}; rename one of them")


def content(path: Path) -> bytes:
    """The bytes of a file. Raises UserError where it cannot be opened."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror}; mend its rights, or remove it") from error
