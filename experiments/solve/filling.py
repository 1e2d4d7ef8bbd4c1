"""What a bundle holds beside graph and encoding: how sure it is, what it is tried with, what it tells people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.dataset import Dataset, taken
from automl.data.prepare import Prepared
from automl.deploy.bundle import CALIBRATION, META, MODEL, Bundle, session_of
from automl.deploy.card import CARD, NO_RAW, card, class_rows
from automl.deploy.examples import ROWS_NAME, raw_row, read_examples, write_examples
from automl.deploy.explain import write_background
from automl.deploy.fold import RAW, fold, obstacle
from automl.deploy.graph import answers
from automl.deploy.install import dockerfile, requirements_text
from automl.deploy.reference import reference_of
from automl.deploy.rows import FastRows
from automl.deploy.runtime import wheel_name
from automl.deploy.schema import schema_of
from automl.errors import UserError
from automl.files import write_atomically
from automl.monitor.counter import reference_in
from automl.serial import dumps
from automl.training.predictor import Deployed, outputs
from automl.uncertainty.sets import Calibration
from experiments.solve.data_card import classes_told, inputs_told

EXAMPLES = 3
"""Raw rows with the model's answers, which a bundle is tried with when it is loaded."""
JUDGED = 3_000
"""Rows whose answers later ones are compared with, at most: they tell a share to a point."""
REFERENCE, SCHEMA = "reference.json", "schema.json"


def fill(
    folder: Path,
    prepared: Prepared,
    dataset: Dataset,
    predictor: Deployed,
    calibration: Calibration | None,
    weights: np.ndarray | None,
    judged: np.ndarray | None,
) -> list[np.ndarray]:
    """Write all that belongs to the model into a bundle that is being made; what its graph says of the test rows.

    ``dataset``: as it was loaded. ``weights``: of the decision. ``judged``: answers for the rows that judged the model,
    each once, where there are no test rows.
    """
    encoding, task, test = prepared.encoding, prepared.task, prepared.parts.test
    session = session_of(folder / MODEL, 0)
    names = [i.name for i in session.get_inputs()]
    told = answers(session, dict(zip(names, test.inputs, strict=True)))
    if calibration is not None:
        write_atomically(folder / CALIBRATION, calibration.to_json())
    fold(folder, encoding, task, None if weights is None else weights.tolist(), session)
    write_background(folder, prepared.learned.inputs)
    example = examples(folder, prepared, dataset, predictor)
    schema = schema_of(encoding, task, example)
    write_atomically(folder / SCHEMA, dumps(schema, indent=1) + "\n")
    # Of the test rows, as these networks learned from all others: what they said of those before they were trained once
    # more is less sure, so that every later request would seem to have moved (bench/drift: trained again).
    if judged is None:
        judged = told[0][:: -(-len(test) // JUDGED)]
    learned, parts = prepared.learned, prepared.parts
    others = [part for part in (parts.valid, parts.test, parts.held) if part is not None]
    unseen = [taken(part, np.flatnonzero(~np.isin(part.rows, learned.rows))) for part in others]
    reference = reference_of(encoding, prepared.dataset, learned, judged, task, unseen)
    write_atomically(folder / REFERENCE, dumps(reference) + "\n")
    sounds = any(i.modality == "audio" for i in task.inputs)
    write_atomically(folder / "requirements.txt", requirements_text(sounds=sounds))
    write_atomically(folder / "Dockerfile", dockerfile(wheel_name()))
    return told


def examples(folder: Path, prepared: Prepared, dataset: Dataset, predictor: Deployed) -> dict[str, Any] | None:
    """Write some raw rows with their answers; the first of them, None where none can be asked."""
    encoding = prepared.encoding
    names = [field["name"] for field in encoding.fields]
    positions = prepared.given[np.unique(prepared.parts.valid.rows)[:EXAMPLES]]
    try:
        rows = [raw_row(dataset, int(at), names) for at in positions]
        encoded = FastRows(encoding).encode(rows) or encoding.transform(encoding.dataset(rows))
    except UserError:  # as of a picture that could not be decoded
        return None
    said = outputs(predictor, encoded)[0]
    if prepared.task.kind == "regression":
        said = encoding.decode(said)
    written = write_examples(folder, dataset, positions, said, unit=predictor.unit, names=names)
    return written.rows[0] if written.rows else None


def write_card(loaded: Bundle, prepared: Prepared, result: Mapping[str, Any], predictions: np.ndarray) -> None:
    """README.md of a bundle, with what is known once it was judged. ``predictions``: of the test rows."""
    bundle, task = loaded.folder, prepared.task
    facts: dict[str, Any] = {
        **result,
        "target": str(prepared.dataset.target.name),
        "columns": len(loaded.encoding.fields),
        "digest": loaded.meta["digest"],
        "answers": loaded.variant,
        "files": [*sorted(f.name for f in bundle.iterdir() if f.name != META), META],
    }
    facts["inputs"] = list(inputs_told(loaded.encoding.fields, reference_in(loaded)))
    facts["balance"] = classes_told(task, prepared.learned.y[prepared.learned.once])
    if RAW not in facts["files"]:
        why = obstacle(loaded.encoding) or "it would not answer the same"
        facts["no_raw"] = f"{NO_RAW}, which takes raw columns in other languages: {why}"
    if ROWS_NAME in loaded.meta["files"] and (rows := read_examples(bundle).rows):
        facts["example"] = rows[0]
    if task.kind != "regression" and len(predictions):
        decided = predictions if loaded.decision is None else predictions * np.asarray(loaded.decision)
        facts["classes"] = class_rows(task.classes, prepared.parts.test.y, decided)
    if loaded.decision is not None:
        facts["decision"] = (
            "The answer is the class whose probability is largest for its share of the training rows, as the metric "
            "counts rare classes fully"
        )
    write_atomically(bundle / CARD, card(facts))
