"""A folder of models by name: versions are told apart by their digests, and aliases say which of them answers.

    registry = Registry("outputs/registry")
    digest = registry.add(bundle, "price")
    registry.promote("price", digest)       # "price" is it from now on, which is short for "price@champion"
    registry.resolve("price").folder        # what to load
    registry.rollback("price")              # the champion of before is it again

bundles/DIGEST     copies of bundles, by the first digits of their digests; nobody changes them
names/NAME.json    versions and aliases of a model, and what each alias was before
lock               held by whoever writes

A change is one rename of a NAME.json, and a bundle is whole before a name speaks of it. So who reads needs no lock and
never sees half of anything, and of a process that is killed nothing stays but a draft, which the next writer removes.
At worst a whole copy stays that no name holds: adding the same bundle again takes it, and ``clean`` removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from automl import serial
from automl.data.read.files import short
from automl.deploy.bundle import META, Bundle, checksum_of, digest_of
from automl.deploy.entry import DIGITS, NAME, Entry, Held, check_alias, check_name, now
from automl.errors import UserError
from automl.files import write_atomically

CHAMPION = "champion"
"""The alias that a bare name stands for."""

WAIT = 60.0  # seconds for another writer, which at most copies a bundle
LARGEST = 4_000_000  # bytes of a NAME.json: some thirty thousand versions
_UNLISTED = ("README.md", "*.whl")  # of a bundle, what comes along beside the files that meta.json lists
_DRAFT = ".part"
_COPY = re.compile(rf"[0-9a-f]{{{DIGITS}}}")


@dataclass(frozen=True)
class Version:
    """What a reference stands for: the bundle in ``folder``, whose whole digest is ``digest``."""

    name: str
    digest: str
    folder: Path


class Registry:
    """The registry in a folder. Many processes and threads may use it at once."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._bundles, self._names = self.folder / "bundles", self.folder / "names"

    def add(self, bundle: Path | str, name: str, *, alias: str | None = None) -> str:
        """Take a copy of a bundle as a version of a name, and return its digest; twice the same is one version.

        A copy, not links: who writes into the files of the bundle must not change what a name stands for. ``alias``: is
        the new version from the same moment on. Raises UserError for a name that is none, for a bundle that does not
        load or answers its examples wrongly, and where nothing can be written.
        """
        check_name(name)
        if alias is not None:
            check_alias(alias)
        loaded = Bundle.load(bundle)
        digest = digest_of(loaded.meta)
        with self._told():
            for folder in (self._bundles, self._names):
                folder.mkdir(parents=True, exist_ok=True)
        with self._writing():
            entry = self.entry(name) if self._file(name).exists() else Entry(name, (), {}, ())
            self._keep(loaded, digest)
            if digest not in [v.digest for v in entry.versions]:
                entry = replace(entry, versions=(*entry.versions, Held(digest, now())))
            # Also where nothing is new in it: a copy may have been mended, and ``state`` tells of that.
            self._write(entry if alias is None else entry.moved(alias, digest))
        return digest

    def promote(self, name: str, version: str, alias: str = CHAMPION) -> str:
        """Let an alias stand for a version (see ``Entry.find``) and return its digest.

        Raises UserError for a version that is not there or whose copy is broken.
        """
        check_alias(alias)

        def change(entry: Entry) -> Entry:
            return entry.moved(alias, self._sound(name, entry.find(version)))

        return self._change(name, change).aliases[alias]

    def rollback(self, name: str, alias: str = CHAMPION) -> str:
        """Let an alias stand for what it was before, one step for each call, and return that digest.

        Raises UserError where it was nothing else, or the copy of what it was is broken.
        """

        def change(entry: Entry) -> Entry:
            now, history = entry.aliases.get(alias), list(entry.history)
            for at in reversed(range(len(history))):
                if history[at].alias == alias and (before := history.pop(at).digest) != now:
                    aliases = {**entry.aliases, alias: self._sound(name, before)}
                    return replace(entry, aliases=aliases, history=tuple(history))
            raise UserError(f"{name}@{short(alias)} was nothing else before; promote a version instead")

        return self._change(name, change).aliases[alias]

    def unset(self, name: str, alias: str) -> None:
        """Take an alias away; ``rollback`` brings it back. Raises UserError where it is not there."""

        def change(entry: Entry) -> Entry:
            if alias not in entry.aliases:
                raise UserError(
                    f"{name} has no alias {short(alias)}; it has {short(', '.join(entry.aliases)) or 'none'}"
                )
            return entry.moved(alias, None)

        self._change(name, change)

    def drop(self, name: str, version: str) -> str:
        """Forget a version, with its copy where no other name holds it, and return its digest.

        The name goes with its last version. Raises UserError where an alias holds it.
        """
        gone = ""

        def change(entry: Entry) -> Entry:
            nonlocal gone
            gone = entry.find(version)
            if holding := [alias for alias, digest in entry.aliases.items() if digest == gone]:
                which = f"{name}@{gone[:DIGITS]} is {', '.join(holding)}"
                raise UserError(f"{which}; promote another version, or drop the alias first")
            versions = tuple(v for v in entry.versions if v.digest != gone)
            return replace(entry, versions=versions, history=tuple(p for p in entry.history if p.digest != gone))

        self._change(name, change, after=lambda: self._forget(gone))
        return gone

    def names(self) -> list[str]:
        """All names, in the order of the alphabet. Raises UserError where the folder cannot be read."""
        return sorted(stem for file, *_ in self.state() if NAME.fullmatch(stem := file.removesuffix(".json")))

    def entry(self, name: str) -> Entry:
        """What is known of a name. Raises UserError where there is nothing, or what cannot be read."""
        check_name(name)
        file = self._file(name)
        if not file.is_file():
            known = short(", ".join(self.names()), 300) or "none; add one first"
            raise UserError(f"{self.folder} has no model {name!r}; it has {known}")
        try:
            with file.open("rb") as opened:
                text = opened.read(LARGEST + 1)
            if len(text) > LARGEST:
                raise ValueError(f"larger than {LARGEST:,} bytes")
            entry = serial.from_json(Entry, text.decode())
            if entry.name != name:
                raise ValueError(f"it is of {entry.name!r}")
        except (OSError, ValueError) as error:
            raise UserError(f"{file} cannot be read ({short(str(error), 200)}); bring back a copy of it") from error
        return entry

    def resolve(self, reference: str) -> Version:
        """``NAME``, ``NAME@ALIAS`` or ``NAME@DIGEST`` (or its beginning) as what to load.

        Raises UserError where there is no such name or version, or its folder is not the one that was added. What is in
        the files ``Bundle.load`` checks.
        """
        name, at, version = reference.partition("@")
        digest = self.entry(name).find(version if at else CHAMPION)
        folder = self._folder(digest)
        if wrong := fault(folder, digest):
            raise UserError(f"{name}@{digest[:DIGITS]} is broken: {folder} {wrong}; {MEND}")
        return Version(name, digest, folder)

    def orphans(self) -> list[Path]:
        """Copies of bundles that no name holds: of an ``add`` or ``drop`` that was killed, or one that runs now.

        They are not removed by themselves, as a NAME.json may be brought back: ``clean`` does. Raises UserError as
        ``names`` does.
        """
        held: set[str] = set()
        for name in self.names():
            try:
                held |= {v.digest[:DIGITS] for v in self.entry(name).versions}
            except UserError:  # it may hold any of them
                return []
        copies = self._bundles.iterdir() if self._bundles.is_dir() else ()
        return sorted(c for c in copies if c.name not in held and not c.name.endswith(_DRAFT))

    def clean(self) -> list[Path]:
        """Remove the copies among the ``orphans``, and tell which. What servers answer by is held by an alias.

        Raises UserError where a name cannot be read, or there is none at all: it may hold any of them, and may be
        brought back. And where something cannot be removed.
        """
        if not self._bundles.is_dir():
            return []
        with self._writing():
            for name in self.names():
                self.entry(name)
            gone = [copy for copy in self.orphans() if _COPY.fullmatch(copy.name)]
            if gone and not self.names():
                fix = f"bring back {self._names}, or remove the folder"
                raise UserError(f"{self.folder} has copies and not a single name, as if these were lost; {fix}")
            for copy in gone:
                copy.rename(copy.with_name(f"{copy.name}{_DRAFT}"))
            self._clear()
        return gone

    def state(self) -> tuple[tuple[str, int, int, int], ...]:
        """A stamp that differs after every change: of each file of a name its time (ns), size and inode.

        Costs some microseconds for each name. Raises UserError where the folder cannot be read.
        """
        try:
            files = sorted(f for f in self._names.iterdir() if f.suffix == ".json")
        except FileNotFoundError:  # no registry yet
            return ()
        except OSError as error:
            raise UserError(f"{self._names} cannot be read: {error.strerror}; mend its rights") from error
        found = []
        for file in files:
            with suppress(FileNotFoundError):  # a name that goes just now
                of = file.stat()
                found.append((file.name, of.st_mtime_ns, of.st_size, of.st_ino))
        return tuple(found)

    def _file(self, name: str) -> Path:
        return self._names / f"{name}.json"

    def _folder(self, digest: str) -> Path:
        return self._bundles / digest[:DIGITS]

    def _sound(self, name: str, digest: str) -> str:
        """The digest. Raises UserError where a file of its copy is not what it was."""
        if wrong := fault(self._folder(digest), digest, contents=True):
            raise UserError(f"{name}@{digest[:DIGITS]} is broken: {self._folder(digest)} {wrong}; {MEND}")
        return digest

    def _change(self, name: str, change: Callable[[Entry], Entry], after: Callable[[], None] = lambda: None) -> Entry:
        self.entry(name)  # before anything is made
        with self._writing():
            entry = change(self.entry(name))
            self._write(entry)
            after()
        return entry

    def _write(self, entry: Entry) -> None:
        text = serial.to_json(entry) + "\n"
        if len(text) > LARGEST:
            raise UserError(f"{entry.name} has too many versions to keep ({len(entry.versions):,}); drop some")
        if entry.versions:
            write_atomically(self._file(entry.name), text)
        else:
            self._file(entry.name).unlink()
        _to_disk(self._names)

    def _keep(self, bundle: Bundle, digest: str) -> None:
        """Copy a bundle, unless a whole copy is there."""
        folder = self._folder(digest)
        if not fault(folder, digest, contents=True):
            return
        draft = folder.with_name(f"{folder.name}{_DRAFT}")
        draft.mkdir()
        try:
            listed = [bundle.folder / file for file in (META, *bundle.meta["files"])]
            more = [f for pattern in _UNLISTED for f in bundle.folder.glob(pattern)]
            for file in (*listed, *(f for f in more if f.is_file() and not f.is_symlink())):
                shutil.copyfile(file, draft / file.name)
                _to_disk(draft / file.name)
            _to_disk(draft)
            if wrong := fault(draft, digest, contents=True):
                raise UserError(f"{bundle.folder} changed while it was copied ({wrong}); add it again")
            if os.path.lexists(folder):  # broken
                folder.rename(folder.with_name(f"{folder.name}.old{_DRAFT}"))
            draft.rename(folder)
            _to_disk(self._bundles)
        finally:
            self._clear()

    def _forget(self, digest: str) -> None:
        """Remove a copy that no name holds any more."""
        folder = self._folder(digest)
        if os.path.lexists(folder) and not any(self._holds(name, digest) for name in self.names()):
            folder.rename(folder.with_name(f"{folder.name}{_DRAFT}"))
            self._clear()

    def _holds(self, name: str, digest: str) -> bool:
        """True also where that cannot be told."""
        try:
            return any(v.digest[:DIGITS] == digest[:DIGITS] for v in self.entry(name).versions)
        except UserError:
            return True

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Alone among all that write; the lock of a process that is killed is free at once."""
        with self._told(), (self.folder / "lock").open("ab") as lock:
            end = time.monotonic() + WAIT
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        line = f"{self.folder} has been written by another process for {WAIT:g} s; end that one"
                        raise UserError(line) from None
                    time.sleep(0.01)
            self._clear()
            yield

    def _clear(self) -> None:
        """Remove drafts: only who holds the lock makes any."""
        for left in (*self._bundles.glob(f"*{_DRAFT}"), *self._names.glob(f".*{_DRAFT}")):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{self.folder} cannot be written: {reason}; mend that, and run it again") from error


MEND = "add the bundle again, or promote another version"


def fault(folder: Path, digest: str, *, contents: bool = False) -> str:
    """What is wrong with a copy of the bundle of this digest; empty: nothing. ``contents``: read all files for it."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        files = dict(meta["files"])
        if digest_of(meta) != digest:
            return f"holds another {META}"
        if lost := next((f for f in files if Path(f).name != f or not (folder / f).is_file()), None):
            return f"lacks {short(lost)}"
        changed = next((f for f, was in files.items() if contents and checksum_of(folder / f) != was), None)
        return f"holds another {short(changed)}" if changed else ""
    except FileNotFoundError:
        return f"has no {META}" if folder.is_dir() else "is gone"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"cannot be read ({short(str(error))})"


def _to_disk(path: Path) -> None:
    """Of a folder: the names in it."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
