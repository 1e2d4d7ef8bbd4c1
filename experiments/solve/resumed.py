"""What ``resume=true`` did, in one line: silence would hide a search that began anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from automl.data.split import TEST_SHARE
from automl.store.search import Search, SearchSummary
from experiments.report.words import count

# What shapes a search. Where it runs, how long, and what is made of its trials may be otherwise when it is resumed.
SHAPING = ("data", "task", "family", "strategy", "metalearner", "portfolio", "seed")


def shaping(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options that shape a search: with the same ones it can be resumed."""
    kept = {name: config.get(name) for name in SHAPING}
    if kept["task"] and kept["task"].get("test_share") is None:  # as earlier versions had it where nothing was asked
        kept["task"] = {**kept["task"], "test_share": TEST_SHARE}
    kept["budget"] = {"epochs": config["budget"]["epochs"]}
    kept["objective"] = {"latency": config["objective"]["latency"]}
    return kept


def is_of_solve(config: Mapping[str, Any]) -> bool:
    """Whether a stored search is one of ``solve``: other recipes keep their searches in the same stores."""
    return "budget" in config and "objective" in config


def said(search: Search, config: Mapping[str, Any], trials: int, others: Sequence[SearchSummary]) -> str:
    """For the terminal. ``trials``: that the search has already; ``others``: the searches on tasks of this name."""
    if search.resumed:
        return f"resume=true: going on with search {search.id}, which has {count(trials, 'trial')}."
    before = [s for s in others if s.id != search.id and is_of_solve(s.config)]
    if not before:
        return f"resume=true: nothing to go on with, the store has no search on {search.task.name!r}. It begins anew."
    found = [(list(differences(shaping(s.config), shaping(config))), s) for s in reversed(before)]
    apart, last = min(found, key=lambda pair: len(pair[0]))
    why = f"{', '.join(apart[:4])}{', ...' if len(apart) > 4 else ''}" if apart else "other rows, or split otherwise"
    return f"resume=true: no search of the same data and options; search {last.id} differs in {why}. It begins anew."


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """``seed (0, now 1)`` for each option that differs."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in sorted({*one, *other}, key=str):
            yield from differences(one.get(name), other.get(name), f"{place}.{name}" if place else str(name))
    elif one != other:
        yield f"{place} ({one}, now {other})"
