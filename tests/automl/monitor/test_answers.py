"""Answers are kept by request without what was asked; labels find them once, however often they come."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from automl.errors import UserError
from automl.monitor import answers as module
from automl.monitor.answers import NAME, Answers, Feedback
from tests.automl.monitor.bundles import asked, people


def kept(folder: Path, bundle, rows: int = 3, at: float | None = None, name: str = "one") -> Answers:
    store = Answers(folder, bundle)
    store.add([(name, time.time() if at is None else at, asked(bundle, people(rows, 1))[1])])
    return store


def test_labels_find_their_answers(bundle, tmp_path: Path) -> None:
    store = kept(tmp_path, bundle)
    said = asked(bundle, people(3, 1))[1][0]
    assert store.last_label() == 0 and len(store.labelled().y) == 0
    assert store.feedback("one", [None, "young", None]) == Feedback(1, 0, 0)
    assert store.feedback("one", ["old", "old", None, "old"]) == Feedback(1, 1, 1)
    assert store.feedback("two", ["old", None]) == Feedback(0, 1, 0)
    found = store.labelled()
    assert store.last_label() == 2 and found.y.tolist() == [1, 0], (
        "in the order in which they came; the first one counts"
    )
    np.testing.assert_array_equal(found.said, said[[1, 0]])


def test_values_are_kept_in_the_unit_of_the_graph(values, tmp_path: Path) -> None:
    store = kept(tmp_path, values)
    assert store.feedback("one", [41.5, 3, None]) == Feedback(2, 0, 0)
    center = values.encoding.target.center
    np.testing.assert_allclose(store.labelled().y, [41.5 - center, 3 - center])
    np.testing.assert_array_equal(store.labelled().said[:, 0], asked(values, people(3, 1))[1][0][:2])


@pytest.mark.parametrize("label", ["middle", 1, True, 2.5, ["old"], {"a": 1}])
def test_what_is_no_class_is_refused_whole(bundle, tmp_path: Path, label) -> None:
    store = kept(tmp_path, bundle)
    with pytest.raises(UserError, match="is no class of the model; classes are: old, young"):
        store.feedback("one", ["old", label])
    assert store.last_label() == 0


@pytest.mark.parametrize("label", ["5", True, float("nan"), float("inf"), [1], 10**400])
def test_what_is_no_number_is_refused(values, tmp_path: Path, label) -> None:
    with pytest.raises(UserError, match="is no finite number"):
        kept(tmp_path, values).feedback("one", [label])


def test_without_a_file_nothing_is_known(bundle, tmp_path: Path) -> None:
    store = Answers(tmp_path / "gone", bundle)
    assert store.feedback("one", ["old", None]) == Feedback(0, 1, 0)
    assert store.last_label() == 0 and len(store.labelled().y) == 0
    store.clear(time.time())
    assert not (tmp_path / "gone").exists()


def test_a_request_that_was_asked_twice_is_kept_once(bundle, tmp_path: Path) -> None:
    kept(tmp_path, bundle)
    kept(tmp_path, bundle, rows=5)
    with sqlite3.connect(tmp_path / NAME) as base:
        assert base.execute("SELECT count(*) FROM answers").fetchone() == (5,)


def test_it_holds_nothing_of_the_rows(bundle, tmp_path: Path) -> None:
    kept(tmp_path, bundle)
    assert b"Rome" not in b"".join(f.read_bytes() for f in tmp_path.iterdir())


def test_old_answers_go(bundle, tmp_path: Path) -> None:
    now = 2e9
    kept(tmp_path, bundle, at=now - 31 * 86400, name="old")
    store = kept(tmp_path, bundle, at=now - 86400, name="new")
    store.clear(now)
    assert store.feedback("old", ["old"]).unknown == 1 and store.feedback("new", ["old"]).known == 1


def test_the_oldest_go_when_there_is_too_much(bundle, tmp_path: Path, monkeypatch) -> None:
    store = Answers(tmp_path, bundle)
    outputs = asked(bundle, people(1, 1))[1]
    store.add([(f"{i:036}", 1e9 + i, outputs) for i in range(20_000)])
    monkeypatch.setattr(module, "KEEP_MB", 1)
    for _ in range(8):
        store.clear(1e9 + 20_000)
    with sqlite3.connect(tmp_path / NAME) as base:
        count, first = base.execute("SELECT count(*), min(at) FROM answers").fetchone()
        free, size = (base.execute(f"PRAGMA {n}").fetchone()[0] for n in ("freelist_count", "page_size"))
        pages = base.execute("PRAGMA page_count").fetchone()[0]
    assert 0 < count < 20_000 and first == 1e9 + 20_000 - count and (pages - free) * size <= 1 << 20


def test_hostile_names_are_names(bundle, tmp_path: Path) -> None:
    name = "x' OR 1=1; DROP TABLE answers; --"
    store = kept(tmp_path, bundle, name=name)
    kept(tmp_path, bundle, name="two")
    assert store.feedback(name, ["old"]).known == 1 and store.feedback("' OR ''='", ["old"]).unknown == 1


def test_an_id_that_two_requests_had_takes_no_labels(bundle, tmp_path: Path) -> None:
    """Whose they are nobody knows; a request that is sent once more is the same one."""
    store = kept(tmp_path, bundle)
    store.add([("one", 1e9, [o + 1e-6 for o in asked(bundle, people(3, 1))[1]])])
    assert store.feedback("one", ["old", None, None]).known == 1
    store.add([("one", 1e9, asked(bundle, people(3, 2))[1])])
    with pytest.raises(UserError, match="several requests had this id"):
        store.feedback("one", [None, "old", None])
    assert len(store.labelled().y) == 0, "the first label is of nobody knows which"


def test_it_is_found_by_its_folder(bundle, values, tmp_path: Path) -> None:
    for of, label in ((bundle, "young"), (values, 41.5)):
        kept(tmp_path / of.task.kind, of)
        found = Answers.found(tmp_path / of.task.kind)
        assert found is not None and found.feedback("one", [label]).known == 1
        np.testing.assert_array_equal(found.labelled().y, Answers(tmp_path / of.task.kind, of).labelled().y)
    assert Answers.found(tmp_path / "gone") is None


def test_moments_of_a_clock_that_was_ahead_do_not_outlive_the_others(bundle, tmp_path: Path, monkeypatch) -> None:
    now, outputs = 2e9, asked(bundle, people(1, 1))[1]
    store = Answers(tmp_path, bundle)
    store.add([(f"ahead {i:030}", now + 1e9, outputs) for i in range(8000)])
    store.clear(now)
    store.add([("mine", now + 60, outputs)])
    monkeypatch.setattr(module, "KEEP_MB", 0)
    store.clear(now + 120)
    assert store.feedback("mine", ["old"]).known == 1, "it is the newest"
    store.clear(now + 31 * 86400)
    assert store.feedback("mine", ["young"]).unknown == 1 and store.answered(f"ahead {0:030}") is None
