"""Giving disk space back: never trials, never what a search at work needs."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from automl.errors import UserError
from automl.store.search import folder_name
from automl.store.store import Store
from automl.types import Budget
from experiments.runs import free as module
from experiments.runs.free import free
from tests.automl.examples import TASK, trial

MODEL = {"ensemble": [{"number": 1}]}


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return OmegaConf.create(
        {"artifacts": "searches", "store": {"_target_": "automl.store.store.Store", "url": "sqlite:///s.db"}}
    )


def search(cfg, key: str, finished: bool = True) -> tuple[int, Path]:
    """A search of three trials, and its files."""
    with Store(cfg.store.url) as store:
        begun = store.begin(key, TASK, None, seed=0, config={}, prior=None, resume=False)
        for n in range(3):
            store.append(begun.id, trial(n))
        if finished:
            store.finish(begun.id, MODEL)
    folder = Path(cfg.artifacts) / folder_name(key, begun.id, begun.token)
    folder.mkdir(parents=True)
    for n in range(3):
        (folder / f"{n}.safetensors").write_bytes(bytes(400_000))
        (folder / f"{n}.npy").write_bytes(bytes(100_000))
    return begun.id, folder


def names(folder: Path) -> list[str]:
    return sorted(f.name for f in folder.glob("*"))


def test_the_models_own_networks_stay(cfg, capsys):
    _, folder = search(cfg, "one")
    free(cfg, everything=False, yes=True)
    assert names(folder) == ["1.npy", "1.safetensors"]
    assert capsys.readouterr().out == "1.0 MB freed; 0.5 MB are left in searches\n"
    free(cfg, everything=False, yes=True)
    assert capsys.readouterr().out == "nothing to free in searches\n"
    free(cfg, everything=True, yes=True)
    assert not folder.exists()
    with Store(cfg.store.url) as store:
        assert len(store.trials()) == 3, "trials are never deleted"


def test_what_is_not_finished_stays_and_is_said(cfg, capsys):
    _, stopped = search(cfg, "stopped", finished=False)
    at_work, held = search(cfg, "held")
    resumed, grown = search(cfg, "grown")
    stranger = Path(cfg.artifacts) / "abc-1-def"
    stranger.mkdir()
    with Store(cfg.store.url) as store:
        store.append(resumed, trial(3))
        with store.hold(at_work, Budget(), 1):
            free(cfg, everything=True, yes=True)
    assert all(len(names(folder)) == 6 for folder in (stopped, held, grown)) and stranger.exists()
    out = capsys.readouterr().out
    assert (
        out.count("is not finished; resume=true goes on with it") == 3
        and "1 of the folders in searches: of searches that s.db does not know" in out
    )
    assert out.endswith("nothing to free in searches\n")


def test_it_asks_first(cfg, monkeypatch, capsys):
    _, folder = search(cfg, "one")
    with pytest.raises(
        UserError, match=r"Delete 1.0 MB of networks of 1 search\? .* Nobody is here to ask: set runs.y"
    ):
        free(cfg, everything=False, yes=False)
    monkeypatch.setattr(module.sys.stdin, "isatty", lambda: True)
    for answer, left in (("", 6), ("no", 6), ("Y", 2)):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        free(cfg, everything=False, yes=False)
        assert len(names(folder)) == left
    assert "nothing was deleted" in capsys.readouterr().out
