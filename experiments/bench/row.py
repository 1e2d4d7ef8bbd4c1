"""One raw row, as a client sends it, to its answer: what pandas costs, and what is left without it.

    level4 +experiment=bench/row [bench.columns=[10,30,100]] [bench.members=1]

The table is that of bench/scale (numbers, whole numbers, categories, dates; 2 % missing). The networks are MLPs that
were never trained: what an answer costs does not depend on the weights. One thread. Each call asks another row, so that
no date is remembered. The second table gives the number of rows at once from which pandas is faster, which
``automl.deploy.rows.MOST_ROWS`` lies below. Exit status 1 when a row of up to 30 columns takes more than 1 ms or three
times the graph alone.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from automl.data.prepare import Prepared, prepare
from automl.data.sources.file import FileSource
from automl.deploy.bundle import Bundle
from automl.deploy.examples import raw_row
from automl.deploy.export import export
from automl.deploy.rows import MOST_ROWS, FastRows
from automl.training.predictor import EnsemblePredictor, Predictor
from automl.types import Candidate, active_choices
from experiments.bench import options_from
from experiments.bench.scale import write_csv
from nas.families.mlp import MLP
from nas.family import build, search_axes
from nas.recipe import training_axes

ROWS = 4000
LIMITED, LIMIT_MS, LIMIT_RATIO = 30, 1.0, 3.0
PANDAS = 20  # times fewer calls of it


@dataclass(frozen=True)
class Asked:
    """The options; see conf/experiment/bench/row.yaml."""

    columns: list[int]
    members: int
    calls: int
    rounds: int
    rows: list[int]


def run(cfg: DictConfig) -> None:
    options = options_from(cfg, Asked)
    made: dict[int, tuple[Bundle, list[dict[str, Any]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for columns in options.columns:
            made[columns] = bundle_of(Path(folder), columns, options.members)
    print("p50 of one raw row, ms")
    print(
        f"{'columns':<9}{'graph':>9}{'encoding':>10}{'answer':>9}{'with pandas':>13}{'answer / graph':>16}", flush=True
    )
    missed = False
    for columns, (bundle, rows) in made.items():
        graph, encoding, answer, pandas = one_row(bundle, rows, options)
        print(
            f"{columns:<9}{graph:>9.3f}{encoding:>10.3f}{answer:>9.3f}{pandas:>13.2f}{answer / graph:>16.2f}",
            flush=True,
        )
        missed |= columns <= LIMITED and (answer > LIMIT_MS or answer > LIMIT_RATIO * graph)
    bundle, rows = made[sorted(made)[len(made) // 2]]
    print(f"\np50 of encoding some rows at once, ms; up to {MOST_ROWS} are encoded without pandas")
    print(f"{'rows':<9}{'without':>9}{'with pandas':>13}")
    fast = FastRows(bundle.encoding, most=max(options.rows))
    for count in options.rows:
        some = [[rows[(at + i) % ROWS] for i in range(count)] for at in range(0, ROWS, ROWS // 10)]
        without, pandas = p50([fast.encode, with_pandas(bundle)], some, len(some), options.rounds)
        print(f"{count:<9}{without:>9.2f}{pandas:>13.2f}", flush=True)
    kept = "broken" if missed else "kept"
    print(f"\nlimit of {LIMITED} columns: {LIMIT_MS:g} ms and {LIMIT_RATIO:g} x the graph: {kept}")
    if missed:
        raise SystemExit(1)


def one_row(bundle: Bundle, rows: Sequence[dict[str, Any]], options: Asked) -> tuple[float, float, float, float]:
    """p50 in ms of the graph, the encoding, the answer, and the answer by way of pandas."""
    encode = with_pandas(bundle)
    encoded = encode(rows[0])
    fast = FastRows(bundle.encoding)
    told = [row for row in rows if fast.encode(row) is None]
    if told:
        raise RuntimeError(f"not encoded without pandas: {told[0]}")
    quick = p50(
        [lambda _: bundle.predict_encoded(encoded), fast.encode, bundle.predict], rows, options.calls, options.rounds
    )
    (slow,) = p50(
        [lambda row: bundle.encoding.decode(bundle.predict_encoded(encode(row)).argmax(1))],
        rows,
        max(options.calls // PANDAS, 1),
        options.rounds,
    )
    return (*quick, slow)  # type: ignore[return-value]


def with_pandas(bundle: Bundle) -> Callable[[Any], tuple[np.ndarray, ...]]:
    return lambda rows: bundle.encoding.transform(bundle.encoding.dataset(rows))


def p50(works: Sequence[Callable[[Any], Any]], given: Sequence[Any], calls: int, rounds: int) -> list[float]:
    """Median milliseconds of a call of each, of the best round: on a busy machine the others tell of its neighbours."""
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for i, work in enumerate(works):
            times = []
            for at in range(calls):
                one = given[at % len(given)]
                start = time.perf_counter()
                work(one)
                times.append(time.perf_counter() - start)
            best[i] = min(best[i], 1000 * statistics.median(times))
    return best


def bundle_of(folder: Path, columns: int, members: int) -> tuple[Bundle, list[dict[str, Any]]]:
    """A bundle of untrained networks for a table of so many columns, on one thread, and the table's rows."""
    path = folder / f"{columns}.csv"
    write_csv(path, ROWS, columns + 1)
    dataset = FileSource(str(path), target="target").load()
    prepared = prepare(dataset, check=False)
    predictor = EnsemblePredictor([_network(prepared, seed) for seed in range(members)], [1] * members)
    checked = [a[:64] for a in prepared.parts.valid.inputs]
    made = export(folder / str(columns), predictor, prepared.task, prepared.encoding, checked)
    bundle = Bundle.load(made, threads=1)
    bundle.predict(raw_row(dataset, 0))  # reads what is read on first use, while the folder is there
    return bundle, [raw_row(dataset, at) for at in range(ROWS)]


def _network(prepared: Prepared, seed: int) -> Predictor:
    family: Any = MLP()
    task = prepared.task
    axes = search_axes({family.name: family}, task, training_axes(task))[family.name]
    first = {a.name: a.options[0] for a in axes}
    candidate = Candidate(family.name, active_choices(axes, first))
    return Predictor(build(family, task, candidate, axes, seed=seed), task)
