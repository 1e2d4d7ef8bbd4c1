"""The inspection: its files, its page, and what it does with data that no task can be made of."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import get_method, instantiate
from PIL import Image
from rich.console import Console

from automl.data.dataset import TEST, TRAIN, Dataset
from automl.errors import UserError
from experiments.compose import composed
from experiments.inspect.inspect import Inspection, inspect_dataset, run, show
from experiments.inspect.pictures import SIDE, cells_view, curve, picture, row_view
from metalearner.profile import NAMES

SHAPES = [(8, 8), (28, 20), (8, 8, 3), (3, 8, 8), (1, 40, 64), (9, 300), (500, 400, 3), (7, 9, 9)]


def images(rows: int = 240) -> Dataset:
    """Bright left or bright right halves; rows 7 and 90 say the wrong one."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, rows)
    pixels = rng.integers(0, 90, (rows, 10, 10), dtype=np.uint8)
    for image, label in zip(pixels, y, strict=True):
        image[:, :5] += np.uint8(120 * label)
        image[:, 5:] += np.uint8(120 * (1 - label))
    y[[7, 90]] = 1 - y[[7, 90]]
    bare = pd.DataFrame(index=range(rows))
    target = pd.Series(np.where(y == 1, "left", "right"))
    return Dataset("halves", bare, target, {"image": pixels}, modalities={"image": "image"}, origin="made here")


def people(rows: int = 200) -> Dataset:
    rng = np.random.default_rng(0)
    height, weight = rng.normal(170, 10, rows), rng.normal(70, 10, rows)
    table = pd.DataFrame(
        {
            "height": height,
            "weight": np.where(rng.random(rows) < 0.2, np.nan, weight),
            "city": rng.choice(["Berlin", "Rome"], rows),
            "joined": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 500, rows), unit="D"),
            "unit": "cm",
        }
    )
    return Dataset("people", table, pd.Series(np.where(height + weight > 240, "large", "small"), name="size"))


@pytest.fixture(scope="module")
def inspected(tmp_path_factory) -> tuple[Inspection, Path]:
    folder = tmp_path_factory.mktemp("inspected") / "deep" / "er"
    return inspect_dataset(images(), folder), folder


def printed(found: Inspection) -> str:
    console = Console(record=True, width=200, file=io.StringIO())
    show(found, console)
    return console.export_text()


def without_scripts(folder: Path) -> str:
    """The page as its reader sees it: plotly's code has links and a picture of its own."""
    return re.sub(r"<script nonce.*?</script>", "", (folder / "inspect.html").read_text(), flags=re.DOTALL)


def test_three_files_are_written(inspected) -> None:
    found, folder = inspected
    assert sorted(p.name for p in folder.iterdir()) == ["inspect.html", "profile.json", "quality.json"]
    quality = json.loads((folder / "quality.json").read_text())
    assert quality["rows"] == 240
    assert {f["name"] for f in quality["findings"]} == {f.name for f in found.quality.findings}
    profile = json.loads((folder / "profile.json").read_text())
    assert tuple(profile["features"]) == NAMES
    assert profile["task"]["kind"] == "binary"
    for name, feature in profile["features"].items():
        assert (feature["value"] is None) == ("reason" in feature), name
        assert feature["meaning"]


PICTURE = r'src="data:image/png;base64,([^"]+)"'


def test_the_page_shows_the_suspects_as_pictures(inspected) -> None:
    found, folder = inspected
    page = without_scripts(folder)
    suspects = found.quality.named("label_errors")[0]
    assert set(suspects.rows) == {7, 90}
    assert "Suspected label errors" in page
    rows, _, judged = page.partition("Suspected label errors")
    if "Some rows" in judged:  # whichever section comes first
        judged, _, rows = judged.partition("Some rows")
    shown = re.findall(PICTURE, judged)
    assert len(shown) == 2
    assert 1 <= len(re.findall(PICTURE, rows)) <= 24
    assert Image.open(io.BytesIO(base64.b64decode(shown[0]))).size == (SIDE, SIDE)
    assert "<s>right</s>" in page or "<s>left</s>" in page
    assert page.count('class="plot"') == 2  # classes, and landmarks


def test_the_page_needs_nothing_from_elsewhere(inspected) -> None:
    page = without_scripts(inspected[1])
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "default-src 'none'" in page


def test_what_is_printed(inspected) -> None:
    text = printed(inspected[0])
    assert "halves: binary, 240 rows" in text
    assert "labels" in text
    assert re.search(r"landmark_linear_error +0\S* +error of ridge regression", text)


def test_a_table_shows_its_columns_and_gaps(tmp_path: Path) -> None:
    found = inspect_dataset(people(), tmp_path)
    page = (tmp_path / "inspect.html").read_text()
    for text in ("Missing values", "Columns", "Berlin (", "2020-01-0", "constant column", "drop the column"):
        assert text in page
    assert found.task is not None
    assert found.quality.named("constant_column")[0].repaired


