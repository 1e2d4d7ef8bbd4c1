"""Which model answers, and how another takes its place.

A worker holds one immutable table. A request takes its model from it once and keeps it to the end. Once a second a
thread looks whether the folder was changed; a new version is loaded, asked its examples and warmed up there, and then
the table is replaced by another. So no request waits for a load, and none is answered by two versions. A version that
cannot be loaded changes nothing but what is told of it: the one before answers on.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from automl.data.encode.media import ARRAYS, content_of
from automl.deploy.bundle import META, Bundle, digest_of
from automl.deploy.entry import DIGITS
from automl.deploy.examples import ROWS_NAME, read_examples
from automl.deploy.registry import Registry, Version
from automl.errors import UserError
from automl.serve.limits import Limits, Refused, check_pixels
from automl.serve.notes import Notes
from automl.serve.settings import Settings

CHAMPION, CHALLENGER = "champion", "challenger"
SCHEMA = "schema.json"
LIGHT_SECONDS = 0.005
"""What the event loop may take for a batch itself: as long as another request then waits for its first byte. By
judgement: with less, small models pay for a thread each time."""
WARM = 5  # answers before a model is ready; the fastest tells how long one takes
SOON = 1.0  # seconds between looks at the folder
NO_ALIAS = "no alias holds a version of this model; promote one, and it answers"
AGAIN = 30.0  # seconds until a version that could not be loaded is tried once more
log = logging.getLogger(__name__)


Wanted = Mapping[str, Mapping[str, Version | UserError] | UserError]
"""Name -> alias -> version, or why there is none."""


class Source(Protocol):
    """Where versions come from."""

    def state(self) -> object:
        """Something that changes whenever ``wanted`` may."""
        ...

    def wanted(self) -> Wanted:
        """Raises UserError."""
        ...


class Recorder(Protocol):
    """Counts rows and answers, on its own time: see ``automl.monitor``."""

    def add(
        self, request_id: str, rows: Sequence[Mapping[str, Any]], outputs: Sequence[np.ndarray], seconds: float | None
    ) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, eq=False)
class Loaded:
    """A version that answers. ``cells``: its rows are cells alone, so many rows are read together as each alone.
    ``light``: how many rows the event loop may answer itself, 0 where files must be decoded. ``schema``: JSON Schema of
    a row, empty where the bundle has none.
    """

    name: str
    digest: str
    bundle: Bundle
    notes: Notes
    limits: Limits
    cells: bool
    light: int
    schema: Mapping[str, Any]
    recorder: Recorder | None = None

    @property
    def short(self) -> str:
        return self.digest[:DIGITS]

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.short}"

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, ...]:
        """Encoded inputs. Raises UserError, and Refused for pictures that are too large, before they are decoded."""
        for of in self.bundle.encoding.fields:
            if of["kind"] == "image":
                rows = self._measured(of["name"], rows)
        # Of columns of arrays alone one row looks like a column of many: a list says what it is.
        return self.bundle.encode(list(rows))

    def _measured(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """The rows with the bytes of pictures for their base64 text."""
        files = {
            i: content_of(cell, f"column {name!r} in row {i + 1}", "png or jpeg")
            for i, row in enumerate(rows)
            if isinstance(cell := row.get(name), (str, bytes))
        }
        check_pixels(list(files.values()), self.limits)
        return [{**row, name: files[i]} if i in files else row for i, row in enumerate(rows)]


@dataclass(frozen=True)
class Entry:
    """One name: alias -> version that answers, and why the newest one does not."""

    aliases: Mapping[str, Loaded]
    error: str | None = None


class Folder:
    """One bundle, as the champion of its name."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder).expanduser()

    def state(self) -> object:
        try:
            about = (self.folder / META).stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_ino, about.st_size

    def wanted(self) -> Wanted:
        try:
            meta = json.loads((self.folder / META).read_text(encoding="utf-8"))
            name, digest = name_of(str(meta["task"]["name"])), str(meta.get("digest") or digest_of(meta))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"bundle={self.folder} holds no readable bundle; export the model again") from error
        return {name: {CHAMPION: Version(name, digest, self.folder)}}


