"""The report: opens offline, shows what was measured, and takes nothing from the data for markup."""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl import metrics
from automl.metrics import scores
from automl.types import Input, Limits, Prior, Profile, Task
from experiments.bootstrap import drawn_groups
from experiments.report import page, plots
from experiments.report import test_rows as report_test_rows
from experiments.report.report import write_report
from experiments.report.search import leaderboard_part
from experiments.report.verdict import verdict
from experiments.report.words import NAMES, amount, count, explain, interval, number, without_a_model
from experiments.solve.result import drawn_together
from tests.automl.examples import AXES, CONVNET, MLP, TASK, trial

EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>\0\ud800\u2028"
DIGITS = replace(TASK, classes=tuple("0123456789"), goal="accuracy >= 0.9", why=("ten whole numbers: multiclass",))
TRIALS = [
    trial(0, score=0.5, parameters=1000),
    trial(1, candidate=CONVNET, score=0.75, curve=(0.25, 0.75), parameters=2500),
    trial(2, status="failed", score=None, curve=(), error="Traceback\nRuntimeError: boom"),
]


class Reader(HTMLParser):
    """What a browser would make of the page: its text, elements, attributes and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.tags, self.attributes, self.scripts = [], [], [], []
        self._inside = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *a) for a in attrs]
        if tag in ("script", "style"):
            self._inside = tag
            self.scripts.append((dict(attrs), ""))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        self._inside = ""
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self._inside:
            self.scripts[-1] = (self.scripts[-1][0], data)
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    @property
    def figures(self) -> list[dict]:
        return [json.loads(text) for given, text in self.scripts if given.get("type") == "application/json"]


def predictions(task: Task, rows: int = 60, wrong: int = 6) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predictions as in predictions.parquet, the first ``wrong`` of them wrong, and their metrics."""
    rng = np.random.default_rng(0)
    if task.kind == "regression":
        y = rng.normal(size=rows)
        value = y + rng.normal(size=rows) / 4
        return pd.DataFrame({"row": range(rows), "y": y, "prediction": value}), scores(task.kind, y, value)
    k = task.num_outputs
    y = np.arange(rows) % k
    guess = np.where(np.arange(rows) < wrong, (y + 1) % k, y)
    p = np.full((rows, k), 0.1 / (k - 1))
    p[np.arange(rows), guess] = 0.9
    names = np.asarray(task.classes, dtype=object)
    columns = {f"p_{name}": p[:, i] for i, name in enumerate(task.classes)}
    frame = pd.DataFrame({"row": np.arange(rows) + 100, "y": names[y], "prediction": names[guess], **columns})
    return frame, scores(task.kind, y, p, task.classes)


def result_of(task: Task, test: dict[str, float]) -> dict:
    return {
        "task": {"name": task.name, "kind": task.kind, "metric": task.metric, "goal_met": True},
        "level": 4,
        "seed": 7,
        "trials": {"ok": 2, "failed": 1, "timeout": 0, "oom": 0, "diverged": 0, "skipped": 0},
        "seconds": {"total": 75.0, "prepare": 1.0, "search": 60.0, "refit": 2.0, "export": 1.0},
        "val": test,
        "test": test,
        "chosen": {"family": "convnet", "choices": {"stem": "3x3"}},
        "ensemble": [
            {"number": 1, "family": "convnet", "choices": {"stem": "3x3"}, "weight": 0.75, "parameters": 2500},
            {"number": 0, "family": "mlp", "choices": dict(MLP.choices), "weight": 0.25, "parameters": 1000},
        ],
        "bundle": "outputs/x/bundle",
        "store": "sqlite:///outputs/store.db",
    }


