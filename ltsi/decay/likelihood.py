"""Maximum likelihood of a return hazard, for many entities or bootstrap replicates at once.

In age bin b with exposure E_b (days at risk) the number of returns d_b has the mean `μ_b = E_b · h̄_b`, where `h̄_b` is
the mean hazard over the bin. An interval censored at the end of the log adds exposure and no return.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.families import POISSON, Family
from ltsi.decay.forms import Floats, Form, bounds
from ltsi.decay.forms import start as grid_start

_MAX_STEPS = 200
EXACT, ROUGH = 1e-9, 1e-4
"""Stop where a step promises less gain in log-likelihood: ROUGH is still within about 1% of a standard error."""

_LEAST_DAMPING = 1e-6
_LONGEST_STEP = 2.0
_FITS_AT_ONCE = 512


@dataclass(frozen=True)
class Maximum:
    """Maxima of the likelihood, one for each of `P` fits.

    Attributes:
        theta: `(P, K)`, log-parameters.
        log_likelihood: `(P,)`, up to a constant that depends on the data only.
        at_bound: bool `(P, K)`, parameters that ran into a bound.
    """

    theta: Floats
    log_likelihood: Floats
    at_bound: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

    def of(self, places: NDArray[np.int64]) -> Maximum:
        """Returns the maxima at some places."""
        return Maximum(self.theta[places], self.log_likelihood[places], self.at_bound[places])

    def better(self, other: Maximum) -> Maximum:
        """Returns for each fit the higher of two maxima of one form."""
        higher = other.log_likelihood > self.log_likelihood
        return Maximum(
            np.where(higher[:, None], other.theta, self.theta),
            np.where(higher, other.log_likelihood, self.log_likelihood),
            np.where(higher[:, None], other.at_bound, self.at_bound),
        )

    def aic(self) -> Floats:
        """Returns Akaike's criterion, `2K − 2 log L`, `(P,)`."""
        value: Floats = 2.0 * self.theta.shape[1] - 2.0 * self.log_likelihood
        return value

    def bic(self, returns: Floats) -> Floats:
        """Returns Schwarz's criterion, `K · ln n − 2 log L`, `(P,)`; `n` is the number of returns.

        In survival data the information grows with the events, not with the censored intervals (Volinsky & Raftery
        2000, "Bayesian information criterion for censored survival models").
        """
        value: Floats = self.theta.shape[1] * np.log(np.maximum(returns, 1.0)) - 2.0 * self.log_likelihood
        return value


def maximise(
    form: Form,
    returns: Floats,
    exposure: Floats,
    edges: Floats,
    start: Floats | None = None,
    least_gain: float = EXACT,
    family: Family = POISSON,
    held: Floats | None = None,
) -> Maximum:
    """Fits one form to many tables of returns and exposure.

    Fisher scoring with Levenberg's damping: the expected information is never negative definite, so a damped step
    always climbs.

    Args:
        form: the hazard.
        returns: `(P, B)`, returns in each age bin.
        exposure: `(P, B)`, exposure in each age bin.
        edges: `(B + 1,)`, edges of the bins in days.
        start: `(P, K)` log-parameters to start from; by default a grid search for each fit.
        least_gain: a fit is done when a step promises less than this in log-likelihood.
        family: what is maximised.
        held: `(P,)`, a value at which the first log-parameter is held, for a profile.

    Returns:
        The maxima.
    """
    parts = []
    for first in range(0, len(returns), _FITS_AT_ONCE):
        rows = slice(first, first + _FITS_AT_ONCE)
        counts, days = returns[rows], exposure[rows]
        begin = grid_start(form, counts, days, edges) if start is None else start[rows]
        low, high = bounds(form, counts, days, edges)
        if held is not None:
            low[:, 0] = high[:, 0] = held[rows]
        parts.append(_Climb(form, counts, days, edges, family, low, high).run(begin, least_gain))
    if not parts:
        empty = np.empty((0, len(form.parameters)))
        return Maximum(empty, np.empty(0), empty.astype(bool))
    return Maximum(
        theta=np.concatenate([part.theta for part in parts]),
        log_likelihood=np.concatenate([part.log_likelihood for part in parts]),
        at_bound=np.concatenate([part.at_bound for part in parts]),
    )


