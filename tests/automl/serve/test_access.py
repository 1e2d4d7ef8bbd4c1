"""Who may ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from automl.errors import UserError
from automl.serve.settings import Settings
from tests.automl.serve.made import ROW, asked, server

TOKEN = "a-token-of-the-tests"
Bundles = Callable[[str], Path]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.7", "::", "models.example.com", "127.evil.example"])
def test_another_host_needs_a_token(host: str) -> None:
    with pytest.raises(UserError, match="LEVEL4_TOKEN") as caught:
        Settings(bundle="b", host=host)
    assert "\n" not in str(caught.value)
    Settings(bundle="b", host=host, token=TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_this_machine_needs_none(host: str) -> None:
    Settings(bundle="b", host=host)


@pytest.mark.parametrize("options", [{}, {"bundle": "b", "registry": "r"}, {"bundle": "b", "port": 70_000}])
def test_settings_that_cannot_be(options: dict[str, object]) -> None:
    with pytest.raises(UserError):
        Settings(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "token", ["short", "ä" * 20, "with blanks in it, many", "a line of a secret\n", "a-line-of-a-secret\n", ""]
)
def test_a_token_is_long_and_plain(token: str) -> None:
    with pytest.raises(UserError, match="LEVEL4_TOKEN"):
        Settings(bundle="b", token=token)


def test_settings_reach_a_worker_and_hide_the_token() -> None:
    settings = Settings(bundle="b", token=TOKEN, hosts=("a",), canary=0.5)
    assert Settings.from_env({"LEVEL4_SERVE": settings.to_env()}) == settings
    assert TOKEN not in repr(settings)


GIVEN = {
    "none": (None, 401),
    "another": ("Bearer another-token-of-tests", 401),
    "a beginning": (f"Bearer {TOKEN[:-1]}", 401),
    "as a password": (f"Basic {TOKEN}", 401),
    "bare": (TOKEN, 401),
    "not ASCII": ("Bearer töken", 401),
    "right": (f"Bearer {TOKEN}", 200),
    "in another case": (f"bearer {TOKEN}", 200),
}


@pytest.mark.parametrize("name", GIVEN)
def test_the_token(bundle: Bundles, name: str) -> None:
    given, code = GIVEN[name]
    app = server(bundle("table"), token=TOKEN, host="0.0.0.0")
    headers = {} if given is None else {"Authorization": given.encode()}
    for path in ("/models", "/metrics", "/openapi.json"):
        assert asked(app, "GET", path, headers=headers).status_code == code
    reply = asked(app, "POST", "/predict", json={"rows": [ROW]}, headers=headers)
    assert reply.status_code == code and (code == 200 or reply.headers["WWW-Authenticate"] == "Bearer")
    assert asked(app, "GET", "/readyz").status_code == 200  # probes have none


@pytest.mark.parametrize(
    ("host", "origin", "code"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000", 200),  # its own pages
        ("localhost:9000", "http://localhost:9000", 200),  # through a tunnel
        ("[::1]:8000", "http://[::1]:8000", 200),
        ("127.0.0.1:8000", None, 200),
        ("127.0.0.1:8000", "http://localhost:8000", 403),
        ("127.0.0.1:8000", "https://evil.example", 403),
        ("evil.example", "http://evil.example", 403),  # rebound
        ("models.example.com", "https://models.example.com", 200),  # a name that was allowed
    ],
)
def test_pages_of_other_origins(bundle: Bundles, host: str, origin: str | None, code: int) -> None:
    app = server(bundle("table"), hosts=("models.example.com",))
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    assert asked(app, "POST", "/predict", json={"rows": [ROW]}, headers=headers).status_code == code


def test_with_a_token_any_name_will_do(bundle: Bundles) -> None:
    headers = {"Host": "whatever.example", "Authorization": f"Bearer {TOKEN}"}
    for hosts, code in (((), 200), (("models.example.com",), 403)):
        app = server(bundle("table"), token=TOKEN, host="0.0.0.0", hosts=hosts)
        assert asked(app, "GET", "/models", headers=headers).status_code == code


@pytest.mark.parametrize(
    ("origin", "code"),
    [("https://models.example.com", 200), ("https://evil.example", 403), ("null", 403), ("http://127.0.0.1:9", 403)],
)
def test_a_proxy_that_puts_its_own_name_into_host(bundle: Bundles, origin: str, code: int) -> None:
    app = server(bundle("table"), hosts=("models.example.com",))
    headers = {"Host": "127.0.0.1:8000", "Origin": origin}
    assert asked(app, "POST", "/predict", json={"rows": [ROW]}, headers=headers).status_code == code


def test_probes_ask_by_address(bundle: Bundles) -> None:
    app = server(bundle("table"), token=TOKEN, host="0.0.0.0", hosts=("models.example.com",))
    headers = {"Host": "10.1.2.3:8000"}
    assert [asked(app, "GET", p, headers=headers).status_code for p in ("/healthz", "/readyz", "/")] == [200, 200, 403]


@pytest.mark.parametrize("name", ["https://models.example.com", "models.example.com:443", "a b", ""])
def test_a_name_is_a_name(name: str) -> None:
    with pytest.raises(UserError, match="without http:// and port"):
        Settings(bundle="b", hosts=(name,))