def report(path, task: Task = DIGITS, trials=tuple(TRIALS), **changes) -> tuple[str, Reader]:
    frame, test = predictions(task)
    given = {
        "dataset_facts": {"origin": "made here", "rows": 1797, "inputs": {"image": "1 x 8 x 8"}, "notes": ["scaled"]},
        "prior": replace(Prior.uniform(AXES, ("no past runs are used",)), portfolio=(CONVNET, MLP)),
        "profile": Profile(("log10_train_rows", "entropy"), (3.25, float("nan")), {"entropy": "too slow"}),
        "predictions": frame,
    } | changes
    given_result = given.pop("result", result_of(task, test))
    write_report(path / "report.html", given_result, task=task, trials=trials, **given)
    text = (path / "report.html").read_text(encoding="utf-8")
    return text, Reader(text)


def test_it_says_what_was_asked_tried_and_found(tmp_path):
    _, read = report(tmp_path)
    for said in (
        "90.0 of 100 rows get the right class",
        "accuracy >= 0.9",
        "ten whole numbers: multiclass",
        "1,797",
        "3 trials: 2 ok, 1 failed",
        "RuntimeError: boom",
        "An ensemble of 2 networks",
        "ensemble of 2 3,500 parameters",
        "1:15 minutes in all",
        "Area under the ROC curve",
        "no past runs are used",
        "too slow",
        "Bundle.load('outputs/x/bundle')",
        "sqlite:///outputs/store.db",
    ):
        assert said in read.words
    assert "could not be made" not in read.words
    assert "recall[" not in read.words  # each class has its own table
    assert read.words.index("convnet 3") < read.words.index("mlp 3")  # the leaderboard, best first: "family epochs"


def test_it_opens_offline_and_only_its_own_script_runs(tmp_path):
    text, read = report(tmp_path)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(read.tags)
    assert not [a for a in read.attributes if a[1] in ("src", "srcset") or a[1].startswith("on")]
    assert all(a[2].startswith("#") for a in read.attributes if a[1] == "href")
    policy = next(a[2] for a in read.attributes if a[0] == "meta" and str(a[2]).startswith("default-src"))
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    nonce = re.search("nonce-([^']+)", policy)
    assert nonce is not None
    run = [given for given, _ in read.scripts if given.get("type") != "application/json" and "nonce" in given]
    assert [given["nonce"] for given in run] == [nonce[1]]
    [packed] = [inside for given, inside in read.scripts if given.get("id") == "plotly"]
    assert (
        zlib.decompress(base64.b85decode(packed.replace(",", "<"))).decode().lstrip("/* \n").startswith("plotly.js v")
    )
    assert len(text) < 2_000_000
    styles = [text for given, text in read.scripts if not given]
    assert "url(" not in "".join(styles)
    assert "@import" not in "".join(styles)
    assert read.open == []


def test_without_javascript_the_plots_leave_no_holes(tmp_path):
    text, _ = report(tmp_path)
    assert "<noscript><style>figure { display: none; }</style></noscript>" in text


def test_figures_are_what_plotly_takes(tmp_path):
    _, read = report(tmp_path)
    assert len(read.figures) == 5  # two search curves, learning curves, confusion, calibration
    for drawn in read.figures:
        go.Figure(json.loads(re.sub(r'"var:[^"]*"', '"red"', json.dumps(drawn))))


def test_the_colours_of_figures_exist_in_the_style(tmp_path):
    text, read = report(tmp_path)
    used = set(re.findall(r'"var:([^"]*)"', json.dumps(read.figures)))
    assert used
    assert used <= set(re.findall(r"--(\w+):", text))


def test_a_regression_shows_its_errors(tmp_path):
    task = replace(TASK, kind="regression", num_outputs=1, metric="rmse", inputs=(Input("x", "tabular", (3,)),))
    trials = [replace(t, score=None if t.score is None else -t.score) for t in TRIALS]
    _, read = report(tmp_path, task, trials, predictions=predictions(task)[0])
    assert "The largest errors" in read.words
    assert "Always answering the mean gives 0" in read.words
    assert "read_csv" in read.words
    assert "predict_proba" not in read.words
    curve = next(f for f in read.figures if f["layout"]["yaxis"]["title"]["text"] == "Root mean squared error")
    best = next(d for d in curve["data"] if d["name"] == "best so far")
    assert best["y"] == [0.5, 0.5, 0.5]  # the metric itself, not the negated score
    assert "could not be made" not in read.words


