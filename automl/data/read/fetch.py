"""Downloads from strangers: limited in size, time and kind, and never from inside the user's own network."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import time
import urllib.error
import urllib.parse
import urllib.request

_AGENT = "level4-image-search/1"
_BLOCK = 1 << 16


class FetchError(Exception):
    """Why a download was given up, in a few words."""


def fetch(
    url: str, *, seconds: float, max_bytes: int, kinds: tuple[str, ...] = (), allow_private: bool = False
) -> bytes:
    """The bytes behind an http(s) address. Raises FetchError.

    ``seconds``: for the whole download. ``kinds``: beginnings of content types that are taken, all when empty.
    ``allow_private``: also from addresses of the local network, which a search result could otherwise use to make this
    machine call its neighbours.
    """
    check_address(url, allow_private)
    opener = urllib.request.build_opener(_Redirects(allow_private))
    request = urllib.request.Request(url, headers={"User-Agent": _AGENT})
    deadline = time.monotonic() + seconds
    try:
        with opener.open(request, timeout=seconds) as answer:
            kind = answer.headers.get("Content-Type", "")
            if kinds and not kind.lower().startswith(kinds):
                raise FetchError(f"is {kind or 'of unknown type'}")
            if int(answer.headers.get("Content-Length") or 0) > max_bytes:
                raise FetchError(f"is larger than {max_bytes:,} bytes")
            blocks, total = [], 0
            while block := answer.read(_BLOCK):
                blocks.append(block)
                total += len(block)
                if total > max_bytes:
                    raise FetchError(f"is larger than {max_bytes:,} bytes")
                if time.monotonic() > deadline:
                    raise FetchError(f"took longer than {seconds:g} s")
            return b"".join(blocks)
    except urllib.error.HTTPError as error:
        error.close()
        raise FetchError(f"answered {error.code}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise FetchError(str(getattr(error, "reason", error)) or type(error).__name__) from error


def check_address(url: str, allow_private: bool) -> None:
    """Raises FetchError unless the address is http(s) and, unless allowed, on the public internet."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError("is no http address")
    if allow_private:
        return
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, proto=socket.IPPROTO_TCP)
    except (OSError, ValueError) as error:
        raise FetchError("has an unknown host") from error
    if not all(ipaddress.ip_address(str(entry[4][0]).split("%")[0]).is_global for entry in found):
        raise FetchError("lies in a private network")


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        check_address(newurl, self._allow_private)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
