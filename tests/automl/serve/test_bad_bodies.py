"""What no client should send: each gets its status of the table and one line, never a 500, and the server goes on."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from automl.serve.app import Server
from automl.serve.limits import STATUS, Limits
from tests.automl.serve.made import ROW, STORY, asked, base64_of, png, predicted, row_of, server

JSON = {"Content-Type": "application/json"}
LIMITS = Limits(bytes=200_000, rows=50, pixels=1_000_000, values=5_000, body_seconds=0.2, seconds=5)


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def rows(*cells: dict[str, Any]) -> bytes:
    return text({"rows": [{**ROW, **c} for c in cells]})


def bomb(side: int) -> bytes:
    """A png of a few kilobytes that is side x side pixels large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    line = b"\0" * (1 + 3 * side)
    packed = b"".join(packer.compress(line) for _ in range(min(side, 400))) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


# Name -> (body, status).
BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "blanks": (b"   ", 400),
    "no JSON": (b"rows=1", 400),
    "half of it": (rows({})[:-3], 400),
    "more behind it": (rows({}) + b"{}", 400),
    "single quotes": (b"{'rows': []}", 400),
    "no UTF-8": (b'{"rows": ["\xff\xfe"]}', 400),
    "UTF-16": (rows({}).decode().encode("utf-16"), 400),
    "a byte order mark": (b"\xef\xbb\xbf" + rows({}), 400),
    "a NUL": (b'{"rows": [{"size": 1}]}\0', 400),
    "NaN": (b'{"rows": [{"size": NaN}]}', 400),
    "infinite": (b'{"rows": [{"size": -Infinity}]}', 400),
    "a number of 5,000 digits": (b'{"rows": [{"size": ' + b"9" * 5_000 + b"}]}", 400),
    "deep lists": (b'{"rows": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", 400),
    "deep objects": (b'{"a":' * 4_000 + b"1" + b"}" * 4_000, 400),
    "deep, behind escapes": (b'{"rows": ["\\\\", ' + b"[" * 60 + b"]" * 60 + b"]}", 400),
    "deep, hidden by texts": (b'{"rows": [' + b'["]]",' * 60 + b"1" + b"]" * 60 + b"]}", 400),
    "open lists": (b"[" * 100_000, 400),
    "a YAML": (b"rows:\n- size: 1\n", 400),
    "XML": (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', 400),
    "a pickle": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix\x94.", 400),
    "a list": (text([ROW]), 422),
    "a text": (text("rows"), 422),
    "null": (b"null", 422),
    "a number": (b"17", 422),
    "an empty object": (b"{}", 422),
    "a row alone": (text(ROW), 422),
    "rows null": (text({"rows": None}), 422),
    "rows as an object": (text({"rows": ROW}), 422),
    "rows as a text": (text({"rows": "abc"}), 422),
    "no row": (text({"rows": []}), 422),
    "rows of lists": (text({"rows": [[1, 2, 3, 4]]}), 422),
    "rows of numbers": (text({"rows": [1]}), 422),
    "rows of null": (text({"rows": [None]}), 422),
    "an empty row": (text({"rows": [{}]}), 422),
    "a name more": (text({"rows": [ROW], "levels": 0.9}), 422),
    "a column that is absent": (text({"rows": [{"size": 1, "city": "Rome"}]}), 422),
    "columns in another case": (text({"rows": [{k.upper(): v for k, v in ROW.items()}]}), 422),
    "a list in a cell": (rows({"size": [1.0]}), 422),
    "an object in a cell": (rows({"city": {"$ne": None}}), 422),
    "an object in one of two": (rows({}, {"size": {}}), 422),
    "a number beyond float64": (
        b'{"rows": [{"size": 1' + b"0" * 400 + b', "gap": 1, "city": "a", "seen": null}]}',
        422,
    ),
    "model as a number": (text({"rows": [ROW], "model": 1}), 422),
    "model as a list": (text({"rows": [ROW], "model": ["table"]}), 422),
    "another model": (text({"rows": [ROW], "model": "nothing"}), 404),
    "a path as model": (text({"rows": [ROW], "model": "../../etc/passwd"}), 404),
    "a NUL in the model": (text({"rows": [ROW], "model": "table\0"}), 404),
    "a long model": (text({"rows": [ROW], "model": "x" * 100_000}), 404),
    "level 0": (text({"rows": [ROW], "level": 0}), 422),
    "level 1": (text({"rows": [ROW], "level": 1}), 422),
    "level 90": (text({"rows": [ROW], "level": 90}), 422),
    "a level out of reach": (text({"rows": [ROW], "level": 0.999999}), 422),
    "level as a text": (text({"rows": [ROW], "level": "0.9"}), 422),
    "level true": (text({"rows": [ROW], "level": True}), 422),
    "a level of 1e400": (b'{"rows": [{}], "level": 1e400}', 422),
    "explain 11": (text({"rows": [ROW], "explain": 11}), 422),
    "explain -1": (text({"rows": [ROW], "explain": -1}), 422),
    "explain 1.5": (text({"rows": [ROW], "explain": 1.5}), 422),
    "explain true": (text({"rows": [ROW], "explain": True}), 422),
    "explain two rows": (text({"rows": [ROW, ROW], "explain": 1}), 422),
    "a number of 70,000 letters": (rows({"size": "1" * 70_000}), 413),
    "a category of 70,000 letters": (rows({}, {"city": "x" * 70_000}), 413),
    "51 rows": (text({"rows": [ROW] * 51}), 413),
    "a million empty rows": (b'{"rows": [' + b"{}," * 60_000 + b"{}]}", 413),
    "many keys": (b'{"rows": [{' + b",".join(b'"%d":1' % i for i in range(9_000)) + b"}]}", 413),
    "too many bytes": (text({"rows": [{**ROW, "city": "x" * 200_000}]}), 413),
    "a byte too many": (b" " * 200_001, 413),
}
# Bodies that look odd and are answered.
FINE: dict[str, bytes] = {
    "missing cells": rows(dict.fromkeys(ROW)),
    "huge": rows({"size": 1e308, "gap": -1e308}),
    "an infinite exponent": b'{"rows": [{"size": 1e999, "gap": 0, "city": "Rome", "seen": null}]}',
    "half a pair of surrogates": rows({"city": "\ud83d"}),
    "a NUL in a cell": rows({"city": "\0"}),
    "an unseen category of 10,000 letters": rows({"city": "x" * 10_000}),
    "brackets in a text": rows({"city": "[" * 100}),
    "brackets behind quotes in a text": rows({"city": 'a" \\ ' + "[{" * 100}),
    "a formula": rows({"city": "=cmd|' /C calc'!A0"}),
    "SQL": rows({"city": "'; DROP TABLE answers; --"}),
    "a column more": rows({"__class__": "x", "model_x": 1, "": 2}),
    "a key twice": b'{"rows": [{"size": 1, "size": 2, "gap": 1, "city": "a", "seen": null}]}',
    "true for a number": rows({"size": True}),
    "numbers as texts": rows({"size": "51", "gap": " 0.5 "}),
    "text for a number": rows({"size": "large"}),
    "50 rows": text({"rows": [ROW] * 50}),
    "long numbers": rows({"size": "1 111" * 10_000, "seen": "1" * 60_000}),
    "another row more": text({"rows": [ROW, {"size": 1}]}),
    "null for all that may be": text({"rows": [ROW], "model": None, "level": None, "explain": None}),
}
# Kind -> name -> (row, status).
CELLS: dict[str, dict[str, tuple[Any, int]]] = {
    "image": {
        "no base64": ("a b c!", 422),
        "an empty text": ("", 422),
        "base64 of no picture": (base64_of(b"no picture"), 422),
        "half a picture": (base64_of(png(200, 200)[:-40]), 422),
        "a bomb of 4 megapixels": (base64_of(bomb(2_000)), 413),
        "a bomb of 10,000 megapixels": (base64_of(bomb(100_000)), 413),
        "a picture that claims nothing": (base64_of(bomb(0)), 422),
        "a path": ("/etc/passwd", 422),
        "an address": ("http://169.254.169.254/latest/meta-data", 422),
        "SVG": (base64_of(b'<svg xmlns="http://www.w3.org/2000/svg"/>'), 422),
        "PostScript": (base64_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), 422),
        "a flat list": ([1, 2, 3], 422),
        "ragged lists": ([[1, 2], [3]], 422),
        "deep lists": ([[[[[[1]]]]]], 422),
        "texts in lists": ([["a", "b"], ["c", "d"]], 422),
        "two colours": ([[[1, 2]] * 12] * 12, 422),
        "an object": ({"image": 1}, 422),
        "true": (True, 422),
        "a number": (7, 422),
        "nothing in it": ([], 422),
    },
    "series": {
        "null": (None, 422),
        "a text": ("abc", 422),
        "one channel of two": ([[1.0] * 30], 422),
        "three channels": ([[1.0] * 30] * 3, 422),
        "ragged": ([[1.0, 2.0], [1.0]], 422),
        "of objects": ([[{}], [{}]], 422),
        "of nothing": ([[], []], 422),
        "a huge whole number": ([[10**400] * 30, [1] * 30], 422),
    },
    "text": {
        "a list": (["red"], 422),
        "an object": ({}, 422),
    },
}


