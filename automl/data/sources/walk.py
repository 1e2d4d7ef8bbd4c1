"""Files sorted into folders by class: FOLDER/CLASS/FILE, or FOLDER/train/CLASS/FILE and FOLDER/test/CLASS/FILE."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automl.data.dataset import TEST, TRAIN, VALID
from automl.data.read.files import short
from automl.errors import UserError

_PARTS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("valid", "validation", "val", "dev"), VALID),
    **dict.fromkeys(("test", "testing"), TEST),
}


@dataclass(frozen=True)
class Found:
    """``files``, ``labels`` and ``split`` (or None) have one entry per file, in a stable order."""

    files: list[Path]
    labels: list[str]
    split: np.ndarray | None
    notes: tuple[str, ...]


def walk(folder: Path, endings: tuple[str, ...], what: str) -> Found:
    """Find the files with these endings and their class. Raises UserError when there are not two classes."""
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; give the folder that holds one folder per class")
    tops = _folders(folder)
    parts = {d: _PARTS[d.name.lower()] for d in tops if d.name.lower() in _PARTS}
    roots = list(parts) if TRAIN in parts.values() and any(_folders(d) for d in parts) else [folder]
    files, labels, split, skipped = [], [], [], Counter[str]()
    for root in roots:
        for group in _folders(root):
            for file in sorted(group.rglob("*")):
                if file.name.startswith(".") or not file.is_file():
                    continue
                if file.suffix.lower() not in endings:
                    skipped[file.suffix.lower() or "no ending"] += 1
                    continue
                files.append(file)
                labels.append(group.name)
                split.append(parts.get(root, ""))
    classes = sorted(set(labels))
    if len(classes) < 2:
        loose = [f for f in folder.iterdir() if f.is_file() and f.suffix.lower() in endings]
        found = (
            f"{len(loose)} {what} files but no class folders"
            if loose
            else f"{len(classes)} class folders with {what} files"
        )
        raise UserError(
            f"{folder} holds {found}; sort them as {folder.name}/CLASS/FILE with two classes or more "
            f"({', '.join(endings[:4])})"
        )
    notes = [f"{len(files):,} files in {len(classes)} class folders: {short(', '.join(classes), 80)}"]
    if skipped:
        notes.append("passed over " + ", ".join(f"{n} files with {e}" for e, n in skipped.most_common(3)))
    return Found(files, labels, np.array(split) if roots != [folder] else None, tuple(notes))


def _folders(folder: Path) -> list[Path]:
    return sorted(d for d in folder.iterdir() if d.is_dir() and not d.name.startswith((".", "__")))
