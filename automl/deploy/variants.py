"""Variants of a bundle's graph, kept beside it: each a file with a calibration of its own.

``model.onnx``, the whole ensemble in fp32, always stays. meta.json lists the variants and names the one that answers:

"variants": [{"name": "2-fp32", "file": "model.2-fp32.onnx", "members": 2, "precision": "fp32", "needs": [],
              "calibration": "calibration.2-fp32.json", "decision": [], "agreement": {...}, ...}], "chosen": "2-fp32"
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl import serial
from automl.deploy import reference
from automl.deploy.bundle import CALIBRATION, META, Bundle, checksum_of, digest_of
from automl.deploy.card import CARD, renewed
from automl.deploy.examples import ROWS_NAME, read_examples
from automl.deploy.judge import Ensemble, Rows, answered, shifted, with_session
from automl.deploy.optimise import TARGETS, Variant, best
from automl.files import write_atomically
from automl.types import Task
from automl.uncertainty.calibrate import Answers, calibrate
from automl.uncertainty.sets import Calibration


@dataclass(frozen=True)
class Kept:
    """A variant that is kept: its graph, and how sure it is, None where nobody knows. ``outputs``: see ``counted``."""

    variant: Variant
    graph: bytes
    calibration: Calibration | None
    outputs: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(cls, of: Ensemble, rows: Rows, variant: Variant) -> Kept:
        """Rows that were held out are predicted by the variant. Of others, what the members said before they learned
        from them is moved by the variant's change; where that is lost nothing honest can be told.
        """
        assert variant.path is not None
        graph = variant.path.read_bytes()
        if rows.held is None and not rows.honest:
            return cls(variant, graph, None)
        now = answered(of.bundle, variant.path, rows.inputs)
        told = shifted(of, rows, of.said(rows.inputs), variant.members, now)
        held = None if rows.held is None else answered(of.bundle, variant.path, rows.held.inputs)
        outputs = counted(of.bundle.task, told if held is None else held)
        return cls(variant, graph, calibrated(of, rows, told, held), outputs)


def keep(of: Ensemble, rows: Rows, found: Sequence[Variant], target: str) -> str | None:
    """Write the variants that are best by any target into the bundle; name of that which answers from now on.

    None: ``model.onnx`` does, because no variant is better, or because the bundle knows how sure it is and the variant
    would not: no rows are left to tell.
    """
    whole, chosen = found[0], best(found, target)
    wanted = {v.name: v for t in TARGETS if (v := best(found, t)) is not whole}
    kept = [Kept.of(of, rows, variant) for variant in wanted.values()]
    unsure = {k.variant.name for k in kept if k.calibration is None and CALIBRATION in of.bundle.meta["files"]}
    answers = None if chosen is whole or chosen.name in unsure else chosen.name
    write(of.bundle, kept, answers)
    return answers


Told = Sequence[np.ndarray]


def calibrated(of: Ensemble, rows: Rows, told: Told, held: Told | None) -> Calibration | None:
    """How sure a variant is, by rows of the kind that told it of the whole ensemble; None where that is not asked.

    ``told``, ``held``: see ``Kept.of``.
    """
    if CALIBRATION not in of.bundle.meta["files"]:
        return None
    apart = None
    if rows.held is not None and held is not None:
        apart = answers_of(held, rows.held.y, rows.held.rows)
    return calibrate(
        *(of.bundle.task, answers_of(told, rows.y, rows.rows), apart),
        source="holdout" if apart is not None else rows.source,
        alike=rows.alike,
        temperature=of.temperature,
        shares=rows.shares,
    )


def counted(task: Task, told: Told) -> list[dict[str, Any]]:
    """Its answers as the reference has those of the whole model: of fewer members the probabilities are others, and
    every later request would seem to have moved.
    """
    return [reference.binned(measure) for measure in reference.answered(task, told[0])]


def answers_of(told: Sequence[np.ndarray], y: np.ndarray, rows: np.ndarray | None) -> Answers:
    return Answers(told[0], y, told[1] if len(told) > 1 else None, rows)


def write(bundle: Bundle, kept: Sequence[Kept], chosen: str | None) -> None:
    """Replace the bundle's variants. Whenever this is killed, what lies in the folder loads."""
    meta: dict[str, Any] = json.loads((bundle.folder / META).read_text(encoding="utf-8"))
    # Without those from before, first: meta.json never names a file that is not the one it describes.
    gone = {v[name] for v in meta.pop("variants", ()) for name in ("file", "calibration") if v.get(name)}
    gone -= {CALIBRATION}
    before = meta.pop("chosen", None)
    if gone or before is not None:
        meta["files"] = {name: checksum for name, checksum in meta["files"].items() if name not in gone}
        _write_meta(bundle.folder, meta)
    for name in gone:
        (bundle.folder / name).unlink(missing_ok=True)
    if kept:
        _add(bundle, meta, kept, chosen)
    _renew_card(bundle.folder)


def _add(bundle: Bundle, meta: dict[str, Any], kept: Sequence[Kept], chosen: str | None) -> None:
    """Write the variants, and meta.json last."""
    meta["variants"], meta["chosen"] = [], chosen
    for one in kept:
        name = one.variant.name
        files: dict[str, bytes | str] = {f"model.{name}.onnx": one.graph}
        entry = {"file": f"model.{name}.onnx", "calibration": None, **one.variant.plain()}
        del entry["times"]  # of this machine, on this day
        entry["decision"], entry["outputs"] = list(bundle.meta.get("decision", ())), list(one.outputs)
        if one.calibration is not None:
            entry |= {"calibration": f"calibration.{name}.json", "decision": list(one.calibration.decision)}
            files[f"calibration.{name}.json"] = one.calibration.to_json()
        for file, content in files.items():
            write_atomically(bundle.folder / file, content)
            meta["files"][file] = checksum_of(bundle.folder / file)
        if ROWS_NAME in bundle.meta["files"]:
            told = with_session(bundle, bundle.folder / entry["file"], 1)
            entry["examples"] = told.answers_of_examples(read_examples(bundle.folder).rows).tolist()
        meta["variants"].append(entry)
    _write_meta(bundle.folder, meta)


def _renew_card(folder: Path) -> None:
    """What the card tells of files and digest; one that is not there yet, or no text, is left alone."""
    try:
        before = (folder / CARD).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return
    meta = json.loads((folder / META).read_text(encoding="utf-8"))
    after = renewed(before, meta, [*sorted(f.name for f in folder.iterdir() if f.name != META), META])
    if after != before:
        write_atomically(folder / CARD, after)


def _write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    plain = json.loads(serial.dumps({name: value for name, value in meta.items() if name != "digest"}))
    write_atomically(folder / META, serial.dumps({**plain, "digest": digest_of(plain)}, indent=2) + "\n")
