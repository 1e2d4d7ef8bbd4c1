"""Past tasks as dense matrices over one list of candidates."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from automl.types import Axes
from metalearner.past.history import History
from metalearner.prior import fits


def inside(history: History, axes: Axes, limit: int) -> np.ndarray:
    """Indices of the past candidates that are points of ``axes``, at most ``limit``, int (kept,),
    ascending.

    When there are too many, those run on most tasks are kept, and each task's three best before them.
    """
    of = np.array([i for i, c in enumerate(history.candidates) if fits(c, axes)], dtype=np.int64)
    if len(of) <= limit:
        return of
    count = np.bincount(history.candidate, minlength=len(history.candidates)).astype(float)
    order = np.lexsort((-history.rank, history.task))
    first = np.searchsorted(history.task[order], np.arange(len(history.tasks)))
    place = np.arange(len(order)) - first[history.task[order]]
    count[np.unique(history.candidate[order[place < 3]])] += len(history.tasks)
    return np.sort(of[np.argsort(-count[of], kind="stable")[:limit]])


def regrets(history: History, of: np.ndarray) -> np.ndarray:
    """Regret (best - score) / (best - worst) of each task, float (tasks, len(of)) in [0, 1].

    Best and worst are those of all that ran on the task, so that what else is in ``of`` changes nothing. A failure
    is 1. A pair never run gets the candidate's mean over the other tasks, drawn to 0.5 by one pseudo-task.
    """
    score = history.dense(of, history.score)
    ran = ~np.isnan(history.dense(of, history.rank))
    if not score.size:
        return np.zeros_like(score)
    best, worst = np.full((len(score), 1), -np.inf), np.full((len(score), 1), np.inf)
    went_well = ~np.isnan(history.score)
    np.maximum.at(best[:, 0], history.task[went_well], history.score[went_well])
    np.minimum.at(worst[:, 0], history.task[went_well], history.score[went_well])
    span = np.where(best > worst, best - worst, 1.0)
    regret = np.where(np.isnan(score), 1.0, (best - score) / span)
    return _filled(regret, ran, 0.5)


def normal_scores(history: History, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks within each task as normal quantiles, and where they were measured: two (tasks, len(of)).

    The Gaussian copula of Salinas et al. (2020, arXiv:1909.13595): what is alike between tasks is the
    order, not the unit. A task that ran few of the candidates is moved by the mean of those over the other
    tasks, because a search runs good ones. Pairs never run get the candidate's mean. Scaled to an overall
    standard deviation of 1.
    """
    count = np.bincount(history.task, minlength=len(history.tasks))[history.task]
    z = history.dense(of, ndtri((history.rank * (count - 1) + 0.5) / np.maximum(count, 1)))
    ran = ~np.isnan(z)
    if not ran.any():
        return np.zeros_like(z), ran
    for task in np.flatnonzero(ran.mean(axis=1) < 0.9):
        others = np.delete(np.arange(len(z)), task)
        total = np.where(ran[others], z[others], 0).sum(axis=0)
        mean = total / (ran[others].sum(axis=0) + 1)
        z[task] += mean[ran[task]].mean() if ran[task].any() else 0.0
    z = _filled(z, ran, 0.0)
    return z / max(float(z.std()), 1e-9), ran


def log_seconds(history: History, of: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean ln(seconds) of each of the candidates ``of`` relative to its tasks, (len(of),), and the mean level of tasks.

    A candidate that was never timed gets the mean of its family, or 0. Failures do not count: one that was found too
    slow before it trained took no time. 0 where nothing is known.
    """
    went_well = (history.seconds > 0) & ~np.isnan(history.score)
    seconds = history.dense(of, np.log(np.where(went_well, history.seconds, np.nan)))
    ran = ~np.isnan(seconds)
    if not ran.any():
        return np.zeros(len(of)), 0.0
    level = np.where(ran, seconds, 0).sum(axis=1) / np.maximum(1, ran.sum(axis=1))
    apart = np.where(ran, seconds - level[:, None], 0).sum(axis=0) / np.maximum(1, ran.sum(axis=0))
    timed = ran.any(axis=0)
    families = np.unique([history.candidates[i].family for i in of], return_inverse=True)[1]
    count = np.bincount(families[timed], minlength=families.max() + 1)
    mean = np.bincount(families[timed], apart[timed], minlength=families.max() + 1) / np.maximum(1, count)
    return np.where(timed, apart, mean[families]), float(level[ran.any(axis=1)].mean())


def expected_cost(history: History, of: np.ndarray) -> np.ndarray:
    """What a training of each candidate takes, in usual trainings of its task, (len(of),)."""
    return np.exp(log_seconds(history, of)[0])


def _filled(values: np.ndarray, ran: np.ndarray, middle: float) -> np.ndarray:
    mean = (np.where(ran, values, 0).sum(axis=0) + middle) / (ran.sum(axis=0) + 1)
    return np.where(ran, values, mean)
