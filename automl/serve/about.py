"""What is told of a model: at /models, and with its columns at /models/NAME."""

from __future__ import annotations

from typing import Any

from automl.deploy.bundle import CALIBRATION
from automl.errors import UserError
from automl.serve.models import CHAMPION, Entry, Loaded
from automl.uncertainty.sets import LEVELS, rank_of


def shown(name: str, entry: Entry, loaded: Loaded | None = None) -> dict[str, Any]:
    """In brief. ``loaded``: the version that is told of, None: the champion, or any where there is none."""
    found = loaded or entry.aliases.get(CHAMPION) or next(iter(entry.aliases.values()), None)
    said: dict[str, Any] = {
        "name": name,
        "kind": None,
        "target": None,
        "classes": [],
        "aliases": {alias: of.short for alias, of in entry.aliases.items()},
        "digest": None,
        "inputs": [],
        "calibrated": False,
        "error": entry.error,
    }
    if found is None:
        return said
    bundle = found.bundle
    return said | {
        "kind": bundle.task.kind,
        "target": bundle.encoding.target.name,
        "classes": list(bundle.task.classes),
        "digest": found.short,
        "inputs": [{"name": f["name"], "kind": f["kind"]} for f in bundle.encoding.fields],
        "calibrated": CALIBRATION in bundle.meta["files"],
    }


def about(loaded: Loaded) -> dict[str, Any]:
    """The schema of its rows, a row as an example (null where it is very long), and the levels it can be asked for."""
    example = next(iter(loaded.schema.get("examples", ())), None)
    return {"schema": loaded.schema, "example": example, "levels": levels_of(loaded)}


def levels_of(loaded: Loaded) -> list[float]:
    """Those of ``LEVELS`` that the calibration rows are enough for."""
    try:
        rows = loaded.bundle.calibration.rows
    except UserError:
        return []
    return [level for level in LEVELS if rank_of(level, rows) <= rows]
