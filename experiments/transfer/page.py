"""The transfer benchmark as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.report.page import details, figure, join, page, section, table, tag
from experiments.report.plots import COLOURS, Figure, label
from experiments.transfer.compare import spelled


def page_of(result: Mapping[str, Any]) -> str:
    """One HTML document."""
    arms = result["arms"]
    body = [
        tag("h1", "Ways to start a search"),
        tag(
            "p",
            f"{result['tasks']} tasks, {result['seconds']:g} seconds a search. Past runs of a task's group were left"
            f" out of what each arm knew. Not counted: {len(result['saturated'])} tasks without headroom,"
            f" {len(result['nothing_learned'])} on which nothing was learned that their test rows could tell.",
        ),
    ]
    if result["tasks"]:
        points = [f"{p:g} s" for p in result["points"]]
        body += [
            section("Over time", figure(anytime(result["anytime"]), "Normalised test regret, mean over tasks.")),
            section(
                "Arms",
                table(
                    ["arm", "area", *(f"regret at {p}" for p in points), "first proposal, s", "waited, s"],
                    [arm_row(arm, result["of"][arm]) for arm in arms],
                    numbers=range(1, len(points) + 4),
                ),
            ),
            *(against(other, of, points) for other, of in result["against"].items()),
            section(
                "Task by task",
                tag("p", f"Test scores at {', '.join(points)}."),
                table(
                    ["task", "modality", "metric", "judging rows", "constant", *arms],
                    [task_row(row, arms) for row in result["rows"]],
                    numbers=[3, 4],
                ),
                details("How the numbers are made", tag("p", HOW)),
            ),
        ]
    return page("Ways to start a search", [join(body)])


HOW = (
    "At each moment the ensemble that would be deployed is chosen by the validation rows from the networks that had"
    " ended by then; its score is that of the test rows, which no choice sees. Regret is (best - score) / (best -"
    " constant): best is the best test score of any arm at any moment, constant that of an answer that looks at"
    " nothing. The area is the mean regret over log time. Intervals hold 95 % of 5,000 bootstrap draws of groups of"
    " tasks."
)


def arm_row(arm: str, of: Mapping[str, Any]) -> list[object]:
    regret = [f"{value:.3f}" for value in of["regret"].values()]
    return [arm, spelled(of["area"]), *regret, f"{of['first']:.2f}", f"{of['waited']:.2f}"]


def against(other: str, of: Mapping[str, Any], points: list[str]) -> Any:
    rows = [
        [
            arm,
            spelled(found["ratio"]),
            ", ".join(f"{m} {value:.2f}" for m, value in found["modalities"].items()),
            *(f"{o['win']} / {o['tie']} / {o['loss']}" for o in found["outcomes"].values()),
            f"{spelled(found['time'])} on {found['time']['reached']}",
        ]
        for arm, found in of.items()
    ]
    heads = ["arm", "ratio of areas", "by modality", *(f"win / tie / loss at {p}" for p in points)]
    return section(f"Against {other}", table([*heads, f"time to {other}'s last score"], rows))


def task_row(row: Mapping[str, Any], arms: list[str]) -> list[object]:
    scores = [" ".join(f"{s:.4f}" for s in row["scores"][arm]) for arm in arms]
    return [row["task"], row["modality"], row["metric"], row["judging"], f"{row['constant']:.4f}", *scores]


def anytime(of: Mapping[str, Any]) -> Figure:
    data = [
        {"x": of["seconds"], "y": values, "name": label(arm), "line": {"color": COLOURS[i % len(COLOURS)]}}
        for i, (arm, values) in enumerate(of["regret"].items())
    ]
    axes = {"xaxis": {"title": {"text": "seconds"}, "type": "log"}, "yaxis": {"title": {"text": "regret"}}}
    return {"data": data, "layout": {"height": 380, "showlegend": True, **axes}}
