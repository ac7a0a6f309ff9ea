"""Exact fits of a rate that earlier visits add to: `rate(t) = floor + amount · Σ_j g(t − t_j)`.

The log-likelihood is that of a point process, the sum of log-rates at returns minus the integral of the rate over the
times at risk (Daley & Vere-Jones 2003, "An Introduction to the Theory of Point Processes", section 7.2). Written with
the share `w` of the returns that the floor accounts for,

    rate(t) = n · (w / X + (1 − w) · Σ_j g(t − t_j) / I),

`n` returns in `X` days at risk over which the traces integrate to `I`, the number of returns fits by itself, the
likelihood is concave in `w`, and only the kernel's own parameter is left to search along a line. There the traces are
evaluated once for all bootstrap replicates and folds together, because they differ only in how often users count.

Letters of the shapes: `V` visits, `N` returns, `G` groups of users, `R` weightings of the groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ltsi.decay.forms import Floats
from ltsi.decay.kernels import KERNELS
from ltsi.decay.pairs import sums
from ltsi.decay.visits import Visits

LEAST_SHARE = 1e-9
"""A floor with a smaller share of the returns is none, and so are traces."""

_GRID = 12
_NODE = 0.05
_MOST_NODES = 80
_TINY = 1e-300


@dataclass(frozen=True)
class Traces:
    """The traces of a kernel whose parameter is given.

    Attributes:
        at_return: `(N,)`, their sum at each return.
        integral: `(V,)`, its integral over the time at risk after each visit, days.
        by_group: `(G,)`, the integral by group of users.
    """

    at_return: Floats
    integral: Floats
    by_group: Floats


@dataclass(frozen=True)
class RateFit:
    """A fitted rate.

    Attributes:
        log_shape: logarithm of the kernel's parameter.
        share: share of the returns that the floor accounts for.
        amount: returns per day that a trace of 1 adds.
        floor: returns per day without any trace.
        log_likelihood: at the maximum.
    """

    log_shape: float
    share: float
    amount: float
    floor: float
    log_likelihood: float


class RateModel:
    """One kernel with one memory, ready to be fitted to the visits.

    Args:
        visits: the visits, at least one of them with a return.
        kernel: a name in `KERNELS`.
        memory: `LAST` or `EACH`.
    """

    def __init__(self, visits: Visits, kernel: str, memory: str) -> None:
        self.visits, self.kernel = visits, KERNELS[kernel](visits, memory)
        self.came = np.flatnonzero(visits.returned)
        self.group_of_return = visits.group[self.came]
        self.returns = sums(self.group_of_return, np.ones(len(self.came)), visits.n_groups)
        self.exposure = sums(visits.group, visits.exposure, visits.n_groups)
        low, high = self.kernel.bounds
        self.low, self.high = float(np.log(low)), float(np.log(high))

    def traces(self, log_shape: float) -> Traces:
        """Evaluates the kernel."""
        at_end, integral = self.kernel.sums(float(np.exp(log_shape)))
        return Traces(at_end[self.came], integral, sums(self.visits.group, integral, self.visits.n_groups))

    def best_share(self, traces: Traces, weight: Floats, share: float = 0.5) -> RateFit:
        """Fits floor and amount for a given kernel.

        Args:
            traces: the kernel; its parameter is not known here and left 0 in the answer.
            weight: `(G,)`, how often each group of users counts.
            share: where the search starts.
        """
        returns, days = float(weight @ self.returns), float(weight @ self.exposure)
        spent = max(float(weight @ traces.by_group), _TINY)
        counted = weight[self.group_of_return]
        trace = np.maximum(traces.at_return / spent, _TINY)
        further = 1.0 / days - trace
        low, high = LEAST_SHARE, 1.0 - LEAST_SHARE
        for _ in range(60):
            ratio = further / (trace + share * further)
            pull = counted * ratio
            slope, curvature = float(pull.sum()), -float(pull @ ratio)
            # The slope falls with the share, so its sign says on which side of here the maximum lies.
            low, high = (share, high) if slope > 0 else (low, share)
            newton = share - slope / min(curvature, -_TINY)
            moved = newton if low < newton < high else (low + high) / 2
            settled = abs(moved - share) < 1e-7 * min(share, 1.0 - share) or high - low < LEAST_SHARE
            share = moved
            if settled:
                break
        value = (
            float(counted @ np.log(trace + share * further)) + returns * float(np.log(max(returns, _TINY))) - returns
        )
        return RateFit(0.0, share, returns * (1.0 - share) / spent, returns * share / days, value)

    def maximise(self) -> RateFit:
        """Fits all parameters to all users: a grid along the kernel's parameter, then Brent's search near its best."""
        weight = np.ones(self.visits.n_groups)
        grid = np.linspace(self.low, self.high, _GRID)
        values = [self.best_share(self.traces(float(at)), weight).log_likelihood for at in grid]
        best = int(np.argmax(values))
        ends = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _GRID - 1)])

        def loss(at: float) -> float:
            return -self.best_share(self.traces(at), weight).log_likelihood / len(self.came)

        found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-5}).x
        return self.at(float(found), weight)

    def at(self, log_shape: float, weight: Floats) -> RateFit:
        """Fits floor and amount for a kernel's parameter."""
        fit = self.best_share(self.traces(log_shape), weight)
        return RateFit(log_shape, fit.share, fit.amount, fit.floor, fit.log_likelihood)

    def refit(self, fit: RateFit, weights: Floats) -> Floats:
        """Returns the logarithm of the kernel's parameter under other weights of the users, `(R,)`.

        The profile likelihoods are followed from node to node along the parameter, away from the fit to all users until
        all have passed their maximum, which lies at the top of the parabola through the best node and its neighbours.
        What that is off at the fit to all users is taken off everywhere.

        Args:
            fit: the fit to all users.
            weights: `(R, G)`, how often each group counts.
        """
        rows = np.vstack([np.ones(self.visits.n_groups), weights])
        shares = {0: np.full(len(rows), fit.share)}
        values: dict[int, Floats] = {}

        def visit(node: int, start: Floats) -> None:
            traces = self.traces(fit.log_shape + node * _NODE)
            found = [self.best_share(traces, row, float(share)) for row, share in zip(rows, start)]
            values[node] = np.array([one.log_likelihood for one in found])
            shares[node] = np.array([one.share for one in found])

        visit(0, shares[0])
        for side in (-1, 1):
            node = side
            while abs(node) <= _MOST_NODES and self.low <= fit.log_shape + node * _NODE <= self.high:
                visit(node, shares[node - side])
                if abs(node) > 1 and np.all(values[node] < values[node - side]):
                    break
                node += side
        tops = _tops(np.array([values[node] for node in sorted(values)]).T, min(values))
        moved: Floats = fit.log_shape + _NODE * (tops[1:] - tops[0])
        return moved

    def by_group(self, fit: RateFit, groups: NDArray[np.bool_]) -> Floats:
        """Returns the log-likelihood of each of the chosen groups `(G,)` under a fit, `(G,)`; 0 for the others."""
        traces = self.traces(fit.log_shape)
        rate = np.maximum(fit.floor + fit.amount * traces.at_return, _TINY)
        gained = sums(self.group_of_return, np.log(rate), self.visits.n_groups)
        found: Floats = (gained - fit.floor * self.exposure - fit.amount * traces.by_group) * groups
        return found


def _tops(values: Floats, first: int) -> Floats:
    """Returns where each row has its maximum, in nodes; `first` is the number of the first column's node."""
    best = np.argmax(values, axis=1)
    inner = np.clip(best, 1, values.shape[1] - 2)
    left, middle, right = (values[np.arange(len(values)), inner + step] for step in (-1, 0, 1))
    bend = np.minimum(left - 2 * middle + right, -_TINY)
    offset = np.where(best == inner, 0.5 * (left - right) / bend, 0.0)
    found: Floats = first + best + np.clip(offset, -0.5, 0.5)
    return found
