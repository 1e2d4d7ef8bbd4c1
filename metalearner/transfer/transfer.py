"""``transfer``, the default meta-learner: past tasks say where to start, and every trial changes its mind.

The new task's surface over candidates is a Gaussian process whose prior is learned from the surfaces of
past tasks (``settings``); it competes, by evidence, with one that knows no past (``belief``); and the
candidate that promises most comes next (``session``). Settings are learned from the past runs at hand by
leaving one group out at a time; nothing is tuned to one table by name. While little is known of the new task it is the
anytime portfolio that comes first (``opening``): a surface of one or two trials misleads.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from automl.errors import within
from automl.types import Axes, Candidate, Prior, Profile, Task, Trial
from metalearner.anytime import GUARD, OPENING, guarded
from metalearner.learner import Learner
from metalearner.opening import LENGTH, read_opening
from metalearner.past.history import History
from metalearner.past.surfaces import inside, log_seconds, normal_scores, regrets
from metalearner.portfolio import chosen
from metalearner.practice import Practice
from metalearner.prior import fits, prior_from_list, top_weights
from metalearner.transfer.belief import Belief
from metalearner.transfer.hyper import SHAPES, Setting, kernel_block, learned
from metalearner.transfer.kernel import AxisKernel, Coded
from metalearner.transfer.pool import new_candidates
from metalearner.transfer.relation import Relation
from metalearner.transfer.session import Session

COLD_NOISE = 0.1  # variance of a result, where candidates vary by 1: by judgement, as that of ``hyper.DEFAULT``
VARIED = 4  # families among the first candidates: compared with as they fell and three (docs/benchmarks.md)
MOST_MEANS = 200  # past surfaces that stand as prior means of their own, those that count most: bounds the time


@dataclass
class Transfer(Learner):
    """Gaussian processes over past-task surfaces, choices and profiles; optimism and expected improvement in turns.

    ``cold``: prior probability that the past does not help. ``processes``: settings kept side by side.
    ``limit``: past candidates considered. ``fresh``: candidates never run before that join them.
    ``most_trials``: of this task, the best are used. ``per_second``: choose by improvement per second; None leaves
    it to the search's budget. ``opening``: so many candidates are those of the anytime portfolio. ``start``: gives the
    prior while there are no past runs, and draws candidates never run before; None is uniform.

    ``limit`` and ``opening`` were compared with others (docs/benchmarks.md). ``cold`` is by judgement: the evidence of
    some trials overrules it, the more of them the surer one is. The others bound the time of a thought.
    """

    cold: float = 0.3
    processes: int = 3
    limit: int = 3000
    fresh: int = 300
    most_trials: int = 200
    portfolio: int = 200
    per_second: bool | None = None
    opening: int = OPENING
    start: Practice | None = None
    seed: int = 0
    _trials: dict[str, Trial] = field(default_factory=dict, init=False, repr=False)
    _running: tuple[Candidate, ...] = field(default=(), init=False, repr=False)
    _learned: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        within("cold", self.cold, 0.001, 0.999)
        within("processes", self.processes, 1)
        within("limit", self.limit, 1)
        within("opening", self.opening, 0)
        if isinstance(self.start, Mapping):  # from a file
            self.start = Practice(**self.start)

    def fit_history(self, history: History) -> Transfer:
        self.history = history
        self._trials, self._running, self._learned = {}, (), {}
        return self

    def update(self, trials: Sequence[Trial], running: Sequence[Candidate] = ()) -> None:
        """Trials that were skipped say nothing; of one candidate the one with most epochs counts, before all failures:
        that it failed later does not undo what it scored.
        """
        self._running = tuple(running)
        for trial in trials:
            before = self._trials.get(trial.candidate.id)
            if trial.status != "skipped" and (before is None or _told(trial) >= _told(before)):
                self._trials[trial.candidate.id] = trial

    def predict(self, profile: Profile, axes: Axes) -> Prior:
        candidates, session, why = self.resumed(profile, axes)
        if not len(self.history.tasks) and not self._trials:
            return self._base(profile, axes)
        running = self._pending(axes)
        given = [t.candidate.family for t in self._trials.values() if fits(t.candidate, axes)]
        given += [c.family for c in running]
        places = {c.id: i for i, c in enumerate(candidates)}
        best = session.ranking(self.portfolio, pending=[places[c.id] for c in running])
        ranked = self.opened(varied([candidates[i] for i in best], given), profile, axes)
        first = 0 if given else 1  # the very first candidate is the surest
        ranked[first:first] = self._never_run(profile, axes, given)
        chance = chance_of_best(*session.expected(), np.random.default_rng(self.seed))
        marginals = prior_from_list(axes, candidates, chance, why)
        return Prior(marginals.families, axes, marginals.weights, tuple(ranked), why)

    def begin(self, task: Task, profile: Profile, axes: Axes) -> Prior | None:
        """Where to start before a past run is read: with what ships. None where that has too little for the task."""
        if not self.per_second or self.opening < GUARD or self.start is None:
            return None
        shipped, why = read_opening().portfolio(task, profile, axes, {task.group, task.name})
        if len(shipped) < GUARD:
            return None
        base = self.start.predict(profile, axes)
        return Prior(base.families, axes, base.weights, tuple(guarded(varied(shipped, []), base.portfolio)), (why,))

    def opened(self, ranked: Sequence[Candidate], profile: Profile, axes: Axes) -> list[Candidate]:
        """The list with what is left of the opening at its front."""
        begun = {*self._trials, *(c.id for c in self._pending(axes))}
        if len(begun) >= self.opening:
            return list(ranked)
        first = [c for c in self.first(profile, axes) if c.id not in begun][: self.opening - len(begun)]
        return [*first, *(c for c in ranked if c not in first)]

    def first(self, profile: Profile, axes: Axes) -> list[Candidate]:
        """The candidates to begin with, whatever comes of them: of unlike families.

        By validation scores of single networks four of one family may be as good a start (docs/benchmarks.md); what is
        deployed is an ensemble.
        """
        key = "first", _named(axes)
        if key not in self._learned:
            found = chosen(self.history, axes, LENGTH, bool(self.per_second))
            self._learned[key] = varied(found, [])
        base = self.start.predict(profile, axes).portfolio if self.start is not None else ()
        return guarded(self._learned[key], base)[: self.opening]

    def _pending(self, axes: Axes) -> list[Candidate]:
        """What is running in this space and has told nothing yet, each once."""
        of = {c.id: c for c in self._running if fits(c, axes) and c.id not in self._trials}
        return list(of.values())

    def _never_run(self, profile: Profile, axes: Axes, given: Sequence[str]) -> list[Candidate]:
        """Of families that no run knows, what practice advises of each: else none of them would ever be known.

        Such are a person's own, and known networks whose weights were not at hand before.
        """
        if self.start is None or not len(self.history.candidates):
            return []
        known = {c.family for c in self.history.candidates} | {t.candidate.family for t in self._trials.values()}
        advised = {c.family: c for c in self.start.predict(profile, axes).portfolio}
        return [advised[family] for family in advised if family not in known | set(given)]

    def _base(self, profile: Profile, axes: Axes) -> Prior:
        if self.start is None:
            return Prior.uniform(axes, why=("no past runs yet",))
        return self.start.predict(profile, axes)

    def session(self, profile: Profile, candidates: Sequence[Candidate], axes: Axes) -> tuple[Session, tuple[str, ...]]:
        """A search over exactly these candidates, and lines for the report."""
        of = inside(self.history, axes, self.limit)
        z, ran = normal_scores(self.history, of)
        tasks = np.flatnonzero(ran.any(axis=1))
        z = z[tasks]
        known = [self.history.candidates[i] for i in of]
        kept = self._settings(axes, known, z, tasks)
        surfaces, doubt = extended(known, z, candidates, kept[0][0])
        coded = Coded(candidates)
        beliefs: list[Belief] = []
        first = None
        why: tuple[str, ...] = ("no past run fits this search space",)
        if len(tasks):
            share, why = self._relation(axes, z, tasks).share(profile)
            first = least_regret(known, share @ regrets(self.history, of)[tasks], candidates)
            for setting, evidence in kept:
                log = np.log((1 - self.cold) / len(kept)) + min(evidence, 0.0)
                beliefs.append(warm_belief(coded, surfaces, doubt, share, setting, log))
        for shape in SHAPES[:2]:
            axis = AxisKernel(coded, shape)
            log = np.log((self.cold if beliefs or not len(tasks) else 1.0) / 2)
            beliefs.append(cold_belief(axis, len(candidates), log))
        return Session(beliefs, self._log_seconds(of, known, candidates), bool(self.per_second), first), why

    def _settings(self, axes: Axes, known: list[Candidate], z: np.ndarray, tasks: np.ndarray):
        key = "settings", _named(axes)
        if key not in self._learned:
            groups = [self.history.groups[i] for i in tasks]
            self._learned[key] = learned(known, z, groups, self.seed, self.processes)
        return self._learned[key]

    def _relation(self, axes: Axes, z: np.ndarray, tasks: np.ndarray) -> Relation:
        key = "relation", _named(axes)
        if key not in self._learned:
            of = self.history
            profiles, groups, names = ([each[i] for i in tasks] for each in (of.profiles, of.groups, of.tasks))
            self._learned[key] = Relation(profiles, groups, names, z)
        return self._learned[key]

    def resumed(self, profile: Profile, axes: Axes) -> tuple[list[Candidate], Session, tuple[str, ...]]:
        """The candidates considered (past, new and tried), the session over them after the trials told so far, and
        lines for the report.
        """
        trials = {k: t for k, t in self._trials.items() if fits(t.candidate, axes)}
        of = inside(self.history, axes, self.limit)
        pool = {self.history.candidates[i].id: self.history.candidates[i] for i in of}
        pool |= {k: t.candidate for k, t in trials.items()} | {c.id: c for c in self._pending(axes)}
        done = sorted((t for t in trials.values() if t.score is not None), key=lambda t: -(t.score or 0.0))
        failed = [t for t in trials.values() if t.score is None]
        good = [t.candidate for t in done[:10]]
        if not good and len(of):
            mean = normal_scores(self.history, of)[0].mean(axis=0)
            good = [self.history.candidates[of[i]] for i in np.argsort(-mean, kind="stable")[:10]]
        rng = np.random.default_rng(self.seed)
        near = prior_from_list(axes, good, top_weights(len(good)))
        base = self._base(profile, axes)
        for candidate in (*base.portfolio, *new_candidates(axes, good, near, base, self.fresh, rng)):
            pool.setdefault(candidate.id, candidate)
        candidates = list(pool.values())
        session, why = self.session(profile, candidates, axes)
        place = {key: i for i, key in enumerate(pool)}
        scores = full_length(done)
        for trial, score in itertools.islice(zip(done, scores, strict=True), self.most_trials):
            session.observe(place[trial.candidate.id], score, trial.seconds)
        for trial in failed[: self.most_trials]:
            session.observe(place[trial.candidate.id], None)
        return candidates, session, why

    def _log_seconds(self, of: np.ndarray, known: list[Candidate], candidates: Sequence[Candidate]) -> np.ndarray:
        """Expected ln(seconds) of each candidate, (C,); that of its family where it never ran."""
        apart, level = log_seconds(self.history, of)
        by_id = {c.id: float(v) for c, v in zip(known, apart, strict=True)}
        of_family: dict[str, list[float]] = {}
        for c, v in zip(known, apart, strict=True):
            of_family.setdefault(c.family, []).append(float(v))
        family = {name: float(np.mean(values)) for name, values in of_family.items()}
        return np.array([level + by_id.get(c.id, family.get(c.family, 0.0)) for c in candidates])


def _told(trial: Trial) -> tuple[bool, int]:
    """How much a trial tells of its candidate."""
    return trial.score is not None, trial.fidelity


def chance_of_best(mean: np.ndarray, sd: np.ndarray, rng: np.random.Generator, draws: int = 1000) -> np.ndarray:
    """How often each candidate is the best, (C,), when scores are drawn on their own: what is uncertain gets its share.

    Thompson's (1933) rule. Taking the highest means instead would put all weight on the neighbours of one candidate.
    """
    best = (mean + sd * rng.standard_normal((draws, len(mean)))).argmax(axis=1)
    return np.bincount(best, minlength=len(mean)) / draws


def varied(ranked: Sequence[Candidate], given: Sequence[str]) -> list[Candidate]:
    """The list with the best of each family that was not ``given`` yet, to run or running, moved to its front, until
    VARIED are.

    An ensemble of unlike networks errs less than its members (Krogh and Vedelsby 1995), and a family that past tasks
    put a little behind may be ahead on this one: both are lost when all of a short search goes to one family.
    """
    seen, front = set(given), []
    for candidate in ranked:  # the first one stays the first
        if len(seen) >= VARIED:
            break
        if candidate.family not in seen:
            front.append(candidate)
            seen.add(candidate.family)
    return [*front, *(c for c in ranked if c not in front)]


def least_regret(known: Sequence[Candidate], regret: np.ndarray, candidates: Sequence[Candidate]) -> np.ndarray | None:
    """What each candidate promises as the very first, (C,): less expected ``regret``, (known,), in units of its
    standard deviation; -inf for those never run. None when none of them was.

    The first one is chosen by what it may cost, as a portfolio's is. By ranks a small loss on most tasks outweighs a
    large one on few.
    """
    value = {c.id: -float(r) for c, r in zip(known, regret / max(float(regret.std()), 1e-9), strict=True)}
    found = np.array([value.get(c.id, -np.inf) for c in candidates])
    return found if np.isfinite(found).any() else None


def _named(axes: Axes) -> tuple:
    """What of a space decides which past candidates are inside."""
    return tuple((family, of) for family, of in axes.items())


def warm_belief(
    candidates: Coded, z: np.ndarray, doubt: np.ndarray, share: np.ndarray, setting: Setting, log: float
) -> Belief:
    """The belief of a Setting: past surfaces ``z`` (tasks, C), each counted by ``share`` (tasks,), a sum of 1."""
    axis = AxisKernel(candidates, setting.shape)
    every = np.arange(z.shape[1])
    mean = share @ z
    apart = z - mean
    spread = apart * np.sqrt((1 - setting.shrink**2) * share)[:, None]
    means, logs = mean[None], np.zeros(1)
    if setting.shrink:
        most = np.argsort(-share, kind="stable")[:MOST_MEANS]
        means, logs = mean + setting.shrink * apart[most], np.log(share[most] / share[most].sum())

    def column(j: int) -> np.ndarray:
        one = np.array([j])
        own = kernel_block(axis, z, setting.reach, every, one)[:, 0]
        return spread.T @ spread[:, j] + setting.own * own

    diagonal = (spread * spread).sum(axis=0) + setting.own
    return Belief(means, logs + log, column, diagonal, setting.noise + doubt)


def cold_belief(axis: AxisKernel, count: int, log: float) -> Belief:
    """The belief without a past: the same mean everywhere, likeness by choices alone."""
    every = np.arange(count)
    return Belief(
        np.zeros((1, count)),
        np.array([log]),
        lambda j: axis.block(every, np.array([j]))[:, 0],
        np.ones(count),
        np.full(count, COLD_NOISE),
        past=False,
    )


def extended(
    known: list[Candidate], z: np.ndarray, candidates: Sequence[Candidate], setting: Setting, anchors: int = 400
) -> tuple[np.ndarray, np.ndarray]:
    """Past surfaces over ``candidates``, (tasks, C), and the variance that was guessed, (C,).

    Candidates never run get the Gaussian-process mean over their choices (kriging) from up to ``anchors``
    that were: the best on average and others evenly. It bounds the time, which grows with their cube.
    """
    place = {c.id: i for i, c in enumerate(known)}
    at = np.array([place.get(c.id, -1) for c in candidates], dtype=np.int64)
    out, doubt = np.zeros((len(z), len(candidates))), np.zeros(len(candidates))
    new = np.flatnonzero(at < 0)
    out[:, at >= 0] = z[:, at[at >= 0]]
    if not len(new) or not len(z):
        return out, doubt
    order = np.argsort(-z.mean(axis=0), kind="stable")
    rest = order[anchors // 2 :]
    base = np.r_[order[: anchors // 2], rest[:: max(1, len(rest) // (anchors // 2))][: anchors // 2]]
    axis = AxisKernel([*(known[int(i)] for i in base), *(candidates[int(i)] for i in new)], setting.shape)
    b, n = np.arange(len(base)), np.arange(len(base), len(base) + len(new))
    across = axis.block(n, b)
    weight = np.linalg.solve(axis.block(b, b) + COLD_NOISE * np.eye(len(b)), across.T).T
    level = z[:, base].mean(axis=1, keepdims=True)
    out[:, new] = level + (z[:, base] - level) @ weight.T
    doubt[new] = np.clip(1 - (weight * across).sum(axis=1), 0, 1)
    return out, doubt


def full_length(trials: Sequence[Trial]) -> list[float]:
    """Scores as if all had the most epochs of any.

    A shorter trial is moved by the mean gain of the longer ones since that epoch, read from their curves: those of its
    own family if there are any, because families learn at different paces.
    """
    longest = max((t.fidelity for t in trials), default=0)
    full = [t for t in trials if t.fidelity == longest and len(t.curve) == longest]
    gain: dict[tuple[str, int], float] = {}
    scores = []
    for trial in trials:
        at, family = trial.fidelity, trial.candidate.family
        if (family, at) not in gain:
            like = [t for t in full if t.candidate.family == family] or full
            known = like and 0 < at < longest
            gain[family, at] = float(np.mean([t.curve[-1] - t.curve[at - 1] for t in like])) if known else 0.0
        scores.append((trial.score or 0.0) + gain[family, at])
    return scores
