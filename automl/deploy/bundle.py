"""The bundle: a folder that holds all a prediction needs, and that runs without torch.

model.onnx              encoded inputs -> probabilities (rows, classes) or values (rows,): input_0, ... -> output; of an
                        ensemble of values also how much its members differ, in the target's unit (rows,): spread
encoding.json, ...      raw rows -> encoded inputs (``automl.data.encode``)
calibration.json        how sure the model is (``automl.uncertainty.sets``)
examples.json, ...      a few raw rows with the model's answers, which are asked when it is loaded
schema.json             JSON Schema of a raw row and of an answer
background.safetensors  some encoded training rows, which explanations compare with (``automl.deploy.explain``)
reference.json          counts of the training rows in bins, to find drift by (``automl.deploy.reference``)
model.NAME.onnx, ...    variants of the graph with calibrations of their own (``automl.deploy.variants``)
meta.json               task, inputs, versions, how well graph and network agree, checksums, digest
README.md               the model card; requirements.txt, Dockerfile: what it takes to run it elsewhere
level4_runtime-....whl  the code that reads all this, to install where the program is not (``automl.deploy.runtime``)

Format 1, which had no calibration, is still read.

>>> import tempfile, pandas as pd, torch
>>> from automl.data.dataset import Dataset
>>> from automl.deploy.export import export
>>> from automl.training.predictor import Predictor
>>> rows = Dataset("rent", pd.DataFrame({"rooms": [1, 3]}), pd.Series([400.0, 600.0], name="price"))
>>> encoding = Encoding.fit(rows, np.arange(2), kind="regression")
>>> task = Task("rent", "regression", encoding.inputs, 1, "r2")
>>> network = torch.nn.Linear(1, 1)
>>> _ = torch.nn.init.constant_(network.weight, 1.0), torch.nn.init.zeros_(network.bias)
>>> predictor = Predictor(network, task, 500.0, 100.0)  # mean and spread of the targets
>>> with tempfile.TemporaryDirectory() as folder:
...     made = export(Path(folder) / "bundle", predictor, task, encoding, encoding.transform(rows))
...     bundle = Bundle.load(made)  # all that is needed elsewhere: no torch
...     bundle.predict([{"rooms": 2}]).round()  # objects, a DataFrame, columns or an array
...     try:
...         bundle.predict({"room": 2})
...     except UserError as error:
...         print(error)
array([500.], dtype=float32)
column 'rooms' is absent from the rows; the model needs: rooms
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from automl import serial
from automl.data.encode.encoding import ARRAYS_NAME, JSON_NAME, Encoding
from automl.deploy.examples import ROWS_NAME, TOLERANCE, Row, check_examples, read_examples
from automl.deploy.explain import BACKGROUND, Explanation, explain, read_background
from automl.deploy.graph import answers
from automl.deploy.processor import features
from automl.deploy.rows import FastRows
from automl.errors import UserError
from automl.types import Task
from automl.uncertainty.sets import Calibration, decide

FORMATS = 1, 2
FORMAT = FORMATS[-1]
MODEL, META, CALIBRATION = "model.onnx", "meta.json", "calibration.json"
# Of the graph's inputs, where they may differ from the encoding's: texts were int64 before they were int32.
_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


@dataclass(frozen=True)
class Answer:
    """What a bundle says of rows.

    ``prediction``: class names or values (rows,). ``probabilities``: (rows, classes), None for values. ``sets``: bool
    (rows, classes), the classes that fit at the level asked. ``interval``: (rows, 2), of values at that level.
    ``credibility``: (rows,), how usual each row is, 0 to 1.
    """

    prediction: np.ndarray
    probabilities: np.ndarray | None = None
    sets: np.ndarray | None = None
    interval: np.ndarray | None = None
    credibility: np.ndarray | None = None


@dataclass(frozen=True)
class Bundle:
    """A bundle that was loaded. ``meta``: meta.json. Needs onnxruntime, not torch.

    ``variant``: what meta.json says of the one that answers, empty for ``model.onnx``.
    """

    folder: Path
    task: Task
    meta: Mapping[str, Any]
    session: onnxruntime.InferenceSession
    variant: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path | str, *, threads: int = 0, variant: str | None = None) -> Bundle:
        """Read a bundle. ``threads``: that one prediction may use, 0 for all.

        ``variant``: name or file of the graph that answers, ``model.onnx`` is the one that was exported; None: the one
        that meta.json chose where the processor has what it needs, else ``model.onnx``. Raises UserError when the
        bundle is absent, broken, changed or of another format, and when the graph does not answer the examples as it
        did when it was made.
        """
        folder = Path(folder)
        try:
            meta = json.loads((folder / META).read_text(encoding="utf-8"))
            if meta["format"] not in FORMATS:
                raise UserError(f"bundle {folder} has format {meta['format']!r}, not {FORMAT}; export the model again")
            for name, checksum in meta["files"].items():
                if Path(name).name != name or checksum_of(folder / name) != checksum:
                    raise UserError(f"{folder / name} is not the file that meta.json describes; export the model again")
            if meta["format"] > 1 and meta["digest"] != digest_of(meta):
                raise UserError(f"{folder / META} was changed: its digest is another; export the model again")
            task = serial.from_plain(Task, meta["task"])
            answering = variant_of(meta, variant)
            decision = answering.get("decision", meta.get("decision", ()))
            if len(decision) not in (0, len(task.classes)) or not np.isfinite(np.asarray(decision, dtype=float)).all():
                raise ValueError(f"decision {decision} is not a number for each class")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UserError(f"{folder} holds no readable bundle ({error}); export the model again") from error
        bundle = cls(folder, task, meta, session_of(folder / answering.get("file", MODEL), threads), answering)
        if ROWS_NAME in meta["files"]:
            bundle._try(*read_examples(folder))
        return bundle

    def _try(self, rows: list[Row], answers: np.ndarray, unit: float) -> None:
        """Raises UserError where it does not answer its examples as it did. A variant has answers of its own, which
        another processor may round by as much as 8 bits do; one of an earlier version has none.
        """
        if self.variant:
            answers = np.asarray(self.variant.get("examples", ()), dtype=np.float64)
            rows, apart = rows[: len(answers)], float(self.variant["agreement"]["max_difference"])
            unit *= 1 + apart / TOLERANCE
        check_examples(self.answers_of_examples, rows, answers, unit)

    def answers_of_examples(self, rows: list[Row]) -> np.ndarray:
        """In the form of examples.json: probabilities (rows, classes) or values (rows,)."""
        return self.predict(rows) if self.task.kind == "regression" else self.predict_proba(rows)

    @functools.cached_property
    def encoding(self) -> Encoding:
        """Raw rows -> encoded inputs."""
        self.unchanged(JSON_NAME, ARRAYS_NAME)
        return Encoding.load(self.folder)

    def unchanged(self, *names: str) -> None:
        """Raises UserError where these files are of another model by now: some are read when they are asked for first,
        and the folder may have been written anew since the graph was.
        """
        known = self.meta["files"]
        for name in names:
            path = self.folder / name
            if name in known and path.is_file() and checksum_of(path) != known[name]:
                raise UserError(f"{path} is of another model by now; load the bundle again")

    @functools.cached_property
    def fast(self) -> FastRows:
        """The same for one or a few plain rows, without pandas."""
        return FastRows(self.encoding)

    @functools.cached_property
    def calibration(self) -> Calibration:
        """How sure the model is. Raises UserError where the bundle does not know."""
        name = self.variant.get("calibration", CALIBRATION)
        if name not in self.meta["files"]:
            raise UserError(
                f"{self.folder} holds no calibration: made with objective.calibrate=none, or by an earlier version"
            )
        self.unchanged(name)
        try:
            return Calibration.from_json((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.folder} holds no readable calibration ({error}); export the model again") from error

    @functools.cached_property
    def decision(self) -> tuple[float, ...] | None:
        """Weights of the classes where the likeliest is not what is decided for (``automl.metrics.decision``)."""
        return tuple(self.variant.get("decision", self.meta.get("decision", ()))) or None

    @functools.cached_property
    def _graph_inputs(self) -> list[tuple[str, Any]]:
        """Name and type of each, in the task's order."""
        return [(i.name, _TYPES.get(i.type)) for i in self.session.get_inputs()]

    def predict_encoded(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Probabilities (rows, classes) or values (rows,), float32, for encoded inputs in the task's order."""
        return self.outputs_encoded(inputs)[0]

    def outputs_encoded(self, inputs: Sequence[np.ndarray], *, members: bool = False) -> list[np.ndarray]:
        """The same, and behind it how much the members differ (rows,), for an ensemble of values.

        ``members``: and behind that what each member of the ensemble said.
        """
        named = zip(self._graph_inputs, inputs, strict=True)
        typed = {n: a if t is None else a.astype(t, copy=False) for (n, t), a in named}
        return answers(self.session, typed, members=members)

    def predict(self, rows: Any) -> np.ndarray:
        """Class names (rows,) or values (rows,) for raw rows.

        ``rows``: a DataFrame, a list of objects (name -> value) or one of them, a mapping name -> column, or an array
        like that of training, whose first axis is the row; see ``automl.data.encode.rows``. Raises UserError that names
        what does not fit.
        """
        return self._decided(self._outputs(rows)[0])

    def predict_proba(self, rows: Any) -> np.ndarray:
        """Class probabilities (rows, classes) in the order of ``task.classes``. Raises UserError for regression."""
        if self.task.kind == "regression":
            raise UserError(f"{self.task.name} is a regression and has no probabilities; use predict")
        return self._outputs(rows)[0]

    def predict_set(self, rows: Any, level: float = 0.9, *, by_class: bool = False) -> np.ndarray:
        """Which classes fit each row: bool (rows, classes); the true one is among them for a share ``level`` of rows.

        ``by_class``: for that share of each class's rows. Raises UserError for regression, a level that the calibration
        rows are too few for, and a bundle without calibration. See ``Calibration.sets``.
        """
        if self.task.kind == "regression":
            raise UserError(f"{self.task.name} is a regression and has no sets of classes; use predict_interval")
        return self.calibration.sets(self._outputs(rows)[0], level, by_class=by_class)

    def predict_interval(self, rows: Any, level: float = 0.9) -> np.ndarray:
        """Ends (rows, 2) that hold the true value for a share ``level`` of rows, in the target's unit.

        Of two classes: between what the probability of the second lies, whatever the level. Raises UserError for more
        classes, and as ``predict_set``.
        """
        told = self._outputs(rows)
        if self.task.kind != "regression":
            return self.calibration.probability_interval(told[0])
        return self._interval(told, level)

    def credibility(self, rows: Any) -> np.ndarray:
        """How usual each row is, 0 to 1, (rows,): see ``Calibration.credibility``."""
        told = self._outputs(rows)
        return self.calibration.credibility(told[0], told[1] if len(told) > 1 else None)

    def answerable(self, rows: Any, error: float = 0.05) -> np.ndarray:
        """Which rows to answer so that at most a share ``error`` of the answers is wrong; the others go to a person.

        Bool (rows,). Raises UserError for regression. See ``Calibration.threshold``.
        """
        p = self.predict_proba(rows)
        return p[np.arange(len(p)), decide(p, self.decision)] >= self.calibration.threshold(error)

    def answer(self, rows: Any, level: float | None = None) -> Answer:
        """All that ``predict`` and its like say, rows being read once. ``level``: None for no sets and intervals."""
        return self.answer_of(self._outputs(rows), level)

    def answer_of(self, told: Sequence[np.ndarray], level: float | None = None) -> Answer:
        """The same of what ``outputs_encoded`` gave for the rows."""
        out, spread = told[0], told[1] if len(told) > 1 else None
        values = self.task.kind == "regression"
        known: dict[str, np.ndarray] = {} if values else {"probabilities": out}
        if level is not None:
            of = self.calibration
            known["credibility"] = of.credibility(out, spread)
            known |= {"interval": self._interval(told, level)} if values else {"sets": of.sets(out, level)}
        return Answer(self._decided(out), **known)

    def explain(self, row: Any, top: int = 5) -> Explanation:
        """Which fields moved the answer for one row most, and how far: see ``automl.deploy.explain``.

        Raises UserError for anything but one row, and where the bundle has no reference rows (format 1).
        """
        return explain(self, row, against=self.background, top=top)

    @functools.cached_property
    def background(self) -> dict[int, np.ndarray]:
        """What ``explain`` compares with. Raises UserError where the bundle has none (format 1)."""
        self.unchanged(BACKGROUND)
        return read_background(self.folder)

    def _interval(self, told: Sequence[np.ndarray], level: float) -> np.ndarray:
        """With the center that ``predict`` adds too."""
        ends = self.calibration.intervals(told[0], told[1] if len(told) > 1 else None, level)
        return self.encoding.decode(ends)

    def _decided(self, out: np.ndarray) -> np.ndarray:
        return self.encoding.decode(out if self.task.kind == "regression" else decide(out, self.decision))

    def _outputs(self, rows: Any) -> list[np.ndarray]:
        return self.outputs_encoded(self.encode(rows))

    def encode(self, rows: Any) -> tuple[np.ndarray, ...]:
        """Raw rows in any form that ``predict`` takes to encoded inputs, without pandas where that can be done."""
        encoded = self.fast.encode(rows)
        return self.encoding.transform(self.encoding.dataset(rows)) if encoded is None else encoded


def session_of(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A graph that was loaded. ``threads``: that one call may use, 0 for all."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def variant_of(meta: Mapping[str, Any], asked: str | None) -> Mapping[str, Any]:
    """Which graph answers, see ``Bundle.load``; empty for ``model.onnx``. Raises UserError for one that cannot."""
    known = {str(v["name"]): v for v in meta.get("variants", ())}
    wanted = known.get(str(meta.get("chosen"))) if asked is None else {MODEL: {}, **known}.get(asked)
    if asked is not None and wanted is None:
        wanted = next((v for v in known.values() if v["file"] == asked), None)
        if wanted is None:
            raise UserError(f"variant={asked} is not in the bundle; it has {', '.join([MODEL, *known])}")
    if wanted is None:
        return {}
    if lacking := sorted(set(wanted.get("needs", ())) - features()):
        if asked is None:
            return {}
        raise UserError(f"variant={asked} needs a processor with {', '.join(lacking)}; load {MODEL}")
    if wanted and wanted["file"] not in meta["files"]:
        raise ValueError(f"{wanted['file']} has no checksum")
    return wanted


def checksum_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(meta: Mapping[str, Any]) -> str:
    """What a model is, in 64 hex digits: of its files, its task, and how it decides. Two equal ones are one."""
    said = {name: meta.get(name) for name in ("format", "task", "files", "decision")}
    said |= {name: meta[name] for name in ("variants", "chosen") if name in meta}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
