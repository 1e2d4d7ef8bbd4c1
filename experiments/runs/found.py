"""Finished runs, as their folders tell: result.json, config.yaml."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from automl.errors import UserError
from automl.passwords import masked

RESULT, CONFIG = "result.json", "config.yaml"


@dataclass(frozen=True)
class Run:
    """A finished run. ``result``: as in result.json, where older programs wrote less."""

    folder: Path
    result: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Run:
        """Raises UserError where the folder holds no finished run."""
        try:
            result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{folder} holds no {RESULT}; give the folder of a finished run") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{folder / RESULT} cannot be read: {error}") from error
        if not isinstance(result, dict) or not all(isinstance(result.get(n), dict) for n in ("task", "val", "test")):
            raise UserError(f"{folder / RESULT} is not the result of a run")
        return cls(folder, result)

    def of_data(self, name: str) -> Any:
        return (self.result.get("data") or {}).get(name)

    @property
    def name(self) -> str:
        return str(self.result["task"].get("name"))

    @property
    def metric(self) -> str:
        return str(self.result["task"].get("metric"))

    @property
    def family(self) -> str:
        members, chosen = self.result.get("ensemble") or [], self.result.get("chosen") or {}
        more = f" +{len(members) - 1}" if len(members) > 1 else ""
        return f"{chosen.get('family', '?')}{more}"

    @property
    def seconds(self) -> float | None:
        return (self.result.get("seconds") or {}).get("total")

    @cached_property
    def ended(self) -> datetime:
        """Of results without a date, when the file was written."""
        try:
            return datetime.fromisoformat(self.result["date"]).astimezone()
        except (KeyError, TypeError, ValueError):
            return datetime.fromtimestamp((self.folder / RESULT).stat().st_mtime, UTC).astimezone()

    @cached_property
    def config(self) -> dict[str, Any]:
        """The options; empty where config.yaml is gone or no yaml."""
        return read_config(self.folder) or {}


def read_config(folder: Path) -> dict[str, Any] | None:
    try:
        found = yaml.load((folder / CONFIG).read_text(encoding="utf-8"), yaml.CSafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return masked(found) if isinstance(found, dict) else None  # earlier versions left some in


def find(roots: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """The finished runs below these folders, newest first, and a line for each that is not: stopped, or broken."""
    runs, odd = [], []
    for folder in dict.fromkeys(f for root in roots for f in folders(root)):
        if (folder / RESULT).exists():
            try:
                runs.append(Run.of(folder))
            except UserError as error:
                odd.append(str(error))
        elif (config := read_config(folder)) is None or config.get("reads") is None:  # else of another recipe
            odd.append(f"{folder} is not finished" if config else f"{folder / CONFIG} cannot be read")
    return sorted(runs, key=lambda run: run.ended, reverse=True), odd


def folders(root: Path) -> Iterator[Path]:
    """Folders of runs below one, or itself. Nothing is looked for inside a run."""
    for place, inside, files in os.walk(root):
        if RESULT in files or CONFIG in files:
            inside.clear()
            yield Path(place)
        inside.sort()


def megabytes(folder: Path) -> float:
    """Of all files below a folder. One that goes away meanwhile counts nothing."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(place) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total / 1e6
