"""What is asked of the server at most, and the one table of status codes. Bounds hold before anything is parsed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from automl.data.read.image import open_picture

STATUS: Mapping[int, str] = {
    400: "the body is not JSON, or no form",
    401: "the token is missing or wrong",
    403: "Host or Origin is not that of this server",
    404: "no such model, request or address",
    405: "the address is asked in another way",
    408: "the body came too slowly",
    409: "it is needed by what has not ended",
    413: "more bytes, rows, values, pixels or characters of a cell than the limit",
    415: "neither application/json nor, for /predict, multipart/form-data",
    422: "a value, a name or a shape that the model refuses",
    429: "too many requests wait; Retry-After says when to ask again",
    503: "not ready, draining, or not answered within the limit of time",
}
"""Never 500: whatever else happens is a fault of ours, told by its request id alone."""

Headers = Mapping[bytes, bytes]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
LARGE = 2**16  # bytes: bodies up to this are not counted, a thousand of them are 64 MB
LONGEST_CELL = 2**16  # characters of a number, a category or a date: megabytes of one would hold up all that wait
TOGETHER = 16  # bodies of the largest size that are held at once


class Refused(Exception):
    """A request that is not answered: one of the codes of ``STATUS``, and a line for the client."""

    def __init__(self, code: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Gone(Exception):
    """The client went before its request was whole."""


@dataclass(frozen=True)
class Limits:
    """``bytes``: of a body. ``rows``: of a request. ``pixels``: of its pictures together. ``values``: of JSON, counted
    by commas and colons, before it is parsed. ``depth``: of JSON. ``body_seconds``: until a body is there. ``seconds``:
    until the answer is. ``queue``: requests that wait, per worker.
    """

    bytes: int = 10 * 2**20
    rows: int = 1_000
    pixels: int = 16_000_000
    values: int = 500_000
    depth: int = 32
    body_seconds: float = 10.0
    seconds: float = 10.0
    queue: int = 256

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name}={value} must be above 0")


class Bodies:
    """Reads bodies, large ones only as many at once as the memory allows."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.held = limits, 0

    def announced(self, headers: Headers) -> None:
        """Raises Refused for a body that says it is too large: nothing of it is read."""
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 18 or int(length) > self.limits.bytes:
            raise self._too_large()

    async def read(self, receive: Receive) -> bytes:
        """The body. Raises Refused where it is too large or too slow, and Gone."""
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                message = await _next(receive)
                if not message.get("more_body", False):
                    body = message.get("body", b"")
                    if len(body) > self.limits.bytes:
                        raise self._too_large()
                    return body
                return await self._rest(message.get("body", b""), receive)
        except TimeoutError:
            wait = f"{self.limits.body_seconds:g}"
            raise Refused(408, f"the body was not there within {wait} s", Connection="close") from None

    async def _rest(self, first: bytes, receive: Receive) -> bytes:
        parts, size, counted = [first], len(first), 0
        try:
            more = True
            while more:
                if size > self.limits.bytes:
                    raise self._too_large()
                if size - counted > LARGE:
                    if self.held + size - counted > TOGETHER * self.limits.bytes:
                        raise Refused(429, "too many large bodies at once", Retry_After="1", Connection="close")
                    self.held += size - counted
                    counted = size
                message = await _next(receive)
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                more = message.get("more_body", False)
            if size > self.limits.bytes:
                raise self._too_large()
            return b"".join(parts)
        finally:
            self.held -= counted

    def _too_large(self) -> Refused:
        # Closed: what is still on its way would have to be read and thrown away.
        return Refused(413, f"a body has {self.limits.bytes:,} bytes at most", Connection="close")


async def _next(receive: Receive) -> MutableMapping[str, Any]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    return message


def parsed(body: bytes, limits: Limits) -> Any:
    """The JSON of a body. Raises Refused."""
    if len(body) > limits.values and body.count(b",") + body.count(b":") > limits.values:
        raise Refused(413, f"a body has {limits.values:,} values at most")
    if body.count(b"[") + body.count(b"{") > limits.depth and depth_of(body) > limits.depth:
        raise Refused(400, f"the JSON is nested deeper than {limits.depth}")
    try:
        return _JSON.decode(body.decode())
    except UnicodeDecodeError:
        raise Refused(400, "the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Refused(400, f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError):  # a whole number of thousands of digits
        raise Refused(400, "the body is not JSON that can be read") from None


def depth_of(body: bytes) -> int:
    """How deep JSON is nested; brackets in texts do not count."""
    text = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    at = np.frombuffer(text, dtype=np.uint8)
    inside = (at == 0x22).cumsum(dtype=np.uint8) & 1  # it wraps, and stays even or odd
    at = np.where(inside, 0, at | 0x20)  # { and [, as } and ], differ in this bit
    steps = (at == 0x7B).astype(np.int8) - (at == 0x7D).astype(np.int8)
    return int(steps.cumsum(dtype=np.int32).max(initial=0))


def _no_number(text: str) -> NoReturn:
    raise Refused(400, f"{text} is not JSON; send null for a missing value")


_JSON = json.JSONDecoder(parse_constant=_no_number)
_SHORT = ("numeric", "categorical", "datetime")


def check_pixels(contents: list[bytes], limits: Limits) -> None:
    """Raises Refused where pictures claim more pixels than the limit, by their headers. What is none is told later."""
    total = 0
    for content in contents:
        try:
            with open_picture(content) as image:
                total += image.width * image.height
        except Image.DecompressionBombError:  # more than its own limit
            total += limits.pixels + 1
        except Exception:  # a decoder raises whatever it stumbles over
            pass
        if total > limits.pixels:
            raise Refused(413, f"the pictures of a request have {limits.pixels:,} pixels at most; shrink them")


def check_cells(fields: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> None:
    """Raises Refused where a cell of a table that is no text of its own has more than ``LONGEST_CELL`` characters."""
    names = [f["name"] for f in fields if f["kind"] in _SHORT]
    for at, row in enumerate(rows):
        for name in names:
            if isinstance(cell := row.get(name), str) and len(cell) > LONGEST_CELL:
                where = f"column {str(name)[:40]!r} in row {at + 1}"
                raise Refused(413, f"{where} has {len(cell):,} characters; a cell that is no text has {LONGEST_CELL:,}")
