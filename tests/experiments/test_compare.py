"""The comparison with other systems: what they are given, what is kept, and what the numbers say."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl.errors import UserError
from experiments import compare
from experiments.compare.entry import US, words
from experiments.compare.handover import split_of, write
from experiments.compare.page import page_of
from experiments.compare.peer import SCRIPTS, Peer
from experiments.compare.summary import ALL, outcome, summary_of
from experiments.compose import composed
from experiments.configuration import options_of
from experiments.environments import environment
from experiments.options import made

FIRST = """
import numpy as np
from exchange import answer

def fit(task, rows, truth):
    assert list(rows.columns) == ["x", "word"], rows.columns
    names, counts = np.unique(truth, return_counts=True)
    return lambda test: np.full(len(test), names[counts.argmax()])

answer(fit)
"""
BREAKS = "raise SystemExit('no such thing')"
SHORT = FIRST.replace("len(test)", "len(test) + 1")
SLOW = """
    class Answers:
        imports = 100.0

        def __call__(self, test):
            return np.full(len(test), names[counts.argmax()])

    return Answers()"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One table of 12 rows, 4 of them for the test; the commonest class of training is a, of the test b."""
    table = pd.DataFrame(
        {
            "x": range(12),
            "word": list("uvwxyzuvwxyz"),
            "target": [*"aaaaabbb", *"bbba"],
            "split": ["train"] * 8 + ["test"] * 4,
        }
    )
    folder = tmp_path / "root"
    folder.mkdir()
    table.to_csv(folder / "small.csv.gz", index=False)
    said = {"name": "small", "file": "small.csv.gz", "modality": "tabular", "task": "binary", "sha256": "0123456789"}
    said |= {"baseline_best": {"metric": "accuracy", "value": 0.5}}
    (folder / "small.json").write_text(json.dumps(said))
    return folder


def started(tmp_path: Path, root: Path, scripts: dict[str, str]) -> dict[str, Any]:
    """The recipe with these scripts as peers; what it wrote."""
    words = []
    for name, text in scripts.items():
        (tmp_path / f"{name}.py").write_text(text)
        fields = {"_target_": "experiments.compare.peer.Peer", "script": str(tmp_path / f"{name}.py")}
        words += [f"+peer.{name}={{{', '.join(f'{k}: {v}' for k, v in fields.items())}, inputs: [tabular]}}"]
    cfg = composed(
        [
            "+experiment=compare",
            "family=[mlp]",
            "peer=[]",
            f"bench.root={root}",
            f"bench.out={tmp_path / 'out'}",
            *words,
        ]
    )
    compare.run(cfg)
    return json.loads((tmp_path / "out/compare.json").read_text())


def fits_in(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "out/fits.jsonl").read_text().splitlines()]


@pytest.mark.whole
def test_systems_are_fitted_scored_and_kept(tmp_path: Path, root: Path, capsys) -> None:
    scripts = {US: FIRST, "breaks": BREAKS, "short": SHORT}
    summary = started(tmp_path, root, scripts)
    fits = fits_in(tmp_path)
    assert len(fits) == 6, "three systems, two seeds"
    ours = [f for f in fits if f["peer"] == US]
    assert [f["score"] for f in ours] == [0.25, 0.25] and ours[0]["fit"] >= 0 and ours[0]["row_ms"] > 0
    assert {f["error"] for f in fits if f["peer"] == "breaks"} == {"no such thing"}
    assert {f["error"] for f in fits if f["peer"] == "short"} == {"answered (5,) for (4,) rows"}
    (row,) = summary["sets"]
    assert row["scores"] == {US: 0.25, "breaks": None, "short": None} and row["floor"] == 0.25
    assert "no such thing" in capsys.readouterr().out
    page = (tmp_path / "out/compare.html").read_text()
    assert "1 / 0 / 0" in page and "failed" in page

    started(tmp_path, root, scripts)
    assert fits_in(tmp_path) == fits, "finished fits are not run again"
    started(tmp_path, root, {**scripts, "breaks": BREAKS + "  # mended"})
    assert len(fits_in(tmp_path)) == 8, "a changed script is another system"


