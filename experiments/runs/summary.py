"""What a multirun gave: a table on the terminal, summary.csv and runs.html in its folder."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from automl.files import write_atomically
from experiments.report import page
from experiments.report.words import number
from experiments.runs.compare import searches
from experiments.runs.differences import SELDOM
from experiments.runs.found import Run, find
from experiments.runs.text import aligned

NUMBERS = ("seeds", "val", "test", "seconds")


def tell(folder: Path) -> None:
    """Print and write it, of the jobs that have finished."""
    runs, odd = find([folder])
    if runs:
        runs.sort(key=lambda run: (int(run.folder.name) if run.folder.name.isdigit() else sys.maxsize, str(run.folder)))
        made = Summary(runs, varying([run.result.get("overrides") or [] for run in runs]))
        print("\n" + "\n\n".join(aligned(head, rows, NUMBERS) for head, rows in made.tables()))
        write_atomically(folder / "summary.csv", made.csv())
        write_atomically(folder / "runs.html", made.page())
        print(f"sweep     {folder / 'summary.csv'}, {folder / 'runs.html'}")
    if odd:
        print(f"{len(odd)} not finished: the same command with hydra.sweep.dir={folder} goes on", file=sys.stderr)


def varying(overrides: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Option -> its value in each job, of those that are not the same in all; empty where a job has none."""
    given = [{word.partition("=")[0].lstrip("+"): word.partition("=")[2] for word in words} for words in overrides]
    names = dict.fromkeys(name for of in given for name in of)
    columns = {name: [of.get(name, "") for of in given] for name in names}
    return {name: values for name, values in columns.items() if len(set(values)) > 1 and name not in SELDOM}


@dataclass(frozen=True)
class Summary:
    """``varied``: option -> its value in each run, of those that differ."""

    runs: Sequence[Run]
    varied: Mapping[str, Sequence[str]]

    def over_seeds(self) -> list[tuple[tuple[str, ...], list[int]]]:
        """The places of runs that differ in their seed alone, by what they have in common."""
        others = [values for name, values in self.varied.items() if name != "seed"]
        groups: dict[tuple[str, ...], list[int]] = {}
        for i, run in enumerate(self.runs):
            groups.setdefault((*(values[i] for values in others), run.name, run.metric), []).append(i)
        return list(groups.items())

    def mean_deviation(self, which: Sequence[int], part: str) -> tuple[float, float]:
        """Of the metric of ``val`` or ``test`` over some runs, with n - 1; NaN where it is not known."""
        values = [self.runs[i].result[part].get(self.runs[i].metric) for i in which]
        known = [math.nan if v is None else float(v) for v in values]
        return fmean(known), stdev(known) if len(known) > 1 else math.nan

    def tables(self) -> list[tuple[list[str], list[tuple[object, ...]]]]:
        """Head and rows: a line a job; and where seeds were repeated a line for each mean with its deviation."""
        found: list[tuple[list[str], list[tuple[object, ...]]]] = []
        rows: list[tuple[object, ...]] = [
            (
                *(run.folder.name, *(values[i] for values in self.varied.values()), run.name, run.metric),
                *(number(run.result["val"].get(run.metric)), number(run.result["test"].get(run.metric))),
                *("–" if run.seconds is None else f"{run.seconds:,.0f}", run.family),
            )
            for i, run in enumerate(self.runs)
        ]
        found.append((["job", *self.varied, "dataset", "metric", "val", "test", "seconds", "chosen"], rows))
        means: list[tuple[object, ...]] = []
        for common, which in self.over_seeds():
            if len(which) > 1:
                both = [self.mean_deviation(which, part) for part in ("val", "test")]
                means.append((*common, len(which), *(f"{number(mean)} ± {number(sd)}" for mean, sd in both)))
        if means:
            others = [name for name in self.varied if name != "seed"]
            found.append(([*others, "dataset", "metric", "seeds", "val", "test"], means))
        return found

    def csv(self) -> str:
        """A line a job; mean and deviation are those over the seeds of its other options."""
        rows: list[dict[str, Any]] = []
        for i, run in enumerate(self.runs):
            row = {"job": run.folder.name, **{name: values[i] for name, values in self.varied.items()}}
            row |= {"seed": run.result.get("seed"), "dataset": run.name, "metric": run.metric}
            rows.append(row | {part: run.result[part].get(run.metric) for part in ("val", "test")})
        for _, which in self.over_seeds():
            for part in ("val", "test"):
                mean, deviation = self.mean_deviation(which, part)
                for i in which:
                    rows[i] |= {f"{part}_mean": mean, f"{part}_sd": deviation, "seeds": len(which)}
        for row, run in zip(rows, self.runs, strict=True):
            chosen = run.result.get("chosen") or {}
            row |= {"seconds": run.seconds, "chosen": chosen.get("family"), "folder": str(run.folder)}
        return pd.DataFrame(rows).to_csv(index=False)

    def page(self) -> str:
        """The tables, and the searches' curves over one another."""
        shown = [
            page.section(title, page.table(head, rows, numbers=[i for i, name in enumerate(head) if name in NUMBERS]))
            for title, (head, rows) in zip(("The jobs", "Over seeds"), self.tables(), strict=False)
        ]
        drawn = searches(self.runs, [f"job {run.folder.name}" for run in self.runs])
        return page.page("A sweep", [page.tag("h1", "A sweep"), *shown, page.section("The searches", *drawn)])
