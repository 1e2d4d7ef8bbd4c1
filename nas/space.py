"""Families -> one conditional search space; candidate <-> NNI sample; candidate -> network.

A family writes an NNI ``ModelSpace``; this module reads its axes, joins all families under one ``family`` choice
and shows the result to NNI's strategies, which see plain categoricals::

    axes  = search_axes(families, task)              # {"mlp": (Axis("depth", (1, 2, 3)), ...), ...}
    space = SearchSpace(axes, prior)                 # what a strategy explores
    model = space.random(random_state=rng)           # a frozen Proposal, holds .candidate
    net   = build(families["mlp"], task, model.candidate, seed=0)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from nni.mutable import Categorical, LabeledMutable, SampleValidationError, ensure_frozen
from nni.nas.nn.pytorch import ModelSpace
from nni.nas.space import ExecutableModelSpace, ModelStatus, current_model, model_context
from numpy.random import RandomState
from torch import nn

from automl.errors import UserError
from automl.types import Axes, Axis, Candidate, Choices, Family, Option, Prior, Task, active_choices

T = TypeVar("T", bound=Option)


class FamilySpace(ModelSpace):
    """Base of every family's ModelSpace: ``self.choose`` declares an axis and returns the value to build with.

    Called plainly, the space is NNI's: ``simplify()`` lists every axis. Called inside NNI's ``model_context`` it is
    the network of one candidate, made of plain torch modules.
    """

    def choose(self, name: str, options: Sequence[T], *, parent: str = "", when: Sequence[Option] = ()) -> T:
        """Declare the axis ``name``; it is active only while axis ``parent`` holds one of ``when``."""
        value = self.add_mutable(Categorical(list(options), label=name))
        self.condition(name, parent, when)
        return ensure_frozen(value)

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
        own = family.space(task).axes()
        taken = {a.name for a in own}
        axes[name] = own + tuple(a for a in shared if a.name not in taken)
    if not axes:
        kinds = " + ".join(sorted({i.modality for i in task.inputs}))
        raise UserError(
            f"none of the families {', '.join(families)} can learn from {kinds} input. "
            "Set family=[...] to one that can."
        )
    return axes


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


class Proposal(ExecutableModelSpace):
    """One candidate on its way through NNI: what a strategy submits and an engine runs.

    ``fidelity``: epochs to train; None means the budget's full length. ``sample``: the whole flat NNI sample, with
    inactive axes at their first option, so equal candidates have equal samples. ``seconds``: that its training took,
    once it ended.
    """

    evaluator = None

    def __init__(self, candidate: Candidate, sample: dict[str, Option], fidelity: int | None = None) -> None:
        super().__init__(ModelStatus.Frozen)
        self.candidate = candidate
        self.sample = sample
        self.fidelity = fidelity
        self.number = -1
        self.seconds = 0.0

    def extra_repr(self) -> str:
        return f"{self.candidate.family}, {dict(self.candidate.choices)}"


class SearchSpace(ExecutableModelSpace):
    """Every family and axis as NNI's strategies see them, weighted by a Prior.

    Labels: ``family`` and ``FAMILY.AXIS``. Random draws first hand out the best ``first`` of the prior's portfolio, in
    order, then sample by weight; so NNI's own Random and RegularizedEvolution start where the meta-learner says,
    unchanged.
    """

    evaluator = None
    sample = None

    def __init__(self, prior: Prior, first: int = 10) -> None:
        super().__init__()
        self.first = first
        self.axes: Axes = prior.axes
        self.prior = prior
        names = list(prior.axes)
        self._family = Categorical(names, label="family")
        self._choices = {
            f"{family}.{axis.name}": Categorical(list(axis.options), label=f"{family}.{axis.name}")
            for family in names
            for axis in prior.axes[family]
        }
        self._given: set[str] = set()
        self._waiting: deque[Candidate] = deque()
        self.follow(prior)

    def follow(self, prior: Prior) -> None:
        """Take new weights and a new portfolio (the meta-learner learned something)."""
        if prior.axes != self.axes:
            raise ValueError("a prior over another search space")
        self.prior = prior
        self._family.weights = [prior.families[name] for name in self._family.values]
        for family, axes in self.axes.items():
            for axis in axes:
                self._choices[f"{family}.{axis.name}"].weights = list(prior.weights[family][axis.name])
        self._waiting = deque(prior.portfolio)

    # --- NNI's side

    def simplify(self, is_leaf: Any = None) -> dict[str, LabeledMutable]:
        return {"family": self._family, **self._choices}

    def leaf_mutables(self, is_leaf: Any) -> Iterable[LabeledMutable]:
        yield from self.simplify().values()

    def check_contains(self, sample: Mapping[str, Any]) -> SampleValidationError | None:
        for mutable in self.simplify().values():
            error = mutable.check_contains(dict(sample))
            if error is not None:
                return error
        return None

    def freeze(self, sample: Mapping[str, Any]) -> Proposal:
        """A proposal from a flat sample. Raises SampleValidationError when it is outside the space."""
        self.validate(dict(sample))
        return self.propose(self.candidate(sample))

    def random(self, memo: dict[str, Any] | None = None, random_state: RandomState | None = None) -> Proposal:
        """The next of the portfolio, then a draw from the weights; fills ``memo`` with the flat sample."""
        state = random_state or RandomState()
        while self._waiting and self.first > 0:
            candidate = self._waiting.popleft()
            if candidate.id not in self._given and self.prior.log_prob(candidate) > float("-inf"):
                self.first -= 1
                break
        else:
            candidate = self.draw(state)
        proposal = self.propose(candidate)
        if memo is not None:
            memo.update(proposal.sample or {})
        return proposal

    def grid(self, memo: dict[str, Any] | None = None, granularity: int | None = None) -> Iterator[Proposal]:
        """Every candidate once: the portfolio first, then families and options from most to least likely."""
        done = set()
        for candidate in self.prior.portfolio:
            done.add(candidate.id)
            yield self.propose(candidate)
        for family in self._family.grid():
            for choices in self._grid(family, self.axes[family], {}):
                candidate = Candidate(family, choices)
                if candidate.id not in done:
                    yield self.propose(candidate)

    def _grid(self, family: str, axes: Sequence[Axis], choices: dict[str, Option]) -> Iterator[dict[str, Option]]:
        if not axes:
            yield dict(choices)
            return
        first, rest = axes[0], axes[1:]
        if not first.is_active(choices):
            yield from self._grid(family, rest, choices)
            return
        for option in self._choices[f"{family}.{first.name}"].grid():
            yield from self._grid(family, rest, {**choices, first.name: option})

    # --- ours

    def candidate(self, sample: Mapping[str, Any]) -> Candidate:
        """The candidate of a flat sample, without its inactive axes."""
        family = sample["family"]
        choices = {axis.name: sample[f"{family}.{axis.name}"] for axis in self.axes[family]}
        return Candidate(family, active_choices(self.axes[family], choices))

    def propose(self, candidate: Candidate, fidelity: int | None = None) -> Proposal:
        """A frozen model for the engine."""
        self._given.add(candidate.id)
        sample: dict[str, Option] = {label: m.values[0] for label, m in self._choices.items()}
        sample["family"] = candidate.family
        sample.update({f"{candidate.family}.{name}": value for name, value in candidate.choices.items()})
        return Proposal(candidate, sample, fidelity)

    def draw(self, state: RandomState, family: str | None = None, keep: Choices | None = None) -> Candidate:
        """Sample by weight; ``keep`` fixes choices where the drawn family has that axis and option."""
        family = family or self._family.random(random_state=state)
        choices: dict[str, Option] = {}
        for axis in self.axes[family]:
            if not axis.is_active(choices):
                continue
            if keep is not None and keep.get(axis.name) in axis.options:
                choices[axis.name] = keep[axis.name]
            else:
                choices[axis.name] = self._choices[f"{family}.{axis.name}"].random(random_state=state)
        return Candidate(family, choices)

    def mutate(self, parent: Candidate, probability: float, state: RandomState) -> Candidate:
        """Resample the family and each active axis with ``probability``; axes that become active are drawn.

        A change of family keeps the choices of the training axes that both share.
        """
        family = parent.family
        if len(self.axes) > 1 and state.uniform() < probability:
            family = self._family.random(random_state=state)
        kept = {name: value for name, value in parent.choices.items() if state.uniform() >= probability}
        return self.draw(state, family, kept)
