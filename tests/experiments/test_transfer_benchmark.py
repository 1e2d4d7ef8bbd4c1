"""Ways to start a search: the comparison counts right, test rows choose nothing, and a small one runs and goes on."""

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from automl import metrics
from automl.data.dataset import Part, Parts
from automl.errors import UserError
from automl.serial import from_json, to_json
from automl.types import Candidate, Input, Task, Trial
from experiments.compose import composed
from experiments.transfer import benchmark as transfer_benchmark
from experiments.transfer.benchmark import known, spoiled
from experiments.transfer.compare import area, compare, counts
from experiments.transfer.page import page_of
from experiments.transfer.sites import Rows, sites
from experiments.transfer.trace import Event, Moment, Record, Trace, moments
from metalearner.past import shipped
from metalearner.testing import runs
from nas.job import Outcome
from tests.experiments.test_collect import write_set

AT = (1.0, 10.0, 100.0)


def record(arm: str, task: str, *test: float, group: str = "", best: float = 0.8) -> Record:
    told = tuple(Moment(at, score, score, ("mlp",)) for at, score in zip(AT, test, strict=True))
    events = (Event(0.5, "mlp", "c", 3, best, 0),)
    return Record(task, group or task, "tabular", "accuracy", 300, arm, 0, 0.1, 0.0, 0.5, told, events)


# --- the comparison


def test_the_area_on_a_case_done_by_hand():
    assert area(np.array(AT), np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5]])) == pytest.approx([0.25, 0.5])


def test_the_comparison_on_a_case_done_by_hand():
    records = [
        record("practice", "a", 0.5, 0.7, 0.7), record("transfer", "a", 0.7, 0.7, 0.9),  # best 0.9, constant 0.5
        record("practice", "b", 0.6, 0.6, 0.6), record("transfer", "b", 0.6, 0.5, 0.55),  # best 0.6
        record("practice", "c", 0.9, 0.9, 0.9, best=0.99), record("transfer", "c", 0.1, 0.1, 0.1),
        record("practice", "d", 0.5, 0.5, 0.4), record("transfer", "d", 0.4, 0.4, 0.5),
    ]  # fmt: skip
    found = compare(records, AT, saturated=0.98, tie=0.01)
    assert (found["tasks"], found["saturated"], found["nothing_learned"]) == (2, ["c"], ["d"])
    regret = {"practice": [[1, 0.5, 0.5], [0, 0, 0]], "transfer": [[0.5, 0.5, 0], [0, 1, 0.5]]}
    areas = {arm: [(a / 2 + b + c / 2) / 2 for a, b, c in of] for arm, of in regret.items()}
    for arm, of in areas.items():
        assert found["of"][arm]["area"]["value"] == pytest.approx(np.mean(of))
        assert [row["areas"][arm] for row in found["rows"]] == pytest.approx(of)
    one = found["against"]["practice"]["transfer"]
    assert one["ratio"]["value"] == pytest.approx(np.mean(areas["transfer"]) / np.mean(areas["practice"]))
    assert one["outcomes"] == {
        "1": {"win": 1, "tie": 1, "loss": 0}, "10": {"win": 0, "tie": 1, "loss": 1},
        "100": {"win": 1, "tie": 0, "loss": 1},
    }  # fmt: skip
    assert one["time"]["reached"] == 2 and one["time"]["value"] == pytest.approx((0.1 + 1) / 2)
    assert one["modalities"] == {"tabular": one["ratio"]["value"]} and "habit" not in found["against"]
    json.dumps(found, allow_nan=False)


