"""The tasks of the transfer benchmark: enough rows that judge, no two of a group, modalities in turns."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.data.dataset import TEST, Parts
from automl.data.prepare import prepare
from automl.errors import UserError
from automl.files import write_atomically
from automl.types import Axes, Family, Profile, Task
from experiments.collect.data import Entry, entries, load, mixed, modality_of
from experiments.explain import printable
from metalearner.profile import profile
from nas.family import search_axes
from nas.recipe import training_axes


@dataclass(frozen=True)
class Rows:
    """``most``: to learn from. ``judging``: of the test split at least, ``most_judging`` at most."""

    most: int
    judging: int
    most_judging: int
    check: bool


@dataclass(frozen=True)
class Site:
    """A data file that may be a task. ``digest``: of its bytes and its group. ``wordpieces``: see ``Encoding.fit``."""

    entry: Entry
    modality: str
    digest: str
    rows: Rows
    wordpieces: tuple[str, ...] = ()

    @functools.cached_property
    def prepared(self) -> tuple[Task, Parts, Profile]:
        """Raises UserError for data that are no task."""
        dataset, asked = load(self.entry, self.rows.most, 0, self.rows.most_judging)
        more: dict[str, Any] = {**asked, "check": self.rows.check, "wordpieces": self.wordpieces}
        made = prepare(dataset, seed=0, **more)
        return made.task, made.parts, profile(made.task, made.parts.train, made.dataset, seed=0)

    def axes(self, families: Mapping[str, Family]) -> Axes:
        task = self.prepared[0]
        return search_axes(families, task, training_axes(task))


def sites(root: str, rows: Rows, folder: Path, wordpieces: Sequence[str] = ()) -> Iterator[Site]:
    """Those with enough test rows, in a fixed order in which any first few are diverse."""
    looked = []
    for entry in entries(root, "benchmark.root"):
        digest = hashlib.sha256(entry.path.read_bytes() + entry.group.encode()).hexdigest()
        try:
            modality, judging = _look(entry, digest, rows, folder)
        except UserError as error:
            print(printable(f"left out {entry.name}: {error}"), flush=True)
            continue
        if judging >= rows.judging:
            looked.append((modality, entry, digest))
    found = {entry: Site(entry, modality, digest, rows, tuple(wordpieces)) for modality, entry, digest in looked}
    groups = set()
    for entry in mixed([(modality, entry) for modality, entry, _ in looked], None):
        if entry.group not in groups:
            groups.add(entry.group)
            yield found[entry]


def _look(entry: Entry, digest: str, rows: Rows, folder: Path) -> tuple[str, int]:
    """Modality and number of test rows, remembered in the folder."""
    told = hashlib.sha256(f"{digest} {rows}".encode()).hexdigest()[:16]
    file = folder / "looked" / f"{entry.name}-{told}.json"
    if not file.is_file():
        dataset, _ = load(entry, rows.most, 0, rows.most_judging)
        given = dataset.split is not None and bool((dataset.split == TEST).any())
        judging = int((dataset.split == TEST).sum()) if given else len(dataset) // 4  # what ``prepare`` draws
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps([modality_of(dataset), judging]))
    modality, judging = json.loads(file.read_text())
    return modality, judging
