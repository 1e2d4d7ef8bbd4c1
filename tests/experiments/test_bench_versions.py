"""Two versions compared: what is kept of earlier runs, and that a crash is shown."""

import json

import pytest

from experiments.bench import versions

ROW = {"label": "after", "set": "one", "modality": "tabular", "seconds": 60.0, "seed": 0, "commit": "abc",
       "score": 0.5, "family": "mlp", "own": 0.5, "wall": 60.0, "stages": {}}  # fmt: skip


@pytest.mark.parametrize(("now", "runs"), [("abc", 0), ("def", 1)])
def test_a_finished_set_stands_for_its_commit_alone(now, runs, tmp_path, monkeypatch):
    (tmp_path / "run.py").write_text("")
    (tmp_path / "out.jsonl").write_text(json.dumps(ROW) + "\n")
    began = []
    monkeypatch.setattr(versions, "commit", lambda folder: now)
    monkeypatch.setattr(versions, "chosen", lambda *asked: [{"name": "one"}])
    monkeypatch.setattr(versions, "kind_of", lambda said: "tabular")
    monkeypatch.setattr(versions, "one", lambda said, code, options: began.append(code) or {"error": "crashed"})
    asked = ["--root", str(tmp_path), "--code", f"after={tmp_path}", "--out", str(tmp_path / "out.jsonl")]
    assert versions.main(asked) == 0 and len(began) == runs


def test_the_words_of_a_crash_are_no_markup(capsys):
    assert not versions.show([(ROW, {**ROW, "error": "boom [/x]"})], "before", "after")
    assert "boom [/x]" in capsys.readouterr().out
