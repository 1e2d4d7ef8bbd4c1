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
from experiments.replay.measure import POINTS, paired, summary
from experiments.replay.replay import replay
from experiments.replay.table import Table, read_table
from experiments.report.page import figure, page, section, table
from experiments.report.plots import COLOURS, Figure, label
from experiments.settings import number, whole

OURS = "transfer"


def run(cfg: DictConfig) -> None:
    """Read, replay, measure, write into the run's output folder."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    seeds, evaluations = whole(plain, "seeds", 1), whole(plain, "evaluations", 1)
    workers = whole(plain, "workers", 1)
    of = read_table(plain["table"], plain["tasks"], plain["history_seeds"])
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
    methods = {name: functools.partial(instantiate, how) for name, how in (plain["methods"] or {}).items()}
    console = Console(highlight=False)
    with console.status(f"replaying {escape(of.name)}: {len(of.tasks)} tasks x {len(of.candidates)} candidates"):
        scored, regrets = replay(
            of, methods, seeds=seeds, evaluations=evaluations, workers=workers, only=only and [str(g) for g in only]
        )
    write(Path(HydraConfig.get().runtime.output_dir), of, scored, regrets, seeds, console)


def write(
    folder: Path, of: Table, scored: list[str], regrets: dict[str, np.ndarray], seeds: int, console: Console
) -> None:
    """replay.json, replay_paired.json, replay.html, and the table for the terminal."""
    group = np.asarray([of.groups[of.tasks.index(name)] for name in scored])
    methods = summary(regrets, POINTS, group=group)
    folder.mkdir(parents=True, exist_ok=True)
    found = {"table": of.name, "tasks": len(scored), "seeds": seeds, "methods": methods}
    write_atomically(folder / "replay.json", json.dumps(found, indent=2))
    apart = paired(regrets, OURS, POINTS, group=group) if OURS in regrets else {}
    write_atomically(folder / "replay_paired.json", json.dumps({"less": OURS, "than": apart}, indent=2))
    write_atomically(folder / "replay.html", _page(of, scored, regrets, methods, apart))
    _print(console, of, scored, methods)
    console.print(f"written to {folder}", markup=False)


def _row(name: str, of: dict) -> list[str]:
    return [name, *(f"{v:.1f}" for v in of["regret"].values()), str(of["evaluations_to_cold_100"] or "never")]


HEAD = ("method", *(f"@{p}" for p in POINTS), "to cold @100")


def _print(console: Console, of: Table, scored: list[str], methods: dict[str, dict]) -> None:
    printed = Printed(title=f"{escape(of.name)}: regret x100, mean of {len(scored)} tasks")
    for i, head in enumerate(HEAD):
        printed.add_column(head, justify="right" if i else "left")
    for name, found in methods.items():
        printed.add_row(*map(escape, _row(name, found)))
    console.print(printed)
    for note in of.notes:
        console.print(f"note: {note}", markup=False)


def _page(
    of: Table, scored: list[str], regrets: dict[str, np.ndarray], methods: dict[str, dict], apart: dict[str, dict]
) -> str:
    numbers = tuple(range(1, len(HEAD)))
    differences = [
        [name, *(f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]" for mean, low, high in at.values())]
        for name, at in apart.items()
    ]
    about = f"{len(scored)} tasks scored, {len(of.candidates)} candidates, one group left out at a time"
    body = [
        section(
            f"Replay of {of.name}",
            about,
            table(HEAD, [_row(n, m) for n, m in methods.items()], numbers=numbers),
            figure(_curves(regrets), "Regret of the best seen so far, a mean over tasks; lower is better."),
        ),
        section(
            f"Regret x100 of {OURS} less that of the others",
            "Paired bootstrap over groups of tasks, 95 %. Below zero: less regret.",
            table(HEAD[:-1], differences, numbers=numbers[:-1]),
        ),
    ]
    return page(f"Replay of {of.name}", body if differences else body[:1])


def _curves(regrets: dict[str, np.ndarray]) -> Figure:
    data = []
    for i, (name, regret) in enumerate(regrets.items()):
        mean = np.maximum(regret.mean(axis=0) * 100, 0.01)  # a logarithm has no zero
        line = {"color": COLOURS[i % len(COLOURS)], "dash": "solid" if i < len(COLOURS) else "dot"}
        at = list(range(1, len(mean) + 1))
        data.append({"x": at, "y": [round(float(v), 3) for v in mean], "name": label(name), "line": line})
    axes = {
        "xaxis": {"title": {"text": "evaluations"}, "type": "log"},
        "yaxis": {"title": {"text": "regret x100"}, "type": "log"},
    }
    return {"data": data, "layout": {"height": 420, "showlegend": True, **axes}}