@pytest.mark.parametrize("field", ["name", "goal", "why", "classes", "error", "choice", "facts", "finding", "prior"])
def test_nothing_from_the_data_becomes_markup(field, tmp_path):
    task, trials, changes = DIGITS, list(TRIALS), {}
    if field in ("name", "goal"):
        task = replace(task, **{field: EVIL})
    elif field == "why":
        task = replace(task, why=(EVIL,))
    elif field == "classes":
        task = replace(task, classes=(EVIL.replace("\ud800", ""), *task.classes[1:]))  # pandas holds no surrogates
    elif field == "error":
        trials[2] = replace(trials[2], error=EVIL.replace("\u2028", ""))
    elif field == "choice":
        trials[1] = replace(trials[1], candidate=replace(CONVNET, family=EVIL, choices={EVIL: EVIL}))
    elif field == "facts":
        changes = {"dataset_facts": {EVIL: {EVIL: [EVIL]}}}
    elif field == "prior":
        changes = {"prior": Prior.uniform(AXES, (EVIL,))}
    else:
        finding = SimpleNamespace(severity=EVIL, where=EVIL, count=3, text=EVIL, repair=EVIL, repaired=True)
        changes = {"quality": SimpleNamespace(findings=(finding,))}
    if field == "classes":
        changes = {"predictions": predictions(task)[0]}
    text, read = report(tmp_path, task, trials, **changes)
    assert "could not be made" not in read.words
    assert "alert(1)" in read.words or "alert(1)" in str(read.figures)  # it is shown, as text
    assert "img" not in read.tags
    assert len([s for s in read.scripts if "alert(1)" in s[1] and s[0].get("type") != "application/json"]) == 0
    assert "\0" not in text
    for drawn in read.figures:
        assert "<script" not in json.dumps(drawn)  # plotly reads tags in text


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_escaped_text_is_text(text):
    read = Reader(f"<p>{page.tag('b', text, title=text)}</p>")
    assert read.tags == ["p", "b"]
    assert plots.label(text).count("<") == 0


def test_a_fault_in_one_part_does_not_cost_the_others(tmp_path, caplog):
    _, read = report(tmp_path, quality=SimpleNamespace(findings=[object()]))
    assert "This part could not be made" in read.words
    assert "90.0 of 100 rows" in read.words
    assert "'The data' could not be made" in caplog.text


def test_predictions_that_cannot_be_read_leave_the_rest(tmp_path, caplog):
    _, read = report(tmp_path, predictions=pd.DataFrame({"row": [1], "y": ["no such class"], "prediction": ["1"]}))
    assert "Area under the ROC curve" in read.words
    assert "The surest mistakes" not in read.words
    assert "predictions cannot be read" in caplog.text


def test_with_next_to_nothing_it_is_still_a_page(tmp_path):
    write_report(tmp_path / "report.html", {}, task=TASK, trials=[], dataset_facts={})
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    read = Reader(text)
    assert "No trial was run" in read.words
    assert "could not be made" not in read.words
    assert len(text) < 30_000  # no figure, no plotly


def test_without_a_single_score_it_is_still_a_page(tmp_path):
    _, read = report(tmp_path, trials=[replace(TRIALS[2], number=i) for i in range(3)])
    assert "3 trials: 3 failed" in read.words
    assert "could not be made" not in read.words


def test_limits_are_told(tmp_path):
    _, read = report(tmp_path, replace(DIGITS, limits=Limits(latency_ms=5.0, parameters=100_000)))
    assert "5 ms for one row" in read.words
    assert "100,000" in read.words