@pytest.fixture(scope="module")
def app(bundle: Callable[[str], Path]) -> Callable[[str], Server]:
    return cache(lambda kind: server(bundle(kind), limits=LIMITS))


def check(reply: Any, code: int) -> None:
    assert reply.status_code == code, (reply.status_code, reply.text)
    said = reply.json()
    assert list(said) == ["error"] and "\n" not in said["error"] and len(said["error"]) < 400
    assert code in STATUS and "Traceback" not in reply.text and "/work" not in reply.text and "/tmp" not in reply.text


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body(app: Callable[[str], Server], name: str) -> None:
    body, code = BODIES[name]
    check(asked(app("table"), "POST", "/predict", content=body, headers=JSON), code)


@pytest.mark.parametrize("name", FINE)
def test_an_odd_body(app: Callable[[str], Server], name: str) -> None:
    reply = asked(app("table"), "POST", "/predict", content=FINE[name], headers=JSON)
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in CELLS for name in CELLS[kind]])
def test_a_bad_cell(app: Callable[[str], Server], kind: str, name: str) -> None:
    cell, code = CELLS[kind][name]
    (column,) = row_of(kind)
    check(predicted(app(kind), rows=[{column: cell}]), code)
    assert predicted(app(kind), rows=[dict(row_of(kind))]).status_code == 200


