"""Trials for other tools, opened by them."""

from __future__ import annotations

import pytest

from automl.errors import UserError
from experiments import export
from experiments.compose import composed
from experiments.export import in_order
from tests.experiments.runs.folders import TRIED, result, write_run


def ask(tmp_path, *more: str) -> None:
    export.run(composed(["+experiment=export", "family=[mlp]", f"folder={tmp_path}/run", *more]))


def test_options_are_in_order():
    assert in_order({"b", "a"}) == ["a", "b"]


def test_what_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    write_run(tmp_path / "run")
    with pytest.raises(UserError, match=r"to=excel must be one of: optuna"):
        ask(tmp_path, "to=excel")
    with pytest.raises(UserError, match=r"out=.*/no/x.db: there is no folder"):
        ask(tmp_path, f"out={tmp_path}/no/x.db")
    (tmp_path / "there").touch()
    with pytest.raises(UserError, match=r"is there already. Set out=FILE"):
        ask(tmp_path, f"out={tmp_path}/there")
    monkeypatch.setattr("automl.errors.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"to=optuna needs a package that is not installed. Run: pip install optuna"):
        ask(tmp_path)
    assert {f.name for f in (tmp_path / "run").iterdir()} == {"result.json", "config.yaml"}, "nothing is left behind"


@pytest.mark.parametrize(("metric", "direction"), [("accuracy", "MAXIMIZE"), ("log_loss", "MINIMIZE")])
def test_optuna_opens_the_study(metric, direction, tmp_path, capsys):
    optuna = pytest.importorskip("optuna", minversion="3.0", reason="optuna 3 is not installed")
    write_run(tmp_path / "run", of=result(metric=metric))
    ask(tmp_path)
    assert "3 trials of" in capsys.readouterr().out
    study = optuna.load_study(study_name="digits", storage=f"sqlite:///{tmp_path}/run/optuna.db")
    assert study.direction.name == direction and study.user_attrs["metric"] == metric
    assert [t.state.name for t in study.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    for found, told in zip(study.trials, TRIED, strict=True):
        assert found.params == {"family": told["family"], **told["choices"]}
        assert found.value == told["score"] and found.intermediate_values == dict(enumerate(told["curve"], 1))
    assert study.trials[0].distributions["head"] == study.trials[1].distributions["head"]
    assert study.best_value == (0.9 if metric == "accuracy" else 0.7)
