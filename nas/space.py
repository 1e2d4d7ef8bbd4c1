"""All families as one conditional space that NNI's strategies explore; candidate <-> NNI sample.

The families' axes are joined under one ``family`` choice, and NNI's strategies see plain categoricals.

>>> axes = {"mlp": (Axis("layers", (1, 2)), Axis("width", (8, 16), parent="layers", when=(2,))), "tree": ()}
>>> space = SearchSpace(Prior.uniform(axes), first=10)  # what a strategy explores
>>> list(space.simplify())
['family', 'mlp.layers', 'mlp.width']
>>> model = space.random(random_state=RandomState(1))  # a frozen Proposal
>>> model.candidate.family, model.sample["family"]
('mlp', 'mlp')
>>> dict(space.freeze({"family": "mlp", "mlp.layers": 1, "mlp.width": 8}).candidate.choices)
{'layers': 1}
"""

from __future__ import annotations

import nas.nni_fixes  # isort: skip  # noqa: F401

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nni.mutable import Categorical, LabeledMutable, SampleValidationError
from nni.nas.space import ExecutableModelSpace, ModelStatus
from numpy.random import RandomState

from automl.types import Axes, Axis, Candidate, Choices, Option, Prior, active_choices


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
