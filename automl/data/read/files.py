"""Opening files of strangers: absent, packed and packed without end."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
from pathlib import Path
from typing import IO

from automl.errors import UserError

# Tables seldom pack to less than a hundredth. A bomb packs a thousandfold and more; a small one does no harm.
MAX_RATIO = 200
UNSUSPECTED = 1 << 30  # bytes
_BLOCK = 1 << 20
_ENCRYPTED = 0x1  # of a zip member's flags


def existing(path: str | Path, *, option: str = "data.path") -> Path:
    """The path, expanded. Raises UserError when nothing is there."""
    if not str(path):
        raise UserError(f"{option} is empty; set {option}=FILE_OR_FOLDER")
    try:
        found = Path(path).expanduser()
        there = found.exists()
    except (OSError, RuntimeError) as error:  # a name that is too long, a folder that may not be read, ~nobody
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{short(str(path))} cannot be opened: {reason}. Set {option}=FILE_OR_FOLDER") from error
    if not there:
        near = sorted(p.name for p in found.parent.glob("*"))[:5] if found.parent.is_dir() else []
        hint = f"; its folder holds: {', '.join(near)}" if near else ""
        raise UserError(f"{found} does not exist{hint}. Set {option}=FILE_OR_FOLDER")
    return found


def open_bytes(path: Path) -> IO[bytes]:
    """Open for reading, unpacked when it is gz, bz2, xz, or a zip that holds exactly one table.

    Raises UserError for what cannot be opened; later, when read, for a broken archive or one without end
    (``check_unpacked``).
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file, or use data=image_folder or data=audio_folder")
    if path.is_fifo() or path.is_socket():
        raise UserError(f"{path} is a pipe, which can be read only once; write it to a file")
    try:
        with path.open("rb") as file:
            magic = file.read(6)
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror}; mend its rights, or copy it") from error
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


def check_unpacked(path: Path, unpacked: int) -> None:
    """Raises UserError when this many bytes of the file, unpacked, fit in no memory or come from a bomb."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if unpacked > memory:
        raise UserError(
            f"{path} holds {unpacked / 1e9:,.1f} GB or more, this machine has {memory / 1e9:,.1f} GB; keep fewer rows"
        )
    if unpacked > max(UNSUSPECTED, MAX_RATIO * path.stat().st_size):
        raise UserError(
            f"{path} unpacks to more than {MAX_RATIO} times its size, as real data hardly do; "
            "if you trust it, unpack it and give that"
        )


def _only_member(path: Path) -> IO[bytes]:
    try:
        archive = zipfile.ZipFile(path)
        names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX")]
        tables = [n for n in names if n.lower().endswith((".csv", ".tsv", ".txt"))]
        if len(tables) == 1:
            if archive.getinfo(tables[0]).flag_bits & _ENCRYPTED:
                raise UserError(f"{path} is locked by a password; unpack it and give the file inside")
            return archive.open(tables[0])
    except UserError:
        raise
    except Exception as error:  # a decoder raises whatever it stumbles over
        raise UserError(f"{path} is a broken zip: {short(str(error))}; pack it again, or unpack it") from error
    raise UserError(
        f"{path} is a zip with {len(names)} files ({short(', '.join(names[:3]))}); "
        "unpack it and set data.path to the csv, npz or folder inside"
    )


class _Checked(io.BufferedIOBase, IO[bytes]):  # type: ignore[misc]
    """A packed file whose corruption, or endlessness, is told as a UserError."""

    def __init__(self, file, path: Path) -> None:
        self._file, self._path, self._count = file, path, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size >= 0:
            return self._block(size)
        return b"".join(iter(lambda: self._block(_BLOCK), b""))  # counted as it grows

    def _block(self, size: int) -> bytes:
        try:
            block = self._file.read(size)
        except Exception as error:  # a decoder raises whatever it stumbles over
            raise UserError(f"{self._path} is a broken archive: {short(str(error))}; copy or pack it again") from error
        self._count += len(block)
        check_unpacked(self._path, self._count)
        return block

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
