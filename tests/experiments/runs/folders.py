"""Folders as finished runs leave them, without a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

TRIED = [
    {"number": 0, "family": "mlp", "choices": {"width": 64, "norm": True, "rate": 0.1, "head": "flat"}, "epochs": 2,
     "status": "ok", "score": 0.7, "seconds": 1.0, "parameters": 90, "latency_ms": None, "error": "", "curve": [0.7]},
    {"number": 1, "family": "convnet", "choices": {"stem": "3x3", "head": 2}, "epochs": 2, "status": "failed",
     "score": None, "seconds": 0.5, "parameters": None, "latency_ms": None, "error": "boom", "curve": []},
    {"number": 2, "family": "mlp", "choices": {"width": 128, "norm": False, "rate": 0.2, "head": "flat"}, "epochs": 4,
     "status": "ok", "score": 0.9, "seconds": 2.0, "parameters": 120, "latency_ms": 0.5, "error": "", "curve": [0.9]},
]  # fmt: skip


def result(name: str = "digits", val: float = 0.9, test: float = 0.8, metric: str = "accuracy", **changes) -> dict:
    """As result.json."""
    return {
        "date": "2026-01-02T03:04:05+00:00",
        "task": {"name": name, "kind": "multiclass", "metric": metric},
        "data": {"rows": 1797},
        "seed": 0,
        "trials": {"ok": 2, "failed": 1},
        "seconds": {"total": 12.3, "search": 10.0},
        "val": {metric: val},
        "test": {metric: test},
        "chosen": {"family": "mlp", "choices": {"width": 128}},
        "ensemble": [
            {"number": 2, "family": "mlp", "weight": 0.75},
            {"number": 0, "family": "mlp", "weight": 0.25},
        ],
        "deployed": {"latency_ms": 0.25, "megabytes": 1.5, "parameters": 210},
        "tried": TRIED,
        "overrides": [],
    } | changes


def write_run(folder: Path, config: Any = None, of: dict | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config or {"seed": 0, "reads": None})))
    (folder / "result.json").write_text(json.dumps(result() if of is None else of))
    return folder
