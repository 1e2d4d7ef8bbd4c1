"""What a model takes and gives, as JSON Schema (draft 2020-12): for clients, forms and the pages of a server.

It describes; what decides is the encoding itself, which reads a number from "12 %" and a date as the training file
wrote it. So a row that keeps the schema is answered, and some that break it are too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from automl.data.encode.encoding import Encoding
from automl.types import Task

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SHOWN = 50  # categories of one column
LONGEST = 100_000  # characters of the example: a large picture as numbers helps nobody

Schema = dict[str, Any]

_CELL: Schema = {"type": ["number", "string", "boolean", "null"]}
_NUMBER: Schema = {"type": ["number", "null"]}
_NULL: Schema = {"type": "null"}
_PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}


def schema_of(encoding: Encoding, task: Task, example: Mapping[str, Any] | None = None) -> Schema:
    """The schema of one raw row, with that of its answer under ``$defs`` as ``answer``.

    ``example``: a row that the model answers, name -> JSON value or array; left out where it is very long.
    """
    fields = encoding.fields
    read = {step.column: step.do for step in encoding.steps if step.do in _READINGS}
    schema: Schema = {
        "$schema": DRAFT,
        "title": f"a row for {task.name}",
        "description": (
            "One raw row. Among several rows, one may leave out a column of cells that another one has: the cell is "
            "missing then. Columns that are not named here are ignored."
        ),
        "type": "object",
        "properties": {f["name"]: _FIELDS[f["kind"]]({"read": read.get(f["name"]), **f}) for f in fields},
        "required": [f["name"] for f in fields],
        "additionalProperties": True,
        "$defs": {"answer": answer_schema(task, encoding.target.name)},
    }
    plain = None if example is None else {n: _plain(v) for n, v in example.items()}
    if plain is not None and len(json.dumps(plain)) <= LONGEST:
        schema["examples"] = [plain]
    return schema


def answer_schema(task: Task, target: str) -> Schema:
    """The answer for one row: a class and the probability of each, or a value.

    ``set`` and ``interval`` are there where the model was calibrated and a level is asked for.
    """
    if task.kind == "regression":
        interval = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
        properties = {"value": {"type": "number"}, "interval": {**interval, "description": "low and high end"}}
        return {"title": target, "type": "object", "properties": properties, "required": ["value"]}
    name = {"enum": list(task.classes)}
    properties = {
        "class": {**name, "description": "the answer"},
        "p": {
            "description": "probability of each class",
            "type": "object",
            "required": list(task.classes),
            "additionalProperties": _PROBABILITY,
        },
        "set": {"type": "array", "items": name, "description": "classes that cannot be ruled out"},
    }
    return {"title": target, "type": "object", "properties": properties, "required": ["class", "p"]}


def _number(field: Mapping[str, Any]) -> Schema:
    what = _READINGS.get(field["read"], "a number, or a text of one as the training data wrote it")
    return {**_CELL, "description": f"{what}; training saw {field['low']:g} to {field['high']:g}, {_gaps(field)}"}


def _category(field: Mapping[str, Any]) -> Schema:
    known = field["categories"]
    shown = f", the {SHOWN} most frequent are shown" if len(known) > SHOWN else ""
    text = f"one of a few values; training saw {len(known):,} often enough to know them{shown}, {_gaps(field)}"
    return {
        **_CELL,
        "description": f"{text}; any other is taken as unknown",
        "examples": known[:SHOWN],
    }


def _date(field: Mapping[str, Any]) -> Schema:
    # Most formats of dates are no format that JSON Schema knows, so the two that it does know are no more than hints.
    text = {"type": ["string", "null"], "description": "as the training data wrote it"}
    return {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}, text],
        "description": f"a date, with a time of day or without; {_gaps(field)}",
    }


def _text(field: Mapping[str, Any]) -> Schema:
    return {"type": ["string", "null"], "description": "free text; null is an empty one"}


def _image(field: Mapping[str, Any]) -> Schema:
    colours, height, width = field["shape"]
    low, top = field["low"], field["low"] + 255 / field["gain"]
    size = f"{height} x {width} pixels in {'grey' if colours == 1 else f'{colours} colours'}"
    grid = {"type": "array", "minItems": 1, "items": _list({"anyOf": [_NUMBER, _list(_NUMBER)]})}
    grid["description"] = f"values from {low:g} to {top:g}, as (height, width) or (height, width, colours)"
    return {
        "anyOf": [_file("image/png", "image/jpeg"), grid, {**_NULL, "description": "a black picture"}],
        "description": f"a picture; the model sees {size}, other sizes are resized",
    }


def _audio(field: Mapping[str, Any]) -> Schema:
    bands, frames = field["shape"]
    spectrogram = {**_list(_list(_NUMBER), bands), "description": f"log-mel spectrogram: {bands} bands of frames"}
    sound = [_file("audio/wav"), {**_NULL, "description": "silence"}] if field["sounds"] else []
    return {"anyOf": [*sound, spectrogram], "description": f"a sound; the first {frames} frames are heard"}


def _series(field: Mapping[str, Any]) -> Schema:
    channels, length = field["shape"]
    forms = [{**_list(_list(_NUMBER), channels), "description": "channels of steps"}]
    if channels == 1:
        forms.append({**_list(_NUMBER), "description": "steps"})
    else:
        forms.append({**_list(_list(_NUMBER, channels)), "description": "steps of channels"})
    text = (
        f"a series of {channels} channel{'s' * (channels > 1)}, of which {length} steps are looked at; {_gaps(field)}"
    )
    return {"anyOf": forms, "description": text}


_FIELDS = {
    "numeric": _number,
    "categorical": _category,
    "datetime": _date,
    "text": _text,
    "image": _image,
    "audio": _audio,
    "series": _series,
}
_READINGS = {
    "bool": "true or false, or 1 or 0",
    "seconds": "a time of day or a duration such as 12:30:00, or its seconds",
}


def _gaps(field: Mapping[str, Any]) -> str:
    return "some were missing" if field["missing"] else "none was missing"


def _list(items: Schema, count: int | None = None) -> Schema:
    """``count``: exactly so many items; None: at least one."""
    return {"type": "array", "items": items, "minItems": count or 1, **({"maxItems": count} if count else {})}


def _file(*types: str) -> Schema:
    content = {"contentMediaType": types[0], "contentEncoding": "base64"}
    return {"type": "string", **content, "description": f"a file ({' or '.join(types)}) as base64 text"}


def _plain(value: Any) -> Any:
    """An array as nested lists with null for NaN; what JSON knows as it is."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind == "f" and not (known := np.isfinite(value)).all():
        value = value.astype(object)
        value[~known] = None
    return value.tolist()
