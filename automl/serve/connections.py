"""Connections whose request has not begun: uvicorn lets a head take as long, and as many bytes, as it likes."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0  # until the head of a request is whole
HEAD_BYTES = 2**16
SWEEP = 2.0  # seconds between looks at all connections, which costs a request nothing

_SWEPT: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


class Protocol(HttpToolsProtocol):
    """Uvicorn's, which closes a connection whose head is late or long. ``since``: when one began, 0 for none."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.since, self.head = self.loop.time(), 0
        if self.loop not in _SWEPT:
            _SWEPT.add(self.loop)
            self.loop.call_later(SWEEP, _sweep, self.loop, self.connections)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.since:
            self.head += len(data)
            if self.head > HEAD_BYTES:
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.since = self.loop.time()

    def on_headers_complete(self) -> None:
        self.since, self.head = 0.0, 0
        super().on_headers_complete()


def _sweep(loop: asyncio.AbstractEventLoop, connections: set[Any]) -> None:
    now = loop.time()
    for one in [*connections]:
        if one.since and now - one.since > HEAD_SECONDS:
            one.transport.close()
    loop.call_later(SWEEP, _sweep, loop, connections)
