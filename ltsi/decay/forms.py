"""Forms of the return hazard: how the rate of coming back depends on the time since the last visit.

Every form is written over the logarithms of its parameters, so that all of them stay positive. Letters of the shapes:
`P` fits side by side, `B` age bins, `K` parameters.

A form gives its mean over each age bin, not its value at the bin's middle. The expected number of returns in a bin is
then the exposure times the mean, and wide bins do not bias the rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.curves import LN2

Floats = NDArray[np.float64]

SLOWEST_HALF_LIFE = 10.0
"""Half-lives beyond this many times the longest age cannot be told from a hazard that does not fall."""

_GRID_RATES = 20
_EM_STEPS = 30
_TINY = 1e-300


class Form(Protocol):
    """A parametric hazard, evaluated for many fits at once."""

    @property
    def name(self) -> str:
        """Name in configs and tables."""
        ...

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters whose logarithms are fitted, in order; `rate_per_day` is the first."""
        ...

    def hazard(self, theta: Floats, age: Floats) -> Floats:
        """Returns the hazard per day, `(P, ages)`, for log-parameters `(P, K)` at ages in days."""
        ...

    def mean_hazard(self, theta: Floats, edges: Floats) -> tuple[Floats, Floats]:
        """Returns the mean hazard in each bin, `(P, B)`, and its derivatives by the log-parameters, `(P, K, B)`."""
        ...

    def start(self, returns: Floats, exposure: Floats, edges: Floats) -> Floats:
        """Returns log-parameters `(P, K)` near the maximum of the likelihood, found on a grid of rates."""
        ...

    def bounds(self, returns: Floats, exposure: Floats, edges: Floats) -> tuple[Floats, Floats]:
        """Returns the lowest and highest log-parameters, each `(P, K)`."""
        ...


@dataclass(frozen=True)
class Exponential:
    """`h(age) = a · exp(−λ · age)`."""

    name: str = "exponential"
    parameters: tuple[str, ...] = ("rate_per_day", "amplitude")

    def hazard(self, theta: Floats, age: Floats) -> Floats:
        """See `Form.hazard`."""
        rate, amplitude = np.exp(theta[:, :1]), np.exp(theta[:, 1:2])
        value: Floats = amplitude * np.exp(-rate * age)
        return value

    def mean_hazard(self, theta: Floats, edges: Floats) -> tuple[Floats, Floats]:
        """See `Form.mean_hazard`."""
        amplitude = np.exp(theta[:, 1:2])
        mean, slope = _mean_decay(np.exp(theta[:, :1]), edges)
        value = amplitude * mean
        return value, np.stack([amplitude * slope, value], axis=1)

    def start(self, returns: Floats, exposure: Floats, edges: Floats) -> Floats:
        """See `Form.start`; given the rate, the best amplitude has a closed form."""
        rates = _rate_grid(edges)
        expected = exposure[:, None, :] * _mean_decay(rates[:, None], edges)[0]
        amplitude = np.maximum(returns.sum(-1)[:, None], _TINY) / np.maximum(expected.sum(-1), _TINY)
        fit = _log_likelihood(returns[:, None, :], amplitude[..., None] * expected)
        best = np.argmax(fit, axis=1)
        chosen = np.take_along_axis(amplitude, best[:, None], axis=1)[:, 0]
        return np.stack([np.log(rates[best]), np.log(chosen)], axis=1)

    def bounds(self, returns: Floats, exposure: Floats, edges: Floats) -> tuple[Floats, Floats]:
        """See `Form.bounds`."""
        slowest, fastest = rate_bounds(edges)
        overall = _overall_rate(returns, exposure)
        low = np.stack([np.full_like(overall, slowest), overall * 1e-9], axis=1)
        high = np.stack([np.full_like(overall, fastest), overall * 1e12], axis=1)
        return np.log(low), np.log(high)


