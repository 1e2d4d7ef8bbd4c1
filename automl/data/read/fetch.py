"""Downloads from strangers: limited in size, time and kind, and never from inside the user's own network."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

_AGENT = "level4-image-search/1"
_BLOCK = 1 << 16


class FetchError(Exception):
    """Why a download was given up, in a few words."""


def fetch(
    url: str, *, seconds: float, max_bytes: int, kinds: tuple[str, ...] = (), allow_private: bool = False
) -> bytes:
    """The bytes behind an http(s) address. Raises FetchError.

    ``seconds``: for the whole download, redirects included (only the name server has limits of its own). ``kinds``:
    beginnings of content types that are taken, all when empty. ``allow_private``: also from addresses of the local
    network, which a search result could otherwise use to make this machine call its neighbours.
    """
    check_address(url, allow_private)
    deadline = _Deadline(seconds)
    direct = _Direct(deadline, allow_private)
    opener = urllib.request.build_opener(direct, _Redirects(allow_private))
    request = urllib.request.Request(url, headers={"User-Agent": _AGENT})
    try:
        with deadline, opener.open(request, timeout=seconds) as answer:
            return _body(answer, deadline, max_bytes, kinds)
    except urllib.error.HTTPError as error:
        error.close()
        raise FetchError(f"answered {error.code}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        deadline.check()
        raise FetchError(str(getattr(error, "reason", error)) or type(error).__name__) from error


def _body(answer: Any, deadline: _Deadline, max_bytes: int, kinds: tuple[str, ...]) -> bytes:
    kind = answer.headers.get("Content-Type", "")
    if kinds and not kind.lower().startswith(kinds):
        raise FetchError(f"is {kind or 'of unknown type'}")
    if int(answer.headers.get("Content-Length") or 0) > max_bytes:
        raise FetchError(f"is larger than {max_bytes:,} bytes")
    blocks, total = [], 0
    while block := answer.read1(_BLOCK):  # what has come: read() would wait for a whole block
        deadline.check()
        blocks.append(block)
        total += len(block)
        if total > max_bytes:
            raise FetchError(f"is larger than {max_bytes:,} bytes")
    deadline.check()  # a connection that was cut in time ends like a download
    if answer.length:
        raise FetchError(f"ended {answer.length:,} bytes early")
    return b"".join(blocks)


def check_address(url: str, allow_private: bool) -> None:
    """Raises FetchError unless the address is http(s) and, unless allowed, on the public internet."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError("is no http address")
    if not allow_private:
        try:
            port = parts.port or 80
        except ValueError as error:
            raise FetchError("is no http address") from error
        _addresses(parts.hostname, port, allow_private)


def _addresses(host: str, port: int, allow_private: bool) -> list[str]:
    """The numeric addresses of a host, all of them public unless allowed otherwise. Raises FetchError."""
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP)]
    except (OSError, ValueError) as error:
        raise FetchError("has an unknown host") from error
    if not allow_private and not all(ipaddress.ip_address(a.split("%")[0]).is_global for a in found):
        raise FetchError("lies in a private network")
    return found


class _Deadline:
    """Cuts the connection when time is up: a time-out of the socket begins anew with every byte."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._end = seconds, time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def watch(self, opened: socket.socket) -> None:
        self._sockets.append(opened)
        self.check()

    def left(self) -> float:
        """Seconds, more than 0. Raises FetchError when none are."""
        self.check()
        return max(self._end - time.monotonic(), 1e-3)

    def check(self) -> None:
        if time.monotonic() >= self._end:
            raise FetchError(f"took longer than {self._seconds:g} s")

    def _cut(self) -> None:
        for opened in self._sockets:
            try:
                opened.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed already


class _Direct(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Connects to the very address that was checked: asked again, the name may lead elsewhere.

    The name is still what a certificate must hold. Through a proxy, which asks for names itself, as urllib does.
    """

    def __init__(self, deadline: _Deadline, allow_private: bool) -> None:
        super().__init__()
        self.deadline, self._allow_private = deadline, allow_private

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(self._maker(_Http, req), req)

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(self._maker(_Https, req), req)

    def connect(self, host: str, port: int) -> socket.socket:
        problem = OSError("has no address")
        for address in _addresses(host, port, self._allow_private):
            try:
                return socket.create_connection((address, port), timeout=self.deadline.left())
            except OSError as error:
                problem = error
        raise problem

    def _maker(self, kind: Any, req: urllib.request.Request) -> Any:
        def make(host: str, timeout: float) -> Any:
            made = kind(host, timeout=timeout)
            made.direct = self
            made.proxied = req.host != urllib.parse.urlsplit(req.full_url).netloc  # urllib puts the proxy there
            return made

        return make


class _Http(http.client.HTTPConnection):
    direct: _Direct
    proxied: bool

    def connect(self) -> None:
        if self.proxied:
            super().connect()
        else:
            self.sock = self.direct.connect(self.host, self.port)
        self.direct.deadline.watch(self.sock)


class _Https(http.client.HTTPSConnection):
    direct: _Direct
    proxied: bool

    def connect(self) -> None:
        if self.proxied:
            super().connect()
            self.direct.deadline.watch(self.sock)
            return
        plain = self.direct.connect(self.host, self.port)
        context = ssl.create_default_context()
        self.sock = context.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
        self.direct.deadline.watch(self.sock)  # it has taken the plain one over
        self.sock.do_handshake()


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        check_address(newurl, self._allow_private)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
