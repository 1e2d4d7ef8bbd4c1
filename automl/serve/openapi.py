"""The description of the API: what FastAPI knows of its routes, /predict, and the columns of each model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl.serve.limits import STATUS
from automl.serve.models import CHAMPION, Entry
from automl.serve.question import MOST_EXPLAINED

Schema = dict[str, Any]

_ERROR: Schema = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
_EVERYWHERE = (401, 403, 413)
_PREDICT = (400, 401, 403, 404, 408, 413, 415, 422, 429, 503)


def described(schema: Schema, table: Mapping[str, Entry]) -> Schema:
    """``schema``: FastAPI's own, which is not changed. ``table``: the models that answer."""
    rows = {name: row for name, entry in table.items() if (row := _row(entry))}
    paths = {"/predict": {"post": _predict(rows)}, **schema.get("paths", {})}
    for path in paths.values():
        for one in path.values():
            one["responses"] = {**one["responses"], **_errors(one["responses"])}
    components = schema.get("components", {})
    schemas = {f"row-{name}": row for name, row in rows.items()}
    kept = {
        n: s for n, s in components.get("schemas", {}).items() if n not in ("HTTPValidationError", "ValidationError")
    }
    token = {"bearer": {"type": "http", "scheme": "bearer"}}
    return {
        **schema,
        "paths": paths,
        "components": {**components, "schemas": {**kept, **schemas, "error": _ERROR}, "securitySchemes": token},
        "security": [{}, {"bearer": []}],
    }


def _row(entry: Entry) -> Schema | None:
    loaded = entry.aliases.get(CHAMPION) or next(iter(entry.aliases.values()), None)
    return None if loaded is None else {n: v for n, v in loaded.schema.items() if n not in ("$schema", "$defs")}


def _predict(rows: Mapping[str, Schema]) -> Schema:
    refs = [{"$ref": f"#/components/schemas/row-{name}"} for name in rows]
    names = {"type": ["string", "null"], "description": "NAME, NAME@ALIAS or NAME@DIGEST; may be left out of one model"}
    level = {"type": ["number", "null"], "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    asked = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {
            "model": {**names, "examples": sorted(rows)},
            "rows": {"type": "array", "minItems": 1, "items": {"anyOf": refs} if refs else {"type": "object"}},
            "level": {**level, "description": "also an interval, or a set of classes, that holds the truth so often"},
            "explain": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": MOST_EXPLAINED,
                "description": "of one row, so many of the fields that moved the answer most",
            },
        },
    }
    examples = [row["examples"][0] for row in rows.values() if row.get("examples")]
    if len(rows) == 1 and examples:
        asked["examples"] = [{"rows": examples}]
    form = {"type": "object", "description": "one row: a part per column; also model, level, explain"}
    answered = {
        "type": "object",
        "required": ["model", "id", "answers", "warnings"],
        "properties": {
            "model": {"type": "string", "description": "NAME@DIGEST"},
            "id": {"type": "string", "description": "of the request, for /feedback"},
            "answers": {"type": "array", "items": {"type": "object"}},
            "warnings": {"type": "array", "items": {"type": "object"}},
            "explanation": {"type": "array", "items": {"type": "object"}},
        },
    }
    return {
        "summary": "Answers for rows",
        "tags": ["models"],
        "operationId": "predict",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": asked}, "multipart/form-data": {"schema": form}},
        },
        "responses": {
            "200": {"description": "one answer per row", "content": {"application/json": {"schema": answered}}},
            **{str(code): {} for code in _PREDICT},
        },
    }


def _errors(responses: Mapping[str, Any]) -> Schema:
    """Those that a route names, and those that any may give, as they are."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}}
    named = {int(code) for code in responses if code.isdigit() and int(code) >= 400}
    return {str(code): {"description": STATUS[code], "content": content} for code in sorted({*named, *_EVERYWHERE})}