HEADERS: dict[str, tuple[dict[str, str], int]] = {
    "no type": ({}, 415),
    "a form of a page": ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "plain text": ({"Content-Type": "text/plain"}, 415),
    "almost JSON": ({"Content-Type": "application/jsonp"}, 415),
    "a form without boundary": ({"Content-Type": "multipart/form-data"}, 400),
    "a form that is none": ({"Content-Type": "multipart/form-data; boundary=x"}, 400),
    "another origin": ({**JSON, "Origin": "http://evil.example"}, 403),
    "no origin": ({**JSON, "Origin": "null"}, 403),
    "another port": ({**JSON, "Origin": "http://127.0.0.1:8001"}, 403),
    "a rebound name": ({**JSON, "Host": "evil.example:8000"}, 403),
    "a name like ours": ({**JSON, "Host": "127.0.0.1.evil.example"}, 403),
    "an empty host": ({**JSON, "Host": ""}, 403),
    "says too many bytes": ({**JSON, "Content-Length": "999999999999"}, 413),
    "says a strange length": ({**JSON, "Content-Length": "-5"}, 413),
}


@pytest.mark.parametrize("name", HEADERS)
def test_bad_headers(app: Callable[[str], Server], name: str) -> None:
    headers, code = HEADERS[name]
    check(asked(app("table"), "POST", "/predict", content=rows({}), headers=headers), code)


