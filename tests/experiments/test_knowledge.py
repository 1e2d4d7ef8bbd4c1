"""What past runs there are, as it is shown."""

import io

from rich.console import Console

from automl.types import Candidate
from experiments.knowledge import show
from tests.automl.examples import TASK, trial


def test_names_of_a_file_are_no_markup():
    out = io.StringIO()
    trials = [trial(i, candidate=Candidate(f"x[/{name}]", {}), score=0.5) for i, name in enumerate("yz")]
    show(Console(file=out, width=200), "store [/a]", [(TASK, None, trials)])
    assert "x[/y]" in out.getvalue() and "store [/a]" in out.getvalue()
