"""From windows and labels to what is told: alerts begin and end, once, whoever judges and however often."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.monitor import alerts, windows
from automl.monitor import judge as judging
from automl.monitor.answers import Answers
from automl.monitor.counter import Counter
from automl.monitor.judge import HISTORY, judge
from automl.monitor.recorder import Recorder
from automl.monitor.status import POINTS, status
from automl.monitor.windows import Window
from tests.automl.monitor.bundles import asked, people

START = time.time() // 60 * 60  # files have times of their own


def minute(folder: Path, bundle: Any, number: int, *, rows: int = 100, older: float = 0.0, worker: str = "1-a") -> None:
    """What a worker writes of a minute."""
    counter = Counter(bundle)
    sent, outputs = asked(bundle, people(rows, 1000 + number, older=older))
    counts = counter.answers(outputs, [0.003] * rows, requests=rows) + counter.rows(sent)
    at = START + 60 * number
    windows.append(folder, worker, Window(at, at + 59, counts))


def plain(found: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(found, allow_nan=False))


def test_before_there_is_anything(bundle, tmp_path: Path) -> None:
    found = plain(status(tmp_path / "none", bundle, now=START))
    assert found["verdict"] == "waiting" and found["windows"] == [] and found["traffic"]["p50_ms"] is None
    assert {m["what"] for m in found["outputs"]["measures"]} == {"class", "probability of the class"}
    assert [f["field"] for f in found["fields"]] == ["age", "children", "city"] or len(found["fields"]) == 3
    assert not (tmp_path / "none").exists()


def test_a_shift_is_told_and_ends(bundle, tmp_path: Path) -> None:
    for number in range(30):
        minute(tmp_path, bundle, number, older=15 if 10 <= number < 18 else 0)
        found = status(tmp_path, bundle, now=START + 60 * number)
        if number == 9:
            assert plain(found)["verdict"] == "fine" and found["text"] == "nothing has moved in 10 windows"
            assert found["judged"]["rows"] == 1000 and found["traffic"]["p50_ms"] == pytest.approx(3.5)
        if number == 17:
            (age,) = (f for f in found["fields"] if f["field"] == "age")
            assert age["moved"] and age["p"] < 1e-6 and age["text"].startswith("median 39.") and " -> 5" in age["text"]
            assert found["verdict"] == "moved" and "age" in found["text"] and age["distance"] > 0.3
            assert sum(age["now"]) == pytest.approx(1, abs=1e-3) and len(age["now"]) == len(age["labels"])
            assert found["outputs"]["cost"]["what"] == "accuracy"
            assert any("age" in w["alerts"] and w["evidence"] > 1 for w in found["windows"])
    lines = [(a["field"], a["on"]) for a in alerts.read(tmp_path)]
    assert lines.count(("age", True)) == lines.count(("age", False)) == 1
    assert plain(found)["verdict"] == "fine" and len(found["windows"]) == 30
    (told,) = (a for a in found["alerts"] if a["field"] == "age")
    assert told["until"] > told["since"] >= START + 600 and told["text"].startswith("age: ")
    assert not {f["field"] for f in found["fields"] if f["moved"]}


def test_who_judges_when_makes_no_difference(bundle, tmp_path: Path) -> None:
    often, once = tmp_path / "often", tmp_path / "once"
    for number in range(12):
        for folder in (often, once):
            for worker in ("1-a", "2-b"):
                minute(folder, bundle, number, rows=60, older=15 if number > 6 else 0, worker=worker)
        status(often, bundle, now=START)
    a, b = (plain(status(folder, bundle, now=START)) for folder in (often, once))
    assert a == b and a["judged"]["windows"] == 12 and a["alerts"]


def test_few_rows_are_put_together(bundle, tmp_path: Path) -> None:
    for number in range(10):
        minute(tmp_path, bundle, number, rows=20)
        status(tmp_path, bundle, now=START)
    found = status(tmp_path, bundle, now=START)
    assert found["judged"]["windows"] == 3 and found["judged"]["rows"] == 180
    assert found["traffic"]["rows"] == 200


def test_another_process_judges(bundle, tmp_path: Path) -> None:
    minute(tmp_path, bundle, 0)
    file = os.open(tmp_path / judging.LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    assert status(tmp_path, bundle, now=START)["verdict"] == "waiting"
    os.close(file)
    assert status(tmp_path, bundle, now=START)["verdict"] == "fine"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 9, "size": 1}'])
def test_a_broken_state_is_begun_anew(bundle, tmp_path: Path, text: str) -> None:
    minute(tmp_path, bundle, 0)
    (tmp_path / judging.NAME).write_text(text)
    assert status(tmp_path, bundle, now=START)["judged"]["windows"] == 1


@pytest.mark.parametrize(
    "spoil",
    [{"pending": []}, {"total": [10**30]}, {"total": [1]}, {"levels": [[1, None, [1]]]}, {"alarms": [[99, 0, 0, 0.1]]}],
)
def test_a_state_that_is_half_right_is_begun_anew_as_a_whole(bundle, tmp_path: Path, spoil: dict[str, object]) -> None:
    """What it read before it met the fault, how far the files were judged, once stayed: the past was lost."""
    minute(tmp_path, bundle, 0)
    status(tmp_path, bundle, now=START)
    state = json.loads((tmp_path / judging.NAME).read_text())
    (tmp_path / judging.NAME).write_text(json.dumps({**state, **spoil}))
    found = status(tmp_path, bundle, now=START)
    assert found["judged"]["windows"] == 1 and found["judged"]["rows"] > 0 and found["verdict"] == "fine"


def test_the_past_takes_little_room(bundle, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(judging, "HISTORY", 20)
    assert HISTORY >= POINTS
    for number in range(50):
        minute(tmp_path, bundle, number, rows=50)
    found = status(tmp_path, bundle, now=START)
    points = found["windows"]
    assert 10 <= len(points) <= 20 and sum(p["rows"] for p in points) == 2500 == found["traffic"]["rows"]
    assert [p["at"] for p in points] == sorted(p["at"] for p in points)


def test_labels_are_told_with_bounds_and_alarm(bundle, tmp_path: Path) -> None:
    _, outputs = asked(bundle, people(600, 5))
    store = Answers(tmp_path, bundle)
    store.add([("a", START, outputs)])
    wrong = [bundle.task.classes[1 - c] for c in outputs[0].argmax(1)]
    store.feedback("a", wrong[:5])
    minute(tmp_path, bundle, 0)
    live = plain(status(tmp_path, bundle, now=START))["live"]
    assert live["labels"] == 5 and live["confirmed"] == 0 and live["bounds"][0] == 0 and len(live["coverage"]) == 3
    store.feedback("a", wrong)
    found = status(tmp_path, bundle, now=START + 1)
    assert found["live"]["labels"] == 600 and found["verdict"] == "moved"
    assert {a["what"] for a in found["alerts"]} == {"accuracy", "coverage"}
    assert status(tmp_path, bundle, now=START + 2)["alerts"] == found["alerts"], "told once"


def test_values_have_no_estimate_and_say_why(values, tmp_path: Path) -> None:
    _, outputs = asked(values, people(80, 5))
    store = Answers(tmp_path, values)
    store.add([("a", START, outputs)])
    store.feedback("a", [float(v) for v in values.encoding.decode(outputs[0])])
    minute(tmp_path, values, 0)
    found = plain(status(tmp_path, values, now=START))
    live = found["live"]
    assert live["estimated"] is None and "without labels" in live["why"] and live["confirmed"] == pytest.approx(1)
    assert found["outputs"]["cost"] is None and found["windows"][0]["estimated"] is None
    (value,) = found["outputs"]["measures"]
    edges = [float(e) for e in value["labels"][1:-2]]
    assert min(edges) > 0, "in the target's own unit"


def test_a_bundle_without_a_reference_says_so(bundle, tmp_path: Path) -> None:
    bare = dataclasses.replace(bundle, meta={**bundle.meta, "files": {}})
    recorder = Recorder(tmp_path, bare)
    rows, outputs = asked(bundle, people(60, 5))
    recorder.add("a", rows, outputs)
    recorder.close()
    found = plain(status(tmp_path, bare, now=START))
    assert "no reference" in found["problems"][0] and found["traffic"]["rows"] == 60 and found["fields"] == []


def test_a_webhook_that_cannot_be_reached_harms_nothing(bundle, tmp_path: Path, caplog) -> None:
    for number in range(3):
        minute(tmp_path, bundle, number, older=30)
    judge(tmp_path, Counter(bundle), START, "http://127.0.0.1:9/")
    assert "cannot be reached" in caplog.text and alerts.read(tmp_path)


def test_dropped_and_broken_are_told(bundle, tmp_path: Path) -> None:
    counter = Counter(bundle)
    counts = np.zeros(counter.layout.size, np.int64)
    counts[:4] = 50, 50, 7, 2
    windows.append(tmp_path, "1-a", Window(START, START + 60, counts))
    next(tmp_path.glob("windows-*")).open("a").write("{}\n")
    found = status(tmp_path, bundle, now=START)
    assert [p.split()[0] for p in found["problems"]] == ["7", "the", "1"]


def test_an_alert_is_told_once_while_the_state_cannot_be_written(bundle, tmp_path: Path, monkeypatch) -> None:
    counter, sent = Counter(bundle), []
    write = judging.write_atomically

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(judging, "write_atomically", full)
    monkeypatch.setattr(alerts, "send", lambda url, told: sent.extend(told))
    store = Answers(tmp_path, bundle)
    for number in range(6):
        minute(tmp_path, bundle, number, older=15)
        frame = people(100, number)
        store.add([(str(number), START, asked(bundle, frame)[1])])
        store.feedback(str(number), ["young" if age > 40 else "old" for age in frame["age"]])
        with pytest.raises(OSError):
            judge(tmp_path, counter, START + 60 * number, "http://hook")
    names = [(a["field"], a["what"], a["on"]) for a in alerts.read(tmp_path)]
    assert len(set(names)) == len(names) and ("age", "value", True) in names and ("", "coverage", True) in names
    assert [(a["field"], a["what"], a["on"]) for a in sent] == names
    monkeypatch.setattr(judging, "write_atomically", write)
    judge(tmp_path, counter, START + 360)
    assert len(alerts.read(tmp_path)) == len(names)


def test_answers_that_are_no_numbers_cost_score(bundle, tmp_path: Path) -> None:
    counter = Counter(bundle)
    _, (p, *rest) = asked(bundle, people(400, 5))
    before = status_of(tmp_path / "fine", bundle, counter.answers([p, *rest]))
    p = p.copy()
    p[::2] = np.nan
    found = status_of(tmp_path / "half", bundle, counter.answers([p, *rest]))
    assert (
        found["verdict"] == "moved" and found["outputs"]["cost"]["change"] < before["outputs"]["cost"]["change"] - 0.3
    )


def status_of(folder: Path, bundle: Any, counts: np.ndarray) -> dict[str, Any]:
    windows.append(folder, "1-a", Window(START, START + 59, counts))
    return plain(status(folder, bundle, now=START + 60))