FORMS: dict[str, tuple[Any, int]] = {
    "a column twice": ([("size", (None, "1")), ("size", (None, "2"))], 422),
    "no column": ([("level", (None, "0.9"))], 422),
    "level as a word": ([("level", (None, "high"))], 422),
    "level nan": ([("level", (None, "nan"))], 422),
    "explain nan": ([("explain", (None, "nan"))], 422),
    "model as a file": ([("model", ("a", b"table"))], 422),
    "a file that is no text": ([("city", ("a", b"\xff\xfe"))], 422),
    "another model": ([("model", (None, "other"))], 404),
    "many parts": ([(f"c{i}", (None, "1")) for i in range(2_000)], 400),
    "many files": ([(f"c{i}", ("a", b"1")) for i in range(200)], 400),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_bad_form(app: Callable[[str], Server], name: str) -> None:
    files, code = FORMS[name]
    check(asked(app("table"), "POST", "/predict", files=files), code)


@pytest.mark.parametrize(
    "path", ["/nothing", "/models/%2e%2e%2fmeta.json", "/models/../../etc/passwd", "/static/../app.py"]
)
def test_addresses_that_are_not_there(app: Callable[[str], Server], path: str) -> None:
    check(asked(app("table"), "GET", path), 404)


@pytest.mark.parametrize(("method", "path"), [("GET", "/predict"), ("DELETE", "/predict"), ("POST", "/models")])
def test_other_methods(app: Callable[[str], Server], method: str, path: str) -> None:
    reply = asked(app("table"), method, path)
    check(reply, 405)
    assert reply.headers["Allow"]


async def raw(app: Server, messages: list[dict[str, Any]], wait: float = 0.0) -> tuple[int, Any]:
    """Status and error of a body that comes in these messages; then nothing more comes."""
    sent: list[dict[str, Any]] = []
    todo = list(messages)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(wait if todo else 3600)
        return todo.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
    }
    await app(scope, receive, send)
    return (sent[0]["status"], json.loads(sent[1]["body"])) if sent else (0, None)


def chunk(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_slow_body(app: Callable[[str], Server]) -> None:
    assert asyncio.run(raw(app("table"), []))[0] == 408
    trickle = [chunk(bytes([c])) for c in rows({})]
    assert asyncio.run(raw(app("table"), trickle, 0.01))[0] == 408


def test_a_stream_without_end(app: Callable[[str], Server]) -> None:
    code, said = asyncio.run(raw(app("table"), [chunk(b" " * 50_000)] * 100))
    assert code == 413 and "200,000 bytes" in said["error"] and app("table").bodies.held == 0


def test_large_bodies_wait_for_room(app: Callable[[str], Server]) -> None:
    """Memory for sixteen of the largest is enough for whoever means no harm."""

    async def many() -> list[tuple[int, Any]]:
        full = [chunk(b" " * 190_000), chunk(b" ")]
        return await asyncio.gather(*(raw(app("table"), full) for _ in range(30)))

    codes = [code for code, _ in asyncio.run(many())]
    assert sorted(set(codes)) == [408, 429] and codes.count(408) == 16


def test_a_body_in_pieces_is_answered(app: Callable[[str], Server]) -> None:
    body = rows({})
    pieces = [chunk(body[:9]), chunk(body[9:20]), chunk(body[20:], more=False)]
    assert asyncio.run(raw(app("table"), pieces))[0] == 200


def test_a_client_that_goes(app: Callable[[str], Server]) -> None:
    assert asyncio.run(raw(app("table"), [chunk(b"{"), {"type": "http.disconnect"}]))[0] == 0
    assert predicted(app("text"), rows=[STORY]).status_code == 200
