"""Collecting runs: the same candidates on every task, nothing trained twice, failures kept."""

import json
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.errors import UserError
from automl.store.store import Store
from automl.types import Axis, Candidate, Prior, Profile, Trial, active_choices
from experiments.collect import data as collect_data
from experiments.collect.collect import Site, collect
from experiments.collect.data import Entry, entries, load, look, mixed, ready
from experiments.compose import composed
from metalearner.common_set import common_set, fitted, union
from metalearner.practice import Practice

# --- the common set

BIG = {"net": (Axis("kind", ("a", "b")), Axis("stages", (1, 2, 3)), Axis("grain", ("coarse", "medium", "fine")),
               Axis("heads", (1, 2, 4), "kind", ("b",)))}  # fmt: skip
SMALL = {"net": (Axis("kind", ("a", "b")), Axis("stages", (1, 2)), Axis("grain", ("medium", "fine")),
                 Axis("heads", (1, 2, 4), "kind", ("b",)))}  # fmt: skip


def test_the_union_does_not_depend_on_the_order_of_tasks():
    assert union([BIG, SMALL]) == union([SMALL, BIG])
    options = {a.name: a.options for a in union([SMALL, BIG])["net"]}
    assert options["stages"] == (1, 2, 3) and options["grain"] == ("coarse", "medium", "fine")
    names = [a.name for a in union([BIG])["net"]]
    assert names.index("kind") < names.index("heads")


def test_tasks_share_every_candidate_that_both_have():
    whole = union([BIG, SMALL])
    points = common_set(Prior.uniform(whole), 32, seed=0)["net"]
    shared = 0
    for point in points:
        big, small = (fitted("net", point, whole["net"], axes["net"]) for axes in (BIG, SMALL))
        for candidate, axes in ((big, BIG), (small, SMALL)):
            assert active_choices(axes["net"], candidate.choices) == candidate.choices
        same = big.choices["stages"] != 3 and big.choices["grain"] != "coarse"
        assert (big.id == small.id) == same
        shared += same
        assert small.choices["stages"] == min(int(big.choices["stages"]), 2), "the nearest that there is"
    assert 8 <= shared <= 24


@given(st.integers(1, 70), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_every_beginning_of_the_set_is_spread_evenly(count, seed):
    axes = union([BIG])
    prior = Prior.uniform(axes)
    points = common_set(prior, count, seed)["net"]
    assert points == common_set(prior, 128, seed)["net"][:count], "a longer set begins with the shorter one"
    for axis in axes["net"]:
        seen = Counter(p[axis.name] for p in points)
        if count >= 16:
            assert max(seen.values()) - min(seen[o] for o in axis.options) <= max(4, count // 4), axis.name


def test_the_set_begins_with_what_the_prior_names_and_meets_likely_options_more_often():
    axes = union([BIG])
    prior = Practice(axes={"kind": {"b": 3}, "stages": {"2": 2}}).predict(Profile((), ()), axes)
    points = common_set(prior, 64, seed=0)["net"]
    assert points[0] == {"grain": "coarse", "kind": "b", "heads": 1, "stages": 2}
    seen = Counter(p["kind"] for p in points[1:])
    assert 44 <= seen["b"] <= 50
    assert common_set(prior, 1, seed=0)["net"] == points[:1] and common_set(prior, 0, seed=0)["net"] == []


# --- the data


def write_set(folder: Path, name: str, rows: int = 120, seed: int = 0, **columns) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)).round(3)
    table = pd.DataFrame(x, columns=["a", "b", "c"]).assign(**columns)
    table["target"] = np.where(x[:, 0] + 0.3 * rng.normal(size=rows) > 0, "yes", "no")
    table.to_csv(folder / f"{name}.csv.gz", index=False)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    write_set(folder, "one", seed=1)
    write_set(folder, "two", seed=2, rows=400)
    (folder / "two.json").write_text(json.dumps({"group": "family", "target": "never read"}))
    (folder / "README.md").write_text("not data")
    return folder


def test_the_group_is_all_that_the_json_gives(root):
    assert [(e.name, e.group) for e in entries(root)] == [("one", "one"), ("two", "family")]
    (root / "one.json").write_text("[1]")
    with pytest.raises(UserError, match=r"one\.json"):
        entries(root)


