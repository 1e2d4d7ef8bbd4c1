"""What networks together, and what is deployed, keep of the task's hard limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from automl.types import Limits, Task, Trial


def fewer_would_help(limits: Limits, cost: Mapping[str, float | None]) -> bool:
    """Whether the model is over a limit on what its members cost: reading a row takes as long with fewer of them."""
    reading = (cost["latency_ms"] or 0.0) - (cost["graph_ms"] or 0.0)
    hopeless = limits.latency_ms is not None and reading >= limits.latency_ms
    return bool(beyond(limits, {**cost, "latency_ms": None} if hopeless else cost))


def beyond(limits: Limits, cost: Mapping[str, float | None]) -> str:
    """Which hard limits a deployed model of this cost is over, or an empty string."""
    names = ("latency_ms", "parameters", "megabytes")
    over = [
        f"{name} {cost[name]:g}, the limit is {limit:g}"
        for name in names
        if (limit := getattr(limits, name)) is not None and (cost[name] or 0.0) > limit
    ]
    return "; ".join(over)


def within_limits(task: Task, trials: Sequence[Trial]) -> Callable[[tuple[int, ...]], bool]:
    """Whether the trials with these indices keep the hard limits together, deployed as one graph."""
    limits = task.limits

    def allowed(members: tuple[int, ...]) -> bool:
        parameters = sum(trials[i].parameters or 0 for i in members)
        latency = sum(trials[i].latency_ms or 0.0 for i in members)
        return (
            (limits.parameters is None or parameters <= limits.parameters)
            and (limits.megabytes is None or parameters * 4 / 1e6 <= limits.megabytes)
            and (limits.latency_ms is None or latency <= limits.latency_ms)
        )

    return allowed