def test_a_task_on_which_nothing_was_learned_that_its_rows_can_tell_is_not_counted():
    """Of 300 rows 0.055 more than nothing is chance, and its regret would be too: 0 and 1 alike."""
    flat = [record("practice", "b", 0.5, 0.5, 0.555), record("transfer", "b", 0.555, 0.5, 0.5)]
    told = [record("practice", "a", 0.5, 0.7, 0.7), record("transfer", "a", 0.7, 0.7, 0.9)]
    found = compare([*flat, *told], AT, saturated=0.98, tie=0.01)
    assert (found["tasks"], found["nothing_learned"]) == (1, ["b"])
    assert compare(told, AT, 0.98, 0.01)["of"] == found["of"]
    more = [dataclasses.replace(r, judging=2000) for r in flat]
    assert compare(more, AT, 0.98, 0.01)["tasks"] == 1, "2,000 rows can tell it"
    assert not counts(flat, 0.98) and counts(more, 0.98) and not counts(told, 0.8)


def test_several_seeds_of_a_task_count_once():
    once = [record("practice", "a", 0.5, 0.7, 0.7), record("transfer", "a", 0.7, 0.7, 0.9),
            record("practice", "b", 0.6, 0.6, 0.7), record("transfer", "b", 0.6, 0.6, 0.6)]  # fmt: skip
    twice = [*once, *(dataclasses.replace(r, seed=1) for r in once[:2])]
    assert compare(once, AT, 0.98, 0)["of"] == compare(twice, AT, 0.98, 0)["of"]


def test_tasks_of_one_group_are_drawn_together():
    def pair(task: str, group: str, won: bool) -> list[Record]:
        scores = (0.5, 0.9) if won else (0.9, 0.5)
        arms = zip(("practice", "transfer"), scores, strict=True)
        return [record(arm, task, *[s] * 3, group=group) for arm, s in arms]

    def wide(by: int) -> float:
        records = [r for i in range(20) for r in pair(f"t{i}", f"g{i // by}", i % 10 < 5)]
        low, high = compare(records, AT, 0.98, 0)["against"]["practice"]["transfer"]["difference"]["interval"]
        return high - low

    assert wide(5) > 1.5 * wide(1)


def test_the_page_shows_every_task_and_escapes_names():
    records = [record("practice", "<b>a</b>", 0.5, 0.7, 0.7), record("transfer", "<b>a</b>", 0.7, 0.7, 0.9)]
    html = page_of({"seconds": 100.0, **compare(records, AT, 0.98, 0)})
    body = re.sub(r"<script\b[^>]*>.*?</script>", "", html, flags=re.DOTALL)
    assert "&lt;b&gt;a&lt;/b&gt;" in body and "<b>a</b>" not in body and html.count('class="plot"') == 1
    assert "0 tasks" in page_of({"seconds": 1.0, **compare([record("x", "t", 1, 1, 1, best=1)], AT, 0.98, 0)})


# --- a trace


def test_the_moments_hold_the_points_and_rise_evenly():
    found = moments((10, 30, 100))
    assert found[0] == 10 and found[-1] == 100 and 30.0 in found and len(found) == 13
    assert np.diff(np.log(found)).max() < 2 * np.diff(np.log(found)).min()


@pytest.fixture
def trace(tmp_path) -> Trace:
    """Balanced accuracy with a rare class; the validation rows are told apart from the test rows by their answers."""
    task = Task("t", "binary", (Input("x", "tabular", (1,), (0,)),), 2, "balanced_accuracy")
    y = np.r_[np.zeros(36, np.int64), np.ones(4, np.int64)]
    part = Part((np.zeros((40, 1), np.float32),), y, np.arange(40))
    return Trace(task, Parts(part, part, part), tmp_path)


def answers(y: np.ndarray, right: int, sure: float = 0.9) -> np.ndarray:
    """Of each class so many of four are right."""
    p = np.where((np.arange(len(y)) % 4 < right) == (y == 1), sure, 1 - sure)
    return np.stack([1 - p, p], axis=1)


def ended(trace: Trace, number: int, at: float, valid: int, test: int, fidelity: int = 9) -> None:
    y = trace.parts.valid.y
    predictions = answers(y, valid)
    score = metrics.score("balanced_accuracy", "binary", y, predictions)
    trial = Trial("t", Candidate("mlp", {"n": number % 3}), fidelity, 0, "ok", score, number=number)
    trace.keep(trial, Outcome("ok", score, predictions=predictions, weights=b"x"), at)
    trace.test[number] = answers(y, test)


