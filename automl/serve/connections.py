"""Connections that nobody uses: uvicorn lets a head take as long, and as many bytes, as it likes, and a client read its
answer as slowly as it likes, or never.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0  # until the head of a request is whole
HEAD_BYTES = 2**16
UNREAD_SECONDS = 60.0  # until a client takes something of what waits for it: nginx's send_timeout
SWEEP = 2.0  # seconds between looks at all connections, which costs a request nothing

_SWEPT: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


class Protocol(HttpToolsProtocol):
    """Uvicorn's, which closes a connection whose head is late or long, or whose client does not read. ``since``: when a
    head began, 0 for none. ``unread``: bytes that wait for the client; ``taken``: when it last took some or had all.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.since = self.taken = self.loop.time()
        self.head = self.unread = 0
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
        before, one.unread = one.unread, one.transport.get_write_buffer_size()
        if not one.unread or one.unread < before:
            one.taken = now
        elif now - one.taken > UNREAD_SECONDS:
            one.transport.abort()  # to close it would wait for the client
    loop.call_later(SWEEP, _sweep, loop, connections)
