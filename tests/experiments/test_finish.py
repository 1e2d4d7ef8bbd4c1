"""Training the chosen networks once more, on all rows that may be learned from."""

import dataclasses
import functools
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.torch import load, save
from torch import nn

from automl import metrics
from automl.data.dataset import Part, Parts
from automl.deploy.onnx import ExportMismatch, write_onnx
from automl.errors import UserError
from automl.training.predictor import Deployed, Predictor, predict
from automl.types import Candidate, Input, Limits, Task, Trial
from experiments.events import Events
from experiments.settings import refit_of
from experiments.solve import again as again_module
from experiments.solve import finish, graphs, networks
from experiments.solve.again import LastTrainings, anew, in_time, price, trained_again, whole
from experiments.solve.artifacts import Artifacts
from experiments.solve.networks import once_each
from experiments.solve.python import solve
from experiments.solve.search import other_code
from nas.engines.sequential import SequentialEngine
from nas.evaluate import evaluate
from nas.job import Job, Order, Outcome
from nas.time import Clock

CHOICES = {"learning_rate": 0.03, "batch_size": 32}
TASK = Task("line", "binary", (Input("x", "tabular", (2,), cardinalities=(0, 0)),), 2, "accuracy")
TRIAL = Trial("line", Candidate("mlp", CHOICES), 6, 0, "ok", score=0.6, curve=(0.5, 0.6, 0.5, 0.5), seconds=2.0)


def part(seed: int, rows: int) -> Part:
    x = np.random.default_rng(seed).normal(size=(rows, 2)).astype(np.float32)
    return Part((x,), (x[:, 0] > x[:, 1]).astype(np.int64), np.arange(rows))


PARTS = Parts(part(0, 120), part(1, 40), part(2, 400))


class Lines:
    """A family of linear networks; ``make`` makes one."""

    def __init__(self, make: Callable[[], nn.Module] = lambda: nn.Linear(2, 2)) -> None:
        self.name, self.make = "mlp", make

    def supports(self, task: Task) -> bool:
        return True

    def space(self, task: Task) -> nn.Module:
        return self.make()


def engine_of(parts: Parts = PARTS, family: Lines | None = None) -> SequentialEngine:
    engine = SequentialEngine()
    families = {"mlp": family or Lines()}
    engine.take(
        Job(TASK, parts.train, parts.valid, families, {"mlp": ()}, device="cpu", barred=tuple(parts.barred.tolist()))
    )
    return engine


def again(trial: Trial = TRIAL, seconds: float | None = None, parts: Parts = PARTS, family: Lines | None = None):
    engine = engine_of(parts, family)
    return trained_again(engine, [(trial, 1.0)], lambda _: judged_weights(), seconds).get(trial.number)


@functools.cache
def judged_weights() -> bytes:
    first = evaluate(engine_of().job, Order(TRIAL.candidate, 6, seed=0))
    assert first.weights is not None
    return first.weights


def accuracy(outcome: Outcome | None) -> float:
    assert outcome is not None and outcome.weights is not None
    network = nn.Linear(2, 2)
    network.load_state_dict(load(outcome.weights))
    return metrics.score("accuracy", "binary", PARTS.test.y, predict(Predictor(network, TASK), PARTS.test.inputs))


def test_the_network_learns_from_all_rows():
    outcome = again()
    assert accuracy(outcome) > 0.9
    assert outcome is not None and outcome.predictions is not None and len(outcome.predictions) == len(PARTS.valid)


def test_barred_rows_are_not_learned_at_last():
    wrong = dataclasses.replace(PARTS.valid, y=1 - PARTS.valid.y, rows=np.arange(200, 240))
    parts = dataclasses.replace(PARTS, valid=wrong, barred=np.arange(200, 239))
    assert parts.teaching.rows.tolist() == [*range(120), 239]
    assert accuracy(again(dataclasses.replace(TRIAL, score=None), parts=parts)) > 0.9


def test_what_would_take_too_long_is_not_begun():
    asked = []

    def untouched() -> nn.Module:
        asked.append(True)
        return nn.Linear(2, 2)

    # 2 s for 4 epochs of 120 rows are 0.67 s for one of 160.
    assert again(seconds=0.6, family=Lines(untouched)) is None
    assert again(dataclasses.replace(TRIAL, seconds=0.0), seconds=0.0, family=Lines(untouched)) is None
    assert len(asked) == 2, "once for each price"
    assert again(seconds=0.7, family=Lines(untouched)) is not None


def test_a_network_that_comes_out_worse_is_not_taken():
    assert again(dataclasses.replace(TRIAL, score=1.01)) is None


