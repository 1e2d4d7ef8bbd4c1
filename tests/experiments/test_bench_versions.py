"""Two versions compared: what is kept of earlier runs, and that a crash is shown."""

import json

import pytest

from automl.errors import UserError
from experiments.bench import versions
from tests.experiments.recipes import recipe

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
    crash = {"error": "crashed"}
    monkeypatch.setattr(versions, "one", lambda said, *asked: began.append(asked) or crash)
    versions.run(recipe("versions", root=tmp_path, code={"after": str(tmp_path)}, out=tmp_path / "out.jsonl"))
    assert began == [(tmp_path, tmp_path, 60, 0)] * runs


def test_what_is_no_checkout_and_what_is_no_pair_of_labels_is_told(tmp_path):
    with pytest.raises(UserError, match=r"bench.code.after=.* holds no run.py"):
        versions.run(recipe("versions", root=tmp_path, code={"after": str(tmp_path)}))
    with pytest.raises(UserError, match=r"bench.compare=\['a'\] must be two labels"):
        versions.run(recipe("versions", root=tmp_path, compare=["a"]))


def test_the_words_of_a_crash_are_no_markup(capsys):
    assert not versions.show([(ROW, {**ROW, "error": "boom [/x]"})], "before", "after")
    assert "boom [/x]" in capsys.readouterr().out
