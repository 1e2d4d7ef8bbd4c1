"""The report's figures, as plotly's JSON.

Plain dicts: importing plotly's object layer takes seconds, and the page draws them by itself. A colour
``var:NAME`` stands for the CSS variable ``--NAME``, so that a figure follows the page from light to dark.
Everything that comes from data goes through ``label``: plotly reads tags in text.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from automl.types import Trial
from experiments.report.words import as_metric, metric_name, number

Figure = dict[str, Any]
MOST_POINTS = 2000
MOST_CLASSES = 30
COLOURS = tuple(f"var:c{i}" for i in range(8))


def label(text: object, width: int = 28) -> str:
    """Text for an axis, a legend or a hover box."""
    plain = "".join(c if c.isprintable() else " " for c in str(text))
    return html.escape(plain if len(plain) <= width else plain[: width - 1] + "…", quote=False)


def _figure(data: list[dict[str, Any]], x: str, y: str, **layout: Any) -> Figure:
    axes = {
        "xaxis": {"title": {"text": x}, **layout.pop("xaxis", {})},
        "yaxis": {"title": {"text": y}, **layout.pop("yaxis", {})},
    }
    return {"data": data, "layout": {"height": 280, "showlegend": False, **axes, **layout}}


def search_curve(trials: Sequence[Trial], metric: str, over: str = "trials") -> Figure:
    """Every trial and the best so far. over: ``trials``, or ``seconds`` of training, summed over workers.

    Trials without a score, and scores far below the rest, stand on the floor.
    """
    spent = np.cumsum([t.seconds for t in trials]) if over == "seconds" else np.arange(1, len(trials) + 1)
    scores = np.array([np.nan if t.score is None else t.score for t in trials], dtype=float)
    known = scores[np.isfinite(scores)]
    low, high = _range(known)
    floor = low - 0.06 * (high - low)

    def shown(values: Any) -> list[float]:
        return [as_metric(metric, float(v)) or 0.0 for v in values]

    data = []
    families = list(dict.fromkeys(t.candidate.family for t in trials))
    for i, family in enumerate(families):
        of = [j for j, t in enumerate(trials) if t.candidate.family == family and np.isfinite(scores[j])]
        for symbol, some in (
            ("circle", [j for j in of if scores[j] >= low]),
            ("triangle-down", [j for j in of if scores[j] < low]),
        ):
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": label(family),
                    "legendgroup": str(i),
                    "showlegend": symbol == "circle",
                    "x": spent[some].tolist(),
                    "y": shown(np.maximum(scores[some], low)),
                    "text": [_hover(trials[j], metric) for j in some],
                    "hoverinfo": "text",
                    "marker": {"color": COLOURS[i % len(COLOURS)], "size": 8, "opacity": 0.85, "symbol": symbol},
                }
            )
    failed = np.flatnonzero(~np.isfinite(scores))
    if len(failed):
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "no score",
                "x": spent[failed].tolist(),
                "y": shown(np.full(len(failed), floor)),
                "text": [_hover(trials[j], metric) for j in failed.tolist()],
                "hoverinfo": "text",
                "marker": {"color": "var:bad", "size": 8, "symbol": "x"},
            }
        )
    if len(known):
        best = np.fmax.accumulate(scores)
        kept = np.isfinite(best)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "best so far",
                "x": spent[kept].tolist(),
                "y": shown(np.maximum(best[kept], low)),
                "hoverinfo": "skip",
                "line": {"shape": "hv", "width": 2, "color": "var:ink"},
            }
        )
    ticks = {"rangemode": "tozero", **({"dtick": 1} if over == "trials" and len(trials) < 10 else {})}
    x = "trials" if over == "trials" else "seconds of training, all workers together"
    return _figure(data, x, metric_name(metric), showlegend=True, xaxis=ticks)


def stairs(name: str, x: list[float], y: list[float], place: int) -> dict[str, Any]:
    """One of several lines that show the best so far."""
    look = {"line": {"shape": "hv", "width": 2, "color": COLOURS[place % len(COLOURS)]}, "marker": {"size": 5}}
    return {"type": "scatter", "mode": "lines+markers", "name": label(name), "x": x, "y": y, **look}


def over(x: str, metric: str, data: list[dict[str, Any]]) -> Figure:
    """Lines of a metric, each with its name."""
    return _figure(data, x, f"{metric_name(metric)} (validation)", showlegend=True)


def front(trials: Sequence[Trial], best: Sequence[Trial], metric: str) -> Figure:
    """Score against latency of every measured trial; ``best``, from the fastest on, are joined by a line."""
    on = {t.number for t in best}
    rest = [t for t in trials if t.score is not None and t.latency_ms is not None and t.number not in on]
    scores = np.array([t.score for t in (*rest, *best)], dtype=float)
    low, _ = _range(scores)

    def points(of: Sequence[Trial], mode: str, colour: str, size: int) -> dict[str, Any]:
        return {
            "type": "scatter",
            "mode": mode,
            "x": [t.latency_ms for t in of],
            "y": [as_metric(metric, max(float(t.score or 0.0), low)) or 0.0 for t in of],
            "text": [_hover(t, metric) for t in of],
            "hoverinfo": "text",
            "line": {"color": colour, "shape": "hv"},
            "marker": {"color": colour, "size": size},
        }

    data = [points(rest, "markers", "var:muted", 6), points(best, "lines+markers", COLOURS[0], 9)]
    return _figure(data, "latency of one row, ms", metric_name(metric), xaxis={"type": "log"})


def _range(scores: np.ndarray) -> tuple[float, float]:
    """Lowest and highest score to draw: one hopeless network must not flatten all others."""
    if not len(scores):
        return 0.0, 1.0
    high, middle, low = float(scores.max()), float(np.median(scores)), float(scores.min())
    low = max(low, high - 6 * (high - middle)) if high > middle else low
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _hover(trial: Trial, metric: str) -> str:
    value = as_metric(metric, trial.score)
    lines = [
        f"trial {trial.number}: {label(trial.candidate.family)}",
        f"{metric_name(metric)} {number(value)}" if value is not None else label(trial.status),
        *(f"{label(k)}: {label(v)}" for k, v in list(trial.candidate.choices.items())[:12]),
    ]
    if trial.error:
        lines.append(label(trial.error, 80))
    return "<br>".join(lines)


def learning_curves(trials: Sequence[Trial], metric: str) -> Figure | None:
    """The score after each epoch, of the given trials; None when none has two epochs."""
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": f"trial {t.number} ({label(t.candidate.family)})",
            "x": list(range(1, len(t.curve) + 1)),
            "y": [as_metric(metric, v) if np.isfinite(v) else None for v in t.curve],
            "line": {"color": COLOURS[i % len(COLOURS)], "width": 2},
            "marker": {"size": 5},
        }
        for i, t in enumerate(trials)
        if len(t.curve) > 1
    ]
    if not data:
        return None
    return _figure(data, "epochs", f"{metric_name(metric)} (validation)", showlegend=True)


def confusion(y: np.ndarray, guess: np.ndarray, classes: Sequence[str]) -> Figure:
    """Rows by true and predicted class, coloured by the share of the true class.

    y, guess: class index (rows,). With many classes, those with most mistakes.
    """
    k = len(classes)
    counts = np.bincount(y * k + guess, minlength=k * k).reshape(k, k)
    kept = np.arange(k)
    if k > MOST_CLASSES:
        wrong = counts.sum(0) + counts.sum(1) - 2 * np.diag(counts)
        kept = np.sort(np.argsort(-wrong, kind="stable")[:MOST_CLASSES])
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    counts, share = counts[np.ix_(kept, kept)], share[np.ix_(kept, kept)]
    names = _distinct([label(classes[i], 20) for i in kept.tolist()])
    data = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": np.round(share, 4).tolist(),
        "customdata": counts.tolist(),
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "showscale": False,
        "colorscale": [[0, "var:cell0"], [1, "var:cell1"]],
        "hovertemplate": "true %{y}<br>predicted %{x}<br>%{customdata} rows, %{z:.1%} of the class<extra></extra>",
    }
    if len(kept) <= 15:
        data |= {"text": [[str(c) if c else "" for c in row] for row in counts.tolist()], "texttemplate": "%{text}"}
    return _figure(
        [data],
        "predicted",
        "true",
        height=max(280, min(760, 100 + 22 * len(kept))),
        xaxis={"type": "category", "showgrid": False},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False},
    )


def _distinct(names: list[str]) -> list[str]:
    """Cut names may coincide, and plotly would merge their rows."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return out


