"""The smallest or fastest variant of a bundle that answers as well: made, measured beside each other, chosen.

A variant is how many members of the ensemble answer (the heaviest first) and in which precision. Each is timed for
whole raw rows and for its graph alone, by threads and by rows that are asked at once. All take turns, round by round,
so that whatever else the machine does is spread over them; what is told are medians. To read and encode a raw row takes
the same whichever graph answers, often far longer than that does: the time beyond the graph's is one median over all
variants, else its noise would choose among them.

Answering as well: the score on rows with known answers is at most ``BEHIND`` standard errors below that of the whole
ensemble in fp32. The error is that of the whole ensemble's score over bootstrap samples of these rows: a fixed share of
the score would be less than one row on few rows. Where the networks were trained once more with these rows, their
answers for them are too good, and of a large network more so. ``Rows.before`` tells what the members said before that;
the score is of those, plus the change that the variant makes to what is answered now.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from automl.deploy.bundle import MODEL, Bundle
from automl.deploy.cut import cut
from automl.deploy.examples import TOLERANCE
from automl.deploy.judge import Ensemble, Judge, Rows, Verdict, with_session
from automl.deploy.processor import VNNI, features
from automl.deploy.quantise import DYNAMIC, STATIC, quantise
from automl.errors import UserError

FP32 = "fp32"
TARGETS = ("latency", "throughput", "size")
THREADS, BATCHES = (1, 2), (1, 32)
BEHIND = 0.5
"""Standard errors of the score that a variant may lose. By judgement: what is lost is lost for good, while all variants
within one error would count as equal."""
GAIN = 0.05
"""Of latency, rows a second or megabytes: for less the model that was exported is not given up. By judgement: less may
be noise of a shared machine."""
ROUNDS, CALLS, FEWEST = 5, 5, 2  # of timing, and calls of each in a round; rounds where time is short, of a call each
MAKING = 0.5
"""Share of the time after which no further variant is made."""


@dataclass
class Variant:
    """One variant and what was found. ``needs``: of the processor. ``path``: its graph.

    ``error``: why it cannot be had, or an empty string; then the rest is not known. ``raw_ms``, ``graph_ms``: of a row,
    by threads and rows asked at once.
    """

    members: int
    precision: str
    needs: tuple[str, ...] = ()
    path: Path | None = None
    error: str = ""
    megabytes: float = math.nan
    verdict: Verdict | None = None
    raw_ms: dict[tuple[int, int], float] = field(default_factory=dict)
    graph_ms: dict[tuple[int, int], float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.members}-{self.precision}"

    def cost(self, target: str) -> float:
        """What is made least: milliseconds of a raw row on one thread, seconds of one among many, or megabytes."""
        if target == "size":
            return self.megabytes
        many = [ms for (_, rows), ms in self.raw_ms.items() if rows == BATCHES[-1]]
        return self.raw_ms[1, 1] if target == "latency" else min(many) / 1000

    def plain(self) -> dict[str, Any]:
        """For meta.json and optimise.json."""
        told: dict[str, Any] = {"name": self.name, "members": self.members, "precision": self.precision}
        if self.error or self.verdict is None:
            return told | {"error": self.error}
        behind = self.verdict.behind
        return told | {
            "needs": list(self.needs),
            "score": self.verdict.score,
            "errors_behind": behind if math.isfinite(behind) else None,
            "agreement": {"max_difference": self.verdict.apart, "flips": self.verdict.flips},
            "megabytes": round(self.megabytes, 4),
            "latency_ms": self.raw_ms[1, 1],
            "times": [
                {"threads": threads, "rows": rows, "row_ms": ms, "graph_ms": self.graph_ms[threads, rows]}
                for (threads, rows), ms in self.raw_ms.items()
            ],
        }


def optimise(of: Ensemble, rows: Rows, raw: Callable[[int], Any], drafts: Path, seconds: float = 60) -> list[Variant]:
    """All variants there is time for, measured; the whole ensemble in fp32 comes first.

    ``raw``: so many raw rows, as users send them. ``drafts``: folder for the graphs. Those of fewer members and fp32
    are made first; what failed or had no time has an ``error``. ``seconds``: for all, about. Raises UserError where the
    whole ensemble cannot be judged.
    """
    began = time.perf_counter()
    judge = Judge.of(of, rows.some())
    found: list[Variant] = []
    for members, precision in order(of.size):
        variant = Variant(members, precision)
        found.append(variant)
        if len(found) > 1 and time.perf_counter() - began > MAKING * seconds:
            variant.error = "no time"
            continue
        try:
            make(variant, of, rows, drafts)
            assert variant.path is not None
            variant.verdict = judge.verdict(members, variant.path)
            if precision == FP32 and variant.verdict.apart > 10 * TOLERANCE:
                raise ValueError(f"it differs from its members by {variant.verdict.apart:.3g}")
        except Exception as error:  # onnxruntime raises whatever it meets: one variant is no reason to have none
            variant.error = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            if len(found) == 1:
                raise UserError(
                    f"{of.bundle.folder / MODEL} cannot be judged on these rows: {variant.error}"
                ) from error
    time_them(of.bundle, [v for v in found if not v.error], raw, began + seconds)
    return found


def order(size: int) -> Iterator[tuple[int, str]]:
    """Members and precision of each variant: the whole first, then the most promising."""
    yield size, FP32
    yield from ((members, FP32) for members in range(1, size))
    yield from ((members, precision) for precision in (DYNAMIC, STATIC) for members in range(1, size + 1))


def make(variant: Variant, of: Ensemble, rows: Rows, drafts: Path) -> None:
    """Write the variant's graph."""
    if variant.precision == FP32 and variant.members == of.size:
        variant.path = of.bundle.folder / MODEL
    else:
        fewer = drafts / f"{variant.members}-{FP32}.onnx"
        if not fewer.exists():
            whole = onnx.load(of.bundle.folder / MODEL)
            onnx.save(cut(whole, of.weights[: variant.members], of.temperature, values=of.values), fewer)
        variant.path = fewer
        if variant.precision != FP32:
            variant.path = drafts / f"{variant.name}.onnx"
            variant.needs = tuple(features() & {VNNI})
            named = {i.name: a for i, a in zip(of.bundle.session.get_inputs(), rows.ranges, strict=True)}
            quantise(fewer, variant.path, variant.precision, named, reduce_range=not variant.needs)
    variant.megabytes = variant.path.stat().st_size / 1e6


