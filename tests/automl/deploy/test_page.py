"""index.html in a bundle, read as text and opened in a browser."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from automl.deploy import page
from automl.deploy.bundle import MODEL, Bundle
from automl.deploy.fold import RAW, fold, made_up
from automl.deploy.judge import Verdict
from automl.deploy.optimise import Variant
from automl.deploy.page import PAGE, RUNTIME, write_page
from automl.deploy.variants import Kept, write
from automl.errors import UserError
from automl.uncertainty.sets import Calibration, Scores
from experiments import page as recipe
from experiments.configuration import CONF
from tests.automl.browser import Browser
from tests.automl.deploy.test_fold import bundle_of, mixed

ODD = "a $MODEL </script><b>"
PACKAGE = os.environ.get("ONNXRUNTIME_WEB", "")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    table = mixed().rename(columns={"two": ODD})
    table[ODD] = table[ODD].replace("x", "</script><script>alert(1)</script>")
    table["yes"] = [f"{i % 7} kg" for i in range(len(table))]
    bundle = bundle_of(tmp_path, table)
    assert fold(tmp_path, bundle.encoding, bundle.task) == ""
    return bundle


def facts_in(folder: Path) -> dict:
    text = (folder / PAGE).read_text()
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_what_the_page_knows(bundle: Bundle) -> None:
    assert write_page(bundle.folder) == ""
    facts = facts_in(bundle.folder)
    columns = {c["name"]: c for c in facts["columns"]}
    assert list(columns) == [f["name"] for f in bundle.encoding.fields]
    assert columns[ODD]["categories"][1] in ("y", "</script><script>alert(1)</script>")
    assert columns["day"]["example"].startswith("2021")
    assert facts["name"] == "toy" and facts["target"] == "goal"
    text = (bundle.folder / PAGE).read_text()
    assert "alert(1)" in text and "<script>alert" not in text, "a category ran as code"
    expected = bundle.predict_proba(made_up(bundle.encoding).iloc[: page.ROWS])
    np.testing.assert_allclose(np.reshape(facts["answers"], expected.shape), expected, atol=1e-5)
    assert RUNTIME in text and not (bundle.folder / RUNTIME).exists()
    assert Bundle.load(bundle.folder).meta["files"].keys().isdisjoint({PAGE}), "a page is no part of the model"


def test_no_page_where_there_is_nothing_to_show(bundle: Bundle, tmp_path: Path, monkeypatch) -> None:
    (bundle.folder / PAGE).write_text("from before")
    with pytest.raises(UserError, match=r"holds no dist/ort\.wasm"):
        write_page(bundle.folder, tmp_path)
    monkeypatch.setattr(page, "LARGEST", 1000)
    assert "a page holds at most" in write_page(bundle.folder)
    (bundle.folder / "raw.onnx").unlink()
    assert write_page(bundle.folder) == "there is no raw.onnx"
    assert not (bundle.folder / PAGE).exists()


def package(folder: Path) -> Path:
    """The npm package in small."""
    (folder / "dist").mkdir(parents=True)
    (folder / page.MODULE).write_text("export const env = {};")
    (folder / page.WASM).write_bytes(b"wasm" * 100)
    return folder


def test_the_recipe_folds_and_writes_all_that_is_needed(bundle: Bundle, tmp_path: Path, capsys) -> None:
    (bundle.folder / "raw.onnx").unlink()
    cfg = OmegaConf.load(CONF / "experiment/page.yaml")
    cfg.bundle, cfg.ort = str(bundle.folder), str(package(tmp_path / "package"))
    recipe.run(cfg)  # pyright: ignore[reportArgumentType]
    assert str(bundle.folder / PAGE) in capsys.readouterr().out
    assert {"raw.onnx", PAGE, RUNTIME} <= {f.name for f in bundle.folder.iterdir()}
    script = (bundle.folder / RUNTIME).read_text()
    assert "MIT License" in script and json.loads(script.partition(" = ")[2].rstrip(";\n")).keys() == {"module", "wasm"}


def open_page(browser: Browser, folder: Path) -> None:
    """Open the page from its file and wait, as long as it takes, until it has answered or said why not."""
    browser.open(f"{(folder / PAGE).as_uri()}?selftest", "document.querySelector('#answer').textContent !== '...'")


@pytest.mark.skipif(not PACKAGE, reason="needs ONNXRUNTIME_WEB=FOLDER of the npm package onnxruntime-web")
@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_a_browser_answers_as_the_bundle_does(browser: Browser, tmp_path: Path, kind) -> None:
    table = mixed().rename(columns={"two": ODD})
    bundle = bundle_of(tmp_path, table, kind, shift=1.7e12 if kind == "regression" else 0.0)
    assert fold(tmp_path, bundle.encoding, bundle.task) == ""
    assert write_page(tmp_path, Path(PACKAGE)) == ""
    open_page(browser, tmp_path)
    rows = made_up(bundle.encoding).iloc[: page.ROWS]
    expected = bundle.predict(rows) if kind == "regression" else bundle.predict_proba(rows)
    got = np.reshape(json.loads(browser.text("#selftest")), expected.shape)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 if kind == "regression" else 1e-6)
    assert browser.text("#check") == "Checked: 8 rows answered as the bundle does."
    facts = facts_in(tmp_path)
    typical = pd.DataFrame([{c["name"]: c["example"] for c in facts["columns"]}])
    answer = bundle.predict(typical)[0]
    if kind == "regression":
        assert float(browser.text("#answer")) == pytest.approx(answer, rel=1e-5)
    else:
        assert browser.text("#answer") == answer


def test_a_page_without_its_runtime_says_what_to_do(browser: Browser, bundle: Bundle) -> None:
    assert write_page(bundle.folder) == ""
    open_page(browser, bundle.folder)
    assert browser.text("#answer") == "no answer"
    assert "onnxruntime-web.js is not beside this page; level4 +experiment=page" in browser.text("#check")


def test_the_page_decides_as_the_graph_that_it_holds(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not as a variant that answers in the bundle, whose probabilities are others."""
    times = {(threads, rows): 1.0 for threads in (1, 2) for rows in (1, 32)}
    variant = Variant(1, "fp32", megabytes=1.0, verdict=Verdict(0.5, 0, 0, 0), raw_ms=times, graph_ms=times)
    decision = tuple(np.linspace(0.5, 1, len(bundle.task.classes)).tolist())
    sure = Calibration(bundle.task.kind, 3, "valid", False, Scores(3, np.array([0.1, 0.2, 0.3])), decision=decision)
    write(bundle, [Kept(variant, (bundle.folder / MODEL).read_bytes(), sure)], variant.name)
    assert Bundle.load(bundle.folder).decision == decision
    (bundle.folder / RAW).unlink()
    asked: list = []
    monkeypatch.setattr(recipe, "fold", lambda *of: (asked.append(of[3]), "not now")[1])
    with pytest.raises(UserError, match="not now"):
        recipe.run(OmegaConf.create({"bundle": str(bundle.folder), "ort": str(bundle.folder)}))
    assert asked == [None]
