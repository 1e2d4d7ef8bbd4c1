"""The benchmark of the monitor: worlds of real kinds, shifts that are what their names say, detectors, bars."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl.deploy.reference import Measure
from experiments.bench import _drift_peers as peers
from experiments.bench import drift, options_from
from experiments.bench._drift_rows import AGAIN, STABLE, World, worlds
from tests.experiments.recipes import recipe


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder, rng = tmp_path_factory.mktemp("sets"), np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(5, 2, 300), "c": rng.choice(["x", "y"], 300)})
    frame["target"] = np.where(frame["a"] + rng.normal(0, 0.5, 300) > 0, "yes", "no")
    frame.to_csv(folder / "toy.csv", index=False)
    said = {
        "name": "toy",
        "file": "toy.csv",
        "modality": "tabular",
        "baseline_best": {"metric": "accuracy", "value": 0.9},
    }
    (folder / "toy.json").write_text(json.dumps(said))
    return folder


def of(found: dict[str, World], shift: str, field: str, what: str = "value") -> np.ndarray:
    world = found[shift]
    (i,) = (i for i, name in enumerate(world.names) if name[:2] == (field, what))
    return world.values[i]


def test_shifts_are_what_they_are_called(root: Path) -> None:
    found = worlds(root / "toy.csv", "accuracy", 0)
    assert {STABLE, AGAIN, "missing column", "unit change", "sensor gain", "new category", "covariate", "label"} == {
        *found
    }
    known = of(found, STABLE, "b")
    np.testing.assert_allclose(of(found, "unit change", "b"), known * 2.54)
    assert 0.1 < np.isnan(of(found, "missing column", "a")).mean() < 0.3
    assert 0.03 < (of(found, "new category", "c") == -1).mean() < 0.2
    assert found["label"].weights.max() == pytest.approx(2 * found["label"].weights.min())
    assert found[STABLE].right.mean() > 0.7


def test_it_runs_and_is_kept(root: Path, tmp_path: Path, capsys) -> None:
    options = {
        "root": str(root),
        "out": str(tmp_path / "out"),
        "streams": 2,
        "shifted": 1,
        "peers": 1,
        "workers": 1,
        "each": None,
    }
    asked = options_from(recipe("drift", **options), drift.Asked)
    asked.out.mkdir()
    (said,) = drift.chosen(asked.root, [], None)
    drift.SIZES, sizes = (50,), drift.SIZES
    drift.WINDOWS, many = 25, drift.WINDOWS
    try:
        file = drift.file_of(asked, said, 2, "abc")
        assert drift.measure(asked, said, 2, file) == "6 shifts"
    finally:
        drift.SIZES, drift.WINDOWS = sizes, many
    found = json.loads(file.read_text())
    assert file not in (drift.file_of(asked, said, 3, "abc"), drift.file_of(asked, said, 2, "def")), "another stream"
    assert len(found["streams"]) == 2 * 2 + 6 and {s["shift"] for s in found["streams"]} >= {STABLE, "unit change"}
    (unit,) = (s for s in found["streams"] if s["shift"] == "unit change")
    assert unit["first"][drift.OURS] <= 3 and unit["first"]["always"] == 1


def streams(**alarms: Any) -> list[dict[str, Any]]:
    """One stable and one shifted stream of each size, in which each detector alarms or not."""
    ours = {"stable": False, "shifted": True} | alarms
    found: list[dict[str, Any]] = []
    for size in drift.SIZES:
        for shift, key in ((STABLE, "stable"), (AGAIN, "stable"), ("unit change", "shifted")):
            loud = {drift.OURS: ours[key], **dict.fromkeys(peers.NAMES, False), "always": True}
            first = {d: 1 if yes else None for d, yes in loud.items()}
            found.append({"shift": shift, "rows": size, "any": loud, "first": first})
    return found


@pytest.mark.parametrize(("change", "fine"), [({}, True), ({"stable": True}, False), ({"shifted": False}, False)])
def test_bars(change: dict[str, bool], fine: bool, capsys) -> None:
    live = [{"shift": STABLE, "true": 0.9, "estimated": 0.88}, {"shift": "label", "true": 0.8, "estimated": 0.83}]
    assert drift.show([{"name": "toy", "streams": streams(**change), "live": live}]) is fine
    told = capsys.readouterr().out
    assert ("MISSED" in told) is not fine and "mean probability 3.0" in told.replace("\n", " ")


def test_other_detectors_find_what_they_look_at() -> None:
    rng = np.random.default_rng(0)

    def drawn(shift: float, rows: int = 300) -> list[Measure]:
        return [
            Measure("f", "value", rng.normal(shift, 1, rows)),
            Measure("", "probability", rng.beta(5 + 5 * shift, 2, rows)),
        ]

    old = drawn(0)
    loud = peers.alarms(old, [drawn(0) for _ in range(3)] + [drawn(1) for _ in range(3)], 10_000)
    for name in peers.NAMES[:4]:
        assert loud[name][3:].all(), name
    assert loud["always"].all() and not loud["same, over windows"][:3].any()


def test_evidently_is_asked_in_its_own_environment(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\n"
        "import json, sys, numpy as np\n"
        "file = np.load(sys.argv[2])\n"
        "assert sys.argv[1].endswith('evidently_drift.py') and file['named'].tolist() == ['1']\n"
        "open(sys.argv[3], 'w').write(json.dumps([bool(w.mean() > 1) for w in file['new_0']]))\n"
    )
    python.chmod(0o755)
    known = [Measure("a", "value", np.zeros(5)), Measure("c", "value", np.zeros(5), ("x",))]
    windows = [[m._replace(values=np.full(3, at)) for m in known] for at in (0.0, 2.0)]
    assert peers.evidently(python, known, windows).tolist() == [False, True]
    python.write_text("#!/bin/sh\necho 'ImportError: no pandas' >&2; exit 1\n")
    with pytest.raises(RuntimeError, match="evidently: ImportError: no pandas"):
        peers.evidently(python, known, windows)
