"""The static portfolio: worked out once for a history and a space."""

from __future__ import annotations

from typing import Any

from metalearner import portfolio
from metalearner.portfolio import Portfolio
from metalearner.testing import AXES, PROFILE, runs


def test_what_does_not_change_is_not_worked_out_again(monkeypatch) -> None:
    asked: list[Any] = []
    real = portfolio.chosen
    monkeypatch.setattr(portfolio, "chosen", lambda *of: asked.append(of) or real(*of))
    learner = Portfolio().fit(runs())
    first = learner.predict(PROFILE, AXES)
    assert learner.predict(PROFILE, AXES) is first and len(asked) == 1
    assert learner.predict(PROFILE, {"g": AXES["g"]}).families == {"g": 1.0} and len(asked) == 2
    assert learner.predict(PROFILE, AXES) == first
    assert learner.fit(runs(seed=3, twist=2.0)).predict(PROFILE, AXES) != first, "another history is another list"