def test_measured_latencies_make_a_front(tmp_path):
    unmeasured = [replace(t, latency_ms=None) for t in TRIALS]
    assert "Speed against score" not in report(tmp_path, trials=unmeasured)[0]
    times = [(0.5, 0.80), (2.0, 0.90), (3.0, 0.85), (4.0, 0.95)]  # the third is beaten by the second
    trials = [trial(i, latency_ms=ms, score=score) for i, (ms, score) in enumerate(times)]
    _, reader = report(tmp_path, trials=trials)
    assert "Speed against score" in reader.words
    [front] = [f for f in reader.figures if f["layout"]["xaxis"].get("type") == "log"]
    rest, line = front["data"]
    assert (rest["x"], line["x"], line["y"]) == ([3.0], [0.5, 2.0, 4.0], [0.80, 0.90, 0.95])


def test_what_the_model_looks_at(tmp_path):
    found = [{"field": f"c{i}", "mean": 0.5 / (i + 1), "error": 0.01} for i in range(20)]
    found[0]["field"] = EVIL.replace("\ud800", "")
    frame, test = predictions(DIGITS)
    how = {"rows": 270, "learned": True, "fields": 30}
    result = result_of(DIGITS, test) | {"importance": found, "importance_from": how}
    _, read = report(tmp_path, result=result, predictions=frame)
    assert "could not be made" not in read.words and "img" not in read.tags
    for said in (
        "how far the score falls when this part of the input is shuffled",
        "Measured on 270 validation rows. The networks have learned from these rows too",
        "10 more are not shown; each of them makes a difference of 0.0455 at most.",
        "There was time for 20 of 30 parts of the input.",
    ):
        assert said in read.words
    [drawn] = [f["data"][0] for f in read.figures if f["data"][0].get("orientation") == "h"]
    assert len(drawn["x"]) == len(set(drawn["y"])) == 10 and drawn["x"][0] == 0.5
    assert drawn["error_x"]["array"] == [0.02] * 10 and "<script" not in drawn["y"][0]
    plain = result | {"importance_from": {"rows": 1, "learned": False, "fields": 20}}
    values = replace(TASK, kind="regression", classes=(), num_outputs=1, metric="rmse",
                     inputs=(Input("table", "tabular", (2,), cardinalities=(0, 0)),))  # fmt: skip
    _, read = report(tmp_path, values, result=plain)
    assert "when this column is shuffled" in read.words and "Root mean squared error rises" in read.words
    assert "Measured on 1 validation row." in read.words
    assert "learned from these" not in read.words and "There was time" not in read.words
    held = {"source": "holdout", "rows": 1, "guaranteed": True, "temperature": 1.0, "coverage": {}}
    _, read = report(tmp_path, values, result=plain | {"calibration": held})
    assert "Measured on 1 held-out row." in read.words
    for fewer in ([], found[:1]):
        assert "What the model looks at" not in report(tmp_path, result=result | {"importance": fewer})[1].words


def test_a_failed_write_leaves_the_old_report(tmp_path, monkeypatch):
    report(tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        report(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


# -- figures --


def test_one_hopeless_trial_does_not_flatten_the_curve():
    trials = [trial(i, score=s) for i, s in enumerate((-1000.0, 0.5, 0.625, 0.75))]
    drawn = plots.search_curve(trials, "r2")
    assert min(min(d["y"]) for d in drawn["data"] if d["y"]) > -10
    assert [d["marker"]["symbol"] for d in drawn["data"] if d.get("marker")] == ["circle", "triangle-down"]


def test_the_curve_over_seconds_adds_them_up():
    drawn = plots.search_curve([trial(i, seconds=2.0) for i in range(3)], "accuracy", over="seconds")
    assert drawn["data"][-1]["x"] == [2.0, 4.0, 6.0]


def test_confusion_counts_rows_and_keeps_the_hard_classes():
    drawn = plots.confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), ("a", "b"))
    assert drawn["data"][0]["customdata"] == [[1, 1], [0, 1]]
    assert drawn["data"][0]["z"] == [[0.5, 0.5], [0.0, 1.0]]
    y = np.arange(100)
    guess = np.where(y < 10, y + 1, y)
    many = plots.confusion(y, guess, [f"{'x' * 40}{i}" for i in range(100)])["data"][0]
    assert len(many["x"]) == len(set(many["x"])) == plots.MOST_CLASSES
    assert np.trace(np.array(many["customdata"])) == 20  # ten mistaken classes and twenty right ones


