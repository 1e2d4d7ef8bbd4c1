"""What the fits say together: scores by set, ranks, wins, ties and losses, with bootstrap intervals over groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.bootstrap import mean_interval

SURE = 1.96  # standard errors by which a difference is told from chance
ALL = "all"


def summary_of(fits: Sequence[Mapping[str, Any]], us: str) -> dict[str, Any]:
    """``sets``: a row per set with each system's mean score over seeds. ``systems``: a row per modality and system.

    A fit that failed scores what no model does; a system of which all failed on a set is last there. A score is
    normalised such that 0 is no model and 1 the best system on the set; it may be below 0, cut at -1. Where the test
    rows cannot tell the best from no model there is no such scale, and the set counts for ranks and outcomes alone. A
    system that was not tried on all sets of a modality is left out of it, as its mean would be one of other sets. A set
    is won or lost where the mean difference of the test rows' losses, over the seeds that both have, is more than
    ``SURE`` standard errors from 0, else tied.

    fits: rows with peer, set, seed and either error or modality, group, metric, score, floor, fit, row_ms and
    losses (n,), which lie on the same test rows for all systems.
    """
    of: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for fit in fits:
        of[fit["set"]][fit["peer"]].append(fit)
    sets = [row for name in of if (row := set_row(name, of[name], us))]
    systems = []
    for modality in [*sorted({row["modality"] for row in sets}), ALL]:
        within = [row for row in sets if modality in (row["modality"], ALL)]
        for peer in sorted({p for row in within for p in row["scores"]}, key=lambda p: (p != us, p)):
            if all(peer in row["scores"] for row in within):
                systems.append({"modality": modality, "peer": peer, **system_row(within, peer)})
    return {"us": us, "sets": sets, "systems": systems}


def set_row(name: str, of: Mapping[str, Sequence[Mapping[str, Any]]], us: str) -> dict[str, Any] | None:
    """One set; None where no system has answered."""
    whole = {peer: [f for f in fits if "error" not in f] for peer, fits in of.items()}
    first = next((f for fits in whole.values() for f in fits), None)
    if first is None:
        return None
    floor = first["floor"]
    scores = {p: float(np.mean([f.get("score", floor) for f in fits])) if whole[p] else None for p, fits in of.items()}
    order = {p: -np.inf if s is None else s for p, s in scores.items()}
    best = max(order, key=order.__getitem__)
    unit, losses = order[best] - floor, np.mean([f["losses"] for f in whole[best]], axis=0)
    scaled = {p: 0.0 if s is None else float(np.clip((s - floor) / max(unit, 1e-9), -1, 1)) for p, s in scores.items()}
    ranks = {
        p: sum(o > s for o in order.values()) + (sum(o == s for o in order.values()) + 1) / 2 for p, s in order.items()
    }
    return {
        "set": name,
        **{key: first[key] for key in ("modality", "group", "metric", "floor")},
        "scores": scores,
        "normalised": scaled if unit > SURE * error_of(losses) else None,
        "ranks": ranks,
        "failed": {p: len(fits) - len(whole[p]) for p, fits in of.items()},
        "outcomes": {p: outcome(whole.get(us, []), fits) for p, fits in whole.items()},
        "fit": {p: float(np.mean([f["fit"] for f in fits])) for p, fits in whole.items() if fits},
        "row_ms": {p: float(np.mean([f["row_ms"] for f in fits])) for p, fits in whole.items() if fits},
    }


def outcome(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> int:
    """1 where ours is better, -1 where worse, 0 where the rows cannot tell."""
    if not ours or not theirs:
        return bool(ours) - bool(theirs)
    mine, other = ({f["seed"]: np.asarray(f["losses"], float) for f in fits} for fits in (ours, theirs))
    both = sorted(mine.keys() & other.keys())
    if not both:
        return 0
    gains = np.mean([other[seed] - mine[seed] for seed in both], axis=0)
    return int(np.sign(gains.mean())) if abs(gains.mean()) > SURE * error_of(gains) else 0


def error_of(values: np.ndarray) -> float:
    """The standard error of the mean of ``values`` (n,); infinite for one."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.inf


def system_row(rows: Sequence[Mapping[str, Any]], peer: str) -> dict[str, Any]:
    """One system over its sets. ``counted``: sets with a scale; ``normalised`` and ``interval``: None without any."""
    counted = [row for row in rows if row["normalised"] is not None]
    values, group = np.array([r["normalised"][peer] for r in counted]), np.array([r["group"] for r in counted])
    outcomes = [row["outcomes"][peer] for row in rows]
    return {
        "sets": len(rows),
        "counted": len(counted),
        "failed": sum(row["failed"][peer] for row in rows),
        "normalised": float(values.mean()) if counted else None,
        "interval": mean_interval(values, group).tolist() if counted else None,
        "rank": float(np.mean([row["ranks"][peer] for row in rows])),
        "outcome": [outcomes.count(1), outcomes.count(0), outcomes.count(-1)],
        **{key: median([row[key][peer] for row in rows if peer in row[key]]) for key in ("fit", "row_ms")},
    }


def median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
