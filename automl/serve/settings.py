"""What a server is told, once, and how that reaches its workers: one variable of the environment."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from automl.errors import UserError
from automl.monitor.alerts import checked_webhook
from automl.serve.limits import Limits

VARIABLE = "LEVEL4_SERVE"
TOKEN = "LEVEL4_TOKEN"
"""The token's variable: a word of the command line would be seen by every user of the machine."""
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:]+")


@dataclass(frozen=True)
class Settings:
    """``bundle`` or ``registry``: the folder that is served. ``state``: of what the server writes, None for nothing.

    ``host``: another than this machine needs a ``token``. ``hosts``: further names that a client may call it by.
    ``threads``: requests per worker that are computed at once, beside the light ones. ``canary``: share of the requests
    for ``champion`` that ``challenger`` answers. ``shadow``: it sees them all, and its answers are only counted.
    ``webhook``: an address that alerts are posted to.
    ``log``: days that the log of requests is kept, 0 for none; ``log_columns``: whose values it may hold. ``monitor``:
    whether rows are counted. ``drain``: seconds in which the server still answers when it was told to end and says that
    it is not ready; ``grace``: seconds that the last requests have then.
    """

    bundle: str | None = None
    registry: str | None = None
    state: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    threads: int = 1
    canary: float = 0.0
    shadow: bool = False
    log: int = 7
    log_columns: tuple[str, ...] = ()
    monitor: bool = True
    webhook: str | None = field(default=None, repr=False)
    drain: float = 1.0
    grace: float = 30.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Raises UserError for what cannot be served."""
        checked_webhook(self.webhook)
        for name in ("hosts", "log_columns"):  # JSON and yaml know lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if (self.bundle is None) == (self.registry is None):
            raise UserError("serve one folder: set bundle=FOLDER or registry=FOLDER")
        if wrong := [h for h in self.hosts if not _HOST.fullmatch(h)]:
            raise UserError(f"hosts={wrong[0]} is no name: set it without http:// and port, such as models.example.com")
        if not 0 <= self.port < 2**16:
            raise UserError(f"port={self.port} must be from 0 (any that is free) to 65535")
        for name, low in (("workers", 1), ("threads", 1), ("log", 0), ("drain", 0), ("grace", 0)):
            if getattr(self, name) < low:
                raise UserError(f"{name}={getattr(self, name)} must be at least {low}")
        if not 0 <= self.canary <= 1:
            raise UserError(f"canary={self.canary} must be a share, from 0 to 1")
        if self.token is not None and (
            len(self.token) < 16 or not self.token.isascii() or self.token.split() != [self.token]
        ):
            raise UserError(f"{TOKEN} must have 16 characters at least, ASCII without blanks")
        if self.token is None and not is_local(self.host):
            raise UserError(
                f"host={self.host} can be reached from elsewhere and needs a token. Set {TOKEN}=... in the environment"
            )

    def to_env(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        plain: dict[str, Any] = json.loads(environ[VARIABLE])
        return cls(**{**plain, "limits": Limits(**plain["limits"])})


def is_local(host: str) -> bool:
    """Whether a name is that of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def private_folder(path: str | Path, option: str = "state") -> Path:
    """A folder that only its owner reads, and that can be written. Raises UserError."""
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{option}={path} cannot be written: {error.strerror}. Set {option}=FOLDER") from error
    return folder
