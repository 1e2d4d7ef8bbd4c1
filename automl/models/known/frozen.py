"""A known network that is not trained: its answers to a row are computed once, for all trainings on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch
from torch import Tensor, nn

from automl.files import write_atomically
from automl.models.remember import exactly, may_recall, row_keys

# By judgement: with less, answers are computed again and again; with more, several workers fill a small machine.
ROOM = 512  # megabytes of answers of one network that a process holds
SHELVES = 2048  # megabytes of all of them on the disk
NUMBERS = 2**23  # of rows that are computed together: five hundred pictures of 224 x 224 take gigabytes on their way


def own_folder() -> Path:
    """Where the XDG base directory specification puts what can be made again."""
    asked = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return (asked if asked.is_absolute() else Path("~/.cache").expanduser()) / "level4" / "features"


class Shelf:
    """Answers by the row that was asked, in a folder that processes share. One that cannot be written is no fault.

    Each batch is a file of its own, so that nothing is ever written twice and nobody waits. Of all shelves the oldest
    go where there are more than ``SHELVES`` megabytes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[bytes, np.ndarray] = {}
        self.room = ROOM * 2**20
        self.seen: set[str] = set()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.utime(folder)  # it is in use
            _make_room(folder)
        except OSError:
            self.folder = None

    def get(self, keys: Iterable[bytes]) -> list[np.ndarray | None]:
        keys = list(keys)
        if any(key not in self.known for key in keys):
            self._look()
        return [self.known.get(key) for key in keys]

    def put(self, keys: list[bytes], answers: np.ndarray) -> None:
        """``answers``: float32 (keys, size). What there is no room for is on the disk neither: nobody could recall it,
        and it would be written again whenever it is asked.
        """
        kept = self._keep(keys, answers)
        if self.folder is None or not kept:
            return
        names = np.frombuffer(b"".join(keys[i] for i in kept), np.uint8).reshape(len(kept), -1)
        content = {"keys": names, "answers": answers[kept]}
        name = f"{secrets.token_hex(8)}.safetensors"
        try:
            write_atomically(self.folder / name, safetensors.numpy.save(content))
            self.seen.add(name)
        except OSError:
            self.folder = None  # the disk is full, or somebody took the folder away

    def _look(self) -> None:
        """Read what other processes wrote since."""
        if self.folder is None:
            return
        for file in self.folder.glob("[!.]*.safetensors"):
            if file.name in self.seen:
                continue
            self.seen.add(file.name)
            try:
                content = safetensors.numpy.load(file.read_bytes())
                self._keep([row.tobytes() for row in content["keys"]], content["answers"])
            except (OSError, KeyError, safetensors.SafetensorError):
                continue  # it is made again

    def _keep(self, keys: Iterable[bytes], answers: np.ndarray) -> list[int]:
        """The places of those that are kept now."""
        kept = []
        for i, (key, answer) in enumerate(zip(keys, answers, strict=True)):
            if key not in self.known and self.room >= answer.nbytes:
                self.known[key] = answer.copy()
                self.room -= answer.nbytes
                kept.append(i)
        return kept


_shelves: dict[Path, Shelf] = {}


def shelf(name: str) -> Shelf:
    """The one of that name in this process; of others only the last is kept in memory."""
    folder = own_folder() / name
    if folder not in _shelves:
        while len(_shelves) > 1:
            del _shelves[next(iter(_shelves))]
        _shelves[folder] = Shelf(folder)
    return _shelves[folder]


class Frozen(nn.Module):
    """A network without training, in its state of rest always. It is no part of the state: that would be written anew
    with each trial, and is in the file it came from. On a CPU its answers come from a shelf; a graph that is exported
    holds the network alone.

    ``name``: of the shelf: of all that decides an answer but the row.
    """

    def __init__(self, body: nn.Module, name: str) -> None:
        super().__init__()
        self.body = body.eval().requires_grad_(False)
        self.name = name
        self._prefix = ""
        self.register_load_state_dict_post_hook(_nothing_is_missing)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, ...) -> (rows, size), each row on its own."""
        if not may_recall(x):
            with torch.no_grad():
                return exactly(self.body, x)
        keys, known = row_keys(x), shelf(self.name)
        answers = dict(zip(keys, known.get(keys), strict=True))
        new = {key: i for i, key in enumerate(keys) if answers[key] is None}  # a row may stand more than once
        if new:
            with torch.no_grad():
                parts = torch.tensor(list(new.values())).split(max(1, NUMBERS // math.prod(x.shape[1:])))
                fresh = np.concatenate([exactly(self.body, x[some]).numpy() for some in parts])
            known.put(list(new), fresh)
            answers |= zip(new, fresh, strict=True)
        return torch.from_numpy(np.stack([a for key in keys if (a := answers[key]) is not None]))

    def train(self, mode: bool = True) -> Frozen:
        self.training = mode
        return self

    def state_dict(self, *args: Any, destination: Any = None, **options: Any) -> Any:
        return {} if destination is None else destination

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any, **more: Any) -> None:
        self._prefix = prefix


def _nothing_is_missing(module: nn.Module, keys: Any) -> None:
    assert isinstance(module, Frozen)
    keys.missing_keys[:] = [name for name in keys.missing_keys if not name.startswith(f"{module._prefix}body.")]


def shelf_name(*parts: object) -> str:
    """32 hex digits of all that decides the answers of a network."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _make_room(used: Path) -> None:
    """Other processes write, rename and remove meanwhile: what is gone takes no room."""
    found: list[tuple[bool, float, Path, int]] = []
    for folder in used.parent.iterdir():
        with contextlib.suppress(OSError):
            found.append((folder == used, folder.stat().st_mtime, folder, sum(map(_size, folder.iterdir()))))
    total = sum(size for *_, size in found)
    for mine, _, folder, size in sorted(found):
        if mine or total <= SHELVES * 2**20:
            return
        shutil.rmtree(folder, ignore_errors=True)
        total -= size


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
