"""The vocabulary: the few concepts that every floor shares, and nothing else.

The whole program in ten lines::

    dataset = source.load()
    task, parts = prepare(dataset)                       # formulate, check, split, encode
    prior = metalearner.fit(runs).predict(profile, axes) # where to start
    for candidate in strategy(prior):                    # NNI proposes
        trial = evaluate(candidate, task, parts)         # one Lightning training
        store.append(trial)                              # as it ends
        metalearner.update([trial])                      # adapts while the search runs
    bundle = export(ensemble(best trials))

Everything here is frozen and plain: it can be hashed, written as JSON and sent to another process.

>>> axes = {"mlp": (Axis("layers", (1, 2)), Axis("width", (8, 16), parent="layers", when=(2,))), "tree": ()}
>>> prior = Prior.uniform(axes)
>>> prior.families
{'mlp': 0.5, 'tree': 0.5}
>>> candidate = prior.sample(np.random.default_rng(0))  # holds its active axes only
>>> candidate.family, dict(candidate.choices)
('tree', {})
>>> round(math.exp(prior.log_prob(Candidate("mlp", {"layers": 2, "width": 8}))), 3)
0.125
>>> prior.log_prob(Candidate("mlp", {"layers": 1, "width": 8}))  # with one layer there is no width to choose
-inf
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from automl.data.dataset import Dataset

Kind = Literal["binary", "multiclass", "regression"]
Modality = Literal["tabular", "image", "audio", "series", "text"]
Status = Literal["ok", "failed", "timeout", "oom", "diverged", "skipped"]
Option = str | int | float | bool
Choices = Mapping[str, Option]


@dataclass(frozen=True)
class Input:
    """One input of a task, as the networks receive it (shapes are without the row axis).

    ======== ======= =========================== ==================================================
    modality dtype   shape                       notes
    ======== ======= =========================== ==================================================
    tabular  float32 (columns,)                  ``cardinalities[i]`` is 0 for a numeric column, else
                                                 column i holds codes 0..cardinality-1 (0: unknown)
    image    uint8   (channels, height, width)   ``mean`` and ``std`` per channel in units of [0, 1];
                                                 the network normalises, so the graph holds it
    audio    float32 (1, mels, frames)           log-mel spectrogram, standardised
    series   float32 (channels, length)          when ``masked``, the last channel is 1 where observed
    text     int32   (tokens + letters           token ids below ``vocabulary``; 0 pads, 1 is unknown; then
                      + pieces,)                 the row's groups of letters as hashes, 0 pads; then pieces
                                                 of words as a known network numbers them, 0 pads
    ======== ======= =========================== ==================================================
    """

    name: str
    modality: Modality
    shape: tuple[int, ...]
    cardinalities: tuple[int, ...] = ()
    vocabulary: int = 0
    masked: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    letters: int = 0
    pieces: int = 0

    @property
    def tokens(self) -> int:
        """How many of a text's places hold tokens."""
        return self.shape[0] - self.letters - self.pieces


@dataclass(frozen=True)
class Limits:
    """Hard limits that a deployed model must keep; None leaves it free. Latency is for one row.

    ``parameters``: all numbers it holds, those that are not trained (trees, fixed convolutions) included.
    """

    latency_ms: float | None = None
    parameters: int | None = None
    megabytes: float | None = None


@dataclass(frozen=True)
class Task:
    """What is to be learned.

    ``group``: data sets that share an origin; never split between meta-train and meta-test.
    ``num_outputs``: classes (2 for binary), or 1 for regression.
    ``metric``: the score's name in ``automl.metrics``; ``goal``: a success criterion such as ``accuracy >= 0.95``.
    ``why``: one line for each decision of the task formulation, for the report.
    ``data``: see ``automl.data.identity``; empty in runs from before there was one.
    """

    name: str
    kind: Kind
    inputs: tuple[Input, ...]
    num_outputs: int
    metric: str
    group: str = ""
    classes: tuple[str, ...] = ()
    limits: Limits = Limits()
    goal: str = ""
    why: tuple[str, ...] = ()
    data: str = ""


