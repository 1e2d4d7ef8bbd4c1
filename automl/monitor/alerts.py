"""Alerts: a line each in alerts.jsonl, when a measure moves and when it is as before again; and to a webhook.

{"at": unix seconds, "on": true, "field": "age", "what": "value", "text": "age: median 39 -> 47", ...}
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from automl.errors import UserError
from automl.monitor.windows import append_whole

NAME = "alerts.jsonl"
WAIT = 5.0  # seconds for the webhook
KEPT = 1000  # lines that are read


def checked_webhook(url: str | None) -> str | None:
    """The address. Raises UserError for one that is no http or https."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fine = False
    if not fine:
        raise UserError(f"webhook={url} must begin with http:// or https:// and name a host")
    return url


def append(folder: Path, alerts: Sequence[dict[str, Any]]) -> None:
    """All of them, or none. Raises OSError where they cannot be written."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = b"".join(json.dumps(a, ensure_ascii=False).encode() + b"\n" for a in alerts)
    append_whole(folder / NAME, text)


def read(folder: Path) -> list[dict[str, Any]]:
    """Those that were written, the oldest first; lines that are broken are passed over."""
    try:
        lines = (folder / NAME).read_bytes().splitlines()[-KEPT:]
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and {"at", "on", "field", "what", "text"} <= said.keys():
            found.append(said)
    return found


def send(url: str, alerts: Sequence[dict[str, Any]]) -> None:
    """POST ``{"alerts": [...]}`` to this address and to no other that it names. Raises OSError where that fails."""
    body = json.dumps({"alerts": list(alerts)}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    try:
        with _OPENER.open(request, timeout=WAIT) as answer:
            answer.read(1 << 16)
    except urllib.error.HTTPError as error:
        raise OSError(f"it answered {error.code}") from error
    except http.client.HTTPException as error:
        raise OSError(f"it answers as no web server does: {type(error).__name__}") from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


# Without the handlers of files and ftp, and without proxies of the environment, which would be told of it.
_OPENER = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.HTTPDefaultErrorHandler,
    _NoRedirects,
):
    _OPENER.add_handler(_handler())
