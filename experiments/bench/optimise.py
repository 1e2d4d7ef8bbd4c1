"""What optimising a bundle for latency gives, beside the networks in torch, and what it costs on the test rows.

    level4 +experiment=bench/optimise bench.root=FOLDER

FOLDER is that of the benchmark ``level3``. Each set is solved for ``bench.seconds`` as a user does, and its bundle
optimised with target=latency. On one thread, one row at a time, medians of this machine:

    eager    the same ensemble in torch (inference mode), of an encoded row: the networks only
    graph    the same of ``model.onnx`` and of the chosen variant
    raw      a raw row through ``Bundle.predict``: read, checked, encoded, answered, decoded

The test score is that of either; no choice has looked at these rows. A finished set is kept in ``bench.out`` and not
run again by the same commit. Exit status 1: a run failed, or the median of raw / eager of the chosen variants is above
``TARGET``.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from experiments.bench import alone, kept_rows, options_from
from experiments.bench._commit import PROGRAM, commit
from experiments.bench.level3 import RUN, chosen, kind_of
from experiments.explain import quoted

TARGET = 0.5


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/optimise.yaml."""

    root: Path
    seconds: float
    each: int | None
    sets: list[str]
    out: Path
    override: list[str]


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    wanted = chosen(options.root, options.sets, options.each)
    setting = [options.seconds, sorted(options.override), commit(paths=PROGRAM)]
    rows = {row["set"]: row for row in kept_rows(options.out) if row["setting"] == setting}
    for said in (s for s in wanted if s["name"] not in rows):
        row = {"set": said["name"], "setting": setting, "modality": kind_of(said), **one(said, options)}
        rows[said["name"]] = row
        with options.out.open("a") as out:
            out.write(json.dumps(row) + "\n")
        print(row["set"], row.get("error") or f"raw / eager {ratio(row):.2f}", flush=True)
    if not show([rows[said["name"]] for said in wanted]):
        raise SystemExit(1)


def one(said: Mapping[str, Any], options: Asked) -> dict[str, Any]:
    """One set, solved and optimised."""
    with tempfile.TemporaryDirectory(prefix="optimise-") as made:
        folder = Path(made)
        command = [
            *(sys.executable, str(RUN), "+experiment=level3", "data=file"),
            f"data.path={quoted(str(options.root.resolve() / said['file']))}",
            f"task.metric={said['baseline_best']['metric']}",
            *(f"budget.seconds={options.seconds}", "budget.trials=null", "tracker=none", "progress=false"),
            *(f"artifacts={folder / 'searches'}", f"store.url=sqlite:///{folder / 'store.db'}"),
            f"hydra.run.dir={folder / 'run'}",
            *options.override,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10 * options.seconds + 600)
        except subprocess.TimeoutExpired:
            return {"error": "did not end"}
        if done.returncode:
            return {"error": (done.stderr.strip() or done.stdout.strip()).splitlines()[-1][:300]}
        try:
            return alone(measured, folder / "run")
        except Exception as error:  # one set must not end the others
            return {"error": f"{type(error).__name__}: {error}"[:300]}


def measured(folder: Path) -> dict[str, Any]:
    """What is told of a finished run."""
    import torch

    from automl.deploy.bundle import MODEL, Bundle
    from automl.deploy.judge import Ensemble
    from automl.metrics import scores
    from experiments.optimise.optimise import optimised
    from experiments.optimise.rows import prepared_again
    from experiments.options import made

    torch.set_num_threads(1)
    bundle = Bundle.load(folder / "bundle", threads=1, variant=MODEL)
    found = optimised(bundle, "latency", 60)
    cfg = OmegaConf.load(folder / "config.yaml")
    assert isinstance(cfg, DictConfig)
    prepared = prepared_again(cfg, made(cfg, "data").load())
    task, test = prepared.task, prepared.parts.test
    variants = {v["name"]: v for v in found["variants"]}
    whole = found["variants"][0]

    def told(name: str, variant: Mapping[str, Any]) -> dict[str, Any]:
        of = Bundle.load(folder / "bundle", threads=1, variant=name)
        weights = None if of.decision is None else np.asarray(of.decision)
        score = scores(task.kind, test.y, of.predict_encoded(test.inputs), weights=weights)[task.metric]
        graph = next(t["graph_ms"] for t in variant["times"] if (t["threads"], t["rows"]) == (1, 1))
        raw = {"raw_ms": variant["latency_ms"], "graph_ms": graph, "megabytes": variant["megabytes"]}
        return {"name": variant["name"], "test": score, **raw}

    answering = found["chosen"]
    prediction = bundle.predict_encoded(test.inputs)
    return {
        "metric": task.metric,
        "eager_ms": eager_ms(cfg, folder, prepared),
        "full": told(MODEL, whole),
        "chosen": told(answering, whole if answering == MODEL else variants[answering]),
        "test_error": Ensemble.of(bundle).error(test.y, np.asarray(prediction)),
        "gain": found["gain"],
    }