def reliability(y: np.ndarray, p: np.ndarray, bins: int = 10) -> Figure:
    """How often the model is right when it says how sure it is. y: (rows,), p: (rows, classes)."""
    confidence, right = p.max(1), p.argmax(1) == y
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
    rows = np.bincount(place, minlength=bins)
    used = np.flatnonzero(rows)
    said = np.bincount(place, confidence, bins)[used] / rows[used]
    hits = np.bincount(place, right, bins)[used] / rows[used]
    low, high = _wilson(hits, rows[used])
    return _figure(
        [
            _diagonal(0.0, 1.0),
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": said.tolist(),
                "y": hits.tolist(),
                "customdata": rows[used].tolist(),
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": (high - hits).tolist(),
                    "arrayminus": (hits - low).tolist(),
                    "color": "var:muted",
                    "thickness": 1,
                    "width": 3,
                },
                "line": {"color": "var:c0", "width": 2},
                "marker": {"size": (7 + 15 * np.sqrt(rows[used] / rows.sum())).tolist(), "color": "var:c0"},
                "hovertemplate": "said %{x:.1%}, right %{y:.1%}<br>%{customdata} rows<extra></extra>",
            },
        ],
        "confidence that the model states",
        "share that is right",
        xaxis={"range": [-0.02, 1.02], "tickformat": ".0%"},
        yaxis={"range": [-0.02, 1.04], "tickformat": ".0%"},
    )


