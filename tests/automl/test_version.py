"""The code version never fails, whatever is installed."""

from __future__ import annotations

import subprocess

import pytest

from automl import version


@pytest.fixture(autouse=True)
def _fresh():
    version.code_version.cache_clear()
    yield
    version.code_version.cache_clear()


def _git(root, *args):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", str(root), *who, *args], check=True, capture_output=True)


def test_outside_a_checkout_it_is_thepackage_version(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    monkeypatch.setattr(version, "_ROOT", tmp_path)
    assert version.code_version() == "1.2.3"


def test_in_a_checkout_the_revision_is_added_and_changes_are_marked(tmp_path, monkeypatch):
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nversion = "1.2.3"\n')
    _git(tmp_path, "init")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-m", "x", "--no-verify")
    monkeypatch.setattr(version, "_ROOT", tmp_path)
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as inside a hook of another repository
    clean = version.code_version()
    assert clean.startswith("1.2.3+g")
    assert len(clean) == len("1.2.3+g") + 12
    project.write_text('[project]\nversion = "1.2.4"\n')
    version.code_version.cache_clear()
    assert version.code_version() == clean.replace("1.2.3", "1.2.4") + ".dirty"


def test_without_anything_it_is_unknown(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()  # broken, and git cannot be found either
    monkeypatch.setattr(version, "_ROOT", tmp_path)
    monkeypatch.setenv("PATH", "")

    def none(_name):
        raise version.importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(version.importlib.metadata, "version", none)
    assert version.code_version() == "unknown"