def eager_ms(cfg: DictConfig, folder: Path, prepared: Any) -> float:
    """Milliseconds of an encoded row in torch. The weights do not matter: the networks are as they were at first."""
    import torch

    from automl.deploy.measure import median_ms
    from automl.training.predictor import Deployed, Predictor
    from automl.training.rows import as_tensor
    from automl.types import Candidate
    from experiments.options import made_families
    from nas.family import build, search_axes
    from nas.recipe import training_axes

    task, families = prepared.task, made_families(cfg)
    axes = search_axes(families, task, training_axes(task))
    members = json.loads((folder / "result.json").read_text())["ensemble"]
    predictors = []
    for member in members:
        family, candidate = member["family"], Candidate(member["family"], member["choices"])
        predictors.append(Predictor(build(families[family], task, candidate, axes[family], seed=0), task))
    model = Deployed(predictors, [m["weight"] for m in members], task).eval()
    row = [as_tensor(a[:1]) for a in prepared.parts.test.inputs]
    with torch.inference_mode():
        return median_ms(lambda: model(*row))


def ratio(row: Mapping[str, Any], which: str = "chosen", what: str = "raw_ms") -> float:
    return row[which][what] / row["eager_ms"]


def show(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Print the table; whether nothing failed and the target is reached."""
    console = Console(width=150)
    table = Table(
        title="ms of one row on one thread, and the test score; of the whole ensemble > of the chosen variant"
    )
    for name in ("set", "chosen", "eager", "raw", "graph", "raw / eager", "graph / eager", "MB", "test", "loss / SE"):
        table.add_column(name, justify="left" if name in ("set", "chosen") else "right")
    fine = [row for row in rows if "error" not in row]
    for row in rows:
        if "error" in row:
            table.add_row(row["set"], row["error"][:60])
            continue
        full, best = row["full"], row["chosen"]
        changes = [f"{full[name]:.3f} > {best[name]:.3f}" for name in ("raw_ms", "graph_ms")]
        changes += [f"{ratio(row, 'full', n):.2f} > {ratio(row, 'chosen', n):.2f}" for n in ("raw_ms", "graph_ms")]
        changes += [f"{full['megabytes']:.2f} > {best['megabytes']:.2f}", f"{full['test']:.4f} > {best['test']:.4f}"]
        table.add_row(row["set"], f"{best['name']} of {full['name']}", f"{row['eager_ms']:.3f}", *changes, lost(row))
    console.print(table)
    if not fine:
        return False
    median = statistics.median(ratio(row) for row in fine)
    for name, which, what in (
        ("raw", "full", "raw_ms"),
        ("graph", "full", "graph_ms"),
        ("graph", "chosen", "graph_ms"),
    ):
        console.print(f"median {name} / eager, {which}: {statistics.median(ratio(r, which, what) for r in fine):.2f}")
    console.print(
        f"median raw / eager, chosen: {median:.2f}, target {TARGET}; {len(rows) - len(fine)} of {len(rows)} failed"
    )
    return median <= TARGET and len(fine) == len(rows)


def lost(row: Mapping[str, Any]) -> str:
    """Test score that the choice costs, in standard errors of the whole ensemble's."""
    from automl.metrics import higher_is_better

    sign = 1 if higher_is_better(row["metric"]) else -1
    gap = sign * (row["full"]["test"] - row["chosen"]["test"])
    return f"{gap / row['test_error']:+.2f}" if row["test_error"] > 0 else f"{gap:+.4f}"
