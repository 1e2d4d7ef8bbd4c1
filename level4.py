"""Level 4 from Python: the public names, each imported when it is first asked for.

from level4 import solve
solution = solve(data=frame, target="price", seconds=60)

from level4 import Level4Classifier    # for scikit-learn
model = Level4Classifier(seconds=60).fit(X, y)

from level4 import Bundle          # needs no torch
Bundle.load("outputs/.../bundle").predict(rows)

What stands here keeps its meaning between versions; other modules may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.data.dataset import Dataset as Dataset
    from automl.deploy.bundle import Bundle as Bundle
    from automl.errors import UserError as UserError
    from automl.types import Axis as Axis
    from automl.types import Budget as Budget
    from automl.types import Candidate as Candidate
    from automl.types import Family as Family
    from automl.types import Input as Input
    from automl.types import MetaLearner as MetaLearner
    from automl.types import Prior as Prior
    from automl.types import Profile as Profile
    from automl.types import Runs as Runs
    from automl.types import Source as Source
    from automl.types import Task as Task
    from automl.types import Trial as Trial
    from experiments.events import Listener as Listener
    from experiments.jobs.train import train as train
    from experiments.solve.estimators import Level4Classifier as Level4Classifier
    from experiments.solve.estimators import Level4Regressor as Level4Regressor
    from experiments.solve.python import solve as solve
    from experiments.solve.solution import Solution as Solution
    from nas.family import FamilySpace as FamilySpace
    from nas.strategies.parts.stepwise import Stepwise as Stepwise

_WHERE = {
    "automl.data.dataset": ("Dataset",),
    "automl.deploy.bundle": ("Bundle",),
    "automl.errors": ("UserError",),
    "automl.types": (
        *("Axis", "Budget", "Candidate", "Family", "Input", "MetaLearner", "Prior", "Profile", "Runs", "Source"),
        *("Task", "Trial"),
    ),
    "experiments.events": ("Listener",),
    "experiments.jobs.train": ("train",),
    "experiments.solve.estimators": ("Level4Classifier", "Level4Regressor"),
    "experiments.solve.python": ("solve",),
    "experiments.solve.solution": ("Solution",),
    "nas.family": ("FamilySpace",),
    "nas.strategies.parts.stepwise": ("Stepwise",),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

__all__ = sorted([*_MODULE_OF, "__version__"])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("automl.version").code_version()
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'level4' has no attribute {name!r}; it has {', '.join(__all__)}")
    try:
        return getattr(import_module(_MODULE_OF[name]), name)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in ("automl", "experiments", "nas", "metalearner"):
            raise ImportError(f"{name} is not a part of the small install. Run: pip install level4") from error
        raise


def __dir__() -> list[str]:
    return __all__


if __name__ == "__main__":
    from experiments.cli import main

    main()
