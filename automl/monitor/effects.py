"""How far a measure has moved, in words and as a number; and what that may cost in score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from automl.monitor.tests import LEAST, effect

SHOWN = 2  # values of a category that are named


def distance(known: np.ndarray, counts: np.ndarray) -> float:
    """Total variation, 0 to 1: the share of rows that lie in other cells than they did. Both int (cells,)."""
    a, b = known.sum(), counts.sum()
    return float(np.abs(known / a - counts / b).sum() / 2) if a and b else 0.0


def outside(measure: Mapping[str, Any], counts: np.ndarray) -> float:
    """Share of the known rows that training saw nothing like: below and above all numbers, or unknown values."""
    rows = counts.sum() - counts[-3]
    return float((counts[-1] if "values" in measure else counts[-2:].sum()) / rows) if rows else 0.0


def missing(counts: np.ndarray) -> float:
    return float(counts[-3] / counts.sum()) if counts.sum() else 0.0


def words(measure: Mapping[str, Any], counts: np.ndarray, center: float = 0.0) -> str:
    """``median 3.1 -> 4.7, missing 1 % -> 20 %``: what moved so far that it matters; at least what moved most.

    ``center``: is added to numbers, see ``TargetEncoder``.
    """
    known = np.asarray(measure["counts"], dtype=np.int64)
    said = sorted(_said(measure, known, counts, center), key=lambda pair: -pair[0])
    return ", ".join(text for i, (far, text) in enumerate(said) if text and (i == 0 or far >= LEAST))


def labels(measure: Mapping[str, Any], center: float = 0.0) -> list[str]:
    """Names of the cells, as ``in_order`` has them."""
    if "values" in measure:
        return [*measure["values"], "other", "unknown", "missing"]
    edges = [_number(measure, e, center) for e in measure["edges"]]
    bins = edges[:-1]
    return [f"< {edges[0]}" if edges else "below", *bins, f"> {edges[-1]}" if edges else "above", "missing"]


def in_order(measure: Mapping[str, Any], counts: np.ndarray) -> list[float]:
    """Shares of the cells: below, bins, above, missing; or values, other, unknown, missing."""
    n = len(counts) - 3
    bins = counts[:n].tolist()
    if "values" in measure:
        found = [*bins, counts[n + 1], counts[n + 2], counts[n]]
    else:
        found = [counts[n + 1], *bins, counts[n + 2], counts[n]]
    return [round(float(c) / max(int(counts.sum()), 1), 5) for c in found]


def quantile(measure: Mapping[str, Any], counts: np.ndarray, share: float) -> float | None:
    """Of a number, as if the values of a bin were spread evenly; None where none is known."""
    edges = np.asarray(measure["edges"], dtype=np.float64)
    n = len(counts) - 3
    if not len(edges) or counts.sum() == counts[n]:
        return None
    heights = np.cumsum([counts[n + 1], *counts[:n]])  # up to each edge
    total = heights[-1] + counts[n + 2]
    return float(np.interp(share * total, heights, edges))


def mean_sureness(measure: Mapping[str, Any], counts: np.ndarray) -> float | None:
    """Mean probability of the decided class, of its bins: the accuracy to expect (``automl.monitor.live``).

    An answer that was no number counts as wrong.
    """
    edges = np.asarray(measure["edges"], dtype=np.float64)
    n = len(counts) - 3
    if not len(edges) or not counts.sum():
        return None
    middles = [*((edges[1:] + edges[:-1]) / 2), edges[0], edges[-1]]
    seen = np.array([*counts[:n], counts[n + 1], counts[n + 2]])
    return float(np.dot(middles, seen) / counts.sum())


def _said(
    measure: Mapping[str, Any], known: np.ndarray, counts: np.ndarray, center: float
) -> Iterator[tuple[float, str]]:
    """Effect and words of all that can be said."""
    n = len(counts) - 3

    def share(name: str, cells: Any, rows: Any, known_rows: Any) -> tuple[float, str]:
        hits, known_hits = counts[cells].sum(), known[cells].sum()
        a, b = known_hits / max(known_rows, 1), hits / max(rows, 1)
        return float(effect(hits, rows, known_hits, known_rows)), f"{name} {percent(a)} -> {percent(b)}"

    yield share("missing", [n], counts.sum(), known.sum())
    rows, known_rows = counts.sum() - counts[n], known.sum() - known[n]
    if "values" in measure:
        values = [share(repr(name), [i], rows, known_rows) for i, name in enumerate(measure["values"])]
        yield from sorted(values, key=lambda pair: -pair[0])[:SHOWN]
        yield share("unknown values", [n + 2], rows, known_rows)
        return
    yield share("below all that training saw", [n + 1], rows, known_rows)
    yield share("above all that training saw", [n + 2], rows, known_rows)
    before, now = (quantile(measure, c, 0.5) for c in (known, counts))
    if before is None or now is None or n < 2:
        return
    edges = np.asarray(measure["edges"], dtype=np.float64)
    cut = int(np.searchsorted(edges[1:-1], before)) + 1  # bins below the median's edge
    far, _ = share("", [*range(min(cut, n - 1)), n + 1], rows, known_rows)
    yield far, f"median {_number(measure, before, center)} -> {_number(measure, now, center)}"
    ends = [[quantile(measure, c, q) for q in (0.1, 0.9)] for c in (known, counts)]
    told = ["{} to {}".format(*(_number(measure, float(e or 0.0), center) for e in end)) for end in ends]
    yield far / 2, f"most lie in {told[0]} -> {told[1]}"


def percent(share: float) -> str:
    return f"{100 * share:.3g} %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def _number(measure: Mapping[str, Any], value: float, center: float) -> str:
    if measure["what"] == "days" and abs(value) < 3e6:
        return str(np.datetime64(int(value), "D"))
    return f"{value + center:.4g}"