def test_reliability_puts_confidence_beside_the_share_that_is_right():
    p = np.array([[0.95, 0.05]] * 10 + [[0.35, 0.65]] * 4)
    y = np.array([0] * 9 + [1] + [1, 1, 0, 0])
    points = plots.reliability(y, p)["data"][1]
    assert np.allclose(points["x"], [0.65, 0.95])
    assert np.allclose(points["y"], [0.5, 0.9])
    assert points["customdata"] == [4, 10]
    assert all(v >= 0 for v in points["error_y"]["array"] + points["error_y"]["arrayminus"])


def test_big_scatters_are_thinned():
    y = np.arange(100_000.0)
    points = plots.predicted_true(y, y)["data"][1]
    assert len(points["x"]) == plots.MOST_POINTS
    assert (points["x"][0], points["x"][-1]) == (0.0, 99_999.0)


# -- words --


@pytest.mark.parametrize("metric", sorted(NAMES))
def test_every_metric_has_words(metric):
    assert explain(metric, 0.5, 3).endswith(".")


def test_words_cover_every_metric_of_the_ground_floor():
    assert {*metrics.CLASSIFICATION, *metrics.REGRESSION} <= set(NAMES)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (float("nan"), "–"), (0.98765, "0.9877"), (-0.5, "-0.5000"), (1234.5, "1,234"), (1e6, "1,000,000"),
     (3.2e-5, "3.2e-05"), (-2.2e-16, "0.0000"), (0.0, "0.0000"),
     (-1e30, "-1e+30")],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text


def test_large_values_of_the_target_are_told_apart():
    assert [amount(v) for v in (1700000012.0, 1700000013.5, 16670.0, 0.0312, math.nan)] == [
        "1,700,000,012", "1,700,000,013.5", "16,670", "0.0312", "–"
    ]  # fmt: skip
    y = 1700000000 + np.arange(20.0)
    frame = pd.DataFrame({"row": np.arange(20), "y": y, "prediction": y + 0.5})
    task = replace(TASK, kind="regression", num_outputs=1, metric="rmse")
    tested = report_test_rows.Tested.of(task, frame)
    shown = report_test_rows.test_rows_part({"test": {"rmse": 0.5}}, task, tested)
    assert "1,700,000,007" in shown and "1.7e+09" not in shown


def test_the_footer_shows_the_store_as_it_is_called(tmp_path):
    store = "postgresql://host/level4?sslmode=require&connect_timeout=3"
    _, read = report(tmp_path, result=result_of(DIGITS, {"accuracy": 0.9}) | {"store": store})
    assert f"Trials are kept in {store}." in read.words


def test_count():
    assert [count(n, "trial") for n in (0, 1, 2000)] == ["0 trials", "1 trial", "2,000 trials"]


def test_the_interval_holds_the_metric_and_narrows_with_rows():
    rng = np.random.default_rng(1)

    def width(rows: int) -> float:
        y = rng.integers(0, 2, rows)
        p = np.eye(2)[np.where(rng.random(rows) < 0.8, y, 1 - y)]
        low, high = interval("accuracy", "binary", y, p) or (0, 0)
        assert low <= np.mean(p.argmax(1) == y) <= high
        return high - low

    assert width(50) > 2 * width(1000)
    assert 0.03 < width(1000) < 0.07  # 2 * 1.96 * sqrt(0.8 * 0.2 / 1000) = 0.05


def test_hundreds_of_classes_are_not_sorted_in_each_draw(monkeypatch):
    y, rng = np.tile(np.arange(300), 3), np.random.default_rng(0)
    p = np.eye(300)[y] / 2 + rng.random((900, 300))
    p /= p.sum(axis=1, keepdims=True)
    value = metrics.score("roc_auc", "multiclass", y, p)
    monkeypatch.setattr(metrics, "_area", lambda *of: pytest.fail("sorted once more"))
    low, high = interval("roc_auc", "multiclass", y, p) or (0, 0)
    assert low < value < high and high - low < 0.1


