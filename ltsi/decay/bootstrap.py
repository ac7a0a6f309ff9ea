"""Uncertainty over users: the log is as if other users had been drawn from the same population.

Users are drawn with replacement by drawing how often each is counted; the statistics are summed with those counts and
refitted. The events of one user are dependent in unknown ways, which is why users and not events are drawn
(Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 8: resample the independent units).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.estimators import estimate
from ltsi.decay.forms import FORMS, Floats
from ltsi.decay.likelihood import ROUGH
from ltsi.decay.statistics import ReturnStatistics

_CELLS_AT_ONCE = 4_000_000


def user_weights(n_groups: int, replicates: int, seed: int) -> Floats:
    """Draws how often each group of users is counted in each replicate, `(replicates, n_groups)`."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=replicates).astype(np.float64)


def resampled_log_rates(
    statistics: ReturnStatistics,
    starts: Mapping[str, Floats],
    entities: NDArray[np.int64],
    weights: Floats,
    estimator: str,
    done: Callable[[int], None],
) -> Floats:
    """Refits entities in every replicate, choosing anew among the forms that are given, by AIC.

    An interval that took the form chosen on the whole log for granted would be too short wherever the log does not
    settle it (Efron 2014, "Estimation and accuracy after model selection"). The forms that are given together must
    therefore mean the same by their first parameter.

    Args:
        statistics: the statistics by group of users.
        starts: for each form that competes, `(N, K)`, the fitted log-parameters of the entities, where each replicate
            starts.
        entities: `(N,)`, codes of the entities to refit.
        weights: `(R, G)`, from `user_weights`.
        estimator: a name in `ESTIMATORS`.
        done: is told how many entities have been refitted since it was last called.

    Returns:
        `(R, N)`, the first log-parameter of each replicate and entity.
    """
    replicates, bins = len(weights), statistics.n_bins
    log_rates = np.empty((replicates, len(entities)))
    at_once = max(1, _CELLS_AT_ONCE // (replicates * bins))
    for first in range(0, len(entities), at_once):
        part = slice(first, first + at_once)
        returns, exposure = (total.reshape(-1, bins) for total in statistics.totals(entities[part], weights))
        fits = [
            estimate(
                estimator,
                FORMS[name],
                returns,
                exposure,
                statistics.edges,
                np.tile(start[part], (replicates, 1)),
                ROUGH,
            )
            for name, start in starts.items()
        ]
        best = np.argmin([fit.aic() for fit in fits], axis=0)
        chosen = np.take_along_axis(np.stack([fit.theta[:, 0] for fit in fits]), best[None], axis=0)
        log_rates[:, part] = chosen.reshape(replicates, -1)
        done(len(entities[part]))
    return log_rates
