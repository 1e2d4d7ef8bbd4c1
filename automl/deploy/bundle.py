"""The bundle: a folder that holds all a prediction needs, and that runs without torch.

model.onnx              encoded inputs -> probabilities (rows, classes) or values (rows,): input_0, ... -> output
encoding.json, ...      raw rows -> encoded inputs (``automl.data.encode``)
meta.json               task, inputs, versions, how well graph and network agree, checksums
level4_runtime-....whl  the code that reads all this, to install where the program is not (``automl.deploy.runtime``)
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from automl import serial
from automl.data.encode.encoding import Encoding
from automl.errors import UserError
from automl.types import Task

FORMAT = 1
MODEL, META = "model.onnx", "meta.json"
BATCH = 1024  # rows answered at once, at most
NUMBERS = 2**15  # of them together: a graph's widest layer has some hundred times as many, which is to fit in 64 MB
SERIES = 16  # times as wide is that of a graph of series; on 500 steps 4 rows at once are twice as fast as 64
# Of the graph's inputs, where they may differ from the encoding's: texts were int64 before they were int32.
_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


@dataclass(frozen=True)
class Bundle:
    """A bundle that was loaded. ``meta``: meta.json. Needs onnxruntime, not torch."""

    folder: Path
    task: Task
    meta: Mapping[str, Any]
    session: onnxruntime.InferenceSession

    @classmethod
    def load(cls, folder: Path | str, *, threads: int = 0) -> Bundle:
        """Read a bundle. ``threads``: that one prediction may use, 0 for all.

        Raises UserError when it is absent, broken, changed or of another format.
        """
        folder = Path(folder)
        try:
            meta = json.loads((folder / META).read_text(encoding="utf-8"))
            if meta["format"] != FORMAT:
                raise UserError(f"bundle {folder} has format {meta['format']!r}, not {FORMAT}; export the model again")
            for name, checksum in meta["files"].items():
                if Path(name).name != name or checksum_of(folder / name) != checksum:
                    raise UserError(f"{folder / name} is not the file that meta.json describes; export the model again")
            task = serial.from_plain(Task, meta["task"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{folder} holds no readable bundle ({error}); export the model again") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(folder / MODEL), options, providers=["CPUExecutionProvider"])
        return cls(folder, task, meta, session)

    @functools.cached_property
    def encoding(self) -> Encoding:
        """Raw rows -> encoded inputs."""
        return Encoding.load(self.folder)

    def predict_encoded(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Probabilities (rows, classes) or values (rows,), float32, for encoded inputs in the task's order."""
        graph = self.session.get_inputs()  # in the task's order, under whatever names
        inputs = [a.astype(_TYPES.get(g.type, a.dtype), copy=False) for g, a in zip(graph, inputs, strict=True)]
        names = [g.name for g in graph]
        return answers(self.session, dict(zip(names, inputs, strict=True)))

    def predict(self, rows: Any) -> np.ndarray:
        """Class names (rows,) or values (rows,) for raw rows.

        ``rows``: a DataFrame, a list of objects (name -> value) or one of them, a mapping name -> column, or an array
        like that of training, whose first axis is the row; see ``automl.data.encode.rows``. Raises UserError that names
        what does not fit.
        """
        out = self._answers(rows)
        return self.encoding.decode(out if self.task.kind == "regression" else out.argmax(1))

    def predict_proba(self, rows: Any) -> np.ndarray:
        """Class probabilities (rows, classes) in the order of ``task.classes``. Raises UserError for regression."""
        if self.task.kind == "regression":
            raise UserError(f"{self.task.name} is a regression and has no probabilities; use predict")
        return self._answers(rows)

    def _answers(self, rows: Any) -> np.ndarray:
        return self.predict_encoded(self.encoding.transform(self.encoding.dataset(rows)))


def answers(session: onnxruntime.InferenceSession, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The graph's output for all rows, some at a time: long series and large pictures take much memory on their way."""
    rows = max((len(a) for a in inputs.values()), default=0)
    width = sum(a[:1].size * (SERIES if a.ndim == 3 else 1) for a in inputs.values())
    size = int(np.clip(NUMBERS // max(width, 1), 1, BATCH))
    parts = [
        session.run(None, {n: a[at : at + size] for n, a in inputs.items()})[0] for at in range(0, rows or 1, size)
    ]
    return np.concatenate([np.asarray(p) for p in parts])


def checksum_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
