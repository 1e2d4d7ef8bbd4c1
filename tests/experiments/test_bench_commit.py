"""Which program was measured: told apart by what it is made of, and by nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from experiments.bench._commit import PROGRAM, commit


def git(folder: Path, *words: str) -> None:
    me = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *me, *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch) -> Path:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("automl/a.py", "experiments/bench/b.py", "docs/c.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_commit_of_something_else_is_the_same_program(checkout: Path) -> None:
    first = commit(checkout)
    assert first and "-" not in first and commit(checkout / "experiments/bench") == first
    (checkout / "docs/c.md").write_text("2\n")
    assert commit(checkout) == first
    git(checkout, "commit", "-qam", "docs")
    assert commit(checkout) == first
    (checkout / "experiments/bench/b.py").write_text("2\n")
    git(checkout, "commit", "-qam", "a recipe")
    assert commit(checkout) == first != commit(checkout, PROGRAM)
    (checkout / "automl/a.py").write_text("2\n")
    git(checkout, "commit", "-qam", "the program")
    assert commit(checkout) != first


def test_two_states_of_a_changed_checkout_are_two_programs(checkout: Path) -> None:
    found = [commit(checkout)]
    for text in ("2\n", "3\n"):
        (checkout / "automl/a.py").write_text(text)
        found.append(commit(checkout))
    for text in ("1\n", "2\n"):
        (checkout / "automl/new.py").write_text(text)
        found.append(commit(checkout))
    assert len({*found}) == 5 and all(name.startswith(f"{found[0]}-") for name in found[1:])


def test_what_is_no_checkout_is_told_apart_by_its_files(tmp_path: Path, monkeypatch) -> None:
    """As what was installed: all versions of it once were the same program, which was called nothing."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "automl").mkdir()
    found = []
    for text in ("1\n", "2\n", "1\n"):
        (tmp_path / "automl" / "a.py").write_text(text)
        found.append(commit(tmp_path))
    assert found[0] == found[2] != found[1] and all(found)
    monkeypatch.setenv("PATH", str(tmp_path))  # where no git is
    assert commit(tmp_path) == found[2]
