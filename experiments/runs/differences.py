"""In which options runs differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SELDOM = ("resume", "progress")  # options that change no result
LEFT_OUT = ("reads", "run", *SELDOM)


def options(config: Mapping[str, Any]) -> dict[str, Any]:
    """``budget.seconds`` -> value of every option; ``family`` is the names of the families."""
    return dict(_leaves({name: value for name, value in config.items() if name not in LEFT_OUT}))


def _leaves(of: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in of.items():
        if isinstance(value, Mapping) and value:
            if not place and name == "family":
                yield name, list(value)
            yield from _leaves(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Option -> its value in each configuration, of those that are not the same in all; "–" where one lacks it.

    Without those that follow another: ``strategy.seed`` is what ``seed`` is, and a family that one does not search has
    no options there.
    """
    given = [options(config) for config in configs]
    names = list(dict.fromkeys(name for of in given for name in of))
    found = {name: [shown(of[name]) if name in of else "–" for of in given] for name in names}
    found = {name: values for name, values in found.items() if len(set(values)) > 1}
    groups = {name.partition(".")[0] for name in found if name.endswith("._target_")}

    def follows(name: str, values: list[str]) -> bool:
        group, _, rest = name.partition(".")
        last = name.rpartition(".")[2]
        if rest and found.get(last) == values:
            return True
        # Another class takes other options: that it is another says enough.
        return rest != "_target_" and "–" in values and (group in groups or group == "family")

    return {name: values for name, values in found.items() if not follows(name, values)}


def shown(value: Any) -> str:
    """As on the command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    return json.dumps(value)
