"""Where a rate changed: piecewise constant rates by optimal partitioning, exact and for many series at once.

Each segment costs minus the logarithm of its marginal likelihood under a Poisson rate with a gamma prior, which is in
closed form; a change costs `log T` more, the odds of a change in one of T bins. Counts that come in clumps are divided
by their dispersion before (quasi-likelihood).

Shape suffixes: S series, T bins, P pairs of neighbouring bins.
Sources: Jackson et al. 2005, "An algorithm for optimal partitioning of data on an interval"; Chib 1998, "Estimation and
comparison of multiple change-point models"; Wedderburn 1974, "Quasi-likelihood functions".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHAPE = 0.5
"""Shape of the gamma prior: half an event is known about a segment before it is seen."""


@dataclass(frozen=True)
class Segments:
    """Constant rates of many series, one after another.

    Attributes:
        series_G: int64, row of the series.
        start_G: int64, first bin.
        end_G: int64, one past the last bin.
        count_G: what happened in it, in effective events.
        exposure_G: bins it lasts, each counted with its season.
        rate_G: posterior mean of the rate per bin.
        evidence_G: log Bayes factor of the change at its start against one rate for it and the segment before; 0 for
            the first of a series.
    """

    series_G: Ints
    start_G: Ints
    end_G: Ints
    count_G: Floats
    exposure_G: Floats
    rate_G: Floats
    evidence_G: Floats


def dispersion_terms(x_ST: Floats, exposure_ST: Floats) -> tuple[Floats, Floats]:
    """Returns how much more counts vary than Poisson counts do, as sums whose ratio it is.

    Given their sum n, two Poisson counts x and y of one rate, seen for f and g bins, are binomial with the shares
    `f / (f + g)` and `g / (f + g)`, so `E (x g − y f)² / (f g n) = 1` however small the counts are. Of counts that come
    in clumps of c it is c. Neighbouring bins that are both watched, with n above 0, are averaged.

    Args:
        x_ST: counts.
        exposure_ST: 0 where a series is not watched, else 1, or the season of the bin.

    Returns:
        Sum of these terms over the pairs of each series, and number of pairs, `(S,)`.
    """
    x_SP, y_SP, f_SP, g_SP = x_ST[:, :-1], x_ST[:, 1:], exposure_ST[:, :-1], exposure_ST[:, 1:]
    scale_SP = f_SP * g_SP * (x_SP + y_SP)
    seen_SP = scale_SP > 0
    moved_SP = np.where(seen_SP, (x_SP * g_SP - y_SP * f_SP) ** 2 / np.where(seen_SP, scale_SP, 1.0), 0.0)
    return moved_SP.sum(axis=1), seen_SP.sum(axis=1).astype(np.float64)


def exposure(x_ST: Floats, factor_T: Floats) -> Floats:
    """Returns what can be seen of each series in each bin: 0 before its first event, then the season, `(S, T)`.

    Args:
        x_ST: counts; each series has an event.
        factor_T: season of each bin.
    """
    begun_ST = np.arange(x_ST.shape[1]) >= (x_ST > 0).argmax(axis=1)[:, None]
    return np.where(begun_ST, factor_T, 0.0)


def log_marginal(count: Floats, exposure: Floats, per_bin: Floats) -> Floats:
    """Returns the log marginal likelihood of a Poisson rate, up to what does not depend on the segmentation.

    `rate ~ Gamma(SHAPE, SHAPE / per_bin)`.

    Args:
        count: effective events.
        exposure: bins.
        per_bin: prior mean of the rate; broadcast.
    """
    scale = SHAPE / per_bin
    found: Floats = (
        SHAPE * np.log(scale) - gammaln(SHAPE) + gammaln(SHAPE + count) - (SHAPE + count) * np.log(scale + exposure)
    )
    return found


def posterior_rate(count: Floats, exposure: Floats, per_bin: Floats) -> Floats:
    """Returns the posterior mean of a rate per bin."""
    return (SHAPE + count) / (SHAPE / per_bin + exposure)


def segment(x_ST: Floats, exposure_ST: Floats, per_bin_S: Floats) -> Segments:
    """Finds the most probable segmentation of each series.

    Args:
        x_ST: effective counts (counts over their dispersion).
        exposure_ST: 0 where a series is not watched yet, else 1, or the season of the bin.
        per_bin_S: prior mean of the rate.
    """
    n, bins = x_ST.shape
    zero_S1 = np.zeros((n, 1))
    count = np.concatenate([zero_S1, np.cumsum(x_ST, axis=1)], axis=1)
    watched = np.concatenate([zero_S1, np.cumsum(exposure_ST, axis=1)], axis=1)
    penalty_S = np.log(np.maximum((exposure_ST > 0).sum(axis=1), 2.0))
    best = np.zeros((n, bins + 1))
    before = np.zeros((n, bins + 1), dtype=np.int64)
    best[:, 0] = -penalty_S
    for t in range(1, bins + 1):
        cost = -log_marginal(count[:, [t]] - count[:, :t], watched[:, [t]] - watched[:, :t], per_bin_S[:, None])
        # A segment of bins that are not watched says nothing, and costs nothing.
        cost[watched[:, [t]] - watched[:, :t] <= 0] = 0.0
        total = best[:, :t] + cost + penalty_S[:, None]
        total[:, 1:][watched[:, 1:t] <= 0] = np.inf
        before[:, t] = total.argmin(axis=1)
        best[:, t] = total.min(axis=1)
    return _backtracked(before, count, watched, per_bin_S)


def _backtracked(before: Ints, count: Floats, watched: Floats, per_bin_S: Floats) -> Segments:
    n, bins = len(before), before.shape[1] - 1
    row, end = np.arange(n), np.full(n, bins)
    found = []
    while len(row):
        start = before[row, end]
        found.append((row, start, end))
        going = start > 0
        row, end = row[going], start[going]
    series, start, end = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((start, series))
    series, start, end = series[order], start[order], end[order]
    # The first segment begins where the series is first watched.
    start = np.maximum(start, (watched[series] <= 0).sum(axis=1) - 1)
    n_G, w_G = count[series, end] - count[series, start], watched[series, end] - watched[series, start]
    per_bin_G = per_bin_S[series]
    evidence = np.zeros(len(series))
    second = np.flatnonzero(np.diff(series) == 0) + 1
    one, other, prior = second - 1, second, per_bin_G[second]
    evidence[second] = (
        log_marginal(n_G[one], w_G[one], prior)
        + log_marginal(n_G[other], w_G[other], prior)
        - log_marginal(n_G[one] + n_G[other], w_G[one] + w_G[other], prior)
    )
    return Segments(series, start, end, n_G, w_G, posterior_rate(n_G, w_G, per_bin_G), evidence)
