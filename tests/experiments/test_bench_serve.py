"""What the benchmark of the server tells of peers that broke off."""

from __future__ import annotations

from experiments.bench.serve import show

ROW = {"requests": 9, "us": 1e6, "wrong": 0, "p50": 1.0, "p99": 2.0, "rate": 9.0, "start": 1.0, "memory": 1.0,
       "installed": 1.0}  # fmt: skip


def test_a_peer_that_broke_off_is_told_beside_the_rounds_that_it_ended(capsys) -> None:
    found = {"level4": [ROW, ROW], "ray": [{**ROW, "rate": 99.0}], "mlflow": []}
    assert not show(found, {"ray": "wrk: no", "mlflow": "x"}), "one peer was faster"
    told = capsys.readouterr().out
    assert "ray broke off after 1 round: wrk: no" in told and "mlflow broke off after 0 rounds: x" in told