def test_what_would_be_deployed_is_chosen_by_validation_rows_of_what_had_ended(trace):
    ended(trace, 0, at=2.0, valid=3, test=1)
    ended(trace, 1, at=5.0, valid=2, test=4)  # better on the test rows, which nobody asks
    ended(trace, 2, at=8.0, valid=4, test=3)
    assert trace.moment(1.0, 1) == Moment(1.0, 0.5, None, ())
    first, second, last = (trace.moment(at, 1) for at in (2.0, 7.9, 8.0))
    assert first.test == second.test < last.test == pytest.approx(0.75) and last.valid == 1.0


def test_a_candidate_that_was_trained_twice_is_one_network(trace):
    ended(trace, 0, at=1.0, valid=2, test=2, fidelity=3)
    ended(trace, 3, at=2.0, valid=3, test=3)  # the same candidate, for longer
    assert [t.number for t in trace.best(9.0)] == [3] and [t.number for t in trace.best(1.5)] == [0]


def test_the_decision_is_that_of_the_rows_before_the_test(trace):
    """All classes look alike to the likeliest class; weights from the validation rows tell them apart."""
    y = trace.parts.valid.y
    p = np.where(y == 1, 0.3, 0.05)
    predictions = np.stack([1 - p, p], axis=1)
    assert metrics.score("balanced_accuracy", "binary", y, predictions, 1.0) == 0.5
    assert trace._judged(predictions, predictions) == 1.0
    assert trace._judged(predictions, np.tile([0.5, 0.5], (40, 1))) in (0.5, 1.0), "weights are not of the test rows"


# --- knowledge


def test_what_is_shuffled_keeps_everything_but_who_did_it():
    past = runs()
    mixed = spoiled(past, "shuffled")
    for task in range(len(past.tasks)):
        of = past.task == task
        assert sorted(mixed.score[of]) == pytest.approx(sorted(past.score[of]))
    assert (mixed.score != past.score).mean() > 0.8 and np.array_equal(mixed.seconds, past.seconds)
    assert np.array_equal(spoiled(past, "negated").score, -past.score)


def test_a_cut_task_is_left_out_under_its_whole_name():
    task = next(t for t in shipped._read(shipped.FILE)[0] if "@" not in t.name)
    told = known(dataclasses.replace(task, name=f"{task.name}@99", group="other"))
    assert task.group == task.name and task.group not in told.groups and len(told.groups) > 3


# --- real, but small


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for seed, name in enumerate(("one", "two", "same")):
        write_set(folder, name, seed=seed)
        (folder / f"{name}.json").write_text(json.dumps({"group": f"group-{name.replace('same', 'two')}"}))
    return folder


def configured(root, tmp_path, *more):
    return composed(
        [
            "+experiment=transfer_benchmark", "family=[mlp]", "engine=sequential", "engine.threads=1",
            "benchmark.only=[practice,transfer]", f"benchmark.root={root}", f"benchmark.folder={tmp_path}/work",
            "benchmark.seconds=1.5", "benchmark.points=[0.5,1.5]", "benchmark.judging=20", "benchmark.saturated=2",
            "benchmark.check=false", "budget.epochs=2", *more,
        ]
    )  # fmt: skip


def test_no_two_of_a_group_and_enough_rows_that_judge(root, tmp_path):
    rows = Rows(most=100, judging=20, most_judging=100, check=False)
    found = list(sites(str(root), rows, tmp_path / "work"))
    assert len(found) == 2 and len({s.entry.group for s in found}) == 2
    assert list(sites(str(root), dataclasses.replace(rows, judging=10_000), tmp_path / "work")) == []
    task, parts, _ = found[0].prepared
    assert len(parts.test.y) >= 20 and task.group.startswith("group-")


