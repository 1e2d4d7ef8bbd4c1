"""Families: each declares its axes and builds a candidate's network.

A family writes an NNI ``ModelSpace``; this module reads its axes and makes a network of a candidate::

    axes = search_axes(families, task, shared)       # {"mlp": (Axis("depth", (1, 2, 3)), ...), ...}
    net  = build(families["mlp"], task, candidate, axes["mlp"], seed=0)
"""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from nni.mutable import Categorical, ensure_frozen
from nni.nas.nn.pytorch import ModelSpace
from nni.nas.space import current_model, model_context
from torch import nn

from automl.errors import UserError
from automl.training.module import Begins
from automl.types import Axis, Candidate, Family, Option, Task
from nas.job import Job

T = TypeVar("T", bound=Option)
NAMED = "network"
"""The axis of ``FamilySpace.named``."""
FEWEST_ROWS, MOST_ROWS = 1_000, 50_000
"""Rows that a network which begins (``Begins``) reads, where its family says what a row costs. By judgement: fewer than
these are too few to begin from, and more than those change little."""
_begins: WeakKeyDictionary[Job, dict[str, bool]] = WeakKeyDictionary()  # a network is built to know it


class FamilySpace(ModelSpace):
    """Base of every family's ModelSpace: ``self.choose`` declares an axis and returns the value to build with.

    Called plainly, the space is NNI's: ``simplify()`` lists every axis. Called inside NNI's ``model_context`` it is
    the network of one candidate, made of plain torch modules. ``shares``: whether the shared training axes are added.
    """

    shares = True

    def choose(self, name: str, options: Sequence[T], *, parent: str = "", when: Sequence[Option] = ()) -> T:
        """Declare the axis ``name``; it is active only while axis ``parent`` holds one of ``when``."""
        return ensure_frozen(self.declare(name, options, parent=parent, when=when))

    def declare(self, name: str, options: Sequence[T], *, parent: str = "", when: Sequence[Option] = ()) -> Any:
        """The same for an axis that the network itself does not read; also when it is made already."""
        value = self.add_mutable(Categorical(list(options), label=name))
        self.condition(name, parent, when)
        return value

    def named(self, digest: str) -> None:
        """Says which network a user gave, as an axis of one option: no candidate of another is taken for one of it."""
        self.choose(NAMED, (digest,))

    def shared(self, name: str, default: T) -> T:
        """The candidate's choice of a training axis that shapes the network too (``dropout``)."""
        sample = current_model()
        return default if sample is None else sample.get(name, default)

    def condition(self, name: str, parent: str, when: Sequence[Option]) -> None:
        """Make an axis that an NNI mutable declared (a ``LayerChoice``, say) depend on another one."""
        if parent:
            self.__dict__.setdefault("_conditions", {})[name] = (parent, tuple(when))

    def axes(self) -> tuple[Axis, ...]:
        """The axes in the order in which they were declared."""
        conditions = self.__dict__.get("_conditions", {})
        found = []
        for label, mutable in self.simplify().items():
            if not isinstance(mutable, Categorical):
                raise TypeError(f"axis {label!r} of {type(self).__name__} is a {type(mutable).__name__}; use choose()")
            parent, when = conditions.get(label, ("", ()))
            found.append(Axis(label, tuple(mutable.values), parent, when))
        return parents_first(found)


def parents_first(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """The same axes, each after its parent, otherwise in the given order."""
    waiting, placed, names = list(axes), [], set()
    while waiting:
        ready = [a for a in waiting if not a.parent or a.parent in names]
        if not ready:
            raise ValueError(f"axes without their parent: {[(a.name, a.parent) for a in waiting]}")
        placed.append(ready[0])
        names.add(ready[0].name)
        waiting.remove(ready[0])
    return tuple(placed)


def search_axes(families: Mapping[str, Family], task: Task, shared: Sequence[Axis]) -> dict[str, tuple[Axis, ...]]:
    """The axes of every family that supports the task, each followed by the shared training axes.

    Raises UserError when no family supports the task.
    """
    axes: dict[str, tuple[Axis, ...]] = {}
    for name, family in families.items():
        if not family.supports(task):
            continue
        space = family.space(task)
        own = space.axes()
        taken = {a.name for a in own}
        axes[name] = own + tuple(a for a in shared if space.shares and a.name not in taken)
    if not axes:
        kinds = " + ".join(sorted({i.modality for i in task.inputs}))
        lacking = {n: getattr(f, "lacks", lambda task: "")(task) for n, f in families.items()}
        mended = "".join(f", or let {name} take part: {how}" for name, how in lacking.items() if how)
        raise UserError(
            f"none of the families {', '.join(families)} can learn from {kinds} input. "
            f"Set family=[...] to one that can{mended or '.'}"
        )
    return axes


def wordpieces(families: Mapping[str, Family]) -> Sequence[str]:
    """The vocabulary of pieces of words that one of the families reads texts with; see ``Encoding.fit``."""
    asked = (getattr(family, "wordpieces", tuple)() for family in families.values())
    return next((words for words in asked if words), ())


def begins(job: Job, family: str) -> bool:
    """Whether the family's networks are fitted before their first step: then a short training costs about as much as a
    long one, and knows as much.
    """
    known = _begins.setdefault(job, {})
    if family not in known:
        known[family] = isinstance(job.families[family].space(job.task), Begins)
    return known[family]


def affordable_rows(rows: float) -> int:
    """So many rows, between ``FEWEST_ROWS`` and ``MOST_ROWS``: for the ``begin_rows`` of a network that begins."""
    return int(min(max(rows, FEWEST_ROWS), MOST_ROWS))


def build(family: Family, task: Task, candidate: Candidate, axes: Sequence[Axis], *, seed: int) -> nn.Module:
    """The candidate's network, a plain torch module with weights drawn from ``seed``.

    ``axes`` are the family's, as ``search_axes`` gives them. Forward: one tensor per input of the task ->
    (rows, num_outputs) logits or standardised values. The global torch generator is left as it was.
    """
    # NNI wants a value for every label that the family declares, so inactive axes stand at their first option.
    sample = {axis.name: candidate.choices.get(axis.name, axis.options[0]) for axis in axes}
    with torch.random.fork_rng(devices=[]), model_context(sample):
        torch.manual_seed(seed)
        return family.space(task)
