"""One version takes another's place while requests come."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from automl.deploy.bundle import Bundle
from automl.deploy.registry import Registry, Version
from automl.errors import UserError
from automl.serve.app import create_app
from automl.serve.limits import Limits
from automl.serve.models import Models, Wanted
from automl.serve.settings import Settings
from tests.automl.serve.made import ROW, another, asked, client, predicted, server

Bundles = Callable[[str], Path]


class Aliases:
    """A source of versions, as a registry is."""

    def __init__(self, **folders: Path) -> None:
        self.folders, self.stamp = dict(folders), 0

    def state(self) -> object:
        return self.stamp

    def wanted(self) -> Wanted:
        return {"price": {alias: version(folder) for alias, folder in self.folders.items()}}

    def point(self, alias: str, folder: Path) -> None:
        self.folders[alias] = folder
        self.stamp += 1


def version(folder: Path) -> Version:
    return Version("price", json.loads((folder / "meta.json").read_text())["digest"], folder)


class Counting:
    """A recorder."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float]] = []
        self.closed = False

    def add(self, request: str, rows: Any, told: Any, seconds: float | None = None) -> None:
        self.seen.append((request, float(told[0][0])))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def two(bundle: Bundles, tmp_path: Path) -> tuple[Path, Path]:
    """Versions whose answers differ by 1,000."""
    return bundle("values"), another(bundle("values"), tmp_path / "second")


def value(reply: Any) -> float:
    return reply.json()["answers"][0]["value"]


def test_a_swap_loses_and_mixes_nothing(two: tuple[Path, Path]) -> None:
    app = server(two[0])
    source = Aliases(champion=two[0])
    app.models = Models(source, app.limits)
    app.models.start()
    base = Bundle.load(two[0]).predict([ROW])[0]
    values = {version(two[0]).digest[:16]: base, version(two[1]).digest[:16]: base + 1000}
    seen: list[str] = []

    async def run() -> None:
        async with client(app) as session:
            ends = asyncio.Event()

            async def ask() -> None:
                while not ends.is_set():
                    reply = await session.post("/predict", json={"rows": [ROW]})
                    assert reply.status_code == 200
                    digest = reply.json()["model"].partition("@")[2]
                    assert value(reply) == pytest.approx(values[digest], rel=1e-6)
                    seen.append(digest)

            asking = [asyncio.create_task(ask()) for _ in range(8)]
            for turn in range(4):
                source.point("champion", two[(turn + 1) % 2])
                await asyncio.to_thread(app.models.check)
                await asyncio.sleep(0.05)
            ends.set()
            await asyncio.gather(*asking)

    asyncio.run(run())
    assert set(seen) == values.keys() and len(seen) > 20


