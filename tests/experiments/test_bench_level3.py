"""The sums of the level-3 benchmark; its runs take hours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automl.errors import UserError
from experiments.bench.level3 import chosen, overhead, run, show
from tests.experiments.recipes import recipe


def row(name: str, modality: str, score: float, trained: float = 180.0) -> dict[str, Any]:
    return {
        "set": name, "modality": modality, "metric": "r2", "baseline": 0.5, "model": "linear", "score": score,
        "family": "mlp", "trials": 3, "trained": trained, "workers": 2, "seconds": {"search": 100.0},
    }  # fmt: skip


def test_targets_are_shares_of_the_sets_of_a_modality(capsys):
    tables = [row(f"t{i}", "tabular", 0.6 if i < 3 else 0.4) for i in range(5)]
    assert show(tables) and "tabular: 3 of 5 reach it (60%, target 60%), 0 crash" in capsys.readouterr().out
    pictures = [row(f"p{i}", "image", 0.6 if i < 3 else 0.4) for i in range(5)]
    assert not show(tables + pictures) and "3 of 5 reach it (60%, target 80%)" in capsys.readouterr().out


def test_a_crash_misses_the_target(capsys):
    crashed = {"set": "c", "modality": "tabular", "metric": "r2", "baseline": 0.5, "model": "linear", "error": "no"}
    assert not show([row(f"t{i}", "tabular", 0.6) for i in range(9)] + [crashed])
    assert "9 of 10 reach it (90%, target 60%), 1 crash" in capsys.readouterr().out


def test_overhead_is_what_the_workers_did_not_train(capsys):
    assert overhead(row("a", "text", 0.6, trained=180)) == pytest.approx(0.1)
    show([row("a", "text", 0.6, trained=180), row("b", "text", 0.6, trained=160)])
    assert "search overhead: 15.0% of wall time on average, target 15%; most 20.0%" in capsys.readouterr().out


def test_modalities_take_turns_and_folders_without_sets_are_said(tmp_path):
    with pytest.raises(UserError, match="baseline_best"):
        run(recipe("level3", root=tmp_path))
    for name, modality in (("a", "tabular"), ("b", "tabular"), ("c", "tabular"), ("d", "ts_univariate")):
        (tmp_path / f"{name}.json").write_text(
            json.dumps({"name": name, "modality": modality, "baseline_best": {"metric": "r2", "value": 0.5}})
        )
    assert [s["name"] for s in chosen(tmp_path, [], None)] == ["a", "d", "b", "c"]
    assert [s["name"] for s in chosen(tmp_path, [], 2)] == ["a", "d", "c"]
    assert [s["name"] for s in chosen(tmp_path, ["b"], None)] == ["b"]
    assert [s["name"] for s in chosen(tmp_path, ["a", "b", "c"], 2)] == ["a", "b", "c"], "what is named is meant"
