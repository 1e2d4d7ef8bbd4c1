"""What is asked: the body of a request to rows, a level and a wish for an explanation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from automl.data.encode.media import ARRAYS
from automl.errors import UserError
from automl.serve.limits import Limits, Refused, parsed

MOST_EXPLAINED = 10  # fields
_OPTIONS = ("model", "level", "explain")
_NAMES = frozenset({"rows", *_OPTIONS})
_FILES = ("image", "audio")


class Question(NamedTuple):
    """``level``: of sets and intervals, None for none. ``explain``: how many fields to tell, 0 for none."""

    model: str | None
    rows: Sequence[Mapping[str, Any]]
    level: float | None = None
    explain: int = 0


def of_json(body: bytes, limits: Limits) -> Question:
    """Raises Refused, and UserError for what is JSON but no question."""
    plain = parsed(body, limits)
    if not isinstance(plain, dict) or "rows" not in plain:
        raise UserError('send an object {"rows": [{NAME: VALUE, ...}, ...]}')
    if not plain.keys() <= _NAMES:
        raise UserError(f"the names of a question are {', '.join(sorted(_NAMES))}; a row's columns stand in rows")
    rows = plain["rows"]
    if not isinstance(rows, list) or not rows:
        raise UserError("rows must be a list of at least one object: [{NAME: VALUE, ...}, ...]")
    if len(rows) > limits.rows:
        raise Refused(413, f"a request has {limits.rows:,} rows at most, this one has {len(rows):,}")
    for at, row in enumerate(rows):
        if not isinstance(row, dict):
            raise UserError(f"row {at + 1} must be an object: {{NAME: VALUE, ...}}")
    model, level, explain = plain.get("model"), plain.get("level"), plain.get("explain")
    if not isinstance(model, str | None):
        raise UserError("model must be a text: NAME, NAME@ALIAS or NAME@DIGEST")
    return Question(model, rows, level_of(level), explain_of(explain, len(rows)))


def level_of(level: Any) -> float | None:
    if level is None:
        return None
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise UserError("level must be a number between 0 and 1, such as 0.9")
    return float(level)


def explain_of(explain: Any, rows: int) -> int:
    if explain is None:
        return 0
    if isinstance(explain, bool) or not isinstance(explain, int) or not 0 <= explain <= MOST_EXPLAINED:
        raise UserError(f"explain must be a whole number of fields, from 0 to {MOST_EXPLAINED}")
    if explain and rows > 1:
        raise UserError("one row at a time can be explained; send it alone")
    return explain


async def of_form(
    body: bytes, kind: str, limits: Limits, fields_of: Callable[[str | None], Sequence[Mapping[str, Any]]], query: str
) -> Question:
    """One row from a form: a part per column, and model, level, explain. Pictures and sounds are files as they are.

    ``fields_of``: the model that is asked -> what its rows hold, which says how a part is read. ``query``: of the
    address, where model, level and explain stand too: a part of such a name is the column, if the model has one. Raises
    Refused, and UserError.
    """
    parser = MultiPartParser(
        Headers({"content-type": kind}), _once(body), max_files=100, max_fields=1000, max_part_size=limits.bytes
    )
    parser.spool_max_size = limits.bytes  # nothing of it is written to the disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refused(400, f"the form cannot be read: {error.message}") from None
    except Exception:
        raise Refused(400, "the form cannot be read") from None
    given: dict[str, str | bytes] = {}
    for name, value in form.multi_items():
        if name in given:
            raise UserError(f"part {name[:40]!r} stands twice in the form; a form is one row")
        given[name] = await value.read() if isinstance(value, UploadFile) else value
    asked = {name: value or None for name, value in parse_qsl(query) if name in _OPTIONS}
    if "model" not in asked and not _only_has_it(fields_of):
        asked["model"] = _plain(given.pop("model", None), "model")
    model = asked.get("model")
    of = {f["name"]: str(f["kind"]) for f in fields_of(model)}
    if "model" in of and "model" not in given:
        raise UserError("the model has a column 'model': name the model in the address then, /predict?model=NAME")
    for name in _OPTIONS[1:]:
        if name not in of:
            asked.setdefault(name, _plain(given.pop(name, None), name))
    level, explain = asked.get("level"), asked.get("explain")
    row = {name: _cell(of.get(name, ""), name, value, limits) for name, value in given.items()}
    return Question(model, [row], level_of(_number(level, float)), explain_of(_number(explain, int), 1))


def _only_has_it(fields_of: Callable[[str | None], Sequence[Mapping[str, Any]]]) -> bool:
    """Whether one model is served, which has a column that is called model."""
    try:
        return any(f["name"] == "model" for f in fields_of(None))
    except Refused:
        return False


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


def _plain(value: str | bytes | None, name: str) -> str | None:
    if isinstance(value, bytes):
        raise UserError(f"{name} must be a text, not a file")
    return value or None


def _number(text: str | None, kind: type[float] | type[int]) -> Any:
    """The number in a text; the text itself where it is none, which is told by who reads it."""
    try:
        return None if text is None else kind(text)
    except ValueError:
        return text


def _cell(kind: str, name: str, value: str | bytes, limits: Limits) -> Any:
    """A part as JSON would hold it; what is left empty is missing."""
    if kind in _FILES and isinstance(value, bytes):
        return value or None
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise UserError(f"part {name[:40]!r} is not a text in UTF-8") from None
    if kind in ARRAYS and value[:1] in ("[", ""):
        return parsed(value.encode(), limits) if value else None
    return value if value.strip() else None
