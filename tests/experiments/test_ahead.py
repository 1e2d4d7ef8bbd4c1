"""What is made ready while a search waits for its trainings."""

from __future__ import annotations

from automl.deploy.runtime import wheel
from experiments.report.page import packed_plotly
from experiments.solve import ahead


def test_what_every_run_writes_is_made_before_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(ahead, "load_exporter", lambda: None)
    for made in (wheel, packed_plotly):
        made.cache_clear()
    ahead.make_ready()
    assert [made.cache_info().currsize for made in (wheel, packed_plotly)] == [1, 1]


def test_what_is_not_to_be_had_is_told_by_what_asks_for_it(monkeypatch):
    monkeypatch.setattr(ahead, "load_exporter", lambda: None)
    monkeypatch.setattr(ahead, "LATE", ("a module that nobody has",))
    ahead.make_ready()
