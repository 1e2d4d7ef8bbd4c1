"""Packed files and arrays of strangers: what their headers claim is checked before memory is taken."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.read import files
from automl.data.read.arrays import read_npy, read_npz
from automl.data.read.files import existing, open_bytes
from automl.data.read.media import inside
from automl.errors import UserError

from .files import table


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def locked(content: bytes) -> bytes:
    """The same zip with the flag of a password on each member."""
    out = bytearray(content)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        out[content.index(mark) + at] |= 1
    return bytes(out)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(shape: str, descr: str = "'<f8'") -> bytes:
    """An npy file that holds a header alone."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n"


PACKED = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": lambda c: zipped({"t.csv": c})}


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("size", [-1, 4096])
def test_packed_without_end(kind: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up as soon as it has grown past the limit, also where all is asked for at once."""
    monkeypatch.setattr(files, "UNSUSPECTED", 1 << 20)
    (tmp_path / "t").write_bytes(PACKED[kind](bytes(30 << 20)))
    with open_bytes(tmp_path / "t") as file, pytest.raises(UserError, match="unpacks to more than 200 times"):
        while file.read(size):
            assert file._count < 8 << 20


@pytest.mark.parametrize("kind", PACKED)
def test_packed_tables_are_read_whole(kind: str, tmp_path: Path) -> None:
    content = table(5_000).encode()
    (tmp_path / "t").write_bytes(PACKED[kind](content))
    with open_bytes(tmp_path / "t") as file:
        assert file.read() == content


@pytest.mark.parametrize("kind", PACKED)
def test_cut_archives(kind: str, tmp_path: Path) -> None:
    content = PACKED[kind](os.urandom(3_000))
    for end in range(8, len(content) - 1, 200):
        (tmp_path / "t").write_bytes(content[:end])
        with pytest.raises(UserError, match=r"broken (archive|zip)"), open_bytes(tmp_path / "t") as file:
            file.read()


ZIPS = {
    "locked": (locked(zipped({"t.csv": b"a,b\n1,2\n"})), "password"),
    "in a zip": (zipped({"t.zip": zipped({"t.csv": b"a"})}), "t.zip"),
    "of odd names": (zipped({"a\nb.bin": b"", "../c.bin": b""}), "2 files"),
    "empty": (zipped({}), "spreadsheet or an archive"),
    "of two tables": (zipped({"a.csv": b"a", "b.CSV": b"a"}), "2 files"),
}


@pytest.mark.parametrize("name", ZIPS)
def test_zips_that_are_refused(name: str, tmp_path: Path) -> None:
    content, word = ZIPS[name]
    (tmp_path / "t.zip").write_bytes(content)
    with pytest.raises(UserError, match=word) as caught:
        open_bytes(tmp_path / "t.zip")
    assert "\n" not in str(caught.value)


def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="read only once"):
        open_bytes(tmp_path / "pipe")
    with pytest.raises(UserError, match="cannot be opened"):
        existing("~nobody-of-this-name/t.csv")
    (tmp_path / "t.csv").write_text("a")

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UserError, match="Permission denied"):
        open_bytes(tmp_path / "t.csv")


@pytest.mark.parametrize("text", ["x" * 5_000, "a\0b.png", "ring/a.png", "../a.png", "..\\a.png", "a.gif"])
def test_paths_of_a_table(text: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    (root / "photos").mkdir(parents=True)
    for file in (root / "photos" / "a.png", tmp_path / "a.png"):
        file.write_bytes(b"")
    (root / "ring").symlink_to(root / "ring")
    assert inside(root, "photos\\a.png", "row 1") == root / "photos/a.png" == inside(root, "photos/a.png", "row 1")
    with pytest.raises(UserError, match=r"row 1 names .*(no path|outside|not in)"):
        inside(root, text, "row 1")


LIES = {
    "giant": header("(1000000000000, 1000)"),
    "a little more": npy(np.ones(9))[:-1],
    "negative": header("(-1,)"),
    "a word": header("'x'"),
    "of no type": header("(1,)", "'nonsense'"),
    "deep": header("(" * 3_000 + ")" * 3_000),
    "overflow": header("(99999999999999999999999, 0, 5)"),
    "objects": header("(1,)", "'|O'"),
    "no file": b"",
    "text": b"hello world",
}


@pytest.mark.parametrize("name", LIES)
def test_arrays_that_lie(name: str, tmp_path: Path) -> None:
    (tmp_path / "t.npy").write_bytes(LIES[name])
    (tmp_path / "t.npz").write_bytes(zipped({"X.npy": LIES[name]}))
    for read, file in ((read_npy, "t.npy"), (read_npz, "t.npz")):
        with pytest.raises(UserError, match=f"{file} ") as caught:
            read(tmp_path / file)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300 + len(str(tmp_path))


def test_an_npz_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "t.npz", X=np.zeros((1 << 12, 1 << 10)))
    assert read_npz(tmp_path / "t.npz")["X"].shape == (1 << 12, 1 << 10)
    monkeypatch.setattr(files, "UNSUSPECTED", 1 << 20)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *a, **k: pytest.fail("was unpacked"))
    with pytest.raises(UserError, match="200 times"):
        read_npz(tmp_path / "t.npz")


def test_more_than_the_machine_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "t.npz", X=np.zeros((100, 100)))
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    with pytest.raises(UserError, match="this machine has"):
        read_npz(tmp_path / "t.npz")


def test_other_members_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "t.npz").write_bytes(zipped({"X.npy": npy(np.ones((3, 2))), "README.txt": b"made by hand"}))
    assert list(read_npz(tmp_path / "t.npz")) == ["X"]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=5), st.integers(0, 400))
def test_changed_bytes(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], end: int) -> None:
    folder = tmp_path_factory.mktemp("x")
    for name, whole, read in (
        ("t.npy", npy(np.arange(9.0)), read_npy),
        ("t.npz", zipped({"X.npy": npy(np.arange(9.0))}), read_npz),
    ):
        content = bytearray(whole)
        for at, byte in changes:
            content[at % len(content)] = byte
        (folder / name).write_bytes(content[: end or None])
        try:
            read(folder / name)
        except UserError as error:
            assert "\n" not in str(error)
