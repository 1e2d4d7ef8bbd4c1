"""The transfer benchmark as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.report.page import details, figure, join, page, section, table, tag, tile
from experiments.report.plots import COLOURS, Figure, label
from experiments.transfer.compare import Pair


def page_of(result: Mapping[str, Any], pairs: Sequence[Pair]) -> str:
    """One HTML document."""
    final, speed, first = result["final"], result["time"], result["first"]
    tiles = [
        tile(f"{final['win']} / {final['tie']} / {final['loss']}", "wins, ties, losses of level 4"),
        tile(number(final["gain"]["value"]), "mean gain at the end", f"95 %: {both(final['gain'])}, 1 is the range"),
        tile(number(speed["of_level3"]["value"]), "time to level 3's final score", f"95 %: {both(speed['of_level3'])}"),
        tile(f"{first['beats_tenth']} of {first['pairs']}", "first candidate beats level 3's tenth"),
    ]
    body = [
        tag("h1", "Level 3 against level 4"),
        tag(
            "p",
            f"{result['tasks']} tasks, each with {result['seconds']:g} seconds a search. Level 3: {result['level3']},"
            f" no past runs. Level 4: {result['level4']}, past runs of other groups.",
        ),
        tag("div", *tiles, class_="tiles"),
        section("Over time", figure(anytime(result["anytime"]), "Best validation score so far, mean over tasks.")),
        section("Task by task", *(figure(curves(p, result["seconds"]), f"{p.task}, seed {p.seed}") for p in pairs)),
        section(
            "Numbers",
            table(
                ["task", "group", "seed", "level 3", "level 4", "outcome", "trials", "seconds to level 3's final"],
                [row(p) for p in result["pairs"]],
                numbers=[2, 3, 4],
            ),
            details("How the numbers are made", tag("p", HOW)),
        ),
    ]
    return page("Level 3 against level 4", [join(body)])


HOW = (
    "Scores are of the validation rows. For means over tasks a score is scaled: 1 is the best that either search found"
    " on that task, 0 the lowest tenth of all trials. Time to level 3's final score is a share of the time that level 3"
    " itself needed, the median over tasks; a search that never gets there counts as never. Intervals come from 5,000"
    " bootstrap draws of groups of tasks."
)


def row(pair: Mapping[str, Any]) -> list[object]:
    cold, warm = pair["seconds_to_level3"]
    return [
        pair["task"],
        pair["group"],
        pair["seed"],
        number(pair["level3"], 4),
        number(pair["level4"], 4),
        pair["outcome"],
        " / ".join(map(str, pair["trials"])),
        f"{number(cold, 1)} / {number(warm, 1)}",
    ]


def anytime(of: Mapping[str, Any]) -> Figure:
    """Both levels, mean of the scaled scores."""
    return lines([(f"level {n}", of["seconds"], of[f"level{n}"], COLOURS[i]) for i, n in enumerate((3, 4))], "scaled")


def curves(pair: Pair, seconds: float) -> Figure:
    """Both searches of one task, in the metric's own unit."""
    grid = np.linspace(0, seconds, 121)
    drawn = []
    for i, (name, search) in enumerate((("level 3", pair.cold), ("level 4", pair.warm))):
        best = search.best(grid)
        known = np.isfinite(best)
        drawn.append((name, grid[known].tolist(), best[known].tolist(), COLOURS[i]))
    return lines(drawn, "validation score")


def lines(drawn: Sequence[tuple[str, list[float], list[float], str]], y: str) -> Figure:
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": label(name),
            "x": x,
            "y": values,
            "line": {"shape": "hv", "width": 2, "color": colour},
        }
        for name, x, values, colour in drawn
    ]
    layout = {"height": 300, "showlegend": True, "xaxis": {"title": {"text": "seconds"}, "rangemode": "tozero"}}
    return {"data": data, "layout": {**layout, "yaxis": {"title": {"text": y}}}}


def number(value: float | None, digits: int = 2) -> str:
    return "never" if value is None else f"{value:.{digits}f}"


def both(of: Mapping[str, Any]) -> str:
    return f"{number(of['interval'][0])} to {number(of['interval'][1])}"
