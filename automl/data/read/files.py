"""Opening files of strangers: absent, packed and packed without end."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import IO

from automl.errors import UserError


def existing(path: str | Path, *, option: str = "data.path") -> Path:
    """The path, expanded. Raises UserError when nothing is there."""
    if not str(path):
        raise UserError(f"{option} is empty; set {option}=FILE_OR_FOLDER")
    found = Path(path).expanduser()
    try:
        there = found.exists()
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise UserError(
            f"{short(str(found))} cannot be opened: {error.strerror}. Set {option}=FILE_OR_FOLDER"
        ) from error
    if not there:
        near = sorted(p.name for p in found.parent.glob("*"))[:5] if found.parent.is_dir() else []
        hint = f"; its folder holds: {', '.join(near)}" if near else ""
        raise UserError(f"{found} does not exist{hint}. Set {option}=FILE_OR_FOLDER")
    return found


def open_bytes(path: Path) -> IO[bytes]:
    """Open for reading, unpacked when it is gz, bz2, xz, or a zip that holds exactly one file."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file, or use data=image_folder or data=audio_folder")
    with path.open("rb") as file:
        magic = file.read(6)
    if magic[:2] == b"\x1f\x8b":
        return _Checked(gzip.open(path, "rb"), path)
    if magic[:3] == b"BZh":
        return _Checked(bz2.open(path, "rb"), path)
    if magic == b"\xfd7zXZ\x00":
        return _Checked(lzma.open(path, "rb"), path)
    if magic[:4] == b"PK\x03\x04" and path.suffix.lower() not in (".npz", ".xlsx"):
        return _Checked(_only_member(path), path)
    if magic[:4] in (b"PK\x03\x04", b"PK\x05\x06") or magic[:4] == b"\xd0\xcf\x11\xe0":
        raise UserError(f"{path} is a spreadsheet or an archive; export it as csv, or unpack it")
    return path.open("rb")


def _only_member(path: Path):
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise UserError(f"{path} is a broken zip: {error}; pack it again") from error
    names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX")]
    tables = [n for n in names if n.lower().endswith((".csv", ".tsv", ".txt"))]
    if len(tables) != 1:
        raise UserError(
            f"{path} is a zip with {len(names)} files ({', '.join(names[:3])}); "
            "unpack it and set data.path to the csv, npz or folder inside"
        )
    return archive.open(tables[0])


class _Checked(io.BufferedIOBase, IO[bytes]):  # type: ignore[misc]
    """A packed file whose corruption is told as a UserError."""

    def __init__(self, file, path: Path) -> None:
        self._file, self._path = file, path

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
            raise UserError(f"{self._path} is a broken archive: {error}; copy or pack it again") from error

    def readinto(self, buffer) -> int:
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


def short(text: str, length: int = 60) -> str:
    """One line, cut to a length, for error messages."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 3] + "..."