def time_them(bundle: Bundle, variants: Sequence[Variant], raw: Callable[[int], Any], until: float) -> None:
    """Fill in the times: medians over rounds in which all take turns.

    A graph is opened for its turn, which begins with a call that warms it up: all of them at once would be thirty of
    five members, and large ones do not fit into memory so often.
    """
    asked = {rows: raw(rows) for rows in BATCHES}
    encoded = {rows: bundle.encoding.transform(bundle.encoding.dataset(asked[rows])) for rows in BATCHES}
    turns = [*itertools.product(THREADS, range(len(variants)))]
    times: dict[tuple[int, int, int], list[tuple[float, float]]] = {(*t, rows): [] for t in turns for rows in BATCHES}
    for at in range(ROUNDS):
        for threads, i in turns:
            if at >= FEWEST and time.perf_counter() > until:
                break
            of = opened(bundle, variants[i], threads)
            for rows, call in itertools.product(BATCHES, range(1 + CALLS)):
                if call > 1 and time.perf_counter() > until:
                    continue
                took = ms_of(of.predict, asked[rows]) / rows, ms_of(of.predict_encoded, encoded[rows]) / rows
                if call:
                    times[threads, i, rows].append(took)
            del of  # before the next one is opened
    for rows in BATCHES:
        beyond = [whole - graph for turn, took in times.items() if turn[2] == rows for whole, graph in took]
        reading = max(statistics.median(beyond), 0.0)
        for threads, i in turns:
            graph = statistics.median(graph for _, graph in times[threads, i, rows])
            variants[i].graph_ms[threads, rows] = round(graph, 5)
            variants[i].raw_ms[threads, rows] = round(reading + graph, 5)


def opened(bundle: Bundle, variant: Variant, threads: int) -> Bundle:
    assert variant.path is not None
    found = with_session(bundle, variant.path, threads)
    found.__dict__.update(encoding=bundle.encoding, fast=bundle.fast)  # cached properties: not to be made by each
    return found


def ms_of(call: Callable[[Any], Any], argument: Any) -> float:
    start = time.perf_counter()
    call(argument)
    return 1000 * (time.perf_counter() - start)


def best(found: Sequence[Variant], target: str) -> Variant:
    """Of those that answer as well the one whose ``target`` is best; the first, where that gains less than ``GAIN``."""
    fine = [v for v in found if not v.error and v.verdict is not None and v.verdict.behind <= BEHIND]
    top = min(fine, key=lambda v: v.cost(target))
    return top if top.cost(target) < (1 - GAIN) * found[0].cost(target) else found[0]