@dataclass(frozen=True)
class Profile:
    """Meta-features of a data set: numbers with their unit in the name (``log10_train_rows``).

    A feature that could not be measured is NaN and ``reasons`` says why.
    """

    names: tuple[str, ...]
    values: tuple[float, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.names) != len(self.values):
            raise ValueError(f"a Profile needs one value per name, got {len(self.names)} and {len(self.values)}")

    def as_dict(self) -> dict[str, float]:
        return dict(zip(self.names, self.values, strict=True))


@dataclass(frozen=True)
class Axis:
    """One decision with finite, ordered options.

    When ``parent`` is set, the axis is active only while the parent axis is active and holds one of ``when``.
    An inactive axis is no part of a candidate: it neither mutates nor tells two candidates apart.
    """

    name: str
    options: tuple[Option, ...]
    parent: str = ""
    when: tuple[Option, ...] = ()

    def __post_init__(self) -> None:
        if not self.options or len(set(map(repr, self.options))) != len(self.options):
            raise ValueError(f"axis {self.name!r} needs distinct options, got {self.options}")

    def is_active(self, choices: Choices) -> bool:
        """Whether this axis counts, given the choices of the *active* axes before it."""
        return not self.parent or (self.parent in choices and choices[self.parent] in self.when)


Axes = Mapping[str, tuple[Axis, ...]]
"""Per family, its axes and the shared training axes; a parent stands before its children."""


def active_choices(axes: Sequence[Axis], choices: Choices) -> dict[str, Option]:
    """The choices of the active axes, in axis order. Raises KeyError when an active axis has none."""
    kept: dict[str, Option] = {}
    for axis in axes:
        if axis.is_active(kept):
            kept[axis.name] = choices[axis.name]
    return kept


@dataclass(frozen=True)
class Candidate:
    """A family and the choices of its active axes: everything that defines a training but data, seed and length."""

    family: str
    choices: Choices

    @functools.cached_property
    def id(self) -> str:
        """16 hex digits, the same in every process and on every machine."""
        text = json.dumps([self.family, dict(self.choices)], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True)
class Prior:
    """Where to look first: a distribution over candidates and a ranked list of concrete ones.

    ``families``: probability per family. ``axes``: the search space. ``weights[family][axis]``: one probability per
    option of that axis. ``portfolio``: candidates to try first, best first. ``why``: lines for the report.
    """

    families: Mapping[str, float]
    axes: Axes
    weights: Mapping[str, Mapping[str, tuple[float, ...]]]
    portfolio: tuple[Candidate, ...] = ()
    why: tuple[str, ...] = ()

    @classmethod
    def uniform(cls, axes: Axes, why: tuple[str, ...] = ()) -> Prior:
        """Every family and every option equally likely."""
        if not axes:
            raise ValueError("a Prior needs at least one family")
        return cls(
            families={name: 1 / len(axes) for name in axes},
            axes=axes,
            weights={f: {a.name: (1 / len(a.options),) * len(a.options) for a in of} for f, of in axes.items()},
            why=why,
        )

    def sample(self, rng: np.random.Generator) -> Candidate:
        """Draw a candidate: the family, then each active axis in order."""
        names = list(self.families)
        family = names[_draw(rng, [self.families[n] for n in names])]
        choices: dict[str, Option] = {}
        for axis in self.axes[family]:
            if axis.is_active(choices):
                choices[axis.name] = axis.options[_draw(rng, self.weights[family][axis.name])]
        return Candidate(family, choices)

    def log_prob(self, candidate: Candidate) -> float:
        """Log-probability of the candidate in nats; -inf when it is outside the space."""
        if self.families.get(candidate.family, 0.0) <= 0:
            return -math.inf
        total = math.log(self.families[candidate.family])
        seen: dict[str, Option] = {}
        for axis in self.axes[candidate.family]:
            if not axis.is_active(seen):
                continue
            if axis.name not in candidate.choices or candidate.choices[axis.name] not in axis.options:
                return -math.inf
            seen[axis.name] = candidate.choices[axis.name]
            p = self.weights[candidate.family][axis.name][axis.options.index(seen[axis.name])]
            total += math.log(p) if p > 0 else -math.inf
        return total if seen.keys() == candidate.choices.keys() else -math.inf


