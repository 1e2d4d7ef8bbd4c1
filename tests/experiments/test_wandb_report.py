"""A report on a group of runs: as a page, and as the blocks that W&B takes."""

from __future__ import annotations

import pytest
from hydra.core.hydra_config import HydraConfig

from automl.errors import UserError
from experiments import wandb_report
from experiments.compose import composed
from experiments.wandb_report import Asked, Report
from tests.experiments.runs.folders import result, write_run


@pytest.fixture
def sweep(tmp_path):
    for seed, val in ((1, 0.8), (2, 0.9), (3, 0.7)):
        write_run(tmp_path / f"sweep/{seed}", of=result(val=val, seed=seed, overrides=[f"seed={seed}"]))
    return tmp_path / "sweep"


def ask(monkeypatch, tmp_path, runs: str, *, logged_in: bool) -> None:
    class Here:
        class runtime:
            output_dir = str(tmp_path)

    monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: Here))
    monkeypatch.setattr(wandb_report, "logged_in", lambda: logged_in)
    wandb_report.run(composed(["+experiment=wandb_report", "family=[mlp]", f"wandb_report.runs={runs}"]))


def test_offline_it_is_a_page(sweep, tmp_path, monkeypatch, capsys):
    ask(monkeypatch, tmp_path, str(sweep), logged_in=False)
    said, page = capsys.readouterr().out, (tmp_path / "wandb_report.html").read_text()
    assert "wandb_report.html" in said and "wandb login" in said
    assert "3 runs, best accuracy on validation rows 0.9 (2)." in page
    assert "Over seeds" in page and "0.8000 ± 0.1000" in page and "best of the search so far" in page


def test_what_is_missing_is_one_line(sweep, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="holds no finished run"):
        ask(monkeypatch, tmp_path, str(tmp_path / "nowhere"), logged_in=False)
    monkeypatch.setattr("automl.errors.find_spec", lambda _: None)
    with pytest.raises(UserError, match="Run: pip install wandb-workspaces"):
        ask(monkeypatch, tmp_path, str(sweep), logged_in=True)


def test_wandb_takes_the_blocks(sweep):
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed")
    runs, _ = wandb_report.find([sweep])
    made = Report.of(runs).at_wandb(Asked(str(sweep), "level4", "me", None), "a-sweep")
    told = repr(made.blocks)  # what it sends can be made with a server only
    assert all(word in told for word in ("'a-sweep'", "'best score'", "test/accuracy", "0.8000 ± 0.1000", "Group"))
    assert made.title == "digits: a-sweep" and [type(block).__name__ for block in made.blocks] == [
        *("P", "H2", "MarkdownBlock", "H2", "MarkdownBlock", "H2", "PanelGrid")
    ]
