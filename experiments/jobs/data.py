"""The data that a job may name: scikit-learn's, those of a folder, and what was uploaded. A name is never a path."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from automl.errors import UserError
from automl.files import write_atomically

TOYS = ("breast_cancer", "diabetes", "digits", "iris", "wine")
"""Those of scikit-learn that are one task."""
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".parquet", ".npz")
UPLOADS = (".csv", ".tsv", ".parquet", ".npz")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
Kind = Literal["toy", "file", "folder", "upload"]


@dataclass(frozen=True)
class Found:
    """``path``: None for scikit-learn's."""

    name: str
    kind: Kind
    path: Path | None = None

    @property
    def bytes(self) -> int | None:
        """Of a file. None: it is none, or was taken away meanwhile."""
        if self.path is None or self.kind == "folder":
            return None
        with suppress(OSError):
            return self.path.stat().st_size
        return None


@dataclass(frozen=True)
class Data:
    """``uploads``: the folder of what was sent. ``datasets``: the folder of what is offered, None for none."""

    uploads: Path
    datasets: Path | None = None

    def all(self) -> dict[str, Found]:
        """By name. Of two with one name the offered one goes before what was uploaded."""
        found = {f.name: f for f in _in(self.uploads, "upload")}
        found |= {name: Found(name, "toy") for name in TOYS}
        return found | ({} if self.datasets is None else {f.name: f for f in _in(self.datasets, "file")})

    def find(self, name: str) -> Found:
        """Raises UserError for a name that is not there, whatever it looks like."""
        known = self.all()
        if name not in known:
            names = ", ".join(sorted(known)[:12])
            raise UserError(
                f"no data has the name {name[:64]!r}; there are: {names}{', ...' if len(known) > 12 else ''}"
            )
        return known[name]

    def add(self, name: str, content: bytes, most: int) -> Found:
        """Keep what was sent as NAME.csv, NAME.tsv, NAME.parquet or NAME.npz. Raises UserError.

        ``most``: uploads that are kept.
        """
        stem, dot, ending = name.partition(".")
        if not NAME.fullmatch(stem) or f"{dot}{ending}" not in UPLOADS:
            raise UserError(f"name={name[:80]!r} must be letters, digits, - and _, and one of {', '.join(UPLOADS)}")
        if not content:
            raise UserError("the body is empty; send the file as it is")
        self.uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.uploads / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of all workers one: no two of one name, nor more than ``most``
            known = self.all()
            if stem in known:
                raise UserError(f"data of the name {stem!r} are there already; choose another one")
            if sum(f.kind == "upload" for f in known.values()) >= most:
                raise UserError(f"{most} uploads are kept; DELETE /data/NAME gives the place of one back")
            for left in self.uploads.glob(".*.part"):  # of a server that was killed
                left.unlink(missing_ok=True)
            write_atomically(self.uploads / name, content)
        return Found(stem, "upload", self.uploads / name)

    def uploaded(self, name: str) -> Path:
        """Raises UserError for what was not uploaded."""
        found = self.find(name)
        if found.kind != "upload" or found.path is None:
            raise UserError(f"{name!r} was not uploaded, and stays")
        return found.path


def _in(folder: Path, kind: Kind) -> Iterator[Found]:
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            name = path.name.partition(".")[0]
            if not NAME.fullmatch(name):
                continue
            if path.is_file() and path.name.lower().endswith(SUFFIXES):
                yield Found(name, kind, path)
            elif path.is_dir() and kind == "file":
                yield Found(name, "folder", path)
