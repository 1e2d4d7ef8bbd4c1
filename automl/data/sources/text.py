"""Texts: a csv with a text column, or text files in one folder per class."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from automl.data.columns import column_kinds
from automl.data.dataset import Dataset
from automl.data.read.decode import decode
from automl.data.read.files import existing, short
from automl.data.sources.build import from_table, refuse_given
from automl.data.sources.file import FileSource, stem
from automl.data.sources.walk import walk
from automl.errors import UserError

_MAX_BYTES = 1 << 20


@dataclass
class TextSource:
    """``path``: a csv, or a folder FOLDER/CLASS/FILE.txt. ``text``: the column, null: the one with the longest values.

    The other columns stay inputs beside it.
    """

    path: str
    text: str | None = None
    target: str | None = None
    group: str | None = None
    time: str | None = None
    name: str | None = None
    delimiter: str | None = None
    encoding: str | None = None

    def load(self) -> Dataset:
        path = existing(self.path)
        if path.is_dir():
            unread = ("text", "target", "group", "time", "delimiter", "encoding")
            refuse_given(self, unread, f"is for tables; {path} is a folder")
            return self._folder(path)
        source = FileSource(self.path, self.target, self.group, self.time, self.name, self.delimiter, self.encoding)
        dataset = source.load()
        column = self.text or _longest(dataset)
        if column not in dataset.table.columns:
            names = ", ".join(map(str, dataset.table.columns[:8]))
            raise UserError(f"column {column!r} not in {path}; columns are: {names}. Set data.text=...")
        return dataclasses.replace(dataset, modalities={**dataset.modalities, column: "text"})

    def _folder(self, path: Path) -> Dataset:
        found = walk(path, (".txt",), "text")
        read = [text_of_file(f) for f in found.files]
        told = Counter(note for _, note in read if note)
        notes = [f"{count:,} files are {note}" for note, count in told.items()]
        dataset = from_table(
            pd.DataFrame({"text": [text for text, _ in read], "target": found.labels}),
            name=self.name or stem(path),
            origin=str(path),
            target="target",
            modalities={"text": "text"},
            notes=(*found.notes, *notes),
        )
        return dataclasses.replace(dataset, split=found.split)


def text_of_file(path: Path) -> tuple[str, str]:
    """(text of the first ``_MAX_BYTES``, note). Raises UserError for a file that is none."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        text, _, note = decode(content[:_MAX_BYTES], whole=len(content) <= _MAX_BYTES)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no readable text: {short(str(error))}; save it as utf-8, or remove it") from error
    return text, note or ("cut at 1 MiB" if len(content) > _MAX_BYTES else "")


def _longest(dataset: Dataset) -> str:
    kinds = column_kinds(dataset.table)
    words = {
        c: dataset.table[c].astype("string").str.len().mean() for c, k in kinds.items() if k in ("text", "categorical")
    }
    if not words:
        raise UserError(f"{dataset.origin} has no column of words; set data.text=COLUMN or use data=file")
    return max(words, key=lambda c: words[c])
