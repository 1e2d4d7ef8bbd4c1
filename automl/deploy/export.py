"""Writing a bundle: the graph, checked against the network, the encoding, and what meta.json tells."""

from __future__ import annotations

import importlib.metadata
import json
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import nn

from automl import serial
from automl.deploy.bundle import FORMAT, META, MODEL, checksum_of, digest_of
from automl.deploy.onnx import Agreement, check_rows, write_onnx
from automl.deploy.runtime import write_runtime
from automl.training.predictor import network_size
from automl.types import Task
from automl.version import code_version

OURS = frozenset({"format", "task", "code_version", "versions", "created", "files", "digest"})
UNREAD = (".whl", ".md", ".html")
"""Files that no answer is made of: they may be written anew for the same model, and have no checksum."""


class Saveable(Protocol):
    """Whatever turns raw rows into encoded inputs; ``Encoding`` in practice."""

    def extremes(self) -> tuple[np.ndarray, ...]: ...
    def save(self, folder: Path) -> None: ...


def export(
    folder: Path | str,
    predictor: nn.Module,
    task: Task,
    encoding: Saveable,
    inputs: Sequence[np.ndarray],
    extra: Mapping[str, Any] | None = None,
    fill: Callable[[Path], None] = lambda folder: None,
    write: Callable[..., Agreement] = write_onnx,
) -> Path:
    """Write the bundle and return its folder; what was there is replaced, and only by a bundle that was checked.

    ``predictor``: encoded inputs -> predictions, see ``automl.training.predictor``. ``inputs``: encoded rows to check
    the graph with, beside the encoding's extremes, which hold what no row of the data does. ``extra``: more for
    meta.json, under names of its own. ``fill``: writes further files of the bundle. ``write``: writes and checks the
    graph, see ``write_onnx``. Raises ``ExportMismatch`` when the graph does not answer what the predictor answers.
    """
    folder = Path(folder)
    _check_names(extra or {})
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = _beside(folder)
    draft.mkdir()
    try:
        # The user's names stay in meta.json: two of them may be the same, or the name of the output.
        names = [f"input_{i}" for i in range(len(task.inputs))]
        agreement = write(draft / MODEL, predictor, names, check_rows(inputs, encoding.extremes()))
        encoding.save(draft)
        fill(draft)
        write_runtime(draft)
        write_meta(
            draft, task, {"agreement": asdict(agreement), "parameters": network_size(predictor), **(extra or {})}
        )
        _replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def write_meta(folder: Path, task: Task, more: Mapping[str, Any]) -> None:
    """Write meta.json for the files that lie in the folder now. Raises ValueError for a name that is taken."""
    _check_names(more)
    meta = {
        "format": FORMAT,
        "task": serial.to_plain(task),
        "code_version": code_version(),
        "versions": {n: importlib.metadata.version(n) for n in ("torch", "onnx", "onnxruntime", "numpy")},
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "files": {
            f.name: checksum_of(f)
            for f in sorted(folder.iterdir())
            if f.is_file() and f.name != META and f.suffix not in UNREAD
        },
        **more,
    }
    text = serial.dumps({**meta, "digest": digest_of(json.loads(serial.dumps(meta)))}, indent=2) + "\n"
    (folder / META).write_text(text, encoding="utf-8")


def _check_names(more: Mapping[str, Any]) -> None:
    taken = sorted(OURS & more.keys())
    if taken:
        raise ValueError(f"meta.json holds {', '.join(taken)} already")


def _beside(folder: Path) -> Path:
    """A new name in the same folder, so that the last step is one rename on one file system."""
    return folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")


def _replace(draft: Path, folder: Path) -> None:
    """Put the draft in the folder's place; a folder cannot be renamed onto one that is not empty.

    When that fails the old one is put back.
    """
    if not folder.exists():
        draft.rename(folder)
        return
    old = _beside(folder)
    folder.rename(old)
    try:
        draft.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