class Shelf:
    """A registry: every version that an alias holds."""

    def __init__(self, folder: str) -> None:
        self.registry = Registry(Path(folder).expanduser())

    def state(self) -> object:
        return self.registry.state()

    def wanted(self) -> Wanted:
        return {name: self._versions(name) for name in self.registry.names()}

    def _told(self, error: UserError) -> UserError:
        """Without where it lies: clients are told too."""
        return UserError(str(error).replace(str(self.registry.folder), "the registry"))

    def _versions(self, name: str) -> Mapping[str, Version | UserError] | UserError:
        """What is broken of one name is told, and holds up no other."""
        try:
            aliases = self.registry.entry(name).aliases
        except UserError as error:
            return self._told(error)
        return {alias: self._version(f"{name}@{alias}") for alias in aliases}

    def _version(self, reference: str) -> Version | UserError:
        try:
            return self.registry.resolve(reference)
        except UserError as error:
            return self._told(error)


def name_of(text: str) -> str:
    """A name that addresses can hold, of a task's."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:64] or "model"


@dataclass
class Models:
    """The table of one worker.

    ``recorder``: makes the recorder of a version, None for none. ``told``: hears of each load: name, ok or failed.
    """

    source: Source
    limits: Limits
    recorder: Callable[[Version, Bundle], Recorder | None] = lambda version, bundle: None
    told: Callable[[str, str], None] = lambda name, result: None
    table: Mapping[str, Entry] = field(default_factory=dict)
    _state: object = field(default=None, repr=False)
    _again: float = field(default=float("inf"), repr=False)
    _left: list[tuple[float, Loaded]] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, settings: Settings, **more: Any) -> Models:
        source: Source = Folder(settings.bundle) if settings.bundle is not None else Shelf(str(settings.registry))
        return cls(source, settings.limits, **more)

    def find(self, reference: str | None, request: str = "", canary: float = 0.0) -> Loaded:
        """The version that answers. ``reference``: NAME, NAME@ALIAS or NAME@DIGEST; None for the only name there is.

        ``canary``: share of the requests without an alias that the challenger answers, the same for the same request.
        Raises Refused.
        """
        table = self.table
        if reference is None:
            if len(table) != 1:
                if not table:
                    raise Refused(503, "no model is ready", Retry_After="1")
                raise Refused(422, f"say which model: {', '.join(sorted(table)[:8])}")
            (entry,) = table.values()
            version = ""
        else:
            name, _, version = reference.partition("@")
            known = table.get(name)
            if known is None:
                raise Refused(404, f"no model has this name; there are: {', '.join(sorted(table)[:8])}")
            entry = known
        aliases = entry.aliases
        if not version:
            if canary and CHALLENGER in aliases and zlib.crc32(request.encode()) < canary * 2**32:
                return aliases[CHALLENGER]
            version = CHAMPION
        if (found := aliases.get(version)) is not None:
            return found
        for loaded in aliases.values():
            if len(version) >= 6 and loaded.digest.startswith(version):
                return loaded
        if not aliases:
            why = NO_ALIAS if entry.error == NO_ALIAS else "no version of this model could be loaded"
            raise Refused(503, why, Retry_After="30")
        raise Refused(404, f"no alias or digest is that; there are: {', '.join([*aliases, *_shorts(aliases)])}")

    def start(self) -> None:
        """Load what there is. Raises UserError when models are there and none of them runs."""
        self._state = self.source.state()
        self._replace(self.source.wanted())
        if self.table and not any(entry.aliases for entry in self.table.values()):
            raise UserError("; ".join(f"{name}: {entry.error}" for name, entry in sorted(self.table.items())))

    def check(self) -> None:
        """Look once, and load what is new. Raises nothing: what goes wrong is logged and told by the table."""
        now = time.monotonic()
        for at, loaded in self._left[:]:
            if at < now:  # what was asked of it is answered
                self._left.remove((at, loaded))
                if loaded.recorder is not None:
                    loaded.recorder.close()
        try:
            state = self.source.state()
            if state == self._state and now < self._again:
                return
            wanted = self.source.wanted()
        except (UserError, OSError) as error:
            if self._again == float("inf"):
                log.error("the models cannot be read, those that are loaded answer on: %s", error)
            self._again = now + AGAIN
            return
        self._state, self._again = state, float("inf")
        self._replace(wanted)

    def _replace(self, wanted: Wanted) -> None:
        old = {(n, v.digest): v for n, entry in self.table.items() for v in entry.aliases.values()}
        kept: dict[tuple[str, str], Loaded] = {}
        table: dict[str, Entry] = {}
        for name, aliases in wanted.items():
            before = self.table.get(name, Entry({}))
            answering: dict[str, Loaded] = {}
            error = None
            if isinstance(aliases, UserError):
                aliases = dict.fromkeys(before.aliases or [CHAMPION], aliases)
            for alias, version in aliases.items():
                try:
                    if isinstance(version, UserError):
                        raise version
                    key = (name, version.digest)
                    kept[key] = answering[alias] = kept.get(key) or old.get(key) or self._load(version)
                except UserError as problem:
                    error = str(problem)
                    if not isinstance(version, UserError):
                        error = error.replace(str(version.folder), "the bundle")
                    self._again = time.monotonic() + AGAIN
                    if alias in before.aliases:
                        answering[alias] = before.aliases[alias]
                        kept[name, answering[alias].digest] = answering[alias]
                    if error != before.error:
                        on = f"{answering[alias].short} answers on" if alias in answering else "nothing answers"
                        log.error("%s@%s cannot be loaded, %s: %s", name, alias, on, error)
            if not aliases:  # the last one was taken away
                error = NO_ALIAS
                if error != before.error:
                    log.error("%s: nothing answers: %s", name, error)
            table[name] = Entry(answering, error)
        for name in self.table.keys() - table.keys():
            log.error("%s is in the registry no more: nothing answers", name)
        for key, loaded in old.items():
            if key not in kept:
                self._left.append((time.monotonic() + 2 * self.limits.seconds, loaded))
        self.table = table

    def _load(self, version: Version) -> Loaded:
        """Raises UserError."""
        try:
            loaded = load(version, self.limits, self.recorder)
        except UserError:
            self.told(version.name, "failed")
            raise
        except Exception as error:  # onnxruntime and numpy raise their own
            self.told(version.name, "failed")
            raise UserError(f"the bundle does not run ({type(error).__name__}); export the model again") from error
        self.told(version.name, "ok")
        log.warning("%s is loaded", loaded.reference)
        return loaded

    def watch(self, stop: threading.Event) -> None:
        """Look once a second, until told to stop."""
        while not stop.wait(SOON):
            try:
                self.check()
            except Exception:  # a fault here must not end the watching
                log.exception("the look at the models failed")

    def close(self) -> None:
        """Also what was replaced a moment ago."""
        answering = [v for entry in self.table.values() for v in entry.aliases.values()]
        for loaded in [*answering, *(loaded for _, loaded in self._left)]:
            if loaded.recorder is not None:
                loaded.recorder.close()


def load(
    version: Version, limits: Limits, recorder: Callable[[Version, Bundle], Recorder | None] = lambda v, b: None
) -> Loaded:
    """A version that was asked its examples and has answered a few times. Raises UserError where it is broken.

    One thread per answer: as many as there are processors, in each of several workers, make all of them slow.
    """
    bundle = Bundle.load(version.folder, threads=1)
    digest = bundle.meta.get("digest", version.digest)
    if digest != version.digest:
        raise UserError(f"{version.folder} holds another model than {version.digest[:DIGITS]}; add it anew")
    kinds = {f["kind"] for f in bundle.encoding.fields}
    rows, notes = _warm(bundle), Notes(bundle.encoding)
    # Read now: what lies in the folder later may be another version's.
    with suppress(UserError):
        _ = bundle.calibration
    with suppress(UserError):
        _ = bundle.background
    light = 0 if kinds & {"image", "audio"} else rows
    return Loaded(
        version.name,
        digest,
        bundle,
        notes,
        limits,
        kinds.isdisjoint(ARRAYS),
        light,
        _schema(bundle.folder),
        recorder(version, bundle),
    )


def _schema(folder: Path) -> Mapping[str, Any]:
    try:
        return json.loads((folder / SCHEMA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _warm(bundle: Bundle) -> int:
    """Answer a few times. Returns how many rows take at most ``LIGHT_SECONDS``."""
    rows = read_examples(bundle.folder).rows[:1] if ROWS_NAME in bundle.meta["files"] else []
    inputs = bundle.encode(rows) if rows else tuple(a[:1] for a in bundle.encoding.extremes())

    def seconds(count: int) -> float:
        many = [np.repeat(a, count, axis=0) for a in inputs]
        times = []
        for _ in range(WARM):
            began = time.perf_counter()
            if rows:
                bundle.encode(rows * count)
            bundle.answer_of(bundle.outputs_encoded(many))
            times.append(time.perf_counter() - began)
        return min(times)

    one, several = seconds(1), seconds(8)
    if one > LIGHT_SECONDS:
        return 0
    return 1 + int((LIGHT_SECONDS - one) / max((several - one) / 7, 1e-6))


def _shorts(aliases: Mapping[str, Loaded]) -> list[str]:
    return sorted({loaded.short for loaded in aliases.values()})
