"""The benchmark of raw.onnx, on a folder made here."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import UserError
from experiments.bench import raw
from tests.experiments.recipes import recipe


def folder(tmp_path: Path) -> Path:
    rows = "".join(f"{i * 0.37 % 5:.2f},{'?' if i % 9 == 0 else i % 5},{'ab'[i % 2]}\n" for i in range(80))
    (tmp_path / "made.csv").write_text("x,z,target\n" + rows)
    words = "".join(f"some words {i} of a story {i * 7 % 11},{'ab'[i % 2]}\n" for i in range(80))
    (tmp_path / "story.csv").write_text("story,target\n" + words)
    return tmp_path


def test_what_is_folded_and_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    raw.run(recipe("raw", root=folder(tmp_path), check=False))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["made", "2"]
    assert "only columns of a table can be folded" in lines[2]
    assert lines[3].startswith("2 tables, 1 folded, 20 test rows") and lines[3].endswith("0 labels differ; 0 missed")


def test_another_answer_exits_with_one(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    monkeypatch.setattr(raw, "raw_inputs", lambda *_: {"x": [[0.0]] * 20, "z": [[0.0]] * 20})
    with pytest.raises(SystemExit) as ended:
        raw.run(recipe("raw", root=folder(tmp_path), only="made", check=False))
    assert ended.value.code == 1 and "MISSED" in capsys.readouterr().out


def test_a_folder_without_tables_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no table"):
        raw.run(recipe("raw", root=tmp_path))
