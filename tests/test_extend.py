"""docs/extend.md, done word for word as somebody without the program's source would."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILE = re.compile(r"^`(mine/\S+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.whole
def test_the_parts_of_the_page_work_together(tmp_path):
    text = (ROOT / "docs/extend.md").read_text()
    files = dict(FILE.findall(text))
    assert len(files) == 11
    for name, content in {**files, "mine/__init__.py": "", "mine/conf/__init__.py": ""}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (command,) = re.findall(r"^    level4 (.*)$", text, re.MULTILINE)
    quick = ["engine=sequential", "budget.trials=3", "budget.epochs=2", "tracker=lines", "hydra.run.dir=run"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}

    def call(*more):
        words = [sys.executable, "-m", "level4", *shlex.split(command), *quick, *more]
        return subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=100)

    kept = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "mine/test_mine.py"]
    tests = subprocess.run(kept, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=100)
    assert tests.returncode == 0, tests.stdout
    done = call()
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["chosen"]["family"] == "narrow" and result["trials"]["ok"] == 3
    assert result["prior"]["why"] == ["families by how often they were run"] and result["level"] == 4
    assert result["test"]["accuracy"] > 0.5
    assert len((tmp_path / "trials.txt").read_text().splitlines()) == 3 and "tracked   trials.txt" in done.stdout
    few = call("data.rows=3")
    assert few.returncode == 2 and "data.rows=3 is too few; set at least 20" in few.stderr.splitlines()[-1]
    wrong = call("data.rows=many")
    assert wrong.returncode == 2 and "data.rows=many must be a whole number" in wrong.stderr.splitlines()[-1]
