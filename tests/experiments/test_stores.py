"""The store of a run: the person's own, the one beside it, and what is said of both."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from automl.errors import UserError
from automl.store.store import Store
from experiments.compose import composed
from experiments.knowledge import past_of, take_in
from experiments.stores import left_behind, opened, shortened
from tests.automl.examples import TASK, trial


@pytest.fixture
def home(monkeypatch, tmp_path) -> Path:
    monkeypatch.delenv("LEVEL4_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def store_config(*overrides: str):
    return composed(["data=sklearn", "family=[mlp]", *overrides])


def old_runs(file: str = "outputs/store.db", trials: int = 2) -> None:
    with Store(f"sqlite:///{file}") as store:
        store.add(TASK, None, [trial(i, seed=i) for i in range(trials)])


def test_past_runs_follow_from_folder_to_folder(home, monkeypatch, capsys):
    with opened(store_config()) as store:
        store.add(TASK, None, [trial()])
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    with opened(store_config()) as store:
        assert len(store.trials()) == 1
        assert shortened(store.name) == "~/data/level4/store.db"
    assert capsys.readouterr().err == "" and not Path("outputs").exists()


def test_a_home_that_cannot_be_written_is_one_line_and_the_folder_does(home, monkeypatch, capsys):
    (home / "data").write_text("")
    with opened(store_config()) as store:
        store.add(TASK, None, [trial()])
    assert Path("outputs/store.db").is_file()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "~/data/level4/store.db cannot be written (Not a directory): past runs are kept in outputs/store.db. "
        "Set LEVEL4_STORE"
    )


def test_what_is_asked_for_is_what_is_opened(home, capsys):
    old_runs()
    with opened(store_config("store.url=sqlite:///mine.db")) as store:
        assert store.name == "sqlite:///mine.db"
    assert capsys.readouterr().err == "" and not (home / "data").exists()


@pytest.mark.parametrize("place", ["{home}/file/s.db", "nonsense://x"])
def test_a_variable_that_names_no_store_is_one_line(place, home, monkeypatch):
    (home / "file").write_text("")
    monkeypatch.setenv("LEVEL4_STORE", place.format(home=home))
    with pytest.raises(UserError, match=r"^LEVEL4_STORE: store.url") as caught:
        opened(store_config())
    assert "\n" not in str(caught.value) and not Path("outputs").exists()


def test_an_older_store_of_the_folder_is_told_until_it_is_taken_along(home, capsys):
    old_runs()
    with opened(store_config()) as store:
        (line,) = capsys.readouterr().err.splitlines()
        assert "knowledge.import=outputs/store.db" in line and "store.url=sqlite:///outputs/store.db" in line
        assert take_in(store, past_of("outputs/store.db")) == (2, 0)
        assert take_in(store, past_of("outputs/store.db")) == (0, 2)
        assert left_behind(store) == ""
    opened(store_config()).close()
    assert capsys.readouterr().err == ""
    old_runs(trials=3)  # somebody went on there
    opened(store_config()).close()
    assert "outputs/store.db has past runs" in capsys.readouterr().err


def test_what_is_no_store_is_not_told(home):
    Path("outputs").mkdir()
    Path("outputs/store.db").write_text("no database")
    with opened(store_config()) as store:
        assert left_behind(store) == ""


def test_the_configuration_that_is_kept_says_where(home):
    kept = OmegaConf.to_container(store_config(), resolve=True)
    assert kept["store"]["url"] == f"sqlite:///{home}/data/level4/store.db"  # type: ignore[index]
    assert not (home / "data").exists(), "to compose writes nothing"