def test_a_system_that_cannot_be_installed_is_told_and_the_others_go_on(tmp_path, root, monkeypatch, capsys) -> None:
    def gone(self: Peer, envs: Path) -> str:
        if self.script.endswith("gone.py"):
            raise OSError("no space left")
        return real(self, envs)

    real = Peer.python
    monkeypatch.setattr(Peer, "python", gone)
    summary = started(tmp_path, root, {US: FIRST, "gone": FIRST})
    assert "gone cannot be installed: no space left" in capsys.readouterr().out
    assert [row["peer"] for row in summary["systems"] if row["modality"] == ALL] == [US]


def test_what_is_compared_must_take_part(root: Path) -> None:
    with pytest.raises(UserError, match=r"leaves out what is compared: add level4"):
        compare.run(composed(["+experiment=compare", "family=[mlp]", "peer=[hgb]", f"bench.root={root}"]))


def test_each_yaml_makes_a_system() -> None:
    cfg = composed(["+experiment=compare", "family=[mlp]", "bench.root=."])
    assert sorted(map(str, cfg.peer)) == options_of("peer")
    for name in cfg.peer:
        peer = made(cfg, f"peer.{name}")
        assert peer.path.parent == SCRIPTS, name
        assert set(peer.inputs) <= {"tabular", "image", "series", "text", "audio"}, name
        own = peer.version("a") != peer.version("b")
        assert own == (not peer.needs), f"{name}: the program's code counts for its own peers alone"


def test_a_script_that_is_not_there_is_told() -> None:
    with pytest.raises(UserError, match=r"script=nowhere: .* is not there. Give a name of .* or a path"):
        Peer("nowhere", ["tabular"])


