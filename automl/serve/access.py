"""Who may ask: a token, and no web page of another origin.

127.0.0.1 is no wall: every page that is open in a browser can send requests there, and by DNS rebinding (a name of the
page's own that suddenly means 127.0.0.1) read the answers too. The first names another Origin, the second another Host.
"""

from __future__ import annotations

import functools
import secrets

from automl.serve.limits import Headers, Refused
from automl.serve.settings import Settings, is_local

PROBES = ("/healthz", "/readyz")
"""Addresses that are asked by IP, as Kubernetes does, whatever the server is called: they tell nothing."""
OPEN = (*PROBES, "/", "/watch")
"""Addresses that need no token: probes send none, and pages must be there before they can ask for one."""


class Access:
    """Checks the headers of each request."""

    def __init__(self, settings: Settings) -> None:
        self.token = None if settings.token is None else settings.token.encode()
        self.named = {h.lower() for h in settings.hosts}
        self.hosts = {settings.host.strip("[]").lower(), *self.named}
        # With a token a rebound name gains nothing, and behind a proxy any name may be right.
        self.any_host = self.token is not None and not settings.hosts
        self.open = {*OPEN}
        self.known = functools.lru_cache(64)(self._known)

    def check(self, headers: Headers, path: str) -> None:
        """Raises Refused."""
        host = headers.get(b"host", b"")
        if not self.any_host and path not in PROBES and not self.known(host):
            raise Refused(403, "Host is not that of this server; a further name is set by hosts=[NAME]")
        origin = headers.get(b"origin")
        if origin is not None and not self._own(origin.partition(b"://")[2].lower(), host.lower()):
            raise Refused(
                403, "requests from pages of another origin are not answered; behind a proxy set hosts=[NAME]"
            )
        if self.token is not None and path not in self.open and not path.startswith("/static/"):
            given = headers.get(b"authorization", b"")
            scheme, _, token = given.partition(b" ")
            if scheme.lower() != b"bearer" or not secrets.compare_digest(token.strip(), self.token):
                raise Refused(401, "send the header Authorization: Bearer TOKEN", WWW_Authenticate="Bearer")

    def _own(self, origin: bytes, host: bytes) -> bool:
        """Whether a page is this server's: behind a proxy that changes Host it has one of ``hosts``."""
        return origin == host or _name(origin) in self.named

    def _known(self, host: bytes) -> bool:
        name = _name(host)
        return name in self.hosts or is_local(name)


def _name(host: bytes) -> str:
    """Without the port."""
    name = host.decode("latin-1").lower()
    return name.partition("]")[0].strip("[") if name.startswith("[") else name.partition(":")[0]
