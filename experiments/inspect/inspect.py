"""A look at data before anything is trained: what it is, what is wrong with it, and its profile.

    python run.py +experiment=inspect data=file data.path=my.csv

prints it and writes quality.json, profile.json and inspect.html into the run's folder.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from automl.data.dataset import Dataset
from automl.data.prepare import Prepared, prepare
from automl.data.quality import REPAIRS, Quality
from automl.data.quality import check as check_quality
from automl.errors import UserError
from automl.files import write_atomically
from automl.serial import dumps
from automl.types import Profile, Task
from experiments.explain import printable
from experiments.inspect.page import write_page
from experiments.options import made, task_options
from experiments.report.words import count
from metalearner.profile import DESCRIPTIONS, profile

_COLOURS = {"error": "bold red", "warning": "yellow", "info": "dim"}
_MOST_PRINTED = 30


@dataclass(frozen=True)
class Inspection:
    """``dataset``: as it was loaded; findings name its rows. ``problem``: why no task can be made of it, or empty.

    ``prepared`` and ``profile`` are None when there is a problem.
    """

    dataset: Dataset
    quality: Quality
    prepared: Prepared | None = None
    profile: Profile | None = None
    problem: str = ""

    @property
    def task(self) -> Task | None:
        return self.prepared.task if self.prepared else None


def run(cfg: DictConfig) -> None:
    """The command line's way in. Raises UserError for data that cannot be read at all."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    asked = task_options(cfg)  # what is wrong in it is told before the data are read
    if not asked["check"]:
        raise UserError("task.check=false does nothing here: to inspect is to check. Leave it out")
    found = inspect_dataset(made(cfg, "data").load(), folder, seed=cfg.seed, asked=asked)
    show(found)
    print(f"\nWritten to {folder}: inspect.html, quality.json, profile.json")


def inspect_dataset(
    dataset: Dataset, folder: Path | str, *, seed: int = 0, asked: Mapping[str, Any] | None = None
) -> Inspection:
    """Look at a data set and write quality.json, profile.json and inspect.html into a folder, which is made.

    ``asked``: options of ``automl.data.prepare.prepare``, as the ``task`` group of the configuration holds them. Data
    that no task can be made of is inspected as far as that goes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found = inspected(dataset, seed, dict(asked or {}))
    write_atomically(folder / "quality.json", dumps(found.quality.to_json(), indent=1))
    write_atomically(folder / "profile.json", dumps(profile_json(found), indent=1))
    write_page(folder / "inspect.html", found.dataset, found.quality, found.prepared, found.profile, found.problem)
    return found


def inspected(dataset: Dataset, seed: int, asked: dict[str, Any]) -> Inspection:
    """Formulate, check, split, encode and measure."""
    asked["check"] = True  # it is what was asked for here
    try:
        prepared = prepare(dataset, **{**asked, "seed": seed})
    except UserError as error:
        _, quality = check_quality(dataset, repairs=asked.get("repairs"), kind=asked.get("kind"), seed=seed)
        return Inspection(dataset, quality, problem=str(error))
    assert prepared.quality is not None
    measured = profile(prepared.task, prepared.parts.train, prepared.dataset, seed=seed)
    return Inspection(dataset, prepared.quality, prepared, measured)


def profile_json(found: Inspection) -> dict[str, Any]:
    """The profile with what each feature means; and the task it belongs to."""
    if found.profile is None or found.task is None:
        return {"problem": found.problem, "features": {}}
    features = {
        name: {
            "value": value if math.isfinite(value) else None,
            "meaning": DESCRIPTIONS[name],
            **({"reason": found.profile.reasons[name]} if name in found.profile.reasons else {}),
        }
        for name, value in found.profile.as_dict().items()
    }
    task = dataclasses.asdict(found.task)
    return {"task": {k: task[k] for k in ("name", "kind", "metric", "num_outputs", "why")}, "features": features}


def show(found: Inspection, console: Console | None = None) -> None:
    """Print the findings and the main numbers of the profile."""
    dataset, quality = found.dataset, found.quality
    kind = f"{found.task.kind}, " if found.task else ""
    sizes = f"{count(len(dataset), 'row')}, {count(len(quality.findings), 'finding')}"
    title = f"[bold]{told(dataset.name)}[/]: {kind}{sizes}"
    parts = [title, "", _findings(found), "", "[bold]Profile[/]", "", _numbers(found)]
    (console or Console()).print(Group(*parts))


def told(text: str) -> str:
    """Text from the data for rich: no markup, and no commands for the terminal."""
    return escape(printable(text))


def _findings(found: Inspection) -> Table:
    quality = found.quality
    table = Table(box=None, pad_edge=False)
    for head in ("", "where", "finding", "repair"):
        table.add_column(head, overflow="fold")
    if found.problem:
        table.add_row("[bold red]error[/]", "data", told(found.problem), "")
    for f in quality.findings[:_MOST_PRINTED]:
        made = "done: " if f.repaired else "proposed: " if f.name in REPAIRS else ""
        repair = made + f.repair if f.repair else ""
        colour = _COLOURS[f.severity]
        table.add_row(f"[{colour}]{f.severity}[/]", told(f.where), told(f.text), told(repair))
    if len(quality.findings) > _MOST_PRINTED:
        table.add_row("", "", f"and {len(quality.findings) - _MOST_PRINTED} more in quality.json", "")
    if not quality.findings:
        table.add_row("", "", "nothing wrong was found", "")
    return table


def _numbers(found: Inspection) -> Text:
    if found.profile is None:
        return Text("not measured, as no task could be made of the data")
    shown = [
        f"{name:<36}{value:>11.4g}  {DESCRIPTIONS[name]}"
        for name, value in found.profile.as_dict().items()
        if math.isfinite(value) and not name.startswith(("is_", "has_"))
    ]
    return Text("\n".join(shown), no_wrap=True, overflow="ellipsis")
