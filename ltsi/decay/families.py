"""What is maximised: how far the returns in an age bin may lie from what a hazard expects there.

In age bin b with exposure `E_b` the expected number of returns is `μ_b = E_b · h̄_b`, where `h̄_b` is the mean hazard
over the bin. Each family gives its objective as a function of `h̄_b`, with the first derivative and the expected
curvature: Fisher scoring needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ltsi.decay.forms import Floats

_TINY = 1e-100
"""Less than this no hazard is taken for; its inverse times the square of any exposure is still a finite number."""

_CERTAIN = 1.0 - 1e-9

Terms = tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class Family:
    """An objective, summed over the bins.

    Attributes:
        name: name in configs.
        terms: from returns, exposure and mean hazard, each `(P, B)`, to the objective, its derivative by the mean
            hazard and its expected curvature, each `(P, B)`.
        variance: of the returns per unit of exposure, from the mean hazard.
    """

    name: str
    terms: Callable[[Floats, Floats, Floats], Terms]
    variance: Callable[[Floats], Floats]


def _poisson(returns: Floats, exposure: Floats, mean: Floats) -> Terms:
    expected = np.maximum(exposure * mean, _TINY)
    value = returns * np.log(expected) - expected
    return value, (returns / expected - 1.0) * exposure, exposure / expected * exposure


def _binomial(returns: Floats, exposure: Floats, mean: Floats) -> Terms:
    chance = np.clip(mean, _TINY, _CERTAIN)
    missed = exposure - returns
    value = returns * np.log(chance) + missed * np.log1p(-chance)
    slope = returns / chance - missed / (1.0 - chance)
    return value, slope, exposure / (chance * (1.0 - chance))


def _least_squares(returns: Floats, exposure: Floats, mean: Floats) -> Terms:
    # A bin's hazard has variance h / E; with h the entity's overall hazard the weights do not depend on the fit.
    overall = np.maximum(returns.sum(-1, keepdims=True), 1.0) / np.maximum(exposure.sum(-1, keepdims=True), _TINY)
    weight = exposure / overall
    error = returns / np.maximum(exposure, _TINY) - mean
    return -0.5 * weight * error**2, weight * error, weight


POISSON = Family("poisson", _poisson, lambda mean: mean)
"""Piecewise-exponential survival (Holford 1980, "The analysis of rates and survivorship using log-linear models")."""

BINOMIAL = Family("binomial", _binomial, lambda mean: mean * (1.0 - np.minimum(mean, _CERTAIN)))
"""Exposure counted in trials, each of which returns with chance `h̄_b`."""

LEAST_SQUARES = Family("least_squares", _least_squares, lambda mean: mean)
"""Non-linear least squares of the observed hazard, each bin weighted by its exposure."""
