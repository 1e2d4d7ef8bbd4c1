"""Files sorted into folders by class: FOLDER/CLASS/FILE, or FOLDER/train/CLASS/FILE and FOLDER/test/CLASS/FILE."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from automl.data.dataset import TRAIN
from automl.data.read.files import short
from automl.data.read.words import SPLITS
from automl.errors import UserError

# Words in folder names of segmentation and detection: Oxford pets, VOC, COCO, YOLO, Carvana, nnU-Net.
_INPUTS = {"image", "images", "img", "imgs", "jpegimages", "pictures", "photos", "imagestr", "imagests", *SPLITS}
_ANSWERS = {
    *("mask", "masks", "label", "labels", "labelstr", "annotation", "annotations", "annots", "trimaps"),
    *("segmentation", "segmentations", "segmentationclass", "segmentationobject", "groundtruth", "gt", "bboxes"),
}
_LITTER = {"thumbs.db", "desktop.ini", "@eadir", "lost+found"}  # what systems leave behind, beside .NAME and __NAME
_NO_CLASS = {"unsup", "unlabeled", "unlabelled"}


@dataclass(frozen=True)
class Found:
    """``files``, ``labels`` and ``split`` (or None) have one entry per file, in a stable order."""

    files: list[Path]
    labels: list[str]
    split: np.ndarray | None
    notes: tuple[str, ...]


def walk(folder: Path, endings: tuple[str, ...], what: str) -> Found:
    """Find the files with these endings and their class.

    Raises UserError when there are not two classes, and for folders of other kinds: segmentation, detection, or splits
    without class folders.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; give the folder that holds one folder per class")
    tops = _folders(folder)
    parts = {d: SPLITS[d.name.lower()] for d in tops if d.name.lower() in SPLITS}
    nested = TRAIN in parts.values() and any(_folders(d) for d in parts)
    for root in (folder, *parts):
        _refuse_other_kinds(root, endings, what, flat=root == folder and not nested)
    files, labels, split, empty = [], [], [], []
    skipped = Counter[str]()
    for root in parts if nested else [folder]:
        for group in _folders(root):
            before = len(files)
            for file in [] if group.name.lower() in _NO_CLASS else files_of(group, endings, skipped):
                files.append(file)
                labels.append(_plain(group.name))
                split.append(parts.get(root, ""))
            if len(files) == before:
                empty.append(_plain(str(group.relative_to(folder))))
    loose = sum(f.suffix.lower() in endings and not _is_litter(f) for f in _entries(folder) if f.is_file())
    if len(set(labels)) < 2:
        raise _too_few(folder, endings, what, loose, len(set(labels)), skipped)
    notes = []
    if skipped:
        notes.append("passed over " + ", ".join(f"{n} files with {e}" for e, n in skipped.most_common(3)))
    if loose:
        notes.append(f"passed over {loose} {what} files outside of the class folders")
    if empty:
        notes.append(f"folders without a {what} that has a class, passed over: {short(', '.join(empty), 80)}")
    beside = [d.name for d in tops if d not in parts]
    if nested and beside:
        notes.append(f"folders beside the splits, passed over: {short(', '.join(beside), 80)}")
    found = Found(files, labels, np.array(split), tuple(notes)) if nested else Found(files, labels, None, tuple(notes))
    found = _with_known_classes(found)
    classes = sorted(set(found.labels))
    first = f"{len(found.files):,} files in {len(classes)} class folders: {short(', '.join(classes), 80)}"
    return Found(found.files, found.labels, found.split, (first, *found.notes))


def _with_known_classes(found: Found) -> Found:
    """Classes spelt as in the training part; parts none of whose classes are there (tests without labels) left out."""
    if found.split is None:
        return found
    known = {name.casefold(): name for name, part in zip(found.labels, found.split, strict=True) if part == TRAIN}
    labels = [known.get(name.casefold(), name) for name in found.labels]
    notes, out = list(found.notes), set[str]()
    for part in sorted(set(found.split) - {TRAIN}):
        here = {name for name, own in zip(labels, found.split, strict=True) if own == part}
        if known and not here & set(known.values()):
            out.add(part)
            names = short(", ".join(sorted(here)), 60)
            notes.append(f"the {part} part has no class of the training part ({names}): left out")
    kept = [i for i, part in enumerate(found.split) if part not in out]
    split = found.split[kept]
    if set(split) == {TRAIN}:
        notes.append("there is no test part with classes: one is drawn")
    files, labels = [found.files[i] for i in kept], [labels[i] for i in kept]
    return Found(files, labels, None if set(split) == {TRAIN} else split, tuple(notes))