def test_losses_are_accuracy_and_r2(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    said = {"name": "s", "file": "s.npz", "task": "regression", "baseline_best": {"metric": "r2"}}
    truth = rng.normal(size=50)
    x = rng.normal(size=(100, 1, 5))
    np.savez(tmp_path / "s.npz", X_train=x[:50], y_train=truth + 1, X_test=x[50:], y_test=truth)
    split = split_of(tmp_path, said)
    guess = truth + rng.normal(size=50) / 4
    from sklearn.metrics import r2_score

    assert 1 - split.losses(guess).mean() == pytest.approx(r2_score(truth, guess))
    assert split.floor == 0
    said |= {"task": "multiclass", "baseline_best": {"metric": "accuracy"}}
    np.savez(
        tmp_path / "s.npz", X_train=x[:3], y_train=np.array([0, 1, 1]), X_test=x[3:7], y_test=np.array([0, 1, 1, 2])
    )
    split = split_of(tmp_path, said)
    assert 1 - split.losses(np.array(["0", "1", "0", "2"])).mean() == 0.75 and split.floor == 0.5


def test_classes_that_are_whole_floats_are_named_as_the_program_names_them(tmp_path: Path) -> None:
    said = {"name": "s", "file": "s.npz", "task": "binary", "baseline_best": {"metric": "accuracy"}}
    x, y = np.zeros((4, 1, 5)), np.array([1.0, 2.0, 2.0, 1.0])
    np.savez(tmp_path / "s.npz", X_train=x, y_train=y, X_test=x, y_test=y)
    split = split_of(tmp_path, said)
    assert split.truth.tolist() == ["1", "2", "2", "1"] and split.losses(np.array(["1", "2", "2", "1"])).sum() == 0


def fit(peer: str, of: str, score: float | None, seed: int = 0, **more: Any) -> dict[str, Any]:
    if score is None:
        return {"peer": peer, "set": of, "seed": seed, "error": "crashed", "losses": None, **more}
    losses = (np.arange(1000) >= 1000 * score).astype(float)
    facts = {"modality": "tabular", "group": of, "metric": "accuracy", "floor": 0.5, "fit": 1.0, "row_ms": 2.0}
    return {"peer": peer, "set": of, "seed": seed, "score": score, "losses": losses, **facts, **more}


def test_scores_ranks_and_outcomes() -> None:
    fits = [
        *(fit(US, "one", 0.9, seed) for seed in (0, 1)),
        *(fit("good", "one", 1.0, seed) for seed in (0, 1)),
        *(fit("bad", "one", 0.7, seed) for seed in (0, 1)),
        fit(US, "two", 0.75),
        fit("good", "two", 0.75),
        fit("bad", "two", None),
        fit(US, "three", 0.8, modality="image"),
    ]
    summary = summary_of(fits, US)
    rows = {(r["modality"], r["peer"]): r for r in summary["systems"]}
    assert {p for m, p in rows if m == ALL} == {US}, "only what takes every set stands over all sets"
    ours, good, bad = (rows["tabular", p] for p in (US, "good", "bad"))
    assert ours["normalised"] == pytest.approx((0.8 + 1) / 2) and ours["rank"] == (2 + 1.5) / 2
    assert good["outcome"] == [0, 1, 1] and bad["outcome"] == [2, 0, 0] and bad["failed"] == 1
    assert bad["normalised"] == pytest.approx(0.4 / 2) and bad["rank"] == 3
    assert ours["interval"][0] <= ours["normalised"] <= ours["interval"][1]


def test_a_fit_that_failed_scores_what_no_model_does() -> None:
    fits = [fit(US, "one", 0.9, seed) for seed in (0, 1)] + [fit("frail", "one", 0.9), fit("frail", "one", None, 1)]
    summary = summary_of(fits, US)
    (row,) = summary["sets"]
    assert row["scores"] == {US: pytest.approx(0.9), "frail": pytest.approx((0.9 + 0.5) / 2)}
    frail = next(r for r in summary["systems"] if r["peer"] == "frail")
    assert frail["failed"] == 1 and frail["normalised"] == pytest.approx(0.5) and frail["rank"] == 2


def test_where_nothing_was_learned_there_is_no_scale() -> None:
    """A hair above the commonest class is chance: divided by it a system would stand at -1 or 1."""
    fits = [fit(US, "even", 0.501), fit("bad", "even", 0.48), fit(US, "good", 0.9), fit("bad", "good", 0.7)]
    summary = summary_of(fits, US) | {"left_out": {"gone": "cannot be installed"}}
    of = {r["peer"]: r for r in summary["systems"] if r["modality"] == "tabular"}
    assert [(r["sets"], r["counted"], r["normalised"]) for r in of.values()] == [(2, 1, 1), (2, 1, pytest.approx(0.5))]
    assert of["bad"]["rank"] == 2 and of["bad"]["outcome"] == [2, 0, 0], "it counts for ranks and outcomes"
    alone = summary_of(fits[:2], US) | {"left_out": {}}
    assert {r["normalised"] for r in alone["systems"]} == {None} and "–" in words(alone)
    assert "–" in page_of(alone, 9) and "gone is left out" in page_of(summary, 9) and "gone: cannot" in words(summary)


def test_a_system_that_was_not_tried_on_each_set_has_no_mean_of_others() -> None:
    fits = [fit(US, "one", 0.9), fit("late", "one", 0.9), fit(US, "two", 0.6)]
    assert {r["peer"] for r in summary_of(fits, US)["systems"]} == {US}


def test_imports_of_a_program_that_a_script_starts_are_not_its_fit(tmp_path: Path, root: Path) -> None:
    slow = FIRST.replace("    return lambda test: np.full(len(test), names[counts.argmax()])", SLOW)
    started(tmp_path, root, {US: slow})
    assert all(-100 <= f["fit"] < -90 for f in fits_in(tmp_path))


def test_the_programs_own_scripts_meet_the_program_of_this_folder(tmp_path: Path, root: Path) -> None:
    """Another checkout may be the one that is installed."""
    script = "import automl, sys\nraise SystemExit(automl.__file__)"
    started(tmp_path, root, {US: FIRST, "where": script})
    (said,) = {f["error"] for f in fits_in(tmp_path) if f["peer"] == "where"}
    assert Path(said).parents[1] == SCRIPTS.parents[2]


@pytest.mark.whole
def test_why_the_program_failed_is_its_own_line(tmp_path: Path, root: Path) -> None:
    of = "_target_: experiments.compare.peer.Peer, script: ours, inputs: [tabular]"
    peer = f"{{{of}, options: {{words: ['task.kind=no']}}}}"
    cfg = ["+experiment=compare", "peer=[]", f"bench.root={root}", f"bench.out={tmp_path}/out", "bench.seeds=[0]"]
    compare.run(composed([*cfg, f"+peer.{US}={peer}"]))
    assert [f["error"][:24] for f in fits_in(tmp_path)] == ["Error: task.kind=no must"]


def test_values_that_are_no_numbers_are_no_answer(tmp_path: Path) -> None:
    x, y = np.zeros((20, 1, 5)), np.arange(20.0)
    np.savez(tmp_path / "s.npz", X_train=x, y_train=y, X_test=x, y_test=y)
    said = {"name": "s", "file": "s.npz", "modality": "ts_regression", "task": "regression"}
    (tmp_path / "s.json").write_text(json.dumps({**said, "baseline_best": {"metric": "r2", "value": 0.1}}))
    script = "import numpy as np\nfrom exchange import answer\n"
    script += "answer(lambda *of: lambda test: np.full(len(test), np.nan))"
    cfg = ["+experiment=compare", "peer=[]", f"bench.root={tmp_path}", f"bench.out={tmp_path}/out"]
    (tmp_path / "s.py").write_text(script)
    peer = f"{{_target_: experiments.compare.peer.Peer, script: {tmp_path}/s.py, inputs: [series]}}"
    compare.run(composed([*cfg, "bench.seeds=[0]", f"+peer.{US}={peer}"]))
    assert [f["error"] for f in fits_in(tmp_path)] == ["answered 20 of 20 rows with what is no number"]


def test_a_column_is_of_one_type_however_long_its_file_is(tmp_path: Path) -> None:
    """A guess block by block: numbers and then texts are a column that no parquet file holds."""
    rows = 300_000
    table = pd.DataFrame({"x": [*range(rows - 1), "many"], "target": 0, "split": "train"})
    table.loc[:9, "split"] = "test"
    table.to_csv(tmp_path / "s.csv", index=False)
    said = {"name": "s", "file": "s.csv", "task": "regression", "modality": "tabular"}
    said |= {"baseline_best": {"metric": "r2"}}
    split = split_of(tmp_path, said)
    write(split, tmp_path, tmp_path, 1.0, 0, {})
    assert isinstance(split.train, pd.DataFrame) and {type(v) for v in split.train["x"]} == {str}


def test_aeon_is_given_series_without_gaps(monkeypatch) -> None:
    for name in ("aeon", "aeon.classification", "aeon.regression", "exchange"):
        of = SimpleNamespace(convolution_based=None, Predict=None, Task=None, answer=None)
        monkeypatch.setitem(sys.modules, name, of)
    spec = importlib.util.spec_from_file_location("aeon_series", SCRIPTS / "aeon_series.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    gap = np.nan
    found = module.filled(np.array([[[1, gap, 3, gap]], [[gap, 2, 2, 4]], [[gap] * 4]]))
    assert found.dtype == np.float32 and found.tolist() == [[[1, 2, 3, 3]], [[2, 2, 2, 4]], [[0] * 4]]


def test_an_environment_is_made_anew_for_other_packages(tmp_path: Path, monkeypatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr("venv.create", lambda folder, **how: (made.append(how), folder.mkdir(exist_ok=True)))
    monkeypatch.setattr("subprocess.run", lambda command, **how: made.append(command[-1]))
    for needs, times in ((["a==1"], 1), (["a==1"], 1), (["a==2"], 2), (["a==1"], 3)):
        environment(tmp_path / "env", needs)
        assert made.count({"with_pip": True, "clear": True}) == times, needs


def test_an_outcome_needs_rows_that_can_tell() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.random(40) < p for p in (0.20, 0.25))
    few = [{"seed": 0, "losses": a}], [{"seed": 0, "losses": b}]
    assert outcome(*few) == 0, "two rows more of 40 are luck"
    assert outcome([], [{"seed": 0, "losses": a}]) == -1 and outcome([], []) == 0
    assert outcome([{"seed": 0, "losses": a}], [{"seed": 1, "losses": b}]) == 0, "no seed that both have"