def test_repairs_and_metric_are_taken_from_the_options(tmp_path: Path) -> None:
    found = inspect_dataset(people(), tmp_path, asked={"repairs": {"constant_column": False}, "metric": "f1_macro"})
    assert not found.quality.named("constant_column")[0].repaired
    assert found.task is not None
    assert found.task.metric == "f1_macro"


def test_data_that_no_task_can_be_made_of_is_inspected_all_the_same(tmp_path: Path) -> None:
    dataset = dataclasses.replace(people(), target=pd.Series(["large"] * 200, name="size"))
    found = inspect_dataset(dataset, tmp_path)
    assert found.problem
    assert found.quality.named("one_class")
    assert "No task can be made of it" in (tmp_path / "inspect.html").read_text()
    assert json.loads((tmp_path / "profile.json").read_text()) == {"problem": found.problem, "features": {}}
    assert "not measured" in printed(found)


def test_data_is_never_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    dataset = people()
    table = dataset.table.rename(columns={"city": evil, "unit": "[bold red]unit\x1b]0;"})
    table[evil] = [evil, "<b>x</b>"] * 100
    found = inspect_dataset(
        dataclasses.replace(dataset, table=table, name=evil, target=dataset.target.replace("large", evil)), tmp_path
    )
    page = (tmp_path / "inspect.html").read_text()
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page
    said = printed(found)
    assert "[bold red]unit" in said and "\x1b" not in said


def test_labels_of_an_official_test_split_are_not_shown(tmp_path: Path) -> None:
    dataset = people()
    split = np.where(np.arange(200) % 4 == 0, TEST, TRAIN)
    target = dataset.target.where(split == TRAIN, "secret")
    inspect_dataset(dataclasses.replace(dataset, split=split, target=target), tmp_path)
    page = (tmp_path / "inspect.html").read_text()
    assert "Test rows are not counted." in page
    plots = " ".join(re.findall(r'<script type="application/json">(.*?)</script>', page))
    assert "large" in plots
    assert "secret" not in plots


def test_the_recipe_calls_it() -> None:
    cfg = composed(["+experiment=inspect", "data=sklearn", "data.name=iris", "family=[mlp]"])
    assert get_method(cfg.run._target_) is run
    assert len(instantiate(cfg.data).load()) == 150


def test_unreadable_data_is_an_error_of_one_line(tmp_path: Path) -> None:
    cfg = composed(["+experiment=inspect", "data=file", f"data.path={tmp_path}/absent.csv", "family=[mlp]"])
    with pytest.raises(UserError, match=r"absent\.csv does not exist"):
        instantiate(cfg.data).load()


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


@pytest.mark.parametrize("shape", SHAPES)
def test_pictures_of_every_shape(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for array in (values, values.astype(np.float32) / 7, np.where(values > 9, values, np.nan), np.zeros(shape)):
        made = decoded(picture(array))
        assert min(made.shape[:2]) >= SIDE
        assert max(made.shape[:2]) <= 40 * SIDE


def test_spectrograms_have_their_low_notes_below() -> None:
    diagonal = np.eye(4, dtype=np.uint8) * 255
    assert decoded(picture(diagonal))[0, 0] == 255
    assert decoded(picture(diagonal, upside_down=True))[0, 0] == 0


@pytest.mark.parametrize("shape", [(2, 9_000), (9_000, 2, 3), (1, 1)])
def test_a_strip_is_not_enlarged_to_megapixels(shape: tuple[int, ...]) -> None:
    assert decoded(picture(np.random.default_rng(0).random(shape))).size < 3 * (40 * SIDE) ** 2 / 100


def test_an_infinite_pixel_leaves_the_others_to_be_seen() -> None:
    values = np.array([[0.0, 1.0], [np.inf, -np.inf]])
    assert decoded(picture(values))[:, :, ...].reshape(SIDE, SIDE, -1)[[0, 0, -1, -1], [0, -1, 0, -1], 0].tolist() == [
        *(0, 255, 255, 0)
    ]


def test_rows_of_every_kind() -> None:
    wave = np.sin(np.arange(1000) / 50)[None]
    wave[0, 700:] = np.nan
    assert curve(wave).count("<polyline") == 1
    assert "nan" not in curve(wave)
    assert curve(np.full((2, 5), np.nan)).count('points=""') == 2
    table = pd.DataFrame({"note": ["a long text " * 60], "x": [1.23456789], **{f"c{i}": [i] for i in range(12)}})
    both = Dataset("both", table, pd.Series([1]), {"wave": wave[None]}, modalities={"wave": "series"})
    view = row_view(both, 0)
    assert "<polyline" in view
    assert "1.235" in cells_view(both, 0)
    assert "and 5 more" in view
    assert "…</q>" in view