def test_a_network_that_fails_is_not_taken():
    class Broken(nn.Linear):
        def forward(self, input):
            raise RuntimeError("no")

    assert again(family=Lines(lambda: Broken(2, 2))) is None


def test_most_weight_per_second_goes_first_on_as_many_workers_as_there_are():
    """Each takes a third longer than a quarter of its first training: 160 rows for 120."""
    job = engine_of().job
    costs = ((0, 0.5, 60.0), (1, 0.3, 6.0), (2, 0.2, 12.0))
    members = [(dataclasses.replace(TRIAL, number=n, seconds=s), w) for n, w, s in costs]
    assert [price(t, job) for t, _ in members] == pytest.approx([20.0, 2.0, 4.0])

    def taken(workers: int, seconds: float | None) -> list[int]:
        return [t.number for t, _ in in_time(members, job, workers, seconds)[0]]

    assert taken(1, 26.0) == [1, 2, 0] and taken(1, 25.9) == [1, 2] and taken(1, 5.9) == [1]
    assert taken(2, 22.0) == [1, 2, 0] and taken(2, 21.9) == [1, 2] and taken(2, 3.9) == [1]
    assert taken(1, None) == [1, 2, 0] and taken(3, 0.0) == []


class Search:
    """A finished search of ``count`` networks whose scores fall from the first to the last, and its surroundings.

    ``broken``: numbers of those that the exporter refuses, trained once more or not.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, count: int = 3, broken: Sequence[int] = ()):
        self.folder, self.broken, self.exported = folder, broken, 0
        self.artifacts = Artifacts(folder / "artifacts")
        self.trials: list[Trial] = []
        for number in range(count):
            trial = Trial("line", Candidate("mlp", {"n": number}), 6, 0, "ok", 0.9 - 0.1 * number, number=number)
            self.add(trial)
        monkeypatch.setattr(networks, "export", self.export)
        for module in (networks, graphs):
            monkeypatch.setattr(module, "write_onnx", self.write_onnx)
        monkeypatch.setattr(networks, "write_cut", lambda *of: None)
        monkeypatch.setattr(networks, "select", self.select)
        monkeypatch.setattr(finish.Bundle, "load", lambda folder: self)
        monkeypatch.setattr(networks, "measured", lambda folder, dataset: dict(self.cost))
        self.task = TASK
        self.variant: dict[str, str] = {}
        self.cost = {"latency_ms": 1.0, "graph_ms": 0.1, "parameters": 12, "megabytes": 0.1}

    def add(self, trial: Trial, **changed) -> None:
        network = nn.Linear(2, 2)
        nn.init.constant_(network.bias, float(trial.number))  # tells whose it is
        answers = predict(Predictor(network, TASK), PARTS.valid.inputs)
        outcome = Outcome("ok", trial.score, predictions=answers, weights=save(network.state_dict()))
        self.artifacts.write(trial, dataclasses.replace(outcome, **changed))
        self.trials.append(trial)

    def select(self, predictions, y, task, *, size, allowed, **_):
        """The first two."""
        self.pool = len(predictions)
        return [0.6, 0.4, *[0.0] * len(predictions)][: len(predictions)]

    def refuse(self, predictors) -> None:
        for p in predictors:
            if int(p.network.bias[0]) in self.broken:
                raise ExportMismatch("the graph differs\nby 0.000475")

    def write_onnx(self, path, predictor, *_):
        self.refuse([predictor] if isinstance(predictor, Predictor) else predictor.ensemble.members)
        self.exported += not isinstance(predictor, Predictor)

    def export(self, folder, predictor, *more):
        more[-1](folder / "model.onnx", predictor, (), ())
        return folder

    def outputs_encoded(self, inputs):
        return [self.predict_encoded(inputs)]

    def predict_encoded(self, inputs):
        return np.full((len(inputs[0]), 2), 0.5)

    def finish(self, refit: bool = False):
        dataset, encoding = SimpleNamespace(alike=True), SimpleNamespace(encoders=())
        prepared = SimpleNamespace(task=self.task, parts=PARTS, folds=None, encoding=encoding, dataset=dataset)
        return finish.finish(prepared, engine_of(), self.artifacts, self.trials, None, self.folder,  # type: ignore[arg-type]
                             ensemble=5, refit=refit, calibrated=True, clock=Clock(), events=Events())  # fmt: skip


@pytest.mark.parametrize("fault", [ValueError("no schema of this"), OSError(28, "No space left on device")])
def test_a_fault_beside_the_graph_is_not_held_against_the_networks(tmp_path, monkeypatch, fault):
    search = Search(tmp_path, monkeypatch)

    def export(folder, predictor, *more):
        raise fault

    monkeypatch.setattr(networks, "export", export)
    with pytest.raises(type(fault)):
        search.finish()


def test_a_member_that_cannot_be_exported_is_left_out_and_the_rest_goes_on(tmp_path, monkeypatch):
    whole = Search(tmp_path / "whole", monkeypatch).finish()
    assert [m["number"] for m in whole.members] == [0, 1] and not whole.notes
    search = Search(tmp_path / "rest", monkeypatch, broken=[0])
    found = search.finish()
    assert [m["number"] for m in found.members] == [1, 2] and search.exported == 1
    assert found.notes == (
        "left out: network 0 (mlp) cannot be exported: ExportMismatch: the graph differs by 0.000475",
    )


def test_a_model_over_a_limit_falls_back_to_fewer_members_and_says_so(tmp_path, monkeypatch):
    search = Search(tmp_path, monkeypatch)
    search.task = dataclasses.replace(TASK, limits=Limits(latency_ms=5.0))
    search.select = lambda predictions, y, task, *, size, **_: [0.6, 0.4, 0.0] if size > 1 else [1.0, 0.0, 0.0]
    monkeypatch.setattr(networks, "select", search.select)
    costs = iter([{"latency_ms": 7.5, "graph_ms": 4.5}, {"latency_ms": 4.0, "graph_ms": 1.0}])
    monkeypatch.setattr(networks, "measured", lambda *_: {"parameters": 1, "megabytes": 0.1, **next(costs)})
    found = search.finish()
    assert len(found.members) == 1 and found.within_limits and found.cost["latency_ms"] == 4.0
    assert search.exported == 1, "one member is cut out of two"
    assert found.notes == (
        "an ensemble of 2 is over a limit (latency_ms 7.5, the limit is 5): fewer members are taken",
    )
    asked: list[object] = []
    monkeypatch.setattr(networks, "eight_bits", lambda *of: asked.append(of[1]))  # none that keeps the limit
    costs = iter([{"latency_ms": 7.5, "graph_ms": 4.5}, {"latency_ms": 6.0, "graph_ms": 3.0}])
    over = search.finish()
    (rows,) = asked
    assert rows.source == "valid" and len(rows.before) == 1 and len(rows.y) == 40  # type: ignore[attr-defined]
    assert not over.within_limits and over.notes[-1] == "the model is over a limit: latency_ms 6, the limit is 5"
    costs = iter([{"latency_ms": 7.5, "graph_ms": 0.5}])  # reading a row alone takes 7 ms
    kept = search.finish()
    assert len(kept.members) == 2 and not kept.within_limits and len(kept.notes) == 1


def test_fewer_members_are_cut_out_of_the_graph_and_checked(tmp_path):
    members = [Predictor(nn.Linear(2, 2), TASK) for _ in range(3)]
    names, inputs, weights = ["input_0"], PARTS.valid.inputs, [0.5, 0.3, 0.2]
    write_onnx(tmp_path / "whole.onnx", Deployed(members, weights, TASK, 0.5).eval(), names, inputs)
    of, two = {"weights": weights[:2], "temperature": 0.8}, Deployed(members[:2], weights[:2], TASK, 0.8).eval()
    cut = functools.partial(graphs.write_cut, tmp_path / "whole.onnx", of, False, tmp_path / "two.onnx")
    assert cut(two, names, inputs).max_difference < 1e-6
    with pytest.raises(ExportMismatch):
        cut(Deployed(members[1:], weights[1:], TASK, 0.8).eval(), names, inputs)


def test_the_test_rows_are_asked_once_unless_another_graph_answers(tmp_path, monkeypatch):
    search = Search(tmp_path, monkeypatch)
    plain, told = search.export, [np.tile([0.9, 0.1], (400, 1))]
    monkeypatch.setattr(networks, "fill", lambda *_: told)
    monkeypatch.setattr(networks, "export", lambda folder, *of: (of[-2](folder), plain(folder, *of))[1])
    assert search.finish().test_predictions is told[0]
    search.variant = {"name": "2-int8"}
    np.testing.assert_array_equal(search.finish().test_predictions, np.full((400, 2), 0.5))


def test_nothing_runs_beside_what_is_timed(tmp_path, monkeypatch):
    order, search = list[str](), Search(tmp_path, monkeypatch)
    monkeypatch.setattr(finish, "simple_model", lambda *_: lambda: order.append("waited"))
    monkeypatch.setattr(networks, "measured", lambda *_: (order.append("timed"), dict(search.cost))[1])
    search.finish()
    assert order[:2] == ["waited", "timed"]


def test_only_when_none_can_be_exported_is_there_no_model(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"^none of 3 networks can be deployed; network 0 \(mlp\) cannot be exported"):
        Search(tmp_path, monkeypatch, broken=[0, 1, 2]).finish()


def test_a_full_disk_is_no_network_s_fault(tmp_path, monkeypatch):
    search = Search(tmp_path, monkeypatch)

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(networks, "export", full)
    with pytest.raises(OSError, match="no space left"):
        search.finish()


def test_the_network_that_was_judged_stands_in_for_its_refit(tmp_path, monkeypatch):
    search = Search(tmp_path, monkeypatch, broken=[9])

    def trained(engine, members, weights, seconds):
        network = nn.Linear(2, 2)
        nn.init.constant_(network.bias, 9.0)
        weights = save(network.state_dict())
        return {t.number: Outcome("ok", 1.0, weights=weights) for t, _ in members if t.number == 1}

    monkeypatch.setattr(networks, "trained_again", trained)
    found = search.finish(refit=True)
    assert [(m["number"], m["refit"]) for m in found.members] == [(0, False), (1, False)] and not found.notes


@pytest.mark.parametrize("fault", ["another network", "no number", "shape", "weights"])
def test_a_network_that_is_not_the_one_that_was_judged_is_left_out(tmp_path, monkeypatch, fault):
    search = Search(tmp_path, monkeypatch, count=2)
    answers = np.full((40, 2), {"another network": 0.4, "no number": np.nan}.get(fault, 0.5))
    trial = Trial("line", Candidate("mlp", {"n": 2}), 6, 0, "ok", 0.99, number=2)
    changed = {"predictions": answers[:, :1] if fault == "shape" else answers}
    if fault == "weights":
        changed = {"weights": save(nn.Linear(3, 2).state_dict())}
    search.add(trial, **changed)
    found = search.finish()
    assert [m["number"] for m in found.members] == [0, 1]
    assert len(found.notes) == 1 and found.notes[0].startswith(
        "left out: network 2 (mlp) is not the one that was judged: "
    )


def test_one_candidate_is_one_network_its_best_and_of_equals_the_longest(tmp_path, monkeypatch):
    def trained(number: int, score: float, epochs: int, of: int) -> Trial:
        return Trial("line", Candidate("mlp", {"n": of}), epochs, 0, "ok", score, number=number)

    best = [trained(4, 0.9, 5, 1), trained(5, 0.9, 15, 1), trained(2, 0.8, 5, 2), trained(3, 0.7, 15, 2)]
    assert [t.number for t in once_each(best)] == [5, 2] and once_each([]) == []
    search = Search(tmp_path, monkeypatch, count=2)
    search.add(trained(7, 0.95, 15, 0))
    assert [m["number"] for m in search.finish().members] == [7, 1] and search.pool == 2


def test_the_price_of_a_refit_is_that_of_all_trainings_that_led_to_it():
    calls = [(0, 1, 2.0, "ok"), (1, 3, 3.0, "ok"), (2, 6, 6.0, "ok"), (3, 9, 7.0, "timeout")]
    trials = [dataclasses.replace(TRIAL, number=n, fidelity=f, seconds=s, status=status) for n, f, s, status in calls]
    other = dataclasses.replace(TRIAL, candidate=Candidate("mlp", {}), number=8)
    assert whole(trials[2], [*trials, other]).seconds == 11.0 and whole(trials[0], trials).seconds == 2.0


def test_a_network_that_began_with_a_known_fit_is_priced_by_the_one_that_was_fitted(monkeypatch):
    """On other rows it is fitted again."""
    monkeypatch.setattr(again_module, "begins", lambda job, family: family == "linear")
    of = [("linear", 9.0, 0.01, "none"), ("linear", 1.0, 0.1, "none"), ("linear", 20.0, 0.1, "hinges")]
    of.append(("mlp", 1.0, 0.1, "none"))
    trials = [
        dataclasses.replace(TRIAL, candidate=Candidate(f, {"learning_rate": rate, "bend": bend}), seconds=s, number=n)
        for n, (f, s, rate, bend) in enumerate(of)
    ]
    job = engine_of().job
    assert [anew(t, trials, job).seconds for t in trials] == [9.0, 9.0, 20.0, 1.0]
    failed = [dataclasses.replace(trials[0], status="timeout"), *trials[1:]]
    assert anew(trials[1], failed, job).seconds == 1.0


def test_time_is_kept_for_the_networks_that_would_be_chosen_now():
    """A candidate is where its best training stands, not where a short one of it does."""
    job = engine_of().job
    best = [dataclasses.replace(TRIAL, candidate=Candidate("mlp", {"n": n}), seconds=s, score=score, number=n)
            for n, s, score in ((0, 60.0, 0.9), (1, 6.0, 0.5), (2, 6.0, 0.4))]  # fmt: skip
    trials = [dataclasses.replace(best[0], fidelity=2, seconds=3.0, score=0.1, number=9), *best]
    prices = price(whole(best[0], trials), job), price(best[1], job)

    def kept(hands: int, seconds: float | None = None, size: int = 2) -> float:
        clock = Clock(seconds)
        LastTrainings(clock, job, hands, size, lambda trials: []).heard(trials)
        return clock.refit

    assert kept(2) == pytest.approx(max(prices)) and kept(1) == pytest.approx(sum(prices))
    assert kept(1, 80.0) == pytest.approx(min(prices)), "none for a training that does not fit into a fifth"
    assert kept(1, 5.0) == kept(1, size=0) == 0.0


def test_a_search_that_would_end_for_last_trainings_asks_which_they_are():
    """The best four may be slow, and what is deployed one quick network."""
    job, asked = engine_of().job, list[int]()
    slow = [dataclasses.replace(TRIAL, candidate=Candidate("mlp", {"n": n}), seconds=60.0, number=n) for n in range(4)]
    quick = dataclasses.replace(TRIAL, candidate=Candidate("mlp", {"n": 4}), seconds=6.0, number=4, score=0.1)

    def choose(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
        asked.append(len(trials))
        return [(quick, 1.0)]

    clock = Clock(200.0)
    last = LastTrainings(clock, job, 4, 4, choose)
    last.heard([quick, *slow])
    assert clock.refit == pytest.approx(price(slow[0], job))
    assert last.room([quick, *slow]) == pytest.approx(clock.for_search, abs=1) and not asked, "there is time yet"
    clock = last.clock = Clock(200.0, began=time.monotonic() - 185)
    last.heard([quick, *slow])
    assert (clock.for_search or 0) < 0 < (last.room([quick, *slow]) or 0) and asked == [5]
    assert clock.refit == pytest.approx(price(quick, job))
    last.heard([quick, *slow, *slow])
    assert clock.refit == pytest.approx(price(quick, job)), "the choice is asked again, not the best"


def test_code_that_changed_since_a_search_began_is_said():
    now = other_code(["0"])[0].rsplit(" ", 1)[1]
    assert other_code(["0"]) == (f"this search began with code 0, it goes on with {now}",)
    assert other_code([now]) == other_code([]) == ()


def test_whether_to_train_again_is_asked_in_three_words():
    assert refit_of("auto") is None and refit_of(True) is True and refit_of(False) is False
    with pytest.raises(UserError, match=r"^objective\.refit=yes must be auto, true or false$"):
        refit_of("yes")


@pytest.mark.whole
def test_a_finished_search_can_be_made_into_another_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = part(3, 200)
    search = ["engine=sequential", "progress=false", "metalearner=uniform", "strategy=random",
              "family=[mlp]", "budget.epochs=2", "task.check=false", "task.folds=0"]  # fmt: skip
    first = solve(frame.inputs[0], frame.y, seconds=None, trials=2, overrides=search)
    assert all(m["refit"] for m in first.result["ensemble"])
    assert "on training and validation rows together" in (first.folder / "report.html").read_text()
    looked_at, how = first.result["importance"], first.result["importance_from"]
    assert {f["field"] for f in looked_at} == {"x0", "x1"} and all(f["mean"] > 0.05 for f in looked_at)
    assert how["learned"] and how["fields"] == 2 and f"{how['rows']} rows" == first.result["data"]["valid"]
    later = [
        "resume=true",
        "objective.refit=false",
        "objective.ensemble=1",
        f"store.url=sqlite:///{tmp_path}/outputs/store.db",
    ]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # the search knows where its networks lie
    second = solve(frame.inputs[0], frame.y, seconds=None, trials=2, overrides=[*search, *later])
    assert [m["refit"] for m in second.result["ensemble"]] == [False]
    assert "on training and validation rows together" not in (second.folder / "report.html").read_text()
    assert not second.result["importance_from"]["learned"]
    with sqlite3.connect(tmp_path / "outputs/store.db") as db:
        assert db.execute("select count(*) from trials").fetchone() == (2,)
    for file in tmp_path.glob("outputs/searches/*/*"):
        file.unlink()
    with pytest.raises(UserError, match=r"2 trainings succeeded, but .* does not hold what came of it any more"):
        solve(frame.inputs[0], frame.y, seconds=None, trials=2, overrides=[*search, *later])