@pytest.mark.parametrize("group", ["3", '""', "null"])
def test_a_group_that_is_no_text_is_refused(root, group):
    (root / "one.json").write_text(f'{{"group": {group}}}')
    with pytest.raises(UserError, match="must be text"):
        entries(root)


def test_a_folder_without_data_is_told(tmp_path):
    with pytest.raises(UserError, match=r"collect\.root=.* is no folder"):
        entries(tmp_path / "none")
    with pytest.raises(UserError, match=r"Set benchmark\.root="):
        entries(tmp_path / "none", "benchmark.root")
    with pytest.raises(UserError, match="no data file"):
        entries(tmp_path)


def test_few_rows_are_drawn_evenly_and_named(root):
    two = entries(root)[1]
    dataset, asked = load(two, 100, seed=0)
    whole, _ = load(two, None, seed=0)
    assert len(dataset) == 100 and asked["name"] == "two@100" and asked["kind"] == "binary"
    assert abs((dataset.target == "yes").mean() - (whole.target == "yes").mean()) < 0.02
    assert load(two, 100, seed=0)[0].table.equals(dataset.table)
    assert load(two, 400, seed=0)[1]["name"] == "two", "nothing is left out, so nothing is said"


def test_what_is_prepared_once_is_read_back(root, tmp_path, monkeypatch):
    options = {"max_rows": 100, "seed": 0, "check": False}
    one = entries(root)[0]
    assert look(one, tmp_path / "cache", **options) == "tabular"
    first = ready(one, tmp_path / "cache", **options)
    monkeypatch.setattr(collect_data, "prepare", None)
    again = ready(one, tmp_path / "cache", **options)
    assert again.task == first.task and first.task.group == "one"
    assert np.array_equal(again.train.inputs[0], first.train.inputs[0]) and np.array_equal(again.valid.y, first.valid.y)
    assert np.array_equal(again.profile.values, first.profile.values, equal_nan=True)
    write_set(root, "one", seed=3)
    with pytest.raises(TypeError):
        ready(one, tmp_path / "cache", **options)  # another file is prepared again


def test_modalities_take_turns_and_new_groups_come_first():
    def entry(name, group):
        return Entry(Path(name), name, group)

    given = [("image", entry(f"i{n}", "mnist")) for n in range(4)]
    given += [("tabular", entry(f"t{n}", f"t{n // 2}")) for n in range(6)]
    order = mixed(given, None)
    assert {e.name for e in order} == {e.name for _, e in given}
    assert [e.name[0] for e in order[:8]] == ["i", "t"] * 4
    tables = [e.group for e in order if e.name[0] == "t"]
    assert len(set(tables[:3])) == 3
    assert mixed(given, 3) == order[:3] and mixed(reversed(given), None) == order


# --- the collection


def configured(root, tmp_path, *more):
    return composed(
        [
            "+experiment=collect", "family=[mlp,tabm]", "engine=sequential", "engine.threads=1",
            f"collect.root={root}", f"collect.folder={tmp_path}/work", f"store.url=sqlite:///{tmp_path}/store.db",
            "collect.candidates=2", "collect.fidelities=[1,2]", "collect.check=false", *more,
        ]
    )  # fmt: skip


@pytest.mark.whole
def test_the_same_candidates_on_every_task_and_nothing_twice(root, tmp_path, capsys):
    (root / "words.csv").write_text("target\n1\n")
    report = collect(configured(root, tmp_path, "collect.candidates=1"))
    assert report["tasks"] == 2 and report["new"] == 2 * 2 * 2
    assert "left out words" in capsys.readouterr().out
    report = collect(configured(root, tmp_path))
    assert report["new"] == report["trials"] - 8 == 8, "what is there is not trained again"
    with Store(f"sqlite:///{tmp_path}/store.db") as store:
        runs = store.runs()
        trials = store.trials()
    assert set(zip(runs.tasks, runs.groups, strict=True)) == {("one", "one"), ("two", "family")}
    assert all(p is not None for p in runs.profiles)
    by_task = {n: {t.candidate.id for t in trials if t.task == n} for n in runs.tasks}
    assert by_task["one"] == by_task["two"] and len(by_task["one"]) == 4
    assert Counter(t.fidelity for t in trials) == {1: 8, 2: 8}
    assert all(len(t.curve) == t.fidelity for t in trials if t.status == "ok")
    assert len({(t.task, t.candidate.id, t.fidelity) for t in trials}) == 16
    assert collect(configured(root, tmp_path))["new"] == 0


