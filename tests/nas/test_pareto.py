"""The accuracy-latency front."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from automl.types import Candidate, Trial
from nas.pareto import pareto_front


def trial(number: int, score: float | None, latency: float | None, status="ok") -> Trial:
    return Trial("t", Candidate("f", {"n": number}), 1, 0, status, score, latency_ms=latency, number=number)


def test_a_known_front():
    trials = [trial(0, 0.9, 3.0), trial(1, 0.8, 1.0), trial(2, 0.7, 2.0), trial(3, 0.95, 9.0), trial(4, 0.95, 8.0)]
    trials += [trial(5, None, 0.1, "failed"), trial(6, 0.99, None), trial(7, 0.8, 1.0)]
    assert [t.number for t in pareto_front(trials)] == [1, 0, 4]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=12))
def test_nobody_on_the_front_is_beaten_and_everybody_else_is(values):
    trials = [trial(i, float(score), float(latency)) for i, (score, latency) in enumerate(values)]
    front = pareto_front(trials)

    def beaten(t: Trial) -> bool:
        return any(
            o.score >= t.score and o.latency_ms <= t.latency_ms and (o.score, o.latency_ms) != (t.score, t.latency_ms)
            for o in trials
        )

    assert not any(beaten(t) for t in front)
    on = {(t.score, t.latency_ms) for t in front}
    assert len(on) == len(front)
    assert all(beaten(t) or (t.score, t.latency_ms) in on for t in trials)
    assert [t.latency_ms for t in front] == sorted(t.latency_ms for t in front)
