"""Small past runs for the tests."""

from __future__ import annotations

import numpy as np

from automl.types import Axis, Candidate, Profile, Runs, Trial

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
