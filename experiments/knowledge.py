"""What past runs there are, and moving them between machines."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from automl.data.read.files import existing
from automl.errors import UserError
from automl.files import write_atomically
from automl.serial import to_json
from automl.store.rows import task_digest
from automl.store.store import Store
from automl.types import Task, Trial
from experiments.settings import writable
from experiments.stores import opened
from metalearner.opening import learn_opening
from metalearner.past import shipped
from metalearner.past.file import Past, read_knowledge, write_knowledge
from metalearner.past.history import rank_within

SQLITE = b"SQLite format 3\0"  # how its files begin


def run(cfg: DictConfig) -> None:
    """The command line's way in: import, then export, then learn the opening of what ships, then show."""
    wanted: Any = OmegaConf.to_container(cfg.knowledge, resolve=True)
    for name in ("import", "export", "opening"):
        if wanted[name] is not None and not isinstance(wanted[name], str):
            raise UserError(f"knowledge.{name}={wanted[name]} must be the path of a file, or null")
    console = Console(highlight=False)
    with opened(cfg) as store:
        if wanted["import"]:
            new, held = take_in(store, past_of(wanted["import"]))
            console.print(f"{new} new trials from {wanted['import']}, {held} were there already", markup=False)
        if wanted["export"]:
            count = write_knowledge(wanted["export"], of_store(store))
            console.print(f"{count} trials written to {wanted['export']}", markup=False)
        show(console, f"store {store.name}", of_store(store))
    if wanted["opening"]:
        writable(Path(wanted["opening"]).parent, "knowledge.opening")
        learned = learn_opening(shipped.FILE)
        write_atomically(wanted["opening"], to_json(learned) + "\n")
        console.print(f"{len(learned.leaves)} portfolios written to {wanted['opening']}", markup=False)
    show(console, "shipped with the program", read_knowledge(shipped.FILE) if shipped.FILE.is_file() else [])


def of_store(store: Store) -> Iterator[Past]:
    """Every task that has trials, one at a time."""
    for task, profile in store.tasks():
        trials = store.trials(digest=task_digest(task))
        if trials:
            yield task, profile, trials


def past_of(path: str) -> Iterator[Past]:
    """The past runs in a file: one that ``knowledge.export`` wrote, or the store of another folder."""
    with existing(path, option="knowledge.import").open("rb") as file:
        database = file.read(len(SQLITE)) == SQLITE
    if not database:
        yield from read_knowledge(path)
        return
    with Store(f"sqlite:///{path}") as other:
        yield from of_store(other)


def take_in(store: Store, past: Iterable[Past]) -> tuple[int, int]:
    """Add the runs to the store: how many trials were new, how many it had."""
    new = total = 0
    for task, profile, trials in past:
        new += store.add(task, profile, trials)
        total += len(trials)
    return new, total - new


@dataclass
class Summary:
    """Of the tasks of one modality. ``ranks``: per family its rank among the families of each task, 1 is best."""

    tasks: int = 0
    groups: set[str] = field(default_factory=set)
    trials: int = 0
    ok: int = 0
    ranks: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, task: Task, trials: Sequence[Trial]) -> None:
        self.tasks += 1
        self.groups.add(task.group or task.name)
        self.trials += len(trials)
        self.ok += sum(t.status == "ok" for t in trials)
        best = best_of_families(trials)
        if len(best) > 1:
            ranked = rank_within(np.array(list(best.values())), np.zeros(len(best), np.int64))
            for family, rank in zip(best, ranked.tolist(), strict=True):
                self.ranks[family].append(rank)

    def families(self) -> dict[str, float]:
        """Family -> mean rank, best first."""
        mean = {family: float(np.mean(ranks)) for family, ranks in self.ranks.items()}
        return dict(sorted(mean.items(), key=lambda pair: -pair[1]))


def summarise(past: Iterable[Past]) -> dict[str, Summary]:
    """Per modality, in the order of the alphabet."""
    found: dict[str, Summary] = defaultdict(Summary)
    for task, _, trials in past:
        found[modality_of(task)].add(task, trials)
    return dict(sorted(found.items()))


def best_of_families(trials: Sequence[Trial]) -> dict[str, float]:
    """Each family's best score on one task; -inf where all failed."""
    best: dict[str, float] = {}
    for trial in trials:
        score = -math.inf if trial.score is None else trial.score
        best[trial.candidate.family] = max(score, best.get(trial.candidate.family, -math.inf))
    return best


def modality_of(task: Task) -> str:
    return "+".join(sorted({i.modality for i in task.inputs}))


def show(console: Console, title: str, past: Iterable[Past]) -> None:
    """One table: a line per modality."""
    found = summarise(past)
    if not found:
        console.print(f"{title}: no trials", markup=False)
        return
    table = Table(title=escape(title), title_justify="left")
    for name in ("modality", "tasks", "groups", "trials", "ok"):
        table.add_column(name, justify="left" if name == "modality" else "right")
    table.add_column("families, best first (mean rank within a task: 1 best, 0 worst)")
    for modality, of in found.items():
        families = ", ".join(f"{name} {rank:.2f}" for name, rank in of.families().items())
        table.add_row(
            escape(modality), *(f"{n:,}" for n in (of.tasks, len(of.groups), of.trials, of.ok)), escape(families)
        )
    console.print(table)
