"""Where past runs lie when nobody says otherwise."""

from pathlib import Path

import pytest

from automl.store.place import own_url, refusal
from automl.store.store import Store


@pytest.fixture
def nothing_said(monkeypatch, tmp_path) -> Path:
    monkeypatch.delenv("LEVEL4_STORE")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_one_store_a_person(nothing_said, monkeypatch):
    assert own_url() == f"sqlite:///{nothing_said}/.local/share/level4/store.db"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert own_url() == "sqlite:////data/level4/store.db"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # to be ignored, says the specification
    assert own_url() == f"sqlite:///{nothing_said}/.local/share/level4/store.db"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("postgresql://host/level4", "postgresql://host/level4"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("/a/x.db", "sqlite:////a/x.db"),
        ("~/x.db", "sqlite:///{home}/x.db"),
    ],
)
def test_a_variable_says_where(given, url, nothing_said, monkeypatch):
    monkeypatch.setenv("LEVEL4_STORE", given)
    assert own_url() == url.format(home=nothing_said)


def test_its_folder_is_the_persons_alone_and_the_store_opens_there(nothing_said):
    assert refusal(own_url()) == ""
    folder = nothing_said / ".local/share/level4"
    assert folder.stat().st_mode & 0o777 == 0o700 and not list(folder.iterdir())
    with Store(own_url()) as store:
        assert store.trials() == [] and (folder / "store.db").is_file()
    assert refusal(own_url()) == ""


def test_a_home_that_cannot_be_written_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    assert refusal(f"sqlite:///{tmp_path}/file/level4/store.db") == "Not a directory"
    assert refusal(f"sqlite:///{tmp_path}") == "Is a directory"
    assert refusal("postgresql://host/level4") == ""
