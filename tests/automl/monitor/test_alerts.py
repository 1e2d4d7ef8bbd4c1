"""Alerts reach the file and the address that was given, and no other."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from automl.errors import UserError
from automl.monitor import windows
from automl.monitor.alerts import NAME, append, checked_webhook, read, send

ALERT = {"at": 1.0, "on": True, "field": "age", "what": "value", "text": "age: median 39 -> 47"}


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any]]]:
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response({"/moved": 302, "/broken": 500}.get(self.path, 204))
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            got.append((self.path, None))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}", got
        made.shutdown()
        thread.join()


def test_a_webhook_is_told(server) -> None:
    address, got = server
    send(f"{address}/hook?a=b", [ALERT])
    assert got == [("/hook?a=b", {"alerts": [ALERT]})]


@pytest.mark.parametrize(("path", "status"), [("/moved", 302), ("/broken", 500)])
def test_it_is_not_followed_elsewhere(server, path: str, status: int) -> None:
    address, got = server
    with pytest.raises(OSError, match=f"it answered {status}"):
        send(f"{address}{path}", [ALERT])
    assert [p for p, _ in got] == [path]


def test_nobody_listens() -> None:
    with pytest.raises(OSError):
        send("http://127.0.0.1:9/", [ALERT])


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "x", "http://", "http:///path", "http://[::1", ""])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(UserError, match="must begin with http"):
        checked_webhook(url)


def test_the_file_holds_them_and_broken_lines_are_passed_over(tmp_path: Path) -> None:
    assert read(tmp_path) == []
    append(tmp_path, [ALERT, {**ALERT, "on": False}])
    with (tmp_path / NAME).open("a") as file:
        file.write('{"at": 1}\nhalf\n[1]\n')
    append(tmp_path, [ALERT])
    assert [a["on"] for a in read(tmp_path)] == [True, False, True]


def test_what_is_no_web_server_is_told_as_one_that_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with listening.accept()[0] as one:
                one.recv(1 << 16)
                one.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(OSError, match="answers as no web server does"):
            send(f"http://127.0.0.1:{listening.getsockname()[1]}/", [ALERT])
        thread.join()


def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path, [ALERT])
    write = os.write
    monkeypatch.setattr(windows.os, "write", lambda file, text: write(file, text[:20]))  # the disk is full
    with pytest.raises(OSError, match="No space left"):
        append(tmp_path, [ALERT])
    monkeypatch.undo()
    append(tmp_path, [{**ALERT, "on": False}])
    assert [a["on"] for a in read(tmp_path)] == [True, False]