def test_a_broken_version_leaves_the_old_one(two: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    source = Aliases(champion=two[0])
    app = server(two[0])
    loads: Counter[str] = Counter()
    app.models = Models(source, app.limits, told=lambda name, result: loads.update([result]))
    app.models.start()
    before = predicted(app, rows=[ROW]).json()["model"]
    (two[1] / "model.onnx").write_bytes(b"broken")
    source.point("champion", two[1])
    for _ in range(3):
        app.models.check()
    reply = predicted(app, rows=[ROW])
    assert reply.status_code == 200 and reply.json()["model"] == before
    (told,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert "\n" not in told and f"{before.partition('@')[2]} answers on" in told and "export the model again" in told
    shown = asked(app, "GET", "/models").json()["models"][0]
    assert "model.onnx" in shown["error"] and str(two[1]) not in shown["error"]
    assert asked(app, "GET", "/readyz").status_code == 200 and loads == {"ok": 1, "failed": 1}
    source.point("champion", two[0])  # rolled back
    app.models.check()
    assert asked(app, "GET", "/models").json()["models"][0]["error"] is None


def test_a_registry_that_cannot_be_read_changes_nothing(
    two: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    source = Aliases(champion=two[0])
    models = Models(source, Limits())
    models.start()

    def fails() -> Wanted:
        raise OSError(5, "Input/output error")

    wanted, source.wanted, source.stamp = source.wanted, fails, 1  # type: ignore[method-assign]
    models.check()
    models.check()
    assert models.find("price").digest == version(two[0]).digest and len(caplog.records) <= 2
    source.wanted = wanted  # type: ignore[method-assign]
    source.point("champion", two[1])
    models._again = 0.0  # the next try
    models.check()
    assert models.find("price").digest == version(two[1]).digest


def test_nothing_that_runs_is_one_line(bundle: Bundles, tmp_path: Path) -> None:
    folder = shutil.copytree(bundle("table"), tmp_path / "b")
    (folder / "encoding.json").unlink()
    with pytest.raises(UserError) as caught:
        server(folder)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no readable bundle"):
        server(tmp_path / "nothing")


def test_the_folder_of_a_bundle_is_looked_at(two: tuple[Path, Path], tmp_path: Path) -> None:
    """One that is exported anew in its place is taken."""
    folder = shutil.copytree(two[0], tmp_path / "served")
    app = server(folder)
    first = value(predicted(app, rows=[ROW]))
    shutil.rmtree(folder)
    app.models.check()
    assert value(predicted(app, rows=[ROW])) == first
    shutil.copytree(two[1], folder)
    app.models._again = 0.0
    app.models.check()
    assert value(predicted(app, rows=[ROW])) == pytest.approx(first + 1000)


def test_a_canary_takes_its_share_and_sticks(two: tuple[Path, Path]) -> None:
    app = server(two[0], canary=0.25)
    app.models = Models(Aliases(champion=two[0], challenger=two[1]), app.limits)
    app.models.start()

    async def run() -> tuple[list[str], list[str]]:
        async with client(app) as session:
            ids = [f"request-{i:04}" for i in range(400)]

            async def ask(request: str, **more: str) -> str:
                headers = {"X-Request-Id": request}
                reply = await session.post("/predict", json={"rows": [ROW], **more}, headers=headers)
                return reply.json()["model"]

            rounds = [[await ask(i) for i in ids] for _ in range(2)]
            assert rounds[0] == rounds[1]
            return rounds[0], [await ask(i, model="price@champion") for i in ids[:50]]

    free, named = asyncio.run(run())
    challenger = f"price@{version(two[1]).digest[:16]}"
    assert 60 < free.count(challenger) < 140 and challenger not in named


def test_a_canary_gets_the_columns_of_its_own(bundle: Bundles, tmp_path: Path) -> None:
    """The challenger looks at other columns: tensors become rows by the version that answers."""
    registry = Registry(tmp_path)
    for alias, kind in (("champion", "series"), ("challenger", "table")):
        registry.add(bundle(kind), "price", alias=alias)
    app = create_app(Settings(registry=str(tmp_path), canary=0.5))
    app.models.start()
    cells = [{"name": n, "datatype": "FP64", "shape": [1], "data": [ROW[n]]} for n in ("size", "gap")]
    cells += [{"name": n, "datatype": "BYTES", "shape": [1], "data": [ROW[n]]} for n in ("city", "seen")]
    tensors = [*cells, {"name": "series", "datatype": "FP32", "shape": [1, 2, 30], "data": [0.5] * 60}]

    async def run() -> list[str]:
        async with client(app) as session:
            asked = [
                await session.post(
                    "/v2/models/price/infer", json={"inputs": tensors}, headers={"X-Request-Id": f"request-{i}"}
                )
                for i in range(20)
            ]
            assert {r.status_code for r in asked} == {200}
            return [r.json()["model_version"] for r in asked]

    assert len(set(asyncio.run(run()))) == 2


def test_a_shadow_is_asked_and_not_heard(two: tuple[Path, Path]) -> None:
    recorders: dict[str, Counting] = {}
    app = server(two[0], shadow=True)

    def recorder(of: Version, bundle: Bundle) -> Counting:
        return recorders.setdefault(of.digest, Counting())

    app.models = Models(Aliases(champion=two[0], challenger=two[1]), app.limits, recorder=recorder)
    app.models.start()
    champion, challenger = (recorders[version(t).digest] for t in two)

    async def run() -> None:
        async with client(app) as session:
            for _ in range(5):
                assert (
                    (await session.post("/predict", json={"rows": [ROW]}))
                    .json()["model"]
                    .endswith(version(two[0]).digest[:16])
                )
            until = time.monotonic() + 5
            while len(challenger.seen) < 5 and time.monotonic() < until:
                await asyncio.sleep(0.01)

    asyncio.run(run())
    assert [i for i, _ in challenger.seen] == [i for i, _ in champion.seen] and len(champion.seen) == 5


def test_a_shadow_of_other_columns_is_told_once(bundle: Bundles, caplog: pytest.LogCaptureFixture) -> None:
    app = server(bundle("values"), shadow=True)
    source = Aliases(champion=bundle("values"), challenger=bundle("text"))
    app.models = Models(source, app.limits, recorder=lambda of, bundle: Counting())
    app.models.start()

    async def run() -> None:
        async with client(app) as session:
            for _ in range(3):
                assert (await session.post("/predict", json={"rows": [ROW]})).status_code == 200
            until = time.monotonic() + 5
            while "the shadow" not in caplog.text and time.monotonic() < until:
                await asyncio.sleep(0.01)

    asyncio.run(run())
    assert caplog.text.count("cannot answer what the champion is asked (UserError)") == 1 and "Rome" not in caplog.text


def test_what_was_replaced_is_closed_when_nobody_needs_it(two: tuple[Path, Path]) -> None:
    recorders: dict[str, Counting] = {}
    source = Aliases(champion=two[0])
    models = Models(source, Limits(seconds=0.05), recorder=lambda v, b: recorders.setdefault(v.digest, Counting()))
    models.start()
    source.point("champion", two[1])
    models.check()
    old, new = (recorders[version(t).digest] for t in two)
    assert not old.closed
    time.sleep(0.15)
    models.check()
    assert old.closed and not new.closed
    source.point("champion", two[0])
    models.check()
    models.close()
    assert new.closed, "what waits to be closed is closed at the end"


def test_one_broken_name_holds_up_no_other(bundle, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    one, two = another(bundle("values"), tmp_path / "one"), another(bundle("values"), tmp_path / "two", 2000.0)
    for name in ("fine", "torn", "gone"):
        registry.add(one, name, alias="champion")
    models = Models.of(Settings(registry=str(tmp_path / "registry")))
    models.start()
    (tmp_path / "registry" / "names" / "torn.json").write_text("{")
    digest = registry.add(two, "fine", alias="champion")
    late = registry.add(another(bundle("values"), tmp_path / "three", 3000.0), "gone", alias="champion")
    shutil.rmtree(registry.resolve(f"gone@{late[:12]}").folder)
    models.check()
    assert models.find("fine").digest == digest
    assert (
        models.find("torn").digest
        == models.find("gone").digest
        == json.loads((one / "meta.json").read_text())["digest"]
    )
    assert models.table["torn"].error and models.table["gone"].error and models.table["fine"].error is None
    assert not any(str(tmp_path) in str(entry.error) for entry in models.table.values()), "clients are told"


def test_a_version_tells_of_itself_when_another_lies_in_its_folder(two: tuple[Path, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(two[0], tmp_path / "served")
    app = server(folder)
    expected = predicted(server(two[0]), rows=[ROW], explain=2).json()["explanation"]
    background = safetensors.numpy.load_file(folder / "background.safetensors")
    safetensors.numpy.save_file(
        {n: np.full_like(a, 3) for n, a in background.items()}, folder / "background.safetensors"
    )
    (folder / "schema.json").write_text("{}")
    assert predicted(app, rows=[ROW], explain=2).json()["explanation"] == expected
    assert "size" in asked(app, "GET", "/models/values").json()["schema"]["properties"]


def test_a_name_without_an_alias_says_so(bundle: Bundles, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry(tmp_path / "registry")
    registry.add(bundle("values"), "price", alias="champion")
    app = create_app(Settings(registry=str(tmp_path / "registry")))
    app.models.start()
    registry.unset("price", "champion")
    app.models.check()
    reply = predicted(app, rows=[ROW])
    assert reply.status_code == 503 and "no alias holds a version of this model; promote one" in reply.text
    assert "price: nothing answers: no alias" in caplog.text
    registry.rollback("price")
    app.models.check()
    assert predicted(app, rows=[ROW]).status_code == 200 and app.models.table["price"].error is None
    registry.unset("price", "champion")
    registry.drop("price", registry.entry("price").versions[0].digest)
    app.models.check()
    assert "price is in the registry no more" in caplog.text
