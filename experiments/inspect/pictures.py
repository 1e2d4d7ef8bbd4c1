"""Rows of a data set as something to look at: a picture, a curve, or a few words."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
from PIL import Image

from automl.data.dataset import Dataset
from automl.types import Modality
from experiments.report.page import Html, tag
from experiments.report.words import amount

SIDE = 112
"""Smallest side of a picture in pixels; a smaller image is enlarged pixel by pixel, a larger one reduced to twice
it."""

MOST = 40
"""Longest side, in ``SIDE``, of a picture that is enlarged."""

_WIDTH, _HEIGHT = 180, 72
_MOST_COLUMNS, _MOST_CHANNELS, _MOST_STEPS = 8, 3, 400


def row_view(dataset: Dataset, row: int) -> Html:
    """What a row holds, each input in its own way. ``row``: position in the data set."""
    parts = [array_view(array[row], dataset.modalities.get(name)) for name, array in dataset.arrays.items()]
    parts += [cells_view(dataset, row)] if dataset.table.shape[1] else []
    return tag("div", *parts)


def array_view(values: np.ndarray, modality: Modality | None) -> Html:
    """One row of an array: a curve for a series, a picture for the rest."""
    values = np.asarray(values)
    if modality == "series" or values.ndim == 1:
        return curve(values.reshape(-1, values.shape[-1]))
    return tag("img", src=picture(values, upside_down=modality == "audio"), alt="", class_="row")


def picture(values: np.ndarray, upside_down: bool = False) -> str:
    """An image (h, w), (h, w, c) or (c, h, w) as the data URI of a PNG. Numbers are stretched to black and white."""
    values = np.asarray(values)
    if values.ndim == 3 and values.shape[0] in (1, 3, 4) and values.shape[-1] not in (1, 3, 4):
        values = np.moveaxis(values, 0, -1)
    if values.ndim == 3 and values.shape[-1] not in (3, 4):
        values = values.mean(axis=-1)
    if values.dtype != np.uint8:
        values = values.astype(np.float64)
        known = values[np.isfinite(values)].clip(-1e300, 1e300)
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        share = (np.nan_to_num(values, nan=low, posinf=high, neginf=low).clip(low, high) - low) / max(high - low, 1e-12)
        values = (255 * share).astype(np.uint8)
    made = Image.fromarray(np.ascontiguousarray(values[::-1] if upside_down else values))
    # A strip of a few pixels by thousands would be enlarged to a hundred megapixels.
    scale = min(SIDE / min(made.size), MOST * SIDE / max(made.size))
    if scale > 1:
        made = made.resize((round(made.width * scale), round(made.height * scale)), Image.Resampling.NEAREST)
    elif min(made.size) > 2 * SIDE or max(made.size) > MOST * SIDE:
        made.thumbnail((4 * SIDE, 2 * SIDE))
    buffer = io.BytesIO()
    made.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def curve(series: np.ndarray) -> Html:
    """The first channels of a series (channels, length) as lines."""
    step = max(1, series.shape[-1] // _MOST_STEPS)
    shown = np.asarray(series[:_MOST_CHANNELS, ::step], dtype=np.float64)
    finite = shown[np.isfinite(shown)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    x = np.linspace(2, _WIDTH - 2, shown.shape[-1])
    y = _HEIGHT - 4 - (shown - low) / max(high - low, 1e-12) * (_HEIGHT - 8)
    lines = []
    for i, channel in enumerate(y):
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, channel, strict=True) if np.isfinite(b))
        lines.append(tag("polyline", points=points, fill="none", stroke=f"var(--c{i})"))
    return tag("svg", *lines, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", class_="row")


def cells_view(dataset: Dataset, row: int) -> Html:
    """The cells of a row: text in full length up to 300 letters, other cells as name and value."""
    cells = dataset.table.iloc[row]
    texts = [c for c in cells.index if isinstance(cells[c], str) and (len(cells[c]) > 40 or len(cells) == 1)]
    parts = [tag("q", cells[c] if len(cells[c]) <= 300 else cells[c][:299] + "…") for c in texts]
    rest = [c for c in cells.index if c not in texts]
    pairs = [tag("span", tag("i", c), " ", _short(cells[c])) for c in rest[:_MOST_COLUMNS]]
    if len(rest) > _MOST_COLUMNS:
        pairs.append(tag("span", f"and {len(rest) - _MOST_COLUMNS} more", class_="note"))
    return tag("div", *parts, *pairs, class_="cells")


def _short(value: object) -> str:
    if value is None or value is pd.NA or value is pd.NaT:
        return "–"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%d %H:%M}"
    text = amount(float(value)) if isinstance(value, float | np.floating) else str(value)
    return text if len(text) <= 40 else text[:39] + "…"
