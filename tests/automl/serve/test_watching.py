"""Labels that come later find the versions that answered."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from automl.deploy.bundle import Bundle
from automl.deploy.registry import Registry
from automl.errors import UserError
from automl.monitor.answers import Answers
from automl.serve.app import Server, create_app
from automl.serve.settings import Settings
from tests.automl.serve.made import ROW, another, asked, client, server

Bundles = Callable[[str], Path]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are kept after a twentieth of a second, and labels wait for them no longer than twelve times that."""
    monkeypatch.setattr("automl.monitor.recorder.PAUSE", 0.05)
    monkeypatch.setattr("automl.serve.watching.KEPT", 0.6)


def served(folder: Path, **options: Any) -> Server:
    app = create_app(Settings(registry=str(folder / "registry"), state=str(folder / "state"), **options))
    app.models.start()
    return app


def told(app: Server, model: str, label: object) -> httpx.Response:
    """The label of a row, sent as soon as it is answered."""

    async def run() -> httpx.Response:
        async with client(app) as session:
            said = (await session.post("/predict", json={"model": model, "rows": [ROW]})).json()
            return await session.post("/feedback", json={"id": said["id"], "labels": [label]})

    return asyncio.run(run())


def labels(app: Server, folder: Path, reference: str) -> int:
    loaded = app.models.find(reference)
    return Answers(folder / "state" / "monitor" / loaded.name / loaded.short, loaded.bundle).last_label()


@pytest.mark.whole
def test_a_label_that_other_models_cannot_have_is_taken_at_once(bundle: Bundles, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    for name in ("values", "table"):
        registry.add(bundle(name), name, alias="champion")
    app = served(tmp_path)
    assert told(app, "values", 150).json()["known"] == 1
    assert told(app, "table", "yes").json()["known"] == 1
    wrong = told(app, "table", 7)
    assert wrong.status_code == 422 and "classes are: no, yes" in wrong.text
    reply = asked(app, "POST", "/feedback", json={"id": "nobody-knows-it", "labels": ["yes"]})
    assert reply.status_code == 404
    app.models.close()


def test_champion_and_shadow_hear_of_a_label(bundle: Bundles, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.add(another(bundle("values"), tmp_path / "second"), "price", alias="challenger")
    registry.add(bundle("values"), "price", alias="champion")
    app = served(tmp_path, shadow=True)
    assert told(app, "price", 150).json() == {"known": 1, "unknown": 0, "repeated": 0}
    assert labels(app, tmp_path, "price") == labels(app, tmp_path, "price@challenger") == 1
    app.models.close()


def test_ids_that_nobody_has(bundle: Bundles, tmp_path: Path) -> None:
    Registry(tmp_path / "registry").add(bundle("table"), "table", alias="champion")
    app = served(tmp_path)
    assert told(app, "table", "yes").status_code == 200
    body = {
        "content": b'{"id": "\\ud800 and more", "labels": ["yes"]}',
        "headers": {"Content-Type": "application/json"},
    }
    assert asked(app, "POST", "/feedback", **body).status_code == 404
    app.models.close()


@pytest.mark.whole
def test_a_file_that_cannot_be_written_is_told(bundle: Bundles, tmp_path: Path) -> None:
    Registry(tmp_path / "registry").add(bundle("table"), "table", alias="champion")
    app = served(tmp_path)
    told(app, "table", "yes")
    (file,) = (tmp_path / "state").rglob("answers.db")
    file.write_bytes(b"no database" * 100)
    reply = asked(app, "POST", "/feedback", json={"id": "any-that-is-long", "labels": ["yes"]})
    assert reply.status_code == 503 and reply.headers["Retry-After"] and str(tmp_path) not in reply.text
    app.models.close()


def test_what_was_replaced_is_not_kept_in_memory(bundle: Bundles, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.add(bundle("values"), "price", alias="champion")
    app = served(tmp_path)
    old: weakref.ref[Bundle] = weakref.ref(app.models.find("price").bundle)
    registry.add(another(bundle("values"), tmp_path / "second"), "price", alias="champion")
    app.models.check()
    app.models._left[:] = [(0.0, loaded) for _, loaded in app.models._left]
    app.models.check()
    gc.collect()
    assert old() is None
    app.models.close()


def test_alerts_go_where_the_server_is_told(bundle, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="webhook=ftp://x must begin with http"):
        Settings(bundle="b", webhook="ftp://x")
    app = server(bundle("values"), state=str(tmp_path), webhook="http://127.0.0.1:9/alerts")
    app.models.start()
    (recorder,) = [v.recorder for e in app.models.table.values() for v in e.aliases.values()]
    assert recorder is not None and recorder._webhook == "http://127.0.0.1:9/alerts"
    app.models.close()


def test_a_label_after_a_restart_finds_a_version_that_is_served_no_more(bundle: Bundles, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.add(bundle("values"), "price", alias="champion")
    app = served(tmp_path)
    said = asked(app, "POST", "/predict", json={"rows": [ROW]}).json()
    app.models.close()
    registry.add(another(bundle("values"), tmp_path / "second"), "price", alias="champion")
    app = served(tmp_path)
    body = {"id": said["id"], "labels": [150]}
    assert asked(app, "POST", "/feedback", json=body).json() == {"known": 1, "unknown": 0, "repeated": 0}
    assert "is no finite number" in asked(app, "POST", "/feedback", json={**body, "labels": ["dear"]}).text
    app.models.close()


@pytest.mark.whole
def test_the_same_id_of_two_models(bundle: Bundles, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    for name in ("values", "table"):
        registry.add(bundle(name), name, alias="champion")
    app = served(tmp_path)
    for name in ("values", "table"):
        headers = {"X-Request-Id": "mine-12345"}
        reply = asked(app, "POST", "/predict", json={"model": name, "rows": [ROW]}, headers=headers).json()
    app.models.close()
    app = served(tmp_path)
    body = {"id": "mine-12345", "labels": ["yes"]}
    refused = asked(app, "POST", "/feedback", json=body)
    assert refused.status_code == 422 and "one of: table, values" in refused.text
    assert asked(app, "POST", "/feedback", json={**body, "model": reply["model"]}).json()["known"] == 1
    assert asked(app, "POST", "/feedback", json={**body, "model": "values"}).status_code == 422
    assert asked(app, "POST", "/feedback", json={**body, "model": "nobody"}).status_code == 404
    app.models.close()