def _refuse_other_kinds(folder: Path, endings: tuple[str, ...], what: str, flat: bool) -> None:
    """``flat``: the folder itself would be read as class folders, also where their names are those of splits."""
    words = {d: set(re.split(r"[^a-z]+", d.name.lower())) for d in _folders(folder)}
    answers = [d for d, w in words.items() if w & _ANSWERS]
    inputs = [d for d, w in words.items() if w & _INPUTS and d not in answers]
    want = f"one class per {what} is: sort them as {folder.name}/CLASS/FILE"
    if answers and inputs:
        raise UserError(
            f"{folder} holds {short(inputs[0].name)!r} and {short(answers[0].name)!r}, as sets for segmentation and "
            f"detection do, which are not supported; {want}"
        )
    splits = [d for d, w in words.items() if w & SPLITS.keys() and w <= {*SPLITS, ""}]
    held = [d for d in splits if flat and any(f.suffix.lower() in endings for f in _entries(d))]
    if held and len(splits) == len(words):
        tables = [f.name for f in _entries(folder) if f.suffix.lower() in (".csv", ".tsv")]
        table = f", or set data.path to {short(tables[0])} if it names the files" if tables else ""
        raise UserError(
            f"{folder} holds {short(', '.join(d.name for d in splits))} with {what} files but no class folders; "
            f"sort them as {folder.name}/{short(held[0].name)}/CLASS/FILE{table}"
        )


def _too_few(
    folder: Path, endings: tuple[str, ...], what: str, loose: int, classes: int, skipped: Counter[str]
) -> UserError:
    inner = [d.name for d in _folders(folder) if sum(any(files_of(g, endings, Counter())) for g in _folders(d)) > 1]
    if loose:
        found = f"{loose} {what} files but no class folders"
    else:
        found = f"{classes} class folders with {what} files"
    if skipped:
        found += f" (and {', '.join(f'{n} with {e}' for e, n in skipped.most_common(3))})"
    inside = f", or set data.path={folder / inner[0]}" if len(inner) == 1 else ""
    return UserError(
        f"{folder} holds {found}; sort them as {folder.name}/CLASS/FILE with two classes or more "
        f"({', '.join(endings[:4])}){inside}"
    )


def files_of(group: Path, endings: tuple[str, ...], skipped: Counter[str]) -> Iterator[Path]:
    """Files below a class folder, in a stable order; links to folders are not followed, as they may lead in a ring."""
    for here, folders, names in os.walk(group, onerror=_refuse):
        folders[:] = sorted(f for f in folders if not _is_litter(Path(f)))
        for file in (Path(here) / name for name in sorted(names)):
            if _is_litter(file):
                continue
            ending = file.suffix.lower()
            if ending in endings and file.is_file():
                yield file
            else:
                skipped[(ending or "no ending") if file.is_file() else "nothing behind their link"] += 1


def _folders(folder: Path) -> list[Path]:
    above = {folder.resolve(), *folder.resolve().parents}
    return [d for d in _entries(folder) if d.is_dir() and not _is_litter(d) and d.resolve() not in above]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        _refuse(error)


def _refuse(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename} cannot be opened: {error.strerror}; mend its rights, or move it away") from error


def _is_litter(path: Path) -> bool:
    return path.name.startswith((".", "__")) or path.name.lower() in _LITTER


def _plain(name: str) -> str:
    """One line of text that utf-8 can hold; accents as one sign, which some systems write as two."""
    name = os.fsencode(name).decode("utf-8", errors="replace")
    return " ".join(unicodedata.normalize("NFC", name).split())
