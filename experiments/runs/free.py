"""Disk space, given back: the networks of finished searches. Trials stay in the store, models in their runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from automl.errors import UserError
from automl.store.search import SearchSummary, folder_name
from automl.store.store import Store
from experiments.runs.found import megabytes
from experiments.stores import opened, shortened

Found = list[tuple[SearchSummary, list[Path]]]
"""Searches, and which of their files can go."""


def free(cfg: DictConfig, *, everything: bool, yes: bool) -> None:
    """Delete what finished searches do not need, after a question.

    ``everything``: the networks of the models too: the models stay, but cannot be made anew by ``resume=true``. Raises
    UserError where nobody can answer and ``yes`` was not given.
    """
    artifacts = Path(cfg.artifacts)
    with opened(cfg) as store:
        found, kept = freeable(store, artifacts, everything)
        for line in kept:
            print(f"kept      {line}")
        size = sum(file.stat().st_size for _, files in found for file in files) / 1e6
        if not found:
            print(f"nothing to free in {artifacts}")
            return
        what = "1 search" if len(found) == 1 else f"{len(found)} searches"
        if not yes and not agreed(f"Delete {size:,.1f} MB of networks of {what}? Trials, models and reports stay."):
            print("nothing was deleted")
            return
        for search, files in found:
            if store.at_work(search.id):  # somebody went on with it while the question stood
                continue
            for file in files:
                file.unlink(missing_ok=True)
            if not any(files[0].parent.iterdir()):
                files[0].parent.rmdir()
    print(f"{size:,.1f} MB freed; {megabytes(artifacts):,.1f} MB are left in {artifacts}")


def agreed(question: str) -> bool:
    """Raises UserError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise UserError(f"{question} Nobody is here to ask: set runs.yes=true")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def freeable(store: Store, artifacts: Path, everything: bool) -> tuple[Found, list[str]]:
    """What can go, and for people what stays."""
    searches = {folder_name(s.key, s.id, s.token): s for s in store.searches()}
    found: Found = []
    kept, strangers = [], 0
    for folder in sorted(f for f in artifacts.glob("*") if f.is_dir()):
        search = searches.get(folder.name)
        if search is None:
            strangers += 1
        elif not finished(search) or store.at_work(search.id):
            kept.append(f"{folder}: search {search.id} on {search.task} is not finished; resume=true goes on with it")
        elif files := list(unneeded(folder, search, everything)):
            found.append((search, files))
    if strangers:
        whose = f"{shortened(store.name)} does not know. Set store.url to their store"
        kept.append(f"{strangers:,} of the folders in {artifacts}: of searches that {whose}")
    return found, kept


def finished(search: SearchSummary) -> bool:
    """Whether a model was made, and of all its trials: a search that was resumed may have been stopped since."""
    ended = search.finished_at
    return search.result is not None and ended is not None and (search.last_trial_at or "") <= ended


def unneeded(folder: Path, search: SearchSummary, everything: bool) -> Iterator[Path]:
    """Weights, and predictions of the validation rows, of trials that are not in the model."""
    members = {str(m.get("number")) for m in (search.result or {}).get("ensemble") or []}
    for file in sorted(folder.iterdir()):
        if file.is_file() and (everything or file.name.partition(".")[0] not in members):
            yield file
