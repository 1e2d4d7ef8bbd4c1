"""The card tells what is known and nothing else, shows users' names as they are, and its commands work."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from automl.data.encode import Encoding
from automl.deploy.bundle import Bundle
from automl.deploy.card import card, class_rows, head, renewed
from automl.deploy.examples import write_examples
from automl.deploy.export import write_meta
from automl.deploy.install import SELF_TEST, dockerfile, requirements_text
from automl.deploy.markdown import escaped
from automl.deploy.runtime import NEEDS, metadata
from automl.types import Task
from tests.automl.deploy.rows import ROWS, mixed, task_of

EVIL = "a|b <script>alert(1)</script> [x](javascript:1) `c` **d** \n# e http://evil.example www.evil.example\x00\ud800"
FACTS: dict[str, Any] = {
    "version": "0.1.0+gabc",
    "date": "2026-11-01T10:00:00+00:00",
    "task": {
        "name": "penguins",
        "kind": "multiclass",
        "metric": "accuracy",
        "classes": ["Adelie", "Gentoo", "Chinstrap"],
        "goal": "accuracy >= 0.9",
        "goal_met": True,
        "why": ["3 words: multiclass"],
    },
    "data": {
        "origin": "/home/somebody/secret/penguins.csv",
        "rows": 344,
        "train": 200,
        "valid": "58 rows",
        "test": 86,
        "inputs": {"table": "tabular 9", "note": "text 12"},
        "notes": ["the index is no feature"],
    },
    "findings": [{"name": "gaps", "severity": "info", "where": "sex", "count": 9, "text": "9 cells are empty"}],
    "level": 4,
    "seed": 0,
    "prior": {"why": ["learned from 120 tasks"], "families": {"mlp": 1.0}},
    "trials": {"ok": 18, "failed": 1, "timeout": 1},
    "seconds": {"total": 61.2, "search": 50.0},
    "judged_by": "58 rows",
    "val": {"accuracy": 0.99},
    "test": {"accuracy": 0.9767, "log_loss": 0.08},
    "interval": [0.9419, 1.0],
    "baseline": {"accuracy": 0.4419, "log_loss": 1.05},
    "chosen": {"family": "tabm", "choices": {"width": 64}},
    "ensemble": [{"family": "tabm", "weight": 0.75}, {"family": "mlp", "weight": 0.25}],
    "notes": ["left out: network 7 (mlp) cannot be exported: boom"],
    "deployed": {"parameters": 4321, "megabytes": 0.25, "latency_ms": 1.5, "batch_ms": None, "graph_ms": 0.08},
    "within_limits": True,
    "tried": [{"family": "tabm"}, {"family": "tabm"}, {"family": "mlp"}],
    "bundle": "/home/somebody/outputs/bundle",
    "store": "/home/somebody/outputs/store.db",
}
MORE: dict[str, Any] = {
    "target": "species",
    "license": "cc0-1.0",
    "columns": 7,
    "example": {"sex": None, "mass": 3750.0, "island": "Torgersen"},
    "classes": [{"class": "Adelie", "rows": 38, "recall": 1.0, "precision": 0.95}],
    "calibration": {
        "rows": 58,
        "source": "valid",
        "guaranteed": False,
        "temperature": 1.31,
        "coverage": {"0.9": {"covered": 0.911, "band": [0.82, 0.97], "mean_size": 1.04, "rows": 86}},
    },
    "knowledge": "120 tasks, 14,000 trials",
    "files": ["README.md", "model.onnx", "level4_runtime-0.1.0-py3-none-any.whl", "other.bin"],
    "digest": "3f2a9c",
}


def test_it_tells_what_is_known() -> None:
    text = card(FACTS | MORE)
    for part in (
        "It tells **species**, one of 3 classes (Adelie, Gentoo, Chinstrap), from tabular and text data.",
        "**Meant for**",
        "**Not meant for**",
        "pip install level4_runtime-*.whl",
        "'island': 'Torgersen'",
        "level4 +experiment=predict bundle=. data.path=new.csv out=answers.parquet",
        "Origin: penguins.csv.",
        "Licence: cc0-1.0.",
        "344 in all, 200 to learn from, 86 to test",
        "| accuracy | 0.9767 | 0.4419 |",
        "| log\\_loss (less is better) | 0.08 | 1.05 |",
        "interval of accuracy over other such test rows is 0.9419 to 1.",
        "accuracy &gt;= 0.9: met",
        "| Adelie | 38 | 1 | 0.95 |",
        "Calibrated on 58 rows",
        "not guaranteed",
        "temperature 1.31",
        "Asked for 90 %: 91.1 % of test rows, 82 % to 97 % is chance, mean size 1.04.",
        "The answer is the class of the highest probability.",
        "1.5 ms for one raw row",
        "an ensemble of 2 (tabm 0.75, mlp 0.25)",
        "tabm 2, mlp 1",
        "18 finished, 2 not",
        "61 s in all",
        "version 0.1.0+gabc",
        "120 tasks, 14,000 trials",
        "| `model.onnx` | the network",
        "| `other.bin` |  |",
        "the code that answers",
        "Digest: `3f2a9c`.",
        "taken as unknown",
        "the beginning and the end are read",
    ):
        assert part in text, part
    assert "somebody" not in text and "None" not in text.replace("'sex': None", "") and "Pictures" not in text
    assert re.search(r"\n{3,}|\.\.", text.partition("## How good")[2]) is None


def test_what_is_absent_is_left_out() -> None:
    names = ("name", "kind", "metric", "classes")
    bare = card({"task": {n: FACTS["task"][n] for n in names}})
    titles = re.findall(r"^## (.+)$", bare, re.MULTILINE)
    assert titles == ["How to use it", "Data", "How sure it is", "Limits of use"]
    assert "Licence: not given." in bare and "None" not in bare and "{" not in bare
    everything = FACTS | MORE
    for name in everything.keys() - {"task"}:
        assert "None" not in card({k: v for k, v in (everything | {"example": {}}).items() if k != name}), name
    regression = FACTS | {"task": FACTS["task"] | {"kind": "regression", "classes": [], "metric": "r2"}}
    text = card(regression | {"test": {"r2": 0.5}, "calibration": {"rows": 5, "source": "holdout", "guaranteed": True}})
    assert "a number, from" in text and "predict_proba" not in text and "intervals is guaranteed" in text


def test_it_says_why_other_languages_have_no_model() -> None:
    assert "There is none: x is text." in card(FACTS | {"no_raw": "There is none: x is text"})
    assert "There is none" not in card(FACTS | MORE)


def test_the_head_is_what_hubs_read() -> None:
    text = card(FACTS | MORE)
    made = yaml.safe_load(text.split("---\n")[1])
    assert made == head(FACTS | MORE)
    assert made["license"] == "cc0-1.0" and made["library_name"] == "level4" and made["metrics"] == ["accuracy"]
    assert set(made["tags"]) >= {"tabular", "text", "onnx"} and "pipeline_tag" not in made
    alone = FACTS | {"data": {"inputs": {"table": "tabular 9"}}}
    assert head(alone)["pipeline_tag"] == "tabular-classification" and "license" not in head(alone)
    other = head(FACTS | {"license": "CC0 (the station)"})
    assert (other["license"], other["license_name"]) == ("other", "CC0 (the station)")
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(text).data
    assert data.eval_results[0].metric_value == 0.9767 and data.eval_results[0].metric_type == "accuracy"


def test_names_of_users_are_no_markup() -> None:
    task = FACTS["task"] | {"name": EVIL, "classes": [EVIL, "b"]}
    classes = [{"class": EVIL, "rows": 1, "recall": None, "precision": None}]
    evil = {"target": EVIL, "license": EVIL, "example": {EVIL: EVIL}, "classes": classes, "notes": [EVIL]}
    text = card(FACTS | evil | {"task": task})
    text.encode()
    start, head_text, body = text.split("---\n", 2)
    assert start == "" and yaml.safe_load(head_text)["license_name"].startswith("a|b")
    prose = re.sub(r"```python.*?\n```", "", body, flags=re.DOTALL)
    assert "<script" not in prose and "](" not in prose.replace("\\](", "") and "\n# e" not in prose
    assert "http://" not in prose and "www." not in prose
    (line,) = (row for row in prose.splitlines() if row.startswith("| a\\|b"))
    assert len(re.findall(r"(?<!\\)\|", line)) == 5
    assert len(re.findall(r"^```", body, re.MULTILINE)) % 2 == 0


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_an_escaped_text_is_one_line_without_markup(text: str) -> None:
    got = escaped(text)
    assert len(got.splitlines()) <= 1 and "<" not in got and ">" not in got
    assert re.search(r"(?<!\\)(\\\\)*[`*_\[\]|]", got) is None


def test_shares_of_classes() -> None:
    y = np.array([0, 0, 0, 1])
    predictions = np.eye(3)[[0, 0, 1, 1]]
    assert class_rows(["a", "b", "c"], y, predictions) == [
        {"class": "a", "rows": 3, "recall": 2 / 3, "precision": 1.0},
        {"class": "b", "rows": 1, "recall": 1.0, "precision": 0.5},
        {"class": "c", "rows": 0, "recall": None, "precision": None},
    ]
    many = [{"class": f"c{i}", "rows": 1, "recall": i / 100, "precision": None} for i in range(100)]
    text = card(FACTS | {"classes": many})
    assert "| c39 |" in text and "| c40 |" not in text and "The 40 of 100 classes" in text


def toy_bundle(folder: Path, encoding: Encoding, task: Task) -> Bundle:
    """A bundle whose graph answers the sigmoid of the table's mean; no network is exported, which takes seconds."""
    types = {"tabular": 1, "series": 1, "audio": 1, "image": 2, "text": 6}
    inputs = [
        helper.make_tensor_value_info(f"input_{i}", types[one.modality], ["rows", *one.shape])
        for i, one in enumerate(task.inputs)
    ]
    nodes = [
        helper.make_node("ReduceMean", ["input_0"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Neg", ["mean"], ["negative"]),
        helper.make_node("Concat", ["mean", "negative"], ["both"], axis=1),
        helper.make_node("Softmax", ["both"], ["output"], axis=1),
    ]
    output = helper.make_tensor_value_info("output", 1, ["rows", 2])
    graph = helper.make_graph(nodes, "toy", inputs, [output])
    folder.mkdir()
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "model.onnx"
    )
    encoding.save(folder)
    write_meta(folder, task, {})
    return Bundle.load(folder)


def test_its_commands_work(tmp_path: Path) -> None:
    dataset = mixed()
    encoding = Encoding.fit(dataset, np.arange(ROWS), kind="binary")
    task = task_of(encoding)
    folder = tmp_path / "bundle"
    bundle = toy_bundle(folder, encoding, task)
    rows, answers, _ = write_examples(
        folder, dataset, [0, 5], bundle.predict_encoded(encoding.transform(dataset, [0, 5]))
    )
    facts = FACTS | {"task": FACTS["task"] | {"kind": "binary"}, "example": rows[0]}
    (code,) = re.findall(r"```python\n(.*?)```", card(facts), re.DOTALL)
    got = python(folder, code + SELF_TEST)
    names = np.array(task.classes, dtype=object)[answers.argmax(1)]
    assert got.stdout == f"{names}\n{answers.astype(np.float32)}\nthe examples are answered as they were\n", got.stderr
    plain = {n: v for n, v in rows[0].items() if n in dataset.table}
    (literal,) = re.findall(r"^rows = (.*?)^bundle", card(facts | {"example": plain}), re.DOTALL | re.MULTILINE)
    assert ast.literal_eval(literal) == [plain], "rows without arrays stand in the card"


def python(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    path = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(path)}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=110, check=False
    )


