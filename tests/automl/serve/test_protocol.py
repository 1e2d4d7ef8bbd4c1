"""The Open Inference Protocol: Triton's own client against a real server, and bodies that it would never send."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from PIL import Image
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from automl.data.sources.frame import FrameSource
from automl.deploy.bundle import Answer, Bundle
from automl.errors import UserError
from automl.serve.protocol import RowsOf, router
from automl.serve.tensors import HEADER
from tests.automl.deploy.rows import mixed
from tests.experiments.predict.bundles import bundle_of, calibrated, people

MOST = 500


class Loaded(NamedTuple):
    name: str
    digest: str
    bundle: Bundle


class NotThere(Exception):
    """What a server has for a model that it does not know."""


def app_of(models: dict[str, Loaded]) -> FastAPI:
    """A server of a few lines: what is special to ours is not needed to speak the protocol."""

    def find(reference: str) -> Loaded:
        name, _, version = reference.partition("@")
        if name not in models or not models[name].digest.startswith(version):
            raise NotThere
        return models[name]

    async def predict(reference: str, rows_of: RowsOf, level: float | None) -> tuple[Loaded, str, Answer]:
        loaded = find(reference)
        rows = rows_of(loaded.bundle.encoding.fields)
        return loaded, "request-1", await asyncio.to_thread(loaded.bundle.answer, rows, level)

    def parse(text: bytes) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise UserError("the body is no JSON") from None

    def ready() -> None:
        if not models:
            raise NotThere

    app = FastAPI()
    app.include_router(router(find=find, predict=predict, ready=ready, read=Request.body, parse=parse, most_rows=MOST))

    @app.exception_handler(UserError)
    async def refused(request: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(NotThere)
    async def unknown(request: Request, error: NotThere) -> JSONResponse:
        return JSONResponse({"error": "no such model"}, 404)

    return app


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Loaded]:
    folder: Path = tmp_path_factory.mktemp("models")
    values = people(120).drop(columns="size").assign(price=np.arange(120.0))
    made = {
        "size": calibrated(folder / "size", people(200), "multiclass", "size"),
        "price": calibrated(folder / "price", values, "regression", "price"),
        "mixed": bundle_of(folder / "mixed", mixed(), "binary"),
        "plain": bundle_of(folder / "plain", FrameSource(values, target="price").load(), "regression"),
    }
    loaded = {name: Bundle.load(made[name]) for name in made}
    return {name: Loaded(name, str(bundle.meta["digest"]), bundle) for name, bundle in loaded.items()}


@pytest.fixture(scope="module")
def address(models) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app_of(models), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def client(address) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as client:
        yield client


def inputs_of(columns: dict[str, Any], *, binary: bool = True) -> list[triton.InferInput]:
    made = []
    for name, column in columns.items():
        array = np.asarray(column)
        given = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        made.append(given.set_data_from_numpy(array, binary_data=binary))
    return made


def columns_of(frame: Any) -> dict[str, np.ndarray]:
    """As a client would send them: numbers as such, all else as text."""
    return {
        name: column.to_numpy() if column.dtype.kind in "if" else column.astype(str).to_numpy(dtype=object)
        for name, column in frame.items()
    }


def test_a_client_finds_its_way(client, models):
    assert client.is_server_live() and client.is_server_ready()
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    digest = models["size"].digest[:16]
    assert client.is_model_ready("size") and client.is_model_ready("size", digest[:8])
    assert not client.is_model_ready("nothing")
    told = client.get_model_metadata("size", digest)
    assert told == client.get_model_metadata("size")
    assert told["versions"] == [digest]
    assert {"name": "height", "datatype": "FP64", "shape": [-1]} in told["inputs"]
    assert {"name": "joined", "datatype": "BYTES", "shape": [-1]} in told["inputs"]
    outputs = {one["name"]: one for one in told["outputs"]}
    assert list(outputs) == ["prediction", "probabilities", "set", "credibility"]
    assert outputs["probabilities"]["parameters"]["classes"] == ["large", "middle", "small"]
    assert [o["name"] for o in client.get_model_metadata("plain")["outputs"]] == ["prediction"]
    with pytest.raises(InferenceServerException, match="no such model"):
        client.get_model_metadata("nothing")


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_classes_as_the_bundle_answers(client, models, binary):
    frame = people(50, seed=7).drop(columns="size")
    bundle = models["size"].bundle
    given = inputs_of(columns_of(frame.fillna({"height": 160.0})), binary=binary)
    names = ("prediction", "probabilities", "set", "credibility")
    asked = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
    result = client.infer("size", given, outputs=asked, request_id="mine", parameters={"level": 0.8})
    expected = bundle.answer(frame.fillna({"height": 160.0}).astype({"joined": str}), 0.8)
    words = [w.decode() if binary else w for w in result.as_numpy("prediction")]
    assert words == expected.prediction.tolist()
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected.probabilities, rtol=1e-6)
    np.testing.assert_array_equal(result.as_numpy("set"), expected.sets)
    np.testing.assert_allclose(result.as_numpy("credibility"), expected.credibility)
    told = result.get_response()
    assert (told["model_name"], told["model_version"]) == ("size", models["size"].digest[:16])
    assert (told["id"], told["parameters"]) == ("mine", {"request_id": "request-1"})


def test_values_by_the_clients_defaults(client, models):
    """All outputs as bytes; a missing number is NaN; whole numbers of any width, and a column of one."""
    frame = people(30, seed=3).drop(columns="size")
    columns = columns_of(frame)
    columns["children"] = columns["children"].astype(np.uint8).reshape(-1, 1)
    result = client.infer("price", inputs_of(columns), parameters={"level": 0.9})
    expected = models["price"].bundle.answer(frame.astype({"joined": str}), 0.9)
    assert np.isnan(columns["height"]).any()
    np.testing.assert_allclose(result.as_numpy("prediction"), expected.prediction)
    np.testing.assert_allclose(result.as_numpy("interval"), expected.interval)
    assert result.as_numpy("prediction").dtype == np.float64 and result.as_numpy("probabilities") is None
    assert result.get_response()["id"] == "request-1"


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_pictures_series_and_sounds(client, models, binary):
    data = mixed(6, seed=1)
    told = {one["name"]: one for one in client.get_model_metadata("mixed")["inputs"]}
    assert told["photo"] == {"name": "photo", "datatype": "UINT8", "shape": [-1, 9, 7, 3]}
    assert told["grey"] == {"name": "grey", "datatype": "FP32", "shape": [-1, 6, 5]}
    assert told["pulse"] == {"name": "pulse", "datatype": "FP32", "shape": [-1, 2, -1]}
    table = data.table.fillna({"gap": 0.0, "city": "Rome", "story": "red"})
    table["seen"] = table["seen"].fillna("2020-01-01").astype(str)
    names = [name for name in told if name in table]
    arrays = {k: np.nan_to_num(v) for k, v in data.arrays.items()}
    columns = {**columns_of(table[names]), **arrays}
    columns["old"] = table["old"].to_numpy(dtype=bool)
    result = client.infer("mixed", inputs_of(columns, binary=binary))
    rows = [
        {**{n: table[n].iloc[i].item() if hasattr(table[n].iloc[i], "item") else table[n].iloc[i] for n in names},
         **{n: a[i] for n, a in arrays.items()}}
        for i in range(6)
    ]  # fmt: skip
    np.testing.assert_allclose(result.as_numpy("probabilities"), models["mixed"].bundle.predict_proba(rows), rtol=1e-5)
    files = []
    for pixels in arrays["photo"]:
        Image.fromarray(pixels).save(out := io.BytesIO(), "png")
        files.append(out.getvalue() if binary else base64.b64encode(out.getvalue()).decode())
    again = client.infer("mixed", inputs_of({**columns, "photo": np.array(files, dtype=object)}, binary=binary))
    np.testing.assert_allclose(again.as_numpy("probabilities"), result.as_numpy("probabilities"), rtol=1e-5)


GOOD = {
    "height": {"shape": [2], "datatype": "FP64", "data": [170, None]},
    "children": {"shape": [2], "datatype": "INT64", "data": [1, 2]},
    "city": {"shape": [2], "datatype": "BYTES", "data": ["Rome", None]},
    "joined": {"shape": [2, 1], "datatype": "BYTES", "data": [["2020-03-01"], ["2020-04-01"]]},
}


def body(**changed: Any) -> dict[str, Any]:
    """A good request with some inputs changed, or left out (None)."""
    given = {
        name: {**one, **(changed.get(name) or {})} for name, one in GOOD.items() if changed.get(name, 1) is not None
    }
    more = {name: value for name, value in changed.items() if name not in GOOD}
    return {"inputs": [{"name": name, **one} for name, one in given.items()], **more}


def sent(address: str, content: Any, headers: dict[str, str] | None = None, model: str = "size") -> httpx.Response:
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return httpx.post(f"http://{address}/v2/models/{model}/infer", content=content, headers=headers, timeout=20)


def test_json_with_gaps_and_nested_lists(address, models):
    reply = sent(address, body())
    assert reply.status_code == 200, reply.text
    rows = [
        {"height": 170.0, "children": 1, "city": "Rome", "joined": "2020-03-01"},
        {"height": None, "children": 2, "city": None, "joined": "2020-04-01"},
    ]
    told = {one["name"]: one for one in reply.json()["outputs"]}
    assert told["prediction"]["data"] == models["size"].bundle.predict(rows).tolist()
    np.testing.assert_allclose(told["probabilities"]["data"], models["size"].bundle.predict_proba(rows).ravel())
    assert told["probabilities"]["shape"] == [2, 3]


BINARY = {"shape": [2], "datatype": "FP64", "data": None}
WRONG: list[tuple[Any, str]] = [
    (b"", "no JSON"),
    (b"{", "no JSON"),
    (b"[" * 100_000, "no JSON"),
    (b"[]", "the body must be an object"),
    (b"7", "the body must be an object"),
    (b"{}", "inputs must be a list, not None"),
    ({"inputs": {}}, "inputs must be a list"),
    ({"inputs": [7]}, "an input must be an object, not 7"),
    ({"inputs": [{}]}, "an input has the name None"),
    ({"inputs": []}, "input 'height' is absent; the model needs: height"),
    (body(city=None), "input 'city' is absent"),
    (body(inputs=[{"name": "height", **GOOD["height"]}] * 2), "an input has the name 'height'; name each column once"),
    (body(height={"datatype": "FP99"}), "input 'height' has datatype 'FP99'; send one of BOOL"),
    (body(height={"datatype": ["FP64"]}), "has datatype ['FP64']"),
    (body(height={"datatype": "BYTES", "data": ["a", "b"]}), "input 'height' holds BYTES; the model takes FP64"),
    (body(joined={"datatype": "FP64", "data": [1, 2]}), "input 'joined' holds numbers; the model takes BYTES"),
    (body(height={"data": ["a", "b"]}), "holds values in JSON that are no FP64"),
    (body(height={"data": [True, 1]}), "holds values in JSON that are no FP64"),
    (body(children={"data": [1.5, 2]}), "holds values in JSON that are no INT64"),
    (body(children={"datatype": "UINT8", "data": [1, 256]}), "holds a number beyond UINT8"),
    (body(height={"data": [10**400, 1]}), "holds a number beyond FP64"),
    (body(city={"data": ["Rome", 7]}), "holds values in JSON that are no BYTES"),
    (body(height={"data": None}), "data of input 'height' must be a list, not None"),
    (body(height={"data": [[1], 2]}), "mixes lists and values"),
    (body(height={"shape": [3]}), "has shape [3], so 3 values, and 2 were sent"),
    (body(height={"shape": [3], "data": [1, 2, 3]}), "inputs differ in rows: {'height': 3"),
    (body(height={"shape": [1, 2]}), "has shape [1, 2]; send one value per row, [1]"),
    (body(height={"shape": []}), "has shape []; send whole numbers above 0"),
    (body(height={"shape": [-1]}), "has shape [-1]"),
    (body(height={"shape": [2.0]}), "has shape [2.0]"),
    (body(height={"shape": [True, 2]}), "has shape [True, 2]"),
    (body(height={"shape": "2"}), "has shape '2'"),
    (body(height={"shape": [0], "data": []}), "has shape [0]"),
    (body(height={"shape": [1] * 9}), "has shape [1, 1"),
    (body(height={"shape": [10**12]}), "has shape [1000000000000]"),
    (body(height={"shape": [2, 10**4_000]}), "has shape [2, 1000"),
    (body(height={"shape": [MOST + 1]}), "has 501 rows; send at most 500 at once"),
    (body(height={"shape": [2, 2**31 - 1, 2**31 - 1, 2**31 - 1]}), "values, and 2 were sent"),
    (body(height={**BINARY, "parameters": {"binary_data_size": 16}}), "binary_data_size 16, and 0 bytes are left"),
    (body(height={**BINARY, "parameters": {"binary_data_size": -1}}), "binary_data_size -1"),
    (body(height={**BINARY, "parameters": {"binary_data_size": "16"}}), "binary_data_size '16'"),
    (body(height={**BINARY, "parameters": {"binary_data_size": 0}}), "needs 16 bytes for its shape, and 0 were sent"),
    (body(height={**BINARY, "parameters": {"shared_memory_region": "x"}}), "data of input 'height' must be a list"),
    (body(height={"parameters": 7}), "parameters of input 'height' must be an object, not 7"),
    (body(parameters=7), "parameters must be an object"),
    (body(parameters={"level": 1}), "level=1 must lie between 0 and 1"),
    (body(parameters={"level": "high"}), "level='high' must lie"),
    (body(parameters={"level": True}), "level=True must lie"),
    (body(parameters={"level": 0.99999}), "level=0.99999 needs more than"),
    (body(outputs=7), "outputs must be a list, not 7"),
    (body(outputs=[7]), "an output must be an object"),
    (body(outputs=[{"name": "logits"}]), "output 'logits' is not there, or asked for twice; ask for: prediction"),
    (body(outputs=[{"name": "prediction"}] * 2), "asked for twice"),
    (body(outputs=[{"name": {"a": [1]}}]), "output a nested dict is not there"),
    (body(outputs=[{"name": "prediction", "parameters": {"classification": 3}}]), "has the parameter 'classification'"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "line"), WRONG, ids=range(len(WRONG)))
def test_what_does_not_fit_is_one_line(address, content, line):
    reply = sent(address, content)
    assert reply.status_code == 422, reply.text
    assert line in reply.json()["error"], reply.text
    assert len(reply.text) < 500 and "\n" not in reply.json()["error"]


def binary_body(name: str, tail: bytes, size: int | None = None, shape: Any = (2,), **more: Any) -> tuple[bytes, str]:
    given = {
        "shape": list(shape),
        "data": None,
        "parameters": {"binary_data_size": len(tail) if size is None else size},
    }
    head = json.dumps(body(**{name: {**given, **more}})).encode()
    return head + tail, str(len(head))


@pytest.mark.parametrize(
    ("content", "length", "line"),
    [
        (*binary_body("height", b"12345678" * 2 + b"x", 16), "1 bytes of the body are of no input"),
        (*binary_body("height", b"12345678"), "needs 16 bytes for its shape, and 8 were sent"),
        (*binary_body("height", b"x" * 17), "needs 16 bytes for its shape, and 17 were sent"),
        (*binary_body("height", b"", 10**18), "and 0 bytes are left"),
        (*binary_body("city", b"\1\0\0\0a" * 3), "so 2 values, and 3 were sent"),
        (*binary_body("city", b"\1\0\0\0a\xff\xff\xff\xffa"), "ends within value 2; send the length of each"),
        (*binary_body("city", b"\1\0\0\0a\1\0"), "ends within value 2"),
        (*binary_body("city", b"\1\0\0\0\xff\1\0\0\0a"), "holds bytes that are no utf-8 text"),
        (b"{}", "3", "Inference-Header-Content-Length is 3, of a body of 2 bytes"),
        (b"{}", "-1", "Inference-Header-Content-Length is -1"),
        (b"{}", "9" * 5_000, "Inference-Header-Content-Length is 999"),
        (b"{}", "", "Inference-Header-Content-Length is "),
        (b"{}xx", "0", "no JSON"),
    ],
    ids=range(13),
)
def test_bytes_that_do_not_fit_are_one_line(address, content, length, line):
    reply = sent(address, content, {HEADER: length})
    assert reply.status_code == 422, reply.text
    assert line in reply.json()["error"], reply.text


def test_a_compressed_body_and_one_of_another_model(address):
    assert "compressed" in sent(address, b"x", {"Content-Encoding": "gzip"}).json()["error"]
    assert sent(address, body(), model="nothing").status_code == 404
    assert sent(address, body(), model="size/versions/zzz").status_code == 404
    assert sent(address, body(), model="..%2f..%2fetc").status_code == 404


@pytest.mark.parametrize(("datatype", "value"), [("FP32", 1e300), ("FP16", 70_000), ("FP64", 1e308)])
def test_numbers_beyond_all_bounds_are_answered_with_numbers(address, datatype, value):
    height = {"datatype": datatype, "data": [value, -value]}
    reply = sent(address, body(height=height), model="price")
    assert reply.status_code == 200, reply.text
    assert all(np.isfinite(reply.json()["outputs"][0]["data"]))
