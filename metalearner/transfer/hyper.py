"""The settings of ``transfer``, learned from past tasks by leaving one group out at a time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl.types import Candidate
from metalearner.transfer.belief import evidence_of
from metalearner.transfer.kernel import AxisKernel, AxisShape, Coded


@dataclass(frozen=True)
class Setting:
    """One Gaussian process over the candidates of a new task, in units of normal scores.

    Prior mean: one of the surfaces m + ``shrink`` (z_t - m), for past tasks t with mean surface m: the
    kernel density estimate of West (1993), whose covariance (1 - shrink^2) Cov(z) keeps the variance of the
    past as it is. Added:
    ``own`` times a kernel, for what no past task shows, and ``noise`` of each candidate alone. The kernel
    compares choices (``shape``) and, when ``reach`` > 0, also what two candidates did on past tasks:
    exp(-mean_t (z_ti - z_tj)^2 / 2 reach^2).
    """

    shape: AxisShape
    reach: float
    shrink: float
    own: float
    noise: float


# Grids by judgement; which of their points are taken is learned (``learned``). DEFAULT is for where nothing can be.
SHAPES = (AxisShape(True, 1.0), AxisShape(False, 1.0), AxisShape(True, 0.3), AxisShape(False, 0.3))
KERNELS = (*((s, 0.0) for s in SHAPES), *((s, r) for s in (SHAPES[0], SHAPES[1], SHAPES[3]) for r in (0.5, 1.0)))
SHRINK, OWN, NOISE = (0.0, 0.5, 0.8), (0.1, 0.3, 0.6, 1.0), (0.01, 0.03, 0.1, 0.3)
DEFAULT = Setting(SHAPES[0], 1.0, 0.5, 0.6, 0.1)
# By judgement, as the time of learning grows with each; with fewer the settings are those of a few tasks' luck.
TASKS, TOP, OTHERS = 8, 25, 25  # held-out tasks at most; candidates of each: from the top of the list, at random
MOST_MEANS = 64  # past surfaces that stand as prior means of their own; the covariance is that of all


def kernel_block(axis: AxisKernel, z: np.ndarray, reach: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The kernel of a Setting, float (len(rows), len(columns)). ``z``: past surfaces, (tasks, candidates)."""
    return _with_past(axis.block(rows, columns), z[:, rows], z[:, columns], reach)


def _with_past(likeness: np.ndarray, a: np.ndarray, b: np.ndarray, reach: float) -> np.ndarray:
    if not reach or not len(a):
        return likeness
    gap = ((a * a).sum(axis=0)[:, None] + (b * b).sum(axis=0) - 2 * a.T @ b) / len(a)
    return 0.5 * (likeness + np.exp(-np.maximum(gap, 0) / (2 * reach**2)))


def learned(
    candidates: Sequence[Candidate], z: np.ndarray, groups: Sequence[str], seed: int, keep: int
) -> list[tuple[Setting, float]]:
    """The ``keep`` best settings with different kernels, and their log-evidence relative to the best, best
    first.

    Evidence is that of a past task's scores on some candidates when its group is left out, a mean over
    tasks.
    """
    rng = np.random.default_rng(seed)
    names = np.array(groups)
    total: dict[Setting, float] = {}
    tested = 0
    for task in rng.permutation(len(z)):
        others = rng.permutation(np.flatnonzero(names != names[task]))
        if len(others) < 2 or tested == TASKS:
            continue
        tested += 1
        mean = z[others].mean(axis=0)
        some = np.unique(np.r_[np.argsort(-mean, kind="stable")[:TOP], rng.permutation(len(mean))[:OTHERS]])
        for setting, evidence in _evidence([candidates[i] for i in some], z[others][:, some], z[task, some]):
            total[setting] = total.get(setting, 0.0) + evidence
    if not tested:
        return [(DEFAULT, 0.0)]
    best: list[tuple[Setting, float]] = []
    for setting, evidence in sorted(total.items(), key=lambda item: -item[1]):
        if all((setting.shape, setting.reach) != (s.shape, s.reach) for s, _ in best):
            best.append((setting, evidence / tested))
    return [(s, e - best[0][1]) for s, e in best[:keep]]


def _evidence(candidates: list[Candidate], z: np.ndarray, y: np.ndarray):
    """Log-evidence of the scores ``y`` (candidates,) for every Setting, given past surfaces ``z``."""
    every = np.arange(len(y))
    mean = z.mean(axis=0)
    apart = z - mean
    past = apart.T @ apart / len(z)
    of = Coded(candidates)
    likeness = {shape: AxisKernel(of, shape).block(every, every) for shape in SHAPES}
    tails = list(itertools.product(OWN, NOISE))
    own, noise = (np.array(x)[:, None, None] for x in zip(*tails, strict=True))
    for shape, reach in KERNELS:
        kernel = _with_past(likeness[shape], z, z, reach)
        for shrink in SHRINK:
            means = mean + shrink * apart[:MOST_MEANS] if shrink else mean[None]
            stack = (1 - shrink**2) * past + own * kernel + noise * np.eye(len(y))
            factors = np.linalg.cholesky(stack + 1e-9 * np.eye(len(y)))
            right = np.vstack([np.ones_like(y), y, means]).T
            solved = np.linalg.solve(factors, np.broadcast_to(right, (len(tails), *right.shape)))
            evidence = evidence_of(solved[..., 1], solved[..., 0], np.swapaxes(solved[..., 2:], -1, -2), factors)[0]
            top = evidence.max(axis=1, keepdims=True)
            mixed = np.log(np.exp(evidence - top).mean(axis=1)) + top[:, 0]
            for (o, v), value in zip(tails, mixed.tolist(), strict=True):
                yield Setting(shape, reach, shrink, o, v), value
