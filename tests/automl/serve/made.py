"""Small bundles of each kind for a server, and the ways to ask one."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from automl.data.dataset import Dataset
from automl.data.prepare import prepare
from automl.deploy.bundle import META, Bundle, checksum_of, digest_of
from automl.deploy.export import export
from automl.serve.app import Server, create_app
from automl.serve.settings import Settings
from automl.training.predictor import Deployed, Predictor, outputs, target_scale
from automl.uncertainty.calibrate import Answers, calibrate
from experiments.solve.filling import fill

ROWS = 120
WORDS = np.array(["red", "blue", "small", "large", "round", "soft", "warm", "cold"])
ROW: dict[str, Any] = {"size": 50.0, "gap": 0.1, "city": "Rome", "seen": "2019-02-03"}
STORY = {"story": "red round small thing"}


def dataset(kind: str) -> Dataset:
    """``kind``: table (two classes), values, image, series or text."""
    rng = np.random.default_rng(0)
    classes = pd.Series(rng.choice(["no", "yes"], ROWS), name="goal")
    none = pd.DataFrame(index=range(ROWS))
    if kind in ("table", "values"):
        frame = pd.DataFrame(
            {
                "size": rng.uniform(20, 80, ROWS),
                "gap": np.where(rng.random(ROWS) < 0.3, np.nan, rng.normal(size=ROWS)),
                "city": rng.choice(["Rome", "Oslo", "Lima"], ROWS),
                "seen": pd.date_range("2019-01-01", periods=ROWS, freq="37h"),
            }
        )
        values = pd.Series(frame["size"] * 3, name="price")
        return Dataset(kind, frame, classes if kind == "table" else values)
    if kind == "text":
        stories = [f"{' '.join(rng.choice(WORDS, 6))} {i}" for i in range(ROWS)]
        return Dataset(kind, pd.DataFrame({"story": stories}), classes)
    array = (
        rng.integers(0, 256, (ROWS, 12, 12, 3)).astype(np.uint8)
        if kind == "image"
        else rng.normal(size=(ROWS, 2, 30)).astype(np.float32)
    )
    return Dataset(kind, none, classes, {kind: array}, modalities={kind: kind})  # type: ignore[dict-item]


class _Net(nn.Module):
    """Any encoded input to outputs."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(x.flatten(1).float())


def bundle(folder: Path, kind: str) -> Path:
    """With networks that were not trained, written as a run writes it."""
    made = dataset(kind)
    prepared = prepare(made, check=False)
    task, parts = prepared.task, prepared.parts
    width = int(np.prod(parts.valid.inputs[0].shape[1:]))
    torch.manual_seed(0)
    networks = [_Net(width, task.num_outputs) for _ in range(2)]
    if kind == "text":  # ids of words are large numbers
        for network in networks:
            network.out.weight.data *= 1e-4
    members = [Predictor(n, task, *target_scale(task, parts.train)).eval() for n in networks]
    predictor = Deployed(members, [2, 1], task)
    told = outputs(predictor, parts.valid.inputs)
    known = Answers(told[0], parts.valid.y, told[1] if "spread" in predictor.names else None)
    sure = calibrate(task, known, None, source="valid", alike=True)

    def more(draft: Path) -> None:
        fill(draft, prepared, made, predictor, sure, None, None)

    return export(folder / kind, predictor, task, prepared.encoding, parts.valid.inputs, fill=more)


def another(source: Path, folder: Path, more: float = 1000.0) -> Path:
    """A version of a bundle of values whose answers are ``more`` larger."""
    shutil.copytree(source, folder)
    encoding, examples = (json.loads((folder / f"{n}.json").read_text()) for n in ("encoding", "examples"))
    encoding["target"]["center"] += more
    examples["answers"] = [a + more for a in examples["answers"]]
    (folder / "encoding.json").write_text(json.dumps(encoding))
    (folder / "examples.json").write_text(json.dumps(examples))
    return sealed(folder)


def sealed(folder: Path) -> Path:
    """meta.json for files that were changed."""
    meta = json.loads((folder / META).read_text())
    meta["files"] = {name: checksum_of(folder / name) for name in meta["files"]}
    meta["digest"] = digest_of(meta)
    (folder / META).write_text(json.dumps(meta))
    Bundle.load(folder)
    return folder


def server(folder: Path, **options: Any) -> Server:
    """One that is started, in this process."""
    app = create_app(Settings(bundle=str(folder), **options))
    app.models.start()
    return app


def asked(app: Server, method: str, path: str, **options: Any) -> httpx.Response:
    """One request, in a loop of its own."""

    async def ask() -> httpx.Response:
        async with client(app) as session:
            return await session.request(method, path, **options)

    return asyncio.run(ask())


def predicted(app: Server, **question: Any) -> httpx.Response:
    return asked(app, "POST", "/predict", json=question)


def client(app: Server) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")


def png(height: int = 12, width: int = 12) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 10)).save(file, "PNG")
    return file.getvalue()


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def row_of(kind: str) -> Mapping[str, Any]:
    """A row that a bundle of this kind answers."""
    rows: dict[str, Mapping[str, Any]] = {
        "table": ROW,
        "values": ROW,
        "text": STORY,
        "image": {"image": base64_of(png())},
        "series": {"series": [[0.5] * 30, [0.1] * 30]},
    }
    return rows[kind]
