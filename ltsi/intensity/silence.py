"""How long an interest that is alive may keep silent.

An interest has events at a rate that differs from series to series as a gamma distribution does, so the gaps of a
series follow a Lomax distribution, and a series with gaps of its own has a posterior in closed form.

Interests end unseen, after an event of theirs: with one probability after the first (many a thing is looked at once)
and with another after each later one. Only the fit needs to know, lest the silence of those that ended pass for that
of the living. Each series counts once: were each gap counted once, those that come often would speak for all, and a
gap that the log cuts off would not be heard.

Shape suffixes: S series, E entities, N different series.
Sources: Schmittlein, Morrison & Colombo 1987, "Counting your customers: who are they and what will they do next?",
whose customers buy at gamma rates until they leave; Fader, Hardie & Lee 2005, "Counting Your Customers the Easy Way",
whose customers leave after a purchase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import digamma, expit, gammaln, log_expit

from ltsi.intensity.series import IntensitySeries

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR_SERIES = 20.0
"""Series that are as good as known about an entity: its rates are drawn towards those of all."""

SAMPLE = 50_000
"""Series that the distribution is fitted on, at most."""

ROUNDS, STEPS = 3, 20
"""Of fitting what entities have in common and what they differ in by turns; and of steps towards the latter."""

BOUNDS = [(-2.0, 5.0), (-3.0, 12.0), (-12.0, 5.0), (-12.0, 5.0)]
"""Of log shape, log scale, and the log odds of an end after the first event and after a later one."""


class Gaps(NamedTuple):
    """What is known of the gaps between the active bins of each series.

    Attributes:
        count_S: gaps that it had, n.
        lasted_S: their length together, bins, b.
        silent_S: bins since the last active one, w.
    """

    count_S: Floats
    lasted_S: Floats
    silent_S: Floats


@dataclass(frozen=True)
class Silence:
    """Gamma distribution of the rate of an interest that is alive, by entity.

    Attributes:
        shape: of the gamma distribution, the same for all entities.
        scale_E: `(E,)`, bins; its rate parameter.
    """

    shape: float
    scale_E: Floats

    def probability(self, entity_S: Ints, gaps_S: Floats, lasted_S: Floats, silent_S: Floats) -> Floats:
        """Returns the probability that a living interest keeps silent as long.

        `P(gap ≥ w | n gaps of b bins together) = ((β + b) / (β + b + w))^(α + n)`.

        Args:
            entity_S: entity of each series.
            gaps_S: gaps that it had, n.
            lasted_S: their length together, b.
            silent_S: the silence asked about, w.
        """
        scale = self.scale_E[entity_S] + lasted_S
        return np.asarray((scale / (scale + silent_S)) ** (self.shape + gaps_S))


def gaps(series: IntensitySeries) -> Gaps:
    """Measures the gaps of all series."""
    last_S = series.bin_M[series.offsets[1:] - 1]
    count_S, lasted_S = np.diff(series.offsets) - 1.0, (last_S - series.first_S).astype(np.float64)
    return Gaps(count_S, lasted_S, (series.bins.count - 1 - last_S).astype(np.float64))


def fit_silence(series: IntensitySeries) -> Silence:
    """Fits the gaps of all series, the open ones included, by maximum marginal likelihood.

    Args:
        series: where no series has two active bins, gaps are taken to be of one bin and half as many again.
    """
    n_entities = len(series.entities.labels)
    seen = gaps(series)
    if not seen.count_S.any():
        return Silence(2.0, np.full(n_entities, 1.5))
    entity_S = series.entity_S
    chosen = np.arange(len(series))
    if len(chosen) > SAMPLE:
        # Every k-th would do as badly as it could where each user has k entities.
        chosen = np.sort(np.random.default_rng(0).choice(chosen, SAMPLE, replace=False))
    theta = np.array([0.0, np.log(seen.lasted_S.sum() / seen.count_S.sum() + 1), -1.5, -1.5])
    size_E = np.ones(n_entities)
    for _ in range(ROUNDS if n_entities > 1 else 1):
        theta = _common(theta, Gaps(*(column[chosen] for column in seen)), size_E[entity_S[chosen]])
        size_E = _sizes(theta, seen, entity_S, size_E)
    return Silence(float(np.exp(theta[0])), float(np.exp(theta[1])) * size_E)


def _common(theta: Floats, seen: Gaps, size_S: Floats) -> Floats:
    """Returns the most likely log shape, log scale and log odds of an end, for known relative sizes of the scale."""
    (*columns, size_N), times_N = np.unique(np.stack([*seen, size_S]), axis=1, return_counts=True)
    share_N = times_N / times_N.sum()

    def loss(theta: Floats) -> tuple[float, Floats]:
        value_N, slope_4N = _log_marginal(theta, Gaps(*columns), size_N)
        return -float(value_N @ share_N), -(slope_4N @ share_N)

    return np.asarray(optimize.minimize(loss, theta, jac=True, method="L-BFGS-B", bounds=BOUNDS).x)


def _log_marginal(theta: Floats, seen: Gaps, size_S: Floats) -> tuple[Floats, Floats]:
    """Returns the log marginal likelihood of each series `(S,)`, and its slopes by theta `(4, S)`.

    `Γ(α + n) / Γ(α) · β^α · (A (β + b + w)^−(α + n) + D (β + b)^−(α + n))`, with A the probability that no event ended
    the interest and D that the last one did.

    Args:
        theta: log shape, log scale, and the log odds of an end after the first event and after a later one.
        seen: the series.
        size_S: what the scale is multiplied by.
    """
    n = seen.count_S
    shape, scale_S = np.exp(theta[0]), np.exp(theta[1]) * size_S
    either_S, alive_S, rate_S = _alive(theta, seen, size_S)
    before_S = scale_S + seen.lasted_S
    value_S = gammaln(shape + n) - gammaln(shape) + shape * np.log(scale_S) + either_S
    waited_S = alive_S * np.log(before_S + seen.silent_S) + (1 - alive_S) * np.log(before_S)
    slopes = [
        shape * (digamma(shape + n) - digamma(shape) + np.log(scale_S) - waited_S),
        shape - scale_S * rate_S,
        (1 - alive_S) * (n == 0) - expit(theta[2]),
        (1 - alive_S) * (n > 0) - n * expit(theta[3]),
    ]
    return value_S, np.stack(slopes)


def _alive(theta: Floats, seen: Gaps, size_S: Floats) -> tuple[Floats, Floats, Floats]:
    """Returns the logarithm of the bracket of `_log_marginal`, the probability of being alive, and the expected rate.

    Args:
        theta: see `_log_marginal`.
        seen: the series.
        size_S: what the scale is multiplied by.
    """
    n = seen.count_S
    before_S, power_S = np.exp(theta[1]) * size_S + seen.lasted_S, np.exp(theta[0]) + n
    after_S = before_S + seen.silent_S
    first, later = theta[2:]
    lived_S = log_expit(-first) + n * log_expit(-later) - power_S * np.log(after_S)
    # The last event ended it, and those before did not.
    end_S = np.where(n > 0, log_expit(-first) + (n - 1) * log_expit(-later) + log_expit(later), log_expit(first))
    ended_S = end_S - power_S * np.log(before_S)
    either_S = np.logaddexp(lived_S, ended_S)
    alive_S = np.exp(lived_S - either_S)
    return either_S, alive_S, power_S * (alive_S / after_S + (1 - alive_S) / before_S)


def _sizes(theta: Floats, seen: Gaps, entity_S: Ints, size_E: Floats) -> Floats:
    """Returns how much larger the scale of each entity is than that of all, by expectation and maximisation.

    Each step divides the number of series by the sum of their expected rates, those of the prior included.

    Args:
        theta: see `_log_marginal`.
        seen: the series.
        entity_S: entity of each.
        size_E: where to begin.
    """
    shape, scale = np.exp(theta[:2])
    known_E = np.bincount(entity_S, minlength=len(size_E)) + PRIOR_SERIES
    for _ in range(STEPS):
        rate_S = _alive(theta, seen, size_E[entity_S])[2]
        rates_E = np.bincount(entity_S, weights=rate_S, minlength=len(size_E)) + PRIOR_SERIES * shape / scale
        size_E = shape * known_E / rates_E / scale
    return size_E