@dataclass(frozen=True)
class ExponentialFloor:
    """`h(age) = f + a · exp(−λ · age)`: what fades, above a rate that does not."""

    name: str = "exponential_floor"
    parameters: tuple[str, ...] = ("rate_per_day", "amplitude", "floor")

    def hazard(self, theta: Floats, age: Floats) -> Floats:
        """See `Form.hazard`."""
        value: Floats = Exponential().hazard(theta, age) + np.exp(theta[:, 2:3])
        return value

    def mean_hazard(self, theta: Floats, edges: Floats) -> tuple[Floats, Floats]:
        """See `Form.mean_hazard`."""
        value, slopes = Exponential().mean_hazard(theta, edges)
        floor = np.broadcast_to(np.exp(theta[:, 2:3]), value.shape)
        return value + floor, np.concatenate([slopes, floor[:, None, :]], axis=1)

    def start(self, returns: Floats, exposure: Floats, edges: Floats) -> Floats:
        """See `Form.start`; given the rate, amplitude and floor mix two Poisson sources, climbed by EM."""
        rates = _rate_grid(edges)
        counts, flat = returns[:, None, :], exposure[:, None, :]
        decaying = flat * _mean_decay(rates[:, None], edges)[0]
        decaying_sum, flat_sum = np.maximum(decaying.sum(-1), _TINY), np.maximum(flat.sum(-1), _TINY)
        half = np.maximum(counts.sum(-1), _TINY) / 2
        amplitude, floor = half / decaying_sum, np.broadcast_to(half / flat_sum, decaying_sum.shape)
        for _ in range(_EM_STEPS):
            ratio = counts / np.maximum(amplitude[..., None] * decaying + floor[..., None] * flat, _TINY)
            amplitude = np.maximum(amplitude * (ratio * decaying).sum(-1) / decaying_sum, _TINY)
            floor = np.maximum(floor * (ratio * flat).sum(-1) / flat_sum, _TINY)
        best = np.argmax(_log_likelihood(counts, amplitude[..., None] * decaying + floor[..., None] * flat), axis=1)
        chosen = [np.take_along_axis(value, best[:, None], 1)[:, 0] for value in (amplitude, floor)]
        return np.stack([np.log(value) for value in (rates[best], *chosen)], axis=1)

    def bounds(self, returns: Floats, exposure: Floats, edges: Floats) -> tuple[Floats, Floats]:
        """See `Form.bounds`."""
        low, high = Exponential().bounds(returns, exposure, edges)
        overall = np.log(_overall_rate(returns, exposure))[:, None]
        return np.concatenate([low, overall + np.log(1e-7)], 1), np.concatenate([high, overall + np.log(10.0)], 1)


FORMS: dict[str, Form] = {form.name: form for form in (Exponential(), ExponentialFloor())}


def rate_bounds(edges: Floats) -> tuple[float, float]:
    """Returns the slowest and the fastest rate per day that bins with these edges can show."""
    return LN2 / (SLOWEST_HALF_LIFE * float(edges[-1])), LN2 / float(edges[1] - edges[0])


def _mean_decay(rate: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """Returns the mean of `exp(−λ age)` over each bin and its derivative by `log λ`, `(P, B)` for rates `(P, 1)`."""
    low, high = edges[:-1], edges[1:]
    width = high - low
    at_low, at_high = np.exp(-rate * low), np.exp(-rate * high)
    mean = at_low * -np.expm1(-rate * width) / (rate * width)
    return mean, (high * at_high - low * at_low) / width - mean


def _rate_grid(edges: Floats) -> Floats:
    slowest, fastest = rate_bounds(edges)
    return np.geomspace(slowest, fastest, _GRID_RATES)


def _overall_rate(returns: Floats, exposure: Floats) -> Floats:
    days = exposure.sum(-1)
    rate: Floats = np.maximum(returns.sum(-1), 1.0) / np.where(days > 0, days, 1.0)
    return rate


def _log_likelihood(returns: Floats, expected: Floats) -> Floats:
    value: Floats = (returns * np.log(np.maximum(expected, _TINY)) - expected).sum(-1)
    return value
