"""Knowledge files: what goes in comes out, what is no knowledge is refused, shipped and own runs are joined."""

import dataclasses
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.errors import UserError
from automl.store.store import Store
from automl.types import Candidate, Input, Profile, Runs, Task
from metalearner.past import shipped
from metalearner.past.file import SCHEMA, read_knowledge, read_tasks_and_runs, write_knowledge
from metalearner.past.shipped import joined, only, with_shipped
from tests.automl import vocabulary
from tests.automl.examples import CONVNET, MLP, TASK, trial

PROFILE = Profile(("log10_train_rows", "log10_classes"), (3.0, float("nan")), {"log10_classes": "no classes"})
OTHER = dataclasses.replace(TASK, name="letters", group="letters")


def past():
    """Two tasks that share a candidate; one trial failed."""
    return [
        (TASK, PROFILE, [trial(0), trial(1, candidate=CONVNET, status="oom", score=None, curve=())]),
        (OTHER, None, [trial(0, task="letters", score=0.9, seed=3)]),
    ]


@pytest.fixture
def file(tmp_path):
    write_knowledge(tmp_path / "k.parquet", past())
    return tmp_path / "k.parquet"


def test_what_is_written_is_read_without_what_is_the_owners(tmp_path):
    secret = dataclasses.replace(TASK, classes=("Alice", "Bob"), why=("column salary",))
    assert write_knowledge(tmp_path / "k.parquet", [(secret, PROFILE, [trial(error="/home/alice")])]) == 1
    ((task, profile, trials),) = read_knowledge(tmp_path / "k.parquet")
    assert task == dataclasses.replace(TASK, classes=(), why=())
    assert profile is not None and vocabulary.same(profile.values, PROFILE.values)
    assert trials[0].error == "" and trials[0].curve == pytest.approx((0.1, 0.5))
    raw = (tmp_path / "k.parquet").read_bytes()
    assert b"Alice" not in raw and b"salary" not in raw and b"alice" not in raw


@settings(max_examples=25, deadline=None)
@given(st.lists(vocabulary.any_trial(), max_size=4), st.none() | vocabulary.profile)
def test_any_trial_survives(tmp_path_factory, trials, profile):
    path = tmp_path_factory.mktemp("k") / "k.parquet"
    write_knowledge(path, [(TASK, profile, trials)])
    found = [t for _, _, some in read_knowledge(path) for t in some]
    blank = {"number": 0, "error": "", "curve": ()}
    for before, after in zip(trials, found, strict=True):
        assert dataclasses.replace(before, **blank) == dataclasses.replace(after, **blank)
        with np.errstate(over="ignore"):
            assert np.array_equal(np.float32(before.curve), np.float32(after.curve), equal_nan=True)


def test_columns_are_those_of_the_trials(file):
    runs = read_tasks_and_runs(file)[1]
    assert (runs.tasks, runs.groups) == (("digits", "letters"), ("digits", "letters"))
    assert runs.profiles[0] is not None and runs.profiles[1] is None
    assert [runs.candidates[i] for i in runs.candidate] == [MLP, CONVNET, MLP]
    assert runs.task.tolist() == [0, 0, 1] and runs.seed.tolist() == [0, 0, 3]
    assert np.array_equal(runs.score, [0.5, np.nan, 0.9], equal_nan=True)


def test_a_store_and_its_export_give_the_same_columns(tmp_path, file):
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        for task, profile, trials in past():
            assert store.add(task, profile, trials) == len(trials)
            assert store.add(task, profile, trials) == 0, "importing twice adds nothing"
        own, read = store.runs(), read_tasks_and_runs(file)[1]
    for name in ("task", "fidelity", "seed", "score", "seconds"):
        assert np.array_equal(getattr(own, name), getattr(read, name), equal_nan=name == "score"), name
    assert [own.candidates[i] for i in own.candidate] == [read.candidates[i] for i in read.candidate]


def rewritten(file, **changes):
    """The file with some columns replaced."""
    columns = pq.read_table(file).to_pydict() | changes
    pq.write_table(pa.table(columns), file)


@pytest.mark.parametrize(
    ("column", "values", "what"),
    [
        ("task", ['{"name": "x"}'] * 3, "missing"),
        ("task", ["[" * 3000] * 3, "no JSON"),
        ("profile", ['{"names": ["a"], "values": []}'] * 3, "one value per name"),
        ("choices", ['{"width": [1]}'] * 3, "choices.width"),
        ("choices", ['{"a": ' * 3000] * 3, "knowledge file"),
        ("status", ["ok", "fine", "ok"], "row 2 has a status"),
        ("score", [0.5, 0.5, 0.9], "row 2 has a score"),
        ("score", [float("inf"), None, 0.9], "row 1 has a score"),
        ("fidelity", [1, 1, -1], "row 3 has a number of epochs"),
        ("seconds", [1.0, float("nan"), 1.0], "row 2 has seconds"),
        ("family", ["a", None, "b"], "family"),
        ("seed", ["a", "b", "c"], "knowledge file"),
    ],
)
def test_a_file_that_lies_is_refused_in_one_line(file, column, values, what):
    rewritten(file, **{column: values})
    for read in (read_knowledge, read_tasks_and_runs):
        with pytest.raises(UserError, match=what) as caught:
            read(file)
        assert "\n" not in str(caught.value) and str(file) in str(caught.value)


