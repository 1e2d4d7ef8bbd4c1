"""What is believed of one new task's scores, as a Gaussian process whose prior mean is one of many
surfaces.

>>> means = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])  # two past surfaces over three candidates
>>> alone = np.array([0.1, 0.1, 0.1])
>>> belief = Belief(means, np.log([0.5, 0.5]), lambda j: 0.1 * np.eye(3)[j], alone, np.array([0.01, 0.01, 0.01]))
>>> belief.observe(0); belief.observe(1)  # these candidates were run,
>>> evidence, posterior = belief.given(np.array([10.0, 30.0]))  # and scored so, in whatever unit
>>> bool(evidence[0] > evidence[1])  # the first surface explains it,
True
>>> int(posterior(np.array([0]))[0].argmax())  # so the third candidate should be best
2

The score's unit on the new task is unknown: y = (f - a) / x with shift a integrated out under a flat prior
and scale x > 0 at its most likely value, whose uncertainty enters the evidence by Laplace's approximation.
For prior mean m, covariance K (noise in it) and n scores, with <u, v> = u' K^-1 v - (1' K^-1 u)(1' K^-1 v)
/ (1' K^-1 1):

    log p(y | x) = (n - 1) log x - (x^2 <y,y> - 2 x <y,m> + <m,m>) / 2 - log|K| / 2 - log(1' K^-1 1) / 2 +
    constant

whose maximum is at x = (<y,m> + sqrt(<y,m>^2 + 4 (n - 1) <y,y>)) / (2 <y,y>).
(Rasmussen and Williams, Gaussian Processes, 2006, section 2.7, with a scale added.) A prior surface of the
wrong sign has <y,m> < 0 and so little evidence: that is what ends a negative transfer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
from scipy.linalg import solve_triangular

FLOOR = 1e-9  # of a variance: rounding may leave less than nothing, and its root is divided by


class Belief:
    """One covariance, ``means`` (M, C) as alternative prior means with log-weights (M,).

    ``column(j)``: prior covariance of candidate j with all, float (C,). ``diagonal``: prior variance, (C,),
    with the share that belongs to each candidate alone. ``noise``: variance of that share and of the
    measurement. ``past``: whether it was learned from past tasks.
    """

    def __init__(
        self,
        means: np.ndarray,
        log_weights: np.ndarray,
        column: Callable[[int], np.ndarray],
        diagonal: np.ndarray,
        noise: np.ndarray,
        past: bool = True,
    ) -> None:
        self.past = past
        self.means, self.log_weights, self._column, self._noise = means, log_weights, column, noise
        self._variance = diagonal + noise
        self._rows = np.zeros((16, means.shape[1]))  # L^-1 K[observed, :], the first ``_count`` rows
        self._count = 0
        self._factor = np.zeros((0, 0))
        self._ones = np.zeros(0)  # L^-1 1
        self._at = np.zeros((len(means), 0))  # L^-1 m[observed], per mean
        self._from_ones = np.zeros(means.shape[1])
        self._from_means = np.zeros_like(means)

    def observe(self, j: int) -> None:
        """Candidate ``j`` was run: one more row of the Cholesky factor, O(C (n + M))."""
        n = self._count
        column = self._column(j)
        head = self._rows[:n, j].copy()
        pivot = np.sqrt(max(column[j] + self._noise[j] - head @ head, FLOOR))
        row = (column - head @ self._rows[:n]) / pivot
        if n == len(self._rows):
            self._rows = np.vstack([self._rows, np.zeros_like(self._rows)])
        factor = np.zeros((n + 1, n + 1))
        factor[:n, :n], factor[n, :n], factor[n, n] = self._factor, head, pivot
        one = (1 - head @ self._ones) / pivot
        at = (self.means[:, j] - self._at @ head) / pivot
        self._factor = factor
        self._rows[n], self._count = row, n + 1
        self._ones = np.append(self._ones, one)
        self._at = np.hstack([self._at, at[:, None]])
        self._variance = np.maximum(self._variance - row * row, FLOOR)
        self._from_ones += row * one
        self._from_means += at[:, None] * row

    def fork(self) -> Belief:
        """A copy that may observe more without this one knowing."""
        other = copy.copy(self)
        other._rows = self._rows.copy()
        other._variance, other._from_ones = self._variance.copy(), self._from_ones.copy()
        other._from_means = self._from_means.copy()
        return other

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation of each candidate's score, (C,)."""
        return np.sqrt(self._variance)

    def given_nothing(self) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """As ``given`` before any score is known."""
        return np.zeros(len(self.means)), lambda of: self.means[of]

    def given(self, y: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Log-evidence per prior mean (M,), and a function from indices of prior means (k,) to posterior
        means (k, C).

        ``y``: float (n,), the raw scores in the order of ``observe``.
        """
        if not self._count:
            return self.given_nothing()
        u = solve_triangular(self._factor, y, lower=True, check_finite=False)
        evidence, scale, shift = evidence_of(u, self._ones, self._at, self._factor)
        from_y = u @ self._rows[: self._count]

        def posterior(of: np.ndarray) -> np.ndarray:
            moved = scale[of, None] * from_y - shift[of, None] * self._from_ones
            return self.means[of] - self._from_means[of] + moved

        return evidence, posterior


def evidence_of(
    u: np.ndarray, ones: np.ndarray, at: np.ndarray, factor: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-evidence, scale x and shift a per prior mean, each (..., M).

    From whitened scores ``u`` and ``ones``, (..., n), whitened prior means ``at``, (..., M, n), and the Cholesky
    factor, (..., n, n); leading dimensions are alternatives that are worked out at once.
    """
    n = u.shape[-1]
    ones_ones, ones_y = (ones * ones).sum(-1, keepdims=True), (ones * u).sum(-1, keepdims=True)
    ones_at = (at @ ones[..., None])[..., 0]
    if n < 2:
        return np.zeros_like(ones_at), np.ones_like(ones_at), (ones_y - ones_at) / ones_ones
    square = (u * u).sum(-1, keepdims=True)
    yy = np.maximum(np.maximum(square - ones_y**2 / ones_ones, 1e-8 * square), 1e-30)  # all alike: finite all the same
    ym = (at @ u[..., None])[..., 0] - ones_at * ones_y / ones_ones
    mm = (at * at).sum(-1) - ones_at**2 / ones_ones
    scale = (ym + np.sqrt(ym**2 + 4 * (n - 1) * yy)) / (2 * yy)
    fit = (n - 1) * np.log(scale) - 0.5 * (yy * scale**2 - 2 * scale * ym + mm)
    laplace = -0.5 * np.log(yy + (n - 1) / scale**2) - np.log(scale)  # prior of the scale: flat in log x
    diagonal = np.diagonal(factor, axis1=-2, axis2=-1)
    volume = -np.log(diagonal).sum(-1, keepdims=True) - 0.5 * np.log(ones_ones)
    return fit + laplace + volume, scale, (scale * ones_y - ones_at) / ones_ones
