"""The same rates for pairs that differ: each user has a level of their own for each entity.

Somebody who comes often leaves many traces, so a sum over all visits knows who comes often, whether or not a visit
brings the next one about. Whether interest adds up is therefore asked a second time with the rate of every pair of a
user and an entity multiplied by a gamma factor of mean 1 and variance `v`; what only tells pairs apart then has nothing
left to explain (true against apparent contagion: Cook & Lawless 2007, "The Statistical Analysis of Recurrent Events",
sections 2.2.3 and 5.2). With `d` returns of a pair where the rate integrates to `μ`, the factors integrate out to
`E[Z^d · exp(−Z · μ)] = Γ(c + d) / Γ(c) · c^c / (c + μ)^(c + d)`, `c = 1/v`.

Letters of the shapes: `P` pairs, `N` returns, `G` groups of users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import digamma, gammaln

from ltsi.decay.forms import Floats
from ltsi.decay.frailty import LEAST_VARIANCE, MOST_VARIANCE
from ltsi.decay.pairs import sums
from ltsi.decay.rate_fit import RateFit, RateModel, Traces

_GRID = 6
_PRECISION = 1e-3
_SHARES = (1e-6, 1.0 - 1e-6)


@dataclass(frozen=True)
class FrailRate:
    """A fitted rate of pairs that differ.

    Attributes:
        log_shape: logarithm of the kernel's parameter.
        amount: returns per day that a trace of 1 adds for a pair whose factor is 1.
        floor: its returns per day without any trace.
        variance: variance of the factors.
        falls: whether the kernel accounts for any return and fades at a rate that the log can show.
        by_group: `(G,)`, log-likelihood of each group of users, factors integrated out.
    """

    log_shape: float
    amount: float
    floor: float
    variance: float
    falls: bool
    by_group: Floats


class FrailPairs:
    """One kernel with one memory, to be fitted to pairs that differ.

    Args:
        model: the kernel and the visits.
    """

    def __init__(self, model: RateModel) -> None:
        visits = model.visits
        self.model, self.size = model, int(visits.pair[-1]) + 1
        self.group = visits.group[visits.position == 0]
        self.days = sums(visits.pair, visits.exposure, self.size)
        returns = sums(visits.pair, visits.returned.astype(np.float64), self.size)
        # A handful of different counts stands for all pairs in the gamma functions.
        self.distinct, self.place = np.unique(returns, return_inverse=True)
        self.returns = returns

    def maximise(self, start: RateFit) -> FrailRate:
        """Fits all parameters: a grid along the kernel's parameter, then Brent's search around its best.

        Args:
            start: the fit to pairs that are alike.
        """
        inner = np.array([np.clip(start.share, 0.01, 0.99), 0.0, np.log(0.5)])
        grid = np.linspace(self.model.low, self.model.high, _GRID + 2)[1:-1]
        grid = np.unique([self.model.low, *grid, start.log_shape, self.model.high])
        values = np.empty(len(grid))
        for at, log_shape in enumerate(grid):
            values[at], inner = self._climb(self.model.traces(float(log_shape)), inner)
        best = int(np.argmax(values))
        ends = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])

        def loss(at: float) -> float:
            return -self._climb(self.model.traces(at), inner)[0] / len(self.model.came)

        found = float(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": _PRECISION}).x)
        return self._at(found, inner)

    def _climb(self, traces: Traces, start: Floats) -> tuple[float, Floats]:
        """Returns the highest log-likelihood for a kernel, and the share, log-scale and log-variance that give it."""
        spent = sums(self.model.visits.pair, traces.integral, self.size)
        total, days, count = float(spent.sum()), float(self.days.sum()), float(len(self.model.came))
        trace = np.maximum(traces.at_return / total, 1e-300)
        further, apart = 1.0 / days - trace, self.days / days - spent / total

        def loss(at: Floats) -> tuple[float, Floats]:
            share, scale, shape = float(at[0]), count * float(np.exp(at[1])), float(np.exp(-at[2]))
            rate = trace + share * further
            expected = scale * (spent / total + share * apart)
            value = float(np.log(rate).sum()) + count * np.log(scale) + float(self._mixed(expected, shape).sum())
            factor = (shape + self.returns) / (shape + expected)
            by_share = float((further / rate).sum()) - scale * float(factor @ apart)
            by_scale = count - float(factor @ expected)
            gamma = (digamma(shape + self.distinct) - digamma(shape))[self.place]
            by_shape = gamma - np.log1p(expected / shape) + 1.0 - factor
            slope = np.array([by_share, by_scale, -shape * float(by_shape.sum())])
            return -value / count, -slope / count

        bounds = [_SHARES, (-10.0, 10.0), (np.log(LEAST_VARIANCE), np.log(MOST_VARIANCE))]
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-11})
        return -float(found.fun) * count, np.asarray(found.x)

    def _mixed(self, expected: Floats, shape: float) -> Floats:
        """Returns the logarithm of what the factors of each pair integrate to, `(P,)`, for `c = shape`."""
        gamma = (gammaln(shape + self.distinct) - gammaln(shape) - self.distinct * np.log(shape))[self.place]
        value: Floats = gamma - (shape + self.returns) * np.log1p(expected / shape)
        return value

    def _at(self, log_shape: float, start: Floats) -> FrailRate:
        model, traces = self.model, self.model.traces(log_shape)
        _, inner = self._climb(traces, start)
        spent = sums(model.visits.pair, traces.integral, self.size)
        share, scale = float(inner[0]), len(model.came) * float(np.exp(inner[1]))
        floor, amount = scale * share / float(self.days.sum()), scale * (1.0 - share) / float(spent.sum())
        gained = sums(model.group_of_return, np.log(floor + amount * traces.at_return), model.visits.n_groups)
        mixed = self._mixed(floor * self.days + amount * spent, float(np.exp(-inner[2])))
        by_group = gained + sums(self.group, mixed, model.visits.n_groups)
        inside = model.low + 2 * _PRECISION < log_shape < model.high - 2 * _PRECISION
        falls = inside and (1.0 - share) * len(model.came) >= 1
        return FrailRate(log_shape, amount, floor, float(np.exp(inner[2])), falls, by_group)