def test_what_depends_on_each_other_is_drawn_together():
    """20 groups of 20 equal rows say what 20 rows say."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=20)
    y, group = np.repeat(one, 20), np.repeat(np.arange(20), 20)
    shift = np.repeat(rng.normal(size=20), 20)
    alone = interval("mae", "regression", y, y + shift) or (0, 0)
    together = interval("mae", "regression", y, y + shift, group) or (0, 0)
    twenty = interval("mae", "regression", one, one + shift[::20]) or (0, 0)
    assert np.ptp(together) > 2.5 * np.ptp(alone) and np.isclose(np.ptp(together), np.ptp(twenty), rtol=0.3)
    assert interval("mae", "regression", y, y + shift, np.zeros(400, int)) is None, "one group tells nothing of others"


def test_a_row_without_a_group_stands_for_itself():
    """As the split has it: rows of no group are not one large group."""
    group = np.array(["a", "a", None, np.nan, "b", None], dtype=object)
    parts = SimpleNamespace(test=SimpleNamespace(rows=np.arange(6)))
    of = SimpleNamespace(dataset=SimpleNamespace(group=group), parts=parts)
    together = drawn_together(of)  # type: ignore[arg-type]
    assert together is not None and together[0] == together[1] and len(set(together.tolist())) == 5


def test_every_row_of_a_drawn_group_comes_along():
    for rows in drawn_groups(np.array(["b", "a", "b", "c"]), 50, seed=1):
        counts = np.bincount(rows, minlength=4)
        assert counts[0] == counts[2] and counts[0] + counts[1] + counts[3] == 3
    assert len({tuple(r) for r in drawn_groups(np.arange(5), 50)}) > 40


def test_the_leaderboard_names_trials_and_a_caption_fits_a_loss(tmp_path):
    trials = [trial(7, score=-0.5, curve=(-0.9, -0.5)), trial(3, score=-0.25, curve=(-0.9, -0.25))]
    _, read = report(tmp_path, replace(DIGITS, metric="log_loss"), trials=trials)
    assert "trial" in read.words and "rising" not in read.words and "getting better" in read.words
    made = leaderboard_part(trials, replace(DIGITS, metric="log_loss"))
    cells = re.findall(r'<td class="n" data-head="([^"]*)">([^<]*)</td>', made)
    assert cells[:2] == [("trial", "3"), ("Log loss", "0.2500")], "a card's cells have their names"
    assert all("data-head" in cell for cell in re.findall(r"<td[^>]*>", made))


def test_the_interval_of_a_loss_is_in_its_own_direction():
    y = np.arange(40.0)
    low, high = interval("rmse", "regression", y, y + np.tile([1.0, 3.0], 20)) or (0, 0)
    assert 1 < low < np.sqrt(5) < high < 3


def test_without_a_model_is_the_constant_answer():
    y = np.array([0, 0, 0, 1])
    assert without_a_model("binary", y, 2)["accuracy"] == 0.75
    assert without_a_model("regression", y.astype(float), 1)["r2"] == 0.0


def test_no_constant_is_held_against_a_calibration_error():
    """The shares of these very rows are off by nothing: a model judged by that would always be the worse."""
    none = without_a_model("binary", np.array([0, 0, 0, 1]), 2)
    told = {"test": {"ece": 0.02}, "interval": [0.01, 0.03], "baseline": none}
    assert "ece" not in none and verdict(told, replace(DIGITS, metric="ece")) == ("", "", "")


def test_the_report_says_which_networks_were_left_out_and_intervals_as_other_numbers(tmp_path):
    result = result_of(DIGITS, {"accuracy": 0.9}) | {"notes": ["left out: network 7 (mlp) cannot be exported: boom"]}
    _, read = report(tmp_path, result=result | {"interval": [12345.6, 12399.9]})
    assert "network 7 (mlp) cannot be exported: boom" in read.words and "12,346 to 12,400" in read.words
