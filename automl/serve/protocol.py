"""The Open Inference Protocol, version 2, over HTTP: for clients of Triton, KServe and MLServer.

https://github.com/kserve/open-inference-protocol, with Triton's extension for binary tensors, which its client uses by
default. A model takes one tensor per column (``automl.serve.tensors``) and gives ``prediction`` and ``probabilities``;
asked with the parameter ``level`` also ``interval`` or ``set``, and ``credibility``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from fastapi import APIRouter, Request, Response

from automl.data.read.files import short
from automl.deploy.bundle import Answer, Bundle
from automl.deploy.entry import DIGITS
from automl.errors import UserError
from automl.serve.tensors import (
    HEADER,
    as_list,
    as_object,
    parts,
    read_tensors,
    rows_of,
    tensor_of,
    told,
    write_tensors,
)
from automl.version import package_version

RowsOf = Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]
"""The fields of a model -> raw rows."""


class Served(Protocol):
    """A version that answers: its name, its whole digest, and what was loaded."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def bundle(self) -> Bundle: ...


def router(
    *,
    find: Callable[[str], Served],
    predict: Callable[[str, RowsOf, float | None], Awaitable[tuple[Served, str, Answer]]],
    ready: Callable[[], None],
    read: Callable[[Request], Awaitable[bytes]],
    parse: Callable[[bytes], Any],
    most_rows: int,
) -> APIRouter:
    """The routes. They raise UserError for what does not fit, and whatever the functions raise.

    ``find``: ``NAME`` or ``NAME@VERSION`` -> what answers. ``predict``: the same, fields of what answers -> raw rows, a
    level or None -> what has answered, the id of the request, the answer. ``ready``: raises where not all models
    answer. ``read``, ``parse``: the body within the server's limits, and the JSON in it. ``most_rows``: of a request; a
    tensor of bytes holds many.
    """
    routes = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

    @routes.get("", summary="The server")
    async def server() -> Any:
        return {"name": "level4", "version": package_version(), "extensions": ["binary_tensor_data"]}

    @routes.get("/health/live", summary="Whether the server lives")
    async def live() -> Any:
        return {"live": True}

    @routes.get("/health/ready", summary="Whether all models answer")
    async def all_ready() -> Any:
        ready()
        return {"ready": True}

    @routes.get("/models/{name}", summary="What a model takes and gives")
    async def model(name: str) -> Any:
        return metadata(find(name))

    @routes.get("/models/{name}/versions/{version}", summary="The same of a version: an alias or a digest")
    async def model_version(name: str, version: str) -> Any:
        return metadata(find(f"{name}@{version}"))

    @routes.get("/models/{name}/ready", summary="Whether a model answers")
    async def model_ready(name: str) -> Any:
        return {"name": find(name).name, "ready": True}

    @routes.get("/models/{name}/versions/{version}/ready", summary="Whether a version answers")
    async def version_ready(name: str, version: str) -> Any:
        return {"name": find(f"{name}@{version}").name, "ready": True}

    @routes.post("/models/{name}/infer", summary="Answers of a model", openapi_extra=_BODY)
    async def infer(request: Request, name: str) -> Response:
        return await answered(request, name)

    @routes.post("/models/{name}/versions/{version}/infer", summary="Answers of a version", openapi_extra=_BODY)
    async def version_infer(request: Request, name: str, version: str) -> Response:
        return await answered(request, f"{name}@{version}")

    async def answered(request: Request, asked: str) -> Response:
        find(asked)
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise UserError("the body is compressed; send it as it is")
        text, binary = parts(await read(request), request.headers.get(HEADER))
        head = as_object(parse(text), "the body")
        parameters = as_object(head.get("parameters"), "parameters")
        given = read_tensors(as_list(head.get("inputs"), "inputs"), binary, most_rows)
        served, request_id, answer = await predict(asked, lambda fields: rows_of(fields, given), level_of(parameters))
        said = {"model_name": served.name, "model_version": served.digest[:DIGITS], "id": request_id}
        if isinstance(own := head.get("id"), str):
            said |= {"id": own, "parameters": {"request_id": request_id}}
        body, length = write_tensors(said, wanted_of(head, parameters, outputs_of(answer)))
        if length is None:
            return Response(body, media_type="application/json")
        return Response(body, media_type="application/octet-stream", headers={HEADER: str(length)})

    return routes


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {"inputs": {"type": "array", "items": {"type": "object"}}},
                }
            }
        },
    }
}


def metadata(served: Served) -> dict[str, Any]:
    """What a model takes and gives; what a level must be asked for, where it is calibrated."""
    bundle, task = served.bundle, served.bundle.task
    credibility = {"name": "credibility", "datatype": "FP64", "shape": [-1]}
    if task.kind == "regression":
        outputs = [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]
        more = [{"name": "interval", "datatype": "FP64", "shape": [-1, 2]}, credibility]
    else:
        each = {"shape": [-1, len(task.classes)], "parameters": {"classes": list(task.classes)}}
        outputs = [
            {"name": "prediction", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", **each},
        ]
        more = [{"name": "set", "datatype": "BOOL", **each}, credibility]
    return {
        "name": served.name,
        "versions": [served.digest[:DIGITS]],
        "platform": "level4_bundle",
        "inputs": [
            {"name": field["name"], "datatype": datatype, "shape": shape}
            for field in bundle.encoding.fields
            for datatype, shape in [tensor_of(field)]
        ],
        "outputs": [*outputs, *(more if is_calibrated(bundle) else [])],
    }


def is_calibrated(bundle: Bundle) -> bool:
    try:
        return bundle.calibration is not None
    except UserError:
        return False


def level_of(parameters: Mapping[str, Any]) -> float | None:
    level = parameters.get("level")
    if level is None or (type(level) in (int, float) and 0 < level < 1):
        return level
    raise UserError(f"level={told(level)} must lie between 0 and 1, such as 0.9")


def outputs_of(answer: Answer) -> dict[str, np.ndarray]:
    """The tensors that an answer has."""
    values = answer.prediction.dtype.kind in "iuf"
    known = {
        "prediction": answer.prediction.astype(np.float64) if values else answer.prediction,
        "probabilities": None if answer.probabilities is None else answer.probabilities.astype(np.float32),
        "interval": None if answer.interval is None else answer.interval.astype(np.float64),
        "set": answer.sets,
        "credibility": None if answer.credibility is None else answer.credibility.astype(np.float64),
    }
    return {name: array for name, array in known.items() if array is not None}


def wanted_of(
    head: Mapping[str, Any], parameters: Mapping[str, Any], known: Mapping[str, np.ndarray]
) -> list[tuple[str, np.ndarray, bool]]:
    """Name, array, and whether it is sent as bytes, of the outputs asked for; all where none is named."""
    binary = parameters.get("binary_data_output") is True
    wanted = []
    for one in as_list(head.get("outputs") or [], "outputs") or [{"name": name} for name in known]:
        one = as_object(one, "an output")
        own = as_object(one.get("parameters"), "parameters of an output")
        name = one.get("name")
        if not isinstance(name, str) or name not in known or name in [n for n, *_ in wanted]:
            raise UserError(f"output {told(name)} is not there, or asked for twice; ask for: {', '.join(known)}")
        if unknown := own.keys() - {"binary_data"}:
            raise UserError(f"output {name!r} has the parameter {short(min(unknown))!r}; only binary_data is known")
        wanted.append((name, known[name], own.get("binary_data", binary) is True))
    return wanted
