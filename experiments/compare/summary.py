"""What the fits say together: scores by set, ranks, wins, ties and losses, with bootstrap intervals over groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.bootstrap import drawn_groups

DRAWS = 5000
ALL = "all"


def summary_of(fits: Sequence[Mapping[str, Any]], us: str) -> dict[str, Any]:
    """``sets``: a row per set with each system's mean score over seeds. ``systems``: a row per modality and system.

    A score is normalised such that 0 is no model and 1 the best system on the set; it may be below 0, cut at -1. A
    system that failed is last there, with 0. Systems that do not take a modality are left out of it. A set is won or
    lost where the mean difference of the test rows' losses, over the seeds that both have, is more than 1.96 standard
    errors from 0, else tied.

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
            mine = [row for row in within if peer in row["scores"]]
            if modality == ALL and len(mine) < len(within):
                continue  # only those that take every modality
            systems.append({"modality": modality, "peer": peer, **system_row(mine, peer)})
    return {"us": us, "sets": sets, "systems": systems}


def set_row(name: str, of: Mapping[str, Sequence[Mapping[str, Any]]], us: str) -> dict[str, Any] | None:
    """One set; None where no system has answered."""
    whole = {peer: [f for f in fits if "error" not in f] for peer, fits in of.items()}
    first = next((f for fits in whole.values() for f in fits), None)
    if first is None:
        return None
    scores = {peer: float(np.mean([f["score"] for f in fits])) if fits else None for peer, fits in whole.items()}
    known = [s for s in scores.values() if s is not None]
    top, floor = max(known), first["floor"]
    unit = max(top - floor, 1e-9)
    normalised = {p: 0.0 if s is None else float(np.clip((s - floor) / unit, -1, 1)) for p, s in scores.items()}
    order = {p: -np.inf if s is None else s for p, s in scores.items()}
    ranks = {
        p: sum(o > s for o in order.values()) + (sum(o == s for o in order.values()) + 1) / 2 for p, s in order.items()
    }
    return {
        "set": name,
        **{key: first[key] for key in ("modality", "group", "metric", "floor")},
        "scores": scores,
        "normalised": normalised,
        "ranks": ranks,
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
    error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.inf
    return int(np.sign(gains.mean())) if abs(gains.mean()) > 1.96 * error else 0


def system_row(rows: Sequence[Mapping[str, Any]], peer: str) -> dict[str, Any]:
    """One system over its sets; the interval holds 95 % of draws of groups."""
    values = np.array([row["normalised"][peer] for row in rows])
    draws = [values[at].mean() for at in drawn_groups(np.array([row["group"] for row in rows]), DRAWS)]
    outcomes = [row["outcomes"][peer] for row in rows]
    return {
        "sets": len(rows),
        "failed": sum(row["scores"][peer] is None for row in rows),
        "normalised": float(values.mean()),
        "interval": [float(v) for v in np.percentile(draws, [2.5, 97.5])],
        "rank": float(np.mean([row["ranks"][peer] for row in rows])),
        "outcome": [outcomes.count(1), outcomes.count(0), outcomes.count(-1)],
        **{key: median([row[key][peer] for row in rows if peer in row[key]]) for key in ("fit", "row_ms")},
    }


def median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
