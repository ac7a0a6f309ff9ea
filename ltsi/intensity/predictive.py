"""What may come of an interest over a horizon: whether anything does, and between which counts it lies.

Visits come at a gamma rate, so their number is negative binomial. Each brings a geometric number of events: one where
counts scatter no more than single events do, and `scale / unit` on average where they come in clumps. So the
probability that nothing comes is that of no visit, and ends of intervals are whole numbers of events.

Shape suffixes: S series.
Source: Panjer 1981, "Recursive evaluation of a family of compound distributions"; from the generating function
`(s (1 − q u) / (1 − r u))^k` of this one follows a recursion over two terms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

MOST = 2_000.0
"""Events expected from which on a negative binomial of the same mean and variance does: its steps are fine enough."""

LARGE = 1e200
"""A sum in units of the probability of nothing is brought back from here."""


def outlook(
    mean_S: Floats, shape_S: Floats, scale_S: Floats, unit_S: Floats, confidence: float
) -> dict[str, NDArray[np.generic]]:
    """Returns the columns of `InterestStates` that tell what may come, from one distribution.

    Args:
        mean_S: what is expected.
        shape_S: of the gamma distribution of the rate.
        scale_S: dispersion of the counts, at least `unit_S`.
        unit_S: what an event counts; where events count differently, what they do on average, and ends are multiples
            of that, near to what sums of such weights can be and no more.
        confidence: coverage of the interval.
    """
    tail = (1 - confidence) / 2
    visits_S = mean_S / scale_S
    low_S, high_S = (unit_S * ends(level, visits_S, shape_S, scale_S / unit_S) for level in (tail, 1 - tail))
    return {
        "forecast_S": mean_S,
        "forecast_low_S": low_S,
        "forecast_high_S": high_S,
        "quiet_S": np.exp(log_quiet(visits_S, shape_S)),
        "shape_S": shape_S,
    }


def log_quiet(visits_S: Floats, shape_S: Floats) -> Floats:
    """Returns the log probability that nothing comes, `−k log(1 + λ / k)`, `(S,)`.

    Args:
        visits_S: visits expected, λ.
        shape_S: of the gamma distribution of their rate, k.
    """
    return np.asarray(-shape_S * np.log1p(visits_S / shape_S))


def ends(level: float, visits_S: Floats, shape_S: Floats, size_S: Floats) -> Floats:
    """Returns the smallest number of events that is exceeded with a probability of `1 − level` at most, `(S,)`.

    Args:
        level: the probability.
        visits_S: visits expected.
        shape_S: of the gamma distribution of their rate.
        size_S: events of a visit on average, at least 1.
    """
    end_S = np.zeros(len(visits_S))
    some_S = log_quiet(visits_S, shape_S) < np.log(level)
    many_S = visits_S * size_S > MOST
    for rows, found in ((some_S & many_S, _from_moments), (some_S & ~many_S, _added_up)):
        end_S[rows] = found(level, visits_S[rows], shape_S[rows], size_S[rows])
    return end_S


def _from_moments(level: float, visits_S: Floats, shape_S: Floats, size_S: Floats) -> Floats:
    mean_S = visits_S * size_S
    alike_S = mean_S / (2 * (size_S - 1) + mean_S / shape_S)
    return np.asarray(stats.nbinom.ppf(level, alike_S, alike_S / (alike_S + mean_S)))


def _added_up(level: float, visits_S: Floats, shape_S: Floats, size_S: Floats) -> Floats:
    """Adds probabilities up from 0: `(x + 1) g(x + 1) = ((q + r) x + k (r − q)) g(x) − q r (x − 1) g(x − 1)`."""
    end_S, row = np.zeros(len(visits_S)), np.arange(len(visits_S))
    q_S, r_S = 1 - 1 / size_S, 1 - 1 / (size_S * (1 + visits_S / shape_S))
    sum_S, product_S, gain_S = q_S + r_S, q_S * r_S, shape_S * (r_S - q_S)
    # In units of the probability of nothing, which may be smaller than any float.
    log_unit_S = log_quiet(visits_S, shape_S)
    before_S, here_S, total_S = np.zeros(len(row)), np.ones(len(row)), np.ones(len(row))
    x = 0
    while len(row):
        before_S, here_S = here_S, ((sum_S * x + gain_S) * here_S - product_S * (x - 1) * before_S) / (x + 1)
        total_S = total_S + here_S
        x += 1
        by_S = np.where(total_S > LARGE, LARGE, 1.0)
        before_S, here_S, total_S, log_unit_S = (
            before_S / by_S,
            here_S / by_S,
            total_S / by_S,
            log_unit_S + np.log(by_S),
        )
        on_S = np.log(total_S) + log_unit_S < np.log(level)
        if not on_S.all():
            end_S[row[~on_S]] = x
            kept = (row, before_S, here_S, total_S, log_unit_S, sum_S, product_S, gain_S)
            row, before_S, here_S, total_S, log_unit_S, sum_S, product_S, gain_S = (column[on_S] for column in kept)
    return end_S
