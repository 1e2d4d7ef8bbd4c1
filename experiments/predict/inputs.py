"""What lies at a path: a table of any size, a folder of files, or arrays; row after row in their order."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.encode.encoding import Encoding
from automl.data.progress import Progress
from automl.data.read import audio, image
from automl.data.read.arrays import read_npz, x_y_split
from automl.data.read.files import short
from automl.data.read.table import is_columnar
from automl.data.read.ts import read_label_first, read_ts
from automl.data.sources.file import REFUSED
from automl.data.sources.text import text_of_file
from automl.data.sources.walk import files_of
from automl.errors import UserError
from experiments.predict.columnar import ColumnarRows
from experiments.predict.csv_rows import CsvRows
from experiments.predict.rows import Chunk, Rows, content, stamp

_ENDINGS = {"image": image.ENDINGS, "audio": audio.ENDINGS, "text": (".txt",)}
_LABEL_FIRST = re.compile(r".*_(TRAIN|TEST)\.(tsv|txt)", re.IGNORECASE)  # of the UCR archive
_X = ("x", "data", "images", "features", "inputs", "series")


def opened(path: Path, encoding: Encoding, delimiter: str | None = None, code: str | None = None) -> Rows:
    """The input. ``delimiter``, ``code``: of a csv file (its encoding), None: found.

    Raises UserError for what is no input of this model, in one line that says why.
    """
    fields, suffix = encoding.fields, path.suffix.lower()
    lone = str(fields[0]["kind"]) if len(fields) == 1 else ""
    arrays = suffix in (".npz", ".npy", ".ts") or (lone == "series" and _LABEL_FIRST.fullmatch(path.name))
    files = path.is_dir() or suffix in _ENDINGS.get(lone, ())
    if (delimiter or code) and (files or arrays or is_columnar(path)):
        raise UserError(f"data.delimiter and data.encoding are for csv files, and {path} is none")
    if files:
        if lone not in _ENDINGS:
            names = short(", ".join(str(f["name"]) for f in fields), 100)
            raise UserError(f"{path} is a folder, and the model needs {names}; set data.path=FILE")
        return FileRows.found(path, str(fields[0]["name"]), lone)
    if arrays:
        return ArrayRows(path, _array(path))
    if suffix in REFUSED:
        raise UserError(f"{path} {REFUSED[suffix]}")
    if is_columnar(path):
        return ColumnarRows.opened(path, encoding)
    return CsvRows.opened(path, fields, encoding.target.name, encoding.steps, delimiter, code)


@dataclass(frozen=True)
class FileRows:
    """A folder of pictures, sounds or texts: each file is a row. ``read``: a file as the model takes it."""

    root: Path
    files: list[Path]
    name: str
    read: Callable[[Path], Any]

    @classmethod
    def found(cls, path: Path, name: str, kind: str) -> FileRows:
        """Those below a folder in the order of their names, links to folders not followed; or the one file."""
        endings = _ENDINGS[kind]
        files = list(files_of(path, endings, Counter())) if path.is_dir() else [path]
        if not files:
            raise UserError(f"{path} holds no file that ends in {', '.join(endings)}. Set data.path=FOLDER")
        root = path if path.is_dir() else path.parent
        return cls(root, files, name, (lambda file: text_of_file(file)[0]) if kind == "text" else content)

    @property
    def identity(self) -> Any:
        stamps = [[self._relative(f), *stamp(f)[1:]] for f in self.files]
        return [len(stamps), hashlib.sha256(repr(stamps).encode()).hexdigest()]

    @property
    def total(self) -> int | None:
        return len(self.files)

    def chunks(self, size: int, bar: Progress) -> Generator[Chunk]:
        for start in range(0, len(self.files), size):
            files = self.files[start : start + size]
            names = [self._relative(f) for f in files]
            yield Chunk(start, len(files), np.arange(len(files)), self._load(files), files=names)
            bar.advance(len(files))

    def _load(self, files: Sequence[Path]) -> Callable[[int, int], Any]:
        return lambda a, b: {self.name: [self.read(f) for f in files[a:b]]}

    def _relative(self, file: Path) -> str:
        return os.fsencode(file.relative_to(self.root)).decode("utf-8", errors="replace")


@dataclass(frozen=True)
class ArrayRows:
    """An array whose first axis is the row. Of npy a part is in memory at a time, of the others all."""

    path: Path
    array: np.ndarray

    @property
    def identity(self) -> Any:
        return stamp(self.path)

    @property
    def total(self) -> int | None:
        return len(self.array)

    def chunks(self, size: int, bar: Progress) -> Generator[Chunk]:
        for start in range(0, len(self.array), size):
            part = self.array[start : start + size]
            yield Chunk(start, len(part), np.arange(len(part)), lambda a, b, part=part: np.asarray(part[a:b]))
            bar.advance(len(part))


def _array(path: Path) -> np.ndarray:
    """The rows of an array file. Raises UserError for one that is broken, or whose inputs have no known name."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        array = _inputs(path, read_npz(path))
    elif suffix == ".npy":
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is not a readable npy: {short(str(error))}; save it again with numpy") from error
    else:
        array = read_ts(path)[0] if suffix == ".ts" else read_label_first(path)[0]
    if array.ndim < 2:
        raise UserError(f"{path} holds an array of shape {array.shape}; it needs rows and at least one more axis")
    return array


def _inputs(path: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """X, the only array, or the parts of a training file one after the other."""
    named = {name.lower(): array for name, array in arrays.items()}
    found = next((named[n] for n in _X if n in named), None)
    if found is None and len(named) == 1:
        (found,) = named.values()
    return x_y_split(path, arrays)[0] if found is None else found
