"""From an exported bundle the smallest or fastest variant that answers as well.

level4 +experiment=optimise bundle=outputs/DATE/TIME/bundle target=latency
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from automl.deploy.bundle import META, MODEL, Bundle
from automl.errors import UserError
from automl.files import write_atomically
from automl.serial import dumps
from experiments.options import check_types, made

if TYPE_CHECKING:
    from automl.deploy.optimise import Variant


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/optimise.yaml."""

    bundle: str
    target: Literal["latency", "throughput", "size"]
    seconds: float


def run(cfg: DictConfig) -> None:
    """The command line's way in."""
    wanted = asked(cfg)
    bundle = Bundle.load(Path(wanted.bundle).expanduser().absolute(), threads=1, variant=MODEL)
    found = optimised(bundle, wanted.target, wanted.seconds, cfg)
    write_atomically(Path(HydraConfig.get().runtime.output_dir) / "optimise.json", dumps(found, indent=2) + "\n")
    show(found, Console(width=150, highlight=False))


def asked(cfg: DictConfig) -> Asked:
    """The options. Raises UserError for what is not a bundle, a target or a time."""
    given = {name: cfg[name] for name in ("bundle", "target", "seconds")}
    check_types(Asked, given, "")
    if not 0 < given["seconds"] < math.inf:
        raise UserError(f"seconds={given['seconds']} must be above 0")
    if not (Path(given["bundle"]).expanduser() / META).is_file():
        raise UserError(f"bundle={given['bundle']} holds no {META}. Give the folder of a bundle that a run exported")
    return Asked(**given)


def optimised(bundle: Bundle, target: str, seconds: float, cfg: DictConfig | None = None) -> dict[str, Any]:
    """Measure the variants and write the best into the bundle; what optimise.json holds.

    ``cfg``: whose ``data`` names labelled rows to judge by; else the rows of the run beside the bundle are.
    """
    from automl.deploy.examples import raw_row
    from automl.deploy.judge import Ensemble
    from automl.deploy.optimise import TARGETS, best, optimise
    from automl.deploy.processor import features
    from automl.deploy.variants import keep
    from experiments.optimise.rows import given_rows, rows_of_run

    of, run_folder = Ensemble.of(bundle), bundle.folder.resolve().parent
    if cfg is not None and cfg.data.path is not None:
        dataset = made(cfg, "data").load()
        rows = given_rows(of, dataset)
    elif (run_folder / "config.yaml").is_file() and (run_folder / "result.json").is_file():
        rows, dataset = rows_of_run(of, run_folder)
    else:
        raise UserError(
            f"{run_folder} is not the folder of the run that made the bundle; give labelled rows: data.path=FILE "
            "data.target=COLUMN"
        )

    def sent(count: int) -> list[dict[str, Any]]:
        return [raw_row(dataset, at % len(dataset)) for at in range(count)]

    with tempfile.TemporaryDirectory() as drafts:
        found = optimise(of, rows, sent, Path(drafts), seconds)
        chosen, answers = best(found, target), keep(of, rows, found, target)
    notes = []
    if not rows.honest:
        notes.append("the networks have learned from the rows that judge here, and what they said before is lost")
    if chosen is not found[0] and answers is None:
        notes.append(f"{chosen.name} is kept, but does not answer by itself: no rows tell how sure it is")
    return {
        "bundle": str(bundle.folder),
        "target": target,
        "metric": bundle.task.metric,
        "rows": len(rows.y),
        "source": rows.source,
        "features": sorted(features()),
        "variants": [variant.plain() for variant in found],
        "chosen": answers or MODEL,
        "best": {t: best(found, t).name for t in TARGETS},
        "gain": gains(found),
        "notes": notes,
    }


def gains(found: Sequence[Variant]) -> dict[str, float]:
    """What each lever alone does to the milliseconds of a raw row, as a share of the whole ensemble's in fp32."""
    whole = found[0].raw_ms
    told = {"threads 2": whole[2, 1] / whole[1, 1], "batch 32": whole[1, 32] / whole[1, 1]}
    for variant in found[1:]:
        if not variant.error and variant.members == found[0].members:
            told[variant.precision] = variant.raw_ms[1, 1] / whole[1, 1]
        elif not variant.error and variant.members == 1 and variant.precision == found[0].precision:
            told["members 1"] = variant.raw_ms[1, 1] / whole[1, 1]
    return {name: round(share, 4) for name, share in told.items()}


def show(found: dict[str, Any], console: Console) -> None:
    """Print a line for each variant, what each lever gave, and what was chosen."""
    table = Table(title=f"{found['metric']} on {found['rows']:,} rows ({found['source']}); ms of a row: raw / graph")
    for name in ("members", "precision", "MB", "score", "behind", "apart", "flips"):
        table.add_column(name, justify="left" if name == "precision" else "right")
    times = next(v["times"] for v in found["variants"] if "times" in v)
    for at in times:
        table.add_column(f"{at['threads']} thread{'s' * (at['threads'] > 1)}, {at['rows']}", justify="right")
    for v in found["variants"]:
        head = [str(v["members"]), v["precision"] + (" *" if v["name"] == found["chosen"] else "")]
        if "error" in v:
            table.add_row(*head, v["error"][:60])
            continue
        behind = "-" if v["errors_behind"] is None else f"{v['errors_behind']:.2f} SE"
        agreement = v["agreement"]
        table.add_row(
            *(*head, f"{v['megabytes']:.3f}", f"{v['score']:.4f}", behind),
            *(f"{agreement['max_difference']:.1e}", f"{agreement['flips']:.2%}"),
            *(f"{at['row_ms']:.3f} / {at['graph_ms']:.3f}" for at in v["times"]),
        )
    console.print(table)
    console.print("a raw row takes, of the whole ensemble's time: " + ", ".join(
        f"{name} {share:.0%}" for name, share in found["gain"].items()), markup=False)  # fmt: skip
    for note in found["notes"]:
        console.print(f"note      {note}", markup=False)
    console.print(f"chosen    {found['chosen']} for {found['target']}", markup=False)
    console.print(f"bundle    {found['bundle']}", markup=False)
