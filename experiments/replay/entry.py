"""From the command line to replay.json, a page and a printed table."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Printed

from automl.errors import UserError
from automl.files import write_atomically
from experiments.options import made_families
from experiments.replay.knowledge import is_knowledge, knowledge_table
from experiments.replay.measure import AREA, POINTS, paired, summary
from experiments.replay.replay import OURS, Course, replay
from experiments.replay.table import Table, read_table
from experiments.report.page import figure, page, section, table
from experiments.report.plots import COLOURS, Figure, label
from experiments.settings import number, truth, whole
from metalearner.anytime import WINDOW


def run(cfg: DictConfig) -> None:
    """Read, replay, measure, write into the run's output folder."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    seeds, evaluations = whole(plain, "seeds", 1), whole(plain, "evaluations", 1)
    workers = whole(plain, "workers", 1)
    window = window_of(plain["window"])
    file = Path(plain["table"])
    if is_knowledge(file):
        of = knowledge_table(file, made_families(cfg))
    else:
        of = read_table(file, plain["tasks"], plain["history_seeds"])
    share, draw = number(plain, "share", 0) or 1.0, whole(plain, "draw", 0)
    if share > 1:
        raise UserError(f"share={share:g} must be at most 1, all candidates of the table")
    if share < 1:
        of = of.some(share, draw)
    only = plain["groups"]
    unknown = sorted(set(map(str, only or [])) - set(of.groups.tolist()))
    if unknown:
        known = ", ".join(sorted(set(of.groups.tolist()))[:20])
        raise UserError(f"groups holds {unknown[0]!r}, which is no group of the table; groups are: {known}")
    by_time = truth(plain, "per_second")
    if by_time and not of.timed:
        raise UserError(f"per_second=true: {file} knows no seconds. Leave it out")
    methods = {}
    for name, how in (plain["methods"] or {}).items():
        told = {"per_second": by_time} if how.get("per_second", 0) is None else {}
        methods[name] = functools.partial(instantiate, {**how, **told}, _convert_="all")
    console = Console(highlight=False)
    with console.status(f"replaying {escape(of.name)}: {len(of.tasks)} tasks x {len(of.candidates)} candidates"):
        some = None if only is None else [str(g) for g in only]
        scored, courses = replay(
            *(of, methods), seeds=seeds, evaluations=evaluations, window=window, workers=workers, only=some
        )
    write(Path(HydraConfig.get().runtime.output_dir), of, scored, courses, seeds, console, window, evaluations)


def window_of(asked: Any) -> tuple[float, float]:
    """Raises UserError for what is no stretch of time."""
    fine = isinstance(asked, list) and len(asked) == 2 and all(type(x) in (int, float) for x in asked)
    if not fine or not 0 < asked[0] < asked[1] < float("inf"):
        raise UserError(f"window={asked} must be two rising numbers above 0, such as [0.5,30]")
    return float(asked[0]), float(asked[1])


def write(
    folder: Path,
    of: Table,
    scored: list[str],
    courses: dict[str, Course],
    seeds: int,
    console: Console,
    window: tuple[float, float] = WINDOW,
    evaluations: int = POINTS[-1],
) -> None:
    """replay.json, replay_paired.json, replay.html, and the table for the terminal.

    ``evaluations``: that were asked for: what would be beyond them is not told.
    """
    points = tuple(p for p in POINTS if p <= evaluations)
    group = np.asarray([of.groups[of.tasks.index(name)] for name in scored])
    methods = summary(courses, points, group=group)
    folder.mkdir(parents=True, exist_ok=True)
    found = {"table": of.name, "tasks": len(scored), "seeds": seeds, "window": window, "methods": methods}
    write_atomically(folder / "replay.json", json.dumps(found, indent=2))
    apart = paired(courses, OURS, points, group=group) if OURS in courses else {}
    write_atomically(folder / "replay_paired.json", json.dumps({"less": OURS, "than": apart}, indent=2))
    write_atomically(folder / "replay.html", _page(of, scored, courses, methods, apart, points))
    _print(console, of, scored, methods, points)
    console.print(f"written to {folder}", markup=False)


def _row(name: str, of: dict) -> list[str]:
    return [name, *(f"{v:.1f}" for v in of["regret"].values()), str(of["evaluations_to_cold_100"] or "never")]


def heads(of: Table, points: tuple[int, ...]) -> tuple[str, ...]:
    """Of the columns: the area where the table knows seconds."""
    return ("method", *(f"@{p}" for p in points), *((AREA,) if of.timed else ()), "to cold's last")


def _print(console: Console, of: Table, scored: list[str], methods: dict[str, dict], points: tuple[int, ...]) -> None:
    printed = Printed(title=f"{escape(of.name)}: regret x100, mean of {len(scored)} tasks")
    for i, head in enumerate(heads(of, points)):
        printed.add_column(head, justify="right" if i else "left")
    for name, found in methods.items():
        printed.add_row(*map(escape, _row(name, found)))
    console.print(printed)
    for note in of.notes:
        console.print(f"note: {note}", markup=False)


def _page(
    of: Table,
    scored: list[str],
    courses: dict[str, Course],
    methods: dict[str, dict],
    apart: dict[str, dict],
    points: tuple[int, ...],
) -> str:
    head = heads(of, points)
    numbers = tuple(range(1, len(head)))
    differences = [
        [name, *(f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]" for mean, low, high in at.values())]
        for name, at in apart.items()
    ]
    about = f"{len(scored)} tasks scored, {len(of.candidates)} candidates, one group left out at a time"
    body = [
        section(
            f"Replay of {of.name}",
            about,
            table(head, [_row(n, m) for n, m in methods.items()], numbers=numbers),
            figure(_curves(courses), "Regret of the best seen so far, a mean over tasks; lower is better."),
        ),
        section(
            f"Regret x100 of {OURS} less that of the others",
            "Paired bootstrap over groups of tasks, 95 %. Below zero: less regret."
            " area: mean over log time, in usual trainings of a task.",
            table(head[:-1], differences, numbers=numbers[:-1]),
        ),
    ]
    return page(f"Replay of {of.name}", body if differences else body[:1])


def _curves(courses: dict[str, Course]) -> Figure:
    data = []
    for i, (name, course) in enumerate(courses.items()):
        mean = np.maximum(course.regret.mean(axis=0) * 100, 0.01)  # a logarithm has no zero
        line = {"color": COLOURS[i % len(COLOURS)], "dash": "solid" if i < len(COLOURS) else "dot"}
        at = list(range(1, len(mean) + 1))
        data.append({"x": at, "y": [round(float(v), 3) for v in mean], "name": label(name), "line": line})
    axes = {
        "xaxis": {"title": {"text": "evaluations"}, "type": "log"},
        "yaxis": {"title": {"text": "regret x100"}, "type": "log"},
    }
    return {"data": data, "layout": {"height": 420, "showlegend": True, **axes}}
