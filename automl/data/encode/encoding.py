"""The encoding of a data set: all its inputs and its target, fitted on training rows and kept with the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import safetensors.numpy

from automl.data.columns import column_kinds
from automl.data.dataset import Dataset
from automl.data.encode.audio import AudioEncoder
from automl.data.encode.image import ImageEncoder
from automl.data.encode.rows import extreme, rows_to_dataset
from automl.data.encode.series import SeriesEncoder
from automl.data.encode.table import TableEncoder
from automl.data.encode.target import TargetEncoder
from automl.data.encode.text import TextEncoder
from automl.data.quality.findings import Step, steps_from_json, steps_to_json
from automl.errors import UserError
from automl.files import write_atomically
from automl.types import Input, Kind

VERSION = 1
JSON_NAME, ARRAYS_NAME = "encoding.json", "encoding.safetensors"


class Encoder(Protocol):
    """Encodes one input. ``fields``: the raw columns or arrays it reads, with what each holds."""

    @property
    def input(self) -> Input: ...
    @property
    def fields(self) -> tuple[dict[str, Any], ...]: ...
    def transform(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray: ...
    def to_json(self) -> dict[str, Any]: ...


# By modality, which is a closed set of the vocabulary: a new one changes the networks too.
_ENCODERS: dict[str, Any] = {
    "tabular": TableEncoder,
    "image": ImageEncoder,
    "audio": AudioEncoder,
    "series": SeriesEncoder,
    "text": TextEncoder,
}


@dataclass(frozen=True)
class Encoding:
    """Everything between raw rows and tensors.

    ``steps``: what loading and the quality check did to columns; new rows undergo it too (``dataset``).
    ``why``: one line for each choice made while fitting. ``columns``: those of the raw table in their order, also those
    that are not used, so that an array without names can be read; none in encodings from before it.
    """

    encoders: tuple[Encoder, ...]
    target: TargetEncoder
    steps: tuple[Step, ...] = ()
    why: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        rows: np.ndarray | Sequence[int],
        *,
        kind: Kind,
        classes: Sequence[str] | None = None,
        steps: Sequence[Step] = (),
        columns: Sequence[str] | None = None,
        wordpieces: Sequence[str] = (),
    ) -> Encoding:
        """Learn the encoding from the given rows (positions) of the data set: the training rows and no others.

        ``columns``: of the table before repairs; None: as it is now. ``wordpieces``: the vocabulary of a known network
        of texts, which reads the text where there is nothing else.
        Class names come from all known targets, so that a class without training rows is still counted as wrong.
        Raises UserError when no input is left.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) == 0:
            raise UserError(f"{dataset.origin or dataset.name} has no training rows; mark some as train")
        encoders: list[Any] = []
        why: list[str] = []
        if dataset.table.shape[1]:
            train = dataset.table.iloc[rows]
            kinds = column_kinds(train, dataset.modalities)
            texts = [c for c, k in kinds.items() if k == "text" and train[c].nunique(dropna=False) > 1]
            table = TableEncoder.fit(train, {c: k for c, k in kinds.items() if k != "text"})
            why += table.why
            if table.input.shape[0]:
                encoders.append(table)
            alone = len(texts) == 1 and not encoders and not dataset.arrays
            for column in texts:
                encoders.append(TextEncoder.fit(column, train[column], wordpieces if alone else ()))
                why.append(encoders[-1].why)
        for name, array in dataset.arrays.items():
            if _is_constant(array, rows):
                why.append(f"{name}: the same in every training row, left out")
                continue
            modality = dataset.modalities[name]
            known: dict[str, Any] = {} if modality == "series" else {"decoded": name in dataset.decoded}
            known |= {"white": dataset.white.get(name)} if modality == "image" else {}
            encoder = _ENCODERS[modality].fit(name, array, rows, **known)
            encoders.append(encoder)
            why.append(encoder.why)
        if not encoders:
            raise UserError(
                f"{dataset.origin or dataset.name} has no usable feature: every input is empty, constant or all "
                f"different in its {len(rows):,} training rows; add inputs that vary"
            )
        target = TargetEncoder.fit(dataset.target, kind, classes, rows)
        columns = tuple(map(str, dataset.table.columns if columns is None else columns))
        return cls(tuple(encoders), target, tuple(steps), tuple(w for w in why if w), columns)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The task's inputs, in the order in which ``transform`` returns them."""
        return tuple(e.input for e in self.encoders)

    @property
    def fields(self) -> tuple[dict[str, Any], ...]:
        """The raw fields a row must have: name, modality, kind, and what values it took in training."""
        return tuple(f for e in self.encoders for f in e.fields)

    def transform(self, dataset: Dataset, rows: np.ndarray | Sequence[int] | None = None) -> tuple[np.ndarray, ...]:
        """Encode all rows, or those at the given positions: one array per input, first axis the row."""
        rows = np.arange(len(dataset)) if rows is None else np.asarray(rows, dtype=np.int64)
        return tuple(e.transform(dataset, rows) for e in self.encoders)

    def encode_target(self, target: pd.Series) -> np.ndarray:
        """Class indices (int64) or values (float32), shape (rows,). Raises UserError for an unknown class."""
        return self.target.encode(target)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Class indices to class names, or values as they are, shape (rows,)."""
        return self.target.decode(outputs)

    def dataset(self, rows: Any) -> Dataset:
        """Raw rows from a client as a Dataset that ``transform`` takes; see ``automl.data.encode.rows``."""
        return rows_to_dataset(self.fields, rows, self.steps, self.columns)

    def extremes(self) -> tuple[np.ndarray, ...]:
        """Encoded rows, one array per input, of what data seldom hold: nothing at all, and both ends of everything."""
        rows = [{f["name"]: extreme(f, at) for f in self.fields} for at in (0, -1, 1)]
        return self.transform(rows_to_dataset(self.fields, rows, self.steps, tell=False))

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values; exact, as Python writes floats so that they come back the same."""
        return {
            "version": VERSION,
            "inputs": [{"modality": e.input.modality, **e.to_json()} for e in self.encoders],
            "target": self.target.to_json(),
            "steps": steps_to_json(self.steps),
            "why": list(self.why),
            "columns": list(self.columns),
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Encoding:
        """The encoding that ``to_json`` wrote. Raises UserError for another version."""
        if state.get("version") != VERSION:
            raise UserError(f"encoding version {state.get('version')!r} is not {VERSION}; export the model again")
        encoders = []
        for one in state["inputs"]:
            fields = dict(one)
            encoders.append(_ENCODERS[fields.pop("modality")].from_json(fields))
        target, steps = TargetEncoder.from_json(state["target"]), steps_from_json(state["steps"])
        return cls(tuple(encoders), target, steps, tuple(state["why"]), tuple(state.get("columns", ())))

    def save(self, folder: Path | str) -> None:
        """Write encoding.json and encoding.safetensors (the long number lists), each in one step."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.ndarray] = {}
        state = _pack(self.to_json(), arrays)
        # safetensors refuses an empty file, so one tiny array is always there.
        arrays["version"] = np.asarray([VERSION], dtype=np.int64)
        write_atomically(folder / ARRAYS_NAME, safetensors.numpy.save(arrays))
        write_atomically(folder / JSON_NAME, json.dumps(state, indent=1, ensure_ascii=False).encode())

    @classmethod
    def load(cls, folder: Path | str) -> Encoding:
        """Read what ``save`` wrote. Raises UserError when it is absent or broken."""
        folder = Path(folder)
        try:
            state = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
            arrays = safetensors.numpy.load((folder / ARRAYS_NAME).read_bytes())
            return cls.from_json(_unpack(state, arrays))
        except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
            raise UserError(f"{folder} holds no readable encoding ({error}); export the model again") from error


def _is_constant(array: np.ndarray, rows: np.ndarray) -> bool:
    """Whether an array holds the same in all these rows (gaps are equal); most differ in the second, so it is quick."""
    first = np.asarray(array[rows[0]])
    gaps = first.dtype.kind == "f"
    return all(np.array_equal(array[row], first, equal_nan=gaps) for row in rows[1:])


def _pack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Move long lists of floats into arrays; the JSON keeps a reference and stays readable."""
    if isinstance(value, dict):
        return {k: _pack(v, arrays) for k, v in value.items()}
    if isinstance(value, list):
        if len(value) > 32 and all(type(v) is float for v in value):
            name = f"a{len(arrays)}"
            arrays[name] = np.asarray(value, dtype=np.float64)
            return {"$array": name}
        return [_pack(v, arrays) for v in value]
    return value


def _unpack(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"$array"}:
            return arrays[value["$array"]].tolist()
        return {k: _unpack(v, arrays) for k, v in value.items()}
    if isinstance(value, list):
        return [_unpack(v, arrays) for v in value]
    return value
