"""The schema of a row: a real schema, which real rows keep and which refuses what is no row."""

from __future__ import annotations

import base64
import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from automl.data.encode import Encoding
from automl.data.prepare import prepare
from automl.data.sources.audio_folder import AudioFolderSource
from automl.data.sources.file import FileSource
from automl.data.sources.sklearn import SklearnSource
from automl.deploy.examples import raw_row
from automl.deploy.schema import answer_schema, schema_of
from automl.errors import UserError
from automl.types import Task
from tests.automl.data.files import sound
from tests.automl.deploy.rows import ROWS, mixed, task_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    jsonschema = pytest.importorskip("jsonschema")

MIXED = mixed()
ENCODING = Encoding.fit(MIXED, np.arange(ROWS), kind="binary")
EXAMPLE = raw_row(MIXED, 0)
SCHEMA = schema_of(ENCODING, task_of(ENCODING), EXAMPLE)


def faults(schema: dict[str, Any], row: Any) -> list[str]:
    """Where a row breaks the schema; formats are checked too."""
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    found = jsonschema.Draft202012Validator(schema, format_checker=checker).iter_errors(row)
    return sorted("/".join(map(str, error.absolute_path)) for error in found)


def sent(row: dict[str, Any]) -> dict[str, Any]:
    """A row through JSON."""
    lists = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in row.items()}
    gaps = {n: json.loads(json.dumps(v).replace("NaN", "null")) for n, v in lists.items()}
    return json.loads(json.dumps(gaps, allow_nan=False))


def test_rows_of_everything_keep_it() -> None:
    schema = json.loads(json.dumps(SCHEMA, allow_nan=False))
    assert list(schema["properties"]) == schema["required"] == [f["name"] for f in ENCODING.fields]
    for i in range(6):
        row = sent(raw_row(MIXED, i))
        assert faults(schema, row) == []
        for got, expected in zip(
            ENCODING.transform(ENCODING.dataset([row])), ENCODING.transform(MIXED, [i]), strict=True
        ):
            np.testing.assert_array_equal(got, expected)


def test_the_example_predicts() -> None:
    (example,) = json.loads(json.dumps(SCHEMA))["examples"]
    assert faults(SCHEMA, example) == []
    got, expected = ENCODING.transform(ENCODING.dataset([example])), ENCODING.transform(MIXED, [0])
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert "examples" not in schema_of(ENCODING, task_of(ENCODING))
    large = EXAMPLE | {"photo": np.zeros((300, 300, 3), np.uint8)}
    assert "examples" not in schema_of(ENCODING, task_of(ENCODING), large)


def png() -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((9, 7, 3), np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", "12.5"),
        ("size", None),
        ("old", True),
        ("city", "Cairo"),
        ("city", 3),
        ("seen", "2021-01-31"),
        ("seen", "2021-01-31T10:00:00Z"),
        ("seen", "31.01.2021"),
        ("story", None),
        ("photo", png()),
        ("photo", None),
        ("photo", np.zeros((4, 5), int).tolist()),
        ("photo", np.zeros((4, 5, 3), int).tolist()),
        ("photo", np.zeros((3, 9, 7), int).tolist()),
        ("grey", np.zeros((4, 5)).tolist()),
        ("voice", np.zeros((64, 3)).tolist()),
        ("line", [1.0, None, 2]),
        ("line", [[1.0, 2.0]]),
        ("pulse", [[1.0, 2.0, None], [3, 4, 5]]),
        ("pulse", [[1.0, 2.0], [3, 4], [5, 6]]),
    ],
)
def test_what_is_allowed_is_answered(field: str, value: Any) -> None:
    row = sent(EXAMPLE) | {field: value}
    assert faults(SCHEMA, row) == []
    ENCODING.transform(ENCODING.dataset([row]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", [1, 2]),
        ("seen", {"day": 1}),
        ("story", ["words"]),
        ("photo", 3),
        ("photo", []),
        ("voice", None),
        ("voice", np.zeros((63, 3)).tolist()),
        ("line", None),
        ("line", []),
        ("line", ["a"]),
        ("pulse", [1.0, 2.0, 3]),
        ("pulse", [[1.0, 2.0, 3], [3, 4, 5], [5, 6, 7]]),
    ],
)
def test_what_is_refused_is_not_allowed(field: str, value: Any) -> None:
    row = sent(EXAMPLE) | {field: value}
    assert faults(SCHEMA, row)
    with pytest.raises(UserError, match=field):
        ENCODING.transform(ENCODING.dataset([row]))