def _draw(rng: np.random.Generator, weights: Sequence[float]) -> int:
    """Index drawn in proportion to the weights, by inversion (one uniform number per draw)."""
    edges = list(itertools.accumulate(weights))
    return min(bisect.bisect_right(edges, rng.random() * edges[-1]), len(edges) - 1)


@dataclass(frozen=True)
class Budget:
    """What a search may spend, whichever ends first; None leaves that side free.

    ``epochs``: the full length of one training (the highest fidelity).
    """

    trials: int | None = None
    seconds: float | None = None
    epochs: int = 10


@dataclass(frozen=True)
class Attempt:
    """One stretch of a search that may be stopped and taken up again.

    ``budget`` and ``workers`` are those by which its proposals from number ``first`` on were decided.
    """

    first: int
    budget: Budget
    workers: int


@dataclass(frozen=True)
class Trial:
    """One finished training of a candidate, or the record of its failure.

    ``fidelity``: epochs it was meant to train, or reached when time was up (a flat curve may end it earlier).
    ``score``: validation metric, higher is better; None unless ok. ``curve``: the score after each epoch.
    ``latency_ms``: one row through the exported shape, or None.
    ``number``: position among the search's proposals.
    """

    task: str
    candidate: Candidate
    fidelity: int
    seed: int
    status: Status
    score: float | None = None
    curve: tuple[float, ...] = ()
    seconds: float = 0.0
    parameters: int | None = None
    latency_ms: float | None = None
    error: str = ""
    number: int = 0


@dataclass(frozen=True)
class Runs:
    """Past trials of many tasks as columns (10^6 rows must stay cheap).

    ``task``, ``candidate``: int (n,) indices into ``tasks`` and ``candidates``; ``fidelity``, ``seed``: int (n,);
    ``score``, ``seconds``: float (n,), score NaN where the trial is not ok. ``profiles[i]`` may be None.
    """

    tasks: tuple[str, ...]
    groups: tuple[str, ...]
    profiles: tuple[Profile | None, ...]
    candidates: tuple[Candidate, ...]
    task: np.ndarray
    candidate: np.ndarray
    fidelity: np.ndarray
    seed: np.ndarray
    score: np.ndarray
    seconds: np.ndarray

    @classmethod
    def none(cls) -> Runs:
        """No past trials."""
        whole, real = np.zeros(0, np.int64), np.zeros(0)
        return cls((), (), (), (), whole, whole, whole, whole, real, real)


@runtime_checkable
class Source(Protocol):
    """Where data comes from."""

    def load(self) -> Dataset:
        """Read everything. Raises ``automl.errors.UserError`` with value, place and fix for input that is no data."""
        ...


@runtime_checkable
class Family(Protocol):
    """A family of architectures."""

    name: str

    def supports(self, task: Task) -> bool:
        """Whether this family can be built for the task."""
        ...

    def space(self, task: Task) -> Any:
        """The ``nni.nas.nn.pytorch.ModelSpace`` for the task (typed Any: nni is imported in ``nas`` only)."""
        ...


@runtime_checkable
class MetaLearner(Protocol):
    """Learns from past runs where to start on a new task."""

    def fit(self, runs: Runs) -> MetaLearner:
        """Learn from past runs; returns itself."""
        ...

    def predict(self, profile: Profile, axes: Axes) -> Prior:
        """The prior for a task, given what ``update`` has told about it so far."""
        ...

    def update(self, trials: Sequence[Trial], running: Sequence[Candidate] = ()) -> None:
        """Take in new finished trials of the task at hand; ``running``: all candidates that are being trained now."""
        ...