def test_the_work_is_breadth_first(root, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("experiments.collect.collect.Round.train", lambda self, site, c, what: seen.append(
        (what, site.ready.task.name)))  # fmt: skip
    collect(configured(root, tmp_path))
    assert [what for what, _ in seen] == ["common 1/2"] * 2 + ["common 2/2"] * 2
    assert {name for _, name in seen[:2]} == {"one", "two"}


def test_time_that_is_up_ends_it(root, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("experiments.collect.collect.Round.trials", lambda *of: calls.append(of) or time.sleep(0.1))
    collect(configured(root, tmp_path, "collect.seconds=0.5", "collect.candidates=60"))
    assert len(calls) <= 10, "there were hundreds to train"


def test_mutants_come_last_and_are_new(root, tmp_path):
    report = collect(configured(root, tmp_path, "collect.mutants=2", "collect.fidelities=[1]", "collect.max_tasks=1"))
    assert report["new"] == 2 * 2 + 2
    with Store(f"sqlite:///{tmp_path}/store.db") as store:
        ids = [t.candidate.id for t in store.trials()]
    assert len(set(ids)) == 6
    again = collect(configured(root, tmp_path, "collect.mutants=2", "collect.fidelities=[1]", "collect.max_tasks=1"))
    assert again["new"] == 0


def test_the_best_of_each_family_are_trained_for_longer_and_once(root, tmp_path):
    short = ["collect.fidelities=[1]", "collect.max_tasks=1"]
    collect(configured(root, tmp_path, *short))
    with Store(f"sqlite:///{tmp_path}/store.db") as store:
        scores = {t.candidate.id: (t.candidate.family, t.score) for t in store.trials()}
    longer = ["collect.candidates=0", "collect.fidelities=[3]", "collect.max_tasks=1", "collect.best=2"]
    assert collect(configured(root, tmp_path, *longer))["new"] == 2
    with Store(f"sqlite:///{tmp_path}/store.db") as store:
        gone_on = [t for t in store.trials() if t.fidelity == 3]
    assert {t.candidate.family for t in gone_on} == {"mlp", "tabm"}, "one of each family comes first"
    for trial in gone_on:
        family, score = scores[trial.candidate.id]
        assert score == max(s for f, s in scores.values() if f == family) and len(trial.curve) == 3
    assert collect(configured(root, tmp_path, *longer))["new"] == 0


def test_what_was_cut_by_a_short_time_may_have_a_longer_one():
    wanted = SimpleNamespace(fidelities=(6, 18), trial_seconds=20.0)
    candidate = Candidate("net", {})

    def has(fidelity: int, seconds: float) -> bool:
        trial = Trial("t", candidate, fidelity, 0, "ok", score=0.5, seconds=seconds)
        return Site(None, {}, 0, [trial]).has(candidate, 18, wanted)

    assert has(18, 3) and has(9, 19), "done, or cut by this time"
    assert not has(9, 3) and not has(6, 19), "cut by a shorter time, or another length"


@pytest.mark.whole
def test_a_failure_is_a_trial(root, tmp_path, monkeypatch):
    from nas.families.mlp import MLP

    space = MLP.space

    def broken(self, task):
        from nni.nas.space import current_model

        if current_model() is not None:
            raise RuntimeError("planted")
        return space(self, task)

    monkeypatch.setattr(MLP, "space", broken)
    report = collect(configured(root, tmp_path, "collect.fidelities=[1]", "collect.candidates=1"))
    assert report["statuses"] == {"failed": 2, "ok": 2}
    assert collect(configured(root, tmp_path, "collect.fidelities=[1]", "collect.candidates=1"))["new"] == 0


@pytest.mark.parametrize("option", ["fidelities=[]", "fidelities=[1.5]", "max_rows=3", "seconds=0", "check=maybe"])
def test_a_wrong_option_is_one_line(root, tmp_path, option):
    with pytest.raises(UserError, match=option.split("=")[0]) as caught:
        collect(configured(root, tmp_path, f"collect.{option}"))
    assert "\n" not in str(caught.value)