def test_requirements_are_pinned() -> None:
    lines = requirements_text().splitlines()
    assert [line.split("==")[0] for line in lines] == list(NEEDS)
    assert f"numpy=={np.__version__}" in lines
    assert requirements_text(sounds=True).splitlines()[:-1] == lines and "scipy==" in requirements_text(sounds=True)


def test_builds_of_one_s_own_are_asked_for_by_what_an_index_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.2.3+cpu")
    assert requirements_text().splitlines() == [f"{name}==1.2.3" for name in NEEDS]
    assert "Requires-Dist: numpy>=1.2.3\n" in metadata()


def test_the_image_runs_as_nobody_special() -> None:
    lines = dockerfile("w.whl").splitlines()
    assert lines[0] == "FROM python:3.11-slim" and lines.index("USER bundle") < len(lines) - 1
    assert f'RUN python -c "{SELF_TEST}"' in lines and '"' not in SELF_TEST
    assert lines[-1] == 'CMD ["python", "-m", "automl.serve", "/bundle", "--host", "0.0.0.0"]'
    assert "COPY requirements.txt w.whl ./" in lines


def test_a_card_of_changed_variants_tells_what_answers_and_what_it_was_measured_on() -> None:
    first, now = "a" * 64, "b" * 64
    files = ["README.md", "model.onnx", "raw.onnx", "meta.json"]
    why = "There is no raw.onnx, which takes raw columns: column 'a' has no operator"
    text = card(FACTS | MORE | {"digest": first, "files": files, "no_raw": why})
    entry = {"name": "2-fp32", "file": "model.2-fp32.onnx", "members": 2, "precision": "fp32"}
    meta = {"digest": now, "variants": [entry], "chosen": "2-fp32"}
    changed = renewed(text, meta, [*files, "model.2-fp32.onnx"])
    for part in (
        "| `model.2-fp32.onnx` | a smaller or faster variant",
        "| `raw.onnx` | the whole network in fp32 from raw columns, not the variant",
        "There is no raw.onnx, which takes raw columns",
        f"Digest: `{now}`.",
        "`model.2-fp32.onnx` (2 of its members, fp32) answers now.",
        f"measured before, when the digest was `{first}`.",
    ):
        assert changed.count(part) == 1, part
    again = renewed(changed, {**meta, "digest": "c" * 64, "chosen": None}, files)
    assert "`model.onnx` answers now." in again and f"the digest was `{first}`." in again and now not in again
    assert renewed(changed, {"digest": first}, files) == text, "what was judged answers again"
    for other in ("", "# Mine\n", text.replace("## Files", "## All")):
        assert renewed(other, meta, files) == other
