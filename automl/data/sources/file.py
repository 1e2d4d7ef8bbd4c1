"""One file: a table (csv, tsv, parquet, arrow), an npz archive, or a pair of npy files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from automl.data.dataset import Dataset
from automl.data.read.arrays import as_modality, read_npy, read_npz, x_y_split
from automl.data.read.files import existing
from automl.data.read.table import is_columnar, read_table
from automl.data.sources.build import asked_of, from_arrays, from_table, refuse_given
from automl.data.sources.media_columns import load_media
from automl.errors import UserError

_PICKLE = "is a pickle, which can run code, and is refused; save the data as csv or npz"
_OTHER = "is of a kind that is not read; save the data as csv, parquet, arrow, npz or npy"
REFUSED = {
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".joblib"), _PICKLE),
    **dict.fromkeys((".json", ".jsonl", ".ndjson", ".h5", ".hdf5", ".mat", ".arff", ".db", ".sqlite", ".rds"), _OTHER),
    ".ts": "holds series; use data=series",
    **dict.fromkeys(
        (".png", ".jpg", ".jpeg", ".wav"), "is one example; give a folder, with data=image_folder or audio_folder"
    ),
}


@dataclass
class FileSource:
    """Reads ``path`` by its kind.

    ``target``, ``group``, ``time`` name columns of a table. ``delimiter`` and ``encoding`` are found when None. An npz
    holds X_train, y_train, X_test, y_test (or X and y); an npy file of inputs has its target beside it (``X.npy`` and
    ``y.npy``, or ``NAME.npy`` and ``NAME_y.npy``), or ``target`` gives the path. Columns of picture or sound paths
    (relative to the file's folder) become inputs of their own; ``size`` is the pictures' side in pixels, found when
    None. ``modality`` overrides what an input is taken for: a word for an array ("series"), a mapping for columns of a
    table ({"story": "text", "code": "tabular"}: text is read word by word, tabular is a number, a category or a date).
    """

    path: str
    target: str | None = None
    group: str | None = None
    time: str | None = None
    name: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    size: int | None = None
    modality: str | Mapping[str, str] | None = None

    def load(self) -> Dataset:
        path = existing(self.path)
        name = self.name or stem(path)
        suffix = path.suffix.lower()
        if suffix in (".npz", ".npy"):
            unread = ("group", "time", "delimiter", "encoding", "size", *(["target"] if suffix == ".npz" else []))
            refuse_given(self, unread, f"is for tables; {path} holds arrays")
            arrays = read_npz(path) if suffix == ".npz" else _npy_pair(path, self.target)
            x, y, split = x_y_split(path, arrays)
            if self.modality is not None and not isinstance(self.modality, str):
                raise UserError(
                    f"data.modality={dict(self.modality)} is for columns; {path} holds one array: give a word"
                )
            x, modality, why = as_modality(x, self.modality)
            return from_arrays(x, y, modality, name=name, origin=str(path), split=split, notes=(why,))
        if suffix in REFUSED:
            raise UserError(f"{path} {REFUSED[suffix]}")
        if is_columnar(path):
            refuse_given(self, ("delimiter", "encoding"), f"is for csv files; {path} says it itself")
        read = read_table(path, delimiter=self.delimiter, encoding=self.encoding, target=self.target)
        table = read.table
        asked = asked_of(self.modality, table, str(path))
        named = (self.target, self.group, self.time, *asked)
        table, media, modalities, more = load_media(table, path.parent, str(path), size=self.size, without=named)
        if "image" not in modalities.values():
            refuse_given(self, ("size",), f"is for pictures; no column of {path} names any")
        return from_table(
            table,
            name=name,
            origin=str(path),
            target=self.target,
            group=self.group,
            time=self.time,
            media=media,
            modalities={**modalities, **asked},
            notes=(*read.notes, *more),
            decimal=read.decimal,
        )


def stem(path: Path) -> str:
    """The file's name without its endings: ``abalone`` for ``abalone.csv.gz``."""
    return path.name.split(".")[0] or path.name


def _npy_pair(path: Path, target: str | None):
    names = [f"{path.stem}_y.npy", "y.npy", path.name.replace("X", "y", 1), path.name.replace("x", "y", 1)]
    folder = path.parent
    candidates = [Path(target).expanduser()] if target else [folder / n for n in names if n != path.name]
    found = next((c for c in candidates if c.is_file()), None)
    if found is None:
        raise UserError(f"{path} has no target beside it ({candidates[0].name}); set data.target=PATH_OF_Y.npy")
    return {"X": read_npy(path), "y": read_npy(found)}
