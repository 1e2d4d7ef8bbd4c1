"""Level 4 in one step: from past runs to where a search starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from automl.store.store import Store
from automl.types import Family, MetaLearner, Prior, Runs, Task
from metalearner.past.shipped import with_shipped


def level_of(learner: MetaLearner, families: Iterable[Family] = ()) -> int:
    """4 where past runs decide where a search starts; a learner that looks at none says ``level = 3``.

    Where all networks are a user's own it is what their families say: 1, or 0 with an operator of their own.
    """
    return min(getattr(learner, "level", 4), max((getattr(f, "level", 4) for f in families), default=4))


def told(began: Prior | None, learned: Prior | None) -> Prior | None:
    """For the report: the list that a search ``began`` with, and what the past runs said once they were read."""
    if began is None or learned is None:
        return began
    return replace(learned, portfolio=began.portfolio, why=(*began.why, *learned.why))


def past_runs(store: Store, task: Task, before_search: int | None = None) -> Runs:
    """What is known of other data: the store's own runs and the shipped ones, on inputs of the same modalities.

    Not what was learned on these data, under any name: another seed's validation rows may be test rows now, and the
    report promises that no decision has seen those. ``before_search``: as the search of that number found it, which is
    resumed.
    """
    groups = {task.group, task.name}
    own = store.runs(before_search=before_search, without_groups=groups, modalities={i.modality for i in task.inputs})
    return with_shipped(own, like=task, without_groups=groups)
