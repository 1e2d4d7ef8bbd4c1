"""The command of each level: what a person would type for it, and how many lines that is."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
OWN = ("+experiment=", "ladder.", "hydra.")
"""Words of the ladder's own command that are not a level's."""
LIST = "family.layers.layers"


@dataclass(frozen=True)
class Level:
    """``words``: its overrides. ``lines``: that a person writes: the command, a list of layers, code of one's own."""

    name: str
    words: tuple[str, ...]
    lines: int

    @property
    def command(self) -> str:
        return shlex.join(["level4", *self.words])


def level(
    name: str, typed: Sequence[str], budget: Mapping[str, Any], layers: Sequence[Any], code: Sequence[str]
) -> Level:
    """``typed``: overrides of the ladder's command. ``layers``: level 1's list. ``code``: files or folders."""
    given = [word for word in typed if not word.startswith((*OWN, "budget"))]
    spent = [f"budget.{n}={'null' if v is None else v}" for n, v in budget.items()]
    listed = [f"{LIST}={inline(layers)}"] if name == "level1" else []
    lines = 1 + (len(yaml.safe_dump(layers, default_flow_style=None).splitlines()) if listed else 0)
    return Level(name, (f"+experiment={name}", *given, *spent, *listed), lines + sum(map(lines_of, code)))


def inline(value: Any) -> str:
    """A value in Hydra's grammar of overrides; names stand without quotes where they may."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {inline(of)}" for name, of in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inline, value)) + "]"
    return value if isinstance(value, str) and value.isidentifier() else json.dumps(value)


def lines_of(place: str) -> int:
    """Lines of code of a file, or of a folder's: what is neither empty nor a comment."""
    path = ROOT / place
    files = [path] if path.is_file() else [f for f in sorted(path.rglob("*")) if f.suffix in (".py", ".cpp")]
    found = [line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return sum(bool(line) and not line.startswith(("#", "//")) for line in found)
