"""What the server answers, and what it tells of itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.deploy.bundle import Bundle
from tests.automl.serve import made
from tests.automl.serve.made import ROW, another, asked, png, predicted, row_of, server

Bundles = Callable[[str], Path]
KINDS = ("table", "values", "text", "image", "series")


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_what_the_bundle_answers(bundle: Bundles, kind: str) -> None:
    app, loaded = server(bundle(kind)), Bundle.load(bundle(kind))
    rows = [dict(row_of(kind))] * 3
    got = predicted(app, rows=rows, level=0.8).json()
    expected = loaded.answer(rows, 0.8)
    assert got["model"] == f"{kind}@{loaded.meta['digest'][:16]}" and len(got["id"]) == 16
    for i, one in enumerate(got["answers"]):
        if expected.probabilities is None:
            assert one["value"] == pytest.approx(float(expected.prediction[i]), rel=1e-5)
            assert expected.interval is not None
            assert one["interval"] == pytest.approx(expected.interval[i].tolist(), rel=1e-5)
        else:
            assert one["class"] == expected.prediction[i] and list(one["p"]) == list(loaded.task.classes)
            np.testing.assert_allclose(list(one["p"].values()), expected.probabilities[i], atol=1e-5)
            assert one["set"] == [c for c, fits in zip(loaded.task.classes, expected.sets[i], strict=True) if fits]  # type: ignore[index]
        assert 0 < one["credibility"] <= 1
    plain = predicted(app, rows=rows).json()["answers"][0]
    assert plain.keys() == ({"value"} if kind == "values" else {"class", "p"})


def test_requests_answered_together_are_answered_as_alone(bundle: Bundles) -> None:
    """Thirty at once, of different numbers of rows, some of which need pandas."""
    import asyncio

    from tests.automl.serve.made import client

    app = server(bundle("values"))
    sizes = [{**ROW, "size": 20.0 + i} for i in range(30)]
    questions = [
        [{**row, "city": ["Rome"]}] if i == 7 else [{**row, "seen": 7} if i == 9 else row] * (1 + i % 3)
        for i, row in enumerate(sizes)
    ]
    batches: list[int] = []
    encode = app.models.find(None).bundle.fast.encode
    app.models.find(None).bundle.fast.encode = lambda rows: (batches.append(len(rows)), encode(rows))[1]  # type: ignore[method-assign]

    async def ask() -> list[object]:
        async with client(app) as session:
            return await asyncio.gather(*(session.post("/predict", json={"rows": q}) for q in questions))

    together = asyncio.run(ask())
    assert max(batches) > 10  # they were
    for i, (question, reply) in enumerate(zip(questions, together, strict=True)):
        alone = predicted(app, rows=question)
        assert reply.status_code == alone.status_code == (422 if i == 7 else 200)  # type: ignore[attr-defined]
        if i == 7:
            continue
        got, expected = (r.json()["answers"] for r in (reply, alone))  # type: ignore[attr-defined]
        assert [a["value"] for a in got] == pytest.approx([a["value"] for a in expected], rel=1e-5)


def test_warnings_tell_what_training_did_not_see(bundle: Bundles) -> None:
    rows = [ROW, {**ROW, "size": 1e6, "gap": None}, {**ROW, "size": -5, "city": "Quito", "seen": None}]
    rows += [{**ROW, "size": "large", "city": None}, {**ROW, "size": "60", "seen": "some day"}]
    got = predicted(server(bundle("table")), rows=rows).json()["warnings"]
    assert [(w["row"], w["field"], w["what"].partition(",")[0]) for w in got] == [
        (1, "size", "above all that training saw"),
        (2, "size", "below all that training saw"),
        (2, "city", "a category that the model does not know"),
        (2, "seen", "missing"),
        (3, "size", "not read as a number: taken as missing"),
        (3, "city", "missing"),
        (4, "seen", "not read as a date: taken as missing"),
    ]


def test_an_explanation_names_the_fields_that_moved_the_answer(bundle: Bundles) -> None:
    got = predicted(server(bundle("values")), rows=[ROW], explain=2).json()
    expected = Bundle.load(bundle("values")).explain(ROW, 2)
    assert [e["field"] for e in got["explanation"]] == [e.field for e in expected.effects]
    assert got["explanation"][0]["effect"] == pytest.approx(expected.effects[0].change, rel=1e-4)


def test_a_form_is_a_row(bundle: Bundles) -> None:
    app = server(bundle("image"))
    by_json = predicted(app, rows=[row_of("image")], level=0.8).json()["answers"]
    form = asked(app, "POST", "/predict", data={"level": "0.8", "model": "image"}, files={"image": ("a.png", png())})
    assert form.status_code == 200 and form.json()["answers"] == by_json
    app = server(bundle("table"))
    cells = {name: str(value) for name, value in ROW.items()}
    form = asked(app, "POST", "/predict", data={**cells, "explain": "1"}, files={"nothing": ("a", b"")})
    assert form.json()["answers"][0]["p"] == pytest.approx(predicted(app, rows=[ROW]).json()["answers"][0]["p"])
    assert len(form.json()["explanation"]) == 1
    series = asked(
        server(bundle("series")), "POST", "/predict", files={"series": json.dumps(row_of("series")["series"])}
    )
    assert series.json()["answers"] == predicted(server(bundle("series")), rows=[row_of("series")]).json()["answers"]


def test_a_form_of_columns_that_are_called_as_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"size": "level", "gap": "explain", "city": "model"}
    plain = made.dataset("table")
    renamed = replace(plain, table=plain.table.rename(columns=names))
    monkeypatch.setattr(made, "dataset", lambda kind: renamed)
    app = server(made.bundle(tmp_path, "table"))
    row = {names.get(name, name): value for name, value in ROW.items()}
    expected = predicted(app, model="table", level=0.8, explain=2, rows=[row]).json()
    cells = {name: (None, str(value)) for name, value in row.items()}
    form = asked(app, "POST", "/predict?model=table&level=0.8&explain=2", files=cells).json()
    assert form["answers"] == expected["answers"] and form["explanation"] == expected["explanation"]
    assert asked(app, "POST", "/predict", files=cells).json()["answers"][0].keys() == {"class", "p"}
    del cells["model"]
    assert asked(app, "POST", "/predict", files=cells).status_code == 422


def test_models_are_described(bundle: Bundles) -> None:
    app = server(bundle("table"))
    digest = Bundle.load(bundle("table")).meta["digest"][:16]
    (brief,) = asked(app, "GET", "/models").json()["models"]
    assert brief == {
        "name": "table",
        "kind": "binary",
        "target": "goal",
        "classes": ["no", "yes"],
        "aliases": {"champion": digest},
        "digest": digest,
        "inputs": [
            {"name": "size", "kind": "numeric"},
            {"name": "gap", "kind": "numeric"},
            {"name": "city", "kind": "categorical"},
            {"name": "seen", "kind": "datetime"},
        ],
        "calibrated": True,
        "error": None,
    }
    whole = asked(app, "GET", f"/models/table@{digest[:8]}").json()
    assert whole.keys() == brief.keys() | {"schema", "example", "levels"}
    assert predicted(app, rows=[whole["example"]], level=whole["levels"][0]).status_code == 200
    assert asked(app, "GET", "/models/other").status_code == 404


@pytest.mark.parametrize("name", ["table", "table@champion", "table@{}", None])
def test_a_model_is_named(bundle: Bundles, name: str | None) -> None:
    app = server(bundle("table"))
    reference = name and name.format(app.models.find(None).digest[:6])
    assert predicted(app, rows=[ROW], model=reference).status_code == 200


@pytest.mark.parametrize("name", ["other", "table@challenger", "table@123456", "table@", "", "../table", "table@../.."])
def test_a_model_that_is_not_there(bundle: Bundles, name: str) -> None:
    assert predicted(server(bundle("table")), rows=[ROW], model=name).status_code in (
        (200,) if name == "table@" else (404,)
    )


def test_request_ids_are_kept_or_made(bundle: Bundles) -> None:
    app = server(bundle("table"))
    for given, kept in (("mine-12345", True), ("short", False), ("a b c d e f g h", False), ("x" * 65, False)):
        reply = asked(app, "POST", "/predict", json={"rows": [ROW]}, headers={"X-Request-Id": given})
        assert reply.headers["X-Request-Id"] == reply.json()["id"]
        assert (reply.json()["id"] == given) == kept
    assert len(asked(app, "GET", "/nothing").headers["X-Request-Id"]) == 16


def test_health(bundle: Bundles) -> None:
    app = server(bundle("table"))
    assert [asked(app, "GET", p).status_code for p in ("/healthz", "/readyz")] == [200, 200]
    app.draining = True
    assert [asked(app, "GET", p).status_code for p in ("/healthz", "/readyz")] == [200, 503]
    assert predicted(app, rows=[ROW]).status_code == 200  # what comes until then is answered


def test_the_only_worker_says_that_it_is_stuck(bundle: Bundles) -> None:
    """Nobody replaces it: whoever asks whether it is ready must hear of it."""
    app = server(bundle("table"))
    app.queue.threads.free, app.queue.threads.since = 0, {0: time.monotonic() - 1000}
    stuck = asked(app, "GET", "/readyz")
    assert stuck.status_code == 503 and "start it anew" in stuck.text
    app.queue.threads.free = 1  # another one answers
    assert asked(app, "GET", "/readyz").status_code == 200


def test_openapi_has_the_columns_of_the_model(bundle: Bundles) -> None:
    schema = asked(server(bundle("table")), "GET", "/openapi.json").json()
    row = schema["components"]["schemas"]["row-table"]
    assert (
        list(row["properties"]) == ["size", "gap", "city", "seen"] and "Rome" in row["properties"]["city"]["examples"]
    )
    predict = schema["paths"]["/predict"]["post"]
    assert {"200", "400", "401", "403", "404", "408", "413", "415", "422", "429", "503"} == predict["responses"].keys()
    assert "multipart/form-data" in predict["requestBody"]["content"]


def test_an_answer_tells_no_path_of_the_machine(bundle: Bundles, tmp_path: Path) -> None:
    from tests.automl.serve.made import sealed

    folder = another(bundle("values"), tmp_path / "b", 1.0)
    meta = json.loads((folder / "meta.json").read_text())
    del meta["files"]["calibration.json"], meta["files"]["background.safetensors"]
    (folder / "meta.json").write_text(json.dumps(meta))
    (folder / "background.safetensors").unlink()
    app = server(sealed(folder))
    for question in ({"level": 0.9}, {"explain": 1}):
        reply = predicted(app, rows=[ROW], **question)
        assert reply.status_code == 422 and str(tmp_path) not in reply.text, reply.text
