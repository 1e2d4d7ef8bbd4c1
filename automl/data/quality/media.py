"""Faults of images, sounds and series: blank, cut off, silent, not finite, with holes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from automl.data.quality.findings import MAX_ROWS, Step
from automl.data.quality.view import Proposal, View, finding, share
from automl.types import Modality

_BLOCK = 256
_BAD_FILE = re.compile(r"unreadable|corrupt|truncated|broken|damaged|could not|cannot|skipped", re.IGNORECASE)


def source_notes(view: View) -> Iterator[Proposal]:
    """What the source says it could not read."""
    for note in view.dataset.notes:
        if _BAD_FILE.search(note):
            number = re.search(r"\d[\d,]*", note)
            count = int(number.group().replace(",", "")) if number else 1
            yield Proposal(
                finding("unreadable_files", "warning", count, "files", note, repair="the source left them out")
            )


def modality_of(view: View, name: str) -> Modality:
    """What the source says of an array, else what its type and shape suggest."""
    array = view.dataset.arrays[name]
    told = view.modality(name)
    if told is not None:
        return told
    if array.dtype == np.uint8 and array.ndim >= 3:
        return "image"
    return "series" if array.ndim == 3 else "tabular"


def media(view: View) -> Iterator[Proposal]:
    """Every array of the data set, on the seen rows, in blocks."""
    for name, array in view.dataset.arrays.items():
        kind = modality_of(view, name)
        facts = _facts(array, view.seen, tail=kind == "image")
        yield from _infinite(view, name, facts)
        yield from _holes(view, name, facts, kind)
        yield from _blank(view, name, facts, kind)
        if kind == "image":
            yield from _cut_off(view, name, facts)


def _facts(array: np.ndarray, seen: np.ndarray, tail: bool) -> dict[str, np.ndarray]:
    """Per row: whether it has infinite values, its share of missing ones, its range, the share of equal last
    lines.
    """
    n = len(seen)
    facts = {k: np.zeros(n) for k in ("infinite", "missing", "range", "tail")}
    for start in range(0, n, _BLOCK):
        block = np.asarray(array[seen[start : start + _BLOCK]])
        here = slice(start, start + len(block))
        flat = block.reshape(len(block), -1)
        if block.dtype.kind == "f":
            facts["infinite"][here] = np.isinf(flat).any(axis=1)
            facts["missing"][here] = _inner_missing(block)
            finite = np.isfinite(flat)
            low = np.where(finite, flat, np.inf).min(axis=1)
            high = np.where(finite, flat, -np.inf).max(axis=1)
            facts["range"][here] = np.where(finite.any(axis=1), high - low, np.nan)
        else:
            facts["range"][here] = flat.max(axis=1).astype(np.float64) - flat.min(axis=1)
        if tail:
            facts["tail"][here] = _equal_tail(block)
    return facts


def _inner_missing(block: np.ndarray) -> np.ndarray:
    """Share of missing values before the last one that is there; the rest is padding of unequal lengths."""
    missing = np.isnan(block.reshape(len(block), -1, block.shape[-1]))
    there = ~np.logical_and.reduce(missing, axis=1)
    last = block.shape[-1] - there[:, ::-1].argmax(axis=1)
    length = np.where(np.logical_or.reduce(there, axis=1), last, 0)
    inside = np.arange(block.shape[-1]) < length[:, None]
    holes = (missing & inside[:, None, :]).sum(axis=(1, 2))
    return holes / np.maximum(length * missing.shape[1], 1)


def _equal_tail(block: np.ndarray) -> np.ndarray:
    """Share of an image's height, from the bottom, that is all of one colour: what a decoder fills in when
    data ends.
    """
    if block.ndim == 4:
        block = block if block.shape[-1] in (1, 3, 4) else np.moveaxis(block, 1, -1)
    else:
        block = block[..., None]
    same = (block == block[:, -1:, -1:, :]).all(axis=(2, 3))
    return same[:, ::-1].argmin(axis=1) / block.shape[1] * ~same.all(axis=1)


def _infinite(view: View, name: str, facts: dict[str, np.ndarray]) -> Iterator[Proposal]:
    bad = np.flatnonzero(facts["infinite"])
    if len(bad):
        rows = view.row_numbers(view.seen[bad[:MAX_ROWS]])
        text = f"'{name}' has infinite values in {len(bad):,} rows."
        yield Proposal(
            finding("infinite_values", "warning", len(bad), name, text, repair="count them as missing", rows=rows),
            steps=(Step("finite", name),),
        )


def _holes(view: View, name: str, facts: dict[str, np.ndarray], kind: Modality) -> Iterator[Proposal]:
    holes = facts["missing"]
    bad = np.flatnonzero(holes > 0)
    if len(bad):
        rows = view.row_numbers(view.seen[bad[np.argsort(-holes[bad], kind="stable")][:MAX_ROWS]])
        text = (
            f"'{name}' has holes in {len(bad):,} rows ({share(len(bad), len(holes))}); "
            f"{share(float(holes.mean()), 1)} of its values are missing."
        )
        yield Proposal(
            finding(
                "missing_values",
                "warning" if holes.mean() > 0.5 else "info",
                len(bad),
                name,
                text,
                repair="the encoding fills them in and marks them"
                if kind == "series"
                else "the encoding fills them in",
                rows=rows,
            )
        )


def _blank(view: View, name: str, facts: dict[str, np.ndarray], kind: Modality) -> Iterator[Proposal]:
    flat = np.isnan(facts["range"]) | (facts["range"] == 0)
    bad = np.flatnonzero(flat)
    if not len(bad):
        return
    what = {"image": "blank (one colour)", "audio": "silent"}.get(kind, "constant")
    finding_name = {"image": "corrupt_images", "audio": "corrupt_audio"}.get(kind, "constant_rows")
    rows = view.row_numbers(view.seen[bad])
    text = f"{len(bad):,} rows of '{name}' ({share(len(bad), len(flat))}) are {what}."
    yield Proposal(
        finding(
            finding_name,
            "warning",
            len(bad),
            name,
            text,
            [{"row": r} for r in rows[:5]],
            "drop them from training",
            rows,
        ),
        drop=view.seen[bad],
    )


def _cut_off(view: View, name: str, facts: dict[str, np.ndarray]) -> Iterator[Proposal]:
    """Images whose lower part is one colour, where hardly any other image is like that."""
    tail = facts["tail"]
    if len(tail) < 20 or np.quantile(tail, 0.9) > 0.1:
        return
    bad = np.flatnonzero(tail >= 0.25)
    if not len(bad):
        return
    bad = bad[np.argsort(-tail[bad], kind="stable")]
    rows = view.row_numbers(view.seen[bad])
    text = f"{len(bad):,} images of '{name}' seem cut off: their lower part is one colour."
    yield Proposal(
        finding(
            "corrupt_images",
            "warning",
            len(bad),
            name,
            text,
            [{"row": r, "share cut off": round(float(tail[i]), 2)} for r, i in zip(rows[:5], bad, strict=False)],
            "drop them from training",
            rows,
        ),
        drop=view.seen[bad],
    )
