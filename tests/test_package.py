"""What is installed, as those meet it who have no checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import distribution, distributions
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import level4
from automl.deploy.runtime import NEEDS, sources, wheel, write_runtime

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    *("data=sklearn", "data.name=iris", "family=[mlp]", "budget.trials=2", "budget.epochs=2"),
    *("budget.seconds=null", "tracker=none", "progress=false", "hydra.run.dir=run"),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the built wheel was installed; what it needs is that of this environment."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    kept = ("automl", "nas", "metalearner", "experiments", "conf")
    for name in kept:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("level4.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "wheel", *alone, "-q", "-w", source / "dist", source], check=True, timeout=100)
    (wheel,) = (source / "dist").glob("*.whl")
    subprocess.run([*pip, "install", "-q", *alone, "--target", folder, wheel], check=True, timeout=100)
    return folder


def call(installed: Path, cwd: Path, *command: str, beside: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(folder) for folder in (installed, beside) if folder is not None)
    environment = {**os.environ, "PYTHONPATH": path, "HOME": str(cwd)}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=110)


@pytest.mark.whole
def test_the_command_solves_a_task_without_a_checkout(installed, tmp_path):
    level4_command = [sys.executable, str(installed / "bin" / "level4")]
    conf = installed / "experiments" / "conf"
    assert {f.relative_to(conf) for f in conf.rglob("*.yaml")} == {
        f.relative_to(ROOT / "conf") for f in (ROOT / "conf").rglob("*.yaml")
    }
    where = call(installed, tmp_path, sys.executable, "-c", "import level4, nas; print(level4.__file__, nas.__file__)")
    assert where.stdout.count(str(installed)) == 2, where.stdout
    version = call(installed, tmp_path, *level4_command, "--version")
    assert version.stdout.startswith("level4 0."), version.stderr
    # Whoever installs the wheel alone has what it names, and no extra.
    plain = tmp_path / "plain"
    (of,) = distributions(name="level4", path=[str(installed)])
    only(plain, *named(of.requires or ()))
    assert (plain / "torch").exists() and not (plain / "ray").exists()
    done = call(installed, tmp_path, sys.executable, "-S", *level4_command[1:], *SMALL, beside=plain)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/result.json").read_text())["level"] == 4
    assert (tmp_path / "run/report.html").stat().st_size > 10_000
    (wheel,) = (tmp_path / "run/bundle").glob("level4_runtime-*.whl")

    # An environment with what the small install needs, and nothing else.
    core, small = tmp_path / "core", tmp_path / "small"
    only(core, *NEEDS)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", small, wheel], check=True, timeout=100)
    code = (
        "import sys, json; from level4 import Bundle; b = Bundle.load('run/bundle')\n"
        "row = {'sepal length (cm)': 5.1, 'sepal width (cm)': 3.5, 'petal length (cm)': 1.4, 'petal width (cm)': 0.2}\n"
        "heavy = [m for m in ('torch', 'scipy', 'hydra') if m in sys.modules]\n"
        "print(json.dumps([b.predict_proba(row).tolist(), heavy]))\n"
        "try:\n    from level4 import solve\nexcept ImportError as error:\n    print(error)"
    )
    environment = {"PYTHONPATH": f"{small}{os.pathsep}{core}", "PATH": os.environ["PATH"]}
    answered = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60
    )
    assert answered.returncode == 0, answered.stderr
    line, refused = answered.stdout.splitlines()
    found, heavy = json.loads(line)
    assert heavy == []
    expected = level4.Bundle.load(tmp_path / "run/bundle").predict_proba(
        pd.DataFrame(
            [[5.1, 3.5, 1.4, 0.2]],
            columns=["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"],
        )
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert refused == "solve is not a part of the small install. Run: pip install level4"


def named(requires: Iterable[str]) -> list[str]:
    """What a distribution needs when no extra is asked for."""
    from packaging.requirements import Requirement

    needs = map(Requirement, requires)
    return [r.name for r in needs if r.marker is None or r.marker.evaluate({"extra": ""})]


def only(folder: Path, *names: str) -> None:
    """Links to the files of these distributions and of what they need."""
    folder.mkdir()
    todo, seen = [*names], set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        found = distribution(name)
        for file in found.files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (folder / top).exists():
                (folder / top).symlink_to(Path(str(found.locate_file(top))))
        todo += named(found.requires or ())


def test_the_public_names_are_these_and_each_can_be_imported():
    assert level4.__all__ == sorted(
        [
            *("Axis", "Budget", "Bundle", "Candidate", "Dataset", "Family", "FamilySpace", "Input", "Listener"),
            *("Level4Classifier", "Level4Regressor"),
            *(
                "MetaLearner",
                "Prior",
                "Profile",
                "Runs",
                "Solution",
                "Source",
                "Stepwise",
                "Task",
                "Trial",
                "UserError",
            ),
            *("__version__", "solve", "train"),
        ]
    )
    for name in level4.__all__:
        assert getattr(level4, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'slove'"):
        level4.slove  # noqa: B018
    assert dir(level4) == level4.__all__


def test_the_small_wheel_holds_what_a_bundle_imports_and_nothing_that_learns(tmp_path):
    modules = {module for module, _, _ in sources()}
    assert {"level4", "automl.deploy.bundle", "automl.data.encode.encoding", "automl.data.read.image"} <= modules
    assert not [m for m in modules if m.startswith(("nas", "metalearner", "experiments", "automl.training"))]
    one, other = write_runtime(tmp_path), tmp_path / "again"
    other.mkdir()
    wheel.cache_clear()
    assert one.read_bytes() == write_runtime(other).read_bytes()
    assert one.stat().st_size < 300_000
