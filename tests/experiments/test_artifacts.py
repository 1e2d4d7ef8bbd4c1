"""The best networks on disk: which are kept, and which of them count."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from automl.types import Candidate, Limits, Task, Trial
from experiments.solve.artifacts import Artifacts
from experiments.solve.limits import within_limits
from nas.job import Outcome


def trial(number: int, score: float) -> Trial:
    return Trial("t", Candidate("f", {"n": number}), 4, 0, "ok", score, number=number)


def write(to: Artifacts, number: int, score: float, folded: bool = False) -> Trial:
    weights = save({"w": torch.full((1,), float(number))}, {"candidate": trial(number, score).candidate.id})
    rows = 6 if folded else 2
    outcome = Outcome("ok", score, predictions=np.full((rows, 2), score), weights=weights, folded=folded)
    to.write(trial(number, score), outcome)
    return trial(number, score)


def test_the_best_are_kept(tmp_path: Path) -> None:
    kept = Artifacts(tmp_path, keep=2)
    trials = [write(kept, n, s) for n, s in enumerate((0.5, 0.9, 0.4, 0.7))]
    assert [t.number for t in kept.best(trials)] == [1, 3]
    assert float(kept.weights(trials[3])["w"]) == 3 and (kept.predictions(trials[1]) == 0.9).all()
    assert sorted(f.name for f in tmp_path.iterdir()) == ["1.npy", "1.safetensors", "3.npy", "3.safetensors"]


def test_one_candidate_takes_one_place(tmp_path: Path) -> None:
    kept = Artifacts(tmp_path, keep=2)
    scores = ((0, 0.5, 1), (1, 0.6, 1), (2, 0.4, 2), (3, 0.6, 1), (4, 0.55, 1))  # number, score, candidate
    trials = []
    for number, score, candidate in scores:
        trial = Trial("t", Candidate("f", {"n": candidate}), 4, 0, "ok", score, number=number)
        kept.write(trial, Outcome("ok", score, predictions=np.zeros((2, 2)), weights=save({"w": torch.zeros(1)})))
        trials.append(trial)
    assert [t.number for t in kept.best(trials)] == [3, 2]


@pytest.mark.parametrize("keep", [2, 9])
def test_what_the_folds_judged_comes_before_what_a_few_rows_praised(tmp_path: Path, keep: int) -> None:
    kept = Artifacts(tmp_path, keep)
    trials = [
        write(kept, 0, 1.0),
        write(kept, 1, 0.7, folded=True),
        write(kept, 2, 0.99),
        write(kept, 3, 0.8, folded=True),
    ]
    assert [t.number for t in kept.best(trials)] == [3, 1]
    assert all(kept.folded(t) and len(kept.predictions(t)) == 6 for t in kept.best(trials))
    again = Artifacts(tmp_path, keep)  # after a crash
    again.remember(trials)
    trials.append(write(again, 4, 1.0))
    assert [t.number for t in again.best(trials)] == [3, 1]


def test_without_a_cross_validated_one_the_others_count(tmp_path: Path) -> None:
    kept = Artifacts(tmp_path)
    trials = [write(kept, 0, 0.6), write(kept, 1, 0.8)]
    assert [t.number for t in kept.best(trials)] == [1, 0] and not kept.folded(trials[0])


def test_what_a_killed_run_left_under_a_number_is_replaced(tmp_path: Path) -> None:
    write(Artifacts(tmp_path), 0, 0.9, folded=True)  # killed before the trial was in the store
    kept = Artifacts(tmp_path)
    written = write(kept, 0, 0.5)
    assert not kept.folded(written) and len(kept.predictions(written)) == 2


def test_files_of_another_search_are_not_taken(tmp_path: Path) -> None:
    write(Artifacts(tmp_path), 0, 0.9, folded=True)
    write(Artifacts(tmp_path), 1, 0.6)
    kept = Artifacts(tmp_path)
    other = replace(trial(0, 0.7), candidate=Candidate("f", {"n": 99}))
    mine = trial(1, 0.6)
    kept.remember([other, mine])
    assert kept.best([other, mine]) == [mine], "neither its weights nor its being folded"
    (tmp_path / "1.safetensors").write_bytes(b"torn")
    assert kept.best([mine]) == []


def test_a_kill_while_writing_loses_none_of_the_best(tmp_path: Path, monkeypatch) -> None:
    kept = Artifacts(tmp_path, keep=2)
    trials = [write(kept, 0, 0.5), write(kept, 1, 0.6)]

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    for step in ("numpy.save", "experiments.solve.artifacts.write_atomically"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(step, die)
            write(kept, 2, 0.9)
        again = Artifacts(tmp_path, keep=2)
        again.remember(trials)
        assert [t.number for t in again.best([*trials, trial(2, 0.9)])] == [1, 0]


def test_an_ensemble_is_as_large_as_its_graphs_are(tmp_path: Path) -> None:
    """Networks of bits take a part of four bytes a number, and so more of them keep a limit."""
    kept, trials = Artifacts(tmp_path), []
    for number, size in enumerate((None, 1000, 1000)):
        one = replace(trial(number, 0.5), parameters=1000)
        about = {"candidate": one.candidate.id}  # as earlier ones are
        about = about if size is None else {"trial": json.dumps({**about, "bytes": size})}
        weights = save({"w": torch.zeros(1)}, about)
        kept.write(one, Outcome("ok", 0.5, predictions=np.zeros((2, 2)), weights=weights))
        trials.append(one)
    assert [kept.megabytes(t) for t in trials] == [0.004, 0.001, 0.001], "the first was written before it was told"
    task = Task("t", "binary", (), 2, "accuracy", limits=Limits(megabytes=0.002))
    allowed = within_limits(task, trials, kept.megabytes)
    assert allowed((1, 2)) and not allowed((0,)) and not allowed((0, 1))
