"""What every meta-learner promises, as a test class for yours, and small past runs to try it on.

class TestMine(MetaLearnerContract):
    @pytest.fixture
    def learner(self):
        return Mine()
"""

from __future__ import annotations

import numpy as np
import pytest

from automl.types import Axis, Candidate, MetaLearner, Profile, Runs, Trial
from metalearner.prior import fits

PROFILE = Profile(("size", "kind=x"), (2.5, 1.0))
AXES = {
    "f": (Axis("a", ("1", "2", "3")), Axis("b", (0.1, 0.2, 0.4)), Axis("c", ("x", "y"), "a", ("1",))),
    "g": (Axis("b", (0.1, 0.2, 0.4)),),
}
EMPTY = Runs.none()
CANDIDATES = tuple(
    Candidate("f", {"a": a, "b": b} | ({"c": c} if a == "1" else {}))
    for a in "123"
    for b in (0.1, 0.2, 0.4)
    for c in ("x", "y")
    if a == "1" or c == "x"
) + tuple(Candidate("g", {"b": b}) for b in (0.1, 0.2, 0.4))


def worth(candidate: Candidate, twist: float = 0.0) -> float:
    """What a candidate scores: b = 0.2 and a = 1 are best, unless the task twists it."""
    b, a = float(candidate.choices["b"]), float(str(candidate.choices.get("a", 2)))
    return -abs(np.log2(b / 0.2) + twist) - 0.3 * abs(a - 1) - 0.2 * (candidate.family == "g")


def runs(tasks: int = 6, seed: int = 0, profiles: bool = True, twist: float = 0.0) -> Runs:
    rng = np.random.default_rng(seed)
    score = np.array([[worth(c, twist) + 0.1 * rng.normal() for c in CANDIDATES] for _ in range(tasks)])
    task, candidate = np.divmod(np.arange(tasks * len(CANDIDATES)), len(CANDIDATES))
    n = len(task)
    return Runs(
        tasks=tuple(f"t{i}" for i in range(tasks)),
        groups=tuple(f"g{i}" for i in range(tasks)),
        profiles=tuple(Profile(("size", "kind=x"), (float(i), i % 2)) if profiles else None for i in range(tasks)),
        candidates=CANDIDATES,
        task=task,
        candidate=candidate,
        fidelity=np.ones(n, np.int64),
        seed=np.zeros(n, np.int64),
        score=(score * rng.uniform(1, 9, (tasks, 1)) + rng.normal(size=(tasks, 1))).ravel(),
        seconds=np.ones(n),
    )


def trial(candidate: Candidate, score: float | None, fidelity: int = 1) -> Trial:
    return Trial("new", candidate, fidelity, 0, "failed" if score is None else "ok", score, seconds=1.0)


class MetaLearnerContract:
    """Subclass it with a fixture ``learner`` that makes yours."""

    def test_no_past_runs_give_a_uniform_prior(self, learner: MetaLearner) -> None:
        prior = learner.fit(EMPTY).predict(PROFILE, AXES)
        assert prior.families == {"f": 0.5, "g": 0.5}

    def test_everything_proposed_is_inside_the_space_and_once(self, learner: MetaLearner) -> None:
        prior = learner.fit(runs()).predict(PROFILE, AXES)
        assert all(fits(c, AXES) for c in prior.portfolio)
        assert len({c.id for c in prior.portfolio}) == len(prior.portfolio)

    def test_probabilities_are_positive_and_sum_to_one(self, learner: MetaLearner) -> None:
        prior = learner.fit(runs()).predict(PROFILE, AXES)
        vectors = [list(prior.families.values())] + [list(p) for of in prior.weights.values() for p in of.values()]
        assert all(min(v) > 0 and sum(v) == pytest.approx(1) for v in vectors)

    def test_unknown_families_and_options_are_ignored(self, learner: MetaLearner) -> None:
        axes = {"g": (Axis("b", (0.1, 0.4)),), "new": (Axis("d", (1, 2)),)}
        prior = learner.fit(runs()).predict(PROFILE, axes)
        assert all(fits(c, axes) for c in prior.portfolio)
        assert fits(prior.sample(np.random.default_rng(0)), axes)

    def test_the_same_history_gives_the_same_prior(self, learner: MetaLearner) -> None:
        first = learner.fit(runs()).predict(PROFILE, AXES)
        assert learner.fit(runs()).predict(PROFILE, AXES) == first

    def test_update_is_taken_and_failures_are_no_error(self, learner: MetaLearner) -> None:
        prior = learner.fit(runs()).predict(PROFILE, AXES)
        learner.update(
            [trial(c, worth(c)) for c in prior.portfolio[:3]] + [trial(c, None) for c in prior.portfolio[3:5]]
        )
        again = learner.predict(PROFILE, AXES)
        assert all(fits(c, AXES) for c in again.portfolio)

    def test_what_was_good_on_past_tasks_comes_first(self, learner: MetaLearner) -> None:
        prior = learner.fit(runs()).predict(PROFILE, AXES)
        if prior.portfolio and getattr(learner, "level", 4) >= 4:  # others look at no past runs
            assert worth(prior.portfolio[0]) > -0.5
            assert prior.weights["f"]["b"][1] > 1 / 3

    def test_profiles_may_be_missing(self, learner: MetaLearner) -> None:
        assert learner.fit(runs(profiles=False)).predict(Profile((), ()), AXES).families
