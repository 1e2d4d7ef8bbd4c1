"""Two versions compared: what is kept of earlier runs, and that a crash is shown."""

import json

import pytest

from automl.errors import UserError
from experiments.bench import versions
from tests.experiments.recipes import recipe

ROW = {"label": "after", "set": "one", "modality": "tabular", "seconds": 60.0, "seed": 0, "commit": "abc",
       "score": 0.5, "family": "mlp", "own": 0.5, "wall": 60.0, "stages": {}}  # fmt: skip


LONG = ["budget.epochs=45"]


@pytest.mark.parametrize(
    ("now", "kept", "asked", "runs"),
    [("abc", [], [], 0), ("def", [], [], 1), ("abc", LONG, LONG, 0), ("abc", LONG, [], 1), ("abc", [], LONG, 1)],
)
def test_a_finished_set_stands_for_its_commit_and_its_options_alone(now, kept, asked, runs, tmp_path, monkeypatch):
    (tmp_path / "run.py").write_text("")
    (tmp_path / "out.jsonl").write_text(json.dumps(ROW | ({"options": kept} if kept else {})) + "\n")
    began = []
    monkeypatch.setattr(versions, "commit", lambda folder: now)
    monkeypatch.setattr(versions, "chosen", lambda *asked: [{"name": "one"}])
    monkeypatch.setattr(versions, "kind_of", lambda said: "tabular")
    crash = {"error": "crashed"}
    monkeypatch.setattr(versions, "one", lambda said, *asked: began.append(asked) or crash)
    here = {"code": {"after": str(tmp_path)}, "out": tmp_path / "out.jsonl"}
    versions.run(recipe("versions", root=tmp_path, options={"after": asked}, **here))
    assert began == [(tmp_path, tmp_path, 60, 0, asked)] * runs


def test_what_is_no_checkout_and_what_is_no_pair_of_labels_is_told(tmp_path):
    with pytest.raises(UserError, match=r"bench.code.after=.* holds no run.py"):
        versions.run(recipe("versions", root=tmp_path, code={"after": str(tmp_path)}))
    with pytest.raises(UserError, match=r"bench.compare=\['a'\] must be two labels"):
        versions.run(recipe("versions", root=tmp_path, compare=["a"]))


def test_the_words_of_a_crash_are_no_markup(capsys):
    assert not versions.show([(ROW, {**ROW, "error": "boom [/x]"})], "before", "after")
    assert "boom [/x]" in capsys.readouterr().out


def test_a_label_that_is_not_run_stands_for_the_last_program_measured_under_it(tmp_path, monkeypatch):
    """Else a set of one commit and a set of another would make one mean."""
    rows = [
        {**ROW, "label": label, "set": of, "commit": commit}
        for label, of, commit in (("before", "one", "old"), ("before", "two", "new"), ("after", "one", "x"),
                                  ("after", "two", "x"))
    ]  # fmt: skip
    (tmp_path / "out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(versions, "chosen", lambda *asked: [{"name": "one"}, {"name": "two", "group": "g"}])
    shown = []
    monkeypatch.setattr(versions, "show", lambda both, *labels: shown.append(both) or True)
    versions.run(recipe("versions", root=tmp_path, out=tmp_path / "out.jsonl"))
    ((pair,),) = shown
    assert [row["set"] for row in pair] == ["two", "two"] and pair[0]["group"] == "g"


def test_sets_of_a_group_are_drawn_together(capsys):
    def wide(by: int) -> float:
        pairs = [
            ({**ROW, "set": f"s{i}", "group": f"g{i // by}"}, {**ROW, "set": f"s{i}", "score": 0.5 + (i % 10 < 5) / 10})
            for i in range(20)
        ]
        versions.show(pairs, "before", "after")
        told = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("tabular:"))
        low, high = told.split("[")[1].split("]")[0].split(",")
        return float(high) - float(low)

    assert wide(5) > 1.5 * wide(1)