def information(
    form: Form, theta: Floats, returns: Floats, exposure: Floats, edges: Floats, family: Family = POISSON
) -> Floats:
    """Returns the expected information of the log-parameters, `(P, K, K)`."""
    return _score(form, returns, exposure, edges, theta, family)[2]


@dataclass(frozen=True)
class _Climb:
    """One climb of many fits side by side, inside a box."""

    form: Form
    returns: Floats
    exposure: Floats
    edges: Floats
    family: Family
    low: Floats
    high: Floats

    def run(self, start: Floats, least_gain: float) -> Maximum:
        low, high = self.low, self.high
        theta = np.clip(start, low, high)
        active = np.arange(len(theta))
        value, gradient, matrix = self._score(active, theta)
        damping = np.full(len(theta), 1e-3)
        for _ in range(_MAX_STEPS):
            if not len(active):
                break
            at, uphill = theta[active], gradient[active]
            trial = at + _step(at, low[active], high[active], uphill, matrix[active], damping[active])
            new = self._score(active, trial)
            better = new[0] >= value[active]
            rows = active[better]
            theta[rows] = trial[better]
            value[rows], gradient[rows], matrix[rows] = (part[better] for part in new)
            damping[active] = np.where(better, np.maximum(damping[active] * 0.2, _LEAST_DAMPING), damping[active] * 8.0)
            promised = (uphill * (trial - at)).sum(axis=1)
            # Of parameters sent to their edges together a step may promise a loss: damped more, the next one climbs.
            active = active[np.abs(promised) > least_gain]
        return Maximum(theta, value, (theta <= low + 1e-6) | (theta >= high - 1e-6))

    def _score(self, rows: NDArray[np.int64], theta: Floats) -> tuple[Floats, Floats, Floats]:
        return _score(self.form, self.returns[rows], self.exposure[rows], self.edges, theta, self.family)


def _score(
    form: Form, returns: Floats, exposure: Floats, edges: Floats, theta: Floats, family: Family
) -> tuple[Floats, Floats, Floats]:
    """Returns the objective `(P,)`, its gradient `(P, K)` and the expected information `(P, K, K)`."""
    mean, slopes = form.mean_hazard(theta, edges)
    value, pull, curvature = family.terms(returns, exposure, mean)
    gradient = (slopes @ pull[..., None])[..., 0]
    return value.sum(-1), gradient, (slopes * curvature[:, None, :]) @ slopes.transpose(0, 2, 1)


def _step(at: Floats, low: Floats, high: Floats, gradient: Floats, information: Floats, damping: Floats) -> Floats:
    """Returns the damped step inside the box of the bounds and the longest step.

    A parameter whose step would leave the box goes to its edge, and the step of the others is solved again given that:
    cut off independently, they would no longer climb together.
    """
    least, most = np.maximum(low - at, -_LONGEST_STEP), np.minimum(high - at, _LONGEST_STEP)
    # A damped diagonal that is never zero keeps the system solvable where a parameter has no influence.
    scale = np.maximum(np.einsum("pkk->pk", information), 1e-12)
    identity = np.eye(at.shape[1])
    matrix = information + identity * (scale * damping[:, None])[:, :, None]
    step, fixed = np.zeros_like(at), np.zeros(at.shape, dtype=bool)
    for _ in range(at.shape[1]):
        given = np.where(fixed, step, 0.0)
        remaining = np.where(fixed, step, gradient - (matrix @ given[..., None])[..., 0])
        free = ~fixed[:, :, None] & ~fixed[:, None, :]
        system = np.where(free, matrix, 0.0) + identity * fixed[:, :, None]
        solved = np.linalg.solve(system, remaining[..., None])[..., 0]
        leaves = (solved < least) | (solved > most)
        step = np.clip(solved, least, most)
        if not (leaves & ~fixed).any():
            break
        fixed |= leaves
    return step