def _wilson(share: np.ndarray, rows: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a share of ``rows`` draws (Wilson 1927), both (n,)."""
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return np.minimum(middle - half, share), np.maximum(middle + half, share)


def predicted_true(y: np.ndarray, value: np.ndarray) -> Figure:
    """Predicted against true values, both (rows,); at most 2,000 rows, evenly chosen."""
    rows = _some(len(y))
    low, high = float(min(y.min(), value.min())), float(max(y.max(), value.max()))
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": y[rows].tolist(),
        "y": value[rows].tolist(),
        "marker": {"size": 6, "opacity": 0.6, "color": "var:c0"},
        "hovertemplate": "true %{x:.4g}<br>predicted %{y:.4g}<extra></extra>",
    }
    return _figure([_diagonal(low, high), points], "true", "predicted")


def residuals(y: np.ndarray, value: np.ndarray) -> Figure:
    """How the errors (predicted - true) are spread; both (rows,)."""
    counts, edges = np.histogram(value - y, bins=min(40, max(8, int(np.sqrt(len(y))))))
    bars = {
        "type": "bar",
        "x": ((edges[1:] + edges[:-1]) / 2).tolist(),
        "y": counts.tolist(),
        "width": np.diff(edges).tolist(),
        "marker": {"color": "var:c0", "opacity": 0.8},
        "hovertemplate": "%{x:.4g}: %{y} rows<extra></extra>",
    }
    return _figure([bars], "predicted − true", "rows", bargap=0.05)


def importance(found: Sequence[Mapping[str, Any]], change: str) -> Figure:
    """A bar per field, the longest on top, each with two standard errors. ``found``: as in result.json."""
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [f["mean"] for f in found],
        "y": _distinct([label(f["field"], 40) for f in found]),
        "error_x": {
            "type": "data",
            "array": [2 * f["error"] for f in found],
            "color": "var:muted",
            "thickness": 1,
            "width": 3,
        },
        "marker": {"color": "var:c0", "opacity": 0.8},
        "hovertemplate": "%{y}: %{x:.4g} ± %{error_x.array:.2g}<extra></extra>",
    }
    return _figure(
        [bars],
        f"{change} by",
        "",
        height=64 + 21 * len(found),
        bargap=0.35,
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False},
    )


def beside(names: Sequence[str], values: Sequence[float], bands: Sequence[Sequence[float] | None], of: str) -> Figure:
    """A point per name, the first on top, each with its interval (low, high) where there is one."""
    ends = [(value, value) if band is None else (band[0], band[1]) for value, band in zip(values, bands, strict=True)]
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": [*values],
        "y": _distinct([label(name, 40) for name in names]),
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - value for (_, high), value in zip(ends, values, strict=True)],
            "arrayminus": [value - low for (low, _), value in zip(ends, values, strict=True)],
            "color": "var:muted",
            "thickness": 1,
            "width": 4,
        },
        "marker": {"color": "var:c0", "size": 10},
        "hovertemplate": "%{y}: %{x:.4g}<extra></extra>",
    }
    axis = {"type": "category", "autorange": "reversed"}
    return _figure([points], of, "", height=110 + 34 * len(names), yaxis=axis)


def _diagonal(low: float, high: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [low, high],
        "y": [low, high],
        "hoverinfo": "skip",
        "line": {"color": "var:muted", "width": 1, "dash": "dot"},
    }


def _some(rows: int) -> np.ndarray:
    return np.unique(np.linspace(0, rows - 1, min(rows, MOST_POINTS)).astype(int))
