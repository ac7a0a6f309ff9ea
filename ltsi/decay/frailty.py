"""Users who differ: every user's hazard is the entity's hazard times a factor drawn from a gamma distribution.

With factors of mean 1 and variance `α`, the returns of a user are negative binomial, with the exposure that the user
had (gamma frailty: Vaupel, Manton & Stallard 1979; for repeated events Cook & Lawless 2007, "The Statistical Analysis
of Recurrent Events", section 2.2.3). Leaving the differences out has a price: at high ages only the slow are still at
risk in open intervals and only the fast have short ones, so a pooled hazard falls faster than anybody's, and ends in a
tail that nobody has.

Fitted by EM: given the hazard, a user's expected factor is `(1/α + d) / (1/α + μ)` for `d` returns where `μ` were
expected; given the factors, the hazard is a Poisson fit to the exposure weighted with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from ltsi.decay.families import POISSON
from ltsi.decay.forms import Floats, Form
from ltsi.decay.likelihood import maximise
from ltsi.decay.pairs import Pairs

_ROUNDS = 300
_LEAST_GAIN = 1e-5
LEAST_VARIANCE, MOST_VARIANCE = 1e-4, 50.0
_STEP = 1e-3


@dataclass(frozen=True)
class Frail:
    """Fits with differing users, one for each of `N` entities.

    Attributes:
        theta: `(N, K)`, log-parameters of the hazard of a user whose factor is 1.
        variance: `(N,)`, `α`, the variance of the factors.
        log_likelihood: `(N,)`, on the scale of `ltsi.decay.pairs.Pairs.log_likelihood`.
        exposure: `(N, B)`, exposure of each entity in each bin, weighted with the factors expected of the users.
    """

    theta: Floats
    variance: Floats
    log_likelihood: Floats
    exposure: Floats


def fit_frailty(form: Form, pairs: Pairs, returns: Floats, start: Floats) -> Frail:
    """Fits one form with differing users to `N` entities.

    Args:
        form: the hazard.
        pairs: the statistics by entity and user; users must not share groups.
        returns: `(N, B)`, returns in each age bin.
        start: `(N, K)`, log-parameters, such as those of the Poisson fit.
    """
    theta = start.copy()
    log_variance = np.full(len(start), np.log(0.3))
    best = np.full(len(start), -np.inf)
    for _ in range(_ROUNDS):
        hazard = form.mean_hazard(theta, pairs.edges)[0]
        log_variance = _climb_variance(pairs, pairs.expected(hazard), log_variance)
        shape = np.exp(-log_variance)[pairs.entity]
        factor = (shape + pairs.returns) / (shape + pairs.expected(hazard))
        exposure = pairs.weighted_exposure(factor)
        theta = maximise(form, returns, exposure, pairs.edges, theta, 1e-6).theta
        value = marginal(form, pairs, theta, log_variance)
        settled = np.all(value - best < _LEAST_GAIN)
        best = value
        if settled:
            break
    return Frail(theta, np.exp(log_variance), best, exposure)


def marginal(form: Form, pairs: Pairs, theta: Floats, log_variance: Floats) -> Floats:
    """Returns the log-likelihood of each entity with the users' factors integrated out, `(N,)`.

    Args:
        form: the hazard.
        pairs: the statistics.
        theta: `(N, K)`, log-parameters.
        log_variance: `(N,)`, `log α`.
    """
    hazard = form.mean_hazard(theta, pairs.edges)[0]
    expected = pairs.expected(hazard)
    conditional = pairs.by_entity(pairs.log_likelihood(hazard, POISSON) + expected)
    return conditional + pairs.by_entity(_mixed(pairs.returns, expected, log_variance[pairs.entity]))


def standard_errors(form: Form, pairs: Pairs, fit: Frail) -> Floats:
    """Returns the standard error of the first log-parameter, `(N,)`, from the curvature of the marginal likelihood.

    It is infinite where the likelihood is flat. A variance at its lower end, because users do not differ, is held
    there: the likelihood has no maximum in it.
    """
    at = np.concatenate([fit.theta, np.log(fit.variance)[:, None]], axis=1)
    size = at.shape[1]

    def value(shift: Floats) -> Floats:
        moved = at + shift
        return marginal(form, pairs, moved[:, :-1], moved[:, -1])

    steps = np.eye(size) * _STEP
    curvature = np.empty((len(at), size, size))
    for one in range(size):
        for other in range(one, size):
            parts = [value(a * steps[one] + b * steps[other]) * a * b for a in (1, -1) for b in (1, -1)]
            curvature[:, one, other] = curvature[:, other, one] = -sum(parts) / (4 * _STEP**2)
    errors = np.full(len(at), np.inf)
    differ = fit.variance > 1.1 * LEAST_VARIANCE
    for row, whole in enumerate(curvature):
        matrix = whole if differ[row] else whole[:-1, :-1]
        if np.all(np.isfinite(matrix)) and np.linalg.eigvalsh(matrix)[0] > 1e-8:
            errors[row] = np.sqrt(np.linalg.inv(matrix)[0, 0])
    return errors


def _mixed(returns: Floats, expected: Floats, log_variance: Floats) -> Floats:
    """Returns `log E[Z^d · exp(−Z · μ)]` for a gamma factor `Z` of mean 1."""
    shape = np.exp(-log_variance)
    value: Floats = (
        special.gammaln(shape + returns)
        - special.gammaln(shape)
        - returns * np.log(shape + expected)
        - shape * np.log1p(expected / shape)
    )
    return value


def _climb_variance(pairs: Pairs, expected: Floats, log_variance: Floats) -> Floats:
    """Returns the `log α` that fits best given what was expected, by golden-section search around the last."""
    low = np.maximum(log_variance - 1.5, np.log(LEAST_VARIANCE))
    high = np.minimum(log_variance + 1.5, np.log(MOST_VARIANCE))
    golden = (np.sqrt(5.0) - 1) / 2

    def value(at: Floats) -> Floats:
        return pairs.by_entity(_mixed(pairs.returns, expected, at[pairs.entity]))

    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = value(left), value(right)
    for _ in range(12):
        better = at_left > at_right
        high, low = np.where(better, right, high), np.where(better, low, left)
        left, right = high - golden * (high - low), low + golden * (high - low)
        at_left, at_right = value(left), value(right)
    found: Floats = (low + high) / 2
    return found
