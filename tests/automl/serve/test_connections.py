"""Connections of clients that do not what they should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.responses import StreamingResponse
from uvicorn.server import ServerState

from automl.serve import connections


def test_who_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """And who answers it hears of it: it ends, and gives its place back."""
    monkeypatch.setattr(connections, "SWEEP", 0.02)
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.2)

    async def run() -> None:
        ended = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 2**16
                    await asyncio.sleep(0)
            finally:
                ended.set()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await StreamingResponse(endless())(scope, receive, send)

        config = uvicorn.Config(app, lifespan="off", log_config=None)
        config.load()
        state = ServerState()

        def made() -> connections.Protocol:
            return connections.Protocol(config=config, server_state=state, app_state={})

        loop = asyncio.get_running_loop()
        async with await loop.create_server(made, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**10)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.wait_for(ended.wait(), 60)  # ``reader`` takes what it has room for, and then nothing
            assert not state.connections
            writer.close()
            del reader

    asyncio.run(run())
