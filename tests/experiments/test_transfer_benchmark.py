"""Level 3 against level 4: the comparison counts right, and a small one runs and goes on."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from automl.errors import UserError
from automl.serial import from_json, to_json
from automl.store.store import Store
from experiments.compose import composed
from experiments.transfer import benchmark as transfer_benchmark
from experiments.transfer.compare import Anytime, Event, Pair, compare, interval
from experiments.transfer.page import page_of
from tests.experiments.test_collect import write_set


def search(*scores: float | None, step: float = 1.0) -> Anytime:
    """A search whose trials end every ``step`` seconds, each of another candidate."""
    return Anytime(tuple(Event((i + 1) * step, "mlp", f"c{i}", 3, s) for i, s in enumerate(scores)))


def test_anytime_is_the_best_so_far():
    found = search(0.5, None, 0.4, 0.8)
    assert found.best(np.array([0.5, 1, 2.5, 3.5, 4, 99])).tolist() == [-math.inf, 0.5, 0.5, 0.5, 0.8, 0.8]
    assert (found.final, found.reaches(0.5), found.reaches(0.6), found.reaches(0.9)) == (0.8, 1, 4, math.inf)
    assert search().final is None and search(None).best(np.array([9.0])).tolist() == [-math.inf]
    assert from_json(Anytime, to_json(found)) == found


def test_a_candidate_counts_once_with_its_best():
    events = (Event(1, "f", "a", 1, 0.2), Event(2, "f", "b", 1, None), Event(3, "f", "a", 3, 0.6))
    assert Anytime(events).candidates() == [0.6, -math.inf]


def test_the_first_candidate_is_the_one_that_began_first():
    events = (Event(1, "f", "cheap", 1, 0.2, 1), Event(2, "f", "dear", 1, 0.5, 0), Event(3, "f", "cheap", 3, 0.3, 2))
    assert Anytime(events).candidates() == [0.5, 0.3]


def test_the_comparison_on_a_case_done_by_hand():
    slow = search(*[0.1] * 9, 0.5)  # its tenth is its best, at 10 s
    pairs = [
        Pair("a", "a", 0, slow, search(0.6)),  # there after 1 of 10 s; the first beats the tenth
        Pair("b", "b", 0, slow, search(0.3, 0.5, step=2)),  # a tie, there after 4 of 10 s
        Pair("c", "c", 0, slow, search(0.4)),  # a loss, never there
    ]
    found = compare(pairs, seconds=20, tie=0.01)
    assert [found["final"][k] for k in ("win", "tie", "loss")] == [1, 1, 1]
    assert found["final"]["win_share"]["value"] == 0.5
    assert found["time"]["reached"] == 2 and found["time"]["of_level3"]["value"] == pytest.approx(0.4)
    assert found["time"]["of_level3"]["interval"] == [pytest.approx(0.1), None]
    assert found["time"]["of_budget"]["value"] == pytest.approx(0.2)
    assert found["first"] == {"pairs": 3, "beats_tenth": 1, "beats_best_of_ten": 1}
    curves = found["anytime"]
    assert len(curves["level3"]) == len(curves["level4"]) == len(curves["seconds"])
    assert all(a <= b for name in ("level3", "level4") for a, b in zip(curves[name], curves[name][1:], strict=False))
    assert found["pairs"][2]["seconds_to_level3"] == [10, None]
    json.dumps(found, allow_nan=False)


def test_searches_without_a_score_are_compared_too():
    found = compare([Pair("a", "a", 0, search(None), search(None)), Pair("b", "b", 0, search(), search(0.1))], 10, 0)
    assert (found["final"]["tie"], found["final"]["win"], found["time"]["pairs"]) == (1, 1, 0)
    json.dumps(found, allow_nan=False)


def test_the_interval_holds_the_mean_and_keeps_tasks_together():
    rng = np.random.default_rng(0)
    hits = 0
    for n in range(60):
        of = interval(rng.normal(size=30), np.arange(30), np.mean, seed=n)
        hits += of["interval"][0] <= 0 <= of["interval"][1]
    assert 50 <= hits <= 60
    values, task = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0, 0, 0, 1])
    assert interval(values, task, np.mean)["value"] == 0.5


def test_tasks_of_one_group_are_drawn_together():
    values, task = np.repeat([0.0, 1.0, 0.0, 1.0], 5), np.arange(20)
    together = interval(values, task, np.mean, group={t: str(t // 5) for t in range(20)})["interval"]
    alone = interval(values, task, np.mean)["interval"]
    assert together == [0.0, 1.0] and alone[0] > 0.2 and alone[1] < 0.8


def test_the_page_shows_every_pair_and_escapes_names():
    pair = Pair("<b>a</b>", "g", 0, search(0.1, 0.2), search(0.3))
    result = {"seconds": 10.0, "level3": "PriorBand", "level4": "X", **compare([pair], 10, 0)}
    html = page_of(result, [pair])
    body = re.sub(r"<script\b[^>]*>.*?</script>", "", html, flags=re.DOTALL)
    assert "&lt;b&gt;a&lt;/b&gt;" in body and "<b>a</b>" not in body
    assert html.count('class="plot"') == 2


# --- real, but small


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for seed, name in enumerate(("one", "two")):
        write_set(folder, name, seed=seed)
        (folder / f"{name}.json").write_text(json.dumps({"group": f"group-{name}"}))
    return folder


def configured(root, tmp_path, *more):
    return composed(
        [
            "+experiment=transfer_benchmark", "family=[mlp]", "engine=sequential", "engine.threads=1",
            "metalearner=mean_rank", f"benchmark.root={root}", f"benchmark.folder={tmp_path}/work",
            "benchmark.seconds=1", "benchmark.check=false", "budget.epochs=2",
            f"store.url=sqlite:///{tmp_path}/store.db", *more,
        ]
    )  # fmt: skip


def test_a_small_benchmark_runs_leaves_groups_out_and_goes_on(root, tmp_path, monkeypatch):
    asked = []
    real = Store.runs
    monkeypatch.setattr(Store, "runs", lambda self, **k: asked.append(k) or real(self, **k))
    result, pairs = transfer_benchmark.benchmark(configured(root, tmp_path))
    assert {(p.task, p.group) for p in pairs} == {("one", "group-one"), ("two", "group-two")}
    assert all(p.cold.final is not None and p.warm.final is not None for p in pairs)
    assert sorted(sorted(k["without_groups"]) for k in asked) == [["group-one", "one"], ["group-two", "two"]]
    assert result["level4"] == "MeanRank with PriorBand" and result["searches"] == 4
    assert transfer_benchmark.summary(result).count("\n") == 3
    monkeypatch.setattr(transfer_benchmark, "search", None)
    again, _ = transfer_benchmark.benchmark(configured(root, tmp_path))
    assert again == result, "what is there is not searched again"
    for option in ("strategy.sure=1", "benchmark.check=true", "budget.trials=3"):
        with pytest.raises(TypeError):  # with other options it is another search
            transfer_benchmark.benchmark(configured(root, tmp_path, option))
    monkeypatch.setattr(transfer_benchmark, "code_version", lambda: "another")
    with pytest.raises(TypeError):  # and so it is with other code
        transfer_benchmark.benchmark(configured(root, tmp_path))


def test_neither_level_always_goes_first(root, tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(transfer_benchmark.Duel, "level", lambda self, level: order.append(level) or search(0.5))
    transfer_benchmark.benchmark(configured(root, tmp_path))
    assert order == [3, 4, 4, 3]


@pytest.mark.parametrize("option", ["seeds=[]", "seeds=[-1]", "seconds=0", "tasks=0"])
def test_a_wrong_option_is_one_line(root, tmp_path, option):
    with pytest.raises(UserError, match=option.split("=")[0]) as caught:
        transfer_benchmark.benchmark(configured(root, tmp_path, f"benchmark.{option}"))
    assert "\n" not in str(caught.value)