def test_other_files_are_refused(tmp_path, file, monkeypatch):
    (tmp_path / "text").write_text("task,score\n")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "table")
    for name in ("text", "table", "missing"):
        with pytest.raises(UserError, match=name):
            read_tasks_and_runs(tmp_path / name)
    for limit in ("MOST_BYTES", "MOST_TRIALS", "MOST_UNPACKED", "MOST_TEXT"):
        with monkeypatch.context() as patch:
            patch.setattr(f"metalearner.past.file.{limit}", 1)
            with pytest.raises(UserError, match="no knowledge file"):
                read_tasks_and_runs(file)


def rows(runs: Runs) -> list[tuple]:
    """Every trial as one tuple, whatever the numbering."""
    return [
        (runs.tasks[t], runs.groups[t], runs.candidates[c].id, int(f), repr(float(s)))
        for t, c, f, s in zip(runs.task, runs.candidate, runs.fidelity, runs.score, strict=True)
    ]


def empty() -> Runs:
    none = np.zeros(0, np.int64)
    return Runs((), (), (), (), none, none, none, none, np.zeros(0), np.zeros(0))


def test_own_runs_come_first_and_a_candidate_of_both_stands_once(file):
    shipped = read_tasks_and_runs(file)[1]
    other = Candidate("mlp", {"width": 128, "norm": False})
    own = Runs(("mine",), ("",), (None,), (other, MLP), *(np.array(x) for x in ([0, 0], [0, 1], [3, 3], [0, 0])),
               np.array([0.1, 0.2]), np.ones(2))  # fmt: skip
    both = joined(own, shipped)
    assert rows(both) == rows(own) + rows(shipped)
    assert len(both.candidates) == len({c.id for c in both.candidates}) == 3
    assert rows(joined(own, empty())) == rows(own) and rows(joined(empty(), shipped)) == rows(shipped)


def test_groups_that_are_left_out_leave_nothing(file):
    kept = with_shipped(empty(), file=file, without_groups=["digits"])
    assert rows(kept) == [("letters", "letters", MLP.id, 3, "0.9")]
    assert kept.candidates == (MLP,) and len(kept.profiles) == 1
    assert rows(with_shipped(empty(), file=file, without_groups=["digits", "letters"])) == []


def test_runs_on_classes_are_told_to_a_task_of_values(tmp_path):
    plain = Candidate("mlp", {"loss": "cross_entropy", "label_smoothing": 0.0})
    write_knowledge(tmp_path / "k.parquet", [(TASK, None, [dataclasses.replace(trial(0), candidate=plain)])])
    values = dataclasses.replace(TASK, name="angles", kind="regression", num_outputs=1)
    told = with_shipped(empty(), like=values, file=tmp_path / "k.parquet")
    assert told.candidates == (Candidate("mlp", {"loss": "mse"}),)
    assert with_shipped(empty(), like=TASK, file=tmp_path / "k.parquet").candidates == (plain,)


def test_only_tasks_of_the_same_modality_count(tmp_path):
    series = dataclasses.replace(TASK, name="waves", group="waves", inputs=(Input("x", "series", (1, 30)),))
    trials = [trial(0, task="waves")]
    write_knowledge(tmp_path / "k.parquet", [*past(), (series, None, trials)])
    joint = {like: with_shipped(empty(), like=like, file=tmp_path / "k.parquet") for like in (TASK, series, None)}
    assert joint[TASK].tasks == ("digits", "letters") and joint[series].tasks == ("waves",)
    assert len(joint[None].tasks) == 3
    text = dataclasses.replace(TASK, inputs=(Input("x", "text", (9,), vocabulary=50),))
    assert rows(with_shipped(empty(), like=text, file=tmp_path / "k.parquet")) == []


def test_a_task_that_the_store_has_counts_once(file):
    runs = read_tasks_and_runs(file)[1]
    assert rows(with_shipped(runs, file=file)) == rows(runs)
    own = only(runs, [0])
    assert rows(with_shipped(own, file=file)) == rows(runs)
    assert rows(with_shipped(own, file=file, without_groups=["letters"])) == rows(own)


def test_without_a_file_the_runs_are_the_users(tmp_path, file):
    runs = read_tasks_and_runs(file)[1]
    assert with_shipped(runs, file=tmp_path / "none.parquet") is runs


def test_the_schema_is_the_documented_one():
    from metalearner.past import file as knowledge_file

    documented = [line.split()[0] for line in (knowledge_file.__doc__ or "").split("===\n")[-2].splitlines() if line]
    assert [n for n in documented if not n.startswith("=")] == SCHEMA.names


@pytest.mark.skipif(not shipped.FILE.is_file(), reason="nothing is shipped")
def test_what_is_shipped_is_sound():
    items = read_knowledge(shipped.FILE)
    runs = read_tasks_and_runs(shipped.FILE)[1]
    assert shipped.FILE.stat().st_size < 5e6
    assert len(items) == len(runs.tasks) and sum(len(t) for _, _, t in items) == len(runs.score)
    assert all(isinstance(t, Task) and t.group and p is not None and not t.classes for t, p, _ in items)
    assert {i.modality for t, _, _ in items for i in t.inputs} >= {"tabular", "series", "text"}
    assert (np.bincount(runs.candidate) >= 10).sum() >= 5, "some candidates ran on many tasks"
    readme = (shipped.FILE.parent / "README.md").read_text(encoding="utf-8")
    assert f"| {len(items):,} |" in readme and f"| {len(runs.score):,} |" in readme, "its counts are those of the file"
    named = re.findall(r"^\| (\w+) \| [\d,]+ \|", readme.split("| name | rows |")[1], re.MULTILINE)
    assert sorted(named) == sorted(t.name.split("@")[0] for t, _, _ in items), "each set has its source and licence"
