"""What a registry knows of a name: its versions, its aliases, and what each alias was before."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from automl.data.read.files import short
from automl.errors import UserError

DIGITS = 16
"""Of a digest, in the names of folders and wherever it is shown."""
HISTORY = 100  # states of before that are kept of each alias
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BEGIN = re.compile(r"[0-9a-f]{6,64}")  # of a digest, and so no alias


@dataclass(frozen=True)
class Held:
    """A version that a name has. ``added``: when, UTC; the order is that of the list, as clocks jump."""

    digest: str
    added: str


@dataclass(frozen=True)
class Past:
    """What an alias was, and until when (UTC)."""

    alias: str
    digest: str
    until: str


@dataclass(frozen=True)
class Entry:
    """A name. ``versions``: as they were added. ``aliases``: alias -> digest. ``history``: the latest change last.

    Raises ValueError for what no registry has written.
    """

    name: str
    versions: tuple[Held, ...]
    aliases: Mapping[str, str]
    history: tuple[Past, ...]

    def __post_init__(self) -> None:
        digests = [v.digest for v in self.versions]
        if len(set(digests)) < len(digests) or not all(map(_DIGEST.fullmatch, digests)):
            raise ValueError("versions must be digests, each once")
        if not set(digests) >= {*self.aliases.values(), *(p.digest for p in self.history)}:
            raise ValueError("an alias is, or was, of a version that is not there")
        if not all(map(is_alias, (*self.aliases, *(p.alias for p in self.history)))):
            raise ValueError("a name is no alias")

    def find(self, version: str) -> str:
        """The digest that an alias, a digest or its beginning stands for. Raises UserError with what is there."""
        if version in self.aliases:
            return self.aliases[version]
        digests = [v.digest for v in self.versions]
        found = [d for d in digests if d.startswith(version)] if _BEGIN.fullmatch(version) else []
        if len(found) == 1:
            return found[0]
        asked = f"{self.name}@{short(version)}"
        if found:
            raise UserError(f"{asked} may be {', '.join(found[:3])}; give more digits")
        aliases = ", ".join(f"{alias} ({digest[:DIGITS]})" for alias, digest in self.aliases.items())
        latest = ", ".join(d[:DIGITS] for d in digests[-5:])
        more = f" and {len(digests) - 5} before" if len(digests) > 5 else ""
        raise UserError(f"{asked} is not there; aliases: {short(aliases, 300) or 'none'}; versions: {latest}{more}")

    def moved(self, alias: str, digest: str | None) -> Entry:
        """The same with an alias on another version, or without it; what it was goes into the history."""
        before = self.aliases.get(alias)
        if before == digest:
            return self
        aliases = {**self.aliases, alias: digest} if digest else {a: d for a, d in self.aliases.items() if a != alias}
        history = self.history if before is None else (*self.history, Past(alias, before, now()))
        old = [at for at, past in enumerate(history) if past.alias == alias][:-HISTORY]
        return replace(self, aliases=aliases, history=tuple(p for at, p in enumerate(history) if at not in old))


def is_alias(text: str) -> bool:
    return bool(NAME.fullmatch(text)) and not _BEGIN.fullmatch(text)


def check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UserError(f"{short(repr(name))} is no name; use up to 64 of a-z, 0-9, '.', '_' and '-', such as price-eu")


def check_alias(alias: str) -> None:
    if not is_alias(alias):
        raise UserError(f"{short(repr(alias))} is no alias; use words such as champion or challenger, not a digest")


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
