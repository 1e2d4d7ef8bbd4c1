"""``+experiment=wandb_report``: one report on a group of runs, at W&B or as a page of the same blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from automl.deploy import markdown
from automl.errors import UserError, needs
from automl.files import write_atomically
from automl.metrics import higher_is_better
from experiments.options import check_types
from experiments.report import page
from experiments.report.words import NAMES, count, metric_name
from experiments.runs.compare import searches
from experiments.runs.found import Run, find
from experiments.runs.summary import NUMBERS, Summary, varying
from experiments.trackers.wandb import group_of, logged_in


@dataclass(frozen=True)
class Asked:
    """The options under ``wandb_report``; see its yaml."""

    runs: str | list[str]
    project: str
    entity: str | None
    group: str | None


@dataclass(frozen=True)
class Table:
    """``rows``: texts, as long as ``head``."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Report:
    """What both forms hold: a title, a sentence, tables, and what the searches found."""

    title: str
    text: str
    tables: tuple[Table, ...]
    runs: tuple[Run, ...]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Report:
        made = Summary(runs, varying([run.result.get("overrides") or [] for run in runs]))
        tables = [
            Table(title, head, [[str(cell) for cell in row] for row in rows])
            for title, (head, rows) in zip(("The runs", "Over seeds"), made.tables(), strict=False)
        ]
        names = ", ".join(dict.fromkeys(run.name for run in runs))
        return cls(names, f"{count(len(runs), 'run')}{best_of(runs)}.", tuple(tables), tuple(runs))

    def html(self) -> str:
        tables = [
            page.section(t.title, page.table(t.head, t.rows, numbers=[i for i, n in enumerate(t.head) if n in NUMBERS]))
            for t in self.tables
        ]
        drawn = searches(self.runs, [f"run {run.folder.name}" for run in self.runs])
        top = [page.tag("h1", self.title), page.tag("p", self.text)]
        return page.page(self.title, [*top, *tables, page.section("The searches", *drawn)])

    def at_wandb(self, asked: Asked, group: str) -> Any:
        """The same for W&B, whose panels follow the runs there. Needs wandb-workspaces; nothing is sent yet."""
        import wandb_workspaces.reports.v2 as wr  # pyright: ignore[reportMissingImports]
        from wandb_workspaces import expr  # pyright: ignore[reportMissingImports]

        metric = self.runs[0].metric
        blocks: list[Any] = [wr.P(self.text)]
        for t in self.tables:
            cells = [[markdown.escaped(cell) for cell in row] for row in t.rows]
            blocks += [wr.H2(t.title), wr.MarkdownBlock(markdown.table(t.head, cells))]
        of = wr.Runset(
            entity=asked.entity or "", project=asked.project, name=group, filters=[expr.Metric("Group") == group]
        )
        panels = [
            wr.LinePlot(title="Best of the search so far", x="trial/number", y=["best score"]),
            wr.BarPlot(title=f"{metric_name(metric)} on the test rows", metrics=[f"test/{metric}"]),
            wr.RunComparer(diff_only=True),
        ]
        blocks += [wr.H2("The searches"), wr.PanelGrid(runsets=[of], panels=panels)]
        named = {} if asked.entity is None else {"entity": asked.entity}
        return wr.Report(project=asked.project, title=f"{self.title}: {group}"[:128], blocks=blocks, **named)


def run(cfg: DictConfig) -> None:
    """The command line's way in."""
    plain: Any = OmegaConf.to_container(cfg.wandb_report, resolve=True)
    check_types(Asked, plain, "wandb_report.")
    asked = Asked(**plain)
    places = [asked.runs] if isinstance(asked.runs, str) else asked.runs
    runs, _ = find([Path(place).expanduser() for place in places])
    if not runs:
        raise UserError(f"wandb_report.runs={', '.join(places)} holds no finished run")
    report = Report.of(sorted(runs, key=lambda run: run.ended))
    if logged_in():
        needs("+experiment=wandb_report", "wandb_workspaces", "wandb-workspaces")
        group = asked.group or (group_of(Path(places[0])) if len(places) == 1 and len(runs) > 1 else runs[0].name)
        made = report.at_wandb(asked, group)
        made.save()
        print(f"report    {made.url}")
        return
    out = Path(HydraConfig.get().runtime.output_dir) / "wandb_report.html"
    write_atomically(out, report.html())
    print(f"report    {out} (nobody is logged in at W&B: wandb login)")


def best_of(runs: Sequence[Run]) -> str:
    """``, best accuracy on validation rows 0.9 (job 3)``; empty where they are judged by several metrics."""
    metric, known = runs[0].metric, [run for run in runs if run.result["val"].get(run.metric) is not None]
    if len({(run.metric, run.name) for run in runs}) > 1 or len(known) < 2:
        return ""
    way = max if metric not in NAMES or higher_is_better(metric) else min
    best = way(known, key=lambda run: run.result["val"][metric])
    return f", best {metric} on validation rows {best.result['val'][metric]:.4g} ({best.folder.name})"
