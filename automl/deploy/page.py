"""index.html in a bundle: answers in a browser, offline, from ``file://``, with onnxruntime-web.

    why_not = write_page(folder, assets)     # after ``fold``; "" when it was written

The page holds raw.onnx and a few rows with the bundle's answers to them, which it compares with its own each time it is
opened. onnxruntime-web lies beside it as one script, as a page of ``file://`` can fetch nothing: its module, and its
WebAssembly as gzip in base64. It is an npm package (MIT licence) of 14 MB and is not part of this program.
"""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from automl.data.encode.category import MISSING, CategoryColumn
from automl.data.encode.dates import DateColumn
from automl.data.encode.encoding import Encoding
from automl.data.encode.table import Column
from automl.deploy.fold import RAW, columns_of, made_up, raw_inputs, session_of, tolerance
from automl.errors import UserError
from automl.files import write_atomically

PAGE, RUNTIME = "index.html", "onnxruntime-web.js"
LARGEST = 5_000_000
"""Bytes of raw.onnx; a larger page opens slowly."""
ROWS = 8  # with answers, that the page tries itself by
MODULE, WASM = "dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"
HINT = "level4 +experiment=page bundle=THIS_FOLDER ort=FOLDER_OF_THE_NPM_PACKAGE_onnxruntime-web puts it here"


def write_page(folder: Path, assets: Path | None = None) -> str:
    """Write index.html beside raw.onnx and return ""; else say why there is none. An older page is removed.

    ``assets``: the folder of the npm package onnxruntime-web, from which its script is written too; None: whoever opens
    the page is told how to get it. Raises UserError when that folder lacks a file.
    """
    (folder / PAGE).unlink(missing_ok=True)
    if not (folder / RAW).is_file():
        return f"there is no {RAW}"
    raw = (folder / RAW).read_bytes()
    if len(raw) > LARGEST:
        return f"{RAW} has {len(raw) / 1e6:.1f} MB, and a page holds at most {LARGEST / 1e6:.0f}"
    if assets is not None:
        write_atomically(folder / RUNTIME, script_of(assets))
    text = (resources.files("automl.deploy") / "assets" / PAGE).read_text(encoding="utf-8")
    facts = json.dumps(facts_of(raw, Encoding.load(folder)), ensure_ascii=False, allow_nan=False)
    parts = {
        "$RUNTIME": RUNTIME,
        "$HINT": HINT,
        "$MODEL": base64.b64encode(raw).decode(),
        "$FACTS": facts.replace("<", "\\u003c"),
    }
    for mark, part in parts.items():  # the user's words last: they may hold another's mark
        text = text.replace(mark, part)
    write_atomically(folder / PAGE, text)
    return ""


def script_of(assets: Path) -> str:
    """onnxruntime-web as a script that any page may load, also one of ``file://``."""
    for name in (MODULE, WASM):
        if not (assets / name).is_file():
            raise UserError(f"{assets} holds no {name}; give the folder of the unpacked npm package onnxruntime-web")
    # Level 9 takes seconds more for 1 %; mtime: the same package gives the same bytes.
    wasm = base64.b64encode(gzip.compress((assets / WASM).read_bytes(), 6, mtime=0)).decode()
    holds = json.dumps({"module": (assets / MODULE).read_text(encoding="utf-8"), "wasm": wasm})
    return f"// onnxruntime-web, MIT License, Copyright (c) Microsoft Corporation\nwindow.onnxruntime_web = {holds};\n"


def facts_of(raw: bytes, encoding: Encoding) -> dict[str, Any]:
    """What the page knows: the model's metadata, a column's example, and ``rows`` with the flat ``answers``."""
    model = onnx.load_from_string(raw)
    facts = {p.key: json.loads(p.value) for p in model.metadata_props}
    about = {i.name: i.doc_string for i in model.graph.input}
    columns = [
        {"name": c.name, "kind": c.field["kind"], "about": about[c.name], "example": example(c)}
        | ({"categories": c.field["categories"]} if isinstance(c, CategoryColumn) else {})
        for c in columns_of(encoding)
    ]
    inputs = {n: column[:ROWS] for n, column in raw_inputs(encoding, made_up(encoding)).items()}
    answers = np.asarray(session_of(raw).run(None, inputs)[0])
    cells = [[_plain(column[i, 0]) for column in inputs.values()] for i in range(ROWS)]
    return facts | {
        "columns": columns,
        "rows": cells,
        "answers": answers.ravel().tolist(),
        "tolerance": tolerance(answers),
    }


def example(column: Column) -> str:
    """What a field shows at first: the median, or the most frequent category."""
    if isinstance(column, CategoryColumn):
        return next(c for c in column.categories if c != MISSING)
    if isinstance(column, DateColumn):
        return datetime.fromtimestamp(int(column.center), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{column.center:.6g}"


def _plain(cell: Any) -> Any:
    """JSON has neither NaN nor infinity, and both are missing to a model."""
    return cell if isinstance(cell, str) else float(cell) if np.isfinite(cell) else None