@pytest.mark.whole
def test_a_small_benchmark_runs_and_goes_on(root, tmp_path, monkeypatch, capsys):
    asked = []
    real = transfer_benchmark.Bench.search
    monkeypatch.setattr(
        transfer_benchmark.Bench, "search", lambda self, arm, seed: asked.append(arm) or real(self, arm, seed)
    )
    result = transfer_benchmark.benchmark(configured(root, tmp_path))
    assert asked == ["practice", "transfer", "transfer", "practice"], "neither always goes first"
    assert result["tasks"] == 2 and list(result["against"]) == ["practice"]
    assert all(0 <= of["area"]["value"] <= 1 and of["first"] < 60 for of in result["of"].values())
    assert "ratio     transfer to practice" in transfer_benchmark.summary(result)
    assert capsys.readouterr().out.count(" seed 0: ") == 4
    file = next((tmp_path / "work" / "searches").glob("*transfer*.json"))
    kept = from_json(Record, file.read_text())
    assert from_json(Record, to_json(kept)) == kept and kept.events and kept.judging >= 20

    assert transfer_benchmark.benchmark(configured(root, tmp_path)) == result and len(asked) == 4, "nothing anew"
    monkeypatch.setattr(transfer_benchmark.Bench, "search", lambda self, arm, seed: pytest.fail("anew"))
    for option in ("strategy.sure=1", "benchmark.check=true", "budget.trials=3", "objective.ensemble=2"):
        with pytest.raises(pytest.fail.Exception):  # with other options it is another search
            transfer_benchmark.benchmark(configured(root, tmp_path, option))
    monkeypatch.setattr(transfer_benchmark, "source_digest", lambda: "another")
    with pytest.raises(pytest.fail.Exception):  # and so it is with other code
        transfer_benchmark.benchmark(configured(root, tmp_path))


@pytest.mark.whole
def test_a_seed_is_the_learners_too(root, tmp_path, monkeypatch):
    made = []
    real = transfer_benchmark.learner_of

    def learner(*of):
        made.append(real(*of))
        return made[-1]

    monkeypatch.setattr(transfer_benchmark, "learner_of", learner)
    transfer_benchmark.benchmark(
        configured(root, tmp_path, "benchmark.seeds=[3,4]", "benchmark.only=[transfer]", "benchmark.tasks=1")
    )
    assert [of.seed for of in made][:2] == [3, 4]
    assert shipped._read.cache_info().hits == 0, "each search reads what it learns from: that is its time"


def test_other_data_under_a_name_are_another_task(root, tmp_path):
    rows = Rows(most=100, judging=20, most_judging=100, check=False)
    before = {s.digest for s in sites(str(root), rows, tmp_path / "work")}
    for name in ("one", "two", "same"):
        write_set(root, name, seed=9)
    assert not before & {s.digest for s in sites(str(root), rows, tmp_path / "work")}


def test_a_task_without_headroom_ends_with_its_first_arm(root, tmp_path, monkeypatch, capsys):
    asked = []

    def search(self, arm, seed):
        asked.append(arm)
        best = 0.99 if len(asked) == 1 else 0.5
        return dataclasses.replace(record(arm, self.site.entry.name, 0.6, 0.7, 0.8, best=best), seed=seed)

    monkeypatch.setattr(transfer_benchmark.Bench, "search", search)
    result = transfer_benchmark.benchmark(configured(root, tmp_path, "benchmark.saturated=0.98", "benchmark.tasks=1"))
    assert asked == ["practice", "transfer", "practice"] and result["tasks"] == 1 and len(result["saturated"]) == 1
    assert "no headroom" in capsys.readouterr().out and math.isclose(result["rows"][0]["scores"]["transfer"][0], 0.6)


@pytest.mark.parametrize(
    "option",
    ["seeds=[]", "seeds=[-1]", "seconds=0", "tasks=0", "points=[5,1]", "points=[1,200]", "points=3", "only=[nobody]",
     "arms.habit.past=others", "judging=0"],
)  # fmt: skip
def test_a_wrong_option_is_one_line(root, tmp_path, option):
    with pytest.raises(UserError, match=option.split("=")[0].rpartition(".")[2]) as caught:
        transfer_benchmark.benchmark(configured(root, tmp_path, f"benchmark.{option}"))
    assert "\n" not in str(caught.value)
