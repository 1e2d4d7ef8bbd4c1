"""What past runs there are, as it is shown."""

import io

import pytest
from rich.console import Console

from automl.errors import UserError
from automl.types import Candidate
from experiments import knowledge
from experiments.compose import composed
from experiments.knowledge import show
from metalearner.opening import read_opening
from tests.automl.examples import TASK, trial


def test_names_of_a_file_are_no_markup():
    out = io.StringIO()
    trials = [trial(i, candidate=Candidate(f"x[/{name}]", {}), score=0.5) for i, name in enumerate("yz")]
    show(Console(file=out, width=200), "store [/a]", [(TASK, None, trials)])
    assert "x[/y]" in out.getvalue() and "store [/a]" in out.getvalue()


@pytest.mark.whole
def test_the_opening_of_what_ships_is_written(tmp_path, capsys):
    file = tmp_path / "new" / "opening.json"
    more = [f"store.url=sqlite:///{tmp_path}/s.db", f"knowledge.opening={file}"]
    knowledge.run(composed(["+experiment=knowledge", *more]))
    assert "portfolios written to" in capsys.readouterr().out
    assert read_opening(file) == read_opening()


def test_what_is_no_path_is_one_line(tmp_path):
    with pytest.raises(UserError, match="opening=3 must be the path"):
        knowledge.run(
            composed(["+experiment=knowledge", f"store.url=sqlite:///{tmp_path}/s.db", "knowledge.opening=3"])
        )