def test_a_column_that_is_absent_and_one_too_many() -> None:
    row = sent(EXAMPLE)
    assert faults(SCHEMA, row | {"comment": "ignored"}) == []
    assert faults(SCHEMA, {n: v for n, v in row.items() if n != "city"}) == [""]


def test_it_says_what_training_saw() -> None:
    said = {n: p["description"] for n, p in SCHEMA["properties"].items()}
    table = MIXED.table
    assert f"training saw {table['rooms'].min()} to {table['rooms'].max()}, none was missing" in said["rooms"]
    assert "some were missing" in said["gap"] and "some were missing" in said["seen"] and "some" in said["pulse"]
    assert "saw 3 often enough" in said["city"] and "unknown" in said["city"]
    assert set(SCHEMA["properties"]["city"]["examples"]) == {"Rome", "Oslo", "Lima"}
    assert "9 x 7 pixels in 3 colours" in said["photo"] and "6 x 5 pixels in grey" in said["grey"]
    assert "2 channels, of which 30 steps" in said["pulse"]


@pytest.mark.parametrize("name", ["iris", "diabetes", "digits"])
def test_known_sets(name: str) -> None:
    dataset = SklearnSource(name).load()
    prepared = prepare(dataset, check=False)
    rows = [raw_row(dataset, i, [f["name"] for f in prepared.encoding.fields]) for i in range(3)]
    schema = schema_of(prepared.encoding, prepared.task, rows[0])
    for row in [*map(sent, rows), *schema["examples"]]:
        assert faults(schema, row) == []
        prepared.encoding.transform(prepared.encoding.dataset([row]))


def test_cells_as_a_file_has_them(tmp_path: Path) -> None:
    lines = ["price;day;at;open;goal"]
    for i in range(1, 50):
        day, at = f"{1 + i % 28:02}.{1 + i % 12:02}.2021", f"{i % 24:02}:{i:02}:00"
        lines.append(f"{i}.{i:03},50;{day};{at};{'true' if i % 3 else 'false'};{'ab'[i % 2]}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    dataset = FileSource(str(tmp_path / "t.csv"), target="goal").load()
    prepared = prepare(dataset, check=False)
    schema = schema_of(prepared.encoding, prepared.task)
    assert {f["kind"] for f in prepared.encoding.fields} == {"numeric", "datetime"}
    assert "true or false" in schema["properties"]["open"]["description"]
    assert "time of day" in schema["properties"]["at"]["description"]
    for line in lines[1:]:
        row = dict(zip(lines[0].split(";"), line.split(";"), strict=True))
        assert faults(schema, row) == []
    for i in range(3):
        assert faults(schema, raw_row(dataset, i)) == []


def test_sounds(tmp_path: Path) -> None:
    for i in range(8):
        sound(tmp_path / "ab"[i % 2] / f"{i}.wav", hertz=300 + 100 * i)
    dataset = AudioFolderSource(str(tmp_path)).load()
    encoding = Encoding.fit(dataset, np.arange(len(dataset)), kind="binary")
    schema = schema_of(encoding, task_of(encoding))
    (name,) = schema["required"]
    wave = base64.b64encode((tmp_path / "a" / "0.wav").read_bytes()).decode()
    for row in ({name: wave}, {name: None}, sent(raw_row(dataset, 0))):
        assert faults(schema, row) == []
        encoding.transform(encoding.dataset([row]))


def test_answers() -> None:
    schema = SCHEMA["$defs"]["answer"]
    good = {"class": "yes", "p": {"no": 0.25, "yes": 0.75}}
    assert faults(schema, good) == [] and faults(schema, good | {"set": ["yes", "no"]}) == []
    assert faults(schema, good | {"class": "maybe"}) == ["class"]
    assert faults(schema, good | {"p": {"no": 1.5, "yes": 0.75}}) == ["p/no"]
    assert faults(schema, good | {"p": {"no": 1.0}}) == ["p"]
    assert faults(schema, {"value": 3.0}) == ["", ""]
    values = answer_schema(Task("toy", "regression", (), 1, "r2"), "price")
    assert values["title"] == "price"
    assert faults(values, {"value": 3.5, "interval": [1, 4.5]}) == [] and faults(values, {}) == [""]
    assert faults(values, {"value": "high"}) == ["value"] and faults(values, {"value": 1, "interval": [1]}) == [
        "interval"
    ]
